"""What a problem consists of beside its text: the passage that it is about, pictures, options.

The options of multiple choice become part of the problem, and a letter its answer. A row is read by itself here,
unlike a benchmark (`sage.evaluation.choices`), which shows as a whole whether numbers count options from 0 or from 1.
So a number that may count them tells nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sage.evaluation.choices import COUNTING, Options, Question, as_text, read_options, right_options
from sage.evaluation.problems import Row, refuse_media, right_cells, with_context, with_options


class UncertainOption(ValueError):
    """A number names the right option, which may count from 0 or from 1."""


def whole_problem(row: Mapping[str, Any], number: int, problem: str) -> str:
    """A problem with the texts of other columns that it is about.

    Raises:
        ValueError: it has pictures and the like, or a passage that is no text.
    """
    cells = Row(f"row {number}", number, row)
    refuse_media(cells)
    return with_context(cells, problem)


def read_choice(row: Mapping[str, Any], number: int, problem: str, column: str | None) -> tuple[str, str | None] | None:
    """The problem with its options and the letter of the right one; None where a row has no options.

    Args:
        row: the cells.
        number: of the row.
        problem: its text, to which options are added unless it has them.
        column: the one that tells the right option; None for the first that does.

    Returns:
        The letter is None where no column tells it; the solution may.

    Raises:
        UncertainOption: see there.
        ValueError: options that are no texts, or a right one that is none of them.
    """
    where = f"row {number}"
    options = read_options(row, where)
    if options is None:
        return None
    cells = right_cells(Row(where, number, row)) if column is None else {column: row.get(column)}
    cells = {name: value for name, value in cells.items() if as_text(value) is not None}
    asked = problem if all(text in problem for text in options.texts) else with_options(problem, options.texts)
    if not cells:
        return asked, None
    if name := next((name for name, value in cells.items() if all(_counts(v, options) for v in cells.values())), None):
        raise UncertainOption(f"{name!r} is a number, which may count the options from 0 or from 1; give their letter")
    return asked, right_options([Question(where, options, cells)])[0]


def _counts(value: Any, options: Options) -> bool:
    return any(way(value, options) is not None for way in COUNTING)
