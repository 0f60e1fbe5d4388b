"""The worked example whose truth is unit tests (examples/code): verdicts, what the sandbox holds, leaks, data."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from examples.code import make_data, sandbox
from examples.code.verifier import CodeVerifier, body_tokens, last_program
from sage.grading.verifier import Verdict, load_verifier
from sage.hints.leak import find_leaks
from sage.hints.prompts import PromptTemplates

ROOT = Path(__file__).parents[2]
MARK = 509
"""Megabytes: the memory limit of the runs here, by which their processes are known."""
ADD = "assert add(1, 2) == 3\nassert add(-1, 1) == 0\nassert add('a', 'b') == 'ab'"
RIGHT = "def add(a, b):\n    return a + b"
LEAK = """def mean_of_positive(numbers):
    # a comment
    kept = [number for number in numbers if number > 0]
    if not kept:
        return None
    return sum(kept) / len(kept)
"""

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def verifier() -> CodeVerifier:
    try:
        return CodeVerifier(cpu_seconds=1, wall_seconds=100, memory_mb=MARK)
    except ValueError as error:
        pytest.skip(f"no sandbox here: {error}")


@pytest.fixture(autouse=True)
def _nothing_is_left():
    yield
    deadline = time.monotonic() + 20
    while left := [process for process in Path("/proc").glob("[0-9]*") if _is_ours(process)]:
        assert time.monotonic() < deadline, f"processes of a sandbox outlive the test: {left}"
        time.sleep(0.2)


def _is_ours(process: Path) -> bool:
    try:
        return (process / "cmdline").read_bytes().endswith(b"\0%d\0" % MARK)
    except (FileNotFoundError, ProcessLookupError):
        return False


def answer(tests: str, entry: str = "add") -> str:
    return json.dumps({"entry": entry, "tests": tests, "reference": f"def {entry}(*given):\n    return given"})


def block(program: str) -> str:
    return f"I think so.\n```python\n{program}\n```\nThat is all."


PROGRAMS = yaml.safe_load(Path(__file__).with_name("code_programs.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("program", PROGRAMS["by_hand"].values(), ids=PROGRAMS["by_hand"])
def test_verdicts_are_those_of_running_the_tests_by_hand(verifier, program, tmp_path):
    file = tmp_path / "by_hand.py"
    file.write_text(f"{program}\n\n{ADD}\n", encoding="utf-8")
    command = [sys.executable, "-I", str(file)]
    by_hand = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0
    assert verifier.judge(block(program), answer(ADD)) == Verdict(by_hand)


VALUES = """from collections import Counter
def f(kind):
    if kind == "raise":
        raise KeyError("k")
    if kind == "unicode":
        "ä".encode("ascii")
    return {"tuple": (1, [2.5]), "set": {1, 2}, "none": None, "nan": float("inf"), "bytes": b"\\0", "complex": 2j,
            "big": 10**200, "counter": Counter("aab"), "true": True, "frozen": frozenset("a")}[kind]
"""
VALUE_TESTS = """assert f("tuple") == (1, [2.5]) and f("set") == {1, 2} and f("none") is None
assert f("nan") == float("inf") and f("bytes") == b"\\0" and f("complex") == 2j
assert f("big") == 10**200 and f("counter") == {"a": 2, "b": 1}
assert f("true") is True and f(kind="frozen") == frozenset("a")
for kind, error in (("raise", KeyError), ("unicode", ValueError), ("missing", LookupError)):
    try:
        f(kind)
    except error:
        pass
    else:
        raise AssertionError
"""


def test_values_and_exceptions_reach_the_tests(verifier):
    space = {}
    exec(VALUES + VALUE_TESTS, space)  # by hand
    assert verifier.is_correct(block(VALUES), answer(VALUE_TESTS, "f"))


# What a program could do, told by its function; in the sandbox it can do none of it.
ATTEMPTS = """
import os, socket, subprocess, threading
def tries(**attempts):
    done = []
    for name, attempt in attempts.items():
        try:
            attempt()
            done.append(name)
        except Exception:  # whatever it is that refuses
            pass
    return done
