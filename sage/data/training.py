"""Checks of a training file before anything is started.

A row has verl columns (``prompt``, ``data_source``, ``reward_model``, ``extra_info``) and three of ours: ``prompt_id``
(unique and stable between runs), ``problem`` and ``solution`` (the reference; may be null).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = ("prompt_id", "problem", "solution", "prompt", "reward_model", "data_source")


@dataclass(frozen=True)
class DataReport:
    """What a check of the training files found."""

    rows: int
    without_solution: int
    """Rows that can never get a hint; each such visit is counted as ``no_solution``."""
    prompt_ids: frozenset[str] = field(default=frozenset(), repr=False)
    hinted: dict[int, int] = field(default_factory=dict)
    """Prompts that have a hint of each level asked for; empty where hints come from no file."""


def check_training_files(paths: Sequence[str], needs_solutions: bool) -> DataReport:
    """Check the training files.

    Args:
        paths: Parquet files.
        needs_solutions: whether the schedule writes hints.

    Raises:
        ValueError: a file or column is missing, an id is missing or repeated, an answer is missing, the
            last message of a prompt is not the user's, or there is no solution at all. The message names file and row.
    """
    for fault in faults(paths):
        raise ValueError(fault)
    prompt_ids: set[str] = set()
    without_solution = 0
    for path in paths:
        for row in records(path, ("prompt_id", "solution")):
            prompt_ids.add(row["prompt_id"])
            without_solution += not (row["solution"] or "").strip()
    if needs_solutions and without_solution == len(prompt_ids):
        raise ValueError(
            f"{', '.join(map(str, paths))}: no row has a solution, so no hint could ever be written; fill the solution "
            "column or use sage.schedule=grpo"
        )
    return DataReport(len(prompt_ids), without_solution, frozenset(prompt_ids))


def faults(paths: Sequence[str]) -> Iterator[str]:
    """What keeps training from starting, one sentence for each row at fault, with file and row.

    Raises:
        ValueError: a file is missing, no Parquet, or lacks a column.
    """
    seen: dict[str, str] = {}
    for path in paths:
        if not str(path).endswith(".parquet"):
            raise ValueError(f"{path}: training files must be Parquet (.parquet)")
        if not Path(path).is_file():
            raise ValueError(f"data.train_files: {path} does not exist; give the path of the training file")
        try:
            names = pq.read_schema(path).names
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path} is not a Parquet file ({error})") from error
        for column in COLUMNS:
            if column not in names:
                raise ValueError(f"{path}: column {column!r} is missing; it has {', '.join(names)}")
        for row, record in enumerate(records(path)):
            where = f"{path}, row {row}"
            prompt_id = record["prompt_id"]
            if not isinstance(prompt_id, str) or not prompt_id:
                yield f"{where}: prompt_id is {prompt_id!r}; give every row a unique non-empty string"
                continue
            if prompt_id in seen:
                yield f"{where}: prompt_id {prompt_id!r} repeats that of {seen[prompt_id]}; ids must be unique"
            seen.setdefault(prompt_id, where)
            if not record["problem"]:
                yield f"{where} ({prompt_id}): problem is empty"
            elif str((record["reward_model"] or {}).get("ground_truth", "")).strip() in ("", "None"):
                yield f"{where} ({prompt_id}): reward_model.ground_truth is missing"
            elif not record["prompt"] or record["prompt"][-1]["role"] != "user":
                yield f"{where} ({prompt_id}): the last message of prompt must be the user's"


def records(path: str, columns: Sequence[str] = COLUMNS) -> Iterator[dict[str, Any]]:
    """The rows of a training file."""
    for batch in pq.ParquetFile(path).iter_batches(batch_size=1024, columns=list(columns)):
        yield from batch.to_pylist()
