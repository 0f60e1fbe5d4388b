"""Algorithm 1 with a scripted engine: whole visits, and the hint writer inside them."""

import asyncio
import json
from pathlib import Path

import pytest

from sage.grading.verifier import ExactVerifier
from sage.hints.sources import Reply
from sage.hints.writer import HintRules, HintWriter, request_seed
from sage.method.records import (
    PERMANENT_FAILURES,
    Action,
    Hint,
    HintFailure,
    Prompt,
    Reason,
    RequestOutcome,
    Rollout,
    Visit,
    VisitPlan,
)
from sage.method.schedule import Grpo, Nurl, Sage, SageLight, ScafGrpo
from sage.method.visit import run_visit

PROMPT = Prompt("p1", "compute it", "12345", "first add, then multiply, 12345")


class Engine:
    """Answers hint requests from a list and rolls out with a given success count per level."""

    def __init__(self, answers=(), successes=(0, 0, 0, 0), size=4):
        self.answers, self.successes, self.size = list(answers), successes, size
        self.attempts, self.asked, self.contexts = [], [], []

    async def ask(self, level, attempt):
        self.asked.append(level)
        self.attempts.append(attempt)
        answer = self.answers.pop(0)
        return answer if isinstance(answer, HintFailure) else Reply(answer, len(answer), 0.1)

    def roll_out(self, hint: Hint | None, early):
        self.contexts.append(hint)
        solved = self.successes[hint.level if hint else 0]
        correct = range(solved) if solved >= 0 else range(self.size + solved, self.size)

        async def one(i):
            return Rollout(float(i in correct), i in correct, 5), (hint, i)

        return [asyncio.create_task(one(i)) for i in range(self.size)]


def run(
    engine,
    schedule=None,
    plan=(0, 1, 2, 3),
    request="level",
    retries=1,
    leak="refuse",
    prompt=PROMPT,
    fits=lambda text: True,
):
    rules = HintRules(3, request, retries, leak)
    writer = HintWriter(prompt, rules, ExactVerifier(), engine.ask, fits)
    return asyncio.run(run_visit(prompt, schedule or Sage(3), plan, writer, engine.roll_out))


def test_a_solved_prompt_asks_for_no_hint():
    engine = Engine(successes=(1, 0, 0, 0))
    visit, published = run(engine)
    assert engine.asked == [] and len(visit.groups) == 1 and visit.decision.reason is Reason.SOLVED
    assert published == [(None, i) for i in range(4)]


def test_escalation_publishes_only_the_last_group():
    engine = Engine(["key idea", "method"], successes=(0, 0, 3, 4))
    visit, published = run(engine)
    assert engine.asked == [1, 2]
    assert [g.level for g in visit.groups] == [0, 1, 2]
    assert published == [(Hint(2, "method"), i) for i in range(4)]
    assert visit.accepted.hint == "method" and visit.accepted.successes == 3


def test_a_prompt_that_no_level_solves_is_given_up_at_the_top():
    visit, _ = run(Engine(["a", "b", "c"]))
    assert visit.decision.action is Action.GIVE_UP and visit.decision.reason is Reason.TOP_LEVEL
    assert [g.level for g in visit.groups] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "request_, answers, asked",
    [
        ("json", [json.dumps({"level_1": "one", "level_2": "it is 12345"}), '{"level_2": "two"}'], [1, 2]),
        ("verbatim", ["one", "it is 12345", "two"], [1, 2, 2]),
    ],
)
def test_no_level_of_an_answer_and_no_hint_of_a_file_escapes_the_guard(request_, answers, asked):
    engine = Engine(answers, successes=(0, 0, 1, 1))
    visit, _ = run(engine, request=request_)
    assert visit.accepted.hint == "two" and engine.asked == asked


def test_one_json_answer_serves_all_levels():
    answer = json.dumps({"level_1": "one", "level_2": "two", "level_3": "three"})
    engine = Engine([answer], successes=(0, 0, 0, 1))
    visit, [(hint, _), *_] = run(engine, request="json")
    assert engine.asked == [1] and hint == Hint(3, "three") and len(visit.requests) == 1


def test_a_truncated_json_answer_serves_its_early_levels_and_is_asked_again_for_the_rest():
    engine = Engine(['{"level_1": "one", "level_2": "tw', '{"level_2": "two"}'], successes=(0, 0, 1, 1))
    visit, [(hint, _), *_] = run(engine, request="json")
    assert hint == Hint(2, "two") and engine.asked == [1, 2]
    assert [r.outcome for r in visit.requests] == [RequestOutcome.USED, RequestOutcome.USED]


