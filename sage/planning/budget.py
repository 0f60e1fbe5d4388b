"""What a run will take, by arithmetic alone: tokens of a step and memory of a GPU. Estimates, not measurements.

The formulas are those of dense decoder-only transformers with grouped-query attention and a gated MLP, trained with
AdamW in mixed precision, in full or as LoRA. Sizes are bytes unless said otherwise. Hours: `sage.planning.hours`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage.config import SageConfig
from sage.hints.catalogue import load_hint_source
from sage.method.schedule import Outlook, Plan, Schedule
from sage.support.documents import read_json

GB = 10**9
SIZES = {
    "heads": "num_attention_heads",
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "intermediate": "intermediate_size",
    "vocabulary": "vocab_size",
    "max_length": "max_position_embeddings",
}
"""What a ``config.json`` must have: the names of `ModelShape`, and those there."""
LOGIT_COPIES = 3
"""Tensors of (tokens, vocabulary) alive at once: the logits, their softmax or gradient, one temporary."""
ENGINE_RESERVE = 2 * GB
"""Activations of a vLLM engine and its CUDA graphs, kept out of the KV cache."""


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a model that its memory depends on; names as in a Hugging Face ``config.json``."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    """Whether input and output embeddings are one matrix."""
    max_length: int
    """Longest context that the model takes, in tokens."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ModelShape:
        """The shape of a ``config.json``.

        Raises:
            ValueError: a size is missing, or the model is a mixture of experts.
        """
        if config.get("num_experts") or config.get("num_local_experts") or config.get("n_routed_experts"):
            raise ValueError("it is a mixture of experts, for which there is no estimate")
        for name in SIZES.values():
            if type(config.get(name)) is not int or config[name] < 1:
                raise ValueError(f"its config.json has no {name} above 0")
        sizes = {name: config[theirs] for name, theirs in SIZES.items()}
        return cls(
            **sizes,
            kv_heads=config.get("num_key_value_heads") or sizes["heads"],
            head_dim=config.get("head_dim") or sizes["hidden"] // sizes["heads"],
            tied=bool(config.get("tie_word_embeddings", False)),
        )

    def to_config(self) -> dict[str, Any]:
        """The sizes under their names in a ``config.json``, which `from_config` reads."""
        others = {"num_key_value_heads": self.kv_heads, "head_dim": self.head_dim, "tie_word_embeddings": self.tied}
        return {theirs: getattr(self, name) for name, theirs in SIZES.items()} | others

    @property
    def layer_parameters(self) -> int:
        """Weights of one layer, without biases and norms (below 0.01%)."""
        attention = self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads)
        return attention + 3 * self.hidden * self.intermediate

    @property
    def parameters(self) -> int:
        """Weights of the model."""
        return self.layers * self.layer_parameters + (1 if self.tied else 2) * self.vocabulary * self.hidden

    def adapter_parameters(self, rank: int) -> int:
        """Weights of a LoRA adapter of this rank on all linear layers but the output."""
        attention = 4 * self.hidden + 2 * self.head_dim * (self.heads + self.kv_heads)
        return self.layers * rank * (attention + 3 * (self.hidden + self.intermediate))

    @property
    def kv_bytes(self) -> int:
        """Keys and values of one token in bfloat16."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_dim


KNOWN_SHAPES = {
    "Llama-3.2-3B-Instruct": ModelShape(28, 3072, 8192, 24, 8, 128, 128256, True, 131072),
    "Qwen2.5-7B-Instruct": ModelShape(28, 3584, 18944, 28, 4, 128, 152064, False, 32768),
    "Qwen3-4B-Instruct-2507": ModelShape(36, 2560, 9728, 32, 8, 128, 151936, True, 262144),
    "Qwen2.5-1.5B-Instruct": ModelShape(28, 1536, 8960, 12, 2, 128, 151936, True, 32768),
    "Qwen3-1.7B": ModelShape(28, 2048, 6144, 16, 8, 128, 151936, True, 40960),
}
"""The models of the launch scripts, so that nothing has to be downloaded for them."""


def known_shape(model: str) -> ModelShape | None:
    """The shape of a model in a folder or of one of the launch scripts' models; None when neither.

    Raises:
        ValueError: the folder's ``config.json`` is of no use (see `ModelShape.from_config`).
    """
    file = Path(model).expanduser() / "config.json"
    if file.is_file():
        return ModelShape.from_config(read_json(dict[str, Any], file, "download the model again"))
    return KNOWN_SHAPES.get(Path(model).name)


@dataclass(frozen=True)
class Tokens:
    """Upper bounds of one step, in tokens."""

    trained: int
    """Responses that are trained on: one group a prompt."""
    generated: int
    """All responses, when no group but the last solves its prompt."""
    hints: int
    """Answers to hint requests of the policy or the endpoint, with all retries."""


def longest_plan(schedule: Schedule, max_level: int) -> Plan:
    """Levels of a first visit that fails throughout, late in training."""
    return tuple(range(max_level + 1)) if schedule.forecasts else schedule.plan(None, Outlook(progress=1.0, draw=0.999))


def step_tokens(sage: SageConfig, prompts: int, group: int, response_length: int) -> Tokens:
    """The most that one step can generate, from the longest plan of a prompt that has not been visited before.

    Args:
        prompts: of a step.
        group: G.
        response_length: of one rollout, in tokens.
    """
    schedule = sage.make_schedule(group)
    plan = longest_plan(schedule, sage.max_level)
    hinted = max(sum(level > 0 for level in plan), int(schedule.uses_hints))
    first = min(hinted, 1) if sage.hint_request == "json" else hinted  # one answer has all levels
    requests = first + sage.hint_retries if hinted and not load_hint_source(sage.hint_source).verbatim else 0
    return Tokens(
        trained=prompts * group * response_length,
        generated=prompts * sum(schedule.rollouts(level) for level in plan) * response_length,
        hints=prompts * requests * sage.hint_answer_tokens,
    )


@dataclass(frozen=True)
class Layout:
    """How a run spreads over its GPUs."""

    shards: int
    """GPUs that share the training states."""
    gpu_bytes: int
    """Memory of one GPU."""
    megatron: bool
    """Megatron with its distributed optimizer; else FSDP2."""
    model_parallel: int
    """Megatron: tensor x pipeline parallel ranks; 1 with FSDP2."""
    tensor_parallel: int
    """Megatron: tensor parallel ranks; 1 with FSDP2."""
    micro_batch_tokens: int
    """Tokens of a GPU's micro-batch."""
    checkpointing: bool
    """Whether layers are recomputed in the backward pass."""
    parameters_offloaded: bool
    optimizer_offloaded: bool
    engine_parallel: int
    """Tensor parallel ranks of a vLLM engine."""
    engine_share: float
    """Part of a GPU that vLLM takes (``gpu_memory_utilization``)."""
    lora_rank: int = 0
    """Of the adapter that alone is trained; 0 trains all weights. FSDP2 only."""


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU."""

    weights: int
    gradients: int
    optimizer: int
    """fp32 Adam moments; with Megatron the fp32 weights as well."""
    activations: int
    logits: int
    engine: int
    """What vLLM takes during rollouts and gives back for the update."""
    resident: int
    """Training states that stay on the GPU during rollouts."""
    cache_tokens: int
    """Tokens whose keys and values fit into one engine; 0 when not even the weights fit."""

    @property
    def update_peak(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits

    @property
    def rollout_peak(self) -> int:
        return self.resident + self.engine


def estimate_memory(shape: ModelShape, layout: Layout) -> Memory:
    """Memory of one GPU.

    FSDP2 in verl holds fp32 weights and gradients and two fp32 moments, all divided by the number of GPUs; Megatron
    bfloat16 weights and fp32 gradients divided by the model-parallel ranks, and fp32 weights and moments divided by all
    GPUs. With LoRA, gradients and moments are those of the adapter alone. Logits are bfloat16 under FSDP2, fp32 and
    divided by the tensor-parallel ranks under Megatron.
    """
    n = shape.parameters
    if layout.megatron:
        weights, gradients = 2 * n // layout.model_parallel, 4 * n // layout.model_parallel
        optimizer = 12 * n // layout.shards
        gathered, logit_bytes = 0, 4
    else:
        adapter = shape.adapter_parameters(layout.lora_rank)
        trained = adapter if layout.lora_rank else n
        weights, gradients = 4 * (n + adapter) // layout.shards, 4 * trained // layout.shards
        optimizer = 8 * trained // layout.shards
        gathered, logit_bytes = 2 * (2 * shape.layer_parameters + shape.vocabulary * shape.hidden), 2
    tokens = layout.micro_batch_tokens
    # within a layer: residuals and norms, queries, keys, values and attention output, gate, up and their product
    inside = 2 * (6 * shape.hidden + 2 * (shape.heads + shape.kv_heads) * shape.head_dim + 4 * shape.intermediate)
    kept = 2 * shape.hidden if layout.checkpointing else inside
    activations = gathered + tokens * (shape.layers * kept + inside) // layout.tensor_parallel
    resident = (0 if layout.parameters_offloaded else weights + (gradients if layout.megatron else 0)) + (
        0 if layout.optimizer_offloaded else optimizer
    )
    engine = int(layout.engine_share * layout.gpu_bytes)
    cache = layout.engine_parallel * (engine - ENGINE_RESERVE) - 2 * n
    return Memory(
        weights=weights,
        gradients=gradients,
        optimizer=optimizer,
        activations=activations,
        logits=LOGIT_COPIES * logit_bytes * tokens * shape.vocabulary // layout.tensor_parallel,
        engine=engine,
        resident=resident,
        cache_tokens=max(0, cache // shape.kv_bytes),
    )


def checkpoint_bytes(shape: ModelShape, layout: Layout) -> int:
    """Disk that one checkpoint takes: fp32 weights and two moments of what is trained; Megatron's bfloat16 as well."""
    if layout.megatron:
        return 14 * shape.parameters
    adapter = shape.adapter_parameters(layout.lora_rank)
    return 4 * (shape.parameters + adapter) + 8 * (adapter if layout.lora_rank else shape.parameters)


def checkpoints(steps: int, save_freq: int) -> int:
    """How many checkpoints a run writes: one every ``save_freq`` steps and one at the end; none when not positive."""
    return math.ceil(steps / save_freq) if save_freq > 0 else 0
