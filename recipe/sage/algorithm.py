"""What is registered with verl: advantage estimator ``sage``, policy loss ``luffy``, our adapter of the engine.

verl imports this module in its workers because ``actor_rollout_ref.model.external_lib`` names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import transfer_queue as tq
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.core_algos import agg_loss, register_adv_est, register_policy_loss
from verl.utils.torch_functional import masked_mean
from verl.workers.rollout.base import _ROLLOUT_REGISTRY

from recipe.sage.channel import put_rows, real_keys
from sage.method.advantage import distilled_advantages, group_advantages, reliance_weight
from sage.method.records import Rollout, Visit

_ROLLOUT_REGISTRY["vllm", "async"] = "recipe.sage.weight_sync.SageServerAdapter"

REFERENCE = 1.0
"""Stands for the old log-probs of a reference solution's tokens; no real log-prob is positive."""
SHAPING = 0.1
"""gamma in LUFFY's f(x) = x / (x + gamma)."""


@register_adv_est("sage")
def sage_advantage(
    token_level_rewards: torch.Tensor, response_mask: torch.Tensor, index: Sequence[str], config: Any = None, **_: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Group advantages with the population std (SAGE Eq. 2), the same for every token of a rollout.

    Args:
        token_level_rewards: (rows, tokens), summed to the outcome reward.
        response_mask: (rows, tokens).
        index: uid of each row; rows of one uid form a group, whatever their order.
        config: verl's ``algorithm`` block; ``norm_adv_by_std_in_grpo=False`` only takes off the mean (Dr. GRPO).

    Returns:
        Advantages and returns (equal), both (rows, tokens).
    """
    standardize = True if config is None else config.get("norm_adv_by_std_in_grpo", True)
    advantages = group_advantages(token_level_rewards.sum(-1), list(index), standardize)
    expanded = advantages.unsqueeze(-1) * response_mask
    return expanded, expanded


def _rollouts(batch: KVBatchMeta, visits: Mapping[str, Visit]) -> dict[str, Rollout]:
    """The rollouts of a batch's rows, by key."""
    keys = set(batch.keys)
    found = {f"{uid}_{i}_0": r for uid, visit in visits.items() for i, r in enumerate(visit.accepted.rollouts)}
    return {key: found[key] for key in sorted(keys & found.keys())}


def mark_references(batch: KVBatchMeta, visits: Mapping[str, Visit]) -> None:
    """Write `REFERENCE` as the old log-probs of the rows that hold a reference solution, for `luffy_loss`."""
    keys = [key for key, rollout in _rollouts(batch, visits).items() if rollout.reference]
    if not keys:
        return
    lengths = dict(zip(batch.keys, (tag["response_len"] for tag in batch.tags), strict=True))
    marks = [torch.full((lengths[key],), REFERENCE) for key in keys]
    put_rows(batch, keys, old_log_probs=marks)


def weigh_reliance(batch: KVBatchMeta, visits: Mapping[str, Visit], scale: float) -> dict[str, float]:
    """Multiply the advantages of correct hinted rollouts by `reliance_weight`; the others stay as they are.

    Args:
        batch: rows with ``advantages``, (tokens,).
        visits: by uid; rollouts whose reliance was not measured count in full.
        scale: ``sage.reliance_scale``.

    Returns:
        The mean weight as a metric; empty where no row has one.
    """
    weights = {
        key: reliance_weight(reliance, scale)
        for key, rollout in _rollouts(batch, visits).items()
        if (reliance := rollout.reliance) is not None
    }
    if not weights:
        return {}
    keys = list(weights)
    data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=["advantages"])
    rows = data["advantages"].unbind()
    put_rows(batch, keys, advantages=[row * weights[key] for key, row in zip(keys, rows, strict=True)])
    return {"sage/reliance/weight": sum(weights.values()) / len(weights)}


def add_distillation(batch: KVBatchMeta, weight: float, reward_weight: float) -> dict[str, float]:
    """Put `distilled_advantages` in the place of a batch's advantages.

    Args:
        batch: rows with ``advantages``, ``old_log_probs`` and ``teacher_log_probs`` (NaN: no teacher), each (tokens,).
        weight: of self-distillation.
        reward_weight: of the advantages.

    Returns:
        Metrics: the rows that have a teacher, and the KL estimate over their tokens, in nats a token.
    """
    keys = real_keys(batch)
    fields = ["advantages", "old_log_probs", "teacher_log_probs", "response_mask"]
    data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=fields)
    advantages, old, teacher, mask = (data[name].to_padded_tensor(0) for name in fields)
    distilled, gap, taught = distilled_advantages(advantages, old, teacher, mask.bool(), weight, reward_weight)
    lengths = data["advantages"].offsets().diff().tolist()
    put_rows(batch, keys, advantages=[row[:length] for row, length in zip(distilled, lengths, strict=True)])
    return {
        "sage/distillation/rows": float(taught.any(-1).sum()),
        "sage/distillation/kl": float(-gap.sum() / taught.sum().clamp(min=1)),
    }


@register_policy_loss("luffy")
def luffy_loss(
    old_log_prob: torch.Tensor,
    log_prob: torch.Tensor,
    advantages: torch.Tensor,
    response_mask: torch.Tensor,
    loss_agg_mode: str = "token-mean",
    config: Any = None,
    rollout_is_weights: torch.Tensor | None = None,
) -> tuple[torch.Tensor, dict[str, Any]]:
    """Mixed-policy objective of LUFFY (arXiv 2504.14945, Eq. 6, Section 3.1, Appendix E); nothing is clipped.

    A rollout's token is weighted by pi/pi_old, a token of the reference by f(pi) = pi / (pi + 0.1), since the policy
    that wrote it is taken to have had probability 1.

    Args:
        old_log_prob: (rows, tokens); `REFERENCE` on reference rows.
        log_prob: (rows, tokens), of the current policy.
        advantages: (rows, tokens).
        response_mask: (rows, tokens).
        loss_agg_mode: verl's ``loss_agg_mode``.
        config: verl's actor configuration.
        rollout_is_weights: not supported.

    Returns:
        The loss, and as a metric the mean weight of reference tokens in this micro-batch, 0 where it has none; verl
        averages it over micro-batches.
    """
    assert rollout_is_weights is None, "algorithm.rollout_correction does not go with the luffy loss"
    reference = old_log_prob > 0
    probability = log_prob.exp()
    shaped = probability / (probability + SHAPING)
    ratio = (log_prob - old_log_prob).clamp(-20.0, 20.0).exp()
    losses = -advantages * torch.where(reference, shaped, ratio)
    loss = agg_loss(loss_mat=losses, loss_mask=response_mask, loss_agg_mode=loss_agg_mode, **config.global_batch_info)
    mask = response_mask * reference
    return loss, {"actor/luffy_reference_weight": masked_mean(shaped, mask).detach().item()}
