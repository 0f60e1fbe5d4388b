r"""The answer-leak guard: find and take out of a hint what states the final answer (SAGE Section 3: hints never do).

Answers are compared with the verifier, so 0.5, ``\frac{1}{2}``, 1/2 and ``50\%`` are one answer. What counts depends on
how telling the answer is:

(a) Always a leak: the content of ``\boxed{}``, and a value that the hint announces as the answer ("the answer is",
    "final answer:", "the result is", "which is the answer", ``####``), also spelled out up to twenty.
(b) If the answer is distinctive, also every other mention: a number or fraction, inside a word too (``d085``), a
    formula in dollars, the right-hand side of an equation, or the answer's own text.

Integers of at most two digits, single words of at most seven letters, and other answers of at most two characters or
one symbol are not distinctive: a hint can hardly be written without a 2 or "yes", so they leak under (a) only. The
guard errs on the side of taking too much out; a number of the problem that happens to be the answer goes as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sage.grading.answers import Number, boxed_spans, letters, normalise, number, same_number
from sage.grading.verifier import LeakFinder, Verifier

PLACEHOLDER = "[...]"
MAX_SLOW = 32  # candidates that neither text nor plain numbers decide; each may cost tens of milliseconds
MAX_CANDIDATE_CHARS = 200
_VALUE_WINDOW = 160

Span = tuple[int, int]

_CUE = re.compile(
    r"""(?:
      \b(?:answer|result|solution|final\s(?:value|state))s?
        (?:\s(?:here|then|therefore|thus|to\sthe\sproblem|must|should|will|would|we\sget|you\sget)){0,3}
        \s?[*_]{0,2}\s?(?:\bis\b|\bare\b|\bequals?\b|\bbe\b|\bbecomes\b|[:=])
      |\#{4}
    )[\s:*_=]*
    (?:(?:therefore|thus|then|simply|just|exactly|precisely|clearly|indeed|equal\sto|given\sby|the|number|value|integer|
        fraction|about|approximately|option|choice|[A-Za-z]\s?=)[\s:*_]+){0,4}""",
    re.IGNORECASE | re.VERBOSE,
)
_CUE_BEHIND = re.compile(
    r",?\s?(?:which|that|and\s(?:this|that|it)|this)?\s?(?:is|as|gives|becomes|,)\s(?:thus\s|then\s|therefore\s)?"
    r"(?:the|our|your)\s(?:final\s|correct\s|right\s|desired\s|required\s)?(?:answer|result|solution)\b",
    re.IGNORECASE,
)
_DIGITS = r"(?:\d{1,3}(?:(?:,|\{,\}|,\\!)\d{3}){1,9}|\d+)(?:\.\d+)?|(?<![\d.])\.\d+"
_PART = r"(?:\{[^{}]{1,40}\}|\d)"
# The look-behinds let every run of digits be tried once, which keeps the search linear.
_COMPOSITE = re.compile(
    rf"(?:(?<!\d)\d+\s?)?\\[dtc]?frac\s?{_PART}\s?{_PART}"
    rf"|(?<!\d)(?:(?:\d+ )?(?:{_DIGITS})\s?/\s?(?:{_DIGITS})"
    rf"|(?:{_DIGITS})\s?(?:\\?%|(?:\\times|\\cdot|\*)\s?10\^\{{?-?\d+\}}?|[eE][+-]?\d{{1,3}}(?!\d)))"
)
_NUMBER = re.compile(_DIGITS)
_INTEGER = re.compile(r"\d+")
_FORMULA = re.compile(
    r"\$\$?([^$]{1,200})\$|\\\(([^\\]*(?:\\[^)][^\\]*){0,40})\\\)|\\\[([^\\]*(?:\\[^\]][^\\]*){0,40})\\\]"
)
_RIGHT_SIDE = re.compile(r"(?:=|\\approx|\\to|\bequals\b)\s*([^=\n$;]{1,80})")
_CLAUSE_END = re.compile(r"[.;,!?](?=\s|\Z)|\n|(?<=\S)\s+(?:so|since|because|as|and|which|when|after|by)\s")
_WORD = re.compile(r"\(?[A-Za-z]+\)?")
_LAST_WORD = re.compile(r"([A-Za-z]{1,40})\W{0,3}\Z")
_MINUS = re.compile(r"[-\u2212]\s?\Z")
_SPELLED_NAMES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_SPELLED = _SPELLED_NAMES.split()


def find_leaks(hint: str, answer: str, verifier: Verifier) -> list[Span]:
    """Character spans of a hint that state the answer, in order and without overlaps.

    Every candidate is compared with the answer as text and as a plain number; for those equal as numbers, and for at
    most `MAX_SLOW` distinct others, the verifier decides. The time is linear in the length of the hint apart from that.
    A verifier whose answers are no values brings its own ``find_leaks(hint, answer)``, which is called instead.

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
    compare = _Comparison(answer, verifier)
    found = list(_announced(hint, compare))
    if is_distinctive(answer):
        found.extend(span for span in _mentions(hint) if compare(hint[slice(*span)]))
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


