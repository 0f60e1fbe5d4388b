"""Hints that were written before, one a row: JSONL or Parquet with ``prompt_id``, ``level`` and ``hint``.

Several rows of one prompt and level are draws, in the order of a column ``draw`` or else of the file; each visit uses
the next one. ``scripts/write_hints.py`` writes such files: hints by the initial policy are the paper's *offline* hints,
those by a stronger model its *teacher* hints.
"""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sage.hints.sources import HintQuery, HintSettings, HintSource, Policy, Reply
from sage.method.records import HintFailure, Prompt
from sage.support.rows import Unreadable, read_lines, read_rows

logger = logging.getLogger(__name__)
SUFFIXES = (".jsonl", ".parquet")


@dataclass
class HintFile(HintSource):
    """Hints read from a file."""

    needs_solution = False
    verbatim = True

    path: Path
    hints: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    """The draws of each prompt id and level, in order."""

    @classmethod
    def takes(cls, spec: str) -> bool:
        return spec.endswith(SUFFIXES)

    @classmethod
    def open(cls, spec: str, settings: HintSettings) -> HintFile:
        return cls.load(spec, settings.max_level)

    @classmethod
    def load(cls, path: str | Path, max_level: int) -> HintFile:
        """Read a hint file. Hints of levels above ``max_level`` are left out, and their number is logged.

        Raises:
            ValueError: the file is missing, cannot be read or has no hints of these levels, a row lacks a column or has
                a bad value, or two are the same draw; names file and row.
        """
        found = cls(Path(path))
        if not os.path.isfile(path):
            raise ValueError(f"sage.hint_source={path}: no such file; write one with scripts/write_hints.py")
        draws: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
        places: dict[tuple[str, int, int], str] = {}
        above = 0
        for where, row in _rows(found.path):
            prompt_id, level, draw, hint = _checked(where, row, max_level)
            if level > max_level:
                above += 1
                continue
            known = draws[prompt_id, level]
            if draw is not None and (first := places.setdefault((prompt_id, level, draw), where)) != where:
                raise ValueError(
                    f"{where}: draw {draw} of prompt_id {prompt_id!r} and level {level} is also in {first}; take one "
                    "of them out, number the draws, or leave the column draw out"
                )
            known.append((len(known) if draw is None else draw, hint))
        if not draws:
            raise ValueError(f"{path}: no hints in it" + (f" of levels up to sage.max_level={max_level}" * (above > 0)))
        if above:
            logger.warning("%s: %d hints of levels above sage.max_level=%d are not used", path, above, max_level)
        found.hints = {key: [hint for _, hint in sorted(values)] for key, values in draws.items()}
        return found

    async def ask(self, query: HintQuery, policy: Policy) -> Reply | HintFailure:
        return self.draw(query.prompt.prompt_id, query.level, query.visit + query.attempt)

    def example(self, prompt: Prompt) -> str | None:
        return self.longest(prompt.prompt_id)

    def covered(self, prompt_ids: Collection[str], level: int) -> int:
        """How many of these prompts have a hint of a level."""
        return sum((prompt_id, level) in self.hints for prompt_id in set(prompt_ids))

    def longest(self, prompt_id: str) -> str | None:
        """A prompt's longest hint, in characters; None where it has none."""
        drawn = [hint for level in (1, 2, 3) for hint in self.hints.get((prompt_id, level), ())]
        return max(drawn, key=len, default=None)

    def draw(self, prompt_id: str, level: int, number: int) -> Reply | HintFailure:
        """The hint of a level for the ``number``-th draw, counted from 0; draws repeat when all were used."""
        hints = self.hints.get((prompt_id, level))
        if not hints:
            return HintFailure.NOT_IN_FILE
        return Reply(hints[number % len(hints)], 0, 0.0)


def _checked(where: str, row: dict[str, Any], max_level: int) -> tuple[str, int, int | None, str]:
    """Prompt id, level, draw (None: in the order of the file) and hint of a row.

    Raises:
        ValueError: one of them is missing or cannot be used.
    """
    missing = {"prompt_id", "level", "hint"} - set(row)
    if missing:
        raise ValueError(f"{where}: {sorted(missing)[0]!r} is missing; it has {', '.join(row)}")
    prompt_id, hint = row["prompt_id"], row["hint"]
    level, draw = _whole(row["level"]), _whole(row.get("draw"))
    if not isinstance(prompt_id, str | int) or isinstance(prompt_id, bool):
        raise ValueError(f"{where}: prompt_id is {prompt_id!r}; give the prompt_id of the training file")
    if level is None or level < 1:
        raise ValueError(f"{where}: level is {row['level']!r}; levels are 1 to {max_level}")
    if draw is None and row.get("draw") is not None:
        raise ValueError(f"{where}: draw is {row['draw']!r}; give a whole number, or leave the column out")
    if not isinstance(hint, str) or not hint.strip():
        raise ValueError(f"{where}: hint is {hint!r}; leave the row out if there is no hint")
    return str(prompt_id), level, draw, hint.encode("utf-8", "replace").decode("utf-8")


def _whole(value: object) -> int | None:
    """A whole number, which a table with gaps may hold as 1.0; else None."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    numbered = ((f"{path}, row {number}", row) for number, row in enumerate(read_rows(path)))
    for where, row in numbered if path.suffix == ".parquet" else read_lines(path):
        if isinstance(row, Unreadable):
            raise ValueError(row.why)
        yield where, row
