"""Results on disk as records: one `Run` for each model, method and seed.

A results tree is ``RESULTS/<model>/<method>/``, which holds one of

- the files of a run: ``eval/`` (scripts/evaluate.py), ``metrics*.jsonl`` (verl's file logger), ``wall_seconds``;
- ``seed<k>/`` folders with such files;
- ``seed<k>.json``, the records of the embedded tasks (`sage.toy.embedded.store`).

Numbers are taken as they are: fractions in [0, 1], seconds. What cannot be read is an error that names the file; what
is not there is left out and named in `Run.absent` or `Results.skipped`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from sage.report.tables import paper
from sage.report.tables.records import load_record
from sage.support.documents import parse, read_json, whole_lines

Curve = dict[int, float]
"""A metric by training step."""

ALIASES = {"minerva_math": "minerva", "olympiad": "olympiadbench", "gpqa_diamond": "gpqa", "mmlupro": "mmlu_pro"}
"""Other names of the paper's benchmarks, after `benchmark_name`'s unification."""


@dataclass(frozen=True)
class Run:
    """What one run, or one seed of it, left behind."""

    model: str
    method: str
    seed: int | None = None
    accuracy: Mapping[str, float] = field(default_factory=dict)
    """No-hint accuracy by benchmark, of the reported checkpoint."""
    origin: str = ""
    """Where the accuracy comes from."""
    unlike_paper: tuple[str, ...] = ()
    """Benchmarks that were evaluated on other numbers of problems or samples than the paper's."""
    before: Mapping[str, float] = field(default_factory=dict)
    """The same before training, where it was measured."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    never_solved: float | None = None
    wall_seconds: float | None = None
    step_seconds: float | None = None
    steps: int | None = None
    series: str = ""
    """Runs whose times may be compared have the same."""
    absent: str = ""
    """Why there is no accuracy."""


@dataclass(frozen=True)
class Results:
    runs: Mapping[str, Mapping[str, tuple[Run, ...]]]
    """Runs by model and method, ordered by seed."""
    skipped: tuple[str, ...]
    """What was not read, and why."""

    def of(self, model: str, method: str) -> tuple[Run, ...]:
        return self.runs.get(model, {}).get(method, ())


def benchmark_name(name: str) -> str:
    """One spelling for a benchmark: lower case, underscores, AIME 2024 as aime24."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    plain = re.sub(r"^(aime|amc|math)_?(?:20)?(\d+)$", r"\1\2", plain)
    return ALIASES.get(plain, plain)


@dataclass(frozen=True)
class _Best:
    """best.json, as far as it is read; likewise the following."""

    checkpoint: str


@dataclass(frozen=True)
class _Score:
    avg: float
    problems: int
    samples: int


@dataclass(frozen=True)
class _Summary:
    benchmarks: dict[str, _Score]


@dataclass(frozen=True)
class _Logged:
    """A line of verl's file logger."""

    step: int
    data: dict[str, Any]
    """null for a number that is not finite."""


def fractions(values: Mapping[str, Any], where: str) -> dict[str, float]:
    """Accuracies by unified benchmark name, checked.

    Raises:
        ValueError: one is no number in [0, 1], or two keys name the same benchmark.
    """
    found: dict[str, float] = {}
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ValueError(f"{where}: {key} is {value!r}, expected a fraction from 0 to 1")
        if (name := benchmark_name(key)) in found:
            raise ValueError(f"{where}: {key!r} names the benchmark {name!r} a second time")
        found[name] = float(value)
    return found


@dataclass(frozen=True)
class Evaluation:
    """What eval/ says of the reported checkpoint, as `Run` has it."""

    accuracy: Mapping[str, float] = field(default_factory=dict)
    origin: str = ""
    unlike_paper: tuple[str, ...] = ()
    absent: str = ""


