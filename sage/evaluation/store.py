"""Samples on disk: one JSONL file a benchmark, which grows as samples finish and is sorted when all are there.

What a file holds does not depend on the order in which samples finished, nor on interruptions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sage.support.files import write_json

TOO_LONG = "prompt_too_long"
Key = tuple[str, int]
"""Problem id and number of the sample."""


@dataclass(frozen=True)
class Sample:
    """One graded response."""

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
        """The sample as a line of a file."""
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
        self._cut_torn_line()
        return {sample.key: sample for _, sample in self._samples()}

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
        temporary = self.path.with_name(self.path.name + ".part")
        with open(self.path, "rb") as source, open(temporary, "wb") as target:
            for key in keys:
                source.seek(offsets[key])
                target.write(source.readline())
        os.replace(temporary, self.path)

    def _cut_torn_line(self) -> None:
        if not self.path.exists():
            return
        with open(self.path, "rb+") as file:
            end = file.seek(0, os.SEEK_END)
            keep = end
            while keep:
                start = max(0, keep - (1 << 16))
                file.seek(start)
                newline = file.read(keep - start).rfind(b"\n")
                if newline >= 0:
                    keep = start + newline + 1
                    break
                keep = start
            if keep < end:
                file.truncate(keep)

    def _samples(self) -> Iterator[tuple[int, Sample]]:
        if not self.path.exists():
            return
        offset = 0
        with open(self.path, "rb") as file:
            for number, line in enumerate(file):
                try:
                    sample = Sample(**json.loads(line))
                except (ValueError, TypeError) as error:
                    raise ValueError(f"{self.path}, line {number + 1}: not a sample; delete the line") from error
                yield offset, replace(sample, response=None)
                offset += len(line)


def noted_settings(path: Path) -> dict[str, Any]:
    """What the samples beside a file of `check_settings` depend on; empty where there are none."""
    if not any(path.parent.glob("*.jsonl")):
        return {}
    if not path.exists():
        raise ValueError(
            f"{path} is missing, so how the samples beside it were drawn is not known; use another --out or --name, or "
            "delete that folder"
        )
    settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["settings"]
    return settings


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
    digests = json.loads(path.read_text(encoding="utf-8"))["benchmarks"] if before else {}
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
