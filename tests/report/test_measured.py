import random
from dataclasses import replace

import pytest

from sage.method.gate import expected_centered_energy, gate_probability
from sage.method.records import Action, Decision, Group, Reason, Rollout, Visit
from sage.report.history import Entry
from sage.report.measured import BINS, NEW, earlier_bin, measure
from sage.support.intervals import wilson


def drawn(probabilities: list[float], visits: int, rng: random.Random) -> list[Entry]:
    """Visits of prompts with known success probabilities, eight rollouts without a hint each."""
    entries = []
    for step in range(visits):
        for i, p in enumerate(probabilities):
            outcomes = [rng.random() < p for _ in range(8)]
            group = Group(0, tuple(Rollout(float(o), o, 1) for o in outcomes))
            decision = Decision(Action.ACCEPT, Reason.SINGLE_GROUP, 0)
            entries.append(Entry(step, f"{step}-{i}", Visit(f"p{i}", (0,), (group,), decision)))
    return entries


@pytest.mark.parametrize("p", [0.02, 0.1, 0.3, 0.5, 0.9])
def test_equal_prompts_lie_on_the_curve_in_every_bin(p):
    bins = measure(drawn([p] * 400, 6, random.Random(1)))
    assert {b.group_size for b in bins} == {8} and sum(b.groups for b in bins) == 2400
    large = [b for b in bins if b.groups > 200]
    assert any(b.earlier != NEW for b in large)
    for b in large:  # sorting by the past tells nothing here, so no bin may deviate
        assert b.success == pytest.approx(p, abs=0.03)
        assert b.mixed == pytest.approx(gate_probability(p, 8), abs=0.09)
        assert b.variance == pytest.approx(expected_centered_energy(p, 8), abs=0.015)


def test_different_prompts_lie_below_the_curve():
    rng = random.Random(2)
    bins = measure(drawn([rng.choice([0.0, 0.05, 0.5, 0.95, 1.0]) for _ in range(2000)], 3, rng))
    assert {b.earlier for b in bins} == {NEW, *BINS}
    for b in (b for b in bins if b.groups > 100):
        assert b.mixed <= gate_probability(b.success, 8) + 0.05
        assert b.variance <= expected_centered_energy(b.success, 8) + 0.01
    fresh = next(b for b in bins if b.earlier == NEW)
    assert fresh.mixed < gate_probability(fresh.success, 8) - 0.3


def test_only_earlier_visits_decide():
    entries = drawn([0.5] * 5, 2, random.Random(3))
    first, second = entries[:5], entries[5:]
    bins = measure(first)
    assert [b.earlier for b in bins] == [NEW]
    # a visit's second group at the same level does not see its first
    twice = [Entry(e.step, e.uid, Visit(e.visit.prompt_id, (0,), e.visit.groups * 2, e.visit.decision)) for e in first]
    bins = measure(twice)
    assert [(b.earlier, b.groups) for b in bins] == [(NEW, 10)]
    assert sum(b.groups for b in measure(first + second) if b.earlier == NEW) == 5


def test_groups_drawn_in_parts_are_cut_to_the_first_part():
    """A group whose first 4 rollouts fail ends there: whole groups alone would show too much success."""
    whole = drawn([0.2] * 2000, 1, random.Random(4))
    entries = []
    for entry in whole:
        (group,) = entry.visit.groups
        first = Group(0, group.rollouts[:4])
        entries.append(Entry(0, entry.uid, replace(entry.visit, groups=(first if first.all_fail else group,), rows=())))
    (found,) = measure(entries)
    assert (found.groups, found.group_size) == (2000, 4)
    assert found.success == pytest.approx(0.2, abs=0.02)
    assert found.mixed == pytest.approx(gate_probability(0.2, 4), abs=0.04)
    assert measure([]) == []


def test_bins_and_intervals():
    names = [earlier_bin(k, 8) for k in range(9)]
    assert names == [BINS[0]] + [BINS[1]] * 2 + [BINS[2]] * 2 + [BINS[3]] * 2 + [BINS[4], BINS[5]]
    assert earlier_bin(0, 0) == NEW
    for k, n in ((0, 5), (3, 7), (50, 50)):
        low, high = wilson(k, n)
        assert 0 <= low <= k / n <= high <= 1 and high > low
