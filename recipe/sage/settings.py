"""Reading and checking a run's configuration, before Ray or any model is started."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection
from dataclasses import replace

from omegaconf import DictConfig, ListConfig, OmegaConf

from recipe.sage.checks import (
    check_model,
    check_names,
    check_sizes,
    check_supported,
    check_validation_files,
    model_length,
    model_parallel,
)
from sage.config import SageConfig, check_budget
from sage.data.training import DataReport, check_training_files
from sage.hints.sources import HintFile
from sage.method.schedule import Fixed

VERL_VERSION = "0.9.1"
"""The verl whose V1 trainer, agent loop and TransferQueue formats this adapter knows."""


def read_config(config: DictConfig) -> SageConfig:
    """The ``sage:`` block of a composed configuration.

    Raises:
        ValueError: it is missing, unknown keys, bad values.
    """
    block = OmegaConf.select(config, "sage")
    if block is None:
        raise ValueError("the configuration has no sage: block; start with python -m recipe.sage.main_sage")
    values = OmegaConf.to_container(block, resolve=True)
    assert isinstance(values, dict)
    return SageConfig.from_mapping({str(key): value for key, value in values.items()})


def why_not_skip(config: DictConfig) -> str | None:
    """Why leaving out dead groups would change the update; None when it does not."""
    actor, algorithm = config.actor_rollout_ref.actor, config.algorithm
    correction = algorithm.get("rollout_correction") or {}
    reasons = {
        "actor_rollout_ref.actor.use_kl_loss=true": actor.use_kl_loss,
        "algorithm.use_kl_in_reward=true": algorithm.use_kl_in_reward,
        f"actor_rollout_ref.actor.entropy_coeff={actor.entropy_coeff}": actor.entropy_coeff != 0,
        "actor_rollout_ref.actor.loss_scale_factor=null": actor.loss_agg_mode == "seq-mean-token-sum-norm"
        and actor.loss_scale_factor is None,  # verl then divides by the longest response of the micro-batch
        f"algorithm.adv_estimator={algorithm.adv_estimator}": algorithm.adv_estimator not in ("sage", "grpo"),
        f"actor_rollout_ref.actor.policy_loss.loss_mode={actor.policy_loss.loss_mode}": actor.policy_loss.loss_mode
        not in ("vanilla", "gspo", "luffy"),
        # trained on every token, whatever its advantage
        "actor_rollout_ref.model.mtp.enable_train=true": config.actor_rollout_ref.model.mtp.enable_train,
        "megatron.override_transformer_config.moe_router_load_balancing_type": OmegaConf.select(
            actor, "megatron.override_transformer_config.moe_router_load_balancing_type", default="none"
        )
        != "none",
        "distillation.enabled=true": config.distillation.enabled,
        "algorithm.rollout_correction": bool(correction.get("rollout_is") or correction.get("rollout_rs")),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def training_files(config: DictConfig) -> list[str]:
    """``data.train_files``, which may be one path or several."""
    return _paths(config.data.train_files)


def validation_files(config: DictConfig) -> list[str]:
    """``data.val_files``, likewise."""
    return _paths(config.data.val_files)


def _paths(files: str | ListConfig | None) -> list[str]:
    return [str(file) for file in files] if isinstance(files, ListConfig) else [str(files)]


def check_run(config: DictConfig) -> tuple[SageConfig, DataReport]:
    """Check everything that can be checked from configuration and data files alone.

    Raises:
        ValueError: with the key, file or row and what to change.
    """
    version = importlib.metadata.version("verl")
    if version != VERL_VERSION:
        raise ValueError(f"verl {version} is installed, this recipe is written for {VERL_VERSION}: install a lock file")
    sage = read_config(config)
    rollout = config.actor_rollout_ref.rollout
    check_budget(sage, rollout.n, rollout.prompt_length, model_length(config))
    check_names(config)
    check_supported(config)
    check_model(config)
    check_sizes(config)
    data = config.data
    files = training_files(config)
    report = check_training_files(files, sage.needs_solutions)
    check_validation_files(validation_files(config))
    report = replace(report, hinted=_hinted(sage, report.prompt_ids))
    if report.hinted and not any(report.hinted.values()):
        levels = ", ".join(map(str, report.hinted))
        raise ValueError(
            f"sage.hint_source={sage.hint_source} has no hint of level {levels} for any prompt id of {', '.join(files)}"
        )
    references = sage.make_schedule().references > 0
    if references != (config.actor_rollout_ref.actor.policy_loss.loss_mode == "luffy"):
        raise ValueError(
            f"sage.schedule={sage.schedule} does not go with actor_rollout_ref.actor.policy_loss.loss_mode="
            f"{config.actor_rollout_ref.actor.policy_loss.loss_mode}: use luffy in both or neither"
        )
    steps = config.trainer.total_training_steps
    available = report.rows // data.train_batch_size * config.trainer.total_epochs
    if report.rows < data.train_batch_size:
        raise ValueError(
            f"data.train_batch_size={data.train_batch_size} exceeds the {report.rows} training rows: lower it"
        )
    if steps is not None and steps > available:
        raise ValueError(
            f"trainer.total_training_steps={steps} but {report.rows} rows in batches of {data.train_batch_size} give "
            f"only {available} steps in trainer.total_epochs={config.trainer.total_epochs}: raise total_epochs"
        )
    return sage, report


def _hinted(sage: SageConfig, prompt_ids: Collection[str]) -> dict[int, int]:
    """`DataReport.hinted` of these prompts."""
    hints = sage.open_hint_source()
    if not isinstance(hints, HintFile):
        return {}
    schedule = sage.make_schedule()
    levels = (schedule.level,) if isinstance(schedule, Fixed) else range(1, sage.max_level + 1)
    return {level: hints.covered(prompt_ids, level) for level in levels}


def describe_run(config: DictConfig, sage: SageConfig, report: DataReport) -> str:
    """The batch arithmetic in words."""
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    prompts = config.data.train_batch_size
    updates = prompts // actor.ppo_mini_batch_size * actor.ppo_epochs
    covered = ", ".join(f"level {level} for {count} prompts" for level, count in report.hinted.items())
    lines = [
        f"SAGE: schedule {sage.schedule}, levels 0..{sage.max_level if sage.uses_hints else 0}",
        f"  hints  {sage.hint_source if sage.uses_hints else 'none'}" + (f": {covered}" if covered else ""),
        f"  data   {report.rows} prompts, {report.without_solution} of them without a solution (never hinted)",
        f"  step   {prompts} prompts x {rollout.n} rollouts = {prompts * rollout.n} rows, "
        f"{updates} updates of {actor.ppo_mini_batch_size} prompts ({actor.ppo_mini_batch_size * rollout.n} rows)",
        _dead_groups(config, sage),
        f"  limits prompt {rollout.prompt_length} tokens (hint included), response {rollout.response_length} tokens",
    ]
    return "\n".join(lines)


def _dead_groups(config: DictConfig, sage: SageConfig) -> str:
    if not sage.skip_dead_groups:
        return "  dead   groups of equal rewards are trained on like others (sage.skip_dead_groups=false)"
    if reason := why_not_skip(config):
        return f"  dead   groups of equal rewards are trained on like others, since skipping would change {reason}"
    shared, _ = model_parallel(config)
    several = config.trainer.n_gpus_per_node * config.trainer.nnodes > shared
    effect = "the data-parallel ranks share the rows out anew" if several else "the others' gradients stay the same"
    return f"  dead   groups of equal rewards skip log-probs, forward and backward; {effect}"
