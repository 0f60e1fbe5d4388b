"""When the next level of a visit begins: before the group below it has failed, if it is likely enough to fail.

A group fails only when its last rollout has failed, and until then the engines idle more and more. What is known
earlier is how the prompt's last visit ended and how many rollouts of the group have failed so far. `Failures` counts
how often groups failed then, `when_likely` begins a level once it is needed with at least a given probability.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import comb
from typing import Literal, NamedTuple

from sage.method.records import Group, PromptState, VisitPlan

PRICE = 0.15
"""A level begins when the odds of being needed, times the probability of then going to the top, are at least this;
chosen by simulation (docs/performance.md)."""


class Running(NamedTuple):
    """A group that has not ended, none of whose rollouts so far is correct."""

    level: int
    failed: int
    """Rollouts that have failed."""
    size: int
    """Rollouts in all."""


Worth = Callable[[Sequence[Running], int], float]
"""``worth(groups, level)`` of beginning a level while all groups below it run, lowest first: its rollouts begin from 1
on, its hint, one sequence instead of a group, is asked for from 1 / G on."""


def after_share(share: float) -> Worth:
    """Infinite when this share of each group has failed, else 0; a share of 1 waits for whole groups."""

    def worth(groups: Sequence[Running], level: int) -> float:
        return math.inf if all(group.failed >= math.ceil(share * group.size) for group in groups) else 0.0

    return worth


def learned(failing: Mapping[int, Sequence[float]]) -> Worth:
    """From what was learned of groups like these.

    Args:
        failing: by level, the probability that its group fails once 0, 1, 2, .. of its rollouts have failed and none
            was correct (`Failures.chances`); a level that is left out never fails before its end.
    """

    def one(group: Running) -> float:
        if group.failed == group.size:
            return 1.0
        return failing[group.level][group.failed] if group.level in failing else 0.0

    def worth(groups: Sequence[Running], level: int) -> float:
        needed = math.prod(map(one, groups))
        top = math.prod(chances[0] for later, chances in failing.items() if later >= level)
        return needed * top / (1 - needed) / PRICE if needed < 1 else math.inf

    return worth


Patience = float | Literal["auto"]
"""``sage.patience``: a share for `after_share`, or `learned`."""


def make_worth(patience: Patience, plan: VisitPlan) -> Worth:
    """What decides when the levels of a visit begin."""
    if patience != "auto":
        return after_share(patience)
    return learned(dict(zip(plan.levels, plan.failing, strict=False)))


class Past(str, Enum):
    """How the prompt's last visit ended, seen from a level."""

    FIRST = "first"
    """There was none."""
    ABOVE = "above"
    """At a higher level: this one failed, or was passed over."""
    SAME = "same"
    BELOW = "below"

    @classmethod
    def of(cls, state: PromptState | None, level: int) -> Past:
        """From the prompt's state before a visit."""
        if state is None:
            return cls.FIRST
        return cls.SAME if state.level == level else cls.ABOVE if state.level > level else cls.BELOW


PRIOR = {Past.FIRST: 0.5, Past.ABOVE: 0.8, Past.SAME: 0.15, Past.BELOW: 0.15}
"""Frequency of failing before any group was seen; in a group that does not fail, every number of successes is equally
likely."""
PRIOR_GROUPS = 8.0
"""Groups that the prior counts for."""
MEMORY = 50
"""Steps after which a group counts for 1 / e: the policy moves."""


@dataclass
class Count:
    """Groups of one level and past; the later ones count more."""

    begun: list[float]
    """By m: groups of whose rollouts the first m failed, in the mean over all orders in which the rollouts can end."""
    failed: float
    """Groups that failed."""

    @classmethod
    def prior(cls, rate: float, size: int) -> Count:
        """`PRIOR_GROUPS` groups of which a part, ``rate``, fails."""
        solved = PRIOR_GROUPS * (1 - rate) / size
        first = [sum(solved * _all_fail(k, m, size) for k in range(1, size + 1)) for m in range(size + 1)]
        return cls([PRIOR_GROUPS * rate + groups for groups in first], PRIOR_GROUPS * rate)

    def add(self, successes: int, size: int) -> None:
        for m in range(len(self.begun)):
            self.begun[m] += _all_fail(successes, m, size)
        self.failed += successes == 0


def _all_fail(successes: int, m: int, size: int) -> float:
    """Probability that m rollouts, drawn from a group of ``size``, are all failures."""
    return comb(size - successes, m) / comb(size, m) if m <= size else float(successes == 0)


@dataclass
class Failures:
    """How often groups fail, by level and `Past`, learned from the visits of a run."""

    size: int
    """Most rollouts of a group."""
    counts: dict[tuple[int, Past], Count] = field(default_factory=dict)
    """What was seen, without the prior."""
    _known: dict[tuple[int, Past], tuple[float, ...]] = field(default_factory=dict)

    def chances(self, state: PromptState | None, levels: Iterable[int]) -> tuple[tuple[float, ...], ...]:
        """For each level: how likely its group fails once 0, 1, .. ``size`` of its rollouts have failed."""
        return tuple(self._chances(level, Past.of(state, level)) for level in levels)

    def _chances(self, level: int, past: Past) -> tuple[float, ...]:
        key = level, past
        if key not in self._known:
            prior, seen = Count.prior(PRIOR[past], self.size), self.counts.get(key)
            begun = [a + b for a, b in zip(prior.begun, seen.begun, strict=True)] if seen else prior.begun
            failed = prior.failed + (seen.failed if seen else 0.0)
            self._known[key] = tuple(round(failed / groups, 3) for groups in begun)
        return self._known[key]

    def update(self, groups: Iterable[tuple[PromptState | None, Group]]) -> None:
        """Enter a step's groups, each with the state of its prompt before the visit."""
        self._known.clear()
        fade = math.exp(-1 / MEMORY)
        for count in self.counts.values():
            count.begun = [fade * groups for groups in count.begun]
            count.failed *= fade
        for state, group in groups:
            key = group.level, Past.of(state, group.level)
            count = self.counts.setdefault(key, Count([0.0] * (self.size + 1), 0.0))
            count.add(group.successes, sum(not rollout.reference for rollout in group.rollouts))

    def to_list(self) -> list[object]:
        """The counts, as JSON values."""
        return [[level, past.value, count.begun, count.failed] for (level, past), count in self.counts.items()]

    def restore(self, values: Iterable[tuple[int, str, list[float], float]]) -> None:
        """Inverse of `to_list`."""
        self._known.clear()
        self.counts = {(level, Past(past)): Count(begun, failed) for level, past, begun, failed in values}
