"""The work in progress: one part file for each chunk of rows, so that a run that was killed goes on where it was.

A part is there when its ``part-00000.json`` is: that is written last, and every file by renaming.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage.data.preparation.rows import SCHEMA, Dropped
from sage.support.documents import read_json
from sage.support.files import write_text
from sage.support.rows import write_parquet


@dataclass(frozen=True)
class Note:
    read: int
    kept: int
    dropped: dict[str, int]
    position: dict[str, Any] | None
    """Where the source goes on after it."""


@dataclass(frozen=True)
class Part(Note):
    path: Path
    """Its Parquet file."""

    def list_of_dropped(self) -> Iterator[str]:
        """Lines of JSON."""
        with open(self.path.with_suffix(".jsonl"), encoding="utf-8") as file:
            yield from file


class Parts:
    """The parts of one output.

    Args:
        folder: made where it is missing.
        settings: everything that the output depends on.

    Raises:
        ValueError: the folder was begun with other settings.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        shutil.rmtree(self._removed, ignore_errors=True)
        begun = folder / "settings.json"
        if begun.is_file():
            old = read_json(dict[str, Any], begun, f"delete {folder} to begin anew")
            if changed := sorted(k for k in old.keys() | settings.keys() if old.get(k) != settings.get(k)):
                raise ValueError(
                    f"{folder} was begun with other settings ({', '.join(changed)}): repeat the first command to "
                    "go on, or delete the folder to begin anew"
                )
        folder.mkdir(parents=True, exist_ok=True)
        write_text(begun, json.dumps(settings, indent=1, ensure_ascii=False))
        self.finished = [self._load(path) for path in sorted(folder.glob("part-*.json"))]

    def _load(self, path: Path) -> Part:
        note: Note = read_json(Note, path, f"delete {self.folder} to begin anew")
        return Part(**vars(note), path=path.with_suffix(".parquet"))

    def add(self, rows: Sequence[dict[str, Any]], dropped: Sequence[Dropped], position: dict[str, Any] | None) -> Part:
        stem = self.folder / f"part-{len(self.finished):05d}"
        write_parquet(stem.with_suffix(".parquet"), rows, SCHEMA)
        write_text(stem.with_suffix(".jsonl"), "".join(row.to_line() for row in dropped))
        counts = Counter(str(row.reason) for row in dropped)
        entry = {"read": len(rows) + len(dropped), "kept": len(rows), "dropped": counts, "position": position}
        write_text(stem.with_suffix(".json"), json.dumps(entry))
        self.finished.append(self._load(stem.with_suffix(".json")))
        return self.finished[-1]

    @property
    def _removed(self) -> Path:
        return self.folder.with_name(self.folder.name + ".removed")

    def remove(self) -> None:
        """Remove all of them at once: some parts of a finished output would be taken for one that was interrupted."""
        os.replace(self.folder, self._removed)
        shutil.rmtree(self._removed)
