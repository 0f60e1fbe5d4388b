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


def check_training_files(paths: Sequence[str], needs_solutions: bool) -> DataReport:
    """Check the training files.

    Args:
        paths: Parquet files.
        needs_solutions: whether the schedule writes hints.

    Raises:
        ValueError: a file or column is missing, an id is missing or repeated, an answer is missing, the
            last message of a prompt is not the user's, or there is no solution at all. The message names file and row.
    """
    seen: dict[str, str] = {}
    rows = without_solution = 0
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
        for row, record in enumerate(_records(path)):
            where = f"{path}, row {row}"
            prompt_id = record["prompt_id"]
            if not isinstance(prompt_id, str) or not prompt_id:
                raise ValueError(f"{where}: prompt_id is {prompt_id!r}; give every row a unique non-empty string")
            if prompt_id in seen:
                raise ValueError(
                    f"{where}: prompt_id {prompt_id!r} repeats that of {seen[prompt_id]}; ids must be unique"
                )
            seen[prompt_id] = where
            if not record["problem"]:
                raise ValueError(f"{where} ({prompt_id}): problem is empty")
            if str((record["reward_model"] or {}).get("ground_truth", "")).strip() in ("", "None"):
                raise ValueError(f"{where} ({prompt_id}): reward_model.ground_truth is missing")
            if not record["prompt"] or record["prompt"][-1]["role"] != "user":
                raise ValueError(f"{where} ({prompt_id}): the last message of prompt must be the user's")
            without_solution += not (record["solution"] or "").strip()
            rows += 1
    if needs_solutions and without_solution == rows:
        raise ValueError(
            f"{', '.join(map(str, paths))}: no row has a solution, so no hint could ever be written; fill the solution "
            "column or use sage.schedule=grpo"
        )
    return DataReport(rows, without_solution, frozenset(seen))


def _records(path: str) -> Iterator[dict[str, Any]]:
    for batch in pq.ParquetFile(path).iter_batches(batch_size=1024, columns=list(COLUMNS)):
        yield from batch.to_pylist()
