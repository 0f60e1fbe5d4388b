"""Measured signal of groups beside what Eq. 7 and Eq. 17 expect, without a selection effect.

Sorting groups by their own success rate would decide what is to be measured: a group at 0 or 1 is never mixed, all
others always are. Here a group is sorted by what its prompt did at the same level in EARLIER visits, which is known
before the group is drawn. Whether it is drawn at all depends on the past and on the groups below it in the same visit,
not on its own rollouts. So within a bin the mean success rate and the fraction of mixed groups are both unbiased.

u(p) and p(1-p) are concave: where prompts within a bin differ, the measured points lie below the curve, never above it
but for chance. Groups of prompts without an earlier visit at the level are a bin of their own, with the widest spread.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sage.records import Group
from sage.report.history import Entry

NEW = "no earlier visit"
BINS = ("0", "0 to ¼", "¼ to ½", "½ to ¾", "¾ to 1", "1")
"""Bins of the earlier success rate; the ends are open but for 0 and 1, and inner edges belong to the lower bin."""


@dataclass(frozen=True)
class Bin:
    """Groups of one level whose prompts had about the same success rate in earlier visits."""

    level: int
    earlier: str
    """One of `BINS` or `NEW`."""
    groups: int
    success: float
    """Mean success rate of these groups."""
    mixed: float
    """Fraction of them with both correct and incorrect rollouts."""
    variance: float
    """Mean population variance of correctness: the measured side of Eq. 17."""
    low: float
    high: float
    """95% Wilson interval of ``mixed``."""


def earlier_bin(successes: int, rollouts: int) -> str:
    """The bin of a success rate."""
    if rollouts == 0:
        return NEW
    if successes in (0, rollouts):
        return BINS[0 if successes == 0 else -1]
    return BINS[math.ceil(4 * successes / rollouts)]


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval for a proportion, n at least 1."""
    p, w = successes / n, z * z / n
    centre, half = p + w / 2, z * math.sqrt(p * (1 - p) / n + w / (4 * n))
    return max(0.0, (centre - half) / (1 + w)), min(1.0, (centre + half) / (1 + w))


def rollouts_of(group: Group) -> int:
    """Rollouts of the policy, without a reference."""
    return sum(not r.reference for r in group.rollouts)


def measure(entries: Iterable[Entry]) -> tuple[int, list[Bin], int]:
    """Bins of all levels.

    Args:
        entries: visits in the order of training.

    Returns:
        The commonest group size G; its non-empty bins by level; how many groups of another size were left out.
    """
    sorted_groups: dict[tuple[int, str], list[Group]] = defaultdict(list)
    past: dict[tuple[str, int], tuple[int, int]] = {}
    sizes: Counter[int] = Counter()
    for entry in entries:
        seen: dict[tuple[str, int], tuple[int, int]] = {}
        for group in entry.visit.groups:
            key = (entry.visit.prompt_id, group.level)
            successes, rollouts = past.get(key, (0, 0))
            sorted_groups[group.level, earlier_bin(successes, rollouts)].append(group)
            sizes[rollouts_of(group)] += 1
            more = seen.get(key, (successes, rollouts))
            seen[key] = (more[0] + group.successes, more[1] + rollouts_of(group))
        past.update(seen)
    if not sizes:
        return 0, [], 0
    size = sizes.most_common(1)[0][0]
    bins = []
    for level in sorted({level for level, _ in sorted_groups}):
        for name in (NEW, *BINS):
            groups = [g for g in sorted_groups[level, name] if rollouts_of(g) == size]
            if groups:
                bins.append(_bin(level, name, groups))
    return size, bins, sum(sizes.values()) - sizes[size]


def _bin(level: int, name: str, groups: Sequence[Group]) -> Bin:
    rates = [g.accuracy for g in groups]
    mixed = sum(0 < rate < 1 for rate in rates)
    return Bin(
        level=level,
        earlier=name,
        groups=len(groups),
        success=sum(rates) / len(rates),
        mixed=mixed / len(rates),
        variance=sum(rate * (1 - rate) for rate in rates) / len(rates),
        low=wilson(mixed, len(rates))[0],
        high=wilson(mixed, len(rates))[1],
    )
