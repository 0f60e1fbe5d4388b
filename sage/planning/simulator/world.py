"""A seeded batch: which prompts fail at which hint level, and how long every answer is.

All draws are hashes of what they belong to (visit, prompt, level, rollout), so every way of scheduling the batch sees
the same prompts, hints and outcomes, in whatever order it asks.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Lengths:
    """Lognormal lengths in tokens, cut off at a cap as `max_tokens` does."""

    median: float
    sigma: float
    """Standard deviation of the logarithm; 0 is a constant length, 1 a heavy tail."""
    cap: int

    def at(self, quantile: float) -> int:
        return max(1, min(self.cap, round(self.median * math.exp(self.sigma * _NORMAL.inv_cdf(quantile)))))


@dataclass(frozen=True)
class World:
    """One batch of prompts.

    Exactly ``round(collapse * prompts)`` of the prompts fail at level 0; of those that fail at a level, each is solved
    by the next one with probability ``rescue``. From its level on, a prompt's rollouts are correct with a probability
    that is uniform over the prompts, and one of a group always is. The latter is the prompt's own and stays in all
    visits; so does its level, but for the visits in which it is drawn anew (``steady``).
    """

    prompts: int
    group_size: int
    collapse: float
    """Part of the prompts whose whole group fails without a hint."""
    lengths: Lengths
    hint_lengths: Lengths
    """Of one hint request, which serves all levels (``sage.hint_request=json``)."""
    rescue: float = 0.5
    max_level: int = 3
    prompt_tokens: int = 128
    solution_tokens: int = 512
    """Added to the prompt in a hint request."""
    hint_tokens: int = 64
    """Added to the prompt by a hint."""
    steady: float = 1.0
    """Probability that a prompt's level in a visit is its usual one, and not drawn anew: how well the last visit
    foretells the next one."""
    seed: int = 0
    visit: int = 0

    def __post_init__(self) -> None:
        shares = {name: getattr(self, name) for name in ("collapse", "rescue", "steady")}
        if not all(0 <= share <= 1 for share in shares.values()):
            raise ValueError(f"{', '.join(f'{n}={v}' for n, v in shares.items())} must lie in [0, 1]")

    @cached_property
    def solved_from(self) -> tuple[int, ...]:
        """For each prompt the lowest level that solves it; ``max_level + 1``: none does."""
        drawn: list[tuple[object, ...]] = [(prompt,) for prompt in range(self.prompts)]
        for prompt in range(self.prompts):
            if self._uniform("steady", self.visit, prompt) >= self.steady:
                drawn[prompt] = (prompt, self.visit)
        order = sorted(range(self.prompts), key=lambda p: self._uniform("order", *drawn[p]))
        levels = [0] * self.prompts
        for prompt in order[: round(self.collapse * self.prompts)]:
            levels[prompt] = 1
            while (
                levels[prompt] <= self.max_level
                and self._uniform("rescue", *drawn[prompt], levels[prompt]) >= self.rescue
            ):
                levels[prompt] += 1
        return tuple(levels)

    def _uniform(self, *key: object) -> float:
        """A number in (0, 1) that belongs to the key."""
        digest = hashlib.blake2b(repr((self.seed, *key)).encode(), digest_size=6).digest()
        return (int.from_bytes(digest, "big") + 0.5) / 2**48

    def correct(self, prompt: int, level: int, rollout: int) -> bool:
        if level < self.solved_from[prompt]:
            return False
        sure = int(self._uniform("sure", self.visit, prompt, level) * self.group_size)
        rate = self._uniform("rate", prompt, level)
        return rollout == sure or self._uniform("correct", self.visit, prompt, level, rollout) < rate

    def tokens(self, prompt: int, level: int, rollout: int) -> int:
        return self.lengths.at(self._uniform("tokens", self.visit, prompt, level, rollout))

    def hint_request_tokens(self, prompt: int) -> int:
        return self.hint_lengths.at(self._uniform("hint", self.visit, prompt))

    def context(self, level: int) -> int:
        """Prompt tokens of a rollout."""
        return self.prompt_tokens + (self.hint_tokens if level else 0)
