"""From a source's row to a `Record`: which column means what, for each kind of data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sage.data.preparation.cells import (
    MISSING,
    as_messages,
    column_names,
    find_cell,
    plain_text,
    problem_text,
    solution_text,
)
from sage.data.preparation.options import UncertainOption, read_choice, whole_problem
from sage.data.preparation.rows import Dropped, Reason, Record, Trace, text_id
from sage.data.preparation.truths import answer_of, bare_answer, differing_boxes, is_solution
from sage.support.rows import Row, Unreadable

OPENR1 = "open-r1/OpenR1-Math-220k"
OPENR1_REVISION = "e4e141ec9dea9f8326f4d347be56105859b2bd68"
OPENR1_COLUMNS = (
    "problem", "solution", "answer", "uuid", "generations", "correctness_math_verify", "is_reasoning_complete",
)  # fmt: skip
SAGE_TRAIN = "baohao/sage_train"

PROBLEM = ("problem", "question", "extra_info.question", "extra_info.problem", "prompt", "messages", "conversations")
SOLUTION = ("solution", "extra_info.solution", "extra_info.answer", "target", "messages", "conversations", "answer")
ANSWER = ("reward_model.ground_truth", "answer")
PROMPT_ID = ("prompt_id", "uuid")
RESPONSE = ("reference_response", "target")
"""Where a cell is looked for that the user names no column for: the project's own files, verl's preprocessed ones,
DAPO-Math-17k, LUFFY's, chat messages. The first of them that is not empty counts."""
ONLY_CHAT = frozenset({"target", "messages", "conversations"})
"""Of those, the ones that mean something only where they hold chat messages; ``answer`` is a solution only where it
holds a whole one, as in GSM8K's own files."""

Adapter = Callable[[int, dict[str, Any]], Record | Dropped]


@dataclass(frozen=True)
class Columns:
    """The columns of a table that the user names; None for those that are looked for."""

    problem: str | None = None
    solution: str | None = None
    answer: str | None = None
    """Where it is empty, the solution has the answer (`answer_of`)."""
    prompt_id: str | None = None
    """None, and none found: an id from the problem's text."""
    data_source: str | None = None
    """Empty for none."""

    def places(self) -> dict[str, tuple[str, ...]]:
        """The columns of each part of a record, in the order in which they are looked at."""
        solutions = (self.solution,) if self.solution else SOLUTION
        source = "data_source" if self.data_source is None else self.data_source
        return {
            "prompt_id": (self.prompt_id,) if self.prompt_id else PROMPT_ID,
            "problem": (self.problem,) if self.problem else PROBLEM,
            "solution": solutions,
            "answer": (self.answer,) if self.answer else tuple(name for name in ANSWER if name != self.solution),
            "data_source": (source,) if source else (),
            "response": RESPONSE,
        }

    def required(self, with_solution: bool) -> list[tuple[str, ...]]:
        """Columns of which one has to be there."""
        named = [(name,) for name in (self.answer, self.prompt_id, self.data_source) if name]
        places = self.places()
        return [places["problem"], *([places["solution"]] if with_solution else []), *named]

    def read(self) -> list[str]:
        """The columns to read, without what is inside them."""
        return list(dict.fromkeys(name for names in self.places().values() for name in names))


def missing_column(rows: Iterable[Row], required: Iterable[Sequence[str]]) -> str | None:
    """Which column is in none of some rows, and which are; None where all are there."""
    readable = [row for row in rows if not isinstance(row, Unreadable)]
    have = list(dict.fromkeys(name[:60] for row in readable for name in column_names(row)))
    together = {name: None for row in readable for name in row}
    for names in required:
        if not any(_absent(row, [names]) is None for row in readable):
            return f"no column {_absent(together, [names])}; it has {', '.join(have[:40])}"
    return None


def _first(row: dict[str, Any], names: Sequence[str], read: Callable[[Any], str]) -> str:
    """The first of these cells that is not empty. A single one is a column that the user named."""
    cells = ((name, find_cell(row, name)) for name in names)
    only_chat = ONLY_CHAT if len(names) > 1 else frozenset()
    values = (
        None if v is MISSING or (name in only_chat and as_messages(v) is None) or _only_answer(name, v, names) else v
        for name, v in cells
    )
    return next((text for value in values if (text := read(value))), "")


def _only_answer(name: str, value: Any, names: Sequence[str]) -> bool:
    """Whether a column that may hold a solution holds an answer alone."""
    return name == "answer" and names == SOLUTION and not (isinstance(value, str) and is_solution(value))


def _absent(row: dict[str, Any], groups: Iterable[Sequence[str]]) -> str | None:
    """The first of some groups of columns of which a row has none, in words."""
    for names in groups:
        if all((cell := find_cell(row, name)) is MISSING or _only_answer(name, cell, names) for name in names):
            others = ", ".join("a whole solution in answer" if _only_answer(n, None, names) else n for n in names[1:])
            return f"{names[0]!r}" + (f" (nor {others})" if others else "")
    return None


