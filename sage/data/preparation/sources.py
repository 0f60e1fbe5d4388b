"""Where rows come from: files of this machine, or a data set of the hub, read in order and from any position.

A source yields plain dicts, or `Unreadable` where a row is none, together with the position to go on from.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from sage.data.preparation.adapters import missing_column
from sage.support.rows import SUFFIXES, Row, Unreadable, open_parquet, read_rows

LOOK = 100
"""Rows at the beginning of a file that are looked at for its columns."""
WORK_IN_PROGRESS = ".parts"
"""How the folders of the pipeline's parts end."""

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
        inside = path.glob("**/*.parquet") if path.is_dir() else map(Path, glob.glob(pattern))
        found = sorted(file for file in inside if file.is_file() and not file.parent.name.endswith(WORK_IN_PROGRESS))
        if path.is_file():  # a name may hold characters that mean something in a pattern
            found = [path]
        if not found:
            raise ValueError(f"{pattern}: no such file; give files, a folder of Parquet files, or a pattern")
        files += found
    if wrong := [file for file in files if file.suffix.lower() not in SUFFIXES]:
        raise ValueError(f"{wrong[0]}: the type of a file must be one of {', '.join(SUFFIXES)}")
    return files


class Files:
    """Rows of JSON, Parquet and CSV files (`sage.support.rows`).

    Args:
        files: read in this order.
        columns: the only ones to read from Parquet, in any case, or ``a.b`` for what is inside a; those that a file
            lacks are left out of its rows.
    """

    def __init__(self, files: Sequence[Path], columns: Sequence[str]) -> None:
        self._files = list(files)
        self._columns = {part.casefold() for name in columns for part in (name, name.partition(".")[0])}
        self._done = 0

    @property
    def total(self) -> int | None:
        if not all(map(_is_parquet, self._files)):
            return None
        return sum(open_parquet(file).metadata.num_rows for file in self._files)

    def require(self, required: Sequence[Sequence[str]], advice: str) -> None:
        """Look at the first rows of each file, before anything is prepared.

        Args:
            required: groups of columns of which one has to be there.
            advice: what to do where none is.

        Raises:
            ValueError: a file has no rows, none that can be read, or lacks a column; or is not what its name says.
        """
        for file in self._files:
            first = list(islice(read_rows(file, self._chosen(file)), LOOK))
            if not first:
                raise ValueError(f"{file} has no rows: leave it out, or write it again")
            bad = [row.why for row in first if isinstance(row, Unreadable)]
            if len(bad) == len(first):
                raise ValueError(f"none of the first rows can be read: {bad[0]}")
            if missing_column(first, required):  # and say what else is there
                every: list[Row] = [row for row in islice(read_rows(file), LOOK) if not isinstance(row, Unreadable)]
                if not every:
                    every = [dict.fromkeys(open_parquet(file).schema_arrow.names)]
                missing = missing_column(every, required)
                raise ValueError(f"{file}: {missing}: {advice}")

    def _chosen(self, file: Path) -> list[str] | None:
        """The columns to read; None for all."""
        if not _is_parquet(file):
            return None
        return [name for name in open_parquet(file).schema_arrow.names if name.strip().casefold() in self._columns]

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
            passed = 0
            if _is_parquet(file):  # rows that were prepared in an earlier run
                passed = max(0, min(skip - self._done, open_parquet(file).metadata.num_rows))
            self._done += passed
            for row in read_rows(file, self._chosen(file), passed):
                self._done += 1
                if self._done > skip:
                    yield row


def _is_parquet(file: Path) -> bool:
    return file.suffix.lower() == ".parquet"


class Hub:
    """Rows of a data set on the hub, streamed through ``datasets``: nothing is stored on disk.

    Args:
        name: the data set, or a folder laid out like one.
        config, split: as in ``load_dataset``.
        revision: a commit, tag or branch; recorded as the commit that it stood for.
        columns: the only ones to use; ``a.b`` for what is inside a.
    """

    def __init__(self, name: str, config: str | None, split: str, revision: str, columns: Sequence[str]) -> None:
        self._identity = {"kind": "hub", "name": name, "config": config, "split": split}
        self._columns = list(dict.fromkeys(name.partition(".")[0] for name in columns))
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
        self._stream = stream if have is None else stream.select_columns([c for c in self._columns if c in have])

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
        """See `Source`.

        Raises:
            ValueError: the hub cannot be reached, or no longer.
        """
        import httpx

        if self._stream is None:
            self.open()
        if start is not None:
            self._stream.load_state_dict(start)
        try:
            yield from self._stream
        except (OSError, httpx.HTTPError, pa.ArrowException) as error:
            raise ValueError(
                f"{self._identity['name']} could not be read on ({type(error).__name__}: {error}); the same command "
                "continues from here"
            ) from error
