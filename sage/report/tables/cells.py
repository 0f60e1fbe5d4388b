"""What tables and figures are made of: names, estimates over seeds, cells that know what they lack."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from sage.method.methods import METHODS
from sage.report.tables import paper
from sage.report.tables.collect import Results, Run
from sage.support.intervals import Estimate, estimate

LABELS = paper.METHODS | {name: method.label for name, method in METHODS.items() if method.label}
"""Names of methods in the order of rows. Others follow under the names of their folders."""

RECORDED_TASKS = ("opchain", "wheels")
"""The embedded tasks, of whose methods scripts/compare_methods.py records those of `METHODS`."""


@dataclass(frozen=True)
class Cell:
    estimate: Estimate | None = None
    missing: str = ""
    """Of a cell of ours without an estimate: why, and what would fill it."""
    where: str = ""
    """And the folder <model>/<method> that it is about."""
    best: bool = False


@dataclass(frozen=True)
class Row:
    method: str
    """Folder of the method."""
    label: str
    source: str
    """"ours" or "paper"."""
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Block:
    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    name: str
    """Stem of the files."""
    number: str
    """In the paper."""
    title: str
    head: tuple[str, ...]
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]
    decimals: int = 1

    @property
    def missing(self) -> dict[str, list[str]]:
        """Folders by what they lack."""
        found: dict[str, dict[str, None]] = {}
        for cell in (cell for block in self.blocks for row in block.rows for cell in row.cells):
            if cell.missing:
                found.setdefault(cell.missing, {})[cell.where] = None
        return {reason: list(folders) for reason, folders in found.items()}

    @property
    def has_ours(self) -> bool:
        rows = (row for block in self.blocks for row in block.rows if row.source == "ours")
        return any(cell.estimate for row in rows for cell in row.cells)


def model_name(model: str) -> str:
    return (paper.MODELS | {paper.HARD_STUDY: "Qwen3-4B, hardest prompts"}).get(model, model)


def label(method: str) -> str:
    return LABELS.get(method, method)


def in_order(methods: Iterable[str]) -> list[str]:
    """Methods in the order of `LABELS`, then by name."""
    order = list(LABELS)
    return sorted(methods, key=lambda m: (order.index(m) if m in order else len(order), m))


def absent(model: str, method: str, why: str = "") -> Cell:
    """A cell without a number: why, by default that there are no runs."""
    recorded = model in RECORDED_TASKS and method in METHODS
    how = f"scripts/compare_methods.py --task {model} --run" if recorded else "train, then scripts/evaluate.py"
    return Cell(missing=why or f"no runs; {how}", where=f"{model}/{method}")


def columns(results: Results, model: str) -> dict[str, tuple[str, ...]]:
    """Columns of accuracy: head, and the benchmarks that are averaged in it."""
    inside, outside = paper.IN_DISTRIBUTION, paper.OUT_OF_DISTRIBUTION
    if model == paper.HARD_STUDY:
        return {head: (name,) for name, head in inside.items()} | {"Average": tuple(inside)}
    if model in paper.MODELS:
        first = {head: (name,) for name, head in inside.items()} | {"Avg. ID": tuple(inside)}
        return first | {head: (name,) for name, head in outside.items()} | {"Avg. OOD": tuple(outside)}
    names = dict.fromkeys(n for runs in results.runs.get(model, {}).values() for run in runs for n in run.accuracy)
    return {paper.BENCHMARKS.get(name, name): (name,) for name in names} | {"Average": tuple(names)}


def average(run: Run, benchmarks: Sequence[str]) -> float | None:
    """Mean accuracy over benchmarks in percent; None unless all are there."""
    if not benchmarks or not all(name in run.accuracy for name in benchmarks):
        return None
    return 100 * fmean(run.accuracy[name] for name in benchmarks)


def accuracy_cell(results: Results, model: str, method: str, benchmarks: Sequence[str]) -> Cell:
    """Accuracy of a method over its seeds."""
    runs = results.of(model, method)
    values = [value for run in runs if (value := average(run, benchmarks)) is not None]
    if values:
        return Cell(estimate(values))
    if not runs:
        return absent(model, method)
    if reasons := {run.absent for run in runs if run.absent}:
        return absent(model, method, "; ".join(sorted(reasons)))
    lacking = [name for name in benchmarks if not all(name in run.accuracy for run in runs)]
    return absent(model, method, f"not evaluated: {', '.join(lacking)}")


ABLATIONS = {name: set(paper.STUDY) - set(paper.METHODS) for name in ("tablec1", "figure3")}
ABLATIONS["figure5"] = (set(paper.STUDY_AVERAGES) | {"offline", "offline-10", "teacher"}) - set(paper.METHODS)
"""What is about hint levels and sources, and the folders of which it needs one."""


def unfit(results: Results, name: str, model: str) -> str:
    """Why a table or figure is not made for a model; empty when it is."""
    if name in ABLATIONS:
        return (
            "" if ABLATIONS[name] & set(results.runs[model]) else "no runs of fixed hint levels or other hint sources"
        )
    return "the study of Table C.1, Figures 3 and 5 only" if model == paper.HARD_STUDY else ""


def groups(results: Results, name: str) -> dict[str, tuple[str, ...]]:
    """Models of each file of a table or figure, by the suffix of the file's name.

    The paper's models stand together, every other one by itself. In what is about hint levels and sources the paper's
    own is `paper.HARD_STUDY`.
    """
    together = (paper.HARD_STUDY,) if name in ABLATIONS else tuple(paper.MODELS)
    models = [model for model in results.runs if not unfit(results, name, model)]
    first = tuple(model for model in together if model in models)
    return ({"": first} if first else {}) | {f"_{model}": (model,) for model in models if model not in together}
