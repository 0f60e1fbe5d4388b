"""SAGE on two data-parallel ranks and two rollout workers: attribution, contexts, metrics, state, resume."""

import re
import shutil
from collections import Counter, defaultdict

import pyarrow.parquet as pq
import pytest

from sage.method.schedule import Sage
from sage.toy.embedded.tasks import PROMPTS
from sage.toy.opchain.task import is_correct
from tests.e2e.conftest import ROOT, Run, check_memory, train, visits_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1300)]
OPTIONS = (
    "trainer.n_gpus_per_node=2",
    "actor_rollout_ref.rollout.agent.num_workers=2",
    "actor_rollout_ref.rollout.max_num_seqs=64",
    "sage.hint_request=json",
    "sage.hint_max_tokens=60",
    "data.max_prompt_length=96",
    "actor_rollout_ref.rollout.max_model_len=160",
    "trainer.save_freq=2",
    "trainer.test_freq=4",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory, small_data) -> Run:
    return train(tmp_path_factory.mktemp("run"), small_data, *OPTIONS, "trainer.total_training_steps=4")


@pytest.fixture(scope="module")
def resumed(tmp_path_factory, small_data, run) -> Run:
    """The run as if it had been stopped after step 2 (in the middle of an epoch), resumed to step 4."""
    folder = tmp_path_factory.mktemp("resumed")
    shutil.copytree(run.folder / "global_step_2", folder / "global_step_2")
    (folder / "latest_checkpointed_iteration.txt").write_text("2")
    shutil.copy(run.folder / "sage_history.jsonl", folder / "sage_history.jsonl")
    return train(folder, small_data, *OPTIONS, "trainer.total_training_steps=4")


def test_every_group_level_and_reward_belongs_to_its_prompt(run, small_data):
    """verl dumps what was trained on, after its load balancing over two ranks; the texts say whose it is."""
    rows = {r["prompt_id"]: r for r in pq.read_table(small_data / "train.parquet").to_pylist()}
    visits = {line["uid"]: line for line in run.history}
    hinted_groups = 0
    for step in range(1, 5):
        groups = defaultdict(list)
        for row in run.dump("rollouts", step):
            if not row["uid"].startswith("pad"):
                groups[row["uid"].split("_")[0]].append(row)
        assert len(groups) == 16 and set(groups) == {u for u, line in visits.items() if line["step"] == step}
        for uid, group in groups.items():
            row, accepted = rows[visits[uid]["prompt_id"]], visits[uid]["groups"][-1]
            context = row["prompt"][-1]["content"]
            if accepted["hint"] is not None:
                context = PROMPTS.hinted_text(context, row["problem"], accepted["hint"])
                hinted_groups += 1
            assert len(group) == 8 and {r["input"] for r in group} == {context}
            answer = row["reward_model"]["ground_truth"]
            assert all(r["score"] == float(is_correct(r["output"], answer)) for r in group)
            assert Counter(r["score"] for r in group) == Counter(r["reward"] for r in accepted["rollouts"])
    assert hinted_groups > 8


def test_actor_and_engine_saw_the_same_context(run):
    """Both compute in float32: what is left is rounding. A context without its hint would differ in the first digit."""
    for kind in ("plain", "hinted"):
        seen = [d for d in run.metrics.values() if f"sage/rollout_probs_diff_max/{kind}" in d]
        assert seen, "a step may have no plain group with a signal, not every step"
        assert max(d[f"sage/rollout_probs_diff_max/{kind}"] for d in seen) < 1e-3
        assert max(d[f"sage/rollout_probs_diff_mean/{kind}"] for d in seen) < 1e-4


def test_metrics_add_up(run):
    by_kind = ("sage/entropy/", "sage/response_length/", "sage/rollout_probs_diff", "sage/staleness_")  # of rows
    solved: dict[str, bool] = {}
    keys = [set(k for k in d if k.startswith("sage/") and not k.startswith(by_kind)) for d in run.metrics.values()]
    assert all(k == keys[0] for k in keys), "one schema for every step"
    for step, data in run.metrics.items():
        lines = [line for line in run.history if line["step"] == step]
        levels = Counter(line["groups"][-1]["level"] for line in lines)
        assert [data[f"sage/prompts/level_{n}"] for n in range(4)] == [levels[n] for n in range(4)]
        tokens = sum(r["tokens"] for line in lines for g in line["groups"] for r in g["rollouts"])
        rollouts = ("plain_accepted", "plain_discarded", "hinted_accepted", "hinted_discarded")
        assert sum(data[f"sage/tokens/{kind}"] for kind in rollouts) == tokens
        assert data["sage/hint_usage"] == 1 - levels[0] / 16
        for visit in visits_of(run, step).values():
            solved[visit.prompt_id] = solved.get(visit.prompt_id, False) or not all(g.all_fail for g in visit.groups)
        assert data["sage/never_solved"] == list(solved.values()).count(False) / len(solved)


def test_every_filter_of_the_docs_finds_a_metric(run):
    text = (ROOT / "docs/report.md").read_text()
    filters = [found.replace("\\|", "|") for found in re.findall(r"`(\^[^`]+)`", text)]
    names = set().union(*run.metrics.values())
    assert len(filters) > 8 and all(any(re.search(each, name) for name in names) for each in filters), filters


def test_hints_were_written_by_the_policy_in_one_json_answer(run):
    requests = [r for line in run.history for r in line["requests"]]
    assert sum(r["outcome"] == "used" for r in requests) > 10
    stopped = [r for r in requests if r["outcome"] == "aborted"]  # of levels that were begun early and not needed
    assert all(0 <= r["tokens"] <= 60 for r in stopped), "0 where the answer had not come yet"
    assert all(1 <= r["tokens"] <= 60 for r in requests if r not in stopped)


def test_validation_never_sees_a_hint(run, small_data):
    plain = {r["prompt"][-1]["content"] for r in pq.read_table(small_data / "test.parquet").to_pylist()}
    dump = run.dump("validation", 4)
    assert len(dump) == 12 and {row["input"] for row in dump} == plain
    assert "val-core/hard/acc/mean@1" in run.metrics[4]


def test_saved_state_is_what_the_history_tells(run):
    check_memory(run, Sage(3), 2, 4)


def test_a_resumed_run_continues_state_data_order_and_history(run, resumed):
    for step in (3, 4):
        ids = [sorted(line["prompt_id"] for line in r.history if line["step"] == step) for r in (run, resumed)]
        assert ids[0] == ids[1], "the dataloader goes on where it was"
    head = [line for line in run.history if line["step"] <= 2]
    assert resumed.history[: len(head)] == head
    assert [line["step"] for line in resumed.history] == [s for s in (1, 2, 3, 4) for _ in range(16)]
    check_memory(resumed, Sage(3), 2, 4)
    assert set(resumed.metrics) == {3, 4}
