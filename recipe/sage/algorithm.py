"""The advantage estimator ``sage``: verl's interface to `sage.advantage.group_advantages`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from verl.trainer.ppo.core_algos import register_adv_est

from sage.advantage import group_advantages


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
