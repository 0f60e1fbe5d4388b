"""The driver's side: groups are joined by uid whatever verl's load balancing does to the rows."""

import random
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage, get_adv_estimator_fn, get_policy_loss_fn
from verl.trainer.ppo.v1.trainer_base import PPOTrainer
from verl.utils.seqlen_balancing import calculate_workload, get_seqlen_balanced_partitions
from verl.workers.config import ActorConfig

import recipe.sage.algorithm  # noqa: F401  (registers the estimator)
from recipe.sage import watch
from recipe.sage.trainer import SageTrainer, check_groups
from sage.method.advantage import group_advantages
from sage.method.records import Action, Decision, Group, Reason, Rollout, SkipReason, Visit
from sage.method.schedule import Grpo, Luffy, Sage, ScafGrpo
from sage.method.state import STATE_FILE, StateStore, VisitHistory
from tests.recipe.launching import changed

ROOT = Path(__file__).parents[2]
SIZE = 8


def batch(prompts=16, seed=0):
    """Rows as they leave the rollout: uid, reward and length of each, group by group."""
    rng = random.Random(seed)
    rows = []
    for p in range(prompts):
        rate = rng.choice([0.0, 0.0, 0.3, 1.0])
        for _ in range(SIZE):
            reward = float(rng.random() < rate)
            rows.append({"uid": f"u{p}", "reward": reward, "length": int(rng.lognormvariate(3, 1)) + 1})
    return rows


def balance(rows, ranks):
    """verl's own reordering of a batch over data-parallel ranks (PPOTrainer._balance_batch)."""
    workload = calculate_workload(torch.tensor([row["length"] for row in rows]))
    partitions = get_seqlen_balanced_partitions(workload, k_partitions=ranks, equal_size=True)
    return [rows[i] for partition in partitions for i in partition]


def all_fail_groups(rows, group_of):
    rewards = defaultdict(list)
    for position, row in enumerate(rows):
        rewards[group_of(position, row)].append(row["reward"])
    return sum(not any(group) for group in rewards.values())


def advantages(rows):
    length = max(row["length"] for row in rows)
    mask = torch.tensor([[float(t < row["length"]) for t in range(length)] for row in rows])
    rewards = torch.zeros_like(mask)
    for i, row in enumerate(rows):
        rewards[i, row["length"] - 1] = row["reward"]
    uids = np.array([row["uid"] for row in rows], dtype=object)
    config = OmegaConf.create({"norm_adv_by_std_in_grpo": True})
    result, returns = get_adv_estimator_fn("sage")(rewards, mask, index=uids, config=config)
    assert torch.equal(result, returns) and torch.equal(result == 0, (result * mask) == 0)
    return {id(row): result[i, 0].item() for i, row in enumerate(rows)}, (rewards, mask, uids)


@pytest.mark.parametrize("ranks", [2, 4])
def test_balancing_over_ranks_changes_no_group(ranks):
    rows = batch()
    reordered = balance(rows, ranks)
    by_uid = lambda position, row: row["uid"]  # noqa: E731
    by_position = lambda position, row: position // SIZE  # noqa: E731
    truth = all_fail_groups(rows, by_uid)
    assert all_fail_groups(reordered, by_uid) == truth > 0
    assert all_fail_groups(reordered, by_position) < truth, "the position-based way loses all-fail prompts"
    before, _ = advantages(rows)
    after, _ = advantages(reordered)
    assert before == pytest.approx(after)


def test_the_estimator_is_verls_grpo_but_for_the_std():
    rows = batch()
    ours, (rewards, mask, uids) = advantages(rows)
    theirs, _ = compute_grpo_outcome_advantage(rewards, mask, uids)
    for i, row in enumerate(rows):
        sample_over_population = (SIZE / (SIZE - 1)) ** 0.5
        assert ours[id(row)] == pytest.approx(theirs[i, 0].item() * sample_over_population, rel=1e-4, abs=1e-5)


def test_dr_grpo_takes_off_only_the_mean():
    rewards = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    config = OmegaConf.create({"norm_adv_by_std_in_grpo": False})
    result, _ = get_adv_estimator_fn("sage")(rewards, torch.ones(2, 2), index=["a", "a"], config=config)
    assert result.tolist() == [[0.5, 0.5], [-0.5, -0.5]]


