"""How likely a rollout of a prompt succeeds at each hint level, now: a filter over the outcomes of earlier visits.

The model is the one-parameter logistic of item-response theory: logit p(x, l) = level(l) + prompt(x). One number per
prompt carries what was seen at one level to the others, and the level terms, shared by all prompts, follow the policy:
they have learnt from hundreds of groups before a prompt is visited for the second time. Both are Gaussian and widen
with time (the policy moves), and each group of k successes in n rollouts updates them by Laplace's approximation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from sage.method.records import Group, Visit

LEVEL_START = (-2.0, 1.0)
"""Prior mean of the level terms: at level 0, and its rise with each level, in logits."""
LEVEL_VARIANCE, PROMPT_VARIANCE = 4.0, 6.0
"""Prior variances, in squared logits: prompts range from hopeless to trivial."""
LEVEL_DRIFT, PROMPT_DRIFT = 0.02, 0.01
"""Growth of the variances per training step."""
NODES = tuple(
    (x, math.exp(-x * x / 2) / sum(math.exp(-((k / 2) ** 2) / 2) for k in range(-5, 6)))
    for x in (k / 2 for k in range(-5, 6))
)
"""Standard-normal grid (value, weight) for expectations over a prompt's term."""


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


@dataclass(frozen=True)
class Forecast:
    """Success probabilities of one prompt at levels 0..L, in equally informative scenarios of its difficulty."""

    weights: tuple[float, ...]
    """Probability of each scenario; they sum to 1."""
    rates: tuple[tuple[float, ...], ...]
    """Success probability of one rollout: ``rates[scenario][level]``."""

    def mean(self, level: int) -> float:
        """Expected success probability at a level."""
        return sum(w * rates[level] for w, rates in zip(self.weights, self.rates, strict=True))


@dataclass
class Calibration:
    max_level: int
    levels: list[tuple[float, float]] = field(default_factory=list)
    """Mean and variance of each level's term, at ``step``."""
    step: int = 0
    prompts: dict[str, tuple[float, float, int]] = field(default_factory=dict)
    """Mean and variance of each visited prompt's term, at the step of its last visit (third entry)."""

    def __post_init__(self) -> None:
        start, rise = LEVEL_START
        self.levels = self.levels or [(start + rise * n, LEVEL_VARIANCE) for n in range(self.max_level + 1)]

    def _levels(self, step: int) -> list[tuple[float, float]]:
        drift = LEVEL_DRIFT * max(0, step - self.step)
        return [(mean, min(LEVEL_VARIANCE, variance + drift)) for mean, variance in self.levels]

    def _prompt(self, prompt_id: str, step: int) -> tuple[float, float]:
        mean, variance, seen = self.prompts.get(prompt_id, (0.0, PROMPT_VARIANCE, step))
        return mean, min(PROMPT_VARIANCE, variance + PROMPT_DRIFT * (step - seen))

    def forecast(self, prompt_id: str, step: int) -> Forecast:
        """Success probabilities of a prompt in a visit at ``step``."""
        mean, variance = self._prompt(prompt_id, step)
        spread = math.sqrt(variance)
        levels = self._levels(step)
        rates = []
        for x, _ in NODES:
            # The usual approximation of a logistic function's mean over a Gaussian; an uncertain level is drawn to 1/2.
            row = [_sigmoid((m + mean + spread * x) / math.sqrt(1 + math.pi * v / 8)) for m, v in levels]
            rates.append(tuple(itertools.accumulate(row, max)))  # a stronger hint is never worse
        return Forecast(tuple(weight for _, weight in NODES), tuple(rates))

    def update(self, visits: Iterable[Visit], step: int) -> None:
        """Enter the visits that one step trains on; their order means nothing. An older visit says less about now."""
        self.levels, self.step = self._levels(step), step
        for visit in sorted(visits, key=lambda v: v.prompt_id):
            self.prompts[visit.prompt_id] = (*self._prompt(visit.prompt_id, step), step)
            for group in visit.groups:
                self._observe(visit.prompt_id, group, visit.age(step))

    def _observe(self, prompt_id: str, group: Group, age: int) -> None:
        level_mean, level_variance = self.levels[group.level]
        mean, variance, step = self.prompts[prompt_id]
        prior, spread = level_mean + mean, level_variance + variance + (LEVEL_DRIFT + PROMPT_DRIFT) * age
        k, n = group.successes, len(group.rollouts)
        mode = prior
        for _ in range(20):  # Newton on a concave function, with bounded steps
            rate = _sigmoid(mode)
            gradient = k - n * rate - (mode - prior) / spread
            mode += max(-1.0, min(1.0, gradient / (n * rate * (1 - rate) + 1 / spread)))
        rate = _sigmoid(mode)
        left = 1 / (1 + spread * n * rate * (1 - rate))  # part of the variance that remains
        gain_level, gain = level_variance / spread, variance / spread
        self.levels[group.level] = (
            level_mean + gain_level * (mode - prior),
            level_variance * (1 - gain_level * (1 - left)),
        )
        self.prompts[prompt_id] = (mean + gain * (mode - prior), variance * (1 - gain * (1 - left)), step)
