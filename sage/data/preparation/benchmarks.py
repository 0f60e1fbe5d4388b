"""The benchmarks as one validation file for verl, whose metrics are then split by ``data_source``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sage.data.preparation.rows import SCHEMA, Record, training_row
from sage.evaluation.problems import Problem
from sage.support.rows import write_parquet


def write_benchmarks(benchmarks: Mapping[str, Sequence[Problem]], out: Path, system: str) -> int:
    """Write the validation file. Problems with chat messages of their own keep these.

    Returns:
        Its rows.
    """
    rows = [
        training_row(
            Record(number, f"{name}/{problem.problem_id}", problem.question, None, problem.answer, name), system, "test"
        )
        | ({"prompt": list(problem.messages)} if problem.messages else {})
        for name, problems in benchmarks.items()
        for number, problem in enumerate(problems)
    ]
    write_parquet(out, rows, SCHEMA)
    return len(rows)
