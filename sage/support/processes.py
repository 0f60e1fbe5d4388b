"""Commands that are started in a process group of their own, and end with all that they started (Linux)."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
"""Of prctl(2)."""
GRACE = 60.0
"""Seconds that a command has to end when it is told to."""


def end_with_parent() -> None:
    """Linux ends the process that calls this when its parent dies, however that dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def adopt_orphans() -> None:
    """Processes below this one whose parent dies become its children, so that they can still be found and ended."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def running(group: int) -> bool:
    """Whether a process of the group still runs; one that has ended and is not reaped does not."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, _, its_group, *_ = path.read_text().rpartition(")")[2].split()
            if int(its_group) == group and state not in "ZX":
                return True
    return False


def end_group(leader: subprocess.Popen[bytes], grace: float = GRACE) -> None:
    """Stop the processes of a group, politely at first, and wait until none runs.

    Args:
        leader: the group's first process.
        grace: seconds that they have to end; more than twice `GRACE` where one of them ends a group of its own so.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(leader.pid, number)
        until = time.monotonic() + grace
        while running(leader.pid) and time.monotonic() < until:
            time.sleep(0.1)
    leader.wait()
