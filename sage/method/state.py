"""What is remembered of every prompt, and its files.

The state belongs to the driver, is updated from what was trained on, and is saved inside each checkpoint as one
Parquet file (versioned, compressed, written to a temporary name and renamed). The history of visits is an append-only
JSONL file next to the checkpoints; a checkpoint remembers its length, so a resumed run drops the lines of the steps
that it repeats.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sage.method.calibration import Calibration
from sage.method.eagerness import Failures, Past
from sage.method.records import PromptState, Visit, VisitPlan
from sage.method.schedule import Outlook, Schedule
from sage.support.documents import parse
from sage.support.files import whole

VERSION = 2
STATE_FILE = "sage_state.parquet"
"""Of a checkpoint."""
HISTORY_FILE = "sage_history.jsonl"
KEPT_ANSWERS = 8
"""Raw answers of requests that gave no hint, kept of each step in the history (`HintRequest.answer`)."""
SETUP_FILE = "sage_setup.json"
"""Configuration and package versions of a run's last start (recipe/sage/main_sage.py)."""
LATEST_FILE = "latest_checkpointed_iteration.txt"
"""verl's: the step of the latest whole checkpoint, written last."""
COLUMNS = {
    "prompt_id": pa.string(),
    "level": pa.int8(),
    "visits": pa.int32(),
    "rollouts": pa.list_(pa.int32()),
    "successes": pa.list_(pa.int32()),
}
"""`PromptState`, after the prompt's id."""
CALIBRATION_COLUMNS = {"term": pa.float64(), "term_variance": pa.float64(), "term_step": pa.int32()}
"""`Calibration.prompts`, for schedules with forecasts."""


def latest_note(folder: Path) -> str | None:
    """What verl noted as the step of a run's latest checkpoint; None where it noted nothing.

    Raises:
        ValueError: the note cannot be read.
    """
    try:
        return (folder / LATEST_FILE).read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(
            f"{folder / LATEST_FILE} must be a file with the number of the last checkpoint's step, but cannot be read "
            f"({error.strerror}); put one there, or remove it"
        ) from error


@dataclass(frozen=True)
class _Shared:
    """What a `Calibration` has beside its prompts."""

    levels: list[tuple[float, float]]
    step: int


@dataclass(frozen=True)
class _Meta:
    """What a file of states says of itself."""

    version: int
    max_level: int
    extra: dict[str, Any]
    failures: list[tuple[int, Past, list[float], float]] = field(default_factory=list)
    calibration: _Shared | None = None


def with_answers(visit: Visit, most: int) -> tuple[Visit, int]:
    """A visit with at most so many of its raw answers, and how many more may be kept."""
    requests = []
    for request in visit.requests:
        if request.answer is not None:
            request = replace(request, answer=request.answer if most > 0 else None)
            most -= 1
        requests.append(request)
    return replace(visit, requests=tuple(requests)), max(0, most)


def update_state(state: PromptState | None, visit: Visit, schedule: Schedule) -> PromptState:
    """The state of a prompt after a visit. Pure: depends on the visit's outcomes alone."""
    rollouts = list(state.rollouts if state else [0] * (schedule.max_level + 1))
    successes = list(state.successes if state else [0] * (schedule.max_level + 1))
    for group in visit.groups:
        rollouts[group.level] += sum(not r.reference for r in group.rollouts)
        successes[group.level] += group.successes
    return PromptState(
        level=schedule.next_level(state, visit),
        visits=(state.visits if state else 0) + 1,
        rollouts=tuple(rollouts),
        successes=tuple(successes),
    )


