"""LUFFY's objective against numbers computed by hand."""

from types import SimpleNamespace

import pytest
import torch
from verl.trainer.ppo.core_algos import get_policy_loss_fn

from recipe.sage.algorithm import REFERENCE
from sage.method.advantage import group_advantages

ROLLOUT, REF = 0, 1
OLD = torch.tensor([[0.25, 0.5], [1.0, 1.0]]).log()
NEW = torch.tensor([[0.5, 0.05], [0.3, 0.9]])
MASK = torch.ones(2, 2)


def loss(new, advantages, mask=MASK, mode="token-mean", **info):
    old = OLD.clone()
    old[REF] = REFERENCE
    config = SimpleNamespace(global_batch_info=info)
    return get_policy_loss_fn("luffy")(old, new.log(), advantages, mask, mode, config)


def test_weights_of_rollouts_and_references():
    """pi/pi_old = 2 and 0.1 on the rollout, unclipped; f = 0.3/0.4 and 0.9/1.0 on the reference."""
    advantages = torch.tensor([[-0.125, -0.125], [0.875, 0.875]])
    value, metrics = loss(NEW, advantages)
    assert value.item() == pytest.approx((0.125 * 2 + 0.125 * 0.1 - 0.875 * 0.75 - 0.875 * 0.9) / 4)
    assert metrics["actor/luffy_reference_weight"] == pytest.approx((0.75 + 0.9) / 2)


def test_the_sum_is_divided_by_rows_and_a_constant():
    advantages = torch.tensor([[-0.5, -0.5], [0.5, 0.5]])
    value, _ = loss(
        NEW, advantages, mode="seq-mean-token-sum-norm", global_batch_size=8, loss_scale_factor=10, dp_size=1
    )
    assert value.item() == pytest.approx((0.5 * 2.1 - 0.5 * 1.65) / 8 / 10)


def test_the_gradient_of_a_reference_token_fades_as_it_becomes_likely():
    """d f / d log pi = 0.1 pi / (pi + 0.1)^2: 0.1875 at 0.3, 0.09 at 0.9."""
    logits = NEW.log().requires_grad_()
    old = OLD.clone()
    old[REF] = REFERENCE
    config = SimpleNamespace(global_batch_info={})
    advantages = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    get_policy_loss_fn("luffy")(old, logits, advantages, MASK, "token-mean", config)[0].backward()
    assert (-4 * logits.grad[REF]).tolist() == pytest.approx([0.1 * 0.3 / 0.16, 0.1 * 0.9 / 1.0])
    assert logits.grad[ROLLOUT].tolist() == [0.0, 0.0]


def test_the_reference_counts_in_the_mean_of_its_group():
    """G = 8, one reference with reward 1, no rollout correct: mean-centred advantages -1/8 and 7/8."""
    rewards = torch.tensor([0.0] * 7 + [1.0])
    assert group_advantages(rewards, ["u"] * 8, standardize=False).tolist() == [-0.125] * 7 + [0.875]
