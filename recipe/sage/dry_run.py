"""``python -m recipe.sage.dry_run [the overrides of a run]``: what a run would do, without a GPU, Ray or a model.

Prints the composed configuration (what the recipe and the run set; all of it with ``--full``), the batch arithmetic,
and estimates of tokens, memory and hours, with their formulas in `sage.planning.budget` and `sage.planning.hours`.
Checks what `main_sage` checks, and exits with 1 when that would refuse, or the estimate finds too little memory.
``DRY_RUN=1`` makes a launch script call this.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from huggingface_hub import hf_hub_download
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from recipe.sage.command_line import accept
from recipe.sage.preflight import Problems, check_machine, check_run
from recipe.sage.preflight.describe import describe_run
from recipe.sage.preflight.opening import data_files, open_model, open_prompts
from recipe.sage.preflight.resume import check_resume
from recipe.sage.preflight.rules import Run
from recipe.sage.preflight.values import verl_defaults
from sage.config import SageConfig
from sage.data.training import DataReport
from sage.planning.budget import (
    GB,
    Layout,
    Memory,
    ModelShape,
    checkpoint_bytes,
    checkpoints,
    estimate_memory,
    known_shape,
    step_tokens,
)
from sage.planning.hours import GPUS, MARGIN, Gpu, Habits, Workload, estimate_hours
from sage.report.history import read_history
from sage.support.arguments import at_least, positive
from sage.support.documents import read_json
from sage.support.model import find_model
from sage.support.values import flat

CONFIGS = Path(__file__).parent / "config"
PROMPT_SHARE = 4
"""A prompt is taken to have 1 / PROMPT_SHARE of its limit in the mean."""
TRY_LORA = 32
"""Rank of the adapter that is tried where all weights are too much."""


def compose_run(name: str, overrides: list[str]) -> DictConfig:
    """The configuration that ``main_sage`` would get."""
    with initialize_config_dir(str(CONFIGS), version_base=None):
        return compose(name, overrides)


def settings_of_run(config: DictConfig, overrides: list[str]) -> Iterator[tuple[str, Any]]:
    """Keys and values that the recipe or the overrides set, and whatever else is not verl's default."""
    defaults = verl_defaults(str(config.model_engine))
    stated = {key for key, _ in flat(OmegaConf.to_container(OmegaConf.load(CONFIGS / "sage.yaml")))}
    stated |= {override.lstrip("+").partition("=")[0] for override in overrides}
    for key, value in flat(OmegaConf.to_container(config)):
        if key in stated or key not in defaults or defaults[key] != value:
            yield key, OmegaConf.select(config, key)


def load_shape(model: str) -> ModelShape:
    """The shape of a model: a folder, one of the launch scripts', or a ``config.json`` on the hub.

    Raises:
        ValueError: it is not available, or is of a kind that we cannot measure.
    """
    if shape := known_shape(model):
        return shape
    if find_model(model) is None:
        raise ValueError("it has no config.json")
    file = Path(hf_hub_download(model, "config.json"))
    return ModelShape.from_config(read_json(dict[str, Any], file, "download the model again"))


def layout(config: DictConfig, gpu_bytes: int) -> Layout:
    """How a run spreads over its GPUs."""
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    gpus = Run(config).gpus
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
        lora_rank=config.actor_rollout_ref.model.lora_rank,
    )


def total_steps(config: DictConfig, report: DataReport) -> tuple[int, int]:
    """Steps of the run and of an epoch."""
    epoch = report.rows // config.data.train_batch_size
    return config.trainer.total_training_steps or epoch * config.trainer.total_epochs, epoch


def validation_rows(config: DictConfig) -> int:
    """Problems of one validation."""
    return sum(pq.read_metadata(file).num_rows for file in data_files(config, "val_files"))


def describe_steps(config: DictConfig, sage: SageConfig, report: DataReport) -> str:
    """Tokens of a step, steps of the run, tests and checkpoints."""
    data, rollout, trainer = config.data, config.actor_rollout_ref.rollout, config.trainer
    tokens = step_tokens(sage, data.train_batch_size, rollout.n, rollout.response_length)
    steps, epoch = total_steps(config, report)
    tests = checkpoints(steps, trainer.test_freq) + trainer.val_before_train
    filtered = config.algorithm.filter_groups.enable
    problems = validation_rows(config)
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


