"""The rest of the method family, each in a short real run: what is rolled out, trained on and remembered."""

import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from sage.method.schedule import Grpo, SageCalibrated, ScafGrpo
from sage.toy.embedded.tasks import PROMPTS
from sage.toy.opchain.task import is_correct
from tests.e2e.conftest import ROOT, Run, check_memory, groups, train, train_in_two, visits_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1300)]


@pytest.fixture(scope="module")
def hint_file(tmp_path_factory, rows):
    """A teacher's hints: two draws for each hard prompt and level, told apart by a space at the end of the second."""
    path = tmp_path_factory.mktemp("hints") / "teacher.jsonl"
    with open(path, "w") as file:
        for prompt_id, row in rows.items():
            for level in (1, 2, 3) if row["data_source"] == "hard" else ():
                hint = row["solution"][4 * (level - 1) : 4 * level]
                for draw in (0, 1):
                    line = {"prompt_id": prompt_id, "level": level, "draw": draw, "hint": hint + " " * draw}
                    file.write(json.dumps(line) + "\n")
    return path


def test_luffy_puts_the_reference_into_every_group_and_trains_on_it(tmp_path, small_data, rows):
    without = sorted(rows)[::4]
    for prompt_id, row in (rows := json.loads(json.dumps(rows))).items():
        if prompt_id in without:
            row["solution"] = row["reference_response"] = None
    pq.write_table(pa.Table.from_pylist(list(rows.values())), tmp_path / "train.parquet")
    (tmp_path / "test.parquet").symlink_to(small_data / "test.parquet")
    run = train(tmp_path / "run", tmp_path, "method=luffy", "trainer.total_training_steps=2")
    for step in (1, 2):
        seen = visits_of(run, step)
        missing = [v for v in seen.values() if v.prompt_id in without]
        assert all(v.failures == ("no_solution",) for v in missing)
        assert run.metrics[step]["sage/hint_missing/no_solution"] == len(missing) > 0
        for uid, group in groups(run, step).items():
            row = rows[seen[uid].prompt_id]
            assert len(group) == 8 and {r["input"] for r in group} == {row["prompt"][-1]["content"]}
            if seen[uid].prompt_id in without:
                assert not any(r.reference for r in seen[uid].accepted.rollouts)
                continue
            assert [r.reference for r in seen[uid].accepted.rollouts] == [False] * 7 + [True]
            reference = next(r for r in group if r["uid"].endswith("_7_0"))
            assert reference["output"] == row["reference_response"] and reference["score"] == 1.0
        data = run.metrics[step]
        assert 0 < data["actor/luffy_reference_weight"] < 0.91
        assert data["sage/rollout_probs_diff_max/plain"] < 1e-2, "references are not among the rollouts"
        assert 0 < data["sage/policy/entropy"] < 3
        helped = [v.accepted for v in seen.values() if v.accepted.rollouts[-1].reference]
        assert not any(group.dead for group in helped if not group.all_correct), "a failing group has a signal now"
        tokens = sum(r.tokens for v in seen.values() for g in v.groups for r in g.rollouts if not r.reference)
        assert data["sage/tokens/plain_accepted"] == tokens


@pytest.mark.long
def test_scaf_grpo_trains_on_one_hinted_success_beside_seven_plain_failures(tmp_path, small_data, rows, hint_file):
    options = ["method=scaf-grpo", f"sage.hint_source={hint_file}", "trainer.total_training_steps=8"]
    run = train_in_two(tmp_path / "run", small_data, *options)
    check_memory(run, ScafGrpo(3, 8), 1)
    for step in (1, 2):
        assert all(v.plan == (0,) for v in visits_of(run, step).values()), "the phase without guidance, 15% of 8 steps"
    replaced = 0
    for step in range(3, 9):
        seen = visits_of(run, step)
        for uid, group in groups(run, step).items():
            plain = rows[seen[uid].prompt_id]["prompt"][-1]["content"]
            contexts = Counter(r["input"] for r in group)
            if seen[uid].decision.action == "scaffold":
                hinted = PROMPTS.hinted_text(plain, rows[seen[uid].prompt_id]["problem"], seen[uid].accepted.hint)
                assert contexts == {plain: 7, hinted: 1}
                assert sorted(r["score"] for r in group) == [0.0] * 7 + [1.0]
                assert next(r for r in group if r["score"])["input"] == hinted
                replaced += 1
            else:
                assert contexts == {plain: 8}
    assert replaced > 5
    hints = [g.hint for step in range(3, 9) for v in visits_of(run, step).values() for g in v.groups if g.hint]
    assert len({h.endswith(" ") for h in hints}) == 2, "another draw at another visit"
    assert sum(run.metrics[step]["sage/hint_missing/not_in_file"] for step in range(3, 9)) > 0, "of easier prompts"


