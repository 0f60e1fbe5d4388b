"""The check of a file that exists already: everything that the preparation checks, and the manifest's hash."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sage.data.preparation.checks import Checks, Seen
from sage.data.preparation.manifest import file_record, manifest_path
from sage.data.preparation.pipeline import CHUNK, admit
from sage.data.preparation.rows import Dropped, Reason, Record
from sage.data.training import faults, records
from sage.grading.pool import available_cores


@dataclass(frozen=True)
class Validation:
    """What was found in a file."""

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
    seen = Seen(checks.verifier)
    findings: list[Dropped] = []
    rows = without_solution = 0
    numbered = enumerate(records(str(path)))
    with ThreadPoolExecutor(available_cores()) as pool:
        while chunk := list(islice(numbered, CHUNK)):
            usable = list(_usable(chunk))
            findings += admit(list(pool.map(checks, usable)), seen)[1]
            rows += len(chunk)
            without_solution += sum(not (row["solution"] or "").strip() for _, row in chunk)
    said, differs = _against_manifest(path)
    return Validation(rows, broken, tuple(findings), without_solution, said, differs)


def _usable(chunk: list[tuple[int, dict[str, Any]]]) -> Iterator[Record]:
    """Records of the rows that have id, problem and answer; the others are faults."""
    for number, row in chunk:
        answer = (row["reward_model"] or {}).get("ground_truth")
        if row["prompt_id"] and row["problem"] and answer is not None:
            yield Record(
                number, row["prompt_id"], row["problem"], row["solution"], str(answer), str(row["data_source"])
            )


def _against_manifest(path: Path) -> tuple[str, bool]:
    manifest = manifest_path(path)
    if not manifest.is_file():
        return f"no {manifest.name} beside it", False
    if json.loads(manifest.read_text(encoding="utf-8"))["output"]["sha256"] == file_record(path)["sha256"]:
        return f"the file is the one that {manifest.name} describes", False
    return f"the file is NOT the one that {manifest.name} describes: its sha256 differs", True


def finding_counts(findings: tuple[Dropped, ...]) -> dict[str, int]:
    """Findings by reason."""
    return {str(reason): n for reason in Reason if (n := sum(f.reason is reason for f in findings))}
