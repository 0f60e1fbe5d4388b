"""One visit of one prompt: Algorithm 1 of SAGE as a coroutine, free of any engine.

Visits of different prompts share nothing, so they run side by side without a barrier: while one prompt is at level 3
the others still generate, and hinting fills the idle tail of the batch.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sage.hinting import HintWriter
from sage.records import Action, Group, Hint, HintFailure, Prompt, Rollout, Visit
from sage.schedule import Schedule

Payload = TypeVar("Payload")
RollOut = Callable[[Hint | None], Awaitable[tuple[tuple[Rollout, ...], Payload]]]
"""``await roll_out(hint)``: G scored rollouts on (prompt, hint), and whatever the engine needs to publish them."""


async def run_visit(
    prompt: Prompt, schedule: Schedule, start_level: int, writer: HintWriter, roll_out: RollOut[Payload]
) -> tuple[Visit, Payload]:
    """Roll out a prompt, with stronger hints as the schedule asks, until a group is to be trained on.

    Args:
        prompt: the prompt.
        schedule: decides after every group and every missing hint.
        start_level: level of the first group.
        writer: writes this visit's hints.
        roll_out: draws and scores one group; whatever it raises ends the visit.

    Returns:
        The visit and the payload of its last group, the only one that is published.
    """
    level = start_level
    groups: list[Group] = []
    failures: list[HintFailure] = []
    while True:
        hint = await writer.write(level) if level > 0 else None
        if isinstance(hint, HintFailure):
            failures.append(hint)
            decision = schedule.after_missing_hint(level, hint, groups[-1] if groups else None)
        else:
            begin = time.perf_counter()
            rollouts, payload = await roll_out(hint)
            seconds = round(time.perf_counter() - begin, 4)
            groups.append(Group(level, rollouts, hint.text if hint else None, seconds))
            decision = schedule.after_group(groups[-1])
        if decision.action in (Action.ACCEPT, Action.GIVE_UP):
            break
        level = decision.level
    visit = Visit(prompt.prompt_id, start_level, tuple(groups), decision, tuple(writer.requests), tuple(failures))
    return visit, payload
