"""Checks of a training file before anything is started.

A row has verl columns (``prompt``, ``data_source``, ``reward_model``, ``extra_info``) and three of ours: ``prompt_id``
(unique and stable between runs), ``problem`` and ``solution`` (the reference; may be null).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sage.data.preparation.cells import kind_of
from sage.support.rows import Unreadable, open_parquet, read_rows

COLUMNS = ("prompt_id", "problem", "solution", "prompt", "reward_model", "data_source")
OPTIONAL = ("extra_info", "reference_response")
_ADVICE = "scripts/prepare_data.py table makes a training file of it"


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
            without_solution += is_unsolved(row)
    if needs_solutions and without_solution == len(prompt_ids):
        raise ValueError(
            f"{', '.join(map(str, paths))}: no row has a solution, so no hint could ever be written; fill the solution "
            "column or use sage.schedule=grpo"
        )
    return DataReport(len(prompt_ids), without_solution, frozenset(prompt_ids))


def faults(paths: Sequence[str]) -> Iterator[str]:
    """What keeps training from starting, one sentence for each row at fault, with file and row.

    Raises:
        ValueError: a file is missing, no Parquet, has no rows, or lacks a column.
    """
    seen: dict[str, str] = {}
    for path in paths:
        if not str(path).endswith(".parquet"):
            raise ValueError(f"{path}: training files must be Parquet (.parquet); {_ADVICE}")
        if not Path(path).is_file():
            raise ValueError(f"data.train_files: {path} does not exist; give the path of the training file")
        file = open_parquet(Path(path))
        names = file.schema_arrow.names
        for column in COLUMNS:
            if column not in names:
                raise ValueError(f"{path}: column {column!r} is missing; it has {', '.join(names)}; {_ADVICE}")
        if not file.metadata.num_rows:
            raise ValueError(f"{path} has no rows")
        for number, row in enumerate(read_rows(Path(path), [*COLUMNS, *OPTIONAL])):
            where = f"{path}, row {number}"
            if isinstance(row, Unreadable):
                yield row.why
                continue
            prompt_id = row["prompt_id"]
            if not isinstance(prompt_id, str) or not prompt_id:
                yield f"{where}: prompt_id is {prompt_id!r}; give every row a unique non-empty string"
                continue
            if prompt_id in seen:
                yield f"{where}: prompt_id {prompt_id!r} repeats that of {seen[prompt_id]}; ids must be unique"
            seen.setdefault(prompt_id, where)
            if fault := row_fault(row):
                yield f"{where} ({prompt_id}): {fault}"


def is_unsolved(row: dict[str, Any]) -> bool:
    """Whether a row can never get a hint."""
    return not str(row["solution"] or "").strip()


def row_fault(row: dict[str, Any]) -> str | None:
    """What is wrong with the cells of a row other than its id; None where nothing is."""
    if not row["problem"]:
        return "problem is empty"
    for column in ("problem", "solution", "reference_response"):
        if (value := row.get(column)) is not None and not isinstance(value, str):
            return f"{column} is not a text but {kind_of(value)}; {_ADVICE}"
    return _truth_fault(row) or _prompt_fault(row["prompt"])


def _truth_fault(row: dict[str, Any]) -> str | None:
    for column in ("reward_model", "extra_info"):
        if (value := row.get(column)) is not None and not isinstance(value, dict):
            return f"{column} is not a struct but {kind_of(value)}; {_ADVICE}"
    truth = (row["reward_model"] or {}).get("ground_truth")
    if str(truth).strip() in ("", "None", "nan"):
        return "reward_model.ground_truth is missing"
    if isinstance(truth, (bool, bytes, list, dict)):
        return (
            f"reward_model.ground_truth is not a text or a number but {kind_of(truth)}; write it as text, such as JSON"
        )
    return None


def _prompt_fault(messages: Any) -> str | None:
    if messages is not None and not isinstance(messages, list):
        return f"prompt is not a list of messages but {kind_of(messages)}; {_ADVICE}"
    for message in messages or ():
        if not isinstance(message, dict) or not all(isinstance(message.get(key), str) for key in ("role", "content")):
            return f"a message of prompt is not a struct of two texts, role and content; {_ADVICE}"
    if not messages or messages[-1]["role"] != "user":
        return "the last message of prompt must be the user's"
    return None


def check_validation_file(path: str) -> None:
    """Check that verl finds prompts and answers in a validation file.

    Raises:
        ValueError: it is missing, no Parquet, has no rows, lacks a column, or a row is at fault. The message names file
            and row.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path} does not exist; give the path of the validation file")
    file = open_parquet(Path(path))
    needed = ("prompt", "reward_model", "data_source")
    for column in needed:
        if column not in file.schema_arrow.names:
            raise ValueError(f"{path} has no column {column!r}, only {', '.join(file.schema_arrow.names)}; {_ADVICE}")
    if not file.metadata.num_rows:
        raise ValueError(f"{path} has no rows")
    for number, row in enumerate(read_rows(Path(path), [*needed, *OPTIONAL])):
        fault = row.why if isinstance(row, Unreadable) else _truth_fault(row) or _prompt_fault(row["prompt"])
        if fault:
            raise ValueError(f"{path}, row {number}: {fault}")


def records(path: str, columns: Sequence[str] = COLUMNS) -> Iterator[dict[str, Any]]:
    """The rows of a training file without faults."""
    for row in read_rows(Path(path), columns):
        if isinstance(row, Unreadable):
            raise ValueError(row.why)
        yield row
