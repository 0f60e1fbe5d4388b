"""The records that flow through one visit of a prompt.

    Prompt -> (Hint or HintFailure) -> Group of Rollouts -> Decision -> ... -> Visit

A visit is what happens to one prompt in one training step: Algorithm 1 of SAGE for that prompt. Everything here is
plain data without a tensor; token ids stay in the adapter.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Annotated

from annotated_types import Ge, Le, MinLen

from sage.support.documents import parse

Level = Annotated[int, Ge(0), Le(3)]
"""Of a hint; 0 is none."""


class _Name(str, Enum):
    __str__ = str.__str__


class HintFailure(_Name):
    """Why there is no usable hint."""

    NO_SOLUTION = "no_solution"
    """The dataset row has no reference solution; the gold answer never stands in for it."""
    SOLUTION_TOO_LONG = "solution_too_long"
    """Problem and solution leave no room for ``sage.hint_max_tokens`` in the model length."""
    NO_STEPS = "no_steps"
    """The reference solution has no first part of whole steps that could be shown (``sage.hint_source=prefix``)."""
    NOT_IN_FILE = "not_in_file"
    """The hint file has no hint of the wanted level for this prompt."""
    ENDPOINT = "endpoint"
    """The hint endpoint did not answer."""
    CUT = "cut"
    """The last answer reached ``sage.hint_max_tokens`` before a hint of the wanted level was finished."""
    PARSE = "parse"
    """No hint of the wanted level could be read from any answer."""
    LEAK = "leak"
    """Every hint that could be read states the final answer."""
    PROMPT_TOO_LONG = "prompt_too_long"
    """The prompt with the hint exceeds ``data.max_prompt_length``."""


PERMANENT_FAILURES = frozenset({HintFailure.NO_SOLUTION, HintFailure.SOLUTION_TOO_LONG, HintFailure.ENDPOINT})
"""Failures that no level and no retry can mend within a visit."""

LONGEST_ANSWER = 2000
"""Characters that are kept of an answer that gave no hint."""


class RequestOutcome(_Name):
    """How one hint request ended."""

    USED = "used"
    REDACTED = "redacted"
    CUT = "cut"
    """The token limit ended the answer before a hint of this level was finished."""
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
    """Roll out without a hint, because there was none."""
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


EARLY = 4
"""Added to the priority for each group that must fail; more than any level."""


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
    failing: tuple[tuple[float, ...], ...] = ()
    """For each level but the last: how likely its group fails once 0, 1, 2, .. of its rollouts have failed and none
    was correct (`sage.method.eagerness.Failures`)."""

    def priority(self, early: int = 0) -> int:
        """Of a request in an engine's queue, where lower ones are served first.

        Prompts that climbed far in their last visit come first, so that the longest chains do not begin last; what is
        begun before ``early`` groups below have ended comes after all that is needed.
        """
        return EARLY * early - self.last_level

    def to_json(self) -> str:
        """The form in which it travels: verl's queue stores it in asynchronous training, and knows no classes."""
        return json.dumps([self.levels, self.number, self.step, self.last_level, self.failing])

    @classmethod
    def from_json(cls, text: str) -> VisitPlan:
        """Inverse of `to_json`."""
        levels, number, step, last_level, failing = json.loads(text)
        return cls(tuple(levels), number, step, last_level, tuple(map(tuple, failing)))


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
    plain_logprob: float | None = None
    """The same of the prompt without the hint; None where it was not measured (``sage.measure_reliance``)."""
    grading_failure: str | None = None
    """Why it counts as wrong without a verdict: ``timeout``, ``crash``, or what a reward function of one's own says."""

    @property
    def reliance(self) -> float | None:
        """log pi(y | x, h) - log pi(y | x) of the response y, in nats a token; None where it was not measured.

        How much it depends on the hint h: near 0, the policy would say it without the hint as well (the measure of
        HiLL, arXiv 2604.00698).
        """
        if self.plain_logprob is None or self.logprob is None or not self.tokens:
            return None
        return (self.logprob - self.plain_logprob) / self.tokens


