"""What a prepared file is made of and what became of every row: the manifest beside it, and its table."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage.data.preparation.rows import Reason
from sage.support.files import write_text

PACKAGES = ("pyarrow", "datasets", "transformers", "math-verify", "sympy")


@dataclass(frozen=True)
class Outcome:
    """What became of the rows of a source."""

    read: int
    kept: int
    dropped: dict[str, int]
    """By reason."""
    without_solution: int
    """Kept rows that can never get a hint."""
    held_out: int = 0
    """Rows of the validation file; among ``dropped``, too."""


def dropped_path(out: Path) -> Path:
    """The list of the rows that are not in a training file."""
    return out.with_name(out.name.removesuffix(".parquet") + ".dropped.jsonl")


def held_out_path(out: Path) -> Path:
    """The validation file split off from a training file."""
    return out.with_name(out.name.removesuffix(".parquet") + ".val.parquet")


def manifest_path(out: Path) -> Path:
    """The manifest of a training file."""
    return out.with_name(out.name.removesuffix(".parquet") + ".manifest.json")


def file_record(path: Path) -> dict[str, Any]:
    """Name, size in bytes and sha256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"path": str(path), "bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def versions() -> dict[str, str]:
    """Of Python and of the packages that the outcome may depend on."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}}


def write_manifest(out: Path, settings: Mapping[str, Any], outcome: Outcome) -> None:
    """Write the manifest of a prepared file. The same input and settings give the same bytes."""
    content = {
        "format": 1,
        "output": {**file_record(out), "rows": outcome.kept, "rows_without_solution": outcome.without_solution},
        "rows_read": outcome.read,
        "dropped": {str(r): outcome.dropped[r] for r in Reason if r in outcome.dropped},
        "dropped_list": file_record(dropped_path(out)),
        **({"held_out": {**file_record(held_out_path(out)), "rows": outcome.held_out}} if outcome.held_out else {}),
        **settings,
    }
    for key in content.keys() & {"output", "dropped_list", "held_out"}:
        content[key]["path"] = Path(content[key]["path"]).name
    write_text(manifest_path(out), json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def count_table(read: int, dropped: Mapping[str, int], not_checked: Iterable[Reason] = ()) -> str:
    """The rows left after each check that dropped any, as text."""
    lines = [f"{'rows read':<24}{read:>9}"]
    left, skipped = read, set(not_checked)
    for reason in Reason:
        if reason in skipped:
            lines.append(f"  {reason:<22}{'not checked':>21}")
        elif count := dropped.get(reason, 0):
            left -= count
            lines.append(f"  {reason:<22}{-count:>9}{left:>12}")
    return "\n".join([*lines, f"{'rows kept':<24}{left:>9}"])
