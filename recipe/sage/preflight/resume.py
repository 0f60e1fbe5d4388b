"""Whether a run will resume, from where, and with which data: said, and checked, before anything is started."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from recipe.sage.preflight.rules import Run, read_config
from sage.method.state import HISTORY_FILE, LATEST_FILE, SETUP_FILE, STATE_FILE, StateStore, VisitHistory, latest_note
from sage.planning.budget import ModelShape, known_shape
from sage.support.documents import read_json
from sage.support.model import digest

SHARDS = {"model": "model", "optimizer": "optim", "extra": "extra_state"}
"""How FSDP's files begin, by what ``checkpoint.load_contents`` calls their contents."""
METHOD = (
    "sage.schedule",
    "sage.train_on",
    "sage.distill_weight",
    "sage.reliance_scale",
    "algorithm.adv_estimator",
    "algorithm.filter_groups.enable",
    "actor_rollout_ref.actor.policy_loss.loss_mode",
)
"""Keys in which methods differ."""
SAID = (
    "data.max_prompt_length",
    "data.max_response_length",
    "data.train_batch_size",
    "actor_rollout_ref.rollout.n",
    "actor_rollout_ref.rollout.temperature",
    "actor_rollout_ref.actor.optim.lr",
    "sage.hint_source",
    "sage.max_level",
)
"""Other keys that change what is learnt: a run may resume with another value, but not in silence."""


@dataclass(frozen=True)
class _Setup:
    """What is read of `SETUP_FILE`."""

    prompts: str | None = None
    config: dict[str, Any] = field(default_factory=dict)


def data_digest(prompt_ids: Collection[str]) -> str:
    """Identifies a set of training prompts, whatever their order and files."""
    return digest("\n".join(sorted(prompt_ids)).encode())


def checkpoint_to_resume(config: DictConfig) -> Path | None:
    """The folder of the checkpoint that verl will load, None for a run from scratch.

    Raises:
        ValueError: the checkpoint that is asked for is not there, or is asked for in half.
    """
    trainer = config.trainer
    mode, path, folder = trainer.resume_mode, trainer.resume_from_path, Path(trainer.default_local_dir)
    if mode != "resume_path" and path:
        raise ValueError(f"trainer.resume_from_path={path} has no effect without trainer.resume_mode=resume_path")
    if mode == "disable":
        return None
    if mode == "resume_path":
        if not path or not re.fullmatch(r"global_step_\d+", Path(path).name) or not os.path.isdir(path):
            raise ValueError(
                f"trainer.resume_from_path={path} is no checkpoint: name an existing folder .../global_step_N"
            )
        return Path(path)
    if (step := latest_note(folder)) is None:
        return None
    if not step.isdecimal() or not (folder / f"global_step_{step}").is_dir():
        raise ValueError(
            f"{folder / LATEST_FILE} names step {step or '(none)'}, but {folder} has no such checkpoint: write the "
            "number of one that is there into the file, or set trainer.resume_mode=disable"
        )
    return folder / f"global_step_{step}"


def why_not_whole(config: DictConfig, checkpoint: Path) -> str | None:
    """What a checkpoint lacks for this run; None where it has all."""
    actor, state, run = checkpoint / "actor", checkpoint / STATE_FILE, Run(config)
    for part, there in ((actor, actor.is_dir()), (state, state.is_file())):
        if not there:
            return f"it lacks {part.name}, so it is none of a run of this recipe, or was not written to its end"
    saved = {match[1] for file in actor.iterdir() if (match := re.match(r"model_world_size_(\d+)_rank_", file.name))}
    if saved and str(run.gpus) not in saved:
        return (
            f"it was written by {' or '.join(sorted(saved))} GPUs, and FSDP loads it only on as many, not on "
            f"{run.gpus}: set trainer.nnodes and trainer.n_gpus_per_node as they were"
        )
    if why := _why_another_model(actor, run.shape):
        return why
    store = StateStore(read_config(config).make_schedule(run["rollout.n"]))
    try:
        _open_files(run, checkpoint)
        extra = store.load(state)
    except ValueError as error:
        others = [folder for folder in checkpoint.parent.glob("global_step_*") if folder != checkpoint]
        other = max(others, key=lambda folder: folder.stat().st_mtime, default=None)
        remedy = f"trainer.resume_mode=resume_path trainer.resume_from_path={other}" if other else "a new folder"
        return f"{error}, or start with {remedy}"
    return _why_not_history(config, checkpoint, extra.get("history_bytes"))


