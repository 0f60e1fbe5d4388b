"""Where rows come from: files of this machine, or a data set of the hub, read in order and from any position.

A source yields plain dicts, or `Unreadable` where a line is none, together with the position to go on from.
"""

from __future__ import annotations

import csv
import glob
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

SUFFIXES = (".jsonl", ".parquet", ".csv")


@dataclass(frozen=True)
class Unreadable:
    """A row that cannot be read, and why."""

    why: str


Row = dict[str, Any] | Unreadable
Position = dict[str, Any] | None
"""JSON; None is the start."""


class Source(Protocol):
    """Rows in a fixed order."""

    @property
    def total(self) -> int | None:
        """How many rows there are, where that is known beforehand."""

    def read(self, start: Position) -> Iterator[Row]:
        """The rows from a position on."""

    def position(self) -> Position:
        """The position after the row that was yielded last."""

    def describe(self) -> dict[str, Any]:
        """What identifies the source, for the manifest."""


def expand(patterns: Sequence[str]) -> list[Path]:
    """Files named by paths, folders (their Parquet files) and patterns such as ``data/train-*.parquet``, sorted each.

    Raises:
        ValueError: nothing matches, or a file is of another type.
    """
    files: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        found = sorted(path.glob("**/*.parquet")) if path.is_dir() else sorted(map(Path, glob.glob(pattern)))
        if path.is_file():  # a name may hold characters that mean something in a pattern
            found = [path]
        if not found:
            raise ValueError(f"{pattern}: no such file; give files, a folder of Parquet files, or a pattern")
        files += found
    if wrong := [file for file in files if file.suffix not in SUFFIXES]:
        raise ValueError(f"{wrong[0]}: the type of a file must be one of {', '.join(SUFFIXES)}")
    return files


class Files:
    """Rows of JSONL, Parquet and CSV files.

    Args:
        files: read in this order.
        columns: the only ones to read from Parquet; those that a file lacks are left out of its rows.
    """

    def __init__(self, files: Sequence[Path], columns: Sequence[str] | None = None) -> None:
        self._files = list(files)
        self._columns = columns
        self._done = 0

    @property
    def total(self) -> int | None:
        if any(file.suffix != ".parquet" for file in self._files):
            return None
        return sum(_parquet(file).metadata.num_rows for file in self._files)

    def require(self, columns: Sequence[str], advice: str) -> None:
        """Look for columns in the first rows, before anything is prepared.

        Raises:
            ValueError: one is in none of them.
        """
        first = [row for row in islice(self.read(None), 100) if not isinstance(row, Unreadable)]
        have = list(dict.fromkeys(column for row in first for column in row))
        if missing := [column for column in columns if column not in have]:
            raise ValueError(
                f"{self._files[0]}: no column {missing[0]!r}; it has {', '.join(have) or 'no row'}: {advice}"
            )

    def describe(self) -> dict[str, Any]:
        return {"kind": "files", "files": [str(file) for file in self._files]}

    def position(self) -> Position:
        return {"rows": self._done}

    def read(self, start: Position) -> Iterator[Row]:
        """See `Source`.

        Raises:
            ValueError: a file is not what its name says.
        """
        skip = start["rows"] if start else 0
        self._done = 0
        for file in self._files:
            if file.suffix == ".parquet":
                rows = self._read_parquet(file, max(0, skip - self._done))
            else:
                rows = _read_jsonl(file) if file.suffix == ".jsonl" else _read_csv(file)
            for row in rows:
                self._done += 1
                if self._done > skip:
                    yield row

    def _read_parquet(self, path: Path, skip: int) -> Iterator[Row]:
        file = _parquet(path)
        columns = [c for c in self._columns if c in file.schema_arrow.names] if self._columns else None
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if rows <= skip:  # read and prepared in an earlier run
                skip -= rows
                self._done += rows
                continue
            skip = 0
            for batch in file.iter_batches(batch_size=64, row_groups=[group], columns=columns):
                yield from batch.to_pylist()


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} is not a Parquet file ({error})") from error


def _read_jsonl(path: Path) -> Iterator[Row]:
    with open(path, "rb") as file:
        for line in file:
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:  # bad JSON or bad UTF-8
                yield Unreadable(f"not JSON: {error}")
            else:
                yield row if isinstance(row, dict) else Unreadable(f"a JSON {type(row).__name__}, not an object")


def _read_csv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Unreadable(f"not CSV: {error}")
                continue
            except UnicodeDecodeError as error:
                raise ValueError(f"{path}: not UTF-8 ({error}); convert the file") from error
            if None in row or None in row.values():
                yield Unreadable(f"more or fewer cells than the {len(reader.fieldnames or [])} columns")
            else:
                yield row


class Hub:
    """Rows of a data set on the hub, streamed through ``datasets``: nothing is stored on disk.

    Args:
        name: the data set, or a folder laid out like one.
        config, split: as in ``load_dataset``.
        revision: a commit, tag or branch; recorded as the commit that it stood for.
        columns: the only ones to use.
    """

    def __init__(self, name: str, config: str | None, split: str, revision: str, columns: Sequence[str]) -> None:
        self._identity = {"kind": "hub", "name": name, "config": config, "split": split}
        self._columns = columns
        self._revision = revision
        self._stream: Any = None

    def open(self) -> None:
        """Look the data set up.

        Raises:
            ValueError: it cannot be reached, or has no such configuration, split or revision.
        """
        import httpx
        from datasets import load_dataset
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError

        name = self._identity["name"]
        try:
            if not Path(str(name)).is_dir():
                self._revision = HfApi().dataset_info(str(name), revision=self._revision).sha or self._revision
            stream = load_dataset(
                name, self._identity["config"], split=self._identity["split"], revision=self._revision, streaming=True
            )
        except (OSError, ValueError, httpx.HTTPError, HfHubHTTPError) as error:
            raise ValueError(
                f"{name} cannot be read from the hub ({type(error).__name__}: {error}); "
                "check name, revision and network, or download its Parquet files elsewhere and give them with --local"
            ) from error
        have = stream.column_names
        self._stream = stream.select_columns([c for c in self._columns if have is None or c in have])

    @property
    def total(self) -> int | None:
        if self._stream is None:
            self.open()
        splits = self._stream.info.splits or {}
        return splits[self._identity["split"]].num_examples if self._identity["split"] in splits else None

    def describe(self) -> dict[str, Any]:
        if self._stream is None:
            self.open()
        return {**self._identity, "revision": self._revision}

    def position(self) -> Position:
        return self._stream.state_dict()

    def read(self, start: Position) -> Iterator[Row]:
        if self._stream is None:
            self.open()
        if start is not None:
            self._stream.load_state_dict(start)
        yield from self._stream
