"""What verl opens first, opened before Ray: data, reward function, its own configuration classes, model, chat template.

Whatever goes wrong there is a ValueError of one line that names key or file.
"""

from __future__ import annotations

import asyncio
import copy
import importlib
import inspect
from collections.abc import Collection, Sequence
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from peft import LoraConfig, get_peft_model
from verl.trainer.ppo.reward import get_custom_reward_fn, resolve_reward_manager_cls
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import omega_conf_to_dataclass, validate_config
from verl.utils.dataset.rl_dataset import get_dataset_class
from verl.utils.import_utils import import_external_libs
from verl.utils.model import get_hf_auto_model_class
from verl.utils.py_functional import convert_to_regular_types
from verl.utils.reward_score import get_default_compute_score

from recipe.sage.encoding import encode_messages, rollout_options
from sage.config import SageConfig
from sage.data.training import DataReport, check_training_files, check_validation_file
from sage.method.schedule import Fixed
from sage.support.engine import RESERVED
from sage.support.model import find_model, unused_options
from sage.support.plugins import foreign

WRONG_ANSWER = "I do not know."
"""A response on which the reward function is tried; what it gives does not matter, its keys do."""
OWN_KEYS = ("naive", "dapo")
"""verl's reward managers that hand on what the reward function returns."""


def register(config: DictConfig) -> None:
    """Import what registers our estimator and losses, as verl's workers do."""
    name = config.actor_rollout_ref.model.external_lib
    with foreign(f"actor_rollout_ref.model.external_lib={name} cannot be imported"):
        import_external_libs(name)


def data_files(config: DictConfig, key: str) -> list[str]:
    """``data.train_files`` or ``data.val_files``, which may be one path or several."""
    value = config.data[key]
    files = [str(file) for file in value] if isinstance(value, ListConfig) else [str(value)] if value else []
    if not files:
        raise ValueError(f"data.{key} names no file: give the path of a Parquet file, or [a.parquet,b.parquet]")
    for file in files:
        if file.startswith("~"):
            raise ValueError(f"data.{key}: {file} begins with ~, which verl does not expand: write the whole path")
    return files


def open_training_data(config: DictConfig, sage: SageConfig) -> DataReport:
    """Check the training files, and that hints and steps are there for them.

    Raises:
        ValueError: one is at fault, or does not suffice.
    """
    files = data_files(config, "train_files")
    report = check_training_files(files, sage.needs_solutions)
    _check_types("train_files", files)
    if report.rows > config.data.train_max_samples > 0:
        report = replace(report, rows=config.data.train_max_samples)
    check_steps(config, report.rows)
    report = replace(report, hinted=_hinted(sage, report.prompt_ids))
    if report.hinted and not any(report.hinted.values()):
        levels = ", ".join(map(str, report.hinted))
        raise ValueError(
            f"sage.hint_source={sage.hint_source} has no hint of level {levels} for any prompt id of {', '.join(files)}"
        )
    return report


def open_validation_data(config: DictConfig) -> None:
    """Check that verl will find prompts and answers in the validation files.

    Raises:
        ValueError: one is at fault.
    """
    files = data_files(config, "val_files")
    for file in files:
        try:
            check_validation_file(file)
        except ValueError as error:
            raise ValueError(f"data.val_files: {error}") from error
    _check_types("val_files", files)


def _check_types(key: str, files: Sequence[str]) -> None:
    """That verl can put several files into one table."""
    heads = []
    for file in files:
        with foreign(f"data.{key}: {file} is damaged in a column that verl reads"):
            heads.append(datasets.Dataset(pa.table(next(pq.ParquetFile(file).iter_batches(1)))))
    for file, head in zip(files[1:], heads[1:], strict=True):
        with foreign(f"data.{key}: {file} cannot be put behind {files[0]}, since their columns are of different types"):
            datasets.concatenate_datasets([heads[0], head])


def _hinted(sage: SageConfig, prompt_ids: Collection[str]) -> dict[int, int]:
    """`DataReport.hinted` of these prompts."""
    hints = sage.open_hint_source()
    if hints is None:
        return {}
    schedule = sage.make_schedule()
    levels = (schedule.level,) if isinstance(schedule, Fixed) else range(1, sage.max_level + 1)
    covered = {level: hints.covered(prompt_ids, level) for level in levels}
    return {level: count for level, count in covered.items() if count is not None}