def visits(*uids):
    group = Group(0, (Rollout(0.0, False, 1),) * 2)
    return {uid: Visit(uid, (0,), (group,), Decision(Action.ACCEPT, Reason.SOLVED, 0)) for uid in uids}


def test_groups_are_accepted_in_any_order():
    check_groups(["a", "b", "a", "b"], [(1, 2), (3,), (1, 2), (3,)], visits("a", "b"))


@pytest.mark.parametrize(
    "uids, prompts, known, message",
    [
        (["a", "a"], [(1, 2), (1, 3)], ["a"], r"rows by context \[1, 1\]"),
        (["a", "a", "a"], [(1,)] * 3, ["a"], r"rows by context \[3\], not \[2\]"),
        (["a", "a"], [(1,)] * 2, [], "group a: no visit of it"),
    ],
)
def test_a_mixed_or_partial_group_is_refused(uids, prompts, known, message):
    with pytest.raises(RuntimeError, match=message):
        check_groups(uids, prompts, visits(*known))


class Small(Sage):
    def rollouts(self, level):
        return 2 if level else self.group_size


@pytest.mark.parametrize(
    "schedule, level, action, right, wrong",
    [
        (Luffy(group_size=8), 0, Action.ACCEPT, [8], [7]),
        (Small(group_size=8), 2, Action.ACCEPT, [2], [8]),
        (Small(group_size=8), 0, Action.ACCEPT, [8], [2]),
        (ScafGrpo(group_size=8), 2, Action.SCAFFOLD, [1, 7], [8]),
        (ScafGrpo(group_size=8), 0, Action.GIVE_UP, [8], [4]),
    ],
)
def test_a_group_has_as_many_rows_as_the_schedule_says(schedule, level, action, right, wrong):
    drawn = [schedule.rollouts(n) + schedule.references for n in range(level + 1)]
    right_ones = [Rollout(1.0, True, 1)] if action is Action.SCAFFOLD else [Rollout(0.0, False, 1)]
    groups = [
        Group(n, (*right_ones, *[Rollout(0.0, False, 1)] * (drawn[n] - 1)), "h" if n else None)
        for n in range(level + 1)
    ]
    decision = Decision(action, Reason.SOLVED, level)
    visit = {"a": Visit("a", (0, 1, 2), tuple(groups), decision, rows=schedule.select(groups, decision))}
    for sizes in (right, wrong):
        rows = [(context,) for context, size in enumerate(sizes) for _ in range(size)]
        if sizes == right:
            check_groups(["a"] * len(rows), rows, visit)
        else:
            with pytest.raises(RuntimeError, match="rows by context"):
                check_groups(["a"] * len(rows), rows, visit)


def test_scaf_grpos_weights_by_hand():
    """Seven failures and the hinted success: std sqrt(1/8 * 7/8); ratios clipped at 1 +- 0.2, and the gradients."""
    rewards = torch.tensor([0.0] * 7 + [1.0])
    advantages = group_advantages(rewards, ["u"] * 8).unsqueeze(1)
    assert advantages[:, 0].tolist() == pytest.approx([-1 / 7**0.5] * 7 + [7**0.5], rel=1e-4)
    method = yaml.safe_load((ROOT / "recipe/sage/config/method/scaf-grpo.yaml").read_text())
    clips = method["actor_rollout_ref"]["actor"]
    actor = ActorConfig(strategy="fsdp", rollout_n=8, use_dynamic_bsz=True, clip_ratio_low=0.2, **clips)
    ratios = torch.tensor([[0.9], [0.7], [1.1], [1.3], [1.0], [1.0], [1.0], [1.5]])
    log_probs = ratios.log().requires_grad_()
    loss, _ = get_policy_loss_fn("vanilla")(
        torch.zeros(8, 1), log_probs, advantages, torch.ones(8, 1), "token-mean", actor
    )
    # of a failure the larger loss counts, so a ratio below 0.8 is clipped; of the success one above 1.2
    weights = [0.9, 0.8, 1.1, 1.3, 1.0, 1.0, 1.0]
    assert loss.item() == pytest.approx((sum(weights) / 7**0.5 - 1.2 * 7**0.5) / 8, rel=1e-4)
    loss.backward()
    kept = [0.9, 0.0, 1.1, 1.3, 1.0, 1.0, 1.0]
    assert (8 * log_probs.grad[:, 0]).tolist() == pytest.approx([w / 7**0.5 for w in kept] + [0.0], rel=1e-4)


