"""From a source's row to a `Record`: which column means what, for each kind of data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sage.data.preparation.rows import (
    Dropped,
    Reason,
    Record,
    Trace,
    answer_of,
    boxed_response,
    plain_text,
    text_id,
)

OPENR1 = "open-r1/OpenR1-Math-220k"
OPENR1_REVISION = "e4e141ec9dea9f8326f4d347be56105859b2bd68"
OPENR1_COLUMNS = (
    "problem", "solution", "answer", "uuid", "generations", "correctness_math_verify", "is_reasoning_complete",
)  # fmt: skip
SAGE_TRAIN = "baohao/sage_train"
SAGE_TRAIN_COLUMNS = (
    "prompt_id", "uuid", "problem", "question", "solution", "answer", "prompt", "reward_model", "data_source",
)  # fmt: skip

Adapter = Callable[[int, dict[str, Any]], Record | Dropped]


@dataclass(frozen=True)
class Columns:
    """The columns of a user's table."""

    problem: str = "problem"
    solution: str = "solution"
    answer: str | None = None
    """None: the column ``answer`` where the table has one besides the solution; a cell that is empty, or a table
    without it, leaves it to the solution (`answer_of`)."""
    prompt_id: str | None = None
    """None: an id from the problem's text."""
    data_source: str | None = None


def make_record(
    number: int,
    *,
    problem: Any,
    solution: Any,
    answer: Any,
    data_source: Any,
    prompt_id: Any = None,
    traces: tuple[Trace, ...] | None = None,
    allow_missing_solution: bool = False,
) -> Record | Dropped:
    """A record from the cells of a row, or what the row lacks."""
    known = None
    try:
        known = plain_text(prompt_id) or None
        problem, solution, answer = plain_text(problem), plain_text(solution), plain_text(answer)
        data_source = plain_text(data_source)
    except ValueError as error:
        return Dropped(number, known, Reason.UNREADABLE, str(error))
    if not problem:
        return Dropped(number, known, Reason.MISSING_PROBLEM, "the problem is empty")
    known = known or text_id(problem)
    if not solution and not allow_missing_solution:
        return Dropped(number, known, Reason.MISSING_SOLUTION, "the solution is empty, so there could be no hint")
    answer = answer or answer_of(solution)
    if not answer:
        return Dropped(number, known, Reason.MISSING_ANSWER, r"no answer, and no \boxed{} or #### in the solution")
    reference = boxed_response(solution, answer) if solution else None
    return Record(number, known, problem, solution or None, answer, data_source, reference, traces)


def table_adapter(columns: Columns, data_source: str, allow_missing_solution: bool) -> Adapter:
    """For rows with columns of the user's choice."""

    def adapt(number: int, row: dict[str, Any]) -> Record | Dropped:
        for column in (columns.problem, columns.answer, columns.prompt_id, columns.data_source):
            if column is not None and column not in row:
                return Dropped(number, None, Reason.UNREADABLE, f"no column {column!r}; it has {', '.join(row)}")
        answer = columns.answer or ("answer" if columns.solution != "answer" else None)
        return make_record(
            number,
            problem=row[columns.problem],
            solution=row.get(columns.solution),
            answer=row.get(answer) if answer else None,
            data_source=row[columns.data_source] if columns.data_source else data_source,
            prompt_id=row[columns.prompt_id] if columns.prompt_id else None,
            allow_missing_solution=allow_missing_solution,
        )

    return adapt


def openr1(number: int, row: dict[str, Any]) -> Record | Dropped:
    """A row of OpenR1-Math-220k: one problem, up to a few R1 traces and a flag of Math-Verify for each."""
    if "generations" not in row or "problem" not in row:
        return Dropped(number, None, Reason.UNREADABLE, f"not a row of {OPENR1}; it has {', '.join(row)}")
    texts: Sequence[str] = row["generations"] or []
    accepted = row.get("correctness_math_verify") or []
    complete = row.get("is_reasoning_complete") or []
    traces = tuple(
        Trace(text, n < len(accepted) and bool(accepted[n]), n < len(complete) and bool(complete[n]))
        for n, text in enumerate(texts)
        if text
    )
    return make_record(
        number,
        problem=row["problem"],
        solution=row.get("solution"),
        answer=row.get("answer"),
        data_source="openr1-math",
        prompt_id=row.get("uuid"),
        traces=traces,
    )


def sage_train(number: int, row: dict[str, Any]) -> Record | Dropped:
    """A row of the released training set, which is in verl's format."""
    reward_model = row.get("reward_model") or {}
    turns = row.get("prompt")
    asked = turns[-1].get("content") if isinstance(turns, list) and turns and isinstance(turns[-1], dict) else None
    if not isinstance(reward_model, dict):
        return Dropped(number, None, Reason.UNREADABLE, "reward_model is not a struct")
    return make_record(
        number,
        problem=row.get("problem") or row.get("question") or asked,
        solution=row.get("solution"),
        answer=reward_model.get("ground_truth") or row.get("answer"),
        data_source=row.get("data_source") or "sage_train",
        prompt_id=row.get("prompt_id") or row.get("uuid"),
    )
