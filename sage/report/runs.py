"""Run folders and recorded runs as one kind of record, for the report.

A run's folder holds ``metrics*.jsonl``, and in it or in its ``checkpoints`` are ``sage_history.jsonl`` and
``sage_setup.json``; ``rollouts/<step>.jsonl`` (``trainer.rollout_data_dir``) where they were kept. ``seed<k>.json`` is
a record of the embedded world.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sage.data.training import records
from sage.method.state import HISTORY_FILE, SETUP_FILE
from sage.report.tables.cells import label
from sage.report.tables.collect import Run, read_folder, read_record
from sage.report.tables.records import load_record
from sage.support.documents import parse, read_json, whole_lines
from sage.support.rows import open_parquet

MODEL = "these runs"
CHECKPOINTS = "checkpoints"
"""Folder for checkpoints, history and setup in that of a run, where the launch scripts made it."""


@dataclass(frozen=True)
class Source:
    """Where one run lies, and what it is called."""

    method: str
    seed: int | None
    path: Path

    @property
    def label(self) -> str:
        return label(self.method) + ("" if self.seed is None else f", seed {self.seed}")

    @property
    def state(self) -> Path:
        """Where history and setup lie (``trainer.default_local_dir``)."""
        below = self.path / CHECKPOINTS
        return below if any((below / name).exists() for name in (HISTORY_FILE, SETUP_FILE)) else self.path


@dataclass(frozen=True)
class Setup:
    """Configuration and versions of a run, as far as they were kept."""

    config: Mapping[str, Any] = field(default_factory=dict)
    """The whole configuration, verl's included."""
    versions: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    """What is not known, and why."""


@dataclass(frozen=True)
class _Kept:
    """What `SETUP_FILE` must have."""

    config: dict[str, Any]
    versions: dict[str, str]


@dataclass(frozen=True)
class Problem:
    """What the training file says of a prompt."""

    problem: str
    answer: str


def named(text: str) -> tuple[str, Path]:
    """``METHOD[:SEED]=PATH`` or ``PATH``, split into name and path."""
    name, equals, path = text.partition("=")
    return (name, Path(path)) if equals and "/" not in name else ("", Path(text))


def is_run(path: Path) -> bool:
    """Whether a folder itself, or its checkpoints, hold what a run writes."""
    found = (path / HISTORY_FILE).exists() or (path / CHECKPOINTS / HISTORY_FILE).exists()
    return found or any(path.glob("metrics*.jsonl"))


def _without_checkpoints(path: Path) -> Path:
    """The run's folder, of its checkpoints with the history but without metrics."""
    below = path.name == CHECKPOINTS and (path / HISTORY_FILE).exists() and not any(path.glob("metrics*.jsonl"))
    return path.parent if below else path


def name_of(path: Path) -> tuple[str, int | None]:
    """Method and seed from a path: seed from a part ``seed<k>``, method from the last other part."""
    parts = [part for part in (*path.parent.parts, path.stem if path.suffix == ".json" else path.name) if part != "/"]
    seeds = [int(m[1]) for part in parts if (m := re.fullmatch(r"seed(\d+)", part))]
    others = [part for part in parts if not re.fullmatch(r"seed\d+", part)]
    return others[-1] if others else "run", seeds[-1] if seeds else None


def find_sources(arguments: Iterable[str]) -> list[Source]:
    """Runs named on the command line: run folders, records, or folders with such below them.

    Raises:
        ValueError: something is not there or holds no run, or two runs have the same name.
    """
    found: list[Source] = []
    for argument in arguments:
        name, path = named(argument)
        path = _without_checkpoints(path.resolve())
        if (path.suffix == ".json" and path.is_file()) or is_run(path):
            paths = [path]
        else:
            folders = {p.parent for n in (HISTORY_FILE, "metrics*.jsonl") for p in path.rglob(n)}
            paths = sorted(set(map(_without_checkpoints, folders)))
            paths += sorted(p for p in path.rglob("seed*.json") if p.parent.name != "eval")
        if not paths:
            raise ValueError(
                f"{path}: no run; expected metrics.jsonl or {HISTORY_FILE} in it or below it, or a seed<k>.json"
            )
        if name and len(paths) > 1:
            raise ValueError(f"{argument}: {len(paths)} runs below {path}; name them one by one")
        for run in paths:
            method, seed = name_of(run)
            if name:
                method, _, number = name.partition(":")
                if number and not number.isdecimal():
                    raise ValueError(f"{argument}: seed {number!r} is no number; write METHOD:SEED=PATH")
                seed = int(number) if number else None
            if same := [s for s in found if (s.method, s.seed) == (method, seed)]:
                raise ValueError(f"{same[0].path} and {run} are both {same[0].label!r}; name them as METHOD:SEED=PATH")
            found.append(Source(method, seed, run))
    return found