def describe_memory(config: DictConfig, shape: ModelShape, gpu_gb: float) -> tuple[str, list[str]]:
    """Memory of a GPU; and what is too much, with what would help."""
    rollout, spread = config.actor_rollout_ref.rollout, layout(config, int(gpu_gb * GB))
    memory = estimate_memory(shape, spread)
    gpus = Run(config).gpus
    longest = rollout.prompt_length + rollout.response_length
    engines = Run(config).engine[0] // rollout.tensor_model_parallel_size
    rollouts = config.data.train_batch_size * rollout.n
    parts = ", ".join(
        f"{name} {getattr(memory, name) / GB:.1f}"
        for name in ("weights", "gradients", "optimizer", "activations", "logits")
    )
    adapter = f", of a LoRA adapter of rank {spread.lora_rank}" if spread.lora_rank else ""
    lines = [
        f"  memory estimate for each of {gpus} GPUs with {gpu_gb:g} GB (--gpu, --gpu-memory)",
        f"    update   {memory.update_peak / GB:.1f} GB: {parts}, for {spread.micro_batch_tokens} tokens a micro-batch"
        + adapter,
        f"    rollouts {memory.rollout_peak / GB:.1f} GB: training states {memory.resident / GB:.1f}, "
        f"vLLM {memory.engine / GB:.1f}",
        f"    KV cache {memory.cache_tokens:,} tokens an engine: in {engines} engines at least "
        f"{min(memory.cache_tokens // longest * engines, rollouts)} of {rollouts} rollouts at once",
        f"    disk     about {checkpoint_bytes(shape, spread) / GB:.0f} GB a checkpoint "
        "(trainer.max_actor_ckpt_to_keep limits how many stay)",
    ]
    return "\n".join(lines), list(too_much(config, shape, spread, memory))


def too_much(config: DictConfig, shape: ModelShape, spread: Layout, memory: Memory) -> Iterator[str]:
    """What does not fit, each with the settings that would make it fit, the cheapest first."""
    longest = Run(config).model_length
    small = replace(spread, micro_batch_tokens=min(spread.micro_batch_tokens, longest))
    offloaded = replace(small, parameters_offloaded=True, optimizer_offloaded=True)
    offloading = " with offloading"
    ways = {
        f"actor_rollout_ref.actor.ppo_max_token_len_per_gpu={longest} and as much for log-probs": small,
        "offloading (param_offload and optimizer_offload of actor_rollout_ref.actor.fsdp_config=true)": offloaded,
    }
    if not spread.megatron and not spread.lora_rank:
        ways[f"actor_rollout_ref.model.lora_rank={TRY_LORA}"] = replace(small, lora_rank=TRY_LORA)
        ways[f"actor_rollout_ref.model.lora_rank={TRY_LORA}{offloading}"] = replace(offloaded, lora_rank=TRY_LORA)
    for factor in (2, 4, 8, 16):
        ways[f"{factor} times as many GPUs"] = replace(small, shards=factor * spread.shards)

    def helps(fits: Callable[[Memory], bool]) -> str:
        found = [name for name, way in ways.items() if way != spread and fits(estimate_memory(shape, way))]
        found = [
            name
            for name in found
            if name.removesuffix(offloading) == name or name.removesuffix(offloading) not in found
        ]
        return f"it fits with {' or with '.join(found[:3])}" if found else "take a smaller model or larger GPUs"

    if memory.update_peak > spread.gpu_bytes:
        yield f"TOO MUCH in the update: {helps(lambda m: m.update_peak <= spread.gpu_bytes)}"
    if memory.rollout_peak > spread.gpu_bytes:
        yield (
            "TOO MUCH in rollouts: lower actor_rollout_ref.rollout.gpu_memory_utilization; or "
            f"{helps(lambda m: m.rollout_peak <= spread.gpu_bytes)}"
        )
    if memory.cache_tokens < longest:
        yield (
            f"TOO LITTLE cache for one row of {longest} tokens: raise actor_rollout_ref.rollout."
            "gpu_memory_utilization or tensor_model_parallel_size"
        )


def workload(config: DictConfig, sage: SageConfig, shape: ModelShape, report: DataReport, gpu: Gpu) -> Workload:
    """What the run asks of its GPUs."""
    data, rollout, trainer = config.data, config.actor_rollout_ref.rollout, config.trainer
    steps = total_steps(config, report)[0]
    written = step_tokens(sage, data.train_batch_size, rollout.n, rollout.response_length).hints > 0
    return Workload(
        gpus=Run(config).gpus,
        engine_parallel=rollout.tensor_model_parallel_size,
        cache_tokens=estimate_memory(shape, layout(config, gpu.gigabytes * GB)).cache_tokens,
        sequences=rollout.max_num_seqs,
        prompts=data.train_batch_size,
        prompt_tokens=rollout.prompt_length / PROMPT_SHARE,
        response_limit=rollout.response_length,
        hint_tokens=sage.hint_answer_tokens / 2 if written else 0,
        steps=steps,
        tests=checkpoints(steps, trainer.test_freq) + trainer.val_before_train,
        test_rollouts=validation_rows(config) * rollout.val_kwargs.n,
        recomputed=config.actor_rollout_ref.model.enable_gradient_checkpointing,
        lora=config.actor_rollout_ref.model.lora_rank > 0,
    )


