"""Parts that die or fail in a real run: it ends by itself, says why, trains on nothing broken, and resumes."""

import json
import time

import pytest

from benchmarks import faults
from recipe.sage.watch import LOST
from sage.toy.embedded.build_data import build

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1300)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    build(folder, seed=0, train={"easy": 16, "medium": 16, "hard": 64}, test=4)
    return folder


def end(fault, inject, folder, data, *overrides):
    """The outcome of a fault after the first step."""
    run = faults.Run(folder, data, *overrides)
    assert run.wait_for_step(1), run.sentence()
    inject(run)
    outcome = faults.ended(fault, run, time.monotonic())
    assert outcome.status == LOST and outcome.seconds < 120 and not outcome.left, outcome
    return outcome


def test_a_killed_engine_ends_the_run_and_its_step_is_not_trained_on(tmp_path, data):
    outcome = end("engine", lambda run: faults.kill(faults.PROCESSES["engine"], run), tmp_path / "run", data)
    assert "the engine at" in outcome.sentence and "resumes it from" in outcome.sentence
    saved = int((tmp_path / "run/latest_checkpointed_iteration.txt").read_text())
    steps = {json.loads(line)["step"] for line in (tmp_path / "run/sage_history.jsonl").open()}
    assert steps == set(range(1, saved + 1)), "no visit of the broken step is remembered"
    assert faults.resume(tmp_path / "run", data).endswith("state equal to a replay")


def test_an_engine_that_raises_in_weight_sync_ends_the_run_with_its_own_error(tmp_path, data):
    outcome = end("sync", lambda run: faults.flag("sync", run), tmp_path / "run", data)
    assert "a fault in the engine's weight sync" in outcome.sentence


def test_a_reward_function_that_raises_for_every_row_is_named(tmp_path, data):
    outcome = end("raise", lambda run: faults.flag("raise", run), tmp_path / "run", data)
    assert "16 of 16 prompts were lost" in outcome.sentence and "a fault in the reward function" in outcome.sentence


def test_a_reward_function_that_hangs_ends_the_run_when_no_rollout_has_ended_for_long(tmp_path, data):
    outcome = end("hang", lambda run: faults.flag("hang", run), tmp_path / "run", data)
    assert "no progress for 90 s" in outcome.sentence
    assert faults.resume(tmp_path / "run", data).endswith("state equal to a replay")


@pytest.mark.parametrize("part", ["rollout worker", "Ray's head (GCS)"])
def test_a_killed_process_is_named(part, tmp_path, data):
    outcome = end(part, lambda run: faults.kill(faults.PROCESSES[part], run), tmp_path / "run", data)
    assert "has died" in outcome.sentence and outcome.seconds < 30
