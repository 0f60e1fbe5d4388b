"""verl's V1 trainers with the method's state: hooks only, no copy of `fit`.

before rollout   each prompt's plan, from its state                   _next_train_batch
after rollout    visits joined to rows by uid, contexts asserted,
                 dead groups taken out                               _balance_batch
before update    metrics of tokens                                   _compute_advantage
after update     state and history, dead groups put back             _update_actor
end of the step  checkpoint and end, where that is asked for         on_step_end
after the step   metrics of its visits                               _compute_metrics
checkpoints      state saved with them, restored from them           _save_checkpoint, _load_checkpoint

The asynchronous modes roll out ahead of the update: a visit may be older than the policy, or span several versions of
it. It enters the state with the step that dispatched it (`Visit.age`), and a prompt stays dispatched until it has left
the queue, trained on or evicted. ``separate_async`` makes several batches a step.
"""

from __future__ import annotations

import gc
import logging
import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import wraps
from pathlib import Path
from typing import Any

import transfer_queue as tq
from omegaconf import DictConfig
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.trainer.ppo.v1.trainer_base import PPOTrainer, register_trainer
from verl.trainer.ppo.v1.trainer_colocate_async import PPOTrainerColocateAsync
from verl.trainer.ppo.v1.trainer_separate_async import PPOTrainerSeparateAsync
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils import tensordict_utils as tu
from verl.utils.profiler.performance import simple_timer

from recipe.sage import channel, watch
from recipe.sage.algorithm import add_distillation, mark_references, weigh_reliance
from recipe.sage.cpu import is_active
from recipe.sage.cpu.platform import shorten_padding_rows
from recipe.sage.dead_groups import DeadGroups
from recipe.sage.preflight import read_config
from recipe.sage.preflight.describe import why_not_skip
from recipe.sage.rollout import PLAN
from recipe.sage.wandb_run import log_hints
from sage.method.metrics import SPENT, cost_line, step_metrics, token_metrics
from sage.method.records import Skip, SkipReason, Visit
from sage.method.state import HISTORY_FILE, STATE_FILE, StateStore, VisitHistory
from sage.report.alerts import WINDOW, find_alerts

if is_active():
    shorten_padding_rows()
logger = logging.getLogger(__name__)
STOP_FILE = "SAGE_STOP_FILE"
"""Environment variable with the path of a file; when it exists, the run saves a checkpoint after its step and ends."""
POLL_SECONDS = 0.1
"""How often the replay buffer looks for finished prompts; verl's 2 s would add a second to every step."""

ALERT_STEPS = 20
"""An alert that goes on is logged again after so many steps."""


def check_groups(uids: list[str], prompt_ids: list[tuple[int, ...]], visits: dict[str, Visit]) -> None:
    """Assert that every uid's rows are those that its visit selected, one context for each of its groups.

    Args:
        uids: of the rows, in any order.
        prompt_ids: token ids of each row's prompt.
        visits: by uid.

    Raises:
        RuntimeError: a group has another size, mixed contexts, or no visit.
    """
    contexts: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for uid, ids in zip(uids, prompt_ids, strict=True):
        contexts[uid].append(ids)
    for uid, rows in contexts.items():
        if uid not in visits:
            raise RuntimeError(f"group {uid}: no visit of it")
        sizes = sorted(Counter(rows).values())
        wanted = sorted(Counter(number for number, _ in visits[uid].rows).values())
        if sizes != wanted:
            raise RuntimeError(f"group {uid}: rows by context {sizes}, not {wanted}")


PHASES = {
    "_init_tokenizer": watch.START_UP,
    "_init_resource_pool_mgr": watch.START_UP,
    "_load_checkpoint": watch.START_UP,
    "on_init_end": watch.START_UP,
    "_validate": "validation",
    "on_sample_begin": "rollout",
    "_balance_batch": "reading of rollouts",
    "_compute_old_log_prob": "log-probs",
    "_compute_ref_log_prob": "reference log-probs",
    "_compute_advantage": "advantages",
    "_update_actor": "update",
    "_save_checkpoint": "checkpoint",
    "on_step_end": "weight sync",
    "_compute_metrics": "metrics",
}
"""Methods of verl's trainers and the phase that each begins."""


