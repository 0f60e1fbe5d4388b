"""One visit of one prompt: Algorithm 1 of SAGE as a coroutine, free of any engine.

Visits of different prompts share nothing, so they run side by side without a barrier: while one prompt is at level 3
the others still generate, and hinting fills the idle tail of the batch.

A group fails only when its last rollout has failed, and until then the engine idles more and more. So the next level
may be begun early (`run_visit`, ``patience``): it is kept if the group fails after all, and stopped as soon as a late
rollout is correct. What is trained on is what Algorithm 1 trains on, from the same distribution, since no decision
depends on the early level and no early rollout on the late ones; only tokens are lost.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, NamedTuple, Protocol, TypeVar

from sage.method.records import Action, Group, Hint, HintFailure, HintRequest, Prompt, Rollout, Visit
from sage.method.schedule import Plan, Schedule

Payload = TypeVar("Payload")
Row = asyncio.Task[tuple[Rollout, Payload]]


Rest = Callable[[], Sequence[Row[Payload]]] | None
RollOut = Callable[..., Sequence[Row[Payload]]]
"""``roll_out(hint)`` starts G rollouts on (prompt, hint), ``roll_out(hint, part)`` that slice of them; each gives its
outcome and what the engine publishes of it."""


class Writer(Protocol):
    """Writes the hints of one visit (`sage.hints.writer.HintWriter`)."""

    @property
    def requests(self) -> Sequence[HintRequest]:
        """Every request so far."""

    async def write(self, level: int) -> Hint | HintFailure:
        """The hint of a level, or why there is none."""


@dataclass(frozen=True)
class _Attempt(Generic[Payload]):
    """What came of one level."""

    result: Group | HintFailure
    payloads: Sequence[Payload] = ()
    ahead: _Ahead[Payload] | None = None
    rest: Rest[Payload] = None
    """Starts the rollouts that a failed probe left out (`Schedule.probe`)."""


class _Ahead(NamedTuple, Generic[Payload]):
    """The level that follows a group's failure, begun early."""

    level: int
    task: asyncio.Task[_Attempt[Payload]]


@dataclass
class _Climb(Generic[Payload]):
    """The levels of one visit."""

    schedule: Schedule
    writer: Writer
    roll_out: RollOut[Payload]
    patience: float
    begun_early: int = 0
    abandoned_tokens: int = 0
    aborted_rollouts: int = 0

    async def attempt(self, level: int, plan: Plan) -> _Attempt[Payload]:
        """Hint and group of a level; whatever a rollout raises is raised when all of them have settled."""
        hint = await self.writer.write(level) if level > 0 else None
        if isinstance(hint, HintFailure):
            return _Attempt(hint)
        begin = time.perf_counter()
        probe = self.schedule.probe(level, plan)
        rows = list(self.roll_out(hint) if probe is None else self.roll_out(hint, slice(probe)))
        rest: Rest[Payload] = None if probe is None else partial(self.roll_out, hint, slice(probe, None))
        try:
            ahead, rest = await self._watch(level, rows, plan, rest)
        except asyncio.CancelledError:
            await self._stop(rows)
            raise
        done = [row.result() for row in rows]
        seconds = round(time.perf_counter() - begin, 4)
        group = Group(level, tuple(rollout for rollout, _ in done), hint.text if hint else None, seconds)
        return _Attempt(group, [payload for _, payload in done], ahead, rest)

    async def _watch(
        self, level: int, rows: list[Row[Payload]], plan: Plan, rest: Rest[Payload]
    ) -> tuple[_Ahead[Payload] | None, Rest[Payload]]:
        """Wait for a group. Draw its rest when one of its rollouts is correct; begin the level after it once
        ``patience`` of it has failed, and nothing is correct."""
        ahead: _Ahead[Payload] | None = None
        pending, failed = set(rows), []
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                outcomes = [row.result()[0] for row in done if row.exception() is None]
                failed += [rollout for rollout in outcomes if not rollout.correct]
                hopeless = len(failed) == len(rows) - len(pending)
                if rest and any(rollout.correct for rollout in outcomes):
                    more = rest()
                    rows += more
                    pending |= set(more)
                    rest = None
                if ahead and not hopeless:
                    await self.abandon(ahead)
                    ahead = None
                if pending and hopeless and not ahead and len(failed) >= math.ceil(self.patience * len(rows)):
                    decision = self.schedule.after_group(Group(level, tuple(failed)), plan)
                    if decision.action is Action.RAISE:
                        ahead = _Ahead(decision.level, asyncio.create_task(self.attempt(decision.level, plan)))
                        self.begun_early += 1
        except asyncio.CancelledError:
            if ahead:
                await self.abandon(ahead)
            raise
        return ahead, rest

    async def _stop(self, rows: Sequence[Row[Payload]]) -> None:
        for row in rows:
            row.cancel()
        await asyncio.wait(rows)
        finished = [row.result()[0] for row in rows if not row.cancelled() and row.exception() is None]
        self.abandoned_tokens += sum(rollout.tokens for rollout in finished)
        self.aborted_rollouts += sum(row.cancelled() for row in rows)

    async def abandon(self, ahead: _Ahead[Payload]) -> None:
        """Stop a level that was begun early, and those begun after it."""
        ahead.task.cancel()
        await asyncio.wait([ahead.task])
        if ahead.task.cancelled() or ahead.task.exception():
            return
        attempt = ahead.task.result()
        if isinstance(attempt.result, Group):
            self.abandoned_tokens += attempt.result.tokens
        if attempt.ahead:
            await self.abandon(attempt.ahead)


