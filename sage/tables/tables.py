"""Tables 1, 2, 3 and C.1 as data: what stands in each cell, what is missing and what would fill it.

The paper's models stand together in one table; every other model has one of its own, its own benchmarks as columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, mode, stdev
from typing import Any

from sage.tables import paper
from sage.tables.collect import Results, Run

LABELS = paper.METHODS | {
    "sage-calibrated": "SAGE-calibrated",
    "sage-from-last": "SAGE-from-last",
    "sage-light-released": "SAGE-light, released",
    "offline": "SAGE, offline hint",
    "offline-10": "SAGE, 10 offline hints",
    "teacher": "SAGE, teacher hints",
    "off-policy": "SAGE, off-policy",
    "dapo": "DAPO",
    "dr-grpo": "Dr. GRPO",
    "grpo-verl": "GRPO, verl's std",
}
"""Names of methods in the order of rows. Others follow under the names of their folders."""

EMBEDDED = "opchain"
"""The embedded world's model: its runs are recorded by scripts/compare_methods.py."""

T_975 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""97.5% quantiles of Student's t for 1, 2, .. degrees of freedom; 2.26 serves for more."""


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds, with half the width of its 95% t interval from two seeds on."""

    mean: float
    half_width: float | None
    seeds: int


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
        """Whether there is a number of ours."""
        rows = (row for block in self.blocks for row in block.rows if row.source == "ours")
        return any(cell.estimate for row in rows for cell in row.cells)


def estimate(values: Sequence[float]) -> Estimate | None:
    """Mean and interval over seeds; None without values."""
    if not values:
        return None
    if len(values) == 1:
        return Estimate(values[0], None, 1)
    t = T_975[min(len(values) - 1, len(T_975)) - 1]
    return Estimate(fmean(values), t * stdev(values) / math.sqrt(len(values)), len(values))


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
    how = "scripts/compare_methods.py --run" if model == EMBEDDED else "train, then scripts/evaluate.py"
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
    lacking = [name for name in benchmarks if not any(name in run.accuracy for run in runs)]
    return absent(model, method, f"not evaluated: {', '.join(lacking)}")


def paper_row(method: str, name: str, values: Sequence[float | None]) -> Row:
    cells = tuple(Cell(None if value is None else Estimate(value, None, 1)) for value in values)
    return Row(method, name, "paper", cells)


def mark_best(rows: Sequence[Row], decimals: int, highest: bool) -> tuple[Row, ...]:
    """Mark the best mean of each column, as printed, among ours and among the paper's; a single one is not marked."""

    def printed(e: Estimate) -> str:
        return f"{e.mean:.{decimals}f}"

    best: dict[tuple[str, int], str] = {}
    for source in ("ours", "paper"):
        for place in range(len(rows[0].cells)):
            found = [e for row in rows if row.source == source and (e := row.cells[place].estimate)]
            if len(found) > 1:
                best[source, place] = printed((max if highest else min)(found, key=lambda e: e.mean))
    return tuple(
        replace(
            row,
            cells=tuple(
                replace(cell, best=cell.estimate is not None and printed(cell.estimate) == best.get((row.source, i)))
                for i, cell in enumerate(row.cells)
            ),
        )
        for row in rows
    )


def listing(groups: Mapping[Any, Sequence[str]]) -> str:
    return "; ".join(f"{key}: {', '.join(dict.fromkeys(names))}" for key, names in groups.items())


def grouped(runs: Iterable[Run], key: Callable[[Run], object]) -> dict[Any, list[str]]:
    """Names of methods by what their runs have in common."""
    found: dict[Any, list[str]] = {}
    for run in runs:
        found.setdefault(key(run), []).append(label(run.method))
    return found


def seeds_note(results: Results, models: Sequence[str], methods: Iterable[str]) -> str:
    """How many seeds each mean is over: the commonest count, and who has another."""
    counts = {(model, method): len(results.of(model, method)) for method in methods for model in models}
    counts = {key: count for key, count in counts.items() if count}
    if set(counts.values()) <= {1}:
        return "Ours: one seed each."
    common = mode(counts.values())
    others: dict[int, list[str]] = {}
    for (model, method), count in counts.items():
        if count != common:
            others.setdefault(count, []).append(label(method) + (f" ({model_name(model)})" if models[1:] else ""))
    more = "".join(f", but {count} for {', '.join(names)}" for count, names in sorted(others.items()))
    return f"Ours: {common} seed{'s' if common > 1 else ''} each{more}; ± is half the 95% t interval over seeds."