class _Comparison:
    """Compares candidates with one answer, remembering verdicts and counting the slow ones."""

    def __init__(self, answer: str, verifier: Verifier) -> None:
        self._answer = answer
        self._verifier = verifier
        self._number: Number | None = number(answer)
        self._letters = letters(normalise(answer).rpartition("=")[2])
        self._slow_left = MAX_SLOW
        self._verdicts: dict[str, bool] = {}

    def __call__(self, candidate: str) -> bool:
        candidate = candidate.strip()
        verdict = self._verdicts.get(candidate)
        if verdict is None:
            verdict = self._verdicts[candidate] = self._decide(candidate)
        return verdict

    def _decide(self, candidate: str) -> bool:
        if candidate == self._answer:
            return True
        if not candidate or len(candidate) > max(MAX_CANDIDATE_CHARS, 2 * len(self._answer)):
            return False
        if candidate.isdecimal() and self._rules_out(candidate):
            return False
        value = number(candidate)
        if value is not None and self._number is not None:
            return same_number(value, self._number) and self._verifier.same_answer(candidate, self._answer)
        text = normalise(candidate)
        if text == normalise(self._answer):
            return True
        if letters(text.rpartition("=")[2]) != self._letters or self._slow_left <= 0:
            return False
        self._slow_left -= 1
        return self._verifier.same_answer(candidate, self._answer)

    def _rules_out(self, digits: str) -> bool:
        """A short cut for the many integers of a long hint."""
        if self._number is None:
            return bool(self._letters) or self._slow_left <= 0
        exact = not self._number.percent and self._number.places < 6
        return exact and len(digits) <= 64 and int(digits) != self._number.value


def _announced(hint: str, compare: _Comparison) -> Iterator[Span]:
    """Leaks of kind (a)."""
    for start, end in boxed_spans(hint):
        if compare(hint[start:end]):
            yield start, end
    for cue in _CUE.finditer(hint):
        yield from (span for span in _values_after(hint, cue.end()) if _matches(hint, span, compare))
    for cue in _CUE_BEHIND.finditer(hint):
        start, end = max(0, cue.start() - _VALUE_WINDOW), cue.start()
        spans = [span for span in _mentions(hint, start, end) if span[1] >= end - 3]
        if word := _LAST_WORD.search(hint, start, end):
            spans.append(word.span(1))
        yield from (span for span in spans if _matches(hint, span, compare))


def _matches(hint: str, span: Span, compare: _Comparison) -> bool:
    text = hint[slice(*span)].strip()
    if text.lower() in _SPELLED and compare(str(_SPELLED.index(text.lower()))):
        return True
    return compare(text)


def _values_after(hint: str, position: int) -> Iterator[Span]:
    """The values that may stand at a position, right behind a cue."""
    window = hint[position : position + _VALUE_WINDOW]
    clause = _CLAUSE_END.search(window)
    yield position, position + (clause.start() if clause else len(window))
    line = window.partition("\n")[0].rstrip(" .*_")
    yield position, position + len(line)
    offset = len(window) - len(window.lstrip(" $*_({[\\"))
    for pattern in (_FORMULA, _COMPOSITE, _NUMBER, _INTEGER, _WORD):
        for skipped in {0, offset}:
            if match := pattern.match(window, skipped):
                yield position + match.start(), position + match.end()
            if window[skipped : skipped + 1] in "-\u2212" and (match := pattern.match(window, skipped + 1)):
                yield position + skipped, position + match.end()
    if right := _RIGHT_SIDE.match(window, window.find("=")) if 0 <= window.find("=") < 12 else None:
        yield position + right.start(1), position + right.end(1)
        if match := _COMPOSITE.match(window, right.start(1)) or _NUMBER.match(window, right.start(1)):
            yield position + match.start(), position + match.end()


def _mentions(hint: str, start: int = 0, stop: int | None = None) -> Iterator[Span]:
    """Everything that could be the answer, the more telling forms first."""
    stop = len(hint) if stop is None else stop
    for match in _FORMULA.finditer(hint, start, stop):
        yield match.span(match.lastindex or 0)
    for match in _RIGHT_SIDE.finditer(hint, start, stop):
        begin, end = match.span(1)
        clause = _CLAUSE_END.search(hint, begin, end)
        yield begin, clause.start() if clause else end
    for pattern in (_COMPOSITE, _NUMBER, _INTEGER):
        for match in pattern.finditer(hint, start, stop):
            begin, end = match.span()
            minus = _MINUS.search(hint, max(0, begin - 2), begin)
            if minus and not re.search(r"[\w)}\]]\s?\Z", hint[max(0, minus.start() - 2) : minus.start()]):
                yield minus.start(), end
            else:
                yield begin, end


def _own_text(hint: str, answer: str) -> Iterator[Span]:
    """The answer's own text where no dollars mark it, blanks aside."""
    text = normalise(answer)
    if number(text) is not None or not 3 <= len(text) <= MAX_CANDIDATE_CHARS:
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
