"""``python -m recipe.sage.dry_run [the overrides of a run]``: what a run would do, without a GPU, Ray or a model.

Prints the composed configuration (what the recipe and the run set; all of it with ``--full``), the batch arithmetic,
and estimates of tokens, memory and GPU hours, with their formulas in `sage.planning.budget`. Checks what `main_sage`
checks, and exits with 1 and one sentence when that would refuse. ``DRY_RUN=1`` makes a launch script call this.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from huggingface_hub import hf_hub_download
from hydra import compose, initialize_config_dir, initialize_config_module
from omegaconf import DictConfig, OmegaConf
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import validate_config

from recipe.sage.checks import check_machine, model_length, rollout_gpus
from recipe.sage.resume import check_resume
from recipe.sage.settings import check_run, describe_run, validation_files
from sage.config import SageConfig
from sage.data.training import DataReport
from sage.planning.budget import (
    GB,
    PAPER_FACTORS,
    PAPER_GPUS,
    PAPER_HOURS,
    PAPER_MODEL,
    PAPER_ROLLOUTS,
    PAPER_STEPS,
    Layout,
    ModelShape,
    checkpoints,
    estimate_memory,
    gpu_hours,
    known_shape,
    step_tokens,
)

CONFIGS = Path(__file__).parent / "config"
A100_GB = 80


def compose_run(name: str, overrides: list[str]) -> DictConfig:
    """The configuration that ``main_sage`` would get."""
    with initialize_config_dir(str(CONFIGS), version_base=None):
        return compose(name, overrides)


def settings_of_run(config: DictConfig, overrides: list[str]) -> Iterator[tuple[str, Any]]:
    """Keys and values that the recipe or the overrides set, and whatever else is not verl's default."""
    with initialize_config_module("verl.trainer.config", version_base=None):
        defaults = dict(_flat(OmegaConf.to_container(compose("ppo_trainer", [f"model_engine={config.model_engine}"]))))
    stated = {key for key, _ in _flat(OmegaConf.to_container(OmegaConf.load(CONFIGS / "sage.yaml")))}
    stated |= {override.lstrip("+").partition("=")[0] for override in overrides}
    for key, value in _flat(OmegaConf.to_container(config)):
        if key in stated or key not in defaults or defaults[key] != value:
            yield key, OmegaConf.select(config, key)


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def load_shape(model: str) -> ModelShape:
    """The shape of a model: a folder, one of the paper's, or a ``config.json`` on the hub.

    Raises:
        ValueError: it cannot be had, or is of a kind that we cannot measure.
    """
    if shape := known_shape(model):
        return shape
    try:
        file = hf_hub_download(model, "config.json")
    except OSError as error:
        raise ValueError(f"its config.json cannot be had ({type(error).__name__})") from error
    return ModelShape.from_config(json.loads(Path(file).read_text()))


def layout(config: DictConfig, gpu_bytes: int) -> Layout:
    """How a run spreads over its GPUs."""
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    gpus = config.trainer.n_gpus_per_node * config.trainer.nnodes
    megatron = actor.strategy == "megatron"
    engine = actor.megatron if megatron else actor.fsdp_config
    tensor = engine.tensor_model_parallel_size if megatron else 1
    if actor.use_dynamic_bsz:
        tokens = max(actor.ppo_max_token_len_per_gpu, rollout.log_prob_max_token_len_per_gpu)
    else:
        rows = max(actor.ppo_micro_batch_size_per_gpu or 1, rollout.log_prob_micro_batch_size_per_gpu or 1)
        tokens = rows * (rollout.prompt_length + rollout.response_length)
    return Layout(
        shards=gpus if megatron or engine.fsdp_size < 1 else engine.fsdp_size,
        gpu_bytes=gpu_bytes,
        megatron=megatron,
        model_parallel=tensor * engine.pipeline_model_parallel_size if megatron else 1,
        tensor_parallel=tensor,
        micro_batch_tokens=tokens,
        checkpointing=engine.override_transformer_config.recompute_granularity == "full"
        if megatron
        else config.actor_rollout_ref.model.enable_gradient_checkpointing,
        parameters_offloaded=engine.param_offload,
        optimizer_offloaded=engine.optimizer_offload,
        engine_parallel=rollout.tensor_model_parallel_size,
        engine_share=rollout.gpu_memory_utilization,
    )


def total_steps(config: DictConfig, report: DataReport) -> tuple[int, int]:
    """Steps of the run and of an epoch."""
    epoch = report.rows // config.data.train_batch_size
    return config.trainer.total_training_steps or epoch * config.trainer.total_epochs, epoch


def describe_steps(config: DictConfig, sage: SageConfig, report: DataReport) -> str:
    """Tokens of a step, steps of the run, tests and checkpoints."""
    data, rollout, trainer = config.data, config.actor_rollout_ref.rollout, config.trainer
    tokens = step_tokens(sage, data.train_batch_size, rollout.n, rollout.response_length)
    steps, epoch = total_steps(config, report)
    tests = checkpoints(steps, trainer.test_freq) + trainer.val_before_train
    filtered = config.algorithm.filter_groups.enable
    problems = sum(pq.read_metadata(file).num_rows for file in validation_files(config))
    return "\n".join(
        [
            f"  tokens of a step, at most: {tokens.trained:,} trained on, {tokens.generated:,} generated by all groups "
            f"of all visits, {tokens.hints:,} of hints"
            + (" (and as often again as verl draws prompts anew: algorithm.filter_groups)" if filtered else ""),
            f"  run    {steps} steps = {'at least ' if filtered else ''}{steps / epoch:.1f} epochs of {epoch} steps; "
            f"{checkpoints(steps, trainer.save_freq)} checkpoints; "
            f"{tests} tests of {problems} problems x {rollout.val_kwargs.n} samples",
        ]
    )


