"""The history of visits (sage_history.jsonl) as records, and as a flat table for DuckDB and pandas."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from sage.method.records import Visit


class Entry(NamedTuple):
    """One line of the history."""

    step: int
    """Training step at whose end the visit was remembered."""
    uid: str
    visit: Visit


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
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file; the history is sage_history.jsonl in a run's folder")
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith("\n"):
                return
            try:
                head = json.loads(line)
                yield Entry(int(head["step"]), str(head["uid"]), Visit.from_json(line))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}:{number}: no visit ({error!r}); restore or remove the line") from None


def history_table(path: str | Path) -> pa.Table:
    """One row a group, discarded ones included, in the order of the history.

    Rewards and dead are of all rows of the group; rollouts, correct and tokens are without a reference in it (LUFFY).

    Raises:
        ValueError: as `read_history`.
    """
    columns: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
    visits: Counter[str] = Counter()
    for step, uid, visit in read_history(path):
        main = visit.main
        for place, group in enumerate(visit.groups):
            rewards = [r.reward for r in group.rollouts]
            mean = sum(rewards) / len(rewards)
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
                "reward_mean": mean,
                "reward_std": math.sqrt(sum((r - mean) ** 2 for r in rewards) / len(rewards)),
                "dead": group.dead,
                "tokens": group.tokens,
                "seconds": group.seconds,
                "action": str(visit.decision.action),
                "reason": str(visit.decision.reason),
            }
            for name, value in row.items():
                columns[name].append(value)
        visits[visit.prompt_id] += 1
    return pa.table(columns, schema=SCHEMA)