@pytest.mark.parametrize("own", [True, False])
def test_the_history_goes_on_after_its_own_checkpoint_and_begins_anew_after_another_runs(
    own, tmp_path, monkeypatch, kept
):
    here, other = tmp_path / "here", tmp_path / "other"
    here.mkdir()
    checkpoint = (here if own else other) / "global_step_5"
    StateStore(Sage(3)).save(checkpoint / STATE_FILE, {"step": 5, "history_bytes": 4})
    (here / "sage_history.jsonl").write_text("old\nlost\n")
    monkeypatch.setattr(PPOTrainer, "_load_checkpoint", lambda self: None)
    monkeypatch.setattr(SageTrainer, "_waiting", lambda self: set())
    trainer = SageTrainer.__new__(SageTrainer)
    trainer.global_steps, trainer.store = 5, StateStore(Sage(3))
    trainer.history = VisitHistory(here / "sage_history.jsonl")
    settings = {"default_local_dir": str(here), "resume_mode": "resume_path", "resume_from_path": str(checkpoint)}
    trainer.config = OmegaConf.create({"trainer": settings})
    trainer._load_checkpoint()
    assert kept == {"phase": [watch.START_UP, 5]}
    found = {path.name: path.read_text() for path in here.glob("*.jsonl")}
    assert found == ({"sage_history.jsonl": "old\n"} if own else {"sage_history.1.jsonl": "old\nlost\n"})


@pytest.mark.parametrize(
    "more, skips",
    [
        ((), True),
        (("actor_rollout_ref.actor.use_kl_loss=true",), False),
        (("sage.skip_dead_groups=false",), False),
    ],
)
def test_the_trainer_skips_dead_groups_where_it_may_and_knows_the_groups_size(more, skips, data, monkeypatch):
    monkeypatch.setattr(PPOTrainer, "__init__", lambda self, config: None)
    trainer = SageTrainer(changed(data, *more, script="run_qwen3-4b.sh method=sage"))
    assert trainer.skips_dead_groups is skips and trainer.store.schedule.group_size == 4


def test_a_dispatched_prompt_without_an_outcome_is_a_counted_error(monkeypatch):
    group = Group(0, (Rollout(1.0, True, 1), Rollout(0.0, False, 1)))
    visit = Visit("p", (0,), (group,), Decision(Action.ACCEPT, Reason.SOLVED, 0))
    trainer = SageTrainer.__new__(SageTrainer)
    trainer.dispatched, trainer.step_visits, trainer.step_skips = {"a", "b", "c"}, [], []
    trainer.skips_dead_groups, trainer.store = False, StateStore(Grpo(3, 2))
    trainer.sage = SimpleNamespace(max_lost=0.5)
    monkeypatch.setattr("recipe.sage.watch.dead_part", lambda served: None)
    monkeypatch.setattr(trainer, "_waiting", lambda but_failed: {"c"}, raising=False)
    monkeypatch.setattr("recipe.sage.channel.collect", lambda uids: {"a": visit} if uids == {"a", "b"} else {})
    prompts = torch.nested.nested_tensor([torch.ones(3), torch.ones(3)], layout=torch.jagged)
    monkeypatch.setattr("transfer_queue.kv_batch_get", lambda **_: {"prompts": prompts})
    batch = KVBatchMeta(keys=["a_0_0", "a_1_0"], tags=[{}, {}], partition_id="train", fields=None, extra_info={})
    assert trainer._collect(batch) is batch
    assert trainer.step_skips == [SkipReason.ROLLOUT_ERROR] and trainer.dispatched == {"c"}
    assert trainer.visits == {"a": visit} and trainer.step_visits == [visit]
