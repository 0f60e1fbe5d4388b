"""What each value of verl's configuration may be, as far as a run of the recipe depends on it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len, MinLen
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from sage.support.values import Count, NotNegative, PartOfOne, Positive, Share, Whole, flat, why_not

PREFIXES = ("actor", "rollout", "model")
"""Parts of ``actor_rollout_ref``, which is left out below."""
AllOr = Annotated[Literal[-1] | Count, "-1 takes all"]
NeverOr = Annotated[int, Ge(-1), "-1 is never"]
Aggregation = Literal["token-mean", "token-sum", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"]
Saved = list[Literal["model", "optimizer", "extra", "hf_model"]]
Precision = Literal["fp32", "float32", "fp16", "float16", "bf16", "bfloat16"]
Penalty = Literal[
    "kl", "k1", "abs", "mse", "k2", "low_var_kl", "k3", "kl+", "k1+", "abs+", "mse+", "k2+", "low_var_kl+", "k3+"
]  # fmt: skip
LoadFormat = Literal[
    "dummy", "auto", "safetensors", "hf", "pt", "npcache", "bitsandbytes", "fastsafetensors", "instanttensor",
    "mistral", "modelexpress", "runai_streamer", "runai_streamer_sharded", "sharded_state", "tensorizer"
]  # fmt: skip
Trainer = Annotated[Literal["sage_sync", "sage_colocate_async", "sage_separate_async"], "others know no hints"]

VALUES: dict[str, Any] = {
    "data.train_batch_size": Count,
    "data.gen_batch_size": Count | None,
    "data.val_batch_size": Count | None,
    "data.train_max_samples": AllOr,
    "data.val_max_samples": AllOr,
    "data.max_prompt_length": Count,
    "data.max_response_length": Count,
    "data.seed": int | None,
    "data.dataloader_num_workers": Whole,
    "data.filter_overlong_prompts_workers": Count | None,
    "data.prompt_key": Annotated[Literal["prompt"], "the column of the data format"],
    "data.reward_fn_key": Annotated[Literal["data_source"], "the column of the data format"],
    "data.truncation": Literal["error", "left", "right", "middle"],
    "actor.strategy": Literal["fsdp", "fsdp2", "megatron", "veomni", "torchtitan", "automodel"],
    "actor.ppo_mini_batch_size": Count,
    "actor.ppo_micro_batch_size_per_gpu": Count | None,
    "actor.ppo_max_token_len_per_gpu": Count,
    "actor.ppo_epochs": Count,
    "actor.data_loader_seed": int | None,
    "actor.clip_ratio": Positive,
    "actor.clip_ratio_low": Positive,
    "actor.clip_ratio_high": Positive,
    "actor.clip_ratio_c": Annotated[float, Gt(1)],
    "actor.loss_agg_mode": Aggregation,
    "actor.loss_scale_factor": Positive | None,
    "actor.entropy_coeff": float,
    "actor.kl_loss_coef": NotNegative,
    "actor.kl_loss_type": Penalty,
    "actor.checkpoint.save_contents": Saved,
    "actor.checkpoint.load_contents": Saved,
    "actor.fsdp_config.model_dtype": Precision,
    "actor.fsdp_config.dtype": Precision,
    "actor.fsdp_config.mixed_precision.param_dtype": Precision,
    "actor.fsdp_config.mixed_precision.reduce_dtype": Precision,
    "actor.fsdp_config.mixed_precision.buffer_dtype": Precision,
    "actor.grad_clip": Positive,
    "actor.ulysses_sequence_parallel_size": Count,
    "actor.optim.lr": Annotated[float, Gt(0), Le(1), "with 0 nothing is learned"],
    "actor.optim.lr_warmup_steps_ratio": Share,
    "actor.optim.lr_warmup_steps": Annotated[int, Ge(-1)] | None,
    "actor.optim.min_lr_ratio": Share | None,
    "actor.optim.weight_decay": NotNegative,
    "actor.optim.clip_grad": Positive,
    "actor.optim.betas": Annotated[list[Share], Len(2, 2), "two of them"],
    "actor.optim.lr_scheduler_type": Literal["constant", "cosine"],
    "actor.megatron.tensor_model_parallel_size": Count,
    "actor.megatron.pipeline_model_parallel_size": Count,
    "actor.megatron.context_parallel_size": Count,
    "rollout.n": Count,
    "rollout.temperature": Annotated[float, Gt(0), "at 0 the rollouts of a group are all the same"],
    "rollout.top_p": PartOfOne,
    "rollout.top_k": Annotated[int, Ge(-1), "-1 takes every token"],
    "rollout.repetition_penalty": Positive,
    "rollout.seed": int,
    "rollout.dtype": Literal["auto", "half", "float16", "bfloat16", "float", "float32"],
    "rollout.load_format": LoadFormat,
    "rollout.mode": Literal["async"],
    "rollout.scheduling_policy": Literal["fcfs", "priority"],
    "rollout.gpu_memory_utilization": PartOfOne,
    "rollout.tensor_model_parallel_size": Count,
    "rollout.data_parallel_size": Count,
    "rollout.nnodes": Whole,
    "rollout.n_gpus_per_node": Whole,
    "rollout.max_model_len": Count | None,
    "rollout.max_num_batched_tokens": Count,
    "rollout.max_num_seqs": Count,
    "rollout.log_prob_max_token_len_per_gpu": Count,
    "rollout.log_prob_micro_batch_size_per_gpu": Count | None,
    "rollout.agent.num_workers": Count,
    "rollout.checkpoint_engine.update_weights_bucket_megabytes": Count,
    "rollout.val_kwargs.n": Count,
    "rollout.val_kwargs.temperature": NotNegative,
    "rollout.val_kwargs.top_p": PartOfOne,
    "rollout.val_kwargs.top_k": Annotated[int, Ge(-1), "-1 takes every token"],
    "model.path": Annotated[str, MinLen(1), "a folder or a name on the hub"],
    "model.lora_rank": Annotated[int, Ge(0), Le(512), "vLLM takes no larger adapter"],
    "model.lora_alpha": Positive,
    "reward.num_workers": Count,
    "algorithm.gamma": Share,
    "algorithm.lam": Share,
    "algorithm.kl_ctrl.kl_coef": NotNegative,
    "algorithm.filter_groups.max_inflight_gen_batches": Count,
    "trainer.nnodes": Count,
    "trainer.n_gpus_per_node": Count,
    "trainer.total_epochs": Count,
    "trainer.total_training_steps": Count | None,
    "trainer.save_freq": NeverOr,
    "trainer.test_freq": NeverOr,
    "trainer.log_val_generations": Whole,
    "trainer.max_actor_ckpt_to_keep": Count | None,
    "trainer.critic_warmup": Whole,
    "trainer.resume_mode": Literal["auto", "disable", "resume_path"],
    "trainer.resume_from_path": str | None,
    "trainer.default_local_dir": Annotated[str, MinLen(1), "a folder"],
    "trainer.logger": str | list[str],
    "trainer.v1.trainer_mode": Trainer,
    "trainer.v1.separate_async.parameter_sync_step": Count,
}


def full(key: str) -> str:
    """A key as verl has it."""
    return f"actor_rollout_ref.{key}" if key.partition(".")[0] in PREFIXES else key


def missing_keys(config: DictConfig) -> list[str]:
    """Blocks and keys that verl reads and that overrides have taken away, a sentence each."""
    whole, found = OmegaConf.to_container(config), {}
    for name, default in verl_defaults(str(config.get("model_engine"))).items():
        value: Any = whole
        above = ""
        for part in name.split("."):
            if not isinstance(value, Mapping):
                found[above] = f"{above}={value} must be a block of keys: leave it as verl has it"
                break
            above = f"{above}.{part}".lstrip(".")
            if part not in value:
                found[above] = f"{above} is missing, which verl reads: leave it as verl has it"
                break
            value = value[part]
        else:
            if isinstance(default, Mapping) and not isinstance(value, Mapping | None):
                found[name] = f"{name}={value} must be a block of keys: leave it as verl has it"
    return list(found.values())


def wrong_values(config: DictConfig) -> dict[str, str]:
    """Each key whose value is of the wrong type or out of range, with a sentence."""
    found = {}
    for key in map(str, VALUES):
        name = full(key)
        if not _is_stated(config, name):
            continue
        value = OmegaConf.select(config, name)
        if why := why_not(VALUES[key], OmegaConf.to_object(value) if OmegaConf.is_config(value) else value):
            found[name] = f"{name}={value} {why}"
    defaults = verl_defaults(str(config.model_engine))
    for name, value in flat(OmegaConf.to_container(config)):
        kind = type(defaults.get(name))
        wants = {bool: bool, int: float, float: float}.get(kind)
        if wants and name not in found and not isinstance(value, kind):  # most values are verl's own
            value = OmegaConf.select(config, name)
            if value is not None and (why := why_not(wants, value)):
                found[name] = f"{name}={value} {why}"
    return found


def _is_stated(config: DictConfig, name: str) -> bool:
    """Whether a key is there, and no copy of another one, which is at fault itself."""
    path, _, key = name.rpartition(".")
    block = OmegaConf.select(config, path)
    return block is not None and key in block and not OmegaConf.is_interpolation(block, key)


@cache
def verl_defaults(model_engine: str) -> dict[str, Any]:
    """verl's own configuration, flat; interpolations as they are written."""
    running = GlobalHydra.instance().hydra  # that of hydra.main
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("verl.trainer.config", version_base=None):
            return dict(flat(OmegaConf.to_container(compose("ppo_trainer", [f"model_engine={model_engine}"]))))
    finally:
        GlobalHydra.instance().hydra = running
