r"""Verifiers: whether a response is correct (the reward R of SAGE Section 2), and whether two answers are the same.

``MathVerifier`` asks math-verify, in processes of its own (`sage.grading.pool`), about what text and plain numbers
leave open. Bare answers are compared in this process, and only where that is harmless.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Protocol, runtime_checkable

from sage.grading.answers import (
    COMMAND,
    GREEK,
    choice,
    commands,
    comparable,
    compare_cheaply,
    last_boxed,
    letters,
    named_choice,
    stated_choice,
)
from sage.grading.pool import GradingPool, available_cores, math_verify_says
from sage.support.plugins import load_object


class Verifier(Protocol):
    """Grades responses. Instances are called from several threads at once."""

    def is_correct(self, response: str, answer: str) -> bool:
        """Whether a whole response ends in the reference answer."""

    def same_answer(self, candidate: str, answer: str) -> bool:
        """Whether two bare answers are the same; cheap and bounded, so that the leak guard can call it often."""


@runtime_checkable
class LeakFinder(Protocol):
    """What a verifier may have besides, where an answer is no value to look for: a plan, a program."""

    def find_leaks(self, hint: str, answer: str) -> list[tuple[int, int]]:
        """Character spans of a hint that give the answer away."""


class ExactVerifier:
    r"""Compares text: the last ``\boxed{}`` of a response, or else all of it, after whitespace normalisation."""

    def is_correct(self, response: str, answer: str) -> bool:
        boxed = last_boxed(response)
        return self.same_answer(response if boxed is None else boxed, answer)

    def same_answer(self, candidate: str, answer: str) -> bool:
        return candidate.split() == answer.split()


class MathVerifier:
    r"""Compares mathematics: the last ``\boxed{}`` of a response with the reference answer.

    Where the reference answer is one capital letter from A to J, the response has to name that choice, in its last box
    or, if it has none, in a final statement such as "the answer is (B)".

    Args:
        timeout: seconds of CPU time for one comparison in a grading process; a response that needs more is not correct.
        max_answer_chars: longer answers are not correct.
        processes: grading processes at most; by default one for each available core. The first one starts with the
            first comparison that needs mathematics, others when comparisons wait.

    Attributes:
        timeouts: comparisons that were cut off.
        crashes: comparisons during which two grading processes died in turn, for example for want of memory.
    """

    def __init__(self, timeout: float = 5.0, max_answer_chars: int = 2000, processes: int | None = None) -> None:
        self.timeouts = 0
        self.crashes = 0
        self._settings = (timeout, max_answer_chars, processes)
        self._max_answer_chars = max_answer_chars
        self._counting = threading.Lock()
        self._pool = self._new_pool()

    def __reduce__(self) -> tuple[type[MathVerifier], tuple[float, int, int | None]]:
        return MathVerifier, self._settings

    def is_correct(self, response: str, answer: str) -> bool:
        """Whether a response ends in the reference answer.

        Raises:
            RuntimeError: a grading process cannot be started.
        """
        candidate = last_boxed(response)
        if expected := choice(answer):
            return expected == (stated_choice(response) if candidate is None else named_choice(candidate))
        if candidate is None or self._too_long(candidate, answer):
            return False
        match = compare_cheaply(candidate, answer)
        return self._compare_in_pool(candidate, answer) if match is None else match

    def same_answer(self, candidate: str, answer: str) -> bool:
        """Whether two bare answers are the same. Starts no process; where a comparison could be slow, answers False."""
        if self._too_long(candidate, answer):
            return False
        if expected := choice(answer):
            return expected == named_choice(candidate)
        match = compare_cheaply(candidate, answer)
        if match is not None:
            return match
        left, right = comparable(candidate, answer)
        if letters(left) != letters(right) or not (_is_harmless(left) and _is_harmless(right)):
            return False
        return _compare_here(left, right)

    def close(self) -> None:
        """End the grading processes; a later comparison starts others."""
        self._pool.close()

    def _too_long(self, *answers: str) -> bool:
        return any(len(answer) > self._max_answer_chars for answer in answers)

    def _new_pool(self) -> GradingPool:
        timeout, _, processes = self._settings
        return GradingPool(processes or available_cores(), timeout)

    def _compare_in_pool(self, candidate: str, answer: str) -> bool:
        if self._pool.owner != os.getpid():  # this process was forked: two readers would get each other's verdicts
            self._pool = self._new_pool()
        try:
            return self._pool.compare(candidate, answer)
        except TimeoutError:
            with self._counting:
                self.timeouts += 1
        except ChildProcessError:
            with self._counting:
                self.crashes += 1
        return False


def grade(verifier: Verifier, pairs: Sequence[tuple[str, str]]) -> list[bool]:
    """Verdicts on (response, answer) pairs, in their order, over the available cores."""
    with ThreadPoolExecutor(available_cores()) as threads:
        return list(threads.map(verifier.is_correct, *zip(*pairs, strict=True))) if pairs else []


def load_verifier(spec: str, processes: int | None = None) -> Verifier:
    """The verifier that a config names.

    Args:
        spec: ``math``, ``exact``, or ``package.module:name`` or ``path/to/file.py:name`` of a class without required
            arguments or of an instance.
        processes: grading processes of ``math``; by default one for each available core.

    Raises:
        ValueError: the name is unknown, cannot be imported, or names something else.
    """
    if spec == "math":
        return MathVerifier(processes=processes)
    if spec == "exact":
        return ExactVerifier()
    if ":" not in spec:
        raise ValueError(f"sage.verifier={spec}: use math, exact, package.module:name or path/to/file.py:name")
    try:
        found = load_object(spec)
    except ValueError as error:
        raise ValueError(f"sage.verifier={spec}: {error}") from error
    verifier = found() if isinstance(found, type) else found
    for method in ("is_correct", "same_answer"):
        if not callable(getattr(verifier, method, None)):
            raise ValueError(f"sage.verifier={spec}: it lacks the method {method}; see sage.grading.verifier.Verifier")
    return verifier


# What math-verify may see in this process: no factorials, sums, products, integrals, limits, matrices or big powers.
_HARMLESS_COMMANDS = GREEK | commands("frac sqrt pi cdot times div infty cup cap pm sin cos tan ln log")
_COSTLY = re.compile(r"\\(?:sqrt|sin|cos|tan|ln|log|pm)(?![A-Za-z])")
_POWER = re.compile(r"([\])}]?)\^ ?(\{(?:[^{}]|\{[^{}]*\})*\}|\\?\w)")


@lru_cache(maxsize=8192)
def _is_harmless(normalised: str) -> bool:
    if not 0 < len(normalised) <= 64 or re.search(r"!|\*\*|\.\.|\\[^A-Za-z{}]|&|\^[^^]*\^ ?\{?\^", normalised):
        return False
    if any(command not in _HARMLESS_COMMANDS for command in COMMAND.findall(normalised)):
        return False
    symbolic = bool(letters(normalised))
    if len(_COSTLY.findall(normalised)) > (1 if symbolic else 3):
        return False
    if normalised.count("^") != len(_POWER.findall(normalised)) or re.search(
        r"\^ ?(?:\{[^{}]*\}|\\?\w) ?\^", normalised
    ):
        return False
    plain, grouped = 1, 1
    for base, exponent in _POWER.findall(normalised):
        if "^" in exponent:
            return False
        size = 1
        for digits in re.findall(r"\d+", exponent):
            size *= max(1, int(digits))
        if base:
            grouped *= size
        else:
            plain = max(plain, size)
    return plain * grouped <= (12 if symbolic else 999)


_here = threading.Lock()  # sympy and the parser keep global caches


@lru_cache(maxsize=8192)
def _compare_here(candidate: str, answer: str) -> bool:
    with _here:
        return math_verify_says(candidate, answer)
