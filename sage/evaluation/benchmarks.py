r"""The eight benchmarks of the paper, and files of one's own, as one kind of record.

Releases of one benchmark differ in small ways: the column is called ``problem`` or ``question``, answers are floats
(AMC23: ``27.0``), lists of one text wrapped in dollars (OlympiadBench), zero-padded (AIME24: ``025``) or only in the
last ``\boxed{}`` of the solution (Minerva). All of that ends here. Rows are never dropped: one that cannot be read is
an error that names file, row and column. Of GPQA, whose authors ask that it is not published, nothing but the row
number and the name of the column is ever put in a message.
"""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sage.grading.answers import last_boxed
from sage.hints.prompts import Message

BENCHMARKS = ("aime24", "aime25", "amc23", "math500", "minerva", "olympiadbench", "gpqa", "mmlu_pro")
"""In the paper's order."""
IN_DISTRIBUTION = BENCHMARKS[:6]
OUT_OF_DISTRIBUTION = BENCHMARKS[6:]
PRIVATE = ("gpqa",)
"""Benchmarks of which no text is stored: neither questions nor responses, and of answers only the letter."""
FILE_NAMES = {"minerva": ("minerva", "minerva_math"), "gpqa": ("gpqa", "gpqa_diamond")}
SUFFIXES = (".jsonl", ".parquet", ".csv")

LETTERS = "ABCDEFGHIJ"

_IDS = ("prompt_id", "problem_id", "unique_id", "question_id", "record id", "id", "index", "idx")
_QUESTIONS = ("problem", "question")
_ANSWERS = ("answer", "final_answer")
_LETTER_WANTED = "Give only the letter of the right option as the final answer."


@dataclass(frozen=True)
class Problem:
    """One problem of a benchmark."""

    problem_id: str
    """Unique in its benchmark and stable between runs."""
    question: str
    """What the model reads as the user's turn; the options of multiple choice are lettered lines at its end."""
    answer: str
    """The reference answer; a letter for multiple choice."""
    choices: int = 0
    """How many options there are; 0 where the answer is open."""
    messages: tuple[Message, ...] | None = None
    """The chat messages, where the file brings its own (the project's data format)."""


def find_benchmark(name: str, folder: Path) -> Path | None:
    """The file of a benchmark in a folder, such as ``minerva_math.jsonl`` or ``gpqa_diamond.csv``; None if absent."""
    stems = FILE_NAMES.get(name, (name,))
    return next((p for stem in stems for suffix in SUFFIXES if (p := folder / (stem + suffix)).is_file()), None)


def load_benchmark(name: str, path: str | Path) -> list[Problem]:
    """Read a benchmark.

    Args:
        name: one of `BENCHMARKS`, or any other name for a file of one's own: rows with ``problem`` or ``question``,
            ``answer`` and, optionally, an id; ``options`` make it multiple choice. A Parquet file in the format that
            the project trains on is read too, with its own prompts.
        path: ``.jsonl``, ``.parquet`` or ``.csv``.

    Raises:
        ValueError: the file is missing, empty or of another type, or a row lacks something. The message names file, row
            (from 0) and column.
    """
    path = Path(path)
    rows = _read(path)
    if not rows:
        raise ValueError(f"{path}: the file has no rows")
    read = _gpqa if name == "gpqa" else _trained_on if "reward_model" in rows[0] else _ordinary
    problems = [read(_Row(f"{path}, row {number}", number, row)) for number, row in enumerate(rows)]
    seen: dict[str, int] = {}
    for number, problem in enumerate(problems):
        first = seen.setdefault(problem.problem_id, number)
        if first != number:
            raise ValueError(f"{path}, row {number}: its id repeats that of row {first}")
    return problems


@dataclass(frozen=True)
class _Row:
    """A row that knows where it comes from. Columns are found whatever their case."""

    where: str
    number: int
    values: Mapping[str, Any]

    def get(self, names: Iterable[str]) -> tuple[str, Any]:
        """Name and value of the first of these columns that is there and not null.

        Raises:
            ValueError: none is.
        """
        names = tuple(names)
        for name in names:
            for key, value in self.values.items():
                if key.lower() == name and value is not None:
                    return key, value
        raise ValueError(f"{self.where}: {' or '.join(map(repr, names))} is missing")

    def text(self, *names: str) -> str:
        """As `get`, for a text that must not be empty."""
        key, value = self.get(names)
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{self.where}: {key!r} must be a text, not {type(value).__name__} or empty")
        return value.strip()

    def has(self, *names: str) -> bool:
        return any(key.lower() in names and value is not None for key, value in self.values.items())

    def problem_id(self) -> str:
        """The id; the row number where the file has no column for it."""
        if not any(key.lower() in _IDS for key in self.values):
            return str(self.number)
        return str(self.get(_IDS)[1])