@dataclass(frozen=True)
class Group:
    """G rollouts of one prompt on one context."""

    level: Level
    rollouts: Annotated[tuple[Rollout, ...], MinLen(1)]
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

    level: Level
    outcome: RequestOutcome
    tokens: int
    seconds: float
    answer: str | None = None
    """What was answered, its first `LONGEST_ANSWER` characters, where it gave no hint of this level."""


@dataclass(frozen=True)
class Decision:
    """A schedule's answer: what to do, why, and at which level."""

    action: Action
    reason: Reason
    level: int


Place = tuple[int, int]
"""Where a rollout is in a visit: (number of the group, number of the rollout in it)."""


def whole_group(groups: Sequence[Group], level: int) -> tuple[Place, ...]:
    """All rollouts of the last group at a level."""
    number = max(i for i, group in enumerate(groups) if group.level == level)
    return tuple((number, i) for i in range(len(groups[number].rollouts)))


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
    """One entry for each level at which there was no hint."""
    dispatched: int | None = None
    """Step that dispatched it: in asynchronous training, an earlier one than the step that trains on it."""
    begun_early: int = 0
    """Levels that were begun before the group below had ended (``sage.patience``), needed or not."""
    abandoned_tokens: int = 0
    """Tokens of finished rollouts of such levels that were not needed."""
    aborted_rollouts: int = 0
    """Rollouts of these that were stopped while they ran."""

    seconds: float = 0.0
    """From its beginning to its end."""
    rows: tuple[Place, ...] = ()
    """The rollouts that are trained on, in the order of their rows (`Schedule.select`); left out, `whole_group` of the
    decision's level."""

    def __post_init__(self) -> None:
        if not self.rows and all(group.level != self.decision.level for group in self.groups):
            raise ValueError(f"no group has the level of the decision, {self.decision.level}")
        object.__setattr__(self, "rows", self.rows or whole_group(self.groups, self.decision.level))
        if not all(0 <= n < len(self.groups) and 0 <= i < len(self.groups[n].rollouts) for n, i in self.rows):
            raise ValueError("rows names rollouts that are not there")

    def age(self, step: int) -> int:
        """Steps between dispatch and training; 0 where the dispatch is not known."""
        return 0 if self.dispatched is None else step - self.dispatched

    @cached_property
    def accepted(self) -> Group:
        """What is trained on, as one group: all its rollouts, with level and hint of the last group that gives any."""
        last = self.groups[max(number for number, _ in self.rows)]
        rollouts = tuple(self.groups[number].rollouts[i] for number, i in self.rows)
        return last if rollouts == last.rollouts else replace(last, rollouts=rollouts)

    @cached_property
    def main(self) -> Group:
        """The group that most rows come from: the one whose tokens and seconds count as accepted."""
        ((number, _),) = Counter(number for number, _ in self.rows).most_common(1)
        return self.groups[number]

    @property
    def kinds(self) -> tuple[str, ...]:
        """What each row is: ``plain``, ``hinted`` or ``reference``."""

        def kind(group: Group, rollout: Rollout) -> str:
            return "reference" if rollout.reference else "plain" if group.hint is None else "hinted"

        return tuple(kind(self.groups[number], self.groups[number].rollouts[i]) for number, i in self.rows)

    def to_json(self) -> str:
        """One line of JSON, the format of the visit history."""
        data = asdict(self)
        for request in data["requests"]:
            if request["answer"] is None:
                del request["answer"]
        return json.dumps(data, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Visit:
        """Inverse of `to_json`; other keys of the line, such as the step, are ignored.

        Raises:
            ValueError: it is no visit.
        """
        visit: Visit = parse(cls, text.encode(), "a visit", "it was written by other code")
        return visit


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

    @property
    def ever_solved(self) -> bool:
        """Whether any rollout was ever correct, with a hint or without (Table 2)."""
        return any(self.successes)