@dataclass
class StateStore:
    """The states of all prompts that were visited, by prompt id."""

    schedule: Schedule
    prompts: dict[str, PromptState] = field(default_factory=dict)
    calibration: Calibration | None = field(init=False)
    """Only for a schedule that wants forecasts."""
    failures: Failures = field(init=False)

    def __post_init__(self) -> None:
        self.failures = Failures(self.schedule.group_size)
        self.calibration = Calibration(self.schedule.max_level) if self.schedule.forecasts else None

    def plan(self, prompt_id: str, step: int, progress: float) -> VisitPlan:
        """The plan of a prompt's visit in a step, with ``progress`` of the training done."""
        state = self.prompts.get(prompt_id)
        forecast = self.calibration.forecast(prompt_id, step) if self.calibration else None
        visits, last_level = (state.visits, state.level) if state else (0, 0)
        draw = zlib.crc32(f"{visits}/{prompt_id}".encode()) / 2**32
        levels = self.schedule.plan(state, Outlook(progress, forecast, draw))
        return VisitPlan(levels, visits, step, last_level, self.failures.chances(state, levels[:-1]))

    def update(self, visits: Iterable[Visit], step: int) -> None:
        """Enter the visits of a step. The order of different prompts means nothing."""
        visits = list(visits)
        self.failures.update((self.prompts.get(visit.prompt_id), group) for visit in visits for group in visit.groups)
        for visit in visits:
            self.prompts[visit.prompt_id] = update_state(self.prompts.get(visit.prompt_id), visit, self.schedule)
        if self.calibration:
            self.calibration.update(visits, step)

    def never_solved(self) -> float:
        """Fraction of the visited prompts that no rollout ever solved, with a hint or without (Table 2)."""
        return sum(not s.ever_solved for s in self.prompts.values()) / max(1, len(self.prompts))

    def never_solved_plain(self) -> float:
        """Fraction of the visited prompts that no rollout without a hint ever solved."""
        return sum(not s.successes[0] for s in self.prompts.values()) / max(1, len(self.prompts))

    def save(self, path: str | Path, extra: Mapping[str, object] | None = None) -> None:
        """Write the state atomically; ``extra`` (JSON values) is stored with it."""
        ids = sorted(self.prompts)
        states = [self.prompts[i] for i in ids]
        values = ([getattr(state, name) for state in states] for name in list(COLUMNS)[1:])
        table = pa.table(dict(zip(COLUMNS, [ids, *values], strict=True)), pa.schema(COLUMNS))
        meta = {"version": VERSION, "max_level": self.schedule.max_level, "extra": dict(extra or {})}
        meta["failures"] = self.failures.to_list()
        if self.calibration:
            terms = [self.calibration.prompts[i] for i in ids]
            for place, (name, kind) in enumerate(CALIBRATION_COLUMNS.items()):
                table = table.append_column(name, pa.array([term[place] for term in terms], kind))
            meta["calibration"] = {"levels": self.calibration.levels, "step": self.calibration.step}
        table = table.replace_schema_metadata({"sage": json.dumps(meta)})
        with whole(Path(path)) as temporary, open(temporary, "wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())

    def load(self, path: str | Path) -> dict[str, object]:
        """Replace all states by those of a file; returns its ``extra``.

        Raises:
            ValueError: the file is missing or damaged, is no SAGE state, or has another version or maximum level.
        """
        if not Path(path).is_file():
            raise ValueError(
                f"{path} is missing: this checkpoint was not written by SAGE. Start afresh from its weights with "
                "trainer.resume_mode=disable and actor_rollout_ref.model.path set to the merged checkpoint"
            )
        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path} is damaged ({str(error).splitlines()[0]}): restore it") from error
        meta: _Meta = parse(_Meta, (table.schema.metadata or {}).get(b"sage", b"{}"), str(path), "restore the file")
        if meta.version != VERSION:
            raise ValueError(f"{path}: state version {meta.version}, this code reads version {VERSION}")
        if meta.max_level != self.schedule.max_level:
            raise ValueError(
                f"{path}: saved with sage.max_level={meta.max_level}, now {self.schedule.max_level}: set it as it was"
            )
        if self.calibration and meta.calibration is None:
            raise ValueError(f"{path}: saved by a schedule without forecasts; resume with that schedule")
        columns = COLUMNS | (CALIBRATION_COLUMNS if self.calibration else {})
        found = dict(zip(table.schema.names, table.schema.types, strict=True))
        for name, kind in columns.items():
            if found.get(name) != kind:
                raise ValueError(f"{path}: column {name} must be {kind}, not {found.get(name)}: restore the file")
        ids, levels, visits, rollouts, successes, *terms = (table[name].to_pylist() for name in columns)
        self.prompts = {
            prompt_id: PromptState(level, visited, tuple(rolled), tuple(solved))
            for prompt_id, level, visited, rolled, solved in zip(ids, levels, visits, rollouts, successes, strict=True)
        }
        if self.calibration and meta.calibration:
            prompts = dict(zip(ids, zip(*terms, strict=True), strict=True))
            self.calibration = Calibration(meta.max_level, meta.calibration.levels, meta.calibration.step, prompts)
        self.failures.restore(meta.failures)
        return meta.extra


@dataclass
class VisitHistory:
    """The append-only JSONL file of visits: one line a visit, with its step and uid."""

    path: Path

    def append(self, step: int, visits: Mapping[str, Visit]) -> None:
        """Append one step's visits, by uid; of the answers that gave no hint only the first `KEPT_ANSWERS`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        left = KEPT_ANSWERS
        lines = []
        for uid, visit in visits.items():
            visit, left = with_answers(visit, left)
            lines.append(f'{{"step":{step},"uid":{json.dumps(uid)},{visit.to_json()[1:]}\n')
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("".join(lines))

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.path.stat().st_size if self.path.exists() else 0

    def start_afresh(self) -> None:
        """Move an earlier run's history out of the way; nothing is overwritten."""
        if self.size:
            number = 1
            while (backup := self.path.with_suffix(f".{number}.jsonl")).exists():
                number += 1
            os.replace(self.path, backup)

    def truncate(self, size: int) -> None:
        """Drop what was written after the checkpoint that a run resumes from.

        Raises:
            ValueError: the file is shorter than it was at the checkpoint.
        """
        if self.size < size:
            raise ValueError(f"{self.path} has {self.size} bytes, the checkpoint was taken at {size}: restore the file")
        if self.size > size:
            os.truncate(self.path, size)
