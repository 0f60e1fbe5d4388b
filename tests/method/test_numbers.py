"""Gate, energy and advantages: the paper's formulas as properties."""

import itertools
import math
import random

import pytest
import torch

from sage.method.advantage import distilled_advantages, group_advantages, reliance_weight
from sage.method.gate import advantage_energy, expected_centered_energy, gate_probability


def test_gate_probability_is_that_of_a_mixed_group():
    for p, size in itertools.product((0.0, 0.1, 0.5, 0.9), (2, 4)):
        mixed = sum(
            p ** sum(draw) * (1 - p) ** (size - sum(draw))
            for draw in itertools.product((0, 1), repeat=size)
            if 0 < sum(draw) < size
        )
        assert gate_probability(p, size) == pytest.approx(mixed)


def test_gate_is_symmetric_concave_and_highest_at_one_half():
    values = [gate_probability(i / 20, 8) for i in range(21)]
    assert values == pytest.approx(values[::-1])
    assert max(values) == values[10]
    assert all(2 * b > a + c - 1e-12 for a, b, c in zip(values, values[1:], values[2:], strict=False))
    assert gate_probability(1e-4, 8) == pytest.approx(8e-4, rel=1e-2), "G p for small p"


def test_gate_rejects_nonsense():
    with pytest.raises(ValueError):
        gate_probability(1.5, 8)
    with pytest.raises(ValueError):
        expected_centered_energy(0.5, 0)


def test_energy_is_the_mean_square_of_the_advantages():
    rewards = [1.0, 0.0, 0.0, 1.0, 1.0]
    advantages = group_advantages(torch.tensor(rewards, dtype=torch.float64), [0] * 5)
    assert advantage_energy(rewards) == pytest.approx((advantages**2).mean().item())
    assert advantage_energy([1.0, 1.0]) == 0.0


def test_expected_centered_energy_by_enumeration():
    p, size, total = 0.3, 4, 0.0
    for draw in itertools.product((0.0, 1.0), repeat=size):
        probability = p ** sum(draw) * (1 - p) ** (size - sum(draw))
        total += probability * (group_advantages(torch.tensor(draw), [0] * size, standardize=False) ** 2).mean().item()
    assert total == pytest.approx(expected_centered_energy(p, size), abs=1e-6)


def test_advantages_use_the_population_std():
    advantages = group_advantages(torch.tensor([1.0, 0.0, 0.0, 0.0]), ["a"] * 4)
    std = (3 / 16) ** 0.5
    assert advantages.tolist() == pytest.approx([0.75 / std, -0.25 / std, -0.25 / std, -0.25 / std], rel=1e-4)


@pytest.mark.parametrize("standardize", [True, False])
def test_advantages_do_not_depend_on_row_order(standardize):
    rng = random.Random(0)
    uids = [f"u{i // 8}" for i in range(64)]
    rewards = [float(rng.random() < 0.4) for _ in uids]
    expected = group_advantages(torch.tensor(rewards), uids, standardize)
    order = rng.sample(range(64), 64)
    shuffled = group_advantages(torch.tensor([rewards[i] for i in order]), [uids[i] for i in order], standardize)
    assert torch.equal(shuffled, expected[order])


def test_a_group_of_equal_rewards_has_exactly_zero_advantage():
    rewards = torch.tensor([0.1] * 7 + [1.0, 0.0])
    assert group_advantages(rewards, ["dead"] * 7 + ["live"] * 2)[:7].tolist() == [0.0] * 7


def test_advantages_reject_other_lengths():
    with pytest.raises(ValueError, match="3 rewards but 2"):
        group_advantages(torch.zeros(3), [1, 2])


def test_a_success_counts_less_the_more_it_depends_on_its_hint():
    half = math.log(2)
    assert [reliance_weight(half, scale) for scale in (0, 1, 3)] == pytest.approx([1, 1 / 2, 1 / 8])
    assert reliance_weight(0.0, 3) == reliance_weight(-1.0, 3) == 1, "never more than in full"


def test_self_distillation_by_hand():
    """Two rows of two tokens, the second row without a teacher; the first row's last token is padding."""
    advantages = torch.tensor([[0.5, 0.0], [-1.0, -1.0]])
    old = torch.tensor([[0.5, 1.0], [0.25, 0.25]]).log()
    teacher = torch.tensor([[0.25, 1.0], [torch.nan, torch.nan]]).log()
    mask = torch.tensor([[True, False], [True, True]])
    new, gap, taught = distilled_advantages(advantages, old, teacher, mask, weight=2.0, reward_weight=0.5)
    two = torch.tensor(2.0).log().item()
    assert new.tolist() == [[pytest.approx(0.25 - 2 * two), 0.0], [-1.0, -1.0]]
    assert gap.tolist() == [[pytest.approx(-two), 0.0], [0.0, 0.0]]
    assert taught.tolist() == [[True, False], [False, False]]


def test_self_distillation_follows_the_gradient_of_the_divergence():
    """One token of three: the expected policy gradient is minus that of KL(student || teacher)."""
    logits = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64).log()
    student = logits.log_softmax(0)
    wanted = torch.autograd.grad((student.exp() * (student - teacher)).sum(), logits, retain_graph=True)[0]
    old = student.detach()
    mask = torch.ones(1, 3, dtype=torch.bool)
    new, _, _ = distilled_advantages(torch.ones(1, 3, dtype=torch.float64), old[None], teacher[None], mask, 1.0, 0.0)
    loss = -(old.exp() * (student - old).exp() * new[0]).sum()  # of the expectation over the sampled token
    assert torch.autograd.grad(loss, logits)[0].tolist() == pytest.approx(wanted.tolist())


def test_without_a_teacher_self_distillation_changes_nothing():
    advantages = torch.randn(3, 4)
    nan = torch.full((3, 4), torch.nan)
    new, _, _ = distilled_advantages(advantages, torch.zeros(3, 4), nan, torch.ones(3, 4).bool(), 1.0, 0.0)
    assert torch.equal(new, advantages)
