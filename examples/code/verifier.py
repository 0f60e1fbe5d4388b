"""Is the program in a response right? Its unit tests say so, run in a sandbox (`sandbox`).

The answer of a row is a JSON object: ``entry``, the name of the function to write; ``tests``, Python that calls it and
raises where a result is wrong (``assert add(1, 2) == 3``); ``reference``, a program that passes.
"""

from __future__ import annotations

import ast
import io
import json
import keyword
import re
import textwrap
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass

from examples.code.sandbox import Limits, check_sandbox, run_tests
from sage.grading.responses import without_thoughts
from sage.grading.verifier import Verdict

GRAM, SHARE, RUN = 6, 0.4, 20
"""The leak rule (`CodeVerifier.find_leaks`)."""
_FENCE = re.compile(r"\s*```+[ \t]*([\w+-]*)[ \t]*")
_TOKEN = re.compile(r"[^\W\d]\w*|\d[\w.]*|[^\w\s]")
_EMPTY = "def {entry}(*args, **kwargs):\n    raise NotImplementedError"


@dataclass(frozen=True)
class Task:
    """What an answer says."""

    entry: str
    tests: str
    reference: str

    @classmethod
    def parse(cls, answer: str) -> Task:
        """Read an answer.

        Raises:
            ValueError: it is not written as the module says.
        """
        try:
            found = json.loads(answer)
        except json.JSONDecodeError as error:
            raise ValueError(f"the answer is no JSON ({error}): write entry, tests and reference") from error
        for key in ("entry", "tests", "reference"):
            if not isinstance(found, dict) or not isinstance(found.get(key), str) or not found[key].strip():
                raise ValueError(f"the answer lacks the text {key}: write entry, tests and reference as JSON")
        if not found["entry"].isidentifier():
            raise ValueError(f"entry is {found['entry']!r}: give the name of a function")
        return cls(found["entry"], found["tests"], found["reference"])


class CodeVerifier:
    """Runs the last Python code block of a response against the tests of the answer.

    Args:
        cpu_seconds: for all tests of one program.
        wall_seconds: the same by the clock, for one that sleeps.
        memory_mb: of one program, its interpreter included.

    Raises:
        ValueError: no sandbox can be made here.
    """

    def __init__(self, cpu_seconds: int = 5, wall_seconds: float = 60.0, memory_mb: int = 512) -> None:
        self._limits = Limits(cpu_seconds, wall_seconds, memory_mb)
        check_sandbox()

    def is_correct(self, response: str, answer: str) -> bool:
        """Whether the program of a response passes all tests."""
        return self.judge(response, answer).correct

    def judge(self, response: str, answer: str) -> Verdict:
        """As `is_correct`, and whether time ran out or no sandbox started (`sage.grading.verifier.Judge`).

        Raises:
            ValueError: the answer cannot be read.
        """
        task, program = Task.parse(answer), last_program(response)
        return Verdict(False) if program is None else self._run(program, task)

    def same_answer(self, candidate: str, answer: str) -> bool:
        """Whether two answers are the same texts; no program is run."""
        return candidate.strip() == answer.strip()

    def find_leaks(self, hint: str, answer: str) -> list[tuple[int, int]]:
        """Code of the reference in a hint (`sage.grading.verifier.LeakFinder`), for whatever names it has there.

        Code counts from 6 tokens in a row that are in the reference's function bodies too (fewer if that is all of
        them). It is a leak if it covers more than 40% of the reference's tokens, or is more than 20 in a row; then all
        of it is. Comments, docstrings and headers of functions are not counted, and all names but keywords are one.
        """
        wanted = body_tokens(Task.parse(answer).reference)
        found = [(_normalise(match.group()), match.span()) for match in _TOKEN.finditer(hint)]
        words, length = [word for word, _ in found], min(GRAM, len(wanted))
        places: dict[tuple[str, ...], set[int]] = {}
        for start in range(len(wanted) - length + 1):
            places.setdefault(tuple(wanted[start : start + length]), set()).add(start)
        covered: set[int] = set()
        runs: list[list[int]] = []  # first and last token of code in the hint
        for start in range(len(words) - length + 1):
            if at := places.get(tuple(words[start : start + length])):
                covered.update(place + offset for place in at for offset in range(length))
                if runs and start <= runs[-1][1]:
                    runs[-1][1] = start + length - 1
                else:
                    runs.append([start, start + length - 1])
        if len(covered) <= SHARE * len(wanted) and all(last - first < RUN for first, last in runs):
            return []
        return [(found[first][1][0], found[last][1][1]) for first, last in runs]

    def why_unverifiable(self, answer: str, responses: Sequence[str]) -> str | None:
        """What is wrong with an answer in a data file (`sage.grading.verifier.AnswerChecker`)."""
        try:
            task = Task.parse(answer)
            body_tokens(task.reference)
        except ValueError as error:
            return str(error)
        if not (verdict := self._run(task.reference, task)).correct:
            return f"the reference does not pass the tests ({verdict.failure or 'a test fails'})"
        if self._run(_EMPTY.format(entry=task.entry), task).correct:
            return f"the tests also pass where {task.entry} does nothing"
        if responses and not any(self.is_correct(text, answer) for text in responses):
            return "neither the reference response nor the solution ends in a Python code block that passes the tests"
        return None

    def _run(self, program: str, task: Task) -> Verdict:
        outcome = run_tests(program, task.tests, task.entry, self._limits)
        return Verdict(outcome == "passed", outcome if outcome in ("timeout", "crash") else None)


def last_program(response: str) -> str | None:
    """The last complete code block of a response that is marked as Python or not marked, outside of its thoughts."""
    program: str | None = None
    language: str | None = None  # of the block that is open
    lines: list[str] = []
    for line in without_thoughts(response).splitlines():
        fence = _FENCE.fullmatch(line)
        if fence is None:
            lines.append(line)
        elif language is None:
            language, lines = fence[1].lower(), []
        else:
            if language in ("", "python", "python3", "py"):
                program = textwrap.dedent("\n".join(lines)) + "\n"
            language = None
    return program


def body_tokens(reference: str) -> list[str]:
    """The tokens of a program without comments, docstrings and the headers of its functions, names normalised.

    Raises:
        ValueError: it is no Python.
    """
    try:
        tree = ast.parse(reference)
        tokens = list(tokenize.generate_tokens(io.StringIO(reference).readline))
    except (SyntaxError, tokenize.TokenError, ValueError) as error:
        raise ValueError(f"the reference is no Python ({error})") from error
    left_out = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            first = (body or node.body)[0]
            left_out.append(((node.lineno, node.col_offset), (first.lineno, first.col_offset)))
    kinds = (tokenize.NAME, tokenize.NUMBER, tokenize.STRING, tokenize.OP)
    kept = [
        token.string
        for token in tokens
        if token.type in kinds and not any(begin <= token.start < end for begin, end in left_out)
    ]
    return [_normalise(part) for text in kept for part in _TOKEN.findall(text)]


def _normalise(token: str) -> str:
    return "name" if token.isidentifier() and not keyword.iskeyword(token) else token
