"""Real runs of the recipe on the embedded world: real Ray, verl, FSDP2, TransferQueue and vLLM in an own process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sage.method.records import Action, Visit
from sage.method.schedule import Schedule
from sage.method.state import StateStore
from sage.toy.embedded.build_data import build

ROOT = Path(__file__).parents[2]
LIMIT = 600
"""Seconds for one run; a vLLM worker that dies in weight sync would hang it for ever."""


@dataclass(frozen=True)
class Run:
    """The files of a finished run."""

    folder: Path

    @property
    def metrics(self) -> dict[int, dict[str, float]]:
        """Logged metrics by step."""
        lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        return {record["step"]: record["data"] for record in map(json.loads, lines)}

    @property
    def history(self) -> list[dict]:
        return [json.loads(line) for line in (self.folder / "sage_history.jsonl").read_text().splitlines()]

    def dump(self, kind: str, step: int) -> list[dict]:
        """verl's dump of rollouts or validation."""
        return [json.loads(line) for line in (self.folder / kind / f"{step}.jsonl").read_text().splitlines()]


def visits_of(run: Run, step: int) -> dict[str, Visit]:
    """The visits of a step, by uid."""
    return {line["uid"]: Visit.from_json(json.dumps(line)) for line in run.history if line["step"] == step}


def groups(run: Run, step: int) -> dict[str, list[dict]]:
    """verl's dump of what was trained on, by uid."""
    found = defaultdict(list)
    for row in run.dump("rollouts", step):
        if not row["uid"].startswith("pad"):
            found[row["uid"].split("_")[0]].append(row)
    return found


def train(folder: Path, data: Path, *overrides: str, **variables: str) -> Run:
    """Run the recipe in ``folder``, with environment variables; on failure show the end of its log."""
    command = ["bash", "-c", 'source scripts/cpu_env.sh && exec "$@"', "bash"]
    command += [sys.executable, "-m", "recipe.sage.main_sage", "--config-name", "tiny_cpu"]
    command += [
        f"trainer.default_local_dir={folder}",
        "trainer.val_before_train=False",
        f"trainer.rollout_data_dir={folder}/rollouts",
        f"trainer.validation_data_dir={folder}/validation",
        *overrides,
    ]
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"TINY_DATA": str(data), "PYTHONPATH": str(ROOT)} | variables
    environment["VERL_FILE_LOGGER_PATH"] = str(folder / "metrics.jsonl")
    with open(folder / "train.log", "ab") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            status = process.wait(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            status = 124
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if status:
        tail = (folder / "train.log").read_text(errors="replace").splitlines()[-60:]
        pytest.fail(f"the run ended with status {status}:\n" + "\n".join(tail))
    return Run(folder)


def train_in_two(folder: Path, data: Path, *overrides: str) -> Run:
    """A run that is asked to end after its first step, and goes on from its checkpoint."""
    folder.mkdir()
    (folder / "stop").touch()
    run = train(folder, data, *overrides, SAGE_STOP_FILE=str(folder / "stop"))
    assert {line["step"] for line in run.history} == {1} and (folder / "global_step_1").is_dir()
    return train(folder, data, *overrides)


def check_decisions(visit: Visit, schedule: Schedule) -> None:
    """The schedule decides again as it did, given the same outcomes."""
    for group, after in zip_longest(visit.groups, visit.groups[1:]):
        decision = schedule.after_group(group, visit.plan)
        if after is not None and not visit.failures:
            assert (decision.action, decision.level) == (Action.RAISE, after.level)
    assert visit.failures or decision == visit.decision


def check_memory(run: Run, schedule: Schedule, *saved: int) -> None:
    """Every plan follows from the visits before it, across a resume, and the checkpoints' states are what they tell."""
    store = StateStore(schedule)
    steps = max(line["step"] for line in run.history)
    for step in range(1, steps + 1):
        visits = visits_of(run, step).values()
        for visit in visits:
            check_decisions(visit, schedule)
            assert visit.plan == store.plan(visit.prompt_id, step, (step - 1) / steps).levels, (step, visit.prompt_id)
        store.update(visits, step)
        if step in saved:
            loaded = StateStore(schedule)
            loaded.load(run.folder / f"global_step_{step}" / "sage_state.parquet")
            assert loaded.prompts == store.prompts and loaded.calibration == store.calibration


@pytest.fixture(scope="session")
def small_data(tmp_path_factory) -> Path:
    """Few problems, mostly hard, so that hints are needed in every step."""
    folder = tmp_path_factory.mktemp("data")
    build(folder, seed=0, train={"easy": 8, "medium": 8, "hard": 32}, test=4)
    return folder


@pytest.fixture(scope="session")
def rows(small_data: Path) -> dict[str, dict]:
    """Its training rows, by prompt id."""
    return {r["prompt_id"]: r for r in pq.read_table(small_data / "train.parquet").to_pylist()}