BOLD = "Bold: best mean of a column, without a test of significance."


def accuracy_notes(results: Results, models: Sequence[str], methods: Sequence[str], shown: Iterable[str]) -> list[str]:
    """What a reader must know of the accuracies."""
    runs = [run for model in models for method in methods for run in results.of(model, method) if run.accuracy]
    found = [
        seeds_note(results, models, methods),
        f"Reported checkpoint: {listing(grouped(runs, lambda r: r.origin))}.",
    ]
    others = sorted({name for run in runs for name in run.accuracy} - set(shown))
    return [BOLD, *found] + ([f"Evaluated, not in this table: {', '.join(others)}."] if others else [])


def table_1(results: Results, models: Sequence[str], name: str) -> Table:
    """Table 1: accuracy by benchmark."""
    heads = columns(results, models[0])
    blocks, methods = [], []
    for model in models:
        there = set(results.runs.get(model, {})) - (set(paper.STUDY) - set(paper.METHODS))
        rows: list[Row] = []
        for method in in_order(there | set(paper.METHODS)):
            methods.append(method)
            cells = (accuracy_cell(results, model, method, names) for names in heads.values())
            rows.append(Row(method, label(method), "ours", tuple(cells)))
            if model in paper.TABLE_1 and method in paper.METHODS:
                values = dict(zip(paper.BENCHMARKS, paper.TABLE_1[model][method], strict=True))
                means = dict(zip(("Avg. ID", "Avg. OOD"), paper.TABLE_1_AVERAGES[model][method], strict=True))
                printed = (means[head] if head in means else values[keys[0]] for head, keys in heads.items())
                rows.append(paper_row(method, label(method), tuple(printed)))
        blocks.append(Block(model_name(model), mark_best(rows, 1, highest=True)))
    shown = [key for keys in heads.values() for key in keys]
    notes = accuracy_notes(results, models, list(dict.fromkeys(methods)), shown)
    if "Avg. ID" in heads:
        notes.append("Paper: best of the evaluations every 50 of 500 steps. ID: first six benchmarks; OOD: last two.")
        notes += [text for (model, _), text in paper.INCONSISTENT.items() if model in models]
    return Table(name, "Table 1. Accuracy without hints, %", tuple(heads), tuple(blocks), tuple(notes))


def table_c1(results: Results, models: Sequence[str], name: str) -> Table:
    """Table C.1: fixed levels and hint sources."""
    (model,) = models
    heads = columns(results, model)
    rows: list[Row] = []
    for method, (source, level, steps) in paper.STUDY.items():
        if steps == 400 and model != paper.HARD_STUDY and not results.of(model, method):
            continue
        text = f"Level {level}, {source.lower()}".replace("gpt-5", "teacher") if level else source
        text += ", 400 steps" if steps == 400 else ""
        cells = (accuracy_cell(results, model, method, names) for names in heads.values())
        rows.append(Row(method, text, "ours", tuple(cells)))
        if model == paper.HARD_STUDY:
            rows.append(paper_row(method, text, (*paper.TABLE_C1[method], paper.STUDY_AVERAGES[method])))
    methods = list(paper.STUDY)
    notes = accuracy_notes(results, models, methods, [key for keys in heads.values() for key in keys])
    if model == paper.HARD_STUDY:
        notes.append("Paper: 200 steps on the 4.5k hardest prompts; its teacher is GPT-5.")
    title = "Table C.1. Accuracy without hints by hint level and source, %"
    blocks = (Block(model_name(model), mark_best(rows, 1, highest=True)),)
    return Table(name, title, tuple(heads), blocks, tuple(notes))


