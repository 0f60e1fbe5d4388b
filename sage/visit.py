"""One visit of one prompt: Algorithm 1 of SAGE as a coroutine, free of any engine.

Visits of different prompts share nothing, so they run side by side without a barrier: while one prompt is at level 3
the others still generate, and hinting fills the idle tail of the batch.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from sage.hinting import HintWriter
from sage.records import Action, Group, Hint, HintFailure, Prompt, Rollout, Visit
from sage.schedule import Plan, Schedule

Payload = TypeVar("Payload")
RollOut = Callable[[Hint | None], Awaitable[tuple[tuple[Rollout, ...], Sequence[Payload]]]]
"""``await roll_out(hint)``: G scored rollouts on (prompt, hint), and of each what the engine needs to publish it."""


async def run_visit(
    prompt: Prompt, schedule: Schedule, plan: Plan, writer: HintWriter, roll_out: RollOut[Payload]
) -> tuple[Visit, list[Payload]]:
    """Roll out a prompt, with stronger hints as the schedule asks, until a group is to be trained on.

    Args:
        prompt: the prompt.
        schedule: decides after every group and every missing hint.
        plan: levels to try, as the schedule planned before the visit.
        writer: writes this visit's hints.
        roll_out: draws and scores one group; whatever it raises ends the visit.

    Returns:
        The visit and the payloads of the group that is trained on (`Visit.accepted`), the only ones to publish.
    """
    level, left = plan[0], plan
    groups: list[Group] = []
    payloads: list[Sequence[Payload]] = []
    failures: list[HintFailure] = []
    while True:
        hint = await writer.write(level) if level > 0 else None
        if isinstance(hint, HintFailure):
            failures.append(hint)
            decision = schedule.after_missing_hint(level, hint, groups[-1] if groups else None, left)
            if decision.action is Action.PLAIN:
                left = (0,)  # without hints from here on
        else:
            begin = time.perf_counter()
            rollouts, payload = await roll_out(hint)
            seconds = round(time.perf_counter() - begin, 4)
            groups.append(Group(level, rollouts, hint.text if hint else None, seconds))
            payloads.append(payload)
            decision = schedule.after_group(groups[-1], left)
        if decision.action not in (Action.RAISE, Action.PLAIN):
            break
        level = decision.level
    visit = Visit(prompt.prompt_id, plan, tuple(groups), decision, tuple(writer.requests), tuple(failures))
    published = list(payloads[visit.accepted_index])
    if decision.action is Action.SCAFFOLD:
        helped = next(i for i, r in enumerate(groups[visit.accepted_index].rollouts) if r.correct)
        published = [*payloads[0][:-1], published[helped]]
    return visit, published
