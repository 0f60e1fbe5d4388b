"""Samples on disk: one JSONL file a benchmark, which grows as samples finish and is sorted when all are there.

What a file holds does not depend on the order in which samples finished, nor on interruptions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sage.support.documents import cut_torn_line, parse, read_json, whole_lines
from sage.support.files import whole, write_json

ADVICE = "so the line is no sample: delete it"
TOO_LONG = "prompt_too_long"
Key = tuple[str, int]
"""Problem id and number of the sample."""


@dataclass(frozen=True)
class Sample:
    problem_id: str
    sample: int
    answer: str | None
    """The extracted answer; None where there is none."""
    correct: bool
    tokens: int
    """Tokens of the response."""
    finish: str
    """``stop``, ``length`` (truncated), or ``prompt_too_long``: nothing was generated."""
    response: str | None = None
    """The text; None where it is not stored."""

    @property
    def key(self) -> Key:
        return self.problem_id, self.sample

    def line(self) -> str:
        row = asdict(self)
        if self.response is None:
            del row["response"]
        return json.dumps(row, ensure_ascii=False) + "\n"


class SampleFile:
    """The samples of one model on one benchmark."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[Key, Sample]:
        """Every sample on file, without its response. A line cut off by an interruption is removed first.

        Raises:
            ValueError: another line is not a sample; the message names it.
        """
        found = {sample.key: sample for _, sample in self._samples()}
        cut_torn_line(self.path, b'{"problem_id": ')
        return found

    def append(self, sample: Sample) -> None:
        """Add a sample, so that it survives the end of this process."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab") as file:
            file.write(sample.line().encode())

    def sort(self, problem_ids: Sequence[str]) -> None:
        """Order the lines by problem and sample, each once. Needs memory for the index only."""
        if not self.path.exists():
            return
        rank = {problem_id: n for n, problem_id in enumerate(problem_ids)}
        offsets = {sample.key: offset for offset, sample in self._samples()}
        keys = sorted(offsets, key=lambda key: (rank.get(key[0], len(rank)), *key))
        if [offsets[key] for key in keys] == [offset for offset, _ in self._samples()]:
            return
        with open(self.path, "rb") as source, whole(self.path) as temporary, open(temporary, "wb") as target:
            for key in keys:
                source.seek(offsets[key])
                target.write(source.readline())

    def _samples(self) -> Iterator[tuple[int, Sample]]:
        if not self.path.exists():
            return
        offset = 0
        for where, line in whole_lines(self.path, ADVICE):
            sample: Sample = parse(Sample, line, where, ADVICE)
            yield offset, replace(sample, response=None)
            offset += len(line)


@dataclass(frozen=True)
class _Noted:
    """What `check_settings` writes."""

    settings: dict[str, Any]
    benchmarks: dict[str, str]


def _read_note(path: Path) -> _Noted:
    note: _Noted = read_json(_Noted, path, "use another --out or --name, or delete that folder")
    return note


def noted_settings(path: Path) -> dict[str, Any]:
    """What the samples beside a file of `check_settings` depend on; empty where there are none."""
    if not any(path.parent.glob("*.jsonl")):
        return {}
    if not path.exists():
        raise ValueError(
            f"{path} is missing, so how the samples beside it were drawn is not known; use another --out or --name, or "
            "delete that folder"
        )
    return _read_note(path).settings


def check_settings(path: Path, settings: dict[str, Any], benchmarks: dict[str, str]) -> None:
    """Refuse to continue samples that were drawn in another way; else note how these are.

    Args:
        path: the file that notes it, beside the samples.
        settings: what every sample depends on.
        benchmarks: name and a digest of each benchmark; others that the file knows already stay.

    Raises:
        ValueError: a setting or a benchmark has changed; the message names it and both values.
    """
    before = noted_settings(path)
    digests = _read_note(path).benchmarks if before else {}
    changes = [
        f"{key} was {old.get(key)!r} and is {value!r} now"
        for old, new in ((before or settings, settings), (benchmarks | digests, benchmarks))
        for key, value in new.items()
        if key not in old or old[key] != value
    ]
    if changes:
        raise ValueError(
            f"{path}: {'; '.join(changes)}, so the samples there cannot be continued; use another --out or --name, "
            "or delete that folder"
        )
    write_json(path, {"settings": settings, "benchmarks": digests | benchmarks})
