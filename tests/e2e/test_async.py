"""verl's asynchronous trainers with the same worker and state: rollouts run ahead of the updates that use them."""

import json
from collections import Counter, defaultdict

import pyarrow.parquet as pq
import pytest

from sage.method.records import Visit
from sage.method.schedule import SageCalibrated
from sage.method.state import StateStore
from sage.toy.embedded.tasks import PROMPTS
from sage.toy.opchain.task import is_correct
from tests.e2e.conftest import Run, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1300)]


def visits(run: Run) -> dict[int, dict[str, Visit]]:
    found = defaultdict(dict)
    for line in run.history:
        found[line["step"]][line["uid"]] = Visit.from_json(json.dumps(line))
    return found


def check_steps(run: Run, data, steps: range) -> None:
    """In every step: 16 whole groups, each on the context of its visit, graded by its own answer."""
    rows = {r["prompt_id"]: r for r in pq.read_table(data / "train.parquet").to_pylist()}
    seen = visits(run)
    for step in steps:
        real = [r for r in run.dump("rollouts", step) if not r["uid"].startswith("pad")]
        assert set(Counter(r["uid"].split("_")[0] for r in real).values()) == {8}
        assert {r["uid"].split("_")[0] for r in real} == set(seen[step]) and len(seen[step]) == 16
        for r in real:
            visit = seen[step][r["uid"].split("_")[0]]
            row, hint = rows[visit.prompt_id], visit.accepted.hint
            plain = row["prompt"][-1]["content"]
            assert r["input"] == (PROMPTS.hinted_text(plain, row["problem"], hint) if hint else plain)
            assert r["score"] == float(is_correct(r["output"], row["reward_model"]["ground_truth"]))
            assert visit.dispatched <= step
    uids = [uid for step in steps for uid in seen[step]]
    assert len(uids) == len(set(uids)), "no visit is trained on twice"


@pytest.mark.long
def test_colocated_rollouts_run_ahead_and_survive_a_resume(tmp_path, small_data):
    options = ["+asynchronous=colocate", "method=sage-calibrated", "trainer.save_freq=2"]
    train(tmp_path / "run", small_data, *options, "trainer.total_training_steps=2")
    # What was rolling out at the checkpoint begins anew as of step 3; step 5 waits until none of it is left.
    options += [f"trainer.v1.sampler.max_off_policy_{key}" for key in ("strategy=wait", "threshold=3")]
    run = train(tmp_path / "run", small_data, *options, "trainer.total_training_steps=5")
    check_steps(run, small_data, range(1, 6))
    seen = visits(run)
    assert any(visit.age(step) > 0 for step in (2, 4, 5) for visit in seen[step].values()), "prompts of an earlier step"
    # two batches are dispatched in the first step, one in the second; finished ones are taken first, so any may wait
    waiting = [v for step in (3, 4, 5) for v in seen[step].values() if v.dispatched <= 2]
    assert len(waiting) == 16, "what was waiting at the checkpoint is trained on after it, finished or rolled out again"
    assert all(run.metrics[step]["sage/skipped/rollout_error"] == 0 for step in (3, 4, 5))
    store = StateStore(SageCalibrated(3, 8))
    for step in range(1, 6):
        store.update(seen[step].values(), step)
        if step in (2, 4):
            saved = StateStore(SageCalibrated(3, 8))
            saved.load(run.folder / f"global_step_{step}" / "sage_state.parquet")
            assert saved.prompts == store.prompts and saved.calibration == store.calibration
    # verl's file logger starts anew with the second process
    assert max(run.metrics[step].get("sage/staleness_max/plain", 0) for step in (3, 4, 5)) >= 1


@pytest.mark.long
def test_separate_engine_takes_its_weights_from_the_actor(tmp_path, small_data):
    run = train(tmp_path / "run", small_data, "+asynchronous=tiny_separate", "trainer.total_training_steps=3")
    check_steps(run, small_data, range(1, 4))
    ages = {visit.age(step) for step, found in visits(run).items() for visit in found.values()}
    assert max(ages) >= 1
    assert all(run.metrics[step]["timing_s/update_weights"] > 0 for step in (1, 2, 3))
