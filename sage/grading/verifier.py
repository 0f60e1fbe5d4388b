r"""Verifiers: whether a response is correct (the reward R of SAGE Section 2), and whether two answers are the same.

``MathVerifier`` asks math-verify, in processes of its own (`sage.grading.pool`), about what text and plain numbers
leave open. Bare answers are compared in this process, and only where that is harmless.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, runtime_checkable

from sage.grading.choices import choice, chosen
from sage.grading.comparison import compare
from sage.grading.kinds import Listing, parse
from sage.grading.mathematics import HarmlessMathematics
from sage.grading.notation import canonical
from sage.grading.pool import GradingPool, available_cores
from sage.grading.responses import find_boxes, last_boxed, without_thoughts
from sage.support.plugins import foreign, load_object

T = TypeVar("T")


class Verifier(Protocol):
    """Grades responses. Instances are called from several threads at once."""

    def is_correct(self, response: str, answer: str) -> bool:
        """Whether a whole response ends in the reference answer."""

    def same_answer(self, candidate: str, answer: str) -> bool:
        """Whether two bare answers are the same; cheap and bounded, so that the leak guard can call it often."""


@dataclass(frozen=True)
class Verdict:
    """Whether a response is correct, and whether that could be told."""

    correct: bool
    failure: Literal["timeout", "crash"] | None = None
    """Why the response counts as wrong without having been compared."""


@runtime_checkable
class Judge(Protocol):
    """What a verifier may have besides, if grading can fail, so that training counts the failures."""

    def judge(self, response: str, answer: str) -> Verdict:
        """`Verifier.is_correct`, and what went wrong."""


@runtime_checkable
class LeakFinder(Protocol):
    """What a verifier may have besides, where an answer is no value to look for: a plan, a program."""

    def find_leaks(self, hint: str, answer: str) -> list[tuple[int, int]]:
        """Character spans of a hint that give the answer away."""


@runtime_checkable
class AnswerChecker(Protocol):
    r"""What a verifier may have besides, to check the answers of a data file before training in a way of its own.

    Without it, an answer counts as one that a response can reach if ``\boxed{answer}`` is correct, or the row's
    reference response or solution, and if it is no placeholder such as *unknown*.
    """

    def why_unverifiable(self, answer: str, responses: Sequence[str]) -> str | None:
        """Why no response could be correct, in words; None where one could.

        Args:
            answer: a row's reference answer.
            responses: what the row has as a response: its ``reference_response``, then its ``solution``; may be empty.
        """


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
        self._thread = threading.local()
        self._pool = self._new_pool()

    def __reduce__(self) -> tuple[type[MathVerifier], tuple[float, int, int | None]]:
        return MathVerifier, self._settings

    def is_correct(self, response: str, answer: str) -> bool:
        """Whether a response ends in the reference answer; not if a comparison was cut off or crashed.

        Raises:
            RuntimeError: a grading process cannot be started.
        """
        try:
            return self._ends_in(response, answer)
        except TimeoutError:
            with self._counting:
                self.timeouts += 1
            self._thread.failure = "timeout"
        except ChildProcessError:
            with self._counting:
                self.crashes += 1
            self._thread.failure = "crash"
        return False

    def judge(self, response: str, answer: str) -> Verdict:
        """As `is_correct`, also that of a subclass, and whether a comparison was cut off or crashed.

        Raises:
            RuntimeError: a grading process cannot be started.
        """
        self._thread.failure = None
        return Verdict(self.is_correct(response, answer), self._thread.failure)

    def _ends_in(self, response: str, answer: str) -> bool:
        text = without_thoughts(response)
        boxes = find_boxes(text)
        if expected := choice(answer):
            return expected == chosen(text, boxes)
        if boxes.final is None:
            return False
        if self._compare(boxes.final, answer):
            return True
        listed = ", ".join(boxes.every)
        return (
            len(boxes.every) > 1
            and listed != boxes.final
            and self._is_list(answer, len(boxes.every))
            and self._compare(listed, answer)
        )

    def same_answer(self, candidate: str, answer: str) -> bool:
        """Whether two bare answers are the same. Starts no process; where a comparison could be slow, answers False."""
        if self._too_long(candidate, answer):
            return False
        match = compare(candidate, answer)
        return bool(compare(candidate, answer, HarmlessMathematics())) if match is None else match

    def close(self) -> None:
        """End the grading processes; a later comparison starts others."""
        self._pool.close()

    def _too_long(self, *answers: str) -> bool:
        return any(len(answer) > self._max_answer_chars for answer in answers)

    def _new_pool(self) -> GradingPool:
        timeout, _, processes = self._settings
        return GradingPool(processes or available_cores(), timeout)

    def _is_list(self, answer: str, length: int) -> bool:
        kind = None if self._too_long(answer) else parse(canonical(answer))
        return isinstance(kind, Listing) and len(kind.items) == length

    def _compare(self, candidate: str, answer: str) -> bool:
        if self._too_long(candidate, answer):
            return False
        match = compare(candidate, answer)
        return self._compare_in_pool(candidate, answer) if match is None else match

    def _compare_in_pool(self, candidate: str, answer: str) -> bool:
        if self._pool.owner != os.getpid():  # this process was forked: two readers would get each other's verdicts
            self._pool = self._new_pool()
        return self._pool.compare(candidate, answer)


def guarded(verifier: Verifier, ask: Callable[[], T]) -> T | Exception:
    """What a verifier says, or what one of the user's own raises: it may raise anything at an answer it cannot read."""
    try:
        return ask()
    except Exception as error:
        if isinstance(verifier, (MathVerifier, ExactVerifier)):
            raise
        return error


def try_response(verifier: Verifier, response: str, answer: str) -> bool | Exception:
    """Whether a response is correct, `guarded`."""
    return guarded(verifier, lambda: verifier.is_correct(response, answer))


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
    with foreign(f"sage.verifier={spec} cannot be made"):
        verifier = found() if isinstance(found, type) else found
    for method in ("is_correct", "same_answer"):
        if not callable(getattr(verifier, method, None)):
            raise ValueError(f"sage.verifier={spec}: it lacks the method {method}; see sage.grading.verifier.Verifier")
    return verifier