def test_when_every_hint_fails_to_parse_the_plain_group_is_kept_and_counted():
    engine = Engine([""] * 6)
    visit, [(hint, _), *_] = run(engine)
    assert hint is None and [g.level for g in visit.groups] == [0]
    assert visit.failures == (HintFailure.PARSE,) * 3
    assert visit.decision == visit.decision.__class__(Action.GIVE_UP, Reason.HINT_MISSING, 0)
    assert len(visit.requests) == 2


@pytest.mark.parametrize(
    "request_, answers, asked, failures",
    [
        ("json", ["no", "no"], [1, 1], "parse parse parse"),
        ("json", ['{"level_1": "is 12345", "level_2": "b"}', '{"level_1": "12345 is"}'], [1, 1], "leak parse"),
        ("level", ["", ""], [1, 1], "parse parse parse"),
        ("level", ["it is 12345"] * 4, [1, 1, 2, 3], "leak leak leak"),
        ("level", ["it is 12345", "", "two"], [1, 1], "parse parse parse"),
        ("verbatim", [""] * 6, [1, 1, 2, 2, 3, 3], "parse parse parse"),
    ],
)
def test_a_visit_asks_at_most_once_more_for_everything(request_, answers, asked, failures):
    engine = Engine(answers)
    visit, _ = run(engine, request=request_)
    assert engine.asked == asked and visit.failures == tuple(HintFailure(f) for f in failures.split())
    if "b" in answers[0]:
        assert [g.hint for g in visit.groups] == [None, "b"]


def test_a_run_without_retries_stops_at_the_first_answer_that_cannot_be_read():
    engine = Engine([""])
    visit, _ = run(engine, retries=0)
    assert engine.asked == [1] and visit.failures == (HintFailure.PARSE,) * 3


def test_an_answer_that_is_counted_as_cut_leaves_no_hint_behind():
    answers = [Reply('{"level_2": "two", "level_1": "on', 9, 0.1, cut=True)] * 2

    async def ask(level, attempt):
        return answers.pop()

    writer = HintWriter(PROMPT, HintRules(3, "json", 1, "refuse"), ExactVerifier(), ask, lambda text: True)

    async def write_all():
        return [await writer.write(level) for level in (1, 2, 3)]

    assert asyncio.run(write_all()) == [HintFailure.CUT] * 3
    assert [r.outcome for r in writer.requests] == [RequestOutcome.CUT] * 2


def test_answers_that_gave_no_hint_are_kept_and_travel_with_the_visit():
    engine = Engine(["the answer is 12345" + "x" * 3000, "think of primes", "two"], successes=(0, 0, 1, 0))
    visit, _ = run(engine)
    kept = [r.answer for r in visit.requests]
    assert kept == [("the answer is 12345" + "x" * 3000)[:2000], None, None]
    assert Visit.from_json(visit.to_json()) == visit and visit.to_json().count('"answer"') == 1


def test_levels_that_are_begun_together_share_one_answer():
    engine = Engine([json.dumps({"level_1": "one", "level_2": "two", "level_3": "three"})])
    writer = HintWriter(PROMPT, HintRules(3, "json", 1, "refuse"), ExactVerifier(), engine.ask, lambda text: True)

    async def write_all():
        return await asyncio.gather(*(writer.write(level) for level in (1, 2, 3)))

    assert [hint.text for hint in asyncio.run(write_all())] == ["one", "two", "three"] and engine.asked == [1]


def test_attempts_are_counted_and_each_has_a_seed_that_repeats_with_the_run():
    engine = Engine(["", "", "usable"], (0, 1, 1, 1))
    run(engine, retries=2)
    assert engine.asked == [1, 1, 1] and engine.attempts == [0, 1, 2]
    seeds = [request_seed("id", 7, 1, attempt) for attempt in range(1000)]
    assert len(set(seeds)) == 1000 and all(0 <= seed < 2**31 for seed in seeds)
    assert seeds[0] == 1905024558, "the same in every process"


def test_a_leaking_hint_is_refused_and_retried():
    engine = Engine(["the answer is 12345", "think of primes"], successes=(0, 1, 1, 1))
    visit, [(hint, _), *_] = run(engine)
    assert hint.text == "think of primes"
    assert [r.outcome for r in visit.requests] == [RequestOutcome.LEAK, RequestOutcome.USED]