@pytest.mark.long
def test_calibrated_plans_are_those_of_the_saved_state_and_off_policy_rows_have_no_hint(tmp_path, small_data, rows):
    """The ablation's context and the calibrated schedule's memory, across a resume."""
    options = ["method=sage-calibrated", "sage.train_on=plain", "trainer.save_freq=3"]
    run = train(tmp_path / "run", small_data, *options, "trainer.total_training_steps=3")
    run = train(tmp_path / "run", small_data, *options, "trainer.total_training_steps=5")
    check_memory(run, SageCalibrated(3, 8), 3)
    for step in range(1, 6):
        seen = visits_of(run, step)
        for uid, group in groups(run, step).items():
            assert {r["input"] for r in group} == {rows[seen[uid].prompt_id]["prompt"][-1]["content"]}
    assert any(v.accepted.hint for step in range(1, 6) for v in visits_of(run, step).values())
    drift = [found for data in run.metrics.values() if (found := data.get("sage/rollout_probs_diff_max/hinted"))]
    assert min(drift) > 0.05, "the actor did not see the hint"


def check_plain_logprobs(run: Run, rows: dict[str, dict]) -> None:
    """The measured log pi(y | x) of step 1 are those of transformers with the weights that the run began with."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = ROOT / "examples/opchain_base"
    tokenizer, model = (
        AutoTokenizer.from_pretrained(base),
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
    )
    seen, checked = visits_of(run, 1), 0
    for uid, group in groups(run, 1).items():
        visit = seen[uid]
        for row in group:
            number, place = visit.rows[int(row["uid"].split("_")[1])]
            rollout = visit.groups[number].rollouts[place]
            assert (rollout.plain_logprob is not None) == (rollout.correct and visit.groups[number].hint is not None)
            if rollout.plain_logprob is None:
                continue
            messages = rows[visit.prompt_id]["prompt"]
            prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
            answer = tokenizer.encode(row["output"], add_special_tokens=False)
            answer += [tokenizer.eos_token_id] * (rollout.tokens - len(answer))
            with torch.no_grad():
                scores = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
            wanted = sum(scores[len(prompt) - 1 + i, token].item() for i, token in enumerate(answer))
            assert rollout.plain_logprob == pytest.approx(wanted, abs=0.01)
            checked += 1
    assert checked > 5
    assert any(value > 0.1 for key, value in run.metrics[1].items() if key.startswith("sage/reliance/"))


@pytest.mark.long
def test_guide_corrects_the_loss_for_the_hint_that_it_does_not_see(tmp_path, small_data, rows):
    options = ["method=guide", "sage.measure_reliance=true", "trainer.total_training_steps=2"]
    run = train(tmp_path / "run", small_data, *options)
    check_plain_logprobs(run, rows)
    for step in (1, 2):
        seen = visits_of(run, step)
        assert any(visit.accepted.hint for visit in seen.values())
        for uid, group in groups(run, step).items():
            assert {r["input"] for r in group} == {rows[seen[uid].prompt_id]["prompt"][-1]["content"]}
        data = run.metrics[step]
        # without the correction the first update of a step has ratio 1, and clips nothing
        assert abs(data["actor/ppo_kl"]) > 0.05 and data["actor/pg_clipfrac"] > 0.01 and data["actor/grad_norm"] > 0


@pytest.mark.long
def test_dapo_filters_groups_without_a_signal_and_remembers_their_visits(tmp_path, small_data, rows):
    options = ["trainer.total_training_steps=2", "data.train_batch_size=4"]
    options += ["actor_rollout_ref.actor.ppo_mini_batch_size=4"]
    run = train_in_two(tmp_path / "run", small_data, "method=dapo", *options)
    check_memory(run, Grpo(3), 1)
    for step in (1, 2):
        trained = groups(run, step)
        seen = visits_of(run, step)
        assert len(trained) == 4 and all(len({r["score"] for r in group}) == 2 for group in trained.values())
        assert set(trained) < set(seen), "filtered prompts were visited too"
        for uid, group in trained.items():
            answer = rows[seen[uid].prompt_id]["reward_model"]["ground_truth"]
            assert all(r["score"] == float(is_correct(r["output"], answer)) for r in group)
    assert run.metrics[2]["sage/prompts"] == len(visits_of(run, 2))
