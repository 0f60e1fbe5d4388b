r"""The records of the preparation, and the row of a training file that one becomes (docs/data-format.md)."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pyarrow as pa

SYSTEM_PROMPT = (
    "Solve the problem by reasoning step by step. Finish with a single final answer, written inside \\boxed{}."
)

MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
SCHEMA = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("problem", pa.string()),
        ("solution", pa.string()),
        ("prompt", pa.list_(MESSAGE)),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        ("data_source", pa.string()),
        ("extra_info", pa.struct([("split", pa.string()), ("index", pa.int64())])),
        ("reference_response", pa.string()),
    ]
)


class Reason(str, Enum):
    """Why a row is not in the training file, in the order of the checks."""

    UNREADABLE = "unreadable"
    """Not JSON or CSV, no such column, or a value of a type that makes no sense there."""
    MISSING_PROBLEM = "missing_problem"
    MISSING_SOLUTION = "missing_solution"
    MISSING_ANSWER = "missing_answer"
    AMBIGUOUS_ANSWER = "ambiguous_answer"
    """Several boxes that differ, and no column that says which."""
    NO_ACCEPTED_TRACE = "no_accepted_trace"
    """OpenR1: no R1 trace ends in the answer."""
    TRACE_TOO_LONG = "trace_too_long"
    """OpenR1: every accepted trace reaches the limit of tokens."""
    UNVERIFIABLE_ANSWER = "unverifiable_answer"
    """A placeholder, or the verifier accepts neither the reference answer nor a reference response for it."""
    CONTAMINATED = "contaminated"
    """Shares an n-gram with a benchmark."""
    DUPLICATE = "duplicate"
    CONFLICTING_DUPLICATE = "conflicting_duplicate"
    """A duplicate whose answer differs from that of the row that is kept."""
    REPEATED_ID = "repeated_id"
    """The id belongs to another problem already."""
    HELD_OUT = "held_out"
    """Fine, and in the validation file."""
    NOT_SAMPLED = "not_sampled"
    """Fine, but not in the seeded sample."""

    __str__ = str.__str__


@dataclass(frozen=True)
class Trace:
    """A response that a data set brings along."""

    text: str
    accepted: bool
    """Whether the data set says that it ends in the answer."""
    complete: bool


@dataclass(frozen=True)
class Record:
    """A row that has what a training file needs."""

    row: int
    """Its number in the source, from 0."""
    prompt_id: str
    problem: str
    solution: str | None
    answer: str
    data_source: str
    reference_response: str | None = None
    """What SFT and LUFFY train on, where it is not the solution."""
    traces: tuple[Trace, ...] | None = None
    """None where the source has no traces."""


@dataclass(frozen=True)
class Dropped:
    """A row that is left out, and why."""

    row: int
    prompt_id: str | None
    reason: Reason
    details: str

    def to_json(self) -> dict[str, Any]:
        return {"row": self.row, "prompt_id": self.prompt_id, "reason": str(self.reason), "details": self.details}

    def to_line(self) -> str:
        return json.dumps(self.to_json(), ensure_ascii=False) + "\n"


_SPACING = re.compile(r"\\(?:left|right|displaystyle|quad|qquad)(?![a-z])|\\[!,;:> ()\[\]]|[\s$~]+")


def normalise_problem(text: str) -> str:
    """A problem without what typesetting may change: case, spaces, dollars, sizes, compatibility characters.

    Different problems may look the same here: *Find A* and *Find a*, *1 1/2* and *11/2*. See `exact_problem`.
    """
    text = unicodedata.normalize("NFKC", text).casefold().replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac")
    return _SPACING.sub("", text).rstrip(".")


_SIZES = re.compile(r"\\(?:left|right|displaystyle)(?![A-Za-z])|\\!")
_BLANKS = re.compile(r"\\(?:quad|qquad)(?![A-Za-z])|\\[,;:> ()\[\]]|[\s$~]+")
_LOOSE_BLANK = re.compile(r"(?<!\w) | (?!\w)")


def exact_problem(text: str) -> str:
    """A problem without what surely changes nothing: case, superscripts and blanks between words or numbers stay."""
    text = unicodedata.normalize("NFC", text).replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac")
    return _LOOSE_BLANK.sub("", _BLANKS.sub(" ", _SIZES.sub("", text)).strip()).rstrip(".")


def text_id(problem: str) -> str:
    """A stable id from the normalised problem."""
    return hashlib.sha256(normalise_problem(problem).encode()).hexdigest()[:24]


def exact_id(problem: str) -> str:
    """The id of a problem whose `text_id` belongs to another one already."""
    return hashlib.sha256(exact_problem(problem).encode()).hexdigest()[:24]


def chat(problem: str, system: str) -> list[dict[str, str]]:
    """The messages of a plain prompt; an empty system text leaves that turn out."""
    head = [{"role": "system", "content": system}] if system else []
    return [*head, {"role": "user", "content": problem}]


def training_row(record: Record, system: str, split: str = "train") -> dict[str, Any]:
    """The row of `SCHEMA`."""
    return {
        "prompt_id": record.prompt_id,
        "problem": record.problem,
        "solution": record.solution,
        "prompt": chat(record.problem, system),
        "reward_model": {"style": "rule", "ground_truth": record.answer},
        "data_source": record.data_source,
        "extra_info": {"split": split, "index": record.row},
        "reference_response": record.reference_response,
    }