def _ordinary(row: _Row) -> Problem:
    question = row.text(*_QUESTIONS)
    if row.has("context"):
        question = f"{row.text('context')}\n\n{question}"
    if row.has("options"):
        key, options = row.get(["options"])
        if not isinstance(options, list) or not all(isinstance(o, str) and o.strip() for o in options):
            raise ValueError(f"{row.where}: {key!r} must be a list of texts")
        return _multiple_choice(row, question, options)
    if row.has(*_ANSWERS):
        answer = _answer(row)
    else:
        boxed = last_boxed(row.text("solution")) if row.has("solution") else None
        if not boxed:
            raise ValueError(rf"{row.where}: 'answer' is missing, and no 'solution' ends in \boxed{{}}")
        answer = boxed
    return Problem(row.problem_id(), question, answer)


def _answer(row: _Row) -> str:
    key, value = row.get(_ANSWERS)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value != value:
        raise ValueError(f"{row.where}: {key!r} must be a text or a number, not {type(value).__name__}")
    # Dollars wrap the answer, or each of several; \$ is money. Minerva has one answer in Python.
    text = re.sub(r"(?<!\\)\$", "", str(value)).replace("np.", "\\").strip().rstrip(".")
    if not text:
        raise ValueError(f"{row.where}: {key!r} is empty")
    return str(int(text)) if re.fullmatch(r"0\d+", text) else text


def _multiple_choice(row: _Row, question: str, options: Sequence[str]) -> Problem:
    letter = row.text("answer").upper()
    if len(options) > len(LETTERS) or letter not in list(LETTERS[: len(options)]):
        raise ValueError(f"{row.where}: 'answer' must be the letter of one of the {len(options)} options (at most 10)")
    if row.has("answer_index") and row.get(["answer_index"])[1] != LETTERS.index(letter):
        raise ValueError(f"{row.where}: 'answer' and 'answer_index' name different options")
    return Problem(row.problem_id(), _with_options(question, options), letter, len(options))


def _with_options(question: str, options: Sequence[str]) -> str:
    lines = [f"{letter}. {option.strip()}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([question, "", *lines, "", _LETTER_WANTED])


def _gpqa(row: _Row) -> Problem:
    """A row of the original release: the right option is shuffled among the others by a seed from the record's id."""
    right = row.text("correct answer")
    options = [right, *(row.text(f"incorrect answer {n}") for n in (1, 2, 3))]
    record = row.text("record id")
    order = list(range(4))
    random.Random(f"gpqa/{record}").shuffle(order)
    question = _with_options(row.text("question"), [options[n] for n in order])
    return Problem(record, question, LETTERS[order.index(0)], 4)


def _trained_on(row: _Row) -> Problem:
    messages = row.get(["prompt"])[1]
    if not messages or messages[-1].get("role") != "user":
        raise ValueError(f"{row.where}: the last message of 'prompt' must be the user's")
    answer = (row.get(["reward_model"])[1] or {}).get("ground_truth")
    if answer is None or not str(answer).strip():
        raise ValueError(f"{row.where}: reward_model.ground_truth is missing")
    turns = tuple({"role": str(m["role"]), "content": str(m["content"])} for m in messages)
    return Problem(row.text("prompt_id"), turns[-1]["content"], str(answer), messages=turns)


def _read(path: Path) -> list[dict[str, Any]]:
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: a benchmark must be a file in {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give the path of the benchmark's file")
    if path.suffix == ".parquet":
        try:
            return pq.read_table(path).to_pylist()
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path} is not a Parquet file") from error
    if path.suffix == ".csv":
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, restkey=""))
        for number, row in enumerate(rows):
            if "" in row:
                raise ValueError(f"{path}, row {number}: more cells than the header has")
        return rows
    objects = []
    # Not splitlines(): it also splits at separators such as U+2028 inside a JSON string.
    for number, line in enumerate(path.read_text(encoding="utf-8").rstrip("\n").split("\n")):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, row {number}: not JSON at column {error.colno}") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path}, row {number}: not a JSON object")
        objects.append(row)
    return objects
