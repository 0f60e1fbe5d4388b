"""The recorded runs of an embedded task: one small JSON file for each method and seed, in ``results/<task>``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import with_config
from typing_extensions import TypedDict

from sage.report.tables.collect import logged
from sage.report.tables.records import Measured, load_record
from sage.support.files import write_text
from sage.support.values import Share

CURVES = (
    "sage/groups/accuracy",
    "sage/groups/dead",
    "sage/hint_usage",
    "sage/prompts",
    "sage/prompts/level_1",
    "sage/prompts/level_2",
    "sage/prompts/level_3",
    "sage/never_solved",
    "sage/never_solved_plain",
    "sage/policy/entropy",
    "sage/policy/response_length",
    "timing_s/step",
    "timing_s/gen",
    "timing_s/old_log_prob",
    "timing_s/update_actor",
)
"""Logged metrics whose course over the steps is kept."""


class _Kinds(TypedDict):
    easy: Share
    medium: Share
    hard: Share


@with_config(extra="allow")
class Compared(Measured):
    """A record that is compared with others of its task."""

    final: _Kinds
    steps: int
    series: str


def curves(metrics: Path) -> dict[str, list[float | None]]:
    """Course of each of `CURVES` over the training steps of a metrics.jsonl; None where it was not logged.

    Values have three significant digits: all records of all rows are to stay below a megabyte.
    """
    steps = [data for _, data in logged(metrics) if "sage/prompts" in data]
    found = {name: [data.get(name) for data in steps] for name in CURVES}
    rounded = {name: [None if v is None else float(f"{v:.3g}") for v in values] for name, values in found.items()}
    return {name: values for name, values in rounded.items() if any(v is not None for v in values)}


def path_of(folder: Path, method: str, seed: int) -> Path:
    return folder / method / f"seed{seed}.json"


def save(folder: Path, record: dict[str, Any]) -> Path:
    """Write the record of one run, whole or not at all."""
    path = path_of(folder, record["method"], record["seed"])
    write_text(path, json.dumps(record, separators=(",", ":")) + "\n")
    return path


def load(folder: Path, methods: Iterable[str]) -> dict[str, dict[int, dict[str, Any]]]:
    """Recorded runs by method and seed; methods without one are left out.

    Raises:
        ValueError: a record is damaged.
    """
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for method in methods:
        for path in sorted((folder / method).glob("seed*.json")):
            record = load_record(path, Compared)
            found.setdefault(method, {})[record["seed"]] = record
    return found