def describe_time(
    config: DictConfig, sage: SageConfig, shape: ModelShape, report: DataReport, gpu: Gpu, name: str, habits: Habits
) -> str:
    """Hours of the run, what they rest on, and what dominates them."""
    rollout = config.actor_rollout_ref.rollout
    work = workload(config, sage, shape, report, gpu)
    hours = estimate_hours(shape, gpu, work, sage.make_schedule(rollout.n), sage.max_level, habits)
    low, high = (training + hours.validation for training in hours.training)
    middle, extra = (low + high) / 2, sum(hours.hints) / 2
    lines = [
        f"  time   about {middle:.1f} h on {work.gpus} {name}, {middle * work.gpus:.0f} GPU hours: "
        f"between {low / MARGIN:.1f} and {high * MARGIN:.1f} h",
        f"    step     {sum(hours.step) / 2:.0f} s: rollouts {hours.rollouts:.0f}, after hints {extra:.0f}, "
        f"log-probs {hours.log_probs:.0f}, update {hours.update:.0f}, the rest {hours.rest:.0f}",
        f"    tests    {hours.validation:.1f} h: {work.tests} of {hours.test:.0f} s",
        f"    most of it goes to {hours.dominant}",
        f"    assumes  responses of {habits.response_tokens:.0f} tokens in the mean ({habits.source}), the slowest of "
        f"{rollout.response_length}; {habits.fails(0):.0%} of the groups without a hint fail "
        "(--response-tokens, or --history of a short run)",
    ]
    if extra:
        lines.append(
            f"    hints    {low:.1f} h if they only fill gaps of the rollouts, {high:.1f} h if each level waits for "
            "the one before"
        )
    if 2 * hours.validation > middle:
        lines.append(
            "    MOST of the time is tests: raise trainer.test_freq, lower actor_rollout_ref.rollout.val_kwargs.n, "
            "or take a smaller validation file"
        )
    if config.algorithm.filter_groups.enable:
        lines.append("    prompts that algorithm.filter_groups draws anew come on top")
    return "\n".join(lines)


def lacking(config: DictConfig) -> list[str]:
    """What this machine lacks for the run; the model and the lengths of its prompts only where it is a folder here."""
    problems = Problems(check_machine(config, os.environ))
    if Path(config.actor_rollout_ref.model.path).is_dir():
        tokenizer = problems.attempt(open_model, config)
        if tokenizer is not None:
            problems.attempt(open_prompts, config, tokenizer)
    return problems


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-name", default="sage_trainer", help="as for main_sage")
    parser.add_argument("--full", action="store_true", help="print the whole configuration, verl's defaults as well")
    parser.add_argument("--gpu", choices=GPUS, help="kind of GPU (default: a100, or one with --gpu-memory)")
    parser.add_argument("--gpus", type=at_least(1), help="GPUs of a node (default: trainer.n_gpus_per_node)")
    parser.add_argument("--gpu-memory", type=positive, help="GB of one GPU (default: that of its kind)")
    lengths = parser.add_mutually_exclusive_group()
    lengths.add_argument("--response-tokens", type=at_least(1), help="mean length of a response, in tokens")
    lengths.add_argument("--history", type=Path, help="sage_history.jsonl of a short run: its lengths and failures")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides")
    args = parser.parse_intermixed_args(arguments)

    gpus = [] if args.gpus is None else [f"trainer.n_gpus_per_node={args.gpus}"]
    try:
        config = compose_run(args.config_name, accept(args.config_name, [*args.overrides, *gpus]))
    except ValueError as error:
        raise SystemExit(str(error)) from None
    if args.full:
        print(OmegaConf.to_yaml(config, resolve=False))
    else:
        print("Configuration, as far as the recipe and this run set it (all of it: --full)")
        for key, value in settings_of_run(config, args.overrides):
            print(f"  {key}={value}")
    try:
        sage, report = check_run(config)
        begin = check_resume(config, report.prompt_ids)
    except ValueError as error:
        print(f"This run would be refused: {error}")
        return 1
    print(describe_run(config, sage, report))
    print(begin)
    print(describe_steps(config, sage, report))
    shortages: list[str] = []
    try:
        limit = config.actor_rollout_ref.rollout.response_length
        if args.history:
            habits = Habits.measured((entry.visit for entry in read_history(args.history)), str(args.history))
        else:
            habits = Habits.assumed(limit, args.response_tokens)
    except ValueError as error:
        parser.error(f"--history: {error}")
    try:
        if config.trainer.device == "cpu":
            raise ValueError("the run is one on a CPU (trainer.device)")
        shape = load_shape(config.actor_rollout_ref.model.path)
    except ValueError as error:
        print(f"  memory and time not estimated for {config.actor_rollout_ref.model.path}: {error}")
    else:
        alike = (kind for kind, gpu in GPUS.items() if gpu.gigabytes == args.gpu_memory)
        name = args.gpu or next(alike, "a100")
        gpu = GPUS[name]
        memory, shortages = describe_memory(config, shape, args.gpu_memory or gpu.gigabytes)
        print("\n".join([memory, *(f"    {shortage}" for shortage in shortages)]))
        print(describe_time(config, sage, shape, report, gpu, name, habits))
    for problem in lacking(config):
        print(f"  here   {problem}")
    return int(bool(shortages))


if __name__ == "__main__":
    raise SystemExit(main())