async def run_visit(
    prompt: Prompt,
    schedule: Schedule,
    plan: Plan,
    writer: Writer,
    roll_out: RollOut[Payload],
    patience: float = 1.0,
) -> tuple[Visit, list[Payload]]:
    """Roll out a prompt, with stronger hints as the schedule asks, until a group is to be trained on.

    Args:
        prompt: the prompt.
        schedule: decides after every group and every missing hint.
        plan: levels to try, as the schedule planned before the visit.
        writer: writes this visit's hints.
        roll_out: starts one group; whatever its rollouts raise ends the visit.
        patience: part of a group that must have failed, and none succeeded, before the next level is begun; at 1 it
            is begun when the whole group has failed, and no token is lost.

    Returns:
        The visit and the payloads of the group that is trained on (`Visit.accepted`), the only ones to publish.
    """
    climb = _Climb(schedule, writer, roll_out, patience)
    level, left = plan[0], plan
    groups: list[Group] = []
    payloads: list[Sequence[Payload]] = []
    rests: list[Rest[Payload]] = []
    failures: list[HintFailure] = []
    ahead: _Ahead[Payload] | None = None
    while True:
        attempt = await (ahead.task if ahead else climb.attempt(level, left))
        ahead = attempt.ahead
        if isinstance(attempt.result, HintFailure):
            failures.append(attempt.result)
            decision = schedule.after_missing_hint(level, attempt.result, groups[-1] if groups else None, left)
            if decision.action is Action.PLAIN:
                left = (0,)  # without hints from here on
        else:
            groups.append(attempt.result)
            payloads.append(attempt.payloads)
            rests.append(attempt.rest)
            decision = schedule.after_group(groups[-1], left)
        if ahead and (decision.action is not Action.RAISE or decision.level != ahead.level):
            await climb.abandon(ahead)  # the schedule saw more in the whole group than in its first failures
            ahead = None
        if decision.action not in (Action.RAISE, Action.PLAIN):
            break
        level = decision.level
    visit = Visit(
        prompt.prompt_id,
        plan,
        tuple(groups),
        decision,
        tuple(writer.requests),
        tuple(failures),
        begun_early=climb.begun_early,
        abandoned_tokens=climb.abandoned_tokens,
        aborted_rollouts=climb.aborted_rollouts,
    )
    kept = visit.accepted_index
    if rest := rests[kept]:  # no hint could be had for the level after a failed probe
        rows = rest()
        await asyncio.wait(rows)
        groups[kept] = replace(groups[kept], rollouts=(*groups[kept].rollouts, *(row.result()[0] for row in rows)))
        payloads[kept] = [*payloads[kept], *(row.result()[1] for row in rows)]
        visit = replace(visit, groups=tuple(groups))
    published = list(payloads[kept])
    if decision.action is Action.SCAFFOLD:
        helped = next(i for i, r in enumerate(groups[kept].rollouts) if r.correct)
        published = [*payloads[0][:-1], published[helped]]
    return visit, published