def check_steps(config: DictConfig, rows: int, of: str = "training rows") -> None:
    """Assert that the rows suffice for a batch, and for the steps that are asked for.

    Raises:
        ValueError: they do not.
    """
    batch = config.data.train_batch_size
    epochs, steps = config.trainer.total_epochs, config.trainer.total_training_steps
    if rows < batch:
        raise ValueError(f"data.train_batch_size={batch} exceeds the {rows} {of}: lower it")
    if steps is not None and steps > (available := rows // batch * epochs):
        raise ValueError(
            f"trainer.total_training_steps={steps} but {rows} {of} in batches of {batch} give only {available} steps "
            f"in trainer.total_epochs={epochs}: raise total_epochs"
        )


def open_configuration(config: DictConfig) -> None:
    """Make verl's configuration objects and run its own checks.

    Raises:
        ValueError: verl refuses one.
    """
    for part in ("actor", "rollout"):
        with foreign(f"actor_rollout_ref.{part}: verl refuses it"):
            omega_conf_to_dataclass(config.actor_rollout_ref[part])
    optimizer = config.actor_rollout_ref.actor.optim
    if optimizer.get("optimizer_impl"):
        with foreign(f"actor_rollout_ref.actor.optim.optimizer={optimizer.optimizer} cannot be imported"):
            getattr(importlib.import_module(optimizer.optimizer_impl), optimizer.optimizer)
    with foreign(f"data.custom_cls.path={config.data.custom_cls.path} cannot be loaded"):
        get_dataset_class(config.data)
    checked = copy.deepcopy(config)
    checked.actor_rollout_ref.model.lora_rank = 0  # verl would import vLLM for the bound of `VALUES`
    with foreign("verl refuses the configuration"):
        validate_config(checked, need_reference_policy(config), need_critic(config))


def open_reward(config: DictConfig, sage: SageConfig, file: str) -> None:
    """Load the reward function as verl does, and call it once, for a wrong answer to the first row of a file.

    Raises:
        ValueError: it is not there, raises, or lacks a key that is needed.
    """
    function, manager = config.reward.custom_reward_function, config.reward.reward_manager
    key = f"reward.custom_reward_function.path={function.path}"
    with foreign(f"reward.reward_manager.name={manager.name}"):
        resolve_reward_manager_cls(config)
    with foreign(f"{key}, name={function.name} cannot be loaded"):
        score = get_custom_reward_fn(config) or get_default_compute_score(manager.name)
    if config.reward.reward_model.enable or manager.source != "register" or manager.name not in OWN_KEYS:
        return
    row = next(pq.ParquetFile(file).iter_batches(1)).to_pylist()[0]
    inputs = {
        "data_source": row["data_source"],
        "solution_str": WRONG_ANSWER,
        "ground_truth": row["reward_model"]["ground_truth"],
        "extra_info": {**(row.get("extra_info") or {}), "num_turns": None, "rollout_reward_scores": {}},
    }
    with foreign(f"{key} fails for a wrong answer to row 0 of {file}"):
        result = score(**inputs)
        if inspect.isawaitable(result):
            result = asyncio.run(_result_of(result))
    given = dict(result) if isinstance(result, dict) else {"score": result, "acc": result}
    needed = {"score": "the reward", sage.solved_key: "sage.solved_key"}
    if config.algorithm.filter_groups.enable and config.algorithm.filter_groups.metric != "reward":
        needed.setdefault(config.algorithm.filter_groups.metric, "algorithm.filter_groups.metric")
    for name, what in needed.items():
        if name not in given:
            raise ValueError(
                f"{key} returns no key {name!r} ({what}), only {', '.join(map(repr, given))}: add or name it"
            )
        if not isinstance(given[name], Real):
            raise ValueError(f"{key} returns {name}={given[name]!r} ({what}), which is no number")


async def _result_of(awaitable: Any) -> Any:
    return await awaitable


def open_model(config: DictConfig) -> Any:
    """The tokenizer, from what verl loads of a model before its weights.

    Raises:
        ValueError: there is no such model, it is not complete, or it has no chat template.
    """
    path = str(config.actor_rollout_ref.model.path)
    key = f"actor_rollout_ref.model.path={path}"
    if "://" not in path:
        try:
            find_model(path)
        except ValueError as error:
            raise ValueError(f"actor_rollout_ref.model.path: {error}") from error
    with foreign(f"{key} cannot be opened"):
        model = omega_conf_to_dataclass(config.actor_rollout_ref.model)
    tokenizer = model.tokenizer
    with foreign(f"{key} has no chat template (use a chat model, or set actor_rollout_ref.model.custom_chat_template)"):
        tokenizer.get_chat_template()
    _check_switches(config, tokenizer, path)
    if config.actor_rollout_ref.actor.strategy != "megatron":
        _build_model(config, model)
    return tokenizer


def _build_model(config: DictConfig, model: Any) -> None:
    """Make the model without weights or memory, which shows whether its configuration can be followed.

    Raises:
        ValueError: transformers refuses it, such as an attention that it does not know or that is not installed, or
            peft refuses the adapter.
    """
    overrides = ", ".join(f"{key}={value}" for key, value in model.override_config.items())
    given = f"actor_rollout_ref.model.override_config ({overrides})"
    kind = get_hf_auto_model_class(model.hf_config)
    with foreign(f"actor_rollout_ref.model.path={model.path} cannot be made with {given}"), torch.device("meta"):
        try:
            made = kind.from_config(copy.deepcopy(model.hf_config), trust_remote_code=model.trust_remote_code)
        except ImportError:
            if config.trainer.device == "cpu" or torch.cuda.is_available():  # else the workers' machine may have it
                raise
            return
    if adapter := model.lora_adapter_path:
        if "://" not in adapter and not Path(adapter, "adapter_config.json").is_file():
            raise ValueError(f"actor_rollout_ref.model.lora_adapter_path={adapter} has no adapter_config.json of peft")
    elif model.lora_rank:
        names = ("target_modules", "target_parameters", "exclude_modules")
        chosen = {name: convert_to_regular_types(getattr(model, name)) for name in names}
        keys = ", ".join(f"actor_rollout_ref.model.{name}={value}" for name, value in chosen.items() if value)
        with foreign(f"{keys} does not fit {model.path}"), torch.device("meta"):
            get_peft_model(made, LoraConfig(r=model.lora_rank, **chosen))


def _check_switches(config: DictConfig, tokenizer: Any, model: str) -> None:
    """That the chat template knows the switches that it is to get: it passes over all others in silence.

    Raises:
        ValueError: a line for each that is set already or unknown.
    """
    found, rollouts = [], rollout_options(config)
    requests = OmegaConf.to_container(OmegaConf.select(config, "sage.hint_template_kwargs") or OmegaConf.create())
    assert isinstance(requests, dict)
    for key, options in (("data.apply_chat_template_kwargs", rollouts), ("sage.hint_template_kwargs", requests)):
        with foreign(f"{key}.chat_template: there is no such template"):
            template = tokenizer.get_chat_template((rollouts | options).get("chat_template"))
        unused = unused_options(template, map(str, options))
        for name in map(str, options):
            if name in RESERVED:
                found.append(f"{key}.{name} is set already and cannot be chosen")
            elif name in unused:
                found.append(f"{key}.{name} is no switch of the chat template of {model}: leave it out")
    if found:
        raise ValueError("\n".join(found))


def open_prompts(config: DictConfig, tokenizer: Any) -> int:
    """Measure every prompt: verl would cut one that is too long on its left, where the problem begins.

    With ``data.filter_overlong_prompts=true`` verl leaves such rows out and says how many.

    Returns:
        The training rows that are left.

    Raises:
        ValueError: some do not fit and are not left out, or what is left does not suffice.
    """
    limit, filtered = config.actor_rollout_ref.rollout.prompt_length, config.data.filter_overlong_prompts
    options = rollout_options(config)
    kept: dict[str, int] = {}
    for key, files in (("train", data_files(config, "train_files")), ("val", data_files(config, "val_files"))):
        kept[key] = 0
        for file in files:
            rows = pq.read_table(file, columns=["prompt"])["prompt"].to_pylist()
            with foreign(f"{file}: the chat template does not take its prompts"):
                lengths = [len(encode_messages(tokenizer, prompt, options)) for prompt in rows]
            over = [row for row, length in enumerate(lengths) if length > limit]
            kept[key] += len(rows) - len(over)
            if over and not filtered:
                raise ValueError(
                    f"{file}: {len(over)} prompts are longer than data.max_prompt_length={limit} tokens, the first in "
                    f"row {over[0]} with {lengths[over[0]]}: set data.filter_overlong_prompts=true to leave them out, "
                    "or raise the limit"
                )
    if not kept["val"]:
        raise ValueError(f"data.val_files hold no prompt of at most data.max_prompt_length={limit} tokens: raise it")
    check_steps(config, kept["train"], f"training rows of at most data.max_prompt_length={limit} tokens")
    return kept["train"]
