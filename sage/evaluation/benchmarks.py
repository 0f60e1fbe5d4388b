"""The eight benchmarks of the paper, and files of one's own: which file, and its rows as one kind of record.

Rows are never dropped: one that cannot be read is an error that names file, row and column. Of GPQA, whose authors ask
that it is not published, nothing but the row number and the name of the column is ever put in a message.
"""

from __future__ import annotations

import json
import logging
import random
import re
from collections.abc import Sequence
from pathlib import Path

from sage.evaluation.choices import LETTERS, Question, read_options, right_options
from sage.evaluation.problems import Problem, Row, read_problem, right_cells, with_options
from sage.support.model import digest
from sage.support.rows import SUFFIXES, Unreadable, read_rows

BENCHMARKS = ("aime24", "aime25", "amc23", "math500", "minerva", "olympiadbench", "gpqa", "mmlu_pro")
"""In the paper's order."""
IN_DISTRIBUTION = BENCHMARKS[:6]
OUT_OF_DISTRIBUTION = BENCHMARKS[6:]
PRIVATE = ("gpqa",)
"""Benchmarks of which no text is stored: neither questions nor responses, and of answers only the letter."""
FILE_NAMES = {"minerva": ("minerva", "minerva_math"), "gpqa": ("gpqa", "gpqa_diamond")}

logger = logging.getLogger(__name__)


def find_benchmark(name: str, folder: Path) -> Path | None:
    """The file of a benchmark in a folder, such as ``minerva_math.jsonl`` or ``gpqa_diamond.csv``; None if absent."""
    stems = FILE_NAMES.get(name, (name,))
    return next((p for stem in stems for suffix in SUFFIXES if (p := folder / (stem + suffix)).is_file()), None)


def choose_files(wanted: Sequence[str] | None, folder: Path | None) -> tuple[dict[str, Path], list[str]]:
    """Name and file of each benchmark, in the paper's order, one's own last; and those that have none.

    Args:
        wanted: ``NAME`` of a file in the folder, or ``NAME=FILE``; None for all of `BENCHMARKS` that the folder has.
        folder: holds files such as ``aime24.jsonl``.

    Raises:
        ValueError: a benchmark that is wanted has no file, two have one name, or a name is none.
    """
    files: dict[str, Path] = {}
    absent = []
    if folder and not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; name the one that holds the benchmark files")
    for item in BENCHMARKS if wanted is None else wanted:
        name, mark, path = item.partition("=")
        if not re.fullmatch(r"\w[\w.+-]*", name):
            raise ValueError(
                f"{item!r}: {name!r} cannot name a benchmark; use NAME or NAME=FILE, with letters and digits"
            )
        if mark and not path:
            raise ValueError(f"{item!r} names no file; use {name}=FILE")
        if name in files:
            raise ValueError(f"{name} is named twice; give every benchmark a name of its own")
        found = Path(path) if path else find_benchmark(name, folder) if folder else None
        if found:
            files[name] = found
        elif wanted is None:
            absent.append(name)
        else:
            raise ValueError(f"{name}: no such file in {folder or 'any folder that is named'}; give it as {name}=FILE")
    if not files:
        raise ValueError(
            f"{folder} holds none of the benchmark files; they are named {', '.join(BENCHMARKS)}.jsonl"
            if folder
            else "no benchmark; name their folder, or a file by NAME=FILE"
        )
    order = [*(name for name in BENCHMARKS if name in files), *(name for name in files if name not in BENCHMARKS)]
    return {name: files[name] for name in order}, absent


def load_benchmark(name: str, path: str | Path) -> list[Problem]:
    """Read a benchmark.

    Rows without an id that repeat another one in everything are one problem; how many there are is logged.

    Args:
        name: one of `BENCHMARKS`, or any other name for a file of one's own: rows with ``problem`` or ``question``,
            ``answer`` and, optionally, an id; ``options`` or ``choices`` make it multiple choice. Files in the format
            that verl trains on are read too, with their own prompts.
        path: ``.jsonl``, ``.json``, ``.parquet`` or ``.csv``.

    Raises:
        ValueError: the file is missing, empty or of another type, or a row lacks something. The message names file, row
            (from 0) and column.
    """
    path = Path(path)
    rows = []
    for number, values in enumerate(read_rows(path)):
        where = f"{path}, row {number}"
        if isinstance(values, Unreadable):
            raise ValueError(f"{values.why} (row {number})")
        rows.append(Row(where, number, values))
    if not rows:
        raise ValueError(f"{path}: the file has no rows")
    if name == "gpqa":
        return _unlike(path, rows, [_gpqa(row) for row in rows])
    options = [read_options(row.values, row.where) for row in rows]
    asked = [Question(r.where, found, right_cells(r)) for r, found in zip(rows, options, strict=True) if found]
    letters = iter(right_options(asked))
    problems = [
        read_problem(row, found, next(letters) if found else None) for row, found in zip(rows, options, strict=True)
    ]
    return _unlike(path, rows, problems)


def problems_digest(problems: Sequence[Problem]) -> str:
    """Changes with everything that is asked, and with how it is read."""
    asked = [(p.problem_id, p.question, p.answer, p.messages) for p in problems]
    return digest(json.dumps(asked).encode())


def _unlike(path: Path, rows: Sequence[Row], problems: Sequence[Problem]) -> list[Problem]:
    """The problems without those that repeat another one.

    Raises:
        ValueError: an id is used twice.
    """
    ids: dict[str, int] = {}
    contents: dict[object, int] = {}
    kept = []
    for row, problem in zip(rows, problems, strict=True):
        if row.problem_id() is None:
            content = (problem.question, problem.answer, str(problem.messages))
            if content in contents:
                continue
            contents[content] = row.number
        first = ids.setdefault(problem.problem_id, row.number)
        if first != row.number:
            raise ValueError(f"{row.where}: its id repeats that of row {first}")
        kept.append(problem)
    if len(kept) < len(rows):
        logger.warning(
            "%s: %d of %d rows repeat another one and are left out; how often each problem is asked is for you to say",
            path, len(rows) - len(kept), len(rows),
        )  # fmt: skip
    return kept


def _gpqa(row: Row) -> Problem:
    """A row of the original release: the right option is shuffled among the others by a seed from the record's id."""
    right = row.text("correct answer")
    options = [right, *(row.text(f"incorrect answer {n}") for n in (1, 2, 3))]
    record = row.text("record id")
    order = list(range(4))
    random.Random(f"gpqa/{record}").shuffle(order)
    question = with_options(row.text("question"), [options[n] for n in order])
    return Problem(record, question, LETTERS[order.index(0)], 4, row=row.number)
