import random

import pytest

from sage.gate import expected_centered_energy, gate_probability
from sage.records import Action, Decision, Group, Reason, Rollout, Visit
from sage.report.history import Entry
from sage.report.measured import BINS, NEW, Bin, earlier_bin, measure, wilson


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
    size, bins, other = measure(drawn([p] * 400, 6, random.Random(1)))
    assert (size, other) == (8, 0) and sum(b.groups for b in bins) == 2400
    large = [b for b in bins if b.groups > 200]
    assert any(b.earlier != NEW for b in large)
    for b in large:  # sorting by the past tells nothing here, so no bin may deviate
        assert b.success == pytest.approx(p, abs=0.03)
        assert b.mixed == pytest.approx(gate_probability(p, 8), abs=0.09)
        assert b.variance == pytest.approx(expected_centered_energy(p, 8), abs=0.015)


def test_different_prompts_lie_below_the_curve():
    rng = random.Random(2)
    _, bins, _ = measure(drawn([rng.choice([0.0, 0.05, 0.5, 0.95, 1.0]) for _ in range(2000)], 3, rng))
    assert {b.earlier for b in bins} == {NEW, *BINS}
    for b in (b for b in bins if b.groups > 100):
        assert b.mixed <= gate_probability(b.success, 8) + 0.05
        assert b.variance <= expected_centered_energy(b.success, 8) + 0.01
    fresh = next(b for b in bins if b.earlier == NEW)
    assert fresh.mixed < gate_probability(fresh.success, 8) - 0.3


def test_only_earlier_visits_decide():
    entries = drawn([0.5] * 5, 2, random.Random(3))
    first, second = entries[:5], entries[5:]
    _, bins, _ = measure(first)
    assert [b.earlier for b in bins] == [NEW]
    # a visit's second group at the same level does not see its first
    twice = [Entry(e.step, e.uid, Visit(e.visit.prompt_id, (0,), e.visit.groups * 2, e.visit.decision)) for e in first]
    _, bins, _ = measure(twice)
    assert [(b.earlier, b.groups) for b in bins] == [(NEW, 10)]
    assert sum(b.groups for b in measure(first + second)[1] if b.earlier == NEW) == 5


def test_groups_of_another_size_are_counted():
    entries = drawn([0.5] * 5, 1, random.Random(4))
    odd = Group(0, entries[0].visit.groups[0].rollouts[:4])
    entries.append(Entry(1, "odd", Visit("odd", (0,), (odd,), entries[0].visit.decision)))
    size, bins, other = measure(entries)
    assert size == 8 and other == 1 and sum(b.groups for b in bins) == 5
    assert measure([]) == (0, [], 0)


def test_bins_and_intervals():
    names = [earlier_bin(k, 8) for k in range(9)]
    assert names == [BINS[0]] + [BINS[1]] * 2 + [BINS[2]] * 2 + [BINS[3]] * 2 + [BINS[4], BINS[5]]
    assert earlier_bin(0, 0) == NEW
    for k, n in ((0, 5), (3, 7), (50, 50)):
        low, high = wilson(k, n)
        assert 0 <= low <= k / n <= high <= 1 and high > low
    assert isinstance(measure(drawn([1.0], 1, random.Random(0)))[1][0], Bin)
