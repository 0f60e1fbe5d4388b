"""Group advantages (SAGE Eq. 2), joined by uid.

Shape suffix: N rollouts, in any order.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch


def group_advantages(
    rewards_N: torch.Tensor, uids_N: Sequence[Hashable], standardize: bool = True, eps: float = 1e-6
) -> torch.Tensor:
    """Advantage of every rollout within its group.

    Args:
        rewards_N: outcome reward of each rollout, (N,).
        uids_N: group of each rollout; the order of rollouts means nothing.
        standardize: divide by the population std plus eps (Eq. 2); otherwise only the mean is taken off (Dr. GRPO).
        eps: added to the std.

    Returns:
        Advantages, (N,), in the dtype of the rewards. Zero in a group whose rewards are all equal.

    Raises:
        ValueError: the lengths differ.
    """
    if len(uids_N) != len(rewards_N):
        raise ValueError(f"{len(rewards_N)} rewards but {len(uids_N)} group ids")
    groups = {uid: i for i, uid in enumerate(dict.fromkeys(uids_N))}
    group_N = torch.tensor([groups[uid] for uid in uids_N], device=rewards_N.device, dtype=torch.long)
    rewards = rewards_N.double()
    zeros = rewards.new_zeros(len(groups))
    size = zeros.index_add(0, group_N, torch.ones_like(rewards))
    mean = zeros.index_add(0, group_N, rewards) / size
    centered_N = rewards - mean[group_N]
    if standardize:
        std = (zeros.index_add(0, group_N, centered_N**2) / size).sqrt()
        centered_N = centered_N / (std + eps)[group_N]
    equal = zeros.new_full((len(groups),), -torch.inf).scatter_reduce(0, group_N, rewards, "amax") == zeros.new_full(
        (len(groups),), torch.inf
    ).scatter_reduce(0, group_N, rewards, "amin")
    return centered_N.masked_fill(equal[group_N], 0.0).to(rewards_N.dtype)
