"""What goes wrong in real data, in real runs: each in the documented way, counted, and without ending the run."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sage.method.schedule import SageLight
from sage.toy.embedded.build_data import build
from tests.e2e.conftest import check_memory, train, train_in_two, visits_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1300)]


def test_a_step_without_a_readable_hint_a_raising_verifier_and_a_missing_solution(tmp_path):
    build(tmp_path, seed=0, train={"easy": 1, "medium": 1, "hard": 14}, test=1)
    rows = pq.read_table(tmp_path / "train.parquet").to_pylist()
    for row in rows[-3:]:
        row["solution"] = None
        row["reward_model"]["ground_truth"] = "never right"  # so that each of them wants a hint
    refused = rows[5]["prompt_id"]
    rows[5]["reward_model"]["ground_truth"] = "raise"
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    (tmp_path / "hers.py").write_text("from sage.method.schedule import Sage\n\n\nclass Hers(Sage):\n    pass\n")
    run = train(
        tmp_path / "run",
        tmp_path,
        "trainer.total_training_steps=1",
        "sage.hint_request=json",
        "sage.hint_max_tokens=3",  # every JSON answer is cut before its first hint ends
        "sage.verifier=tests/e2e/raising_verifier.py:RaisingVerifier",
        f"sage.schedule={tmp_path}/hers.py:Hers",
    )
    data = run.metrics[1]
    assert data["sage/skipped/verifier_error"] == 1 and data["sage/skipped/rollout_error"] == 0
    assert data["sage/prompts"] == 15 and refused not in {line["prompt_id"] for line in run.history}
    assert data["sage/hint_requests/used"] == 0 and data["sage/hint_requests/cut"] > 0
    assert data["sage/hint_missing/cut"] > 0
    assert data["sage/hint_missing/no_solution"] == 3
    assert data["sage/prompts/level_0"] == 15 and data["sage/hint_usage"] == 0
    assert refused in (run.folder / "train.log").read_text(errors="replace"), "the log names the prompt"


@pytest.mark.long
def test_sage_light_raises_levels_between_visits(tmp_path):
    build(tmp_path, seed=0, train={"easy": 2, "medium": 2, "hard": 12}, test=1)
    run = train_in_two(tmp_path / "run", tmp_path, "sage.schedule=sage-light", "trainer.total_training_steps=4")
    check_memory(run, SageLight(3), 1)
    for step in range(1, 5):
        visits = visits_of(run, step).values()
        assert len(visits) == 16 and all(len(v.groups) == 1 for v in visits)
        assert step > 1 or not any(v.accepted.hint for v in visits), "no previous visit, no hint"
    assert run.metrics[4]["sage/prompts/level_3"] > 0
