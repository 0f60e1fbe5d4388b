"""95% intervals: Student's t for a mean over seeds, Wilson's for a proportion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

T_975 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""97.5% quantiles of Student's t for 1, 2, .. degrees of freedom; beyond, its expansion for large ones."""


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds, with half the width of its 95% t interval from two seeds on."""

    mean: float
    half_width: float | None
    seeds: int


def estimate(values: Sequence[float]) -> Estimate | None:
    """Mean and interval over seeds; None without values."""
    if not values:
        return None
    if len(values) == 1:
        return Estimate(values[0], None, 1)
    freedom = len(values) - 1
    t = T_975[freedom - 1] if freedom <= len(T_975) else 1.96 + 2.372 / freedom + 2.82 / freedom**2
    return Estimate(fmean(values), t * stdev(values) / math.sqrt(len(values)), len(values))


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval for a proportion, n at least 1."""
    p, w = successes / n, z * z / n
    centre, half = p + w / 2, z * math.sqrt(p * (1 - p) / n + w / (4 * n))
    return max(0.0, (centre - half) / (1 + w)), min(1.0, (centre + half) / (1 + w))
