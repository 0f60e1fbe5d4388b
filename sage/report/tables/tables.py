"""Tables 1, 2, 3 and C.1 as data: what stands in each cell, what is missing and what would fill it.

The paper's models stand together in one table; every other model has one of its own, its own benchmarks as columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, mode
from typing import Any

from sage.report.tables import paper
from sage.report.tables.cells import (
    Block,
    Cell,
    Row,
    Table,
    absent,
    accuracy_cell,
    columns,
    in_order,
    label,
    model_name,
)
from sage.report.tables.collect import Results, Run
from sage.support.intervals import Estimate, estimate


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


def seeds_note(blocks: Sequence[Block]) -> str:
    """How many seeds each mean is over: the commonest count, and who has another."""
    counts: dict[str, str] = {}
    for block in blocks:
        for row in (row for row in block.rows if row.source == "ours"):
            if seeds := sorted({cell.estimate.seeds for cell in row.cells if cell.estimate}):
                name = row.label + (f" ({block.title})" if len(blocks) > 1 else "")
                counts[name] = " or ".join(map(str, seeds))
    if set(counts.values()) <= {"1"}:
        return "Ours: one seed each."
    common = mode(counts.values())
    others: dict[str, list[str]] = {}
    for name, count in counts.items():
        if count != common:
            others.setdefault(count, []).append(name)
    more = "".join(f", but {count} for {', '.join(names)}" for count, names in sorted(others.items()))
    return f"Ours: {common} seed{'' if common == '1' else 's'} each{more}; ± is half the 95% t interval over seeds."


BOLD = "Bold: best mean of a column, without a test of significance."


def left_out(runs: Iterable[Run], why: Callable[[Run], str]) -> list[str]:
    """A note on the seeds that are in no mean though others of their method are."""
    lacking = [f"{label(run.method)} ({run.model}) seed {run.seed}: {why(run)}" for run in runs if why(run)]
    return [f"Left out: {'; '.join(lacking)}."] if lacking else []


def accuracy_notes(results: Results, models: Sequence[str], blocks: Sequence[Block], shown: Iterable[str]) -> list[str]:
    """What a reader must know of the accuracies."""
    methods = dict.fromkeys(row.method for block in blocks for row in block.rows)
    found = (results.of(model, method) for model in models for method in methods)
    runs = [run for seeds in found if any(run.accuracy for run in seeds) for run in seeds]
    origins = grouped((run for run in runs if run.accuracy), lambda run: run.origin)
    reported = listing(origins) if len(origins) > 1 else "".join(origins)
    notes = [BOLD, seeds_note(blocks), f"Reported checkpoint: {reported}.", *left_out(runs, lambda run: run.absent)]
    if unlike := grouped((run for run in runs if run.unlike_paper), lambda run: "; ".join(run.unlike_paper)):
        notes.append(f"Evaluated unlike the paper: {listing(unlike)}.")
    others = sorted({name for run in runs for name in run.accuracy} - set(shown))
    return notes + ([f"Evaluated, not in this table: {', '.join(others)}."] if others else [])


def table_1(results: Results, models: Sequence[str], name: str) -> Table:
    """Table 1: accuracy by benchmark."""
    heads = columns(results, models[0])
    blocks = []
    for model in models:
        there = set(results.runs.get(model, {})) - (set(paper.STUDY) - set(paper.METHODS))
        rows: list[Row] = []
        for method in in_order(there | set(paper.METHODS)):
            cells = (accuracy_cell(results, model, method, names) for names in heads.values())
            rows.append(Row(method, label(method), "ours", tuple(cells)))
            if model in paper.TABLE_1 and method in paper.METHODS:
                names = (*paper.BENCHMARKS.values(), "Avg. ID", "Avg. OOD")
                values = dict(zip(names, paper.TABLE_1[model][method], strict=True))
                printed = (values[head] for head in heads)
                rows.append(paper_row(method, label(method), tuple(printed)))
        blocks.append(Block(model_name(model), mark_best(rows, 1, highest=True)))
    shown = [key for keys in heads.values() for key in keys]
    notes = accuracy_notes(results, models, blocks, shown)
    if "Avg. ID" in heads:
        notes.append("Paper: best of the evaluations every 50 of 500 steps. ID: first six benchmarks; OOD: last two.")
        notes += [text for (model, _), text in paper.INCONSISTENT.items() if model in models]
    return Table(name, "Table 1", "Accuracy without hints, %", tuple(heads), tuple(blocks), tuple(notes))


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
            rows.append(paper_row(method, text, paper.TABLE_C1[method]))
    blocks = (Block(model_name(model), mark_best(rows, 1, highest=True)),)
    notes = accuracy_notes(results, models, blocks, [key for keys in heads.values() for key in keys])
    if model == paper.HARD_STUDY:
        notes.append("Paper: 200 steps on the 4.5k hardest prompts; its teacher is GPT-5.")
    title = "Accuracy without hints by hint level and source, %"
    return Table(name, "Table C.1", title, tuple(heads), blocks, tuple(notes))


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
        method
        for model in models
        for method, runs in results.runs.get(model, {}).items()
        if any(run.never_solved is not None for run in runs)
    }
    rows: list[Row] = []
    for method in in_order(logged | {"base", "grpo", "sage"}):
        rows.append(Row(method, label(method), "ours", tuple(cell(model, method) for model in models)))
        if any(method in paper.TABLE_2.get(model, {}) for model in models):
            printed = [paper.TABLE_2.get(model, {}).get(method) for model in models]
            rows.append(paper_row(method, label(method), printed))
    blocks = (Block("", mark_best(rows, 1, highest=False)),)
    notes = (BOLD, seeds_note(blocks), "Of the prompts visited in training; a rollout with a hint counts.")
    heads = tuple(model_name(model) for model in models)
    return Table(name, "Table 2", "Training prompts never solved, %", heads, blocks, notes)


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

    timed: list[Run] = []
    blocks, absolute = [], []
    for model in models:
        there = set(results.runs.get(model, {}))
        rows: list[Row] = []
        printed = paper.TABLE_3.get(model, {})
        for method in in_order((there | set(paper.METHODS)) - {"base", "sft"}):
            cells = cell(model, method, lambda r: r.wall_seconds), cell(model, method, lambda r: r.step_seconds)
            rows.append(Row(method, label(method), "ours", cells))
            if cells[0].estimate:
                timed += results.of(model, method)
            if method in printed:
                rows.append(paper_row(method, label(method), (printed[method], None)))
        blocks.append(Block(model_name(model), mark_best(rows, 2, highest=False)))
        if seconds := [run.wall_seconds for run in results.of(model, "grpo") if run.wall_seconds]:
            absolute.append(f"{model_name(model)} {fmean(seconds) / 3600:.2g} h")
        if model in paper.TABLE_3_GRPO_HOURS:
            absolute.append(f"{model_name(model)} {paper.TABLE_3_GRPO_HOURS[model]} h in the paper")

    def alone(run: Run) -> str:
        return "" if reference(run.model, run, lambda r: r.wall_seconds) else "no GRPO run of its series and steps"

    notes = (
        BOLD,
        seeds_note(blocks),
        f"GRPO's whole run: {', '.join(absolute) or 'not recorded'}.",
        "Run: the whole command, start-up and tests included. Steps: training steps alone. Paper: one decimal.",
        "Compared within one series of runs on one machine, seed by seed.",
        *left_out(timed, alone),
    )
    heads = ("Run / GRPO", "Steps / GRPO")
    return Table(name, "Table 3", "Training time relative to GRPO", heads, tuple(blocks), notes, decimals=2)


BUILDERS = {"table1": table_1, "table2": table_2, "table3": table_3, "tablec1": table_c1}