def table_2(results: Results, models: Sequence[str], name: str) -> Table:
    """Table 2: training prompts that no rollout ever solved."""

    def cell(model: str, method: str) -> Cell:
        runs = results.of(model, method)
        if values := [100 * run.never_solved for run in runs if run.never_solved is not None]:
            return Cell(estimate(values))
        if method == "base":
            return absent(model, method, "no metrics.jsonl; log an epoch of method=grpo at learning rate 0")
        return absent(model, method, "no sage/never_solved in metrics.jsonl" if runs else "")

    logged = {
        m for model in models for m, runs in results.runs.get(model, {}).items() if runs[0].never_solved is not None
    }
    rows: list[Row] = []
    methods = in_order(logged | {"base", "grpo", "sage"})
    for method in methods:
        rows.append(Row(method, label(method), "ours", tuple(cell(model, method) for model in models)))
        if any(method in paper.TABLE_2.get(model, {}) for model in models):
            printed = [paper.TABLE_2.get(model, {}).get(method) for model in models]
            rows.append(paper_row(method, label(method), printed))
    notes = (
        BOLD,
        seeds_note(results, models, methods),
        "Of the prompts visited in training; a rollout with a hint counts.",
    )
    title = "Table 2. Training prompts never solved, %"
    heads = tuple(model_name(model) for model in models)
    return Table(name, title, heads, (Block("", mark_best(rows, 1, highest=False)),), notes)


def table_3(results: Results, models: Sequence[str], name: str) -> Table:
    """Table 3: training time relative to GRPO's run of the same seed, series and number of steps."""

    def cell(model: str, method: str, seconds: Callable[[Run], float | None]) -> Cell:
        runs = results.of(model, method)
        if not runs:
            return absent(model, method)
        if not any(seconds(run) for run in runs):
            return absent(model, method, "no wall_seconds (run) or no timing_s/step in metrics.jsonl (steps)")
        values = [own / other for run in runs if (own := seconds(run)) and (other := reference(model, run, seconds))]
        if not values:
            return absent(model, method, "no GRPO run of the same seed, series and steps")
        return Cell(estimate(values))

    def reference(model: str, run: Run, seconds: Callable[[Run], float | None]) -> float | None:
        """Seconds of GRPO's runs that a run may be compared with; a run without a seed goes with every seed."""
        alike = (g for g in results.of(model, "grpo") if (g.series, g.steps) == (run.series, run.steps))
        times = [seconds(g) for g in alike if g.seed == run.seed or None in (g.seed, run.seed)]
        return fmean(found) if (found := [time for time in times if time]) else None

    blocks, absolute = [], []
    for model in models:
        there = set(results.runs.get(model, {}))
        rows: list[Row] = []
        printed = paper.TABLE_3.get(model, {})
        for method in in_order((there | set(paper.METHODS)) - {"base", "sft"}):
            cells = cell(model, method, lambda r: r.wall_seconds), cell(model, method, lambda r: r.step_seconds)
            rows.append(Row(method, label(method), "ours", cells))
            if method in printed:
                rows.append(paper_row(method, label(method), (printed[method], None)))
        blocks.append(Block(model_name(model), mark_best(rows, 2, highest=False)))
        if seconds := [run.wall_seconds for run in results.of(model, "grpo") if run.wall_seconds]:
            absolute.append(f"{model_name(model)} {fmean(seconds) / 3600:.2g} h")
        if model in paper.TABLE_3_GRPO_HOURS:
            absolute.append(f"{model_name(model)} {paper.TABLE_3_GRPO_HOURS[model]} h in the paper")
    methods = list(dict.fromkeys(row.method for block in blocks for row in block.rows))
    notes = (
        BOLD,
        seeds_note(results, models, methods),
        f"GRPO's whole run: {', '.join(absolute) or 'not recorded'}.",
        "Run: the whole command, start-up and tests included. Steps: training steps alone.",
        "Compared within one series of runs on one machine, seed by seed.",
    )
    heads = ("Run / GRPO", "Steps / GRPO")
    return Table(name, "Table 3. Training time relative to GRPO", heads, tuple(blocks), notes, decimals=2)


BUILDERS = {"table1": table_1, "table2": table_2, "table3": table_3, "tablec1": table_c1}


def groups(results: Results, name: str) -> dict[str, tuple[str, ...]]:
    """Models of each file of a table or figure, by the suffix of the file's name.

    The paper's models stand together; every other one by itself. What is about hint levels and sources needs a run with
    one, and of the paper's models only `paper.HARD_STUDY` is the paper's own.
    """
    about_hints = name in ("tablec1", "figure3", "figure5")
    together = (paper.HARD_STUDY,) if about_hints else tuple(paper.MODELS)
    ablations = (set(paper.STUDY_AVERAGES) | {"offline", "offline-10", "teacher"}) - {"base", "grpo", "sage"}
    models = [m for m in results.runs if not about_hints or ablations & set(results.runs[m])]
    first = tuple(model for model in together if model in models)
    return ({"": first} if first else {}) | {f"_{model}": (model,) for model in models if model not in together}
