"""Composed configurations: the defaults, every rejection, and the sentence that goes with it."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from recipe.sage.preflight import check_run, read_config
from recipe.sage.preflight.describe import describe_run, why_not_skip
from sage.toy.embedded.build_base import build_tokenizer
from sage.toy.embedded.build_data import build
from sage.toy.embedded.tasks import KINDS, PROMPTS, TASKS, base_model, load_task, plain_prompt, task_config
from tests.recipe.launching import SAME_SCHEDULE, tiny

ROOT = Path(__file__).parents[2]
METHODS = sorted(path.stem for path in (ROOT / "recipe/sage/config/method").glob("*.yaml"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    build(folder, seed=0, train={"easy": 8, "medium": 8, "hard": 16}, test=4)
    return folder


def config(data, *overrides):
    return tiny(f"data.train_files={data}/train.parquet", f"data.val_files={data}/test.parquet", *overrides)


def ids(data):
    return pq.read_table(data / "train.parquet", columns=["prompt_id"])["prompt_id"].to_pylist()


def change(data, tmp_path, edit):
    """A copy of the training file with edited rows."""
    rows = pq.read_table(data / "train.parquet").to_pylist()
    edit(rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    return f"data.train_files={tmp_path}/train.parquet"


def test_the_tiny_configuration_is_accepted_and_described(data):
    run = config(data)
    sage, report = check_run(run)
    text = describe_run(run, sage, report)
    assert sage.schedule == "sage" and report.rows == 32 and report.without_solution == 0
    assert "16 prompts x 8 rollouts = 128 rows, 2 updates of 8 prompts (64 rows)" in text


@pytest.mark.parametrize(
    "override, message",
    [
        ("+sage.levels=2", "sage.levels is unknown"),
        ("~sage.alpha", "sage.alpha is missing"),
        ("sage.alpha=0", "sage.alpha=0 must be a number above 0 and below 1; the paper uses 0.35"),
        ("sage.alpha=1.0", "sage.alpha=1.0 must be a number above 0 and below 1"),
        ("sage.alpha=high", "sage.alpha='high' must be a number above 0"),
        ("sage.schedule=nowhere:Thing", "cannot be imported"),
        ("sage.schedule=sage.method.records:Visit", "not a subclass of sage.method.schedule.Schedule"),
        ("sage.hint_source=offline", "must be online, the path of"),
        ("sage.hint_source=none.jsonl", "write one with scripts/write_hints.py"),
        ("sage.train_on=both", "must be hinted or plain"),
        ("sage.schedule=luffy", "use luffy in both or neither"),
        ("sage.max_level=0", "use sage.schedule=grpo"),
        ("sage.hint_temperature=0", "every retry repeats the first answer"),
        ("sage.hint_request=both", "must be json or level"),
        ("sage.leak=ignore", "must be refuse or redact"),
        ("sage.verifier=nowhere:Thing", "cannot be imported"),
        ("sage.prompts=missing.yaml", "no such file"),
        ("actor_rollout_ref.rollout.max_model_len=16", "raise actor_rollout_ref.rollout.max_model_len"),
    ],
)
def test_a_contradiction_is_rejected_with_what_to_change(data, override, message):
    with pytest.raises(ValueError, match=message):
        check_run(config(data, override))


def edit_row(index, **values):
    return lambda rows: rows[index].update(values)


@pytest.mark.parametrize(
    "edit, message",
    [
        (edit_row(3, prompt_id=None), "row 3: prompt_id is None"),
        (edit_row(3, prompt_id=""), "row 3: prompt_id is ''"),
        (lambda rows: rows[5].update(prompt_id=rows[2]["prompt_id"]), "row 5: prompt_id .* repeats that of .*row 2"),
        (edit_row(1, problem=""), "row 1 .*problem is empty"),
        (edit_row(1, reward_model={"style": "rule", "ground_truth": ""}), "row 1 .*ground_truth is missing"),
        (edit_row(1, prompt=[{"role": "assistant", "content": "x"}]), "row 1 .*must be the user's"),
        (lambda rows: [r.pop("solution") for r in rows], "column 'solution' is missing"),
        (lambda rows: [r.update(solution=None) for r in rows], "no row has a solution"),
    ],
)
def test_a_bad_training_file_is_rejected_with_its_row(data, tmp_path, edit, message):
    with pytest.raises(ValueError, match=message):
        check_run(config(data, change(data, tmp_path, edit)))


def test_a_missing_or_broken_training_file_is_named(data, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.parquet does not exist"):
        check_run(config(data, "data.train_files=nowhere.parquet"))
    (tmp_path / "text.parquet").write_text("not a parquet file")
    with pytest.raises(ValueError, match="is not a Parquet file"):
        check_run(config(data, f"data.train_files={tmp_path}/text.parquet"))


def test_a_missing_solution_is_counted_and_solutions_are_not_needed_without_hints(data, tmp_path):
    override = change(data, tmp_path, edit_row(0, solution=None))
    assert check_run(config(data, override))[1].without_solution == 1
    override = change(data, tmp_path, lambda rows: [r.update(solution=None) for r in rows])
    check_run(config(data, override, "sage.schedule=grpo"))


def test_another_verl_is_refused(data, monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.10.0")
    with pytest.raises(ValueError, match=r"verl 0\.10\.0 is installed"):
        check_run(config(data))


def test_an_unset_block_is_named():
    from omegaconf import OmegaConf

    with pytest.raises(ValueError, match="no sage: block"):
        read_config(OmegaConf.create({}))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_one_value_of_the_configuration(method, data, tmp_path):
    hints = tmp_path / "hints.jsonl"
    lines = [{"prompt_id": i, "level": level, "hint": "h"} for i in ids(data) for level in (1, 2, 3)]
    hints.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = config(data, f"method={method}", f"sage.hint_source={hints}")
    sage, report = check_run(run)
    assert sage.schedule == SAME_SCHEDULE.get(method, method)
    text = describe_run(run, sage, report)
    skipped = (
        "sage.distill_weight=1.0" if method == "opsd" else "forward and backward; the others' gradients stay the same"
    )
    assert skipped in text
    covered = {"fixed-1": ": level 1 for 32 prompts\n", "sage": ": level 1 for 32 prompts, level 2 for 32 prompts, "}
    assert covered.get(method, "") in text


def test_a_hint_file_without_hints_of_the_levels_asked_for_is_refused(data, tmp_path):
    hints = tmp_path / "hints.jsonl"
    hints.write_text(json.dumps({"prompt_id": ids(data)[0], "level": 1, "hint": "h"}) + "\n")
    run = config(data, f"sage.hint_source={hints}")
    assert "level 1 for 1 prompts, level 2 for 0 prompts" in describe_run(run, *check_run(run))
    with pytest.raises(ValueError, match=r"hints\.jsonl has no hint of level 2 for any prompt id of"):
        check_run(config(data, "method=fixed-2", f"sage.hint_source={hints}"))


def test_the_run_names_the_threshold_of_sage_light(data):
    assert read_config(config(data, "sage.schedule=sage-light", "sage.alpha=0.6")).make_schedule(8).alpha == 0.6


def test_scaffolding_is_trained_on_its_hinted_prompt(data):
    with pytest.raises(ValueError, match=r"train_on=plain does not go with sage.schedule=scaf-grpo"):
        check_run(config(data, "method=scaf-grpo", "sage.train_on=plain"))


@pytest.mark.parametrize(
    "override",
    [
        "actor_rollout_ref.actor.use_kl_loss=true",
        "algorithm.use_kl_in_reward=true",
        "actor_rollout_ref.actor.entropy_coeff=0.01",
        "algorithm.adv_estimator=rloo",
        "actor_rollout_ref.actor.policy_loss.loss_mode=clip_cov",
        "actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-sum-norm",
        "distillation.enabled=true",
        "algorithm.rollout_correction.rollout_is=token",
        "actor_rollout_ref.model.mtp.enable_train=true",
    ],
)
def test_dead_groups_are_trained_on_where_skipping_them_would_change_the_update(override, data):
    run = config(data, override)
    assert why_not_skip(config(data)) is None and why_not_skip(run)
    assert "trained on like others, since skipping would change" in describe_run(run, *check_run(run))


def test_the_checks_come_before_ray(data):
    """A wrong key ends the real command within seconds and with one sentence."""
    result = subprocess.run(
        [sys.executable, "-m", "recipe.sage.main_sage", "--config-name", "tiny_cpu", "sage.alpha=2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert result.returncode == 1
    assert "sage.alpha=2 must be a number above 0 and below 1; the paper uses 0.35" in result.stderr
    assert "ray init kwargs" not in result.stdout


@pytest.mark.parametrize("task", TASKS)
def test_a_task_composes_and_no_method_changes_what_it_sets(task, tmp_path):
    build(tmp_path, seed=0, train={"easy": 4, "medium": 4, "hard": 8}, test=2, task=task)
    assert all(prompt_id.startswith(f"{task}/") for prompt_id in ids(tmp_path))
    run, wanted = config(tmp_path, f"task={task}"), task_config(task)
    check_run(run)
    assert {key: run.sage[key] for key in wanted["sage"]} == wanted["sage"]
    assert run.actor_rollout_ref.model.path == base_model(task) and (ROOT / base_model(task)).is_dir()
    for path in (ROOT / "recipe/sage/config/method").glob("*.yaml"):
        assert not wanted["sage"].keys() & (yaml.safe_load(path.read_text()).get("sage") or {}).keys(), path.name


@pytest.mark.parametrize("task", TASKS)
def test_prompts_hints_and_responses_of_a_task_fit(task, tmp_path):
    run, found = config(tmp_path, f"task={task}"), load_task(task)
    tokenizer = build_tokenizer()

    def tokens(text):
        messages = [{"role": "user", "content": text}]
        return len(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))

    for problem in (p for kind in KINDS for p in found.make_problems(kind, 60, 3)):
        hint = problem.checkpoint(3)
        assert len(hint) < run.sage.hint_max_tokens
        hinted = PROMPTS.hinted_text(plain_prompt(problem), problem.text, hint)
        assert tokens(hinted) <= run.data.max_prompt_length
        assert len(problem.response) < run.data.max_response_length
        assert found.is_correct(problem.response, problem.answer)
