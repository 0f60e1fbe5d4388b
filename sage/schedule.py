"""Schedules: when a prompt gets a hint, and how strong (SAGE Algorithm 1, Eq. 12).

A schedule is a pure object: its answers depend on its arguments alone, so the same one drives the rollout worker, the
tests and a simulator. To add one, subclass `Schedule` and name it in `SCHEDULES`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from sage.records import PERMANENT_FAILURES, Action, Decision, Group, HintFailure, PromptState, Reason, Visit


@dataclass(frozen=True)
class Schedule(ABC):
    """Decides the hint level of one prompt, before, during and after a visit."""

    max_level: int
    """L, the strongest level."""
    alpha: float = 0.35
    """Success rate below which ``sage-light`` raises the level (Eq. 12)."""

    def start_level(self, state: PromptState | None) -> int:
        """Level of the first group of a visit; ``state`` is None at the first visit."""
        return 0

    @abstractmethod
    def after_group(self, group: Group) -> Decision:
        """What to do after a group has been rolled out and scored."""

    def after_missing_hint(self, level: int, failure: HintFailure, last: Group | None) -> Decision:
        """What to do when there is no hint of ``level``: try the next, else keep the last group, else go without."""
        if failure not in PERMANENT_FAILURES and last is not None and level < self.max_level:
            return Decision(Action.RAISE, Reason.HINT_MISSING, level + 1)
        if last is not None:
            return Decision(Action.GIVE_UP, Reason.HINT_MISSING, last.level)
        return Decision(Action.PLAIN, Reason.HINT_MISSING, 0)

    def next_level(self, state: PromptState | None, visit: Visit) -> int:
        """Level kept in the prompt's state after a visit."""
        return visit.accepted.level


@dataclass(frozen=True)
class Grpo(Schedule):
    """Never a hint: one group at level 0."""

    def after_group(self, group: Group) -> Decision:
        return Decision(Action.ACCEPT, Reason.SINGLE_GROUP, group.level)


@dataclass(frozen=True)
class Sage(Schedule):
    """Algorithm 1: start at level 0 and raise the level until a rollout is correct or L is reached."""

    def after_group(self, group: Group) -> Decision:
        if not group.all_fail:
            return Decision(Action.ACCEPT, Reason.SOLVED, group.level)
        if group.level >= self.max_level:
            return Decision(Action.GIVE_UP, Reason.TOP_LEVEL, group.level)
        return Decision(Action.RAISE, Reason.UNSOLVED, group.level + 1)


@dataclass(frozen=True)
class SageLight(Schedule):
    """Eq. 12: one group a visit; l(x) rises by one after a visit with a success rate below alpha, and never falls."""

    def start_level(self, state: PromptState | None) -> int:
        return 0 if state is None else min(state.level, self.max_level)

    def after_group(self, group: Group) -> Decision:
        return Decision(Action.ACCEPT, Reason.SINGLE_GROUP, group.level)

    def next_level(self, state: PromptState | None, visit: Visit) -> int:
        group = visit.accepted
        below = group.successes / len(group.rollouts) < self.alpha
        return min(self.start_level(state) + below, self.max_level)


SCHEDULES: dict[str, type[Schedule]] = {"grpo": Grpo, "sage": Sage, "sage-light": SageLight}
