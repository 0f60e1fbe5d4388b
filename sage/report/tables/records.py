"""The record of one run of an embedded task (`sage.toy.embedded.store`), as reports and tables read it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, FiniteFloat, with_config
from typing_extensions import NotRequired, TypedDict

from sage.support.documents import read_json
from sage.support.values import Share


def _with_total(tokens: dict[str, float]) -> dict[str, float]:
    if "total" not in tokens:
        raise ValueError("lacks 'total'")
    return tokens


class Measured(TypedDict):
    """What a record may hold."""

    method: str
    seed: int
    base: NotRequired[dict[str, Share]]
    curves: NotRequired[dict[str, list[FiniteFloat | None]]]
    never_solved: NotRequired[Share]
    hint_usage_last_quarter: NotRequired[Share]
    tokens: NotRequired[Annotated[dict[str, FiniteFloat], AfterValidator(_with_total)]]
    wall_seconds: NotRequired[FiniteFloat]
    step_seconds: NotRequired[FiniteFloat]
    versions: NotRequired[dict[str, str]]


@with_config(extra="allow")
class Record(Measured):
    """What is read of a recorded run; it has more."""

    final: dict[str, Share]
    steps: NotRequired[int]
    series: NotRequired[str]


def load_record(path: Path, kind: Any = Record) -> dict[str, Any]:
    """A recorded run.

    Raises:
        ValueError: it lacks what every record has, or is damaged.
    """
    record: dict[str, Any] = read_json(kind, path, "record the run again with scripts/compare_methods.py --run")
    return record
