"""Schedules: which hint levels a visit of a prompt tries, in which order, and what is trained on.

A schedule is a pure object: its answers depend on its arguments alone, so the same one drives the rollout worker, the
tests and a simulator. To add one, subclass `Schedule` and name it in `SCHEDULES`, or put ``package.module:Class`` into
``sage.schedule``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from sage.method.calibration import Forecast
from sage.method.records import (
    PERMANENT_FAILURES,
    Action,
    Decision,
    Group,
    HintFailure,
    Place,
    PromptState,
    Reason,
    Visit,
    whole_group,
)
from sage.support.plugins import load_object

Plan = tuple[int, ...]
"""Hint levels in the order in which a visit tries them, rising; 0 is no hint."""


@dataclass(frozen=True)
class Outlook:
    """What a schedule may know before a visit besides the prompt's state."""

    progress: float = 0.0
    """Part of the training steps that is done, in [0, 1)."""
    forecast: Forecast | None = None
    """The prompt's success probabilities; only for schedules that ask for it (`Schedule.forecasts`)."""
    draw: float = 0.0
    """Uniform in [0, 1), fixed by prompt and number of the visit, so that a resumed run draws the same."""


@dataclass(frozen=True)
class Schedule(ABC):
    """Decides the hint levels of one prompt, before, during and after a visit."""

    max_level: int = 3
    """L, the strongest level."""
    group_size: int = 8
    """G."""
    alpha: float = 0.35
    """Success rate below which ``sage-light`` raises the level (Eq. 12)."""

    uses_hints: ClassVar[bool] = True
    forecasts: ClassVar[bool] = False
    """Whether `plan` is given a forecast of the prompt's success probabilities."""
    references: ClassVar[int] = 0
    """How many rollouts of a group are replaced by the reference solution (LUFFY)."""
    scaffolds: ClassVar[bool] = False
    """Whether a hinted success replaces one rollout of the group without hints, instead of the whole group."""

    @abstractmethod
    def plan(self, state: PromptState | None, outlook: Outlook) -> Plan:
        """Levels of a visit, before it; ``state`` is None at the first one."""

    def after_group(self, group: Group, plan: Plan) -> Decision:
        """What to do after a group has been rolled out and scored: the next level of the plan if none is correct."""
        if len(plan) == 1:
            return Decision(Action.ACCEPT, Reason.SINGLE_GROUP, group.level)
        if not group.all_fail:
            action = Action.SCAFFOLD if self.scaffolds and group.hint is not None else Action.ACCEPT
            return Decision(action, Reason.SOLVED, group.level)
        if (level := _next(plan, group.level)) is None:
            return Decision(Action.GIVE_UP, Reason.TOP_LEVEL, 0 if self.scaffolds else group.level)
        return Decision(Action.RAISE, Reason.UNSOLVED, level)

    def after_missing_hint(self, level: int, failure: HintFailure, last: Group | None, plan: Plan) -> Decision:
        """What to do when there is no hint of ``level``: try the next, else keep the last group, else go without."""
        if failure not in PERMANENT_FAILURES and (higher := _next(plan, level)) is not None:
            return Decision(Action.RAISE, Reason.HINT_MISSING, higher)
        if last is not None:
            return Decision(Action.GIVE_UP, Reason.HINT_MISSING, 0 if self.scaffolds else last.level)
        return Decision(Action.PLAIN, Reason.HINT_MISSING, 0)

    def select(self, groups: Sequence[Group], decision: Decision) -> tuple[Place, ...]:
        """The rollouts to train on once a visit has ended with ``decision``, in the order of their rows."""
        return whole_group(groups, decision.level)

    def rollouts(self, level: int) -> int:
        """How many rollouts are drawn at a level."""
        return self.group_size - self.references

    def next_level(self, state: PromptState | None, visit: Visit) -> int:
        """Level kept in the prompt's state after a visit."""
        return visit.accepted.level


def _next(plan: Plan, level: int) -> int | None:
    return next((n for n in plan if n > level), None)


@dataclass(frozen=True)
class Grpo(Schedule):
    """Never a hint: one group at level 0."""

    uses_hints: ClassVar[bool] = False

    def plan(self, state: PromptState | None, outlook: Outlook) -> Plan:
        return (0,)