def _why_another_model(actor: Path, shape: ModelShape | None) -> str | None:
    """In which size the saved model differs from the one of the run; None too where one of them is not known."""
    try:
        saved = known_shape(str(actor / "huggingface"))
    except ValueError:
        return None
    if saved is None or shape is None:
        return None
    before, now = asdict(saved), asdict(shape)
    other = next((name for name in before if name != "max_length" and before[name] != now[name]), None)
    return other and (
        f"it is of another model, whose {other} is {before[other]}, not {now[other]}: set "
        "actor_rollout_ref.model.path as it was, or trainer.default_local_dir to a new folder"
    )


def _open_files(run: Run, checkpoint: Path) -> None:
    """Assert that verl's files are there, to their ends.

    Raises:
        ValueError: one is missing or cut off.
    """
    wanted = [checkpoint / "data.pt"]
    if run["actor.strategy"] in ("fsdp", "fsdp2"):
        kinds = [name for kind, name in SHARDS.items() if kind in run["actor.checkpoint.load_contents"]]
        ranks = range(run.gpus)
        wanted += [checkpoint / f"actor/{kind}_world_size_{run.gpus}_rank_{r}.pt" for kind in kinds for r in ranks]
    for file in wanted:
        if not file.is_file():
            raise ValueError(f"{file} is missing: restore it")
    for file in sorted(checkpoint.rglob("*.pt")):
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{file} is damaged, its end is missing: restore it")


def _why_not_history(config: DictConfig, checkpoint: Path, wanted: object) -> str | None:
    """What is wrong with the history that goes on with this checkpoint; None too where the run begins another one."""
    history = VisitHistory(checkpoint.parent / HISTORY_FILE)
    if Path(config.trainer.default_local_dir).resolve() != checkpoint.parent.resolve():
        return None
    if not isinstance(wanted, int):
        return f"{checkpoint / STATE_FILE} does not say how long {history.path} was: restore it"
    if history.path.is_dir():
        return f"{history.path} is a folder: restore the file"
    if history.size >= wanted:
        return None
    return (
        f"{history.path} has {history.size} bytes, and had {wanted} when the checkpoint was written: restore it, or "
        "let another trainer.default_local_dir begin a new one, with trainer.resume_mode=resume_path and "
        f"trainer.resume_from_path={checkpoint}"
    )


def check_resume(config: DictConfig, prompt_ids: Collection[str]) -> str:
    """Where the run begins, in words.

    Raises:
        ValueError: the checkpoint is not there, not whole or of another LoRA rank, or the run would resume with other
            training prompts or another method than it has been trained with, whose levels and visits would mix with
            theirs in the state.
    """
    checkpoint = checkpoint_to_resume(config)
    if checkpoint is None:
        return "  start  from scratch: there is no checkpoint to resume"
    if why := why_not_whole(config, checkpoint):
        raise ValueError(f"{checkpoint} cannot be resumed from: {why}")
    file = checkpoint.parent / SETUP_FILE
    setup: _Setup = read_json(_Setup, file, "restore the file, or remove it") if file.is_file() else _Setup()
    for change in _other_values(config, setup, ("actor_rollout_ref.model.lora_rank",)):
        raise ValueError(
            f"{checkpoint} cannot be resumed from with {change}: set it as it was, or trainer.default_local_dir "
            "(OUTPUT_DIR) to a new folder"
        )
    words = f"  start  resumes from {checkpoint}"
    words += "".join(f", from here on with {change}" for change in _other_values(config, setup, SAID))
    changes = list(_other_values(config, setup, METHOD))
    if setup.prompts not in (None, data_digest(prompt_ids)):
        changes.insert(0, "OTHER training prompts (data.train_files)")
    if not changes:
        return words + ("" if setup.prompts else " (on which prompts it was trained is not known)")
    if config.trainer.resume_mode == "resume_path":
        return words + f", with {' and '.join(changes)}: old and new visits mix in the state"
    raise ValueError(
        f"{checkpoint} would be resumed with {' and '.join(changes)}, and old and new visits would mix in the state: "
        "set trainer.default_local_dir (OUTPUT_DIR) to a new folder, or trainer.resume_mode=resume_path and "
        f"trainer.resume_from_path={checkpoint} to go on all the same"
    )


def _other_values(config: DictConfig, setup: _Setup, keys: Iterable[str]) -> Iterator[str]:
    """The keys whose values the checkpoint's run had otherwise, in words."""
    kept = OmegaConf.create(setup.config)
    for key in keys:
        was, now = OmegaConf.select(kept, key), OmegaConf.select(config, key)
        # of a path only the file: that of a schedule is kept as an absolute one
        if was is not None and was != now and Path(str(was)).name != Path(str(now)).name:
            yield f"{key}={now}, which was {was}"