def describe_memory(config: DictConfig, shape: ModelShape, gpu_gb: float) -> str:
    """Memory of a GPU, and what to change where it does not suffice."""
    rollout, spread = config.actor_rollout_ref.rollout, layout(config, int(gpu_gb * GB))
    memory = estimate_memory(shape, spread)
    gpus = config.trainer.n_gpus_per_node * config.trainer.nnodes
    longest = rollout.prompt_length + rollout.response_length
    engines = rollout_gpus(config)[0] // rollout.tensor_model_parallel_size
    rollouts = config.data.train_batch_size * rollout.n
    parts = ", ".join(
        f"{name} {getattr(memory, name) / GB:.1f}"
        for name in ("weights", "gradients", "optimizer", "activations", "logits")
    )
    lines = [
        f"  memory estimate for each of {gpus} GPUs with {gpu_gb:g} GB (--gpu-memory)",
        f"    update   {memory.update_peak / GB:.1f} GB: {parts}, for {spread.micro_batch_tokens} tokens a micro-batch",
        f"    rollouts {memory.rollout_peak / GB:.1f} GB: training states {memory.resident / GB:.1f}, "
        f"vLLM {memory.engine / GB:.1f}",
        f"    KV cache {memory.cache_tokens:,} tokens an engine: in {engines} engines at least "
        f"{min(memory.cache_tokens // longest * engines, rollouts)} of {rollouts} rollouts at once",
        f"    disk     about {shape.parameters * (14 if spread.megatron else 12) / GB:.0f} GB a checkpoint "
        "(trainer.max_actor_ckpt_to_keep limits how many stay)",
    ]
    if memory.update_peak > spread.gpu_bytes:
        lines.append(
            "    TOO MUCH in the update: lower actor_rollout_ref.actor.ppo_max_token_len_per_gpu, or take more GPUs"
        )
    if memory.rollout_peak > spread.gpu_bytes:
        lines.append(
            "    TOO MUCH in rollouts: lower actor_rollout_ref.rollout.gpu_memory_utilization, offload states, or "
            "take more GPUs"
        )
    if memory.cache_tokens < model_length(config):
        lines.append(
            f"    TOO LITTLE cache for one row of {model_length(config)} tokens: raise actor_rollout_ref.rollout."
            "gpu_memory_utilization or tensor_model_parallel_size"
        )
    return "\n".join(lines)


def describe_time(config: DictConfig, sage: SageConfig, shape: ModelShape, steps: int) -> str:
    """GPU hours from the paper's Table 3, where it has a factor for the method."""
    rollouts = config.data.train_batch_size * config.actor_rollout_ref.rollout.n
    hours = gpu_hours(sage.schedule, shape.parameters, steps, rollouts)
    if hours is None or config.algorithm.filter_groups.enable:
        return "  time   the paper times no such method (Table 3)"
    return (
        f"  time   about {hours:.0f} A100 hours: {PAPER_HOURS} h x {PAPER_GPUS} GPUs x {PAPER_FACTORS[sage.schedule]} "
        f"(Table 3), scaled by weights, steps and rollouts from {PAPER_MODEL}, {PAPER_STEPS} and {PAPER_ROLLOUTS}; "
        "lengths of responses are not in it"
    )


def main(arguments: list[str] | None = None) -> int:
    """Print the dry run; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-name", default="sage_trainer", help="as for main_sage")
    parser.add_argument("--full", action="store_true", help="print the whole configuration, verl's defaults as well")
    parser.add_argument("--gpu-memory", type=float, default=A100_GB, help="GB of one GPU (default: %(default)s)")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides")
    args = parser.parse_intermixed_args(arguments)

    config = compose_run(args.config_name, args.overrides)
    if args.full:
        print(OmegaConf.to_yaml(config, resolve=False))
    else:
        print("Configuration, as far as the recipe and this run set it (all of it: --full)")
        for key, value in settings_of_run(config, args.overrides):
            print(f"  {key}={value}")
    try:
        sage, report = check_run(config)
        begin = check_resume(config, report.prompt_ids)
        validate_config(config, need_reference_policy(config), need_critic(config))
    except (ValueError, AssertionError) as error:
        print(f"This run would be refused: {error}")
        return 1
    print(describe_run(config, sage, report))
    print(begin)
    print(describe_steps(config, sage, report))
    try:
        shape = load_shape(config.actor_rollout_ref.model.path)
    except ValueError as error:
        print(f"  memory not estimated for {config.actor_rollout_ref.model.path}: {error}")
    else:
        print(describe_memory(config, shape, args.gpu_memory))
        print(describe_time(config, sage, shape, total_steps(config, report)[0]))
    for problem in check_machine(config, os.environ):
        print(f"  here   {problem}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