@dataclass(frozen=True)
class Fixed(Schedule):
    """One group at the same level in every visit (Fig. 3, Table C.1)."""

    level: int = 1

    def plan(self, state: PromptState | None, outlook: Outlook) -> Plan:
        return (self.level,)


@dataclass(frozen=True)
class Sage(Schedule):
    """Algorithm 1: every visit starts at level 0 and raises it until a rollout is correct or L is reached."""

    def plan(self, state: PromptState | None, outlook: Outlook) -> Plan:
        return tuple(range(self.max_level + 1))


@dataclass(frozen=True)
class SageFromLast(Schedule):
    """Algorithm 1 from the level at which the prompt's last visit ended, as Eq. 13 can be read; it never comes down."""

    def plan(self, state: PromptState | None, outlook: Outlook) -> Plan:
        return tuple(range(state.level if state else 0, self.max_level + 1))

    def next_level(self, state: PromptState | None, visit: Visit) -> int:
        return max(visit.accepted.level, state.level if state else 0)


@dataclass(frozen=True)
class SageLight(Schedule):
    """Eq. 12: one group a visit; l(x) rises by one after a visit with a success rate below alpha, and never falls."""

    def plan(self, state: PromptState | None, outlook: Outlook) -> Plan:
        return (min(state.level, self.max_level) if state else 0,)

    def next_level(self, state: PromptState | None, visit: Visit) -> int:
        level = min(state.level if state else 0, self.max_level)
        return max(0, min(level + self.step(visit.accepted.accuracy), self.max_level))

    def step(self, rate: float) -> int:
        """Change of the level after a visit with this success rate."""
        return int(rate < self.alpha)


@dataclass(frozen=True)
class SageLightReleased(SageLight):
    """The variant of the paper's released code: raises at a success rate of at most 0.1, lowers above alpha."""

    def step(self, rate: float) -> int:
        return 1 if rate <= 0.1 else -int(rate > self.alpha)


@dataclass(frozen=True)
class SageCalibrated(Schedule):
    """Algorithm 1 without the groups that a forecast says would fail: near SAGE's signal at much less of its cost.

    Like `Sage` it wants the lowest level at which a rollout is correct (Prop. 3.3: no more hint than needed), but a
    level below L is tried only if the chance of a success there, given that the levels tried before it fail, is at
    least ``threshold``. With 0 it is `Sage`. A prompt comes back to level 0 as the forecast there rises, or as it grows
    uncertain because nothing was seen for long.
    """

    threshold: float = 0.35
    forecasts: ClassVar[bool] = True

    def plan(self, state: PromptState | None, outlook: Outlook) -> Plan:
        assert outlook.forecast is not None
        levels = []
        weights = list(outlook.forecast.weights)  # of the scenarios, together with the failures so far
        for level in range(self.max_level):
            failures = [(1.0 - rates[level]) ** self.group_size for rates in outlook.forecast.rates]
            failed = [weight * failure for weight, failure in zip(weights, failures, strict=True)]
            if sum(failed) <= (1.0 - self.threshold) * sum(weights):
                levels.append(level)
                weights = failed
        return (*levels, self.max_level)


@dataclass(frozen=True)
class Luffy(Grpo):
    """LUFFY (arXiv 2504.14945): the reference solution takes the place of one rollout of the group; never a hint."""

    references: ClassVar[int] = 1


@dataclass(frozen=True)
class ScafGrpo(Schedule):
    """Scaf-GRPO (arXiv 2510.19807): after a phase without guidance, hints rise until one rollout is correct.

    That rollout, trained on its hinted prompt, replaces one of the failed rollouts without a hint.
    """

    exempt: float = 0.15
    """Part of the training steps without guidance (Section 3.2 there)."""
    tries: int = 4
    """Rollouts at each level; the paper draws one for each of the four hints of a tier."""
    scaffolds: ClassVar[bool] = True

    def plan(self, state: PromptState | None, outlook: Outlook) -> Plan:
        return (0,) if outlook.progress < self.exempt else tuple(range(self.max_level + 1))

    def rollouts(self, level: int) -> int:
        return self.tries if level else self.group_size

    def select(self, groups: Sequence[Group], decision: Decision) -> tuple[Place, ...]:
        rows = super().select(groups, decision)
        if decision.action is not Action.SCAFFOLD:
            return rows
        helped = next((number, i) for number, i in rows if groups[number].rollouts[i].correct)
        return (*whole_group(groups[:1], 0)[:-1], helped)


