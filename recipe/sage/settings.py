"""Reading and checking a run's configuration, before Ray or any model is started."""

from __future__ import annotations

import importlib.metadata

from omegaconf import DictConfig, ListConfig, OmegaConf

from sage.config import SageConfig, check_budget
from sage.data import DataReport, check_training_files

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
    model_length = rollout.max_model_len or rollout.prompt_length + rollout.response_length
    check_budget(sage, rollout.n, rollout.prompt_length, model_length)
    if config.algorithm.adv_estimator == "gae":
        raise ValueError("algorithm.adv_estimator=gae has no groups: use sage (Eq. 2) or grpo")
    data = config.data
    if data.train_batch_size % config.actor_rollout_ref.actor.ppo_mini_batch_size:
        raise ValueError(
            f"actor_rollout_ref.actor.ppo_mini_batch_size={config.actor_rollout_ref.actor.ppo_mini_batch_size} must "
            f"divide data.train_batch_size={data.train_batch_size}; both count prompts, not rollouts"
        )
    files = list(data.train_files) if isinstance(data.train_files, ListConfig) else [data.train_files]
    report = check_training_files([str(f) for f in files], sage.uses_hints)
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


def describe_run(config: DictConfig, sage: SageConfig, report: DataReport) -> str:
    """The batch arithmetic in words."""
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    prompts = config.data.train_batch_size
    updates = prompts // actor.ppo_mini_batch_size * actor.ppo_epochs
    lines = [
        f"SAGE: schedule {sage.schedule}, levels 0..{sage.max_level if sage.uses_hints else 0}",
        f"  data   {report.rows} prompts, {report.without_solution} of them without a solution (never hinted)",
        f"  step   {prompts} prompts x {rollout.n} rollouts = {prompts * rollout.n} rows, "
        f"{updates} updates of {actor.ppo_mini_batch_size} prompts ({actor.ppo_mini_batch_size * rollout.n} rows)",
        f"  limits prompt {rollout.prompt_length} tokens (hint included), response {rollout.response_length} tokens",
    ]
    return "\n".join(lines)
