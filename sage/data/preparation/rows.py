r"""The records of the preparation, and the row of a training file that one becomes (README, "Data format")."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pyarrow as pa

from sage.grading.answers import boxed_spans, last_boxed

SYSTEM_PROMPT = (
    "Solve the problem by reasoning step by step. Finish with a single final answer, written inside \\boxed{}."
)

_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
SCHEMA = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("problem", pa.string()),
        ("solution", pa.string()),
        ("prompt", pa.list_(_MESSAGE)),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        ("data_source", pa.string()),
        ("extra_info", pa.struct([("split", pa.string()), ("index", pa.int64())])),
        ("reference_response", pa.string()),
    ]
)


class Reason(str, Enum):
    """Why a row is not in the training file, in the order of the checks."""

    UNREADABLE = "unreadable"
    """Not JSON, not an object, or a value of a type that cannot be meant."""
    MISSING_PROBLEM = "missing_problem"
    MISSING_SOLUTION = "missing_solution"
    MISSING_ANSWER = "missing_answer"
    NO_ACCEPTED_TRACE = "no_accepted_trace"
    """OpenR1: no R1 trace ends in the answer."""
    TRACE_TOO_LONG = "trace_too_long"
    """OpenR1: every accepted trace reaches the limit of tokens."""
    UNVERIFIABLE_ANSWER = "unverifiable_answer"
    """A placeholder, or the verifier does not accept the reference answer itself: no rollout could be correct."""
    CONTAMINATED = "contaminated"
    """Shares an n-gram with a benchmark."""
    DUPLICATE = "duplicate"
    CONFLICTING_DUPLICATE = "conflicting_duplicate"
    """A duplicate whose answer differs from that of the row that is kept."""
    REPEATED_ID = "repeated_id"
    """The id belongs to another problem already."""
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
    """A row that has everything it needs."""

    row: int
    """Its number in the source, from 0."""
    prompt_id: str
    problem: str
    solution: str | None
    answer: str
    data_source: str
    reference_response: str | None = None
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


_SPACING = re.compile(r"\\(?:left|right|displaystyle|quad|qquad)(?![a-z])|\\[!,;:> ()\[\]]|[\s$~]+")


def normalise_problem(text: str) -> str:
    """A problem without what typesetting may change: case, spaces, dollars, sizes, compatibility characters."""
    text = unicodedata.normalize("NFKC", text).casefold().replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac")
    return _SPACING.sub("", text).rstrip(".")


def text_id(problem: str) -> str:
    """A stable id from the normalised problem."""
    return hashlib.sha256(normalise_problem(problem).encode()).hexdigest()[:24]


def plain_text(value: Any) -> str:
    """A cell as text: 27.0 is 27, a list of one is its element, null is empty.

    Raises:
        ValueError: it is neither a text nor a number.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None or value != value:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"{type(value).__name__} where a text is expected")
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


_HASHES = re.compile(r"\n?#### *([^\n]+?)\s*$")


def answer_of(solution: str) -> str | None:
    r"""The last ``\boxed{}`` of a solution, or else what follows ``####`` in its last line (GSM8K)."""
    boxed = last_boxed(solution)
    if boxed:
        return boxed
    match = _HASHES.search(solution)
    return match.group(1) if match else None


def boxed_response(solution: str, answer: str) -> str | None:
    r"""The solution as a response that the verifier can read; None where it has a ``\boxed{}`` already.

    GSM8K's marks for a calculator (``<<2*3=6>>``) and its ``####`` line are not text that a model should learn.
    """
    if boxed_spans(solution):
        return None
    if match := _HASHES.search(solution):
        solution = re.sub(r"<<[^<>]*>>", "", solution[: match.start()])
    return f"{solution.rstrip()}\n\nThe final answer is \\boxed{{{answer}}}."


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
