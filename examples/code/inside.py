"""What runs in the sandboxes of `sandbox.run_tests`, sent as text; standard library only.

    python -c THIS_FILE program ENTRY CALLS RESULTS CPU_SECONDS MEMORY_MB < program
    python -c THIS_FILE tests   ENTRY CALLS RESULTS CPU_SECONDS MEMORY_MB < tests

The tests call the program's function through a pair of pipes (the file descriptors CALLS and RESULTS), so the program
never shares a process with them. Values go as pickles in which no class may stand: what comes back from a program is
made of builtin values, whose equality it cannot change. The exit status of ``tests`` is the verdict.
"""

import builtins
import io
import os
import pickle
import resource
import sys
import types

PASSED, FAILED, ENDED, NOT_STARTED = 40, 41, 42, 43
"""Exit status of ``tests``; ENDED: no reading of the program's answer, NOT_STARTED: there was never a program."""
MAX_BYTES = 1 << 22
"""Of one answer of the program; a longer one counts as none."""


class Values(pickle.Unpickler):
    """Builtin values only."""

    def find_class(self, module, name):
        if (module, name) == ("builtins", "complex"):
            return complex
        raise pickle.UnpicklingError(f"{module}.{name} is no builtin value")


def send(stream, message):
    data = pickle.dumps(message, protocol=5)
    stream.write(len(data).to_bytes(8, "little") + data)
    stream.flush()


def receive(stream, limit):
    """The next message.

    Raises:
        EOFError: there is none, or it is too long.
        Exception: whatever a malformed pickle raises.
    """
    size = int.from_bytes(stream.read(8), "little")
    data = stream.read(size) if 0 < size <= limit else b""
    if not data or len(data) < size:
        raise EOFError("no message")
    return Values(io.BytesIO(data)).load()


def plain(value):
    """A value without classes of the program's own or of the library's: a Counter becomes a dict."""
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return kind([plain(item) for item in value])
    for kind in (int, float, complex, str, bytes, bytearray):
        if isinstance(value, kind) and not isinstance(value, bool):
            return kind(value)
    if value is None or isinstance(value, bool):
        return value
    raise TypeError(f"{type(value).__name__} is no builtin value")


def answer(function, message):
    """What a call came to: ("value", the value) or (name of an exception, its text)."""
    try:
        positional, named = message
        return "value", plain(function(*positional, **named))
    except Exception as error:
        kinds = (kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
        kind = next(kind for kind in kinds if not issubclass(kind, UnicodeError))  # those take more than a text
        return kind.__name__, str(error)[:1000]


def run_program(source, entry, calls, results):
    """Execute the program and answer the calls of its function, until no more come."""
    send(results, "started")
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    exec(compile(source, "solution.py", "exec"), module.__dict__)
    function = getattr(module, entry)
    while True:
        try:
            message = receive(calls, sys.maxsize)
        except EOFError:
            return
        send(results, answer(function, message))


def run_tests(source, entry, calls, results):
    """Execute the tests against the program behind the pipes and exit with the verdict."""

    def end(status):
        os._exit(status)  # nothing that the tests catch may turn it into a pass

    def call(*positional, **named):
        message = pickle.dumps((positional, named))  # raises here, in the test, if it cannot be sent
        Values(io.BytesIO(message)).load()
        try:
            send(calls, (positional, named))
            kind, value = receive(results, MAX_BYTES)
        except Exception:  # whatever the program sent or did: it ended the call without a value
            end(ENDED)
        if kind == "value":
            return value
        error = getattr(builtins, kind, None) if isinstance(kind, str) else None
        raise error(value) if error in EXCEPTIONS else RuntimeError(value)

    try:
        receive(results, MAX_BYTES)
    except Exception:  # likewise: it never said that it was ready
        end(NOT_STARTED)
    call.__name__ = entry
    try:
        exec(compile(source, "tests.py", "exec"), {"__name__": "tests", entry: call})
    except BaseException:
        end(FAILED)
    end(PASSED)


EXCEPTIONS = {kind for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, Exception)}


def main():
    role, entry, calls, results, cpu, memory = sys.argv[1:]
    source = sys.stdin.buffer.read().decode()
    calls = os.fdopen(int(calls), "rb" if role == "program" else "wb")
    results = os.fdopen(int(results), "wb" if role == "program" else "rb")
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    cpu, memory = int(cpu), int(memory) << 20
    for what, soft, hard in (
        (resource.RLIMIT_CPU, cpu, cpu + 1),
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_NPROC, 0, 0),
        (resource.RLIMIT_NOFILE, 32, 32),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        resource.setrlimit(what, (soft, hard))
    (run_program if role == "program" else run_tests)(source, entry, calls, results)


main()
