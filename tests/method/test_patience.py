"""Levels begun early: the same visits as Algorithm 1, whatever is begun and in whatever order rollouts end."""

import asyncio
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.grading.verifier import ExactVerifier
from sage.hints.sources import Reply
from sage.hints.writer import HintRules, HintWriter
from sage.method.eagerness import after_share, learned
from sage.method.records import Action, Hint, HintFailure, Prompt, Rollout
from sage.method.schedule import Nurl, Sage, SageFromLast, SageLight, ScafGrpo
from sage.method.visit import run_visit

PROMPT = Prompt("p1", "compute it", "12345", "first add")
SIZE = 4


class World:
    """Outcomes, lengths and hints fixed by a seed; time is the number of turns of the event loop that were slept."""

    def __init__(self, seed, rate=0.1, missing=0.0, error=None):
        self.seed, self.rate, self.missing, self.error = seed, rate, missing, error
        self.running = self.started = self.stopped = self.asked = self.tokens = 0
        self.log = []

    def draw(self, *key):
        return random.Random(repr((self.seed, *key))).random()

    async def ask(self, level, attempt):
        self.asked += 1
        for _ in range(int(10 * self.draw("ask", level))):
            await asyncio.sleep(0)
        if self.draw("missing", level) < self.missing:
            self.asked -= 1  # there was nothing to ask
            return HintFailure.NOT_IN_FILE
        return Reply(f"add {level} terms", 3, 0.0)

    def roll_out(self, hint, early):
        level = hint.level if hint else 0
        self.log.append((level, early))

        async def one(i):
            self.started += 1
            self.running += 1
            try:
                length = 1 + int(40 * self.draw("length", level, i) ** 3)
                for _ in range(length):
                    await asyncio.sleep(0)
                if self.error == (level, i):
                    raise RuntimeError("engine died")
                correct = self.draw("correct", level, i) < self.rate
                self.tokens += length
                return Rollout(float(correct), correct, length), (level, i)
            except asyncio.CancelledError:
                self.stopped += 1
                raise
            finally:
                self.running -= 1

        return [asyncio.create_task(one(i)) for i in range(SIZE)]


def visit(world, worth, schedule=None, plan=(0, 1, 2, 3)):
    worth = after_share(worth) if isinstance(worth, float) else worth

    async def run():
        rules = HintRules(3, "level", 0, "refuse")
        writer = HintWriter(PROMPT, rules, ExactVerifier(), world.ask, lambda text: True)
        try:
            return await run_visit(PROMPT, schedule or Sage(3, SIZE), plan, writer, world.roll_out, worth)
        finally:
            assert world.running == 0, "nothing runs on after a visit"

    return asyncio.run(run())


def erratic(seed):
    """Begins levels at random, on nothing."""
    rng = random.Random(seed)
    return lambda groups, level: rng.choice([0.0, 0.5, math.inf])


def at_once(groups, level):
    return math.inf


WAYS = [0.25, 0.5, 0.75, erratic, at_once, "learned"]
SCHEDULES = [
    (Sage(3, SIZE), (0, 1, 2, 3)),
    (Sage(3, SIZE), (1, 3)),
    (SageFromLast(3, SIZE), (1, 2, 3)),
    (ScafGrpo(3, SIZE), (0, 1, 2, 3)),
    (Nurl(3, SIZE), (0, 1)),
]


@settings(max_examples=300)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.05, 0.2]),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from(WAYS),
    st.sampled_from(SCHEDULES),
)
def test_what_is_begun_early_changes_no_group_and_every_token_is_counted(seed, rate, missing, way, scheduled):
    if way is erratic:
        way = erratic(seed)
    elif way == "learned":
        chances = random.Random(seed)
        way = learned({n: sorted(chances.random() for _ in range(SIZE + 1)) for n in range(3)})
    exact, early = World(seed, rate, missing), World(seed, rate, missing)
    one, published = visit(exact, 1.0, *scheduled)
    two, same = visit(early, way, *scheduled)
    assert one.begun_early == one.abandoned_tokens == one.aborted_rollouts == exact.stopped == 0
    assert all(ahead == 0 for _, ahead in exact.log)
    assert same == published and two.rows == one.rows
    assert two.decision == one.decision and two.failures == one.failures
    assert [(g.level, g.hint, g.rollouts) for g in two.groups] == [(g.level, g.hint, g.rollouts) for g in one.groups]
    assert early.stopped == two.aborted_rollouts
    assert early.asked == len(two.requests), "an aborted hint request is a request"
    assert two.abandoned_tokens == early.tokens - sum(g.tokens for g in two.groups), "of finished rollouts"
    levels = list(dict.fromkeys(level for level, _ in early.log))
    if (0 in scheduled[1]) is (0 in levels):  # else it went back to level 0 when no hint could be had
        assert levels == sorted(levels), "levels begin in order"


