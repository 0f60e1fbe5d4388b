"""The records that flow through one visit of a prompt.

    Prompt -> (Hint or HintFailure) -> Group of Rollouts -> Decision -> ... -> Visit

A visit is what happens to one prompt in one training step: Algorithm 1 of SAGE for that prompt. Everything here is
plain data without a tensor; token ids stay in the adapter.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
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
    NOT_IN_FILE = "not_in_file"
    """The hint file has no hint of the wanted level for this prompt."""
    ENDPOINT = "endpoint"
    """The hint endpoint did not answer."""
    PARSE = "parse"
    """No hint of the wanted level could be read from any answer."""
    LEAK = "leak"
    """Every hint that could be read states the final answer."""
    PROMPT_TOO_LONG = "prompt_too_long"
    """The prompt with the hint exceeds ``data.max_prompt_length``."""


PERMANENT_FAILURES = frozenset({HintFailure.NO_SOLUTION, HintFailure.SOLUTION_TOO_LONG, HintFailure.ENDPOINT})
"""Failures that no level and no retry can mend within a visit."""


class RequestOutcome(_Name):
    """How one hint request ended."""

    USED = "used"
    REDACTED = "redacted"
    PARSE = "parse"
    LEAK = "leak"
    PROMPT_TOO_LONG = "prompt_too_long"
    ABORTED = "aborted"
    """Of a level that was begun early and turned out not to be needed."""


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
    SCAFFOLD = "scaffold"
    """Publish the group without hints, its last rollout replaced by the first correct one of the hinted group."""


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
class Skip:
    """A dispatched prompt that has no group in the batch."""

    reason: SkipReason
    error: str
    """What was raised, in one line."""


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
class VisitPlan:
    """What the driver tells a rollout worker about a visit."""

    levels: tuple[int, ...]
    """Hint levels to try, in order; 0 is no hint."""
    number: int
    """How often the prompt was visited before."""
    step: int = 0
    """Training step that dispatches the visit."""
    last_level: int = 0
    """Level kept from the last visit (`Schedule.next_level`), 0 before the first."""

    @property
    def priority(self) -> int:
        """Of the visit's requests in an engine's queue, where lower ones are served first.

        Prompts that climbed far in their last visit come first, so that the longest chains do not begin last.
        """
        return -self.last_level

    def to_json(self) -> str:
        """The form in which it travels: verl's queue stores it in asynchronous training, and knows no classes."""
        return json.dumps([self.levels, self.number, self.step, self.last_level])

    @classmethod
    def from_json(cls, text: str) -> VisitPlan:
        """Inverse of `to_json`."""
        levels, *rest = json.loads(text)
        return cls(tuple(levels), *rest)


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
    reference: bool = False
    """The reference solution in place of a rollout (LUFFY); not generated, so not counted as tokens."""
    logprob: float | None = None
    """Log-probability that the engine gave the whole response, in nats; None where it gave none."""


@dataclass(frozen=True)
class Group:
    """G rollouts of one prompt on one context."""

    level: int
    rollouts: tuple[Rollout, ...]
    hint: str | None = None
    seconds: float = 0.0

    @property
    def successes(self) -> int:
        """Correct rollouts of the policy."""
        return sum(r.correct and not r.reference for r in self.rollouts)

    @property
    def all_fail(self) -> bool:
        return self.successes == 0

    @property
    def all_correct(self) -> bool:
        return all(r.correct for r in self.rollouts)

    @property
    def accuracy(self) -> float:
        """Success rate of the policy's rollouts."""
        return self.successes / max(1, sum(not r.reference for r in self.rollouts))

    @property
    def dead(self) -> bool:
        """Whether all rewards are equal, so that every advantage is zero."""
        return len({r.reward for r in self.rollouts}) == 1

    @property
    def tokens(self) -> int:
        """Generated tokens."""
        return sum(r.tokens for r in self.rollouts if not r.reference)


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
    """All that happened to one prompt in one step."""

    prompt_id: str
    plan: tuple[int, ...]
    """Hint levels that the schedule meant to try, in order."""
    groups: tuple[Group, ...]
    decision: Decision
    requests: tuple[HintRequest, ...] = ()
    failures: tuple[HintFailure, ...] = ()
    """One entry for each level at which no hint could be had."""
    dispatched: int | None = None
    """Step that dispatched it: in asynchronous training, an earlier one than the step that trains on it."""
    begun_early: int = 0
    """Levels that were begun before the group below had ended (``sage.patience``), needed or not."""
    abandoned_tokens: int = 0
    """Tokens of finished rollouts of such levels that were not needed."""
    aborted_rollouts: int = 0
    """Rollouts of these that were stopped while they ran."""

    def age(self, step: int) -> int:
        """Steps between dispatch and training; 0 where the dispatch is not known."""
        return 0 if self.dispatched is None else step - self.dispatched

    @property
    def kept(self) -> Group:
        """The group whose tokens count as accepted in ``sage/tokens/*``: with `Action.SCAFFOLD`, the plain one."""
        return self.groups[0 if self.decision.action is Action.SCAFFOLD else self.accepted_index]

    @property
    def accepted(self) -> Group:
        """The group that is trained on: the decision's, or for `Action.SCAFFOLD` the first one with one replacement."""
        group = self.groups[self.accepted_index]
        if self.decision.action is not Action.SCAFFOLD:
            return group
        helped = next(r for r in group.rollouts if r.correct)
        return replace(group, rollouts=(*self.groups[0].rollouts[:-1], helped))

    def row_kind(self, index: int) -> str:
        """What the row ``index`` of the group that is trained on is: ``plain``, ``hinted`` or ``reference``."""
        group = self.groups[self.accepted_index]
        if self.decision.action is Action.SCAFFOLD:
            return "hinted" if index == len(self.groups[0].rollouts) - 1 else "plain"
        if group.rollouts[index].reference:
            return "reference"
        return "plain" if group.hint is None else "hinted"

    @property
    def accepted_index(self) -> int:
        """Place of the decision's group among the groups."""
        return max(i for i, group in enumerate(self.groups) if group.level == self.decision.level)

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
            plan=tuple(data["plan"]),
            groups=tuple(
                Group(**{**g, "rollouts": tuple(Rollout(**r) for r in g["rollouts"])}) for g in data["groups"]
            ),
            decision=Decision(Action(decision["action"]), Reason(decision["reason"]), decision["level"]),
            requests=tuple(HintRequest(**{**r, "outcome": RequestOutcome(r["outcome"])}) for r in data["requests"]),
            failures=tuple(HintFailure(f) for f in data["failures"]),
            dispatched=data.get("dispatched"),
            begun_early=data.get("begun_early", 0),
            abandoned_tokens=data.get("abandoned_tokens", 0),
            aborted_rollouts=data.get("aborted_rollouts", 0),
        )


@dataclass(frozen=True)
class PromptState:
    """What is remembered of a prompt between its visits."""

    level: int
    """What the schedule keeps (`Schedule.next_level`): the next visit's level, or the level trained on last."""
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

    @property
    def ever_solved_plain(self) -> bool:
        """Whether any rollout without a hint was ever correct."""
        return self.successes[0] > 0