def test_a_hint_that_always_leaks_is_missing_with_that_reason():
    visit, _ = run(Engine(["it is 12345"] * 6))
    assert visit.failures == (HintFailure.LEAK,) * 3 and visit.accepted.hint is None


def test_a_leaking_hint_can_be_redacted():
    engine = Engine(["add to get 12345 at the end"], successes=(0, 1, 1, 1))
    visit, [(hint, _), *_] = run(engine, leak="redact")
    assert "12345" not in hint.text and "add" in hint.text
    assert visit.requests[0].outcome is RequestOutcome.REDACTED


@pytest.mark.parametrize("failure", sorted(PERMANENT_FAILURES))
def test_what_no_level_can_mend_ends_the_visit_at_once(failure):
    visit, _ = run(Engine([failure]))
    assert visit.failures == (failure,) and len(visit.groups) == 1


def test_a_level_that_is_not_in_the_file_is_passed_over():
    visit, [(hint, _), *_] = run(Engine([HintFailure.NOT_IN_FILE, "two"], (0, 0, 1, 1)), request="verbatim")
    assert hint == Hint(2, "two") and visit.failures == (HintFailure.NOT_IN_FILE,)


def test_a_hint_that_does_not_fit_the_prompt_is_refused():
    visit, [(hint, _), *_] = run(
        Engine(["much too long", "ok"], successes=(0, 1, 1, 1)), fits=lambda text: len(text) < 5
    )
    assert hint.text == "ok" and visit.requests[0].outcome is RequestOutcome.PROMPT_TOO_LONG


def test_sage_light_rolls_out_once_at_its_level_and_goes_plain_without_a_hint():
    visit, [(hint, _), *_] = run(Engine(["method"], successes=(0, 0, 0, 0)), SageLight(3), plan=(2,))
    assert hint == Hint(2, "method") and len(visit.groups) == 1
    visit, [(hint, _), *_] = run(Engine(["", ""]), SageLight(3), plan=(2,))
    assert hint is None and [g.level for g in visit.groups] == [0]


def test_grpo_rolls_out_once():
    engine = Engine()
    visit, _ = run(engine, Grpo(3), plan=(0,))
    assert engine.asked == [] and len(visit.groups) == 1


def test_an_error_of_the_engine_ends_the_visit():
    engine = Engine()

    def broken(hint, early):
        async def one():
            raise RuntimeError("engine died")

        return [asyncio.create_task(one()) for _ in range(4)]

    engine.roll_out = broken
    with pytest.raises(RuntimeError, match="engine died"):
        run(engine)


def test_visits_run_side_by_side_without_a_barrier():
    """The slow prompt's first group does not delay the hint of the fast one."""
    order = []

    async def visit(name, climbed):
        async def one(hint):
            if name == "slow":
                await asyncio.wait_for(climbed.wait(), 10)
            elif hint:
                climbed.set()
            order.append((name, hint.level if hint else 0))
            return Rollout(float(bool(hint)), bool(hint), 1), None

        def roll_out(hint, early):
            return [asyncio.create_task(one(hint))]

        async def ask(level, attempt):
            return Reply("add the terms", 1, 0.0)

        prompt = Prompt(name, "x", "12345", "s")
        writer = HintWriter(prompt, HintRules(3, "level", 0, "refuse"), ExactVerifier(), ask, lambda t: True)
        await run_visit(prompt, Sage(3), (0, 1, 2, 3), writer, roll_out)

    async def both():
        climbed = asyncio.Event()
        await asyncio.gather(visit("slow", climbed), visit("fast", climbed))

    asyncio.run(both())
    assert order == [("fast", 0), ("fast", 1), ("slow", 0), ("slow", 1)]


def test_a_visit_survives_json_with_latex_and_line_breaks():
    engine = Engine(["use \\frac{a}{b}\nand “θ”", "x", "y"])
    visit, _ = run(engine)
    assert "\n" not in visit.to_json()
    assert Visit.from_json(visit.to_json()) == visit


def test_a_plan_survives_its_journey():
    plan = VisitPlan((0, 2, 3), 4, 17, 2, ((0.5, 0.75), (0.25, 1.0)))
    assert VisitPlan.from_json(plan.to_json()) == plan


