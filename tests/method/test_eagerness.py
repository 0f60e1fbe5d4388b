"""How likely a group fails, learned and by hand, and what a level that is begun early is worth."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage.method.eagerness import PRICE, PRIOR, Failures, Past, Running, after_share, learned
from sage.method.records import Action, Decision, Group, PromptState, Reason, Rollout, Visit
from sage.method.schedule import Sage
from sage.method.state import StateStore


def group(level, successes, size=4):
    return Group(
        level, tuple(Rollout(float(i < successes), i < successes, 1) for i in range(size)), "h" * level or None
    )


def state(level):
    return PromptState(level, 1, (4, 0, 0, 0), (0, 0, 0, 0))


def test_how_the_last_visit_ended_is_seen_from_each_level():
    assert [Past.of(state(1), level).value for level in range(3)] == ["above", "same", "below"]
    assert Past.of(None, 0) is Past.FIRST


@pytest.mark.parametrize("past, before", [(Past.FIRST, None), (Past.ABOVE, state(2)), (Past.SAME, state(0))])
def test_the_prior_by_hand(past, before):
    """G = 2, one success as likely as two: after one failure half of the groups with one success are left."""
    ((begin, one, two),) = Failures(2).chances(before, (0,))
    rate = PRIOR[past]
    assert begin == pytest.approx(rate, abs=1e-3) and two == 1.0
    assert one == pytest.approx(rate / (rate + (1 - rate) / 4), abs=1e-3)


def test_what_is_seen_outweighs_the_prior_and_levels_and_pasts_are_apart():
    failures = Failures(4)
    for _ in range(30):
        failures.update([(state(2), group(0, k)) for k in (0, 0, 0, 4)] * 30)
    (often, *_), (other, *_) = failures.chances(state(2), (0, 1))
    assert often == pytest.approx(0.75, abs=0.01) and other == PRIOR[Past.ABOVE]
    assert failures.chances(state(0), (0,))[0][0] == PRIOR[Past.SAME]


def test_the_later_groups_count_more():
    failures = Failures(4)
    for successes, steps in ((0, 300), (4, 100)):
        for _ in range(steps):
            failures.update([(None, group(0, successes))] * 10)
    assert failures.chances(None, (0,))[0][0] < 0.2


def test_smaller_groups_count_by_what_was_drawn():
    failures = Failures(8)
    failures.update([(None, group(0, 0, 6)), (None, group(1, 2, 4))] * 200)
    assert failures.chances(None, (0,))[0][6] > 0.99
    by_hand = 1 / 6  # two of four rollouts are correct: the first two fail in one of six orders
    assert failures.counts[1, Past.FIRST].begun[2] == pytest.approx(200 * by_hand)
    assert failures.counts[1, Past.FIRST].begun[3:] == [0.0] * 6


@given(st.integers(0, 10**6))
def test_more_failures_never_make_it_less_likely_that_a_group_fails(seed):
    rng, failures = random.Random(seed), Failures(8)
    failures.update([(None, group(0, rng.choice([0, 0, 1, 3, 8]), 8)) for _ in range(rng.randrange(40))])
    (chances,) = failures.chances(None, (0,))
    assert len(chances) == 9 and chances[-1] == 1.0 and list(chances) == sorted(chances)
    again = Failures(8)
    again.restore(failures.to_list())
    assert again.chances(None, (0,)) == (chances,)


def test_a_share_waits_for_every_group_below():
    worth = after_share(0.5)
    assert worth([Running(0, 4, 8)], 1) == math.inf and worth([Running(0, 3, 8)], 1) == 0
    assert worth([Running(0, 8, 8), Running(1, 3, 8)], 2) == 0
    assert after_share(1.0)([Running(0, 7, 8)], 1) == 0


def test_the_worth_of_a_level_by_hand():
    """Level 0 fails with .6 after one failure; the visit climbs to the top with .5 x .4 from level 1 on."""
    worth = learned({0: (0.3, 0.6, 1.0), 1: (0.5, 0.8, 1.0), 2: (0.4, 0.9, 1.0)})
    assert worth([Running(0, 1, 2)], 1) == pytest.approx(0.6 / 0.4 * 0.5 * 0.4 / PRICE)
    assert worth([Running(0, 1, 2), Running(1, 0, 2)], 2) == pytest.approx(0.3 / 0.7 * 0.4 / PRICE)
    assert worth([Running(0, 1, 2), Running(1, 1, 2), Running(2, 0, 2)], 3) == pytest.approx(0.192 / 0.808 / PRICE)
    assert worth([Running(0, 2, 2)], 1) == math.inf, "it has failed"
    assert worth([Running(3, 1, 2)], 4) == 0, "a level of which nothing is known"


def test_the_drivers_state_learns_and_remembers(tmp_path):
    store = StateStore(Sage(3, 4))
    before = store.plan("p", 1, 0.0)
    assert [len(chances) for chances in before.failing] == [5, 5, 5], "of every level but the last"
    visits = [
        Visit(str(n), (0, 1, 2, 3), (group(0, 0), group(1, 4)), Decision(Action.ACCEPT, Reason.SOLVED, 1))
        for n in range(100)
    ]
    for step in (1, 2):
        store.update(visits, step)
    first, again = store.plan("new", 3, 0.0), store.plan("0", 3, 0.0)
    assert first.failing[0][0] > 0.9 and first.failing[1][0] < 0.1, "first visits"
    assert again.failing[0][0] > 0.9 and again.failing[1][0] < 0.1, "second ones"
    store.save(tmp_path / "state.parquet")
    loaded = StateStore(Sage(3, 4))
    loaded.load(tmp_path / "state.parquet")
    assert loaded.plan("0", 3, 0.0) == again