def read_metrics(source: Source) -> Run:
    """The curves of a run; none where it logged nothing. A record has the tests before and after training.

    Raises:
        ValueError: a file is damaged.
    """
    if source.path.suffix != ".json":
        run = read_folder(source.path, MODEL, source.method, source.seed)
        return run or Run(MODEL, source.method, source.seed, absent="no metrics*.jsonl")
    run = read_record(source.path, MODEL)
    tests = {f"val/{n}": {0: run.before[n], run.steps or 1: a} for n, a in run.accuracy.items() if n in run.before}
    return replace(run, curves={**run.curves, **tests})


def tokens(source: Source, run: Run) -> float | None:
    """Generated tokens of all kinds over the whole run."""
    if source.path.suffix == ".json":
        return load_record(source.path).get("tokens", {}).get("total")
    curves = [curve for name, curve in run.curves.items() if name.startswith("sage/tokens/")]
    return sum(sum(curve.values()) for curve in curves) if curves else None


def read_setup(source: Source) -> Setup:
    """Configuration and versions, with a sentence if they are not there.

    Raises:
        ValueError: the file is damaged.
    """
    if source.path.suffix == ".json":
        record = load_record(source.path)
        keep = ("overrides", "series", "commit", "cores", "cpu", "python")
        return Setup({k: record[k] for k in keep if k in record}, record.get("versions", {}))
    path = source.state / SETUP_FILE
    if not path.exists():
        return Setup(missing=(f"configuration and versions: no {SETUP_FILE} in the folder",))
    kept: _Kept = read_json(_Kept, path, "recipe.sage.main_sage writes config and versions: remove the file")
    return Setup(kept.config, kept.versions)


def setting(config: Mapping[str, Any], *keys: str) -> Any:
    """A nested value, or None."""
    value: Any = config
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def training_files(setup: Setup) -> list[Path]:
    """The training files of the configuration that are there now."""
    files = setting(setup.config, "data", "train_files")
    names = files if isinstance(files, list) else [files]
    return [Path(name) for name in names if isinstance(name, str) and Path(name).is_file()]


def read_problems(path: Path) -> dict[str, Problem]:
    """Problem and answer by prompt id, from a training file (docs/data-format.md).

    Raises:
        ValueError: it is none.
    """
    columns = ["prompt_id", "problem", "reward_model"]
    advice = "give the run's training file with --data"
    names = open_parquet(path).schema_arrow.names
    if lacking := [c for c in columns if c not in names]:
        raise ValueError(f"{path}: no column {', '.join(lacking)}; {advice}")
    found = {}
    for number, row in enumerate(records(str(path), columns)):
        prompt_id, problem, reward = (row[column] for column in columns)
        if not isinstance(prompt_id, str) or not isinstance(problem, str) or not isinstance(reward, dict):
            raise ValueError(f"{path}, row {number}: {', '.join(columns)} are not as in a training file; {advice}")
        found[prompt_id] = Problem(problem, str(reward.get("ground_truth")))
    return found


@dataclass(frozen=True)
class Dumped:
    """A rollout that was trained on, a line of verl's dump, as far as it is read."""

    uid: str
    """``<uid of the visit>_<rollout>_<output>``"""
    input: str
    """What the model read, without special tokens."""
    output: str
    score: float

    @property
    def visit(self) -> str:
        return self.uid.split("_")[0]


def read_dumps(folder: Path, uids: set[str]) -> Iterator[Dumped]:
    """The dumped rollouts of some visits.

    Raises:
        ValueError: a line is not what verl dumps; names file and line.
    """
    for path in sorted(folder.glob("*.jsonl"), key=lambda p: (len(p.stem), p.stem)):
        for where, line in whole_lines(path, "remove it"):
            row: Dumped = parse(Dumped, line, where, "so the line is no rollout that verl dumped: remove it")
            if row.visit in uids:
                yield row