@dataclass(frozen=True)
class Nurl(Schedule):
    """NuRL (arXiv 2509.25666): of a prompt that fails without a hint, one plain rollout and G - 1 hinted ones.

    Advantages are over the whole mixed group. A hinted group that fails too is trained on likewise, without a signal.
    """

    level: int = 1
    plain: int = 1
    """Rollouts of the failed group that stay."""

    def plan(self, state: PromptState | None, outlook: Outlook) -> Plan:
        return 0, self.level

    def rollouts(self, level: int) -> int:
        return self.group_size - self.plain if level else self.group_size

    def select(self, groups: Sequence[Group], decision: Decision) -> tuple[Place, ...]:
        rows = super().select(groups, decision)
        return rows if decision.level == 0 else (*whole_group(groups, 0)[: self.plain], *rows)


@dataclass(frozen=True)
class Bha(Fixed):
    """BHA (arXiv 2604.07747): a hint at every visit at first, dropped with a probability that grows to 1 at the end."""

    def plan(self, state: PromptState | None, outlook: Outlook) -> Plan:
        return (0,) if outlook.draw < outlook.progress else (self.level,)


@dataclass(frozen=True)
class Pope(Sage):
    """POPE (arXiv 2601.18779): prompts that fail without a hint are trained on with and without one of level 1.

    A visit is without hints with probability ``plain``, drawn anew for each; else a failed group is followed by a
    hinted one, which takes its place.
    """

    plain: float = 0.5

    def plan(self, state: PromptState | None, outlook: Outlook) -> Plan:
        return (0,) if outlook.draw < self.plain else (0, 1)


@dataclass(frozen=True)
class Questa(Schedule):
    """QuestA (arXiv 2507.13266): every visit at level 2 in the first half of the steps, at level 1 in the second."""

    def plan(self, state: PromptState | None, outlook: Outlook) -> Plan:
        return (min(self.max_level, 2 if outlook.progress < 0.5 else 1),)


@dataclass(frozen=True)
class AdaPrefix(Schedule):
    """AdaPrefix-GRPO (arXiv 2607.07674): one group, at the level whose forecast success rate is nearest to 1/2.

    As the policy improves the level falls, to 0 in the end. Of two that are equally near the lower one is taken.
    """

    forecasts: ClassVar[bool] = True

    def plan(self, state: PromptState | None, outlook: Outlook) -> Plan:
        forecast = outlook.forecast
        assert forecast is not None
        return (min(range(self.max_level + 1), key=lambda level: abs(forecast.mean(level) - 0.5)),)


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "grpo": Grpo,
    "fixed-1": partial(Fixed, level=1),
    "fixed-2": partial(Fixed, level=2),
    "fixed-3": partial(Fixed, level=3),
    "sage": Sage,
    "sage-from-last": SageFromLast,
    "sage-light": SageLight,
    "sage-light-released": SageLightReleased,
    "sage-calibrated": SageCalibrated,
    "luffy": Luffy,
    "scaf-grpo": ScafGrpo,
    "nurl": Nurl,
    "bha": Bha,
    "pope": Pope,
    "questa": Questa,
    "adaprefix": AdaPrefix,
}


def load_schedule(spec: str) -> Callable[..., Schedule]:
    """A schedule's factory by its name, or by ``package.module:Class`` or ``path/to/file.py:Class``.

    Raises:
        ValueError: there is no such schedule.
    """
    if ":" not in spec:
        if spec not in SCHEDULES:
            raise ValueError(f"must be one of {', '.join(SCHEDULES)}, package.module:Class or path/to/file.py:Class")
        return SCHEDULES[spec]
    found = load_object(spec)
    if not (isinstance(found, type) and issubclass(found, Schedule)):
        raise ValueError("is not a subclass of sage.method.schedule.Schedule")
    return found