def test_a_level_that_is_needed_after_all_is_not_drawn_again():
    world = World(1, rate=0.0)
    result, _ = visit(world, 0.25)
    assert [level for level, _ in world.log] == [0, 1, 2, 3] and world.stopped == 0 and result.abandoned_tokens == 0
    assert result.decision.action is Action.GIVE_UP


class Ready:
    """Has every hint at hand."""

    requests = ()

    async def write(self, level):
        return Hint(level, f"hint {level}")


def test_a_visit_runs_several_levels_ahead_and_says_how_far():
    log = []

    async def run():
        top = asyncio.Event()

        def roll_out(hint, early):
            level = hint.level if hint else 0
            log.append((level, early))
            if level == 3:
                top.set()

            async def one():
                await top.wait()  # for ever, if level 3 waits for any group
                return Rollout(0.0, False, 1), None

            return [asyncio.create_task(one()) for _ in range(SIZE)]

        visit = run_visit(PROMPT, Sage(3, SIZE), (0, 1, 2, 3), Ready(), roll_out, at_once)
        return await asyncio.wait_for(visit, 30)

    result, _ = asyncio.run(run())
    assert log == [(0, 0), (1, 1), (2, 2), (3, 3)] and result.begun_early == 3
    assert [g.level for g in result.groups] == [0, 1, 2, 3] and result.abandoned_tokens == 0


def test_a_hint_is_asked_for_before_its_rollouts_are_worth_it():
    class Slow(World):
        async def ask(self, level, attempt):
            self.asked_at = self.running
            return await super().ask(level, attempt)

    worth_a_hint = Slow(1, rate=0.0)
    visit(worth_a_hint, lambda groups, level: 1.01 / SIZE)
    assert worth_a_hint.asked_at > 0 and all(early == 0 for _, early in worth_a_hint.log)


def test_the_next_level_begins_while_the_last_rollout_still_runs():
    async def run():
        begun = asyncio.Event()

        async def one(level, i):
            if level == 1:
                begun.set()
            elif i == 0:
                await begun.wait()  # for ever, if level 1 waits for the whole group
            return Rollout(float(level), bool(level), 1), None

        async def ask(level, attempt):
            return Reply("add the terms", 1, 0.0)

        def roll_out(hint, early):
            return [asyncio.create_task(one(hint.level if hint else 0, i)) for i in range(SIZE)]

        writer = HintWriter(PROMPT, HintRules(3, "level", 0, "refuse"), ExactVerifier(), ask, lambda text: True)
        return await asyncio.wait_for(run_visit(PROMPT, Sage(3), (0, 1, 2, 3), writer, roll_out, after_share(0.75)), 10)

    result, _ = asyncio.run(run())
    assert [g.level for g in result.groups] == [0, 1] and result.abandoned_tokens == 0


@pytest.mark.parametrize("where", [(0, 0), (0, 3), (1, 1)])
def test_an_error_ends_the_visit_and_all_that_was_begun(where):
    with pytest.raises(RuntimeError, match="engine died"):
        visit(World(1, rate=0.0, error=where), 0.25)


def test_an_error_of_a_level_that_is_not_needed_is_no_error():
    solved_late = next(
        seed
        for seed in range(1000)
        if visit(World(seed, 0.1), 0.25)[0].abandoned_tokens and len(visit(World(seed, 0.1), 1.0)[0].groups) == 1
    )
    first = min(range(SIZE), key=lambda i: World(solved_late, 0.1).draw("length", 1, i))
    result, _ = visit(World(solved_late, 0.1, error=(1, first)), 0.25)
    assert len(result.groups) == 1 and result.decision.action is Action.ACCEPT


def test_schedules_of_one_group_begin_nothing_and_scaffolds_stay():
    world = World(3, rate=0.0)
    visit(world, 0.25, SageLight(3, SIZE), plan=(0,))
    assert world.log == [(0, 0)]
    for seed in range(40):
        one, published = visit(World(seed, 0.15), 1.0, ScafGrpo(3, SIZE))
        two, same = visit(World(seed, 0.15), 0.5, ScafGrpo(3, SIZE))
        assert same == published and one.decision == two.decision
