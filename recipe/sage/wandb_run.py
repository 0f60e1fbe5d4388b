"""What the recipe adds to a run in wandb: a table of hints, and the end of wandb's own process."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from verl.utils.tracking import Tracking

from sage.method.records import RequestOutcome, Visit

COLUMNS: list[str | int] = ["step", "prompt", "level", "hint", "outcome", "correct", "rollouts"]
HINTS = 16
"""Rows of a step's table."""


def hint_rows(visits: Iterable[Visit], step: int) -> list[list[Any]]:
    """Hints of a step with what came of them, then answers to requests that gave none, as far as there is room."""
    used: list[list[Any]] = []
    unused: list[list[Any]] = []
    for visit in visits:
        for group in visit.groups:
            if group.hint is not None:
                outcomes = [request.outcome for request in visit.requests if request.level == group.level]
                outcome = str(outcomes[-1] if outcomes else RequestOutcome.USED)  # of an answer with several levels
                counts = group.successes, len(group.rollouts)
                used.append([step, visit.prompt_id, group.level, group.hint, outcome, *counts])
        for request in visit.requests:
            if request.answer is not None:
                unused.append([step, visit.prompt_id, request.level, request.answer, str(request.outcome), 0, 0])
    return [*used[: HINTS - min(len(unused), HINTS // 4)], *unused][:HINTS]


def log_hints(tracking: Tracking, visits: Iterable[Visit], step: int) -> None:
    """Send a step's table where the run goes to wandb."""
    if "wandb" in tracking.logger and (rows := hint_rows(visits, step)):
        import wandb

        tracking.log({"sage/hints": wandb.Table(columns=COLUMNS, data=rows)}, step, backend=["wandb"])


def close() -> None:
    """End wandb's own process, after verl has finished the run in it.

    Ray would end it together with the process that started it, and wandb then complain of a lost connection.
    """
    if wandb := sys.modules.get("wandb"):
        wandb.teardown()
