r"""Verifiers: whether a response is correct (the reward R of SAGE Section 2), and whether two answers are the same.

``MathVerifier`` builds on math-verify and keeps three of its properties away from training: its time limits rest on
SIGALRM, which does nothing useful off the main thread; some short inputs (``9^{9^{9^9}}``) run for hours; and it
imports sympy, which a worker that never needs it should not pay for. So responses are graded in a child process that
is killed when it takes too long, and bare answers are compared in this process only where that is harmless.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import weakref
from functools import lru_cache
from multiprocessing.connection import Connection, Pipe
from typing import Protocol

from sage.answers import COMMAND, GREEK, commands, comparable, compare_cheaply, last_boxed, letters

STARTUP_SECONDS = 120.0
MEMORY_BYTES = 4 << 30


class Verifier(Protocol):
    """Grades responses. Instances are called from several threads at once."""

    def is_correct(self, response: str, answer: str) -> bool:
        """Whether a whole response ends in the reference answer."""

    def same_answer(self, candidate: str, answer: str) -> bool:
        """Whether two bare answers are the same; cheap and bounded, so that the leak guard can call it often."""


class ExactVerifier:
    r"""Compares text: the last ``\boxed{}`` of a response, or else all of it, after whitespace normalisation."""

    def is_correct(self, response: str, answer: str) -> bool:
        boxed = last_boxed(response)
        return self.same_answer(response if boxed is None else boxed, answer)

    def same_answer(self, candidate: str, answer: str) -> bool:
        return candidate.split() == answer.split()


class MathVerifier:
    r"""Compares mathematics: the last ``\boxed{}`` of a response with the reference answer.

    Args:
        timeout: seconds that the child process may spend on one comparison; after that it is killed and replaced, and
            the response counts as not correct.
        max_answer_chars: longer answers are not correct.

    Attributes:
        timeouts: comparisons that were cut off by ``timeout``.
        crashes: comparisons during which the child process died by itself, for example for want of memory.
    """

    def __init__(self, timeout: float = 5.0, max_answer_chars: int = 2000) -> None:
        self.timeouts = 0
        self.crashes = 0
        self._timeout = timeout
        self._max_answer_chars = max_answer_chars
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def __reduce__(self) -> tuple[type[MathVerifier], tuple[float, int]]:
        return MathVerifier, (self._timeout, self._max_answer_chars)

    def is_correct(self, response: str, answer: str) -> bool:
        """Whether a response ends in the reference answer.

        Raises:
            RuntimeError: the child process cannot be started.
        """
        candidate = last_boxed(response)
        if candidate is None or len(candidate) > self._max_answer_chars or len(answer) > self._max_answer_chars:
            return False
        match = compare_cheaply(candidate, answer)
        return self._compare_in_child(candidate, answer) if match is None else match

    def same_answer(self, candidate: str, answer: str) -> bool:
        """Whether two bare answers are the same. Starts no process; where a comparison could be slow, answers False."""
        if len(candidate) > self._max_answer_chars or len(answer) > self._max_answer_chars:
            return False
        match = compare_cheaply(candidate, answer)
        if match is not None:
            return match
        left, right = comparable(candidate, answer)
        if letters(left) != letters(right) or not (_is_harmless(left) and _is_harmless(right)):
            return False
        return _compare_here(left, right)

    def close(self) -> None:
        """End the child process; the next slow comparison starts another one."""
        with self._lock:
            self._stop_child()

    def _compare_in_child(self, candidate: str, answer: str) -> bool:
        with self._lock:
            if self._child is None or not self._child.usable():
                self._stop_child()
                self._child = _Child(self._timeout)
            try:
                match = self._child.compare(candidate, answer)
            except TimeoutError:
                self.timeouts += 1
            except (EOFError, OSError):
                self.crashes += 1
            else:
                return match
            self._stop_child()
            return False

    def _stop_child(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None


def load_verifier(spec: str) -> Verifier:
    """The verifier that a config names.

    Args:
        spec: ``math``, ``exact``, or ``package.module:attribute``, a class without required arguments or an instance.

    Raises:
        ValueError: the name is unknown, cannot be imported, or names something else.
    """
    if spec == "math":
        return MathVerifier()
    if spec == "exact":
        return ExactVerifier()
    module_name, colon, attribute = spec.partition(":")
    if not (module_name and colon and attribute):
        raise ValueError(f"sage.verifier={spec}: use math, exact or package.module:attribute")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except ImportError as error:
        raise ValueError(
            f"sage.verifier={spec}: {module_name} cannot be imported ({error}); correct the name or set PYTHONPATH"
        ) from error
    except AttributeError as error:
        raise ValueError(
            f"sage.verifier={spec}: {module_name} has no {attribute}; correct the part after ':'"
        ) from error
    verifier = found() if isinstance(found, type) else found
    for method in ("is_correct", "same_answer"):
        if not callable(getattr(verifier, method, None)):
            raise ValueError(f"sage.verifier={spec}: {attribute} lacks the method {method}; see sage.verify.Verifier")
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
        return _math_verify(candidate, answer)


@lru_cache(maxsize=2048)
def _parse(answer: str) -> list[object]:
    from math_verify import LatexExtractionConfig, parse

    # Only LaTeX: the other extraction evaluates text with sympy's parse_expr.
    boxed = rf"\boxed{{{answer}}}"
    return parse(boxed, extraction_config=[LatexExtractionConfig()], parsing_timeout=None)


def _math_verify(candidate: str, answer: str) -> bool:
    """math-verify without its time limits."""
    for module in ("parser", "grader"):
        logging.getLogger(f"math_verify.{module}").setLevel(logging.ERROR)  # it warns that it has no time limit
    from math_verify import verify

    return bool(verify(_parse(answer), _parse(candidate), timeout_seconds=None))


class _Child:
    """A process that compares answers in its main thread, one at a time.

    A plain subprocess, not one of multiprocessing's: it never imports the caller's ``__main__`` again and may be
    started by a daemonic process.

    Raises:
        RuntimeError: the process did not come up.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._owner = os.getpid()
        self._connection, theirs = Pipe()
        code = "import sys; sys.path[:] = {!r}; from sage.verify import _serve; _serve({}, {})"
        command = [sys.executable, "-c", code.format(sys.path, theirs.fileno(), timeout)]
        try:
            process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        finally:
            theirs.close()
        self.process_id = process.pid
        self.stop = weakref.finalize(self, _stop, process, self._connection, self._owner)
        try:
            ready = self._connection.poll(STARTUP_SECONDS) and self._connection.recv() == "ready"
        except (EOFError, OSError):
            ready = False
        if not ready:
            self.stop()
            raise RuntimeError(
                "the grading process of MathVerifier did not start; check that "
                f"`{sys.executable} -c 'import math_verify, sage.verify'` works"
            )

    def usable(self) -> bool:
        """False in a process that was forked from the owner: the two would read each other's verdicts."""
        return self._owner == os.getpid()

    def compare(self, candidate: str, answer: str) -> bool:
        """Whether the child finds the answers the same.

        Raises:
            TimeoutError: there was no verdict in time.
            EOFError, OSError: the child died.
        """
        self._connection.send((candidate, answer))
        if not self._connection.poll(self._timeout):
            raise TimeoutError
        return bool(self._connection.recv())


def _stop(process: subprocess.Popen[bytes], connection: Connection, owner: int) -> None:
    connection.close()
    if owner == os.getpid():
        process.kill()
        process.wait()


def _serve(descriptor: int, timeout: float) -> None:
    """The child's loop: receive a pair, send a verdict, until the parent is gone."""
    import resource

    connection = Connection(descriptor)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES if hard < 0 else min(hard, MEMORY_BYTES), hard))
    _math_verify("x+1", "1+x")  # load the parser before time is measured
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    connection.send("ready")
    while True:
        try:
            candidate, answer = connection.recv()
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, timeout + 5)  # ends this process should the parent have died meanwhile
        verdict = _math_verify(candidate, answer)
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send(verdict)