def probe(outside):
    return tries(
        **{"write " + path: lambda path=path: open(path + "/made", "w").write("x")
           for path in ("/tmp", "/", "/usr", "/dev/shm", "/dev", os.path.expanduser("~"), ".", outside)},
        **{"read " + path: lambda path=path: open(path).read(1)
           for path in ("/etc/shadow", "/etc/passwd", "/proc/1/environ", "/proc/self/maps", outside + "/secret")},
        home=lambda: [os.listdir(os.path.join("/home", user)) for user in os.listdir("/home")],
        network=lambda: socket.create_connection(("127.0.0.1", PORT), 2),
        name_service=lambda: socket.getaddrinfo("example.org", 80),
        fork=os.fork,
        process=lambda: subprocess.run(["/usr/bin/true"]),
        thread=lambda: threading.Thread(target=print).start(),
        memfd=lambda: os.memfd_create("x"),
        environment=lambda: {"HOME", "PATH"} & set(os.environ) or 1 / 0,
        limits=lambda: __import__("resource").setrlimit(0, (-1, -1)),
        root=lambda: os.setuid(0) or open("/etc/shadow"),
    )
"""


def test_nothing_outside_can_be_read_written_or_reached(verifier, tmp_path):
    (tmp_path / "secret").write_text("s")
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = ATTEMPTS.replace("PORT", str(server.getsockname()[1]))
        tests = f"assert probe({str(tmp_path)!r}) == [], 'the program could'"
        assert verifier.judge(block(program), answer(tests, "probe")) == Verdict(True)
        socket.create_connection(server.getsockname(), 2).close()  # which can be reached from here
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]


HOSTILE = [(kind, name) for kind in ("wrong", "timeout", "either") for name in PROGRAMS[kind]]


@pytest.mark.parametrize(("kind", "name"), HOSTILE)
def test_hostile_programs_are_wrong_and_end(verifier, kind, name):
    verdict = verifier.judge(block(PROGRAMS[kind][name]), answer(ADD))
    assert not verdict.correct
    if kind != "either":
        assert verdict.failure == ("timeout" if kind == "timeout" else None)


def test_a_program_that_sleeps_is_out_of_time(verifier):
    sleeper = CodeVerifier(cpu_seconds=1, wall_seconds=5, memory_mb=MARK)
    program = "import time\ntime.sleep(1000)"
    assert sleeper.judge(block(program), answer(ADD)) == Verdict(False, "timeout")


def test_what_is_wrong_with_an_answer_is_said(verifier):
    reference = {"entry": "add", "tests": ADD, "reference": RIGHT}
    faults = {
        "no JSON": "def add",
        "lacks the text entry": json.dumps({"tests": ADD}),
        "lacks the text tests": json.dumps(reference | {"tests": " "}),
        "give the name of a function": json.dumps(reference | {"entry": "a b"}),
        "no Python": json.dumps(reference | {"reference": "def add(:"}),
        "reference does not pass": json.dumps(reference | {"reference": RIGHT.replace("+", "-")}),
        "also pass where add does nothing": json.dumps(reference | {"tests": "x = add"}),
    }
    for what, written in faults.items():
        assert what in (verifier.why_unverifiable(written, []) or ""), what
    assert verifier.why_unverifiable(json.dumps(reference), []) is None
    assert "neither" in verifier.why_unverifiable(json.dumps(reference), ["no code"])
    with pytest.raises(ValueError, match="no JSON"):
        verifier.judge(block(RIGHT), "{")


def test_the_last_code_block_counts():
    for response, program in {
        "```python\na\n```": "a\n",
        "```py\na\n```\n\n```\nb\n```": "b\n",
        "```python\na\n```\n```bash\nls\n```\n": "a\n",
        "  ```python\n  a\n    b\n  ```": "a\n  b\n",
        "<think>```python\na\n```": None,
        "<think>```python\na\n```</think>```python\nb\n```": "b\n",
        "```python\na\n```\n```python\nb": "a\n",
        "a": None,
        "```python\n```": "\n",
    }.items():
        assert last_program(response) == program, response
    begun = time.monotonic()
    last_program("```python\n" * 20000)
    assert time.monotonic() - begun < 5


def leaks(hint: str, reference: str = LEAK) -> list[str]:
    guard = object.__new__(CodeVerifier)  # leaks need no sandbox
    written = json.dumps({"entry": "f", "tests": "f()", "reference": reference})
    return [hint[slice(*span)] for span in find_leaks(hint, written, guard)]


def test_code_of_the_reference_is_a_leak_from_a_share_on():
    assert not leaks("Keep the positive numbers; if there are none, return None; else divide the sum by the count.")
    assert not leaks("Think of `sum(kept) / len(kept)` for the mean of a list.")
    assert not leaks("def mean_of_positive(numbers): is the header.")
    whole = LEAK.partition("\n")[2].strip()
    assert leaks(f"Write this:\n```python\n{LEAK}```\n") == [whole[whole.index("kept") :]]
    renamed = whole.replace("kept", "good").replace("number", "n").replace("# a comment\n", "")
    assert leaks(f"Try {renamed}, then stop") == [renamed[renamed.index("good") :]]
    twice = leaks(
        "`kept = [number for number in numbers if number > 0]` and, once more, `return sum(kept) / len(kept)`"
    )
    assert twice == ["kept = [number for number in numbers if number > 0]", "return sum(kept) / len(kept)"]
    assert leaks("just return a + b", "def add(a, b):\n    '''Adds.'''\n    return a + b") == ["return a + b"]


def test_names_are_one_and_headers_and_docstrings_do_not_count():
    assert body_tokens('def f(a):\n    "text"\n    return a + 1  # so\n') == ["return", "name", "+", "1"]


def test_a_long_stretch_is_a_leak_whatever_its_share():
    reference = "def f(a):\n" + "".join(f"    a[{i}] = g({i}) + h({i + 1}, a)\n" for i in range(30)) + "    return a\n"
    lines = reference.splitlines()
    assert not leaks(f"Say {lines[3].strip()} there", reference)
    assert leaks(f"Say {lines[3].strip()}\n{lines[4].strip()} there", reference)


def test_without_bubblewrap_one_sentence_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    sandbox.check_sandbox.cache_clear()
    with pytest.raises(ValueError, match="apt install bubblewrap"):
        load_verifier("examples.code.verifier:CodeVerifier")
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho no namespaces for you >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    with pytest.raises(ValueError, match=r"cannot make a sandbox here .*no namespaces for you"):
        load_verifier("examples.code.verifier:CodeVerifier")
    sandbox.check_sandbox.cache_clear()
    with pytest.raises(ValueError, match="this machine is mips"):
        sandbox.system_call_filter("mips")


def test_every_reference_passes_its_tests_and_the_solution_is_a_whole_response():
    problems = yaml.safe_load(make_data.PROBLEMS.read_text())
    rows = [make_data.make_row(problem) for problem in problems]
    assert len({row["prompt_id"] for row in rows}) == len(rows) >= 60
    for row in rows:
        written = json.loads(row["answer"])
        assert last_program(row["solution"]) == written["reference"]
        assert written["tests"].count(written["entry"]) >= 3 and written["entry"] + "(" in row["problem"]
        exec(f"{written['reference']}\n{written['tests']}", {})


def test_the_data_are_prepared_as_a_users_are(verifier, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["make_data", "--out", str(tmp_path)])
    make_data.main()
    rows = [json.loads(line) for line in (tmp_path / "test.jsonl").read_text().splitlines()][:3]
    rows.append(rows[0] | {"prompt_id": "code/wrong", "problem": "Other.", "answer": rows[1]["answer"]})
    (tmp_path / "few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "scripts/prepare_data.py"]
    name = ["--verifier", "examples.code.verifier:CodeVerifier"]
    table = [*command, "table", str(tmp_path / "few.jsonl"), *name, "--out", str(tmp_path / "few.parquet")]
    subprocess.run(table, cwd=ROOT, check=True)
    dropped = [json.loads(line) for line in (tmp_path / "few.dropped.jsonl").read_text().splitlines()]
    assert [(row["prompt_id"], row["reason"]) for row in dropped] == [("code/wrong", "unverifiable_answer")]
    subprocess.run([*command, "validate", str(tmp_path / "few.parquet"), *name], cwd=ROOT, check=True)


def test_the_prompts_are_complete():
    templates = PromptTemplates.load(ROOT / "examples/code/prompts.yaml")
    assert "P" in templates.hint_request_text("P", "S", 2) and templates.hinted_text("Q", "P", "H").startswith("Q")
