"""How a claim is judged: paired differences over seeds, an interval, four verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sage.support.intervals import Estimate, estimate

Record = Mapping[str, Any]
"""The record of one run (`sage.toy.embedded.store`)."""
Runs = Mapping[str, Mapping[int, Record]]
"""Records by method and seed."""
Measure = Callable[[Record], float]

SUPPORTED, NOT_SUPPORTED, INCONCLUSIVE, MISSING = "supported", "not supported", "inconclusive", "runs missing"
EQUAL = "equal"
"""Where a claim says that one is better: the whole interval is so near to 0 that any difference is small."""


@dataclass(frozen=True)
class Part:
    """One inequality of a claim: the mean of ``what`` is above the threshold, or within it of 0."""

    what: str
    threshold: float
    values: Mapping[int, float]
    """By seed."""
    missing: tuple[str, ...] = ()
    """Methods without runs that can be compared."""
    within: bool = False
    """Whether the mean is to lie between minus and plus the threshold."""
    small: float | None = None
    """Two methods are equal when the interval of their difference lies within this of 0; None: not judged."""

    @property
    def estimate(self) -> Estimate | None:
        return estimate(list(self.values.values()))

    @property
    def verdict(self) -> str:
        """Supported if the whole 95% interval is where the claim puts the mean, not supported if none of it is.

        Equal, where this is judged, if it is not where the claim puts it and every value in it is small.
        """
        found = self.estimate
        if found is None:
            return MISSING
        if found.half_width is None:
            return INCONCLUSIVE
        low, high = found.mean - found.half_width, found.mean + found.half_width
        above, below = (-self.threshold, self.threshold) if self.within else (self.threshold, math.inf)
        if above < low and high < below:
            return SUPPORTED
        if self.small is not None and -self.small < low and high < self.small:
            return EQUAL
        return NOT_SUPPORTED if high < above or below < low else INCONCLUSIVE

    def __str__(self) -> str:
        found = self.estimate
        if found is None:
            return f"{self.what}: no runs of {', '.join(self.missing) or 'the same seed'}"
        width = "" if found.half_width is None else f" ±{found.half_width:.3f}"
        bound = f", to be above {self.threshold:g}" if self.threshold else ""
        if self.within:
            bound = f", to be within {self.threshold:g} of 0"
        equal = f", equal within {self.small:g}" if self.verdict == EQUAL else ""
        return f"{self.what}: {found.mean:.3f}{width} (n = {found.seeds}){bound}{equal}"


@dataclass(frozen=True)
class Claim:
    """A claim with its parts, which must all hold."""

    name: str
    text: str
    where: str
    """In the paper."""
    parts: Sequence[Part]
    note: str = ""

    @property
    def verdict(self) -> str:
        """The worst of the parts: one that does not hold decides, then a missing, an open and an equal one."""
        verdicts = [part.verdict for part in self.parts]
        return next((v for v in (NOT_SUPPORTED, MISSING, INCONCLUSIVE, EQUAL) if v in verdicts), SUPPORTED)


def difference(
    runs: Runs, what: str, above: str, below: str, measure: Measure, threshold: float = 0.0, small: float | None = None
) -> Part:
    """Paired differences of a measure, ``above`` minus ``below``, over the seeds that both have."""
    found = compare(runs, what, (above, below), lambda a, b: measure(a) - measure(b), threshold)
    return replace(found, small=small)


def compare(
    runs: Runs, what: str, methods: Sequence[str], combine: Callable[..., float], threshold: float = 0.0
) -> Part:
    """A number from the records of several methods, for each seed that all of them have."""
    have = [runs.get(method, {}) for method in methods]
    seeds = sorted(set.intersection(*map(set, have)))
    missing = tuple(method for method, records in zip(methods, have, strict=True) if not records)
    return Part(what, threshold, {seed: combine(*(records[seed] for records in have)) for seed in seeds}, missing)
