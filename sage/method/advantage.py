"""Group advantages (SAGE Eq. 2), joined by uid, and what self-distillation adds to them.

Shape suffixes: N rollouts, in any order; T tokens.
"""

from __future__ import annotations

import math
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


def reliance_weight(reliance: float, scale: float) -> float:
    """Weight of a success by how much it depends on its hint: exp(-scale max(0, reliance)), between 0 and 1.

    Args:
        reliance: log pi(y | x, h) - log pi(y | x), in nats a token (HiLL, arXiv 2604.00698).
        scale: 0 counts every success in full.
    """
    return math.exp(-scale * max(0.0, reliance))


def distilled_advantages(
    advantages_NT: torch.Tensor,
    old_NT: torch.Tensor,
    teacher_NT: torch.Tensor,
    mask_NT: torch.Tensor,
    weight: float,
    reward_weight: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Self-distillation (OPSD, arXiv 2601.18734): the policy that has seen the reference solution s teaches itself.

    A token's advantage A becomes ``reward_weight`` A + ``weight`` (log pi(token | x, s) - log pi_old(token | x)). With
    ``reward_weight`` 0 the first update follows the gradient of KL(pi(. | x) || pi(. | x, s)) by the sampled tokens.

    Args:
        advantages_NT: (N, T).
        old_NT: log pi_old(token | x), in nats, (N, T).
        teacher_NT: log pi(token | x, s), in nats; NaN on rows without a teacher, which keep A alone, (N, T).
        mask_NT: which tokens count, boolean, (N, T).
        weight: of self-distillation.
        reward_weight: of A on rows with a teacher.

    Returns:
        The advantages; the difference of the log-probs, 0 without a teacher; which tokens have one. All (N, T).
    """
    taught_NT = mask_NT & ~teacher_NT.isnan()
    gap_NT = torch.where(taught_NT, teacher_NT - old_NT, 0.0)
    scale_NT = torch.where(taught_NT, reward_weight, 1.0)
    return scale_NT * advantages_NT + weight * gap_NT, gap_NT, taught_NT
