r"""Reference answers: where a row has one, and what of it is the answer."""

from __future__ import annotations

import re

from sage.grading.comparison import compare
from sage.grading.no_answer import why_no_mathematics
from sage.grading.responses import boxed_spans, last_boxed

_ANNOUNCED = re.compile(
    r"(?:(?:so|thus|hence|therefore),?\s+)?(?:the\s+)?(?:(?:final|correct|right)\s+)?"
    r"(?:(?:answer|ans|solution|result)\.?\s*[:\uff1a=]|(?:answer|solution|result)\s+is\s*:?(?=\s)|"
    r"\u7b54\u6848\s*[:\uff1a\u662f\u4e3a])\s*",  # the same in Chinese
    re.IGNORECASE,
)


def bare_answer(answer: str) -> str:
    r"""What of an answer's cell is the answer: a box's content, what follows ``####``, or what an announcement says.

    Raises:
        ValueError: there are several boxes that differ.
    """
    if several := differing_boxes(answer):
        raise ValueError(several)
    if found := answer_of(answer):
        return found
    return _ANNOUNCED.sub("", answer, count=1).strip() if _ANNOUNCED.match(answer) else answer


def _boxes(text: str) -> list[str]:
    """What the boxes hold, the innermost where one is in another."""
    spans = boxed_spans(text)
    inner = [
        s for n, s in enumerate(spans) if not (n and spans[n - 1][0] >= s[0])
    ]  # an inner one ends before its outer
    return [box for start, end in inner if (box := text[start:end].strip())]


def differing_boxes(text: str) -> str | None:
    """What to say of a text whose boxes hold different answers; None where they agree."""
    first, *others = _boxes(text) or [""]
    for other in others:
        if other != first and not compare(other, first):
            return f"{len(others) + 1} boxes that differ: {first[:80]!r} and {other[:80]!r}"
    return None


def _parts(text: str) -> tuple[str, str] | None:
    """What stands before ``####`` and behind it, where that is the end of the last line (GSM8K)."""
    before, mark, after = text.rstrip().rpartition("####")
    return (before, after.strip()) if mark and after.strip() and "\n" not in after else None


def answer_of(solution: str) -> str | None:
    r"""The last ``\boxed{}`` of a solution, or else what follows ``####`` in its last line (GSM8K)."""
    if boxed := _boxes(solution):
        return boxed[-1]
    parts = _parts(solution)
    return parts and parts[1]


def is_solution(answer: str) -> bool:
    """Whether the cell of an answer holds a whole solution that ends in its answer, as in GSM8K's own files."""
    if parts := _parts(answer):
        return bool(parts[0].strip())
    return bool(_boxes(answer)) and why_no_mathematics(answer) is not None


def boxed_response(solution: str, answer: str) -> str | None:
    r"""The solution as a response that the verifier can read; None where it has a ``\boxed{}`` already.

    GSM8K's marks for a calculator (``<<2*3=6>>``) and its ``####`` line are not text that a model should learn.
    """
    if last_boxed(solution) is not None:
        return None
    if parts := _parts(solution):
        solution = re.sub(r"<<[^<>]*>>", "", parts[0])
    return f"{solution.rstrip()}\n\nThe final answer is \\boxed{{{answer}}}."
