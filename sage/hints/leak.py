r"""The answer-leak guard: find and take out of a hint what states the final answer (SAGE Section 3: hints never do).

Answers are compared with the verifier, so 0.5, ``\frac{1}{2}``, 1/2 and ``50\%`` are one answer; numbers in words,
plain typing (``2*sqrt(3)``) and Unicode (``2√3``) are read as LaTeX first (`sage.hints.spoken`). What counts depends on
how telling the answer is:

(a) Always a leak: the content of ``\boxed{}``, and a value that the hint announces as the answer in one of several
    languages (`sage.hints.announce`); of a numeric answer, a calculation that is left to do (``15+95+8``) is none.
(b) If the answer is distinctive, also other mentions: a number or fraction, inside a word too (``d085``), a formula in
    dollars or without, the right-hand side of an equation, or the answer's own text. A formula that only comes to the
    answer when it is worked out (``500+524``, the product that is to be expanded) is none; one in another closed form
    (``2^{10}``, ``\sqrt{8}``) is, where the hint says that something *is* or *gives* it.

Integers of at most two digits, single words of at most seven letters, and other answers of at most two characters or
one symbol are not distinctive: a hint can hardly be written without a 2 or "yes", so they leak under (a) only. The
guard errs on the side of taking too much out; a number of the problem that happens to be the answer goes as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sage.grading.answers import number
from sage.grading.notation import normalise
from sage.grading.responses import boxed_spans
from sage.grading.verifier import LeakFinder, Verifier
from sage.hints.announce import AFTER, BEFORE, CHOICE
from sage.hints.comparison import Comparison
from sage.hints.spoken import CHINESE, SPOKEN_TERM, as_latex, plain
from sage.hints.values import MAX_CHARS, Span, mentions, values_after, values_before

PLACEHOLDER = "[...]"
_LOOSE = re.compile(r"half\b|an? ", re.IGNORECASE)
_AFTER_DIGIT = re.compile(r"\d\s\Z")


def find_leaks(hint: str, answer: str, verifier: Verifier) -> list[Span]:
    """Character spans of a hint that state the answer, in order and without overlaps.

    Every candidate is compared with the answer as text and as a plain number; for those equal as numbers, and for a
    bounded number of others, the verifier decides (`Comparison`). The time is linear in the length of the hint apart
    from that. A verifier whose answers are no values brings its own ``find_leaks(hint, answer)``, called instead.

    Args:
        hint: the hint as the policy wrote it.
        answer: the reference answer; values cannot be found for an empty one.
        verifier: decides which values are the same; with exact semantics 085 and 85 are not.
    """
    if isinstance(verifier, LeakFinder):
        return _merge(verifier.find_leaks(hint, answer))
    answer = answer.strip()
    if not normalise(answer):
        return []
    hint = plain(hint)
    compare = Comparison(answer, verifier)
    found = list(_announced(hint, compare))
    if is_distinctive(answer):
        found.extend(_mentioned(hint, compare))
        found.extend(_own_text(hint, answer))
    return _merge(found)


def redact(hint: str, spans: list[Span], placeholder: str = PLACEHOLDER) -> str:
    """The hint with every span replaced by a placeholder; overlapping spans become one."""
    parts, position = [], 0
    for start, end in _merge(spans):
        parts += [hint[position:start], placeholder]
        position = end
    return "".join(parts) + hint[position:]


def is_distinctive(answer: str) -> bool:
    """Whether a bare mention of the answer tells it (see the module's policy)."""
    text = normalise(answer).rpartition("=")[2].strip("()")
    if re.fullmatch(r"[A-Za-z]{1,7}|\\[A-Za-z]+", text) or len(text) <= 2:
        return False
    value = number(text)
    return value is None or value.value.denominator != 1 or bool(re.search(r"\d{3}", text)) or abs(value.value) > 99


def _announced(hint: str, compare: Comparison) -> Iterator[Span]:
    """Leaks of kind (a)."""
    for start, end in boxed_spans(hint):
        if compare(hint[start:end]):
            yield start, end
    for cue in AFTER.finditer(hint):
        yield from (span for span in values_after(hint, cue.end()) if compare.announced(hint[slice(*span)]))
    for cue in BEFORE.finditer(hint):
        yield from (span for span in values_before(hint, cue.start()) if compare.announced(hint[slice(*span)]))
    for cue in CHOICE.finditer(hint):
        span = cue.span(cue.lastindex or 0)
        if compare(hint[slice(*span)]):
            yield span


def _mentioned(hint: str, compare: Comparison) -> Iterator[Span]:
    """Leaks of kind (b)."""
    for span, said in mentions(hint):
        if compare.mention(hint[slice(*span)], said):
            yield span
    for pattern in (SPOKEN_TERM, CHINESE):
        for match in pattern.finditer(hint):
            written = as_latex(match.group())
            # "half of them" states nothing, and "3 million" is not a million
            loose = _LOOSE.match(match.group()) or _AFTER_DIGIT.search(hint, 0, match.start())
            if not loose and is_distinctive(written) and compare.mention(written, said=False):
                yield match.span()


def _own_text(hint: str, answer: str) -> Iterator[Span]:
    """The answer's own text where no dollars mark it, blanks aside."""
    text = normalise(answer)
    if number(text) is not None or not 3 <= len(text) <= MAX_CHARS:
        return
    written = r"\s?".join(map(re.escape, text.replace(" ", "")))
    for match in re.finditer(rf"(?<![A-Za-z0-9]){written}(?![A-Za-z0-9])", hint):
        yield match.span()


def _merge(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged
