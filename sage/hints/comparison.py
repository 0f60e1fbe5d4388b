r"""Whether a value in a hint is the reference answer, and written as an answer is."""

from __future__ import annotations

import re
from fractions import Fraction

from sage.grading.answers import Number, letters, number, same_number
from sage.grading.notation import normalise
from sage.grading.verifier import Verifier
from sage.hints.spoken import as_latex
from sage.hints.values import MAX_CHARS

MAX_SLOW = 32
"""Candidates that neither text nor plain numbers decide; each may cost tens of milliseconds."""
_NEUTRAL = frozenset((r"\frac", r"\cdot", r"\times", r"\text", "1"))
_CLOSED = frozenset((r"\frac", r"\sqrt", r"\pi", r"\circ"))
_TWO_NUMBERS = re.compile(r"\d \d(?!\d*\s?/)")  # which math-verify adds up, but for 1 1/2


class Comparison:
    """Compares candidates with one answer, remembering verdicts and counting the slow ones."""

    def __init__(self, answer: str, verifier: Verifier) -> None:
        self._answer = answer
        self._verifier = verifier
        self._latex = as_latex(answer)
        self._number: Number | None = number(self._latex)
        self._letters = letters(normalise(self._latex).rpartition("=")[2])
        self._form = _Form(self._latex)
        # Where an answer is no instance of itself (a target to reach), whatever the verifier accepts states it.
        self._has_form = verifier.same_answer(answer, answer)
        self._slow_left = MAX_SLOW
        self._verdicts: dict[str, bool] = {}

    def __call__(self, candidate: str) -> bool:
        """Whether a candidate has the answer's value."""
        candidate = candidate.strip()
        verdict = self._verdicts.get(candidate)
        if verdict is None:
            verdict = self._verdicts[candidate] = self._decide(candidate)
        return verdict

    def announced(self, candidate: str) -> bool:
        """Whether a candidate that is announced as the answer is it; a calculation that is left to do is not."""
        latex = as_latex(candidate.rpartition("=")[2])
        left_to_do = self._has_form and self._number is not None and number(latex) is None and _Form(latex).sums > 0
        return not left_to_do and (self(candidate) or self._otherwise(candidate))

    def _otherwise(self, candidate: str) -> bool:
        """Whether an announced value is the answer in other letters: x = 3, y = -1 for (3,-1), five centimetres."""
        candidate = candidate.strip()
        if self._number is not None or not self._has_form or self._slow_left <= 0 or len(candidate) > self._longest:
            return False
        latex = as_latex(candidate)
        if not re.search(r"\d", latex):
            return False
        self._slow_left -= 1
        return self._verifier.same_answer(latex, self._answer)

    def mention(self, candidate: str, said: bool) -> bool:
        """Whether a candidate that nothing announces states the answer; ``said``: of something, that it is so."""
        candidate = candidate.strip()
        if not candidate or len(candidate) > self._longest:
            return False
        if candidate.isdecimal():
            return len(candidate) > 1 and self(candidate)
        return (not self._has_form or self._form.matches(as_latex(candidate), said)) and self(candidate)

    @property
    def _longest(self) -> int:
        return max(MAX_CHARS, 2 * len(self._answer))

    def _decide(self, candidate: str) -> bool:
        if candidate == self._answer:
            return True
        if not candidate or len(candidate) > self._longest:
            return False
        if self._has_form and _is_ratio(candidate) != _is_ratio(self._answer):
            return False
        if candidate.isdecimal() and self._rules_out(candidate):
            return False
        latex = as_latex(candidate)
        if self._has_form and _TWO_NUMBERS.search(latex):
            return False
        return self._equals(candidate) or (latex != candidate and self._equals(latex))

    def _equals(self, text: str) -> bool:
        value = number(text)
        if value is not None and self._number is not None:
            return same_number(value, self._number) and (
                self._verifier.same_answer(text, self._answer) or self._verifier.same_answer(text, self._latex)
            )
        plain_text = normalise(text)
        if plain_text in (normalise(self._answer), normalise(self._latex)):
            return True
        if letters(plain_text.rpartition("=")[2]) != self._letters or self._slow_left <= 0:
            return False
        self._slow_left -= 1
        return self._verifier.same_answer(text, self._answer)

    def _rules_out(self, digits: str) -> bool:
        """A short cut for the many integers of a long hint."""
        if self._number is None:
            return bool(self._letters) or self._slow_left <= 0
        exact = not self._number.percent and self._number.places < 6
        return exact and len(digits) <= 64 and int(digits) != self._number.value


def _is_ratio(text: str) -> bool:
    """Whether it is a ratio or a time, which math-verify takes for a quotient."""
    return re.search(r"\d\s?:\s?\d", text) is not None


class _Form:
    """How an expression is written, to tell the answer from what only comes to it when it is worked out."""

    def __init__(self, latex: str) -> None:
        text = re.sub(r"\\[dtc]frac(?![A-Za-z])", r"\\frac", normalise(latex))
        text = re.sub(r"\{[pbB]matrix\}", "{matrix}", text)
        self.number = number(text)
        names = re.findall(r"\\[A-Za-z]+|[A-Za-z]+", text)
        self.literals = sorted(part for part in re.findall(r"\d+(?:\.\d+)?|\\?[A-Za-z]+", text) if part not in _NEUTRAL)
        self.names = frozenset(names) - _CLOSED
        self.groups = text.count("(") + text.count("[") + text.count("|")
        self.sums = len(re.findall(r"(?<=[\w})\]])[-+*]|\\(?:times|cdot|div|pm)(?![A-Za-z])", text))
        self.steps = self.sums + len(re.findall(r"[\^/%!]|\\(?:frac|sqrt)(?![A-Za-z])", text))
        fraction = re.fullmatch(r"-?\\frac\{?(\d+)\}?\{?(\d+)\}?|-?(\d+)/(\d+)", text)
        parts = [int(part) for part in fraction.groups() if part] if fraction else []
        self.lowest = len(parts) != 2 or parts[1] == 0 or Fraction(*parts).denominator == parts[1]

    def matches(self, candidate: str, said: bool) -> bool:
        """Whether a candidate of the same value, written so, is this answer."""
        form = _Form(candidate)
        if form.literals == self.literals and (self.number is None or form.sums == 0):
            return True
        if form.number is not None and self.number is not None and same_number(form.number, self.number):
            exact = form.number.value == self.number.value or form.number.percent != self.number.percent
            return (exact and form.lowest) or said
        if not said or not form.names <= self.names:
            return False
        if self.number is not None:
            return form.sums == 0 and form.groups == 0 and form.steps <= 1
        return form.groups == self.groups and form.steps <= max(1, self.steps)
