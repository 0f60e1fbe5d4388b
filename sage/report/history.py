"""The history of visits (sage_history.jsonl) as records, and as a flat table for DuckDB and pandas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from sage.method.records import Visit
from sage.support.documents import parse, whole_lines

ADVICE = "so the line is no visit: restore or remove it"


class Entry(NamedTuple):
    step: int
    """Training step at whose end the visit was remembered."""
    uid: str
    visit: Visit


@dataclass(frozen=True)
class _Place:
    """What a line says beside the visit."""

    step: int
    uid: str


SCHEMA = pa.schema(
    {
        "step": pa.int32(),
        "uid": pa.string(),
        "prompt_id": pa.string(),
        "visit": pa.int32(),
        "place": pa.int8(),
        "level": pa.int8(),
        "hint": pa.string(),
        "kept": pa.bool_(),
        "rollouts": pa.int32(),
        "correct": pa.int32(),
        "reward_mean": pa.float64(),
        "reward_std": pa.float64(),
        "dead": pa.bool_(),
        "tokens": pa.int64(),
        "seconds": pa.float64(),
        "action": pa.string(),
        "reason": pa.string(),
    }
)
"""Columns of `history_table`, explained in docs/queries.md."""


def read_history(path: str | Path) -> Iterator[Entry]:
    """The visits of a history, in its order. A last line without a line end is left out: the run may be writing it.

    Raises:
        ValueError: there is no such file, or a line is no visit; names file and line.
    """
    for where, line in whole_lines(Path(path), "the history is sage_history.jsonl in a run's folder"):
        place = parse(_Place, line, where, ADVICE)
        yield Entry(place.step, place.uid, parse(Visit, line, where, ADVICE))


def history_table(path: str | Path) -> pa.Table:
    """One row a group, discarded ones included, in the order of the history.

    Rewards and dead are of all rows of the group; rollouts, correct and tokens are without a reference in it (LUFFY).

    Raises:
        ValueError: as `read_history`.
    """
    rows: list[dict[str, object]] = []
    visits: Counter[str] = Counter()
    for step, uid, visit in read_history(path):
        main = visit.main
        for place, group in enumerate(visit.groups):
            rewards = [r.reward for r in group.rollouts]
            row = {
                "step": step,
                "uid": uid,
                "prompt_id": visit.prompt_id,
                "visit": visits[visit.prompt_id],
                "place": place,
                "level": group.level,
                "hint": group.hint,
                "kept": group is main,
                "rollouts": sum(not r.reference for r in group.rollouts),
                "correct": group.successes,
                "reward_mean": float(np.mean(rewards)),
                "reward_std": float(np.std(rewards)),
                "dead": group.dead,
                "tokens": group.tokens,
                "seconds": group.seconds,
                "action": str(visit.decision.action),
                "reason": str(visit.decision.reason),
            }
            rows.append(row)
        visits[visit.prompt_id] += 1
    return pa.Table.from_pylist(rows, SCHEMA)
