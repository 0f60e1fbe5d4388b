"""Comparisons in processes of their own, which are reused, limited in CPU time and memory, and replaced when they die.

math-verify's own time limits rest on SIGALRM: they fail off the main thread, and cannot interrupt one long operation.
Here every grading process compares one pair at a time in its main thread, and the kernel ends it once the comparison
has used up its CPU time. Time spent waiting for a core does not count, so a busy machine changes no verdict.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import weakref
from multiprocessing.connection import Connection, Pipe

from sage.grading.comparison import compare
from sage.grading.mathematics import math_verify_says

STARTUP_SECONDS = 300.0
MEMORY_BYTES = 4 << 30
WALL_FACTOR = 20
"""A process that gives no verdict within this multiple of its CPU time is stuck, or starved beyond use."""


def available_cores() -> int:
    return len(os.sched_getaffinity(0))


class GradingPool:
    """Up to ``processes`` grading processes, started one by one when callers find none idle.

    Used from any thread of the process that made it; a process forked from that one needs a pool of its own.

    Args:
        processes: how many comparisons may run at once.
        timeout: seconds of CPU time for one comparison.
    """

    def __init__(self, processes: int, timeout: float) -> None:
        self.owner = os.getpid()
        self._processes = processes
        self._timeout = timeout
        self._changed = threading.Condition()
        self._idle: list[_Child] = []
        self._size = 0
        self._starting = False

    @property
    def process_ids(self) -> list[int]:
        """The idle grading processes."""
        with self._changed:
            return [child.process_id for child in self._idle]

    def compare(self, candidate: str, answer: str) -> bool:
        """Whether two bare answers are the same, with mathematics. Waits for an idle process.

        Raises:
            TimeoutError: the comparison was cut off.
            ChildProcessError: it ended two processes, the second one new.
            RuntimeError: a process cannot be started.
        """
        child = self._borrow()
        finished = False
        try:
            try:
                verdict = child.compare(candidate, answer)
            except ChildProcessError:  # perhaps killed from outside, while idle or for want of memory
                child.stop()
                child = _Child(self._timeout)
                verdict = child.compare(candidate, answer)
            finished = True
            return verdict
        finally:
            if not finished:
                child.stop()
            self._give_back(child if finished else None)

    def close(self) -> None:
        """End the idle processes; a later comparison starts others."""
        with self._changed:
            for child in self._idle:
                child.stop()
            self._size -= len(self._idle)
            self._idle.clear()
            self._changed.notify_all()

    def _borrow(self) -> _Child:
        with self._changed:
            while not self._idle and (self._starting or self._size >= self._processes):
                self._changed.wait()
            if self._idle:
                return self._idle.pop()
            self._starting = True
            self._size += 1
        child = None
        try:
            child = _Child(self._timeout)
        finally:
            with self._changed:
                self._starting = False
                self._size -= child is None
                self._changed.notify_all()
        return child

    def _give_back(self, child: _Child | None) -> None:
        with self._changed:
            if child is None:
                self._size -= 1
            else:
                self._idle.append(child)
            self._changed.notify()


class _Child:
    """A grading process.

    A plain subprocess, not one of multiprocessing's: it never imports the caller's ``__main__`` again and may be
    started by a daemonic process.

    Raises:
        RuntimeError: the process did not come up.
    """

    def __init__(self, timeout: float) -> None:
        self._wall_timeout = WALL_FACTOR * timeout
        self._connection, theirs = Pipe()
        code = "import sys; sys.path[:] = {!r}; from sage.grading.pool import _serve; _serve({}, {})"
        command = [sys.executable, "-c", code.format(sys.path, theirs.fileno(), timeout)]
        try:
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONHASHSEED": "0"},  # sympy orders by hash here and there
            )
        finally:
            theirs.close()
        self.process_id = self._process.pid
        self.stop = weakref.finalize(self, _stop, self._process, self._connection, os.getpid())
        try:
            ready = self._connection.poll(STARTUP_SECONDS) and self._connection.recv() == "ready"
        except (EOFError, OSError):
            ready = False
        if not ready:
            self.stop()
            raise RuntimeError(
                "the grading process of MathVerifier did not start; check that "
                f"`{sys.executable} -c 'import math_verify, sage.grading.pool'` works"
            )

    def compare(self, candidate: str, answer: str) -> bool:
        """Whether the process finds the answers the same; it is of no use any more after an error.

        Raises:
            TimeoutError: there was no verdict in time.
            ChildProcessError: the process died.
        """
        try:
            self._connection.send((candidate, answer))
            if not self._connection.poll(self._wall_timeout):
                raise TimeoutError(f"no verdict within {self._wall_timeout} s")
            return bool(self._connection.recv())
        except (EOFError, ConnectionError) as error:
            status = self._process.wait()
            if status == -signal.SIGPROF:
                raise TimeoutError("out of CPU time") from error
            raise ChildProcessError(f"a grading process ended with status {status}") from error


def _stop(process: subprocess.Popen[bytes], connection: Connection, owner: int) -> None:
    connection.close()
    if owner == os.getpid():  # a forked copy of the owner must leave the process alone
        process.kill()
        process.wait()


def _serve(descriptor: int, timeout: float) -> None:
    """The process's loop: receive a pair, send a verdict, until the parent is gone."""
    import resource

    connection = Connection(descriptor)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES if hard < 0 else min(hard, MEMORY_BYTES), hard))
    math_verify_says("x+1", "1+x")  # load the parser before time is measured
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, whatever it is doing
    try:
        connection.send("ready")
        while True:
            candidate, answer = connection.recv()
            signal.setitimer(signal.ITIMER_PROF, timeout)
            verdict = bool(compare(candidate, answer, math_verify_says))
            signal.setitimer(signal.ITIMER_PROF, 0)
            connection.send(verdict)
    except (EOFError, ConnectionError):
        return
