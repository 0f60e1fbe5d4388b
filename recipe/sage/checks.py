"""Values of verl's configuration against each other, the model and the machine (called by `check_run` in settings.py).

Each raises ValueError with the key and what to change.
"""

from __future__ import annotations

import importlib.util
import netrc
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlparse

import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import DictConfig

from sage.hints.sources import Endpoint, kind_of
from sage.planning.budget import known_shape


def model_length(config: DictConfig) -> int:
    """Longest prompt and response together, in tokens."""
    rollout = config.actor_rollout_ref.rollout
    return rollout.max_model_len or rollout.prompt_length + rollout.response_length


def rollout_gpus(config: DictConfig) -> tuple[int, str]:
    """GPUs on which vLLM runs, and the keys that say so."""
    trainer, rollout = config.trainer, config.actor_rollout_ref.rollout
    if config.actor_rollout_ref.hybrid_engine:
        keys = f"trainer.nnodes={trainer.nnodes} x trainer.n_gpus_per_node={trainer.n_gpus_per_node}"
        return trainer.nnodes * trainer.n_gpus_per_node, keys
    prefix = "actor_rollout_ref.rollout"
    keys = f"{prefix}.nnodes={rollout.nnodes} x {prefix}.n_gpus_per_node={rollout.n_gpus_per_node}"
    return rollout.nnodes * rollout.n_gpus_per_node, keys


def model_parallel(config: DictConfig) -> tuple[int, int]:
    """GPUs that share the training of a row, and among how many of them its tokens are divided."""
    actor = config.actor_rollout_ref.actor
    if actor.strategy != "megatron":
        return (actor.get("ulysses_sequence_parallel_size", 1),) * 2
    tensor, context = actor.megatron.tensor_model_parallel_size, actor.megatron.context_parallel_size
    return tensor * actor.megatron.pipeline_model_parallel_size * context, context


def check_names(config: DictConfig) -> None:
    """Names that verl would look up only after the models are loaded."""
    from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, POLICY_LOSS_REGISTRY
    from verl.utils.import_utils import import_external_libs

    import_external_libs(config.actor_rollout_ref.model.external_lib)  # registers ours
    estimator, loss = config.algorithm.adv_estimator, config.actor_rollout_ref.actor.policy_loss.loss_mode
    if estimator == "gae":
        raise ValueError("algorithm.adv_estimator=gae has no groups: use sage (Eq. 2) or grpo")
    for key, name, known in (
        ("algorithm.adv_estimator", estimator, ADV_ESTIMATOR_REGISTRY),
        ("actor_rollout_ref.actor.policy_loss.loss_mode", loss, POLICY_LOSS_REGISTRY),
    ):
        if name not in known:
            raise ValueError(f"{key}={name} is unknown: use one of {', '.join(sorted(map(str, known)))}")
    strategy, engine = config.actor_rollout_ref.actor.strategy, config.model_engine
    if (strategy == "megatron") != (engine == "megatron"):
        raise ValueError(
            f"actor_rollout_ref.actor.strategy={strategy} does not go with model_engine={engine}: choose Megatron by "
            "model_engine=megatron alone (ENGINE=megatron in the launch scripts)"
        )


def check_supported(config: DictConfig) -> None:
    """Choices of verl's that the recipe cannot honour."""
    model = config.reward.reward_model
    engine, warmup = config.actor_rollout_ref.rollout.name, config.trainer.critic_warmup
    if engine != "vllm":
        raise ValueError(f"actor_rollout_ref.rollout.name={engine}: hint requests are written for vLLM, use vllm")
    if model.enable and not model.enable_resource_pool:
        raise ValueError(
            "reward.reward_model.enable=true: verl would score a rollout only after its visit, set "
            "reward.reward_model.enable_resource_pool=true"
        )
    if warmup > 0:
        raise ValueError(
            f"trainer.critic_warmup={warmup}: the actor would wait for a critic that is not there, set it to 0"
        )


