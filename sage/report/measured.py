"""Measured signal of groups beside what Eq. 7 and Eq. 17 expect, without a selection effect.

Sorting groups by their own success rate would decide what is to be measured: a group at 0 or 1 is never mixed, all
others always are. Here a group is sorted by what its prompt did at the same level in EARLIER visits, which is known
before the group is drawn. Whether it is drawn at all depends on the past and on the groups below it in the same visit,
not on its own rollouts. So within a bin the mean success rate and the fraction of mixed groups are both unbiased.

u(p) and p(1-p) are concave: where prompts within a bin differ, the measured points lie below the curve, never above it
but for chance. Groups of prompts without an earlier visit at the level are a bin of their own, with the widest spread.

Where groups of one level differ in size, they are cut to the rollouts that every one of them has, the first ones.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sage.report.history import Entry
from sage.support.intervals import wilson

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
    group_size: int
    """Rollouts of each that are counted: as many as the smallest group of the level has."""
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
    if rollouts == 0:
        return NEW
    if successes in (0, rollouts):
        return BINS[0 if successes == 0 else -1]
    return BINS[math.ceil(4 * successes / rollouts)]


def measure(entries: Iterable[Entry]) -> list[Bin]:
    """The non-empty bins of all levels, by level, of visits in the order of training."""
    sorted_groups: dict[int, dict[str, list[list[bool]]]] = defaultdict(lambda: defaultdict(list))
    past: dict[tuple[str, int], tuple[int, int]] = {}
    for entry in entries:
        seen: dict[tuple[str, int], tuple[int, int]] = {}
        for group in entry.visit.groups:
            key = (entry.visit.prompt_id, group.level)
            outcomes = [rollout.correct for rollout in group.rollouts if not rollout.reference]
            sorted_groups[group.level][earlier_bin(*past.get(key, (0, 0)))].append(outcomes)
            successes, rollouts = seen.get(key, past.get(key, (0, 0)))
            seen[key] = (successes + sum(outcomes), rollouts + len(outcomes))
        past.update(seen)
    bins = []
    for level, by_bin in sorted(sorted_groups.items()):
        size = min(len(outcomes) for groups in by_bin.values() for outcomes in groups)
        bins += [_bin(level, name, size, by_bin[name]) for name in (NEW, *BINS) if name in by_bin and size]
    return bins


def _bin(level: int, name: str, size: int, groups: Sequence[Sequence[bool]]) -> Bin:
    rates = [sum(outcomes[:size]) / size for outcomes in groups]
    mixed = sum(0 < rate < 1 for rate in rates)
    low, high = wilson(mixed, len(rates))
    return Bin(
        level=level,
        earlier=name,
        groups=len(groups),
        group_size=size,
        success=sum(rates) / len(rates),
        mixed=mixed / len(rates),
        variance=sum(rate * (1 - rate) for rate in rates) / len(rates),
        low=low,
        high=high,
    )
