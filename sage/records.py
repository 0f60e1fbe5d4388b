"""The records that flow through one visit of a prompt.

    Prompt -> (Hint or HintFailure) -> Group of Rollouts -> Decision -> ... -> Visit

A visit is what happens to one prompt in one training step: Algorithm 1 of SAGE for that prompt. Everything here is
plain data without a tensor; token ids stay in the adapter.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class _Name(str, Enum):
    __str__ = str.__str__


class HintFailure(_Name):
    """Why there is no usable hint."""

    NO_SOLUTION = "no_solution"
    """The dataset row has no reference solution; the gold answer never stands in for it."""
    SOLUTION_TOO_LONG = "solution_too_long"
    """Problem and solution leave no room for ``sage.hint_max_tokens`` in the model length."""
    PARSE = "parse"
    """No hint of the wanted level could be read from any answer."""
    LEAK = "leak"
    """Every hint that could be read states the final answer."""
    PROMPT_TOO_LONG = "prompt_too_long"
    """The prompt with the hint exceeds ``data.max_prompt_length``."""


PERMANENT_FAILURES = frozenset({HintFailure.NO_SOLUTION, HintFailure.SOLUTION_TOO_LONG})
"""Failures that no level and no retry can mend within a visit."""


class RequestOutcome(_Name):
    """How one hint request ended."""

    USED = "used"
    REDACTED = "redacted"
    PARSE = "parse"
    LEAK = "leak"
    PROMPT_TOO_LONG = "prompt_too_long"


class Action(_Name):
    """What a schedule does next in a visit."""

    ACCEPT = "accept"
    """Train on the last group."""
    RAISE = "raise"
    """Go on at a higher level."""
    PLAIN = "plain"
    """Roll out without a hint, because none could be had."""
    GIVE_UP = "give_up"
    """Publish the last group although no rollout is correct."""


class Reason(_Name):
    """Why a schedule decided so."""

    SOLVED = "solved"
    SINGLE_GROUP = "single_group"
    UNSOLVED = "unsolved"
    TOP_LEVEL = "top_level"
    HINT_MISSING = "hint_missing"


class SkipReason(_Name):
    """Why a dispatched prompt has no group in the batch."""

    VERIFIER_ERROR = "verifier_error"
    """The reward function raised for one of its rollouts."""
    ROLLOUT_ERROR = "rollout_error"
    """Generation failed."""


@dataclass(frozen=True)
class Prompt:
    """One row of the training set."""

    prompt_id: str
    problem: str
    answer: str
    """The gold answer: for the verifier and the leak guard only."""
    solution: str | None
    """The reference solution tau*: for hint requests only."""


@dataclass(frozen=True)
class Hint:
    """A usable hint h ~ q(. | x, tau*, level)."""

    level: int
    text: str


@dataclass(frozen=True)
class Rollout:
    """Outcome of one rollout."""

    reward: float
    """What the advantage is computed from."""
    correct: bool
    """The verifier's accuracy, which alone decides "solved"."""
    tokens: int


@dataclass(frozen=True)
class Group:
    """G rollouts of one prompt on one context."""

    level: int
    rollouts: tuple[Rollout, ...]
    hint: str | None = None
    seconds: float = 0.0

    @property
    def successes(self) -> int:
        return sum(r.correct for r in self.rollouts)

    @property
    def all_fail(self) -> bool:
        return self.successes == 0

    @property
    def all_correct(self) -> bool:
        return self.successes == len(self.rollouts)

    @property
    def tokens(self) -> int:
        return sum(r.tokens for r in self.rollouts)


@dataclass(frozen=True)
class HintRequest:
    """One request to a hint writer."""

    level: int
    outcome: RequestOutcome
    tokens: int
    seconds: float


@dataclass(frozen=True)
class Decision:
    """A schedule's answer: what to do, why, and at which level."""

    action: Action
    reason: Reason
    level: int


@dataclass(frozen=True)
class Visit:
    """All that happened to one prompt in one step; the last group is the one trained on."""

    prompt_id: str
    start_level: int
    groups: tuple[Group, ...]
    decision: Decision
    requests: tuple[HintRequest, ...] = ()
    failures: tuple[HintFailure, ...] = ()
    """One entry for each level at which no hint could be had."""

    @property
    def accepted(self) -> Group:
        return self.groups[-1]

    def to_json(self) -> str:
        """One line of JSON, the format of the visit history."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Visit:
        """Inverse of `to_json`; other keys of the line, such as the step, are ignored."""
        data: dict[str, Any] = json.loads(text)
        decision = data["decision"]
        return cls(
            prompt_id=data["prompt_id"],
            start_level=data["start_level"],
            groups=tuple(
                Group(**{**g, "rollouts": tuple(Rollout(**r) for r in g["rollouts"])}) for g in data["groups"]
            ),
            decision=Decision(Action(decision["action"]), Reason(decision["reason"]), decision["level"]),
            requests=tuple(HintRequest(**{**r, "outcome": RequestOutcome(r["outcome"])}) for r in data["requests"]),
            failures=tuple(HintFailure(f) for f in data["failures"]),
        )


@dataclass(frozen=True)
class PromptState:
    """What is remembered of a prompt between its visits."""

    level: int
    """Level of the next visit for a schedule that keeps one (``sage-light``); level trained on last for the others."""
    visits: int
    rollouts: tuple[int, ...]
    """Rollouts so far at each level 0..L, discarded groups included."""
    successes: tuple[int, ...]
    """Correct rollouts so far at each level 0..L."""
    last_hint: str | None = field(default=None)

    @property
    def ever_solved(self) -> bool:
        """Whether any rollout was ever correct, with a hint or without (Table 2)."""
        return any(self.successes)