def check_model(config: DictConfig) -> None:
    """The model's path, and its sizes where they can be known without a download."""
    path, rollout = str(config.actor_rollout_ref.model.path), config.actor_rollout_ref.rollout
    if path.startswith(("/", "./", "../", "~")) and not Path(path).expanduser().is_dir():
        raise ValueError(f"actor_rollout_ref.model.path={path} does not exist: give a folder or a name on the hub")
    try:
        shape = known_shape(path)
    except ValueError:
        return  # a kind of model that we cannot measure
    if shape is None:
        return
    parallel = {"actor_rollout_ref.rollout.tensor_model_parallel_size": rollout.tensor_model_parallel_size}
    if config.model_engine == "megatron":
        key = "actor_rollout_ref.actor.megatron.tensor_model_parallel_size"
        parallel[key] = config.actor_rollout_ref.actor.megatron.tensor_model_parallel_size
    for key, size in parallel.items():
        if shape.heads % size:
            raise ValueError(f"{key}={size} must divide the {shape.heads} attention heads of {path}")
    if config.trainer.device == "cpu":  # on GPUs verl sends a tensor that exceeds the bucket by itself
        key = "actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes"
        bucket, largest = rollout.checkpoint_engine.update_weights_bucket_megabytes, shape.vocabulary * shape.hidden * 4
        if largest > bucket << 20:
            raise ValueError(
                f"{key}={bucket} cannot hold the embedding of {path}, {largest / (1 << 20):.0f} MB: set it to at least "
                f"{-(-largest >> 20)}"
            )
    if model_length(config) > shape.max_length:
        raise ValueError(
            f"prompts and responses of {model_length(config)} tokens exceed the {shape.max_length} that {path} takes: "
            "lower data.max_response_length, data.max_prompt_length or actor_rollout_ref.rollout.max_model_len"
        )


def check_sizes(config: DictConfig) -> None:
    """Batches, lengths and GPUs against each other."""
    data, trainer = config.data, config.trainer
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    if data.train_batch_size % actor.ppo_mini_batch_size:
        raise ValueError(
            f"actor_rollout_ref.actor.ppo_mini_batch_size={actor.ppo_mini_batch_size} must "
            f"divide data.train_batch_size={data.train_batch_size}; both count prompts, not rollouts"
        )
    gpus = trainer.n_gpus_per_node * trainer.nnodes
    where = f"{gpus} GPUs of trainer.nnodes={trainer.nnodes} x trainer.n_gpus_per_node={trainer.n_gpus_per_node}"
    if gpus < 1:
        raise ValueError(f"there are no GPUs in the {where}: set both to at least 1")
    engine_gpus, keys = rollout_gpus(config)
    if engine_gpus < 1 or engine_gpus % rollout.tensor_model_parallel_size:
        raise ValueError(
            f"actor_rollout_ref.rollout.tensor_model_parallel_size={rollout.tensor_model_parallel_size} must divide "
            f"the {engine_gpus} GPUs of {keys}"
        )
    shared, divided = model_parallel(config)
    if gpus % shared:
        keys = "tensor, pipeline and context" if actor.strategy == "megatron" else "ulysses_sequence"
        raise ValueError(
            f"the {keys} parallel sizes of actor_rollout_ref.actor, {shared} GPUs, must divide the {where}"
        )
    ranks, rows = gpus // shared, actor.ppo_mini_batch_size * rollout.n
    if rows % ranks:
        raise ValueError(
            f"a mini-batch of {rows} rollouts (actor_rollout_ref.actor.ppo_mini_batch_size={actor.ppo_mini_batch_size} "
            f"x actor_rollout_ref.rollout.n={rollout.n}) cannot be shared by {ranks} data-parallel ranks: make it a "
            "multiple of them"
        )
    longest = rollout.prompt_length + rollout.response_length
    if rollout.max_model_len and rollout.max_model_len < longest:
        raise ValueError(
            f"actor_rollout_ref.rollout.max_model_len={rollout.max_model_len} cuts responses off, since "
            f"data.max_prompt_length={rollout.prompt_length} + data.max_response_length={rollout.response_length} = "
            f"{longest}: raise actor_rollout_ref.rollout.max_model_len, or lower one of them"
        )
    limits = {
        "actor_rollout_ref.actor.ppo_max_token_len_per_gpu": (actor.use_dynamic_bsz, actor.ppo_max_token_len_per_gpu),
        "actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu": (
            rollout.log_prob_use_dynamic_bsz,
            rollout.log_prob_max_token_len_per_gpu,
        ),
    }
    for key, (used, limit) in limits.items():
        if used and limit * divided < longest:
            raise ValueError(
                f"{key}={limit} is shorter than the longest row of {longest} tokens (data.max_prompt_length + "
                f"data.max_response_length): set it to at least {-(-longest // divided)}"
            )


