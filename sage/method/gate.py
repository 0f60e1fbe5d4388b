"""The gate of GRPO: when a group carries any signal, and how much (SAGE Section 3)."""

from __future__ import annotations

from collections.abc import Sequence


def gate_probability(p: float, group_size: int) -> float:
    """Probability that a group is mixed, u(p) = 1 - (1-p)^G - p^G (SAGE Eq. 7).

    Args:
        p: success probability of one rollout, in [0, 1].
        group_size: G, at least 1.

    Raises:
        ValueError: p outside [0, 1] or G below 1.
    """
    if not 0.0 <= p <= 1.0 or group_size < 1:
        raise ValueError(f"p={p} must be in [0, 1] and group_size={group_size} at least 1")
    return 1.0 - (1.0 - p) ** group_size - p**group_size


def advantage_energy(rewards: Sequence[float], eps: float = 1e-6) -> float:
    """Mean squared standardised advantage of a group, s^2 / (s + eps)^2 in [0, 1) (SAGE Eq. 6)."""
    mean = sum(rewards) / len(rewards)
    std = (sum((r - mean) ** 2 for r in rewards) / len(rewards)) ** 0.5
    return (std / (std + eps)) ** 2


def expected_centered_energy(p: float, group_size: int) -> float:
    """Expected mean squared mean-centred advantage, (G-1)/G * p (1-p) (SAGE Eq. 17)."""
    if not 0.0 <= p <= 1.0 or group_size < 1:
        raise ValueError(f"p={p} must be in [0, 1] and group_size={group_size} at least 1")
    return (group_size - 1) / group_size * p * (1.0 - p)