def make_record(
    number: int,
    *,
    problem: str,
    solution: str,
    answer: str,
    data_source: str,
    prompt_id: str | None = None,
    response: str | None = None,
    traces: tuple[Trace, ...] | None = None,
    allow_missing_solution: bool = False,
    mathematics: bool = True,
) -> Record | Dropped:
    """A record from the texts of a row, or what the row lacks.

    Args:
        mathematics: whether an answer is what a box may hold, so that announcements and boxes around it are dropped.
    """
    if not problem:
        return Dropped(number, prompt_id, Reason.MISSING_PROBLEM, "the problem is empty")
    known = prompt_id or text_id(problem)
    ambiguous = differing_boxes(answer or solution)
    empty = "the solution is empty"
    if mathematics and answer and not ambiguous:
        answer = bare_answer(answer)
        if solution == answer:  # so in DAPO's processed release
            solution, empty = "", "the solution is only the answer"
    if not solution and not allow_missing_solution:
        what = f"{empty}, so there could be no hint; --allow-missing-solution keeps such rows"
        return Dropped(number, known, Reason.MISSING_SOLUTION, what)
    if ambiguous and (mathematics or not answer):
        where = "the answer has" if answer else "there is no column for the answer, and the solution has"
        return Dropped(number, known, Reason.AMBIGUOUS_ANSWER, f"{where} {ambiguous}")
    answer = answer or answer_of(solution) or ""
    if not answer:
        return Dropped(number, known, Reason.MISSING_ANSWER, r"no answer, and no \boxed{} or #### in the solution")
    return Record(number, known, problem, solution or None, answer, data_source, response, traces)


def table_adapter(
    columns: Columns, data_source: str, allow_missing_solution: bool, mathematics: bool = True
) -> Adapter:
    """For rows with columns of the user's choice, or those that are looked for.

    Args:
        data_source: of a row without one.
        allow_missing_solution: keep rows without a solution.
        mathematics: see `make_record`.
    """
    required, places = columns.required(with_solution=False), columns.places()
    readers = {"problem": problem_text, "solution": solution_text, "response": solution_text}

    def adapt(number: int, row: dict[str, Any]) -> Record | Dropped:
        if absent := _absent(row, required):
            have = ", ".join(name[:60] for name in column_names(row)[:40])
            return Dropped(number, None, Reason.UNREADABLE, f"no column {absent}; it has {have}")
        cells: dict[str, str] = {}
        for what, names in places.items():
            try:
                cells[what] = _first(row, names, readers.get(what, plain_text))
            except ValueError as error:
                return Dropped(number, cells.get("prompt_id"), Reason.UNREADABLE, f"{what}: {error}")
        if columns.answer is None and cells["solution"] == cells["answer"] and is_solution(cells["answer"]):
            cells["answer"] = ""  # the solution has it
        if cells["response"] == cells["solution"]:
            cells["response"] = ""
        try:
            if columns.problem is None and cells["problem"]:
                cells["problem"] = whole_problem(row, number, cells["problem"])
            if found := cells["problem"] and read_choice(row, number, cells["problem"], columns.answer):
                cells["problem"], cells["answer"] = found[0], found[1] or cells["answer"]
        except UncertainOption as error:
            return Dropped(number, cells["prompt_id"] or None, Reason.AMBIGUOUS_ANSWER, str(error))
        except ValueError as error:
            return Dropped(number, cells["prompt_id"] or None, Reason.UNREADABLE, str(error))
        return make_record(
            number,
            problem=cells["problem"],
            solution=cells["solution"],
            answer=cells["answer"],
            data_source=cells["data_source"] or data_source,
            prompt_id=cells["prompt_id"] or None,
            response=cells["response"] or None,
            allow_missing_solution=allow_missing_solution,
            mathematics=mathematics,
        )

    return adapt


def openr1(number: int, row: dict[str, Any]) -> Record | Dropped:
    """A row of OpenR1-Math-220k: one problem, up to a few R1 traces and a flag of Math-Verify for each."""
    if "generations" not in row or "problem" not in row:
        return Dropped(number, None, Reason.UNREADABLE, f"not a row of {OPENR1}; it has {', '.join(row)}")
    prompt_id = None
    try:
        prompt_id = plain_text(row.get("uuid")) or None
        texts = _list_of(row, "generations", str)
        accepted = _list_of(row, "correctness_math_verify", bool)
        complete = _list_of(row, "is_reasoning_complete", bool)
        problem, solution = problem_text(row["problem"]), solution_text(row.get("solution"))
        answer = plain_text(row.get("answer"))
        traces = tuple(
            Trace(text, n < len(accepted) and accepted[n], n < len(complete) and complete[n])
            for n, text in enumerate(map(plain_text, texts))
            if text
        )
    except ValueError as error:
        return Dropped(number, prompt_id, Reason.UNREADABLE, str(error))
    return make_record(
        number,
        problem=problem,
        solution=solution,
        answer=answer,
        data_source="openr1-math",
        prompt_id=prompt_id,
        traces=traces,
    )


def _list_of(row: dict[str, Any], column: str, kind: type) -> list[Any]:
    """A cell that is a list, whose elements may be null."""
    value = row.get(column)
    if value is None:
        return []
    if not isinstance(value, list) or not all(element is None or isinstance(element, kind) for element in value):
        raise ValueError(f"{column} is not a list of {'texts' if kind is str else 'flags'}")
    return [kind() if element is None else element for element in value]