def check_validation_files(files: Iterable[str]) -> None:
    """That verl will find prompts and answers in them."""
    for file in files:
        if not Path(file).is_file():
            raise ValueError(f"data.val_files: {file} does not exist; give the path of the validation file")
        try:
            names = pq.read_schema(file).names
        except pa.ArrowInvalid as error:
            raise ValueError(f"data.val_files: {file} is not a Parquet file ({error})") from error
        for column in ("prompt", "reward_model", "data_source"):
            if column not in names:
                raise ValueError(f"data.val_files: {file} has no column {column!r}, only {', '.join(names)}")


def check_prompt_lengths(config: DictConfig, files: Iterable[str]) -> None:
    """That every prompt fits; verl would cut one that does not on its left, where the problem begins.

    With ``data.filter_overlong_prompts=true`` verl leaves such rows out and says how many; this is then not asked.
    """
    if config.data.filter_overlong_prompts:
        return
    from verl.utils import hf_tokenizer

    from recipe.sage.encoding import encode_messages

    tokenizer, options = hf_tokenizer(config.actor_rollout_ref.model.path), config.data.apply_chat_template_kwargs or {}
    limit = config.actor_rollout_ref.rollout.prompt_length
    for file in files:
        rows = pq.read_table(file, columns=["prompt"])["prompt"].to_pylist()
        lengths = [len(encode_messages(tokenizer, prompt, options)) for prompt in rows]
        over = [row for row, length in enumerate(lengths) if length > limit]
        if over:
            raise ValueError(
                f"{file}: {len(over)} prompts are longer than data.max_prompt_length={limit} tokens, the first in row "
                f"{over[0]} with {lengths[over[0]]}: set data.filter_overlong_prompts=true to leave them out, or raise "
                "the limit"
            )


def check_machine(config: DictConfig, environ: Mapping[str, str]) -> list[str]:
    """What this machine lacks for the run, each with what to do; a configuration may still be right for another one."""
    trainer, problems = config.trainer, []
    if config.model_engine == "megatron" and importlib.util.find_spec("megatron") is None:
        problems.append(
            "model_engine=megatron, but megatron is not installed: see docs/reproduce.md, or use ENGINE=fsdp"
        )
    if "wandb" in trainer.logger and not _logged_in_to_wandb(environ):
        problems.append(
            "trainer.logger has wandb, but there is no login: run wandb login, set WANDB_API_KEY or "
            "WANDB_MODE=offline, or leave wandb out of trainer.logger (LOGGER)"
        )
    sage = config.sage
    if kind_of(sage.hint_source) == "endpoint":
        reason = Endpoint(sage.hint_source).why_not(sage.hint_temperature, sage.hint_top_p)
        if reason:
            problems.append(f"sage.hint_source={sage.hint_source} gives no hints, by a trial request: {reason}")
    if environ.get("RAY_ADDRESS"):
        own = [key for key in ("num_cpus", "num_gpus", "object_store_memory") if config.ray_kwargs.ray_init.get(key)]
        if own:
            keys = ", ".join(f"ray_kwargs.ray_init.{key}" for key in own)
            problems.append(f"RAY_ADDRESS names a running Ray cluster, whose resources are fixed: set {keys} to null")
    elif trainer.nnodes > 1:
        problems.append(
            f"trainer.nnodes={trainer.nnodes} needs a running Ray cluster: start it (ray start), and set RAY_ADDRESS "
            "(auto on its head node)"
        )
    elif trainer.device == "cuda":
        import torch

        if (found := torch.cuda.device_count()) < trainer.n_gpus_per_node:
            problems.append(
                f"trainer.n_gpus_per_node={trainer.n_gpus_per_node}, but this machine has {found} GPUs: set N_GPUS"
            )
    return problems


def _logged_in_to_wandb(environ: Mapping[str, str]) -> bool:
    if environ.get("WANDB_API_KEY") or environ.get("WANDB_MODE") in ("offline", "disabled"):
        return True
    host = urlparse(environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname
    file = Path(environ.get("NETRC") or Path(environ.get("HOME", "~")).expanduser() / ".netrc")
    try:
        return host in netrc.netrc(file).hosts
    except (OSError, netrc.NetrcParseError):
        return False
