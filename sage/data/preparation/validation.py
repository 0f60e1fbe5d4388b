"""The check of a file that exists already: everything that the preparation checks, and the manifest's hash."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sage.data.preparation.checks import Checks, Seen
from sage.data.preparation.manifest import file_record, manifest_path
from sage.data.preparation.pipeline import CHUNK, admit
from sage.data.preparation.rows import Dropped, Reason, Record
from sage.data.training import COLUMNS, OPTIONAL, faults, is_unsolved, row_fault
from sage.grading.pool import available_cores
from sage.support.rows import Row, Unreadable, read_rows


@dataclass(frozen=True)
class Validation:
    rows: int
    faults: tuple[str, ...]
    """What keeps training from starting."""
    findings: tuple[Dropped, ...]
    """Rows that the preparation would have dropped."""
    without_solution: int
    manifest: str
    """Whether the file is the one that its manifest describes."""
    hash_differs: bool

    @property
    def good(self) -> bool:
        return not (self.faults or self.findings or self.hash_differs)


def validate(path: Path, checks: Checks) -> Validation:
    """Check a training file.

    Raises:
        ValueError: it is no Parquet file, or a column is missing.
    """
    broken = tuple(faults([str(path)]))
    seen = Seen(checks.verifier, renames=False)
    findings: list[Dropped] = []
    rows = without_solution = 0
    numbered = enumerate(read_rows(path, [*COLUMNS, *OPTIONAL]))
    with ThreadPoolExecutor(available_cores()) as pool:
        while chunk := list(islice(numbered, CHUNK)):
            findings += admit(list(pool.map(checks, _usable(chunk))), seen)[1]
            rows += len(chunk)
            without_solution += sum(not isinstance(row, Unreadable) and is_unsolved(row) for _, row in chunk)
    said, differs = _against_manifest(path)
    return Validation(rows, broken, tuple(findings), without_solution, said, differs)


def _usable(chunk: list[tuple[int, Row]]) -> Iterator[Record]:
    """Records of the rows without a fault of their own; the others keep training from starting."""
    for number, row in chunk:
        if isinstance(row, Unreadable) or not isinstance(row["prompt_id"], str) or row_fault(row):
            continue
        yield Record(
            number,
            row["prompt_id"],
            row["problem"],
            row["solution"],
            str(row["reward_model"]["ground_truth"]),
            str(row["data_source"]),
            row.get("reference_response"),
        )


def _against_manifest(path: Path) -> tuple[str, bool]:
    manifest = manifest_path(path)
    if not manifest.is_file():
        return f"no {manifest.name} beside it", False
    try:
        described = json.loads(manifest.read_text(encoding="utf-8"))["output"]["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        return f"{manifest.name} is no manifest of prepare_data.py ({type(error).__name__}: {error})", True
    if described == file_record(path)["sha256"]:
        return f"the file is the one that {manifest.name} describes", False
    return f"the file is NOT the one that {manifest.name} describes: its sha256 differs", True


def finding_counts(findings: tuple[Dropped, ...]) -> dict[str, int]:
    return {str(reason): n for reason in Reason if (n := sum(f.reason is reason for f in findings))}