def test_a_plan_may_leave_levels_out_and_goes_plain_when_no_hint_can_be_had():
    visit, [(hint, _), *_] = run(Engine(["a", "c"], successes=(0, 0, 9, 2)), plan=(1, 3))
    assert [g.level for g in visit.groups] == [1, 3] and hint.level == 3
    visit, [(hint, _), *_] = run(Engine([""] * 4), plan=(1, 3))
    assert [g.level for g in visit.groups] == [0] and hint is None and len(visit.failures) == 2


def test_scaf_grpo_puts_the_first_hinted_success_into_the_plain_group():
    """By hand: G = 4, two of the level-2 rollouts are correct; rollouts 0-2 of the plain group and the first stay."""
    engine = Engine(["one", "two"], successes=(0, 0, 2, 4))
    visit, published = run(engine, ScafGrpo(3, 4))
    assert visit.decision.action is Action.SCAFFOLD and [g.level for g in visit.groups] == [0, 1, 2]
    assert published == [(None, 0), (None, 1), (None, 2), (Hint(2, "two"), 0)]
    assert [r.reward for r in visit.accepted.rollouts] == [0, 0, 0, 1] and visit.accepted.level == 2
    assert Visit.from_json(visit.to_json()).accepted == visit.accepted


def test_scaf_grpo_keeps_the_plain_group_when_it_is_solved_or_no_hint_helps():
    for successes, action in (((1, 4, 4, 4), Action.ACCEPT), ((0, 0, 0, 0), Action.GIVE_UP)):
        visit, published = run(Engine(["a", "b", "c"], successes), ScafGrpo(3, 4))
        assert visit.decision.action is action and published == [(None, i) for i in range(4)]
        assert visit.accepted == visit.groups[0]


class ByLevel(Engine):
    """As many rollouts as a schedule of groups of four draws."""

    def __init__(self, schedule, *more):
        super().__init__(*more)
        self.schedule = schedule

    def roll_out(self, hint, early):
        self.size = self.schedule.rollouts(hint.level if hint else 0)
        return super().roll_out(hint, early)


def test_nurl_trains_on_one_plain_failure_beside_its_hinted_rollouts():
    """By hand: G = 4, no plain rollout is correct, two of the three hinted ones are; advantages over all four."""
    visit, published = run(ByLevel(Nurl(3, 4), ["one"], (0, 2)), Nurl(3, 4), plan=(0, 1))
    assert [len(group.rollouts) for group in visit.groups] == [4, 3]
    assert published == [(None, 0), *((Hint(1, "one"), i) for i in range(3))]
    assert visit.kinds == ("plain", "hinted", "hinted", "hinted")
    assert [r.reward for r in visit.accepted.rollouts] == [0, 1, 1, 0]
    assert Visit.from_json(visit.to_json()) == visit


@pytest.mark.parametrize("successes", [(1, 3), (4, 3)])
def test_nurl_without_a_failing_group_is_grpo(successes):
    nurl, published = run(Engine(["one"], successes), Nurl(3, 4), plan=(0, 1))
    grpo, same = run(Engine(["one"], successes), Grpo(3, 4), plan=(0,))
    assert published == same and nurl.accepted.rollouts == grpo.accepted.rollouts and nurl.kinds == grpo.kinds


def test_a_schedule_may_mix_rollouts_with_and_without_a_hint():
    """The one of docs/methods.md, by hand: G = 4, the last two of level 1 are correct."""
    code = (Path(__file__).parents[2] / "docs/methods.md").read_text().split("```python\n")[1].split("```")[0]
    found: dict[str, type[Sage]] = {}
    exec(code, found)
    visit, published = run(Engine(["one"], successes=(0, -2, 0, 0)), found["Mixed"](3, 4))
    hint = Hint(1, "one")
    assert published == [(None, 0), (None, 1), (hint, 2), (hint, 3)]
    assert visit.rows == ((0, 0), (0, 1), (1, 2), (1, 3)) and Visit.from_json(visit.to_json()) == visit
    assert visit.kinds == ("plain", "plain", "hinted", "hinted")
    assert visit.accepted.successes == 2 and visit.accepted.level == 1 and not visit.accepted.dead
    assert visit.main.level == 0, "of two that give as many rows, the first"
    solved, _ = run(Engine(successes=(4, 0, 0, 0)), found["Mixed"](3, 4))
    assert solved.rows == ((0, 0), (0, 1), (0, 2), (0, 3))
