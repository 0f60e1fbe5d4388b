"""One visit of one prompt: Algorithm 1 of SAGE as a coroutine, free of any engine.

Visits of different prompts share nothing, so they run side by side without a barrier: while one prompt is at level 3
the others still generate, and hinting fills the idle tail of the batch.

A group fails only when its last rollout has failed, and until then the engine idles more and more. So the levels above
may be begun early (`sage.method.eagerness`): they are kept if the group fails after all, and stopped as soon as a late
rollout is correct. What is trained on is what Algorithm 1 trains on, from the same distribution, since no decision
depends on an early level and no early rollout on the late ones; only tokens are lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from sage.method.eagerness import Running, Worth, after_share
from sage.method.records import Action, Decision, Group, Hint, HintFailure, HintRequest, Place, Prompt, Rollout, Visit
from sage.method.schedule import Plan, Schedule

Payload = TypeVar("Payload")
Out = TypeVar("Out", covariant=True)
Row = asyncio.Task[tuple[Rollout, Payload]]
WAIT = after_share(1.0)
"""Begins no level early."""


class RollOut(Protocol[Out]):
    def __call__(self, hint: Hint | None, early: int) -> Sequence[asyncio.Task[tuple[Rollout, Out]]]:
        """Start the rollouts of a group on (prompt, hint).

        Args:
            hint: None at level 0.
            early: how many groups below have not ended yet; 0: this one is needed.

        Returns:
            One task a rollout, with its outcome and what the engine publishes of it.
        """


class Writer(Protocol):
    """Writes the hints of one visit (`sage.hints.writer.HintWriter`)."""

    @property
    def requests(self) -> Sequence[HintRequest]:
        """Every request so far."""

    async def write(self, level: int) -> Hint | HintFailure:
        """The hint of a level, or why there is none."""


@dataclass(eq=False)
class _Attempt(Generic[Payload]):
    """One level of a visit, from its beginning on."""

    level: int
    writing: asyncio.Task[Hint | HintFailure] | None
    """Writes its hint; None at level 0."""
    hint: Hint | None = None
    rows: list[Row[Payload]] = field(default_factory=list)
    """Its rollouts, once the hint is there."""
    begin: float = 0.0
    seconds: float | None = None
    """What the group took; None while it runs."""

    @property
    def tasks(self) -> list[asyncio.Task[Hint | HintFailure] | Row[Payload]]:
        """All that was started for it."""
        return [*([self.writing] if self.writing else []), *self.rows]

    @property
    def ended(self) -> bool:
        return all(task.done() for task in self.tasks)

    @property
    def outcomes(self) -> list[Rollout]:
        """The rollouts that have ended without an error."""
        return [row.result()[0] for row in self.rows if _succeeded(row)]

    @property
    def running(self) -> Running | None:
        """Its group, if it has begun and every rollout that has ended failed."""
        outcomes = self.outcomes
        broken = sum(row.done() for row in self.rows) > len(outcomes)
        if not self.rows or broken or any(rollout.correct for rollout in outcomes):
            return None
        return Running(self.level, len(outcomes), len(self.rows))

    @property
    def group(self) -> Group:
        """The group, when all its rollouts have ended; raises what one of them raised."""
        rollouts = tuple(row.result()[0] for row in self.rows)
        return Group(self.level, rollouts, self.hint.text if self.hint else None, self.seconds or 0.0)


def _succeeded(task: asyncio.Task[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


@dataclass
class _Levels(Generic[Payload]):
    schedule: Schedule
    plan: Plan
    writer: Writer
    roll_out: RollOut[Payload]
    worth: Worth
    ended: list[_Attempt[Payload]] = field(default_factory=list)
    """Levels whose group has ended, in order."""
    running: list[_Attempt[Payload]] = field(default_factory=list)
    """The level that is needed, then those that were begun early, in order."""
    failures: list[HintFailure] = field(default_factory=list)
    begun_early: int = 0
    abandoned_tokens: int = 0
    aborted_rollouts: int = 0

    async def run(self) -> tuple[Decision, list[Group], Sequence[Place]]:
        """Go through the levels; how the visit ended, its groups, and the rollouts to train on."""
        self._begin(self.plan[0])
        while (decision := await self._decide()).action in (Action.RAISE, Action.PLAIN):
            if self.running and self.running[0].level != decision.level:
                await self.abandon()  # the schedule saw more in the whole group than in its first failures
            if not self.running:
                self._begin(decision.level)
        await self.abandon()
        groups = [attempt.group for attempt in self.ended]
        return decision, groups, self.schedule.select(groups, decision)

    async def _decide(self) -> Decision:
        """Wait for the level that is needed; what to do after it."""
        attempt = await self._finish()
        hint = attempt.writing.result() if attempt.writing else None
        if not isinstance(hint, HintFailure):
            self.ended.append(attempt)
            return self.schedule.after_group(attempt.group, self.plan)
        self.failures.append(hint)
        last = self.ended[-1].group if self.ended else None
        decision = self.schedule.after_missing_hint(attempt.level, hint, last, self.plan)
        if decision.action is Action.PLAIN:
            self.plan = (0,)  # without hints from here on
        return decision

    async def _finish(self) -> _Attempt[Payload]:
        """Wait for the level that is needed, and meanwhile begin and stop those above it."""
        while True:
            await self._stop_levels()
            for attempt in self.running:
                self._advance(attempt)
            needed = self.running[0]
            if needed.ended:
                return self.running.pop(0)
            self._begin_levels()
            tasks = [task for attempt in self.running for task in attempt.tasks if not task.done()]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

    def _begin(self, level: int) -> None:
        """Begin a level, after those that run."""
        self.begun_early += bool(self.running)
        writing = asyncio.create_task(self.writer.write(level)) if level else None
        self.running.append(_Attempt(level, writing))
        self._advance(self.running[-1])

    def _advance(self, attempt: _Attempt[Payload]) -> None:
        """Start the rollouts for which all is there."""
        if not attempt.rows and (attempt.writing is None or _succeeded(attempt.writing)):
            hint = attempt.writing.result() if attempt.writing else None
            below = self.running[: self.running.index(attempt)]
            if isinstance(hint, HintFailure) or (below and self._worth(below, attempt.level) < 1):
                return
            attempt.hint, attempt.begin = hint, time.perf_counter()
            attempt.rows += self.roll_out(hint, len(below))
        if attempt.rows and attempt.ended and attempt.seconds is None:
            attempt.seconds = round(time.perf_counter() - attempt.begin, 4)

    async def _stop_levels(self) -> None:
        """Stop the levels above a group that will not fail."""
        for place, attempt in enumerate(self.running):
            if attempt.running is None:
                return await self.abandon(place + 1)

    def _begin_levels(self) -> None:
        """Begin the levels that are likely enough to be needed."""
        while True:
            last = self.running[-1]
            if not last.rows:
                return
            left = [Rollout(0.0, False, 0)] * (len(last.rows) - len(last.outcomes))
            decision = self.schedule.after_group(Group(last.level, (*last.outcomes, *left)), self.plan)
            if decision.action is not Action.RAISE or self._worth(self.running, decision.level) < 1 / len(last.rows):
                return
            self._begin(decision.level)

    def _worth(self, below: Sequence[_Attempt[Payload]], level: int) -> float:
        groups = [attempt.running for attempt in below]
        return 0.0 if None in groups else self.worth([group for group in groups if group], level)

    async def abandon(self, place: int = 0) -> None:
        """Stop the levels from a place on."""
        stopped, self.running = self.running[place:], self.running[:place]
        tasks = [task for attempt in stopped for task in attempt.tasks]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for attempt in stopped:
            self.abandoned_tokens += sum(rollout.tokens for rollout in attempt.outcomes)
            self.aborted_rollouts += sum(row.cancelled() for row in attempt.rows)


async def run_visit(
    prompt: Prompt, schedule: Schedule, plan: Plan, writer: Writer, roll_out: RollOut[Payload], worth: Worth = WAIT
) -> tuple[Visit, list[Payload]]:
    """Roll out a prompt, with stronger hints as the schedule asks, until a group is to be trained on.

    Args:
        schedule: decides after every group and every missing hint, and selects what is trained on.
        plan: levels to try, as the schedule planned before the visit.
        writer: writes this visit's hints.
        roll_out: starts the rollouts of a group; whatever they raise ends the visit, if the group is needed.
        worth: how likely a level is needed while the groups below it run; it begins early if that is likely enough
            (`sage.method.eagerness`). By default none does, and no token is lost.

    Returns:
        The visit and the payloads of the rows that are trained on (`Visit.rows`), the only ones to publish.
    """
    begin = time.perf_counter()
    levels = _Levels(schedule, plan, writer, roll_out, worth)
    try:
        decision, groups, rows = await levels.run()
    finally:
        await levels.abandon()
    visit = Visit(
        prompt.prompt_id,
        plan,
        tuple(groups),
        decision,
        tuple(writer.requests),
        tuple(levels.failures),
        begun_early=levels.begun_early,
        abandoned_tokens=levels.abandoned_tokens,
        aborted_rollouts=levels.aborted_rollouts,
        seconds=round(time.perf_counter() - begin, 4),
        rows=tuple(rows),
    )
    return visit, [levels.ended[number].rows[i].result()[1] for number, i in visit.rows]