def read_evaluation(folder: Path) -> Evaluation:
    """The evaluation of the checkpoint in best.json, or of the only one.

    Raises:
        ValueError: a file is damaged, or best.json names a checkpoint that is not there.
    """
    if not folder.is_dir():
        return Evaluation(absent="no eval/ and no validation after training")
    summaries = {path.parent.name: path for path in sorted(folder.glob("*/summary.json"))}
    best = folder / "best.json"
    if best.exists():
        name = read_json(_Best, best, "write it again with scripts/evaluate.py").checkpoint
        if name not in summaries:
            raise ValueError(f"{best}: names checkpoint {name!r}, but {folder / name / 'summary.json'} is not there")
    elif len(summaries) == 1:
        name = next(iter(summaries))
    else:
        return Evaluation(absent=f"{len(summaries)} evaluated checkpoints and no best.json in eval/")
    path = summaries[name]
    scores: dict[str, _Score] = read_json(_Summary, path, "write it again with scripts/evaluate.py").benchmarks
    unlike = tuple(
        f"{key}, {score.problems} of {paper.PROBLEMS[key]} problems x {score.samples} samples"
        for key, score in scores.items()
        if key in paper.PROBLEMS and (score.problems, score.samples) != (paper.PROBLEMS[key], paper.SAMPLES)
    )
    return Evaluation(fractions({key: score.avg for key, score in scores.items()}, str(path)), f"eval/{name}", unlike)


