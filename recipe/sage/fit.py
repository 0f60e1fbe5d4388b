"""``python -m recipe.sage.fit 24g OVERRIDES -- GIVEN``: what of a run depends on the sizes of its model and its GPUs.

Prints the overrides, one a line, with which the run fits by the estimate of `sage.planning.budget`, and says them on
stderr; ``gpu=24g`` and ``gpu=auto`` make a launch script call this. Of what fits it takes the fastest: all weights
before LoRA, nothing offloaded, few GPUs an engine, much memory for the cache, two of the longest rows a micro-batch.
The keys of GIVEN stay as they are. ``auto`` is the memory of the GPU here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from omegaconf import DictConfig, OmegaConf

from recipe.sage.dry_run import TRY_LORA, compose_run, layout, load_shape
from recipe.sage.preflight.rules import Run
from recipe.sage.preflight.values import full
from sage.planning.budget import GB, ModelShape, estimate_memory

SPARE = 0.92
"""Part of a GPU that the estimate may fill: it leaves out fragmentation and what vLLM keeps while it sleeps."""
SHARES = (0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
"""Of a GPU, for vLLM."""
ROWS = (2, 1)
"""Of the longest rows, in a micro-batch."""
CACHED = 8
"""Longest rows that an engine's cache should hold."""
FULL_GPU = 80
"""GB where no GPU is here and none is named."""
LORA = {"model.lora_rank": TRY_LORA, "model.lora_alpha": TRY_LORA, "actor.optim.lr": 1e-5}
"""An adapter takes a learning rate ten times as high."""


def gigabytes(text: str) -> tuple[float, str]:
    """Memory of a GPU, and where it is known from.

    Raises:
        ValueError: the text is neither such as 24g nor auto.
    """
    if text == "auto":
        import torch

        if torch.cuda.is_available():
            return torch.cuda.get_device_properties(0).total_memory / GB, "as here"
        return FULL_GPU, "assumed, gpu=24g names others"
    number = text.removesuffix("g")
    if not number.isdigit() or not int(number):
        raise ValueError(f"gpu={text} must be the memory of a GPU in GB, such as gpu=24g, or auto")
    return int(number), "as named"


def candidates(config: DictConfig, shape: ModelShape) -> Iterator[dict[str, Any]]:
    """Settings that may fit, the fastest first."""
    run = Run(config)
    megatron = run["actor.strategy"] == "megatron"
    engine = "megatron" if megatron else "fsdp_config"
    parallel = [n for n in (1, 2, 4, 8) if shape.heads % n == run["trainer.n_gpus_per_node"] % n == 0]
    sharded = parallel if megatron else [1]
    loras: list[Mapping[str, Any]] = [{}] if megatron or run["model.lora_rank"] else [{}, LORA]
    for lora, offload, tensor, vllm, share, rows in product(loras, (False, True), sharded, parallel, SHARES, ROWS):
        yield {
            **lora,
            f"actor.{engine}.param_offload": offload,
            f"actor.{engine}.optimizer_offload": offload,
            **({"actor.megatron.tensor_model_parallel_size": tensor} if megatron else {}),
            "rollout.tensor_model_parallel_size": vllm,
            "rollout.gpu_memory_utilization": share,
            "actor.ppo_max_token_len_per_gpu": rows * run.needed,
        }


def choose(config: DictConfig, shape: ModelShape, gpu_bytes: int, given: set[str]) -> dict[str, Any] | None:
    """The first of the `candidates` that fits, without the keys that are given; None where none does."""
    for candidate in candidates(config, shape):
        chosen = {full(key): value for key, value in candidate.items() if full(key) not in given}
        for key, value in chosen.items():
            OmegaConf.update(config, key, value)
        memory = estimate_memory(shape, layout(config, gpu_bytes))
        enough = memory.cache_tokens >= CACHED * Run(config).longest
        if enough and max(memory.update_peak, memory.rollout_peak) <= SPARE * gpu_bytes:
            return chosen
    return None


def shorten(config: DictConfig, shape: ModelShape, given: set[str]) -> dict[str, Any]:
    """Lengths for a model that takes fewer tokens than prompt and response have."""
    data, keys = config.data, ("data.max_response_length", "actor_rollout_ref.rollout.max_model_len")
    left = shape.max_length - data.max_prompt_length
    if data.max_prompt_length + data.max_response_length <= shape.max_length or left < 1 or given & set(keys):
        return {}
    chosen = dict(zip(keys, (left, shape.max_length), strict=True))
    for key, value in chosen.items():
        OmegaConf.update(config, key, value)
    return chosen


def main(arguments: list[str]) -> int:
    size, *rest = arguments
    cut = rest.index("--")
    overrides, given = rest[:cut], rest[cut + 1 :]
    stated = {argument.lstrip("+").partition("=")[0] for argument in given}
    try:
        memory, known = gigabytes(size)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    config = compose_run("sage_trainer", [o for o in overrides if o[0] == "~" or (o[0] != "-" and "=" in o)])
    model, run = str(config.actor_rollout_ref.model.path), Run(config)
    where = f"{model} on {run.gpus} GPU{'s' * (run.gpus > 1)} of {memory:.0f} GB ({known})"
    try:
        shape = load_shape(model)
    except ValueError as error:
        print(f"nothing is chosen for {where}: {error}", file=sys.stderr)
        return 0
    chosen = shorten(config, shape, stated)
    fitting = choose(config, shape, int(memory * GB), stated)
    if fitting is None:
        print(f"nothing fits {where}: DRY_RUN=1 says what is too much", file=sys.stderr)
    chosen |= fitting or {}
    print(f"chosen for {where}:", *(f"  {key}={value}" for key, value in chosen.items()), sep="\n", file=sys.stderr)
    print("".join(f"{key}={value}\n" for key, value in chosen.items()), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
