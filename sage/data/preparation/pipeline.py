"""The preparation of a training file: chunk by chunk into parts, then the parts into one file.

What is in memory at any time: one chunk of rows, the ids and hashes of the problems kept so far, and the benchmarks.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sage.data.preparation.adapters import Adapter
from sage.data.preparation.checks import Checks, Seen
from sage.data.preparation.manifest import Outcome, dropped_path, held_out_path, manifest_path, write_manifest
from sage.data.preparation.parts import Parts
from sage.data.preparation.rows import SCHEMA, Dropped, Reason, Record, training_row
from sage.data.preparation.sources import WORK_IN_PROGRESS, Source
from sage.grading.pool import available_cores
from sage.support.rows import Row, Unreadable, write_parquet

CHUNK = 1000
"""Rows of a part: what a kill loses at most."""


@dataclass(frozen=True)
class Selection:
    """Which of the rows that pass the checks are trained on. It does not depend on their order."""

    sample: int | None = None
    """Rows to train on at most; None for all."""
    hold_out: int = 0
    """Rows of the validation file, none of which is trained on."""
    seed: int = 0


def parts_folder(out: Path) -> Path:
    """Where the work in progress on a file is."""
    return out.with_name(out.name + WORK_IN_PROGRESS)


def prepare(
    source: Source,
    adapt: Adapter,
    checks: Checks,
    out: Path,
    settings: dict[str, Any],
    system: str,
    selection: Selection,
    progress: Callable[[int, int], None],
) -> Outcome:
    """Write ``out``, the list of dropped rows and the manifest; resume from the parts of a run that was ended.

    Where no row is kept, only the list is written.

    Args:
        source, adapt, checks: where rows come from, what their columns mean, what they must satisfy.
        out: the training file (Parquet).
        settings: everything that the output depends on; parts made with other settings are refused.
        system: system turn of the prompts.
        selection: which of the rows that pass are in which file.
        progress: told the rows read and kept, after every part and once at the start.

    Raises:
        ValueError: a source cannot be read, the parts were made with other settings, or too few rows pass.
    """
    parts = Parts(parts_folder(out), settings)
    seen = Seen(checks.verifier)
    for part in parts.finished:
        for row in pq.read_table(part.path, columns=["prompt_id", "problem", "reward_model", "extra_info"]).to_pylist():
            answer, number = row["reward_model"]["ground_truth"], row["extra_info"]["index"]
            seen.add(Record(number, row["prompt_id"], row["problem"], None, answer, ""))
    read = sum(part.read for part in parts.finished)
    progress(read, sum(part.kept for part in parts.finished))
    rows = source.read(parts.finished[-1].position if parts.finished else None)
    with ThreadPoolExecutor(available_cores()) as pool:
        while chunk := list(islice(rows, CHUNK)):
            numbered = enumerate(chunk, start=read)
            checked = list(pool.map(lambda pair: check_row(pair[0], pair[1], adapt, checks), numbered))
            kept, dropped = admit(checked, seen)
            part = parts.add([training_row(record, system) for record in kept], dropped, source.position())
            read += part.read
            progress(part.read, part.kept)
    passed = sum(part.kept for part in parts.finished)
    if passed and passed <= selection.hold_out:
        parts.remove()
        raise ValueError(
            f"--hold-out {selection.hold_out}: only {passed} rows pass the checks, so none is left to train on"
        )
    outcome = _assemble(parts, out, selection)
    if outcome.kept:
        write_manifest(out, settings, outcome)
    else:
        manifest_path(out).unlink(missing_ok=True)  # of a file that is gone
    parts.remove()
    return outcome


def check_row(number: int, row: Row, adapt: Adapter, checks: Checks) -> Record | Dropped:
    if isinstance(row, Unreadable):
        return Dropped(number, None, Reason.UNREADABLE, row.why)
    record = adapt(number, row)
    return record if isinstance(record, Dropped) else checks(record)


def admit(checked: list[Record | Dropped], seen: Seen) -> tuple[list[Record], list[Dropped]]:
    """Split into the records to keep and the rows to drop, in order."""
    entered = [record if isinstance(record, Dropped) else seen.add(record) for record in checked]
    kept = [record for record in entered if isinstance(record, Record)]
    return kept, [record for record in entered if isinstance(record, Dropped)]


def _rank(prompt_id: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{prompt_id}".encode()).digest()


def _left_out(parts: Parts, selection: Selection) -> dict[str, Reason]:
    """The rows that are not trained on, by id: the held-out ones have the highest ranks, the sample the lowest."""
    if selection.sample is None and not selection.hold_out:
        return {}
    columns = (pq.read_table(part.path, columns=["prompt_id"]) for part in parts.finished)
    ids = [prompt_id for table in columns for prompt_id in table["prompt_id"].to_pylist()]
    ids.sort(key=lambda prompt_id: _rank(prompt_id, selection.seed))
    end = len(ids) - selection.hold_out
    beyond = end if selection.sample is None else min(selection.sample, end)
    return dict.fromkeys(ids[beyond:end], Reason.NOT_SAMPLED) | dict.fromkeys(ids[end:], Reason.HELD_OUT)


def _assemble(parts: Parts, out: Path, selection: Selection) -> Outcome:
    """Put the parts together. The list of dropped rows is in order, those that are not trained on at its end."""
    left_out = _left_out(parts, selection)
    counts: Counter[str] = Counter()
    held_out: list[dict[str, Any]] = []
    kept = without_solution = 0
    rows_to, list_to = out.with_name(out.name + ".tmp"), dropped_path(out).with_name(dropped_path(out).name + ".tmp")
    with (
        pq.ParquetWriter(rows_to, SCHEMA) as writer,
        open(list_to, "w", encoding="utf-8", errors="backslashreplace") as listed,
    ):
        for part in parts.finished:
            counts.update(part.dropped)
            listed.writelines(part.list_of_dropped())
        for part in parts.finished:
            table = pq.read_table(part.path)
            ids, infos = table["prompt_id"].to_pylist(), table["extra_info"].to_pylist()
            for number, (prompt_id, info) in enumerate(zip(ids, infos, strict=True)):
                if (reason := left_out.get(prompt_id)) is None:
                    continue
                where = held_out_path(out).name if reason is Reason.HELD_OUT else f"seed {selection.seed}"
                listed.write(Dropped(info["index"], prompt_id, reason, where).to_line())
                counts[str(reason)] += 1
                if reason is Reason.HELD_OUT:
                    held_out += [
                        row | {"extra_info": info | {"split": "test"}} for row in table.slice(number, 1).to_pylist()
                    ]
            table = table.filter(pa.array([prompt_id not in left_out for prompt_id in ids], pa.bool_()))
            kept += table.num_rows
            without_solution += table["solution"].null_count
            if table.num_rows:
                writer.write_table(table)
    os.replace(list_to, dropped_path(out))
    if held_out:
        write_parquet(held_out_path(out), held_out, SCHEMA)
    if kept:
        os.replace(rows_to, out)
    else:
        rows_to.unlink()
    return Outcome(sum(part.read for part in parts.finished), kept, dict(counts), without_solution, len(held_out))