def logged(path: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """The steps of a file of verl's logger, as they were logged.

    A last line without a line end is left out, since the run may be writing it, and so is what is no finite number.

    Raises:
        ValueError: another line is not ``{"step": n, "data": {...}}``.
    """
    advice = 'lines are {"step": N, "data": {..}}: restore or remove it'
    for where, line in whole_lines(path, advice):
        record: _Logged = parse(_Logged, line, where, advice)
        yield record.step, {k: v for k, v in record.data.items() if isinstance(v, int | float) and math.isfinite(v)}


def read_metrics(folder: Path) -> dict[int, dict[str, float]]:
    """Logged metrics by step, over all ``metrics*.jsonl``: a later file replaces the steps that it repeats.

    The first one is ``metrics.jsonl``; those of runs that went on or began again have their time in their names.

    Raises:
        ValueError: as `logged`.
    """
    steps: dict[int, dict[str, float]] = {}
    for path in sorted(folder.glob("metrics*.jsonl"), key=lambda path: (path.name != "metrics.jsonl", path.name)):
        records = list(logged(path))
        # A resumed run first tests the checkpoint's step once more; its own steps begin after that.
        begin = min((step for step, data in records if "timing_s/step" in data), default=math.inf)
        steps = {step: data for step, data in steps.items() if step < begin}
        for step, data in records:
            steps[step] = steps.get(step, {}) | data
    return steps


def read_folder(folder: Path, model: str, method: str, seed: int | None) -> Run | None:
    """The run whose files lie in a folder; None when there are none."""
    steps = read_metrics(folder)
    if not steps and not (folder / "eval").is_dir():
        return None
    training = {step: data for step, data in steps.items() if "timing_s/step" in data}
    names = sorted({name for data in training.values() for name in data})
    curves = {name: {step: data[name] for step, data in training.items() if name in data} for name in names}
    validations = {step: found for step, data in steps.items() if (found := validation(data, f"{folder}, step {step}"))}
    # A run that only evaluates (SFT's test, the base model's) logs step 0 and nothing else: that is its result.
    before = validations.get(0, {}) if method not in ("base", "sft") else {}
    evaluation = read_evaluation(folder / "eval")
    after = {step: found for step, found in validations.items() if step > 0 or not before}
    if not evaluation.accuracy and after:
        evaluation = Evaluation(after[max(after)], f"validation at step {max(after)}")
    wall = folder / "wall_seconds"
    try:
        wall_seconds = float(wall.read_text()) if wall.exists() else None
    except (ValueError, OSError):
        raise ValueError(f"{wall}: expected a number of seconds") from None
    never_solved = curves.get("sage/never_solved")
    for name in ("sage/never_solved", "sage/hint_usage"):
        fractions({f"{name} at step {step}": value for step, value in curves.get(name, {}).items()}, str(folder))
    tested = {name for found in validations.values() for name in found}
    for name in tested:
        curves[f"val/{name}"] = {step: found[name] for step, found in validations.items() if name in found}
    return Run(
        model,
        method,
        seed,
        **vars(evaluation),
        before=before,
        curves=curves,
        never_solved=never_solved[max(never_solved)] if never_solved else None,
        wall_seconds=wall_seconds,
        step_seconds=sum(data["timing_s/step"] for data in training.values()) or None,
        steps=len(training) or None,
    )


def validation(data: Mapping[str, float], where: str) -> dict[str, float]:
    """No-hint accuracy by data source from one logged step: ``val-core/<source>/acc/mean@<n>``."""
    found = {m[1]: v for key, v in data.items() if (m := re.fullmatch(r"val-core/(.+)/acc/mean@\d+", key))}
    return fractions(found, where)


def read_record(path: Path, model: str) -> Run:
    """A recorded run of an embedded task; its curves count training steps from 1.

    Raises:
        ValueError: it lacks what every record has.
    """
    record = load_record(path)
    if (path.parent.name, path.stem) != (record["method"], f"seed{record['seed']}"):
        raise ValueError(f"{path}: holds {record['method']}, seed {record['seed']}; name it after them")
    curves = {
        name: {step: value for step, value in enumerate(values, start=1) if value is not None}
        for name, values in record.get("curves", {}).items()
    }
    return Run(
        model,
        record["method"],
        record["seed"],
        fractions(record["final"], str(path)),
        f"after {record['steps']} steps" if "steps" in record else "recorded run",
        before=fractions(record.get("base", {}), str(path)),
        curves=curves,
        never_solved=record.get("never_solved"),
        wall_seconds=record.get("wall_seconds"),
        step_seconds=record.get("step_seconds"),
        steps=record.get("steps"),
        series=record.get("series", ""),
    )


def read_method(folder: Path, model: str) -> tuple[list[Run], list[str]]:
    """Runs of one method, one for each seed, and what was skipped.

    Raises:
        ValueError: a seed is there twice, or files of a run lie beside seeds.
    """
    method = folder.name
    runs: list[Run] = []
    skipped: list[str] = []
    for path in sorted(folder.glob("seed*")):
        if not (match := re.fullmatch(r"seed(\d+)(\.json)?", path.name)):
            skipped.append(f"{path}: no seed<k>/ or seed<k>.json")
        elif match[2]:
            runs.append(read_record(path, model))
        elif (run := read_folder(path, model, method, int(match[1]))) is not None:
            runs.append(run)
        else:
            skipped.append(f"{path}: no eval/ and no metrics*.jsonl")
    own = read_folder(folder, model, method, None)
    if own and runs:
        raise ValueError(f"{folder}: files of a run beside seeds; move them to {folder / 'seed<k>'}")
    if own:
        runs.append(own)
    if len({run.seed for run in runs}) < len(runs):
        raise ValueError(f"{folder}: a seed is there twice, as folder and as seed<k>.json")
    if not runs and not skipped:
        skipped.append(f"{folder}: no seed<k>, eval/ or metrics*.jsonl")
    return sorted(runs, key=lambda run: run.seed or 0), skipped


def base_runs(model: str, runs: Iterable[Run]) -> tuple[Run, ...]:
    """The base model by seed, from what the runs measured before training; runs of one seed are averaged.

    They start from the same model and test on the same problems, so each is a further sample of the same accuracy.
    """
    by_seed: dict[int | None, list[Mapping[str, float]]] = {}
    for run in runs:
        if run.before:
            by_seed.setdefault(run.seed, []).append(run.before)
    return tuple(
        Run(
            model,
            "base",
            seed,
            {name: fmean(m[name] for m in found) for name in found[0] if all(name in m for m in found)},
            "before training",
        )
        for seed, found in sorted(by_seed.items(), key=lambda item: item[0] or 0)
    )


def read_results(root: Path, models: Iterable[str] | None = None) -> Results:
    """Everything under a results tree, or only some models.

    Raises:
        ValueError: there is no such folder or model, or something in it is damaged.
    """
    if not root.is_dir():
        raise ValueError(f"{root} is no folder; --results names a tree RESULTS/<model>/<method>/")
    there = [path.name for path in sorted(root.iterdir()) if path.is_dir()]
    for model in models or ():
        if model not in there:
            raise ValueError(f"{root} has no model {model!r}; it has: {', '.join(there) or 'none'}")
    found: dict[str, dict[str, tuple[Run, ...]]] = {}
    skipped: list[str] = []
    for model in models or there:
        for folder in sorted(path for path in (root / model).iterdir() if path.is_dir()):
            runs, left = read_method(folder, model)
            skipped += left
            if runs:
                found.setdefault(model, {})[folder.name] = tuple(runs)
        methods = found.get(model, {})
        if methods and "base" not in methods and (base := base_runs(model, (r for rs in methods.values() for r in rs))):
            methods["base"] = base
    return Results(found, tuple(skipped))