def reports_phases(trainer: type[SageHooks]) -> type[SageHooks]:
    """Let a trainer tell the driver's watch which phase it is in."""
    for name, phase in PHASES.items():
        setattr(trainer, name, _reporting(getattr(trainer, name), phase))
    return trainer


def _reporting(method: Callable[..., Any], phase: str) -> Callable[..., Any]:
    @wraps(method)
    def report(self: SageHooks, *args: Any, **kwargs: Any) -> Any:
        watch.enter(phase, getattr(self, "global_steps", 0))
        return method(self, *args, **kwargs)

    return report


class SageHooks(PPOTrainer):
    """Per-prompt state for a trainer of verl's."""

    mode: str
    """verl's name of that trainer, by which it chooses buffer, checkpoint format and settings."""
    total_training_steps: int

    def __init__(self, config: DictConfig) -> None:
        self.sage = read_config(config)
        self.store = StateStore(self.sage.make_schedule(config.actor_rollout_ref.rollout.n))
        self.history = VisitHistory(Path(config.trainer.default_local_dir) / HISTORY_FILE)
        self.dispatched: set[str] = set()
        self.visits: dict[str, Visit] = {}
        self.step_visits: list[Visit] = []
        self.step_skips: list[SkipReason] = []
        self.step_skipped_groups = 0
        self.saved_step = 0
        self.recent: deque[Mapping[str, float]] = deque(maxlen=WINDOW)
        self.next_alert: dict[str, int] = {}
        self.spent: list[dict[str, float]] = []
        self.skips_dead_groups = self.sage.skip_dead_groups and why_not_skip(config) is None
        self.dead: DeadGroups | None = None
        self.timing_raw: dict[str, float] = {}
        super().__init__(config)

    def _timed(self) -> AbstractContextManager[None]:
        """Adds to ``timing_s/sage``, the driver's time in what is ours."""
        return simple_timer("sage", self.timing_raw)

    def _build_replay_buffer(self) -> ReplayBuffer:
        self.trainer_mode = self.mode
        self.parameter_sync_step = self.config.trainer.v1[self.mode].get("parameter_sync_step", 1)
        buffer = super()._build_replay_buffer()
        buffer.poll_interval = POLL_SECONDS
        return buffer

    def _next_train_batch(self, num_prompts: int | None = None) -> TensorDict:
        batch = super()._next_train_batch(num_prompts)
        with self._timed():
            self.dispatched.update(batch["uid"])
            progress = (self.global_steps - 1) / self.total_training_steps
            plans = [self.store.plan(prompt_id, self.global_steps, progress) for prompt_id in batch["prompt_id"]]
            return tu.assign_non_tensor(batch, **{PLAN: [plan.to_json() for plan in plans]})

    def _step_once(self, *args: Any, **kwargs: Any) -> KVBatchMeta:
        try:
            return super()._step_once(*args, **kwargs)
        except RuntimeError:
            self._take_outcomes(failed=True)  # verl says only that a step has no rows: say why
            raise

    def _balance_batch(self, batch: KVBatchMeta, *args: Any, **kwargs: Any) -> KVBatchMeta:
        """Before verl pads and reorders the rows: collect the visits of this batch and check the groups."""
        with self._timed():
            batch = self._collect(batch)
        return super()._balance_batch(batch, *args, **kwargs)

    def _collect(self, batch: KVBatchMeta) -> KVBatchMeta:
        data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=["prompts"])
        uids = [key.split("_")[0] for key in batch.keys]
        outcomes = self._take_outcomes()
        self.visits = {uid: o for uid, o in outcomes.items() if isinstance(o, Visit)}
        self.step_visits += self.visits.values()
        check_groups(uids, [tuple(row.tolist()) for row in data["prompts"].unbind()], self.visits)
        self.dead = None
        if self.skips_dead_groups:
            dead = {uid for uid in set(uids) if self.visits[uid].accepted.dead}
            multiple = self._get_required_batch_multiple(dp_size=1)  # whole mini-batches; verl adds what the ranks need
            self.dead = DeadGroups(batch, dead, multiple, self.tokenizer.eos_token_id)
            batch = self.dead.live
            self.step_skipped_groups += len(self.dead.uids)
        return batch

    def _take_outcomes(self, failed: bool = False) -> dict[str, Visit | Skip]:
        """What became of the prompts that have left the queue, with ``failed`` of those in it that have no rows too.

        Raises:
            PartLost, BrokenStep: as `watch.check_step`.
        """
        gone = self.dispatched - self._waiting(but_failed=failed)
        outcomes = channel.collect(gone)
        unknown = Skip(SkipReason.ROLLOUT_ERROR, "the rollout worker's log says why")
        skips = [o for o in (outcomes.get(uid, unknown) for uid in gone) if isinstance(o, Skip)]
        self.step_skips += [skip.reason for skip in skips]
        self.dispatched -= gone
        watch.check_step(len(gone), skips, self.sage.max_lost)
        return outcomes

    def _waiting(self, but_failed: bool = False) -> set[str]:
        """Prompts that are still being rolled out, or wait for a later batch."""
        tags = (tq.kv_list("train") or {}).get("train", {})
        failed = "failure" if but_failed else None
        return {key for key, tag in tags.items() if tag.get("is_prompt", False) and tag.get("status") != failed}

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        batch = super()._compute_advantage(batch, metrics)
        with self._timed():
            if self.store.schedule.references:
                mark_references(batch, self.visits)
            if self.sage.reliance_scale:
                metrics.update(weigh_reliance(batch, self.visits, self.sage.reliance_scale))
            if self.sage.distill_weight:
                metrics.update(add_distillation(batch, self.sage.distill_weight, self.sage.reward_weight))
            metrics.update(self._token_metrics(batch))
        return batch

    def _token_metrics(self, batch: KVBatchMeta) -> dict[str, float]:
        real = channel.real_keys(batch)
        kinds = [self.visits[uid].kinds[int(session)] for uid, session, _ in (key.split("_") for key in real)]
        fields = ["response_mask", "entropy", "old_log_probs", "rollout_log_probs"]
        data = tq.kv_batch_get(keys=real, partition_id=batch.partition_id, select_fields=fields).to_padded_tensor()
        entropy = data.get("entropy")  # none in verl's bypass mode, which does not ask the actor
        difference = None
        if entropy is not None and "rollout_log_probs" in data:
            difference = (data["rollout_log_probs"].exp() - data["old_log_probs"].exp()).abs()
        return token_metrics(kinds, data["response_mask"], entropy, difference)

    def _update_actor(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        """After the update: remember the visits, those that verl filtered out or dropped as too old included."""
        batch = super()._update_actor(batch, metrics)
        with self._timed():
            if self.dead:
                batch = self.dead.put_back(batch)
            self.store.update(self.visits.values(), self.global_steps)
            self.history.append(self.global_steps, self.visits)
        return batch

    def _compute_metrics(self, batch: KVBatchMeta, metrics: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        with self._timed():
            metrics.update(step_metrics(self.step_visits, self.step_skips, self.sage.max_level, self.global_steps))
            metrics["sage/groups/skipped"] = float(self.step_skipped_groups)
            metrics["sage/never_solved"] = self.store.never_solved()
            metrics["sage/never_solved_plain"] = self.store.never_solved_plain()
            metrics["sage/prompts_visited"] = float(len(self.store.prompts))
            log_hints(self.logger, self.step_visits, self.global_steps)
            self.step_visits, self.step_skips, self.step_skipped_groups = [], [], 0
        super()._compute_metrics(batch, metrics, *args, **kwargs)
        self._warn(metrics)
        self.spent.append({key: value for key, value in metrics.items() if key.startswith(SPENT)})

    def _warn(self, metrics: Mapping[str, float]) -> None:
        """Log what a person would stop the run for: when it begins, and again every `ALERT_STEPS` steps."""
        self.recent.append(dict(metrics))
        found = find_alerts(self.recent)
        for rule, text in found.items():
            if self.global_steps >= self.next_alert.get(rule, 0):
                logger.warning("SAGE: alert in step %s: %s.", self.global_steps, text)
                self.next_alert[rule] = self.global_steps + ALERT_STEPS
        self.next_alert = {rule: step for rule, step in self.next_alert.items() if rule in found}

    def on_init_end(self) -> None:
        watch.name_engines([a for m in self._rollout_server_managers() for a in m.get_addresses()])
        super().on_init_end()

    def on_train_begin(self) -> None:
        super().on_train_begin()
        gc.freeze()  # a full collection walks 600,000 objects of the imports, .4 to .7 s every ten steps

    def on_train_end(self) -> None:
        super().on_train_end()
        if self.sage.uses_hints and self.spent:
            print(f"SAGE: {cost_line(self.spent)}", flush=True)

    def on_step_end(self) -> None:
        stop = os.environ.get(STOP_FILE)
        if stop and os.path.exists(stop) and self.global_steps < self.total_training_steps:
            if self.saved_step != self.global_steps:
                self._save_checkpoint()
            logger.warning("ending after step %s, as %s asks", self.global_steps, stop)
            self.total_training_steps = self.global_steps  # what verl's loop looks at
            os.remove(stop)
        super().on_step_end()

    def _save_checkpoint(self) -> None:
        """State first: verl writes the file that makes a checkpoint the latest one last."""
        folder = Path(self.config.trainer.default_local_dir) / f"global_step_{self.global_steps}"
        self.store.save(folder / STATE_FILE, {"step": self.global_steps, "history_bytes": self.history.size})
        super()._save_checkpoint()
        self.saved_step = self.global_steps

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()
        if self.global_steps == 0:
            self.history.start_afresh()
            return
        folder = Path(self.config.trainer.default_local_dir) / f"global_step_{self.global_steps}"
        if self.config.trainer.resume_mode == "resume_path":
            folder = Path(self.config.trainer.resume_from_path)
        self.dispatched = self._waiting()
        extra = self.store.load(folder / STATE_FILE)
        if os.path.samefile(folder.parent, self.history.path.parent):
            self.history.truncate(int(str(extra["history_bytes"])))
        else:  # another run's checkpoint: what is here belongs to neither
            self.history.start_afresh()


@register_trainer("sage_sync")
@reports_phases
class SageTrainer(SageHooks, PPOTrainerSync):
    """Rolls out, then updates (verl's ``sync``)."""

    mode = "sync"


@register_trainer("sage_colocate_async")
@reports_phases
class SageColocateAsyncTrainer(SageHooks, PPOTrainerColocateAsync):
    """Engine and actor share the devices; rollouts that an update interrupts go on after it (``colocate_async``)."""

    mode = "colocate_async"


@register_trainer("sage_separate_async")
@reports_phases
class SageSeparateAsyncTrainer(SageHooks, PPOTrainerSeparateAsync):
    """Engine and actor have devices of their own (``separate_async``)."""

    mode = "separate_async"

    def _setup(self) -> None:
        # With hybrid_engine=false verl 0.9.1 passes print's `flush` to this logger's `info`: a TypeError if enabled.
        logging.getLogger(PPOTrainerSeparateAsync.__module__).setLevel(logging.WARNING)
        super()._setup()
