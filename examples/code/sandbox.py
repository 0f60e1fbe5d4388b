"""Run a program against tests, each in a bubblewrap sandbox of its own (https://github.com/containers/bubblewrap).

In a sandbox there is a Python interpreter with its standard library and ``/usr``, read-only, and no place to write; no
``/etc``, ``/home``, ``/proc`` or environment, no network, no capabilities. A system call filter denies new processes
and threads, and memory that no limit counts. CPU seconds, memory, open files and the wall clock are limited; what a
program prints is thrown away. How the verdict is kept out of its reach: `inside`.
"""

from __future__ import annotations

import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO, Literal

from sage.grading.pool import available_cores

INSIDE = Path(__file__).with_name("inside.py").read_text(encoding="utf-8")
PASSED, FAILED, ENDED = 40, 41, 42
"""As in `inside`."""
OUT_OF_TIME = (128 + 24, 128 + 9)
"""Exit status after SIGXCPU, and after the SIGKILL one second later; a program that kills itself so counts here too."""
Outcome = Literal["passed", "failed", "timeout", "crash"]

# (AUDIT_ARCH, system calls that fail): clone, fork, vfork, clone3; unshare; memfd_create, shmget, msgget;
# io_uring_setup; add_key, keyctl; bpf, perf_event_open, userfaultfd
FILTERS = {
    "x86_64": (0xC000003E, (56, 57, 58, 435, 272, 319, 29, 68, 425, 248, 250, 321, 298, 323)),
    "aarch64": (0xC00000B7, (220, 435, 97, 279, 194, 186, 425, 217, 219, 280, 241, 282)),
}


@dataclass(frozen=True)
class Limits:
    """Of each of the two sandboxes of one run; the wall clock covers both."""

    cpu_seconds: int = 5
    wall_seconds: float = 60.0
    memory_mb: int = 512


def system_call_filter(machine: str) -> bytes:
    """A seccomp program in the form of ``bwrap --seccomp``: the calls of `FILTERS` fail with EPERM.

    Raises:
        ValueError: another kind of machine.
    """
    if machine not in FILTERS:
        raise ValueError(f"the sandbox of the code verifier knows x86_64 and aarch64, this machine is {machine}")
    architecture, denied = FILTERS[machine]
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    kill, refuse, allow = 0x80000000, 0x00050001, 0x7FFF0000
    steps = [(load, 0, 0, 4), (equal, 1, 0, architecture), (give, 0, 0, kill), (load, 0, 0, 0)]
    steps += [(at_least, 0, 1, 0x40000000), (give, 0, 0, kill)]  # the x32 numbers of the same calls
    for number in denied:
        steps += [(equal, 0, 1, number), (give, 0, 0, refuse)]
    return b"".join(struct.pack("=HBBI", *step) for step in [*steps, (give, 0, 0, allow)])


@cache
def _command(bwrap: str) -> tuple[str, ...]:
    """The sandbox up to the interpreter, without the file descriptor of the filter."""
    command = [bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    command += ["--ro-bind", "/usr", "/usr"]
    for name in ("/lib", "/lib64", "/lib32"):
        if os.path.islink(name):
            command += ["--symlink", os.readlink(name), name]
        elif os.path.isdir(name):
            command += ["--ro-bind", name, name]
    python, prefix = os.path.realpath(sys.executable), os.path.realpath(sys.base_prefix)
    if not prefix.startswith("/usr"):
        command += ["--ro-bind", prefix, prefix]
    command += ["--dev-bind", os.devnull, os.devnull, "--remount-ro", "/", "--chdir", "/"]
    return (*command, "--", python, "-I", "-S", "-c", INSIDE)


_PLACES = threading.BoundedSemaphore(available_cores())


def run_tests(program: str, tests: str, entry: str, limits: Limits) -> Outcome:
    """Whether a program passes; not more runs at once than there are cores.

    Args:
        program: Python source that defines ``entry``.
        tests: Python source that calls it and raises where a result is wrong. Arguments and results are copied: builtin
            values, lists, tuples, sets and dictionaries of them.
        entry: name of the program's function.

    Returns:
        "timeout" where CPU seconds or wall clock ran out, "crash" where a sandbox did not start.

    Raises:
        ValueError: bubblewrap is missing, or this kind of machine is not known.
    """
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise ValueError("the code verifier needs bubblewrap, and there is no bwrap here: apt install bubblewrap")
    with _PLACES, tempfile.TemporaryFile() as program_file, tempfile.TemporaryFile() as tests_file:
        calls, results = os.pipe(), os.pipe()
        started: list[subprocess.Popen[bytes]] = []

        def start(role: str, source: str, file: BinaryIO, first: int, second: int) -> subprocess.Popen[bytes]:
            file.write(source.encode(errors="replace"))
            file.seek(0)
            reading, writing = os.pipe()
            with open(writing, "wb") as pipe:
                pipe.write(system_call_filter(platform.machine()))
            try:
                command = list(_command(bwrap))
                command[1:1] = ["--seccomp", str(reading)]
                command += [role, entry, str(first), str(second), str(limits.cpu_seconds), str(limits.memory_mb)]
                process = subprocess.Popen(
                    command, stdin=file, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                    pass_fds=(reading, first, second), env={},
                )  # fmt: skip
            finally:
                os.close(reading)
            started.append(process)
            return process

        try:
            try:
                running = start("program", program, program_file, calls[0], results[1])
                checking = start("tests", tests, tests_file, calls[1], results[0])
            finally:
                for end in (*calls, *results):
                    os.close(end)
            status = checking.wait(limits.wall_seconds)
            if status == ENDED:
                return "timeout" if _status(running) in OUT_OF_TIME else "failed"
        except subprocess.TimeoutExpired:
            return "timeout"
        finally:
            for process in started:
                process.kill()
                process.wait()
    if status in OUT_OF_TIME:
        return "timeout"
    return {PASSED: "passed", FAILED: "failed"}.get(status, "crash")  # type: ignore[return-value]


def _status(process: subprocess.Popen[bytes]) -> int | None:
    """Of a program that does not answer any more; None if it goes on all the same."""
    try:
        return process.wait(5)
    except subprocess.TimeoutExpired:
        return None


@cache
def check_sandbox() -> None:
    """That a sandbox can be made here, asked once in a process.

    Raises:
        ValueError: it cannot; says what to change.
    """
    outcome = run_tests("def f(x):\n    return x", "assert f(1) == 1", "f", Limits())
    if outcome != "passed":
        bwrap = shutil.which("bwrap")
        said = subprocess.run(
            [str(bwrap), "--unshare-all", "--ro-bind", "/", "/", "true"], capture_output=True, text=True
        )
        raise ValueError(
            f"the code verifier cannot make a sandbox here (bubblewrap: {said.stderr.strip() or outcome}): allow "
            "unprivileged user namespaces, or in a container start it with them"
        )
