"""The preparation of a training file: chunk by chunk into parts, then the parts into one file.

What is in memory at any time: one chunk of rows, the ids and hashes of the problems kept so far, and the benchmarks.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sage.data.preparation.adapters import Adapter
from sage.data.preparation.checks import Checks, Seen
from sage.data.preparation.manifest import Outcome, dropped_path, write_manifest
from sage.data.preparation.parts import Parts
from sage.data.preparation.rows import SCHEMA, Dropped, Reason, Record, training_row
from sage.data.preparation.sources import Row, Source, Unreadable
from sage.grading.pool import available_cores

CHUNK = 1000
"""Rows of a part: what a kill loses at most."""


def prepare(
    source: Source,
    adapt: Adapter,
    checks: Checks,
    out: Path,
    settings: dict[str, Any],
    system: str,
    sample: int | None,
    seed: int,
    progress: Callable[[int, int], None],
) -> Outcome:
    """Write ``out``, the list of dropped rows and the manifest; go on with the parts of a run that was ended.

    Args:
        source, adapt, checks: where rows come from, what their columns mean, what they must satisfy.
        out: the training file (Parquet).
        settings: everything that the output depends on; parts made with other settings are refused.
        system: system turn of the prompts.
        sample: rows to keep at most, drawn by the seed from those that pass; None for all.
        seed: of the sample. It does not depend on the order of the rows.
        progress: told the rows read and kept, after every part and once at the start.

    Raises:
        ValueError: a source cannot be read, or the parts were made with other settings.
    """
    parts = Parts(out.with_name(out.name + ".parts"), settings)
    seen = Seen(checks.verifier)
    for part in parts.finished:
        for row in pq.read_table(part.path, columns=["prompt_id", "problem", "reward_model", "extra_info"]).to_pylist():
            answer = row["reward_model"]["ground_truth"]
            seen.add(row["extra_info"]["index"], row["prompt_id"], row["problem"], answer)
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
    outcome = _assemble(parts, out, sample, seed)
    write_manifest(out, settings, outcome)
    parts.remove()
    return outcome


def check_row(number: int, row: Row, adapt: Adapter, checks: Checks) -> Record | Dropped:
    """What one row gives by itself."""
    if isinstance(row, Unreadable):
        return Dropped(number, None, Reason.UNREADABLE, row.why)
    record = adapt(number, row)
    return record if isinstance(record, Dropped) else checks(record)


def admit(checked: list[Record | Dropped], seen: Seen) -> tuple[list[Record], list[Dropped]]:
    """Split into the records to keep and the rows to drop, in order."""
    kept, dropped = [], []
    for record in checked:
        if isinstance(record, Dropped):
            dropped.append(record)
        elif reason := seen.add(record.row, record.prompt_id, record.problem, record.answer):
            dropped.append(Dropped(record.row, record.prompt_id, *reason))
        else:
            kept.append(record)
    return kept, dropped


def _rank(prompt_id: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{prompt_id}".encode()).digest()


def _sampled(parts: Parts, sample: int | None, seed: int) -> set[str] | None:
    """The ids of lowest rank; None for all."""
    if sample is None or sample >= sum(part.kept for part in parts.finished):
        return None
    columns = (pq.read_table(part.path, columns=["prompt_id"]) for part in parts.finished)
    ids = [prompt_id for table in columns for prompt_id in table["prompt_id"].to_pylist()]
    return set(sorted(ids, key=lambda prompt_id: _rank(prompt_id, seed))[:sample])


def _assemble(parts: Parts, out: Path, sample: int | None, seed: int) -> Outcome:
    """Put the parts together. The list of dropped rows is in order, those that are not sampled at its end."""
    chosen = _sampled(parts, sample, seed)
    counts: Counter[str] = Counter()
    kept = without_solution = 0
    rows_to, list_to = out.with_name(out.name + ".tmp"), dropped_path(out).with_name(dropped_path(out).name + ".tmp")
    with pq.ParquetWriter(rows_to, SCHEMA) as writer, open(list_to, "w", encoding="utf-8") as listed:
        for part in parts.finished:
            counts.update(part.dropped)
            listed.writelines(part.list_of_dropped())
        for part in parts.finished:
            table = pq.read_table(part.path)
            if chosen is not None:
                ids = table["prompt_id"].to_pylist()
                for prompt_id, extra in zip(ids, table["extra_info"].to_pylist(), strict=True):
                    if prompt_id not in chosen:
                        dropped = Dropped(extra["index"], prompt_id, Reason.NOT_SAMPLED, f"seed {seed}")
                        listed.write(json.dumps(dropped.to_json(), ensure_ascii=False) + "\n")
                table = table.filter(pa.array([prompt_id in chosen for prompt_id in ids], pa.bool_()))
            kept += table.num_rows
            without_solution += table["solution"].null_count
            if table.num_rows:
                writer.write_table(table)
    read = sum(part.read for part in parts.finished)
    if left_out := read - sum(counts.values()) - kept:
        counts[str(Reason.NOT_SAMPLED)] = left_out
    os.replace(list_to, dropped_path(out))
    os.replace(rows_to, out)
    return Outcome(read, kept, dict(counts), without_solution)
