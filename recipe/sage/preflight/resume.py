"""Whether a run will resume, from where, and with which data: said, and checked, before anything is started."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import DictConfig

from recipe.sage.preflight.rules import Run
from sage.method.state import HISTORY_FILE, LATEST_FILE, SETUP_FILE, STATE_FILE, VisitHistory, meta_of
from sage.support.plugins import foreign


def data_digest(prompt_ids: Collection[str]) -> str:
    """Identifies a set of training prompts, whatever their order and files."""
    return hashlib.sha256("\n".join(sorted(prompt_ids)).encode()).hexdigest()[:16]


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
        if not path or not re.fullmatch(r"global_step_\d+", Path(path).name) or not Path(path).is_dir():
            raise ValueError(
                f"trainer.resume_from_path={path} is no checkpoint: name an existing folder .../global_step_N"
            )
        return Path(path)
    if not (folder / LATEST_FILE).is_file():
        return None
    step = (folder / LATEST_FILE).read_text(encoding="utf-8", errors="replace").strip()
    if not step.isdecimal() or not (folder / f"global_step_{step}").is_dir():
        raise ValueError(
            f"{folder / LATEST_FILE} names step {step or '(none)'}, but {folder} has no such checkpoint: write the "
            "number of one that is there into the file, or set trainer.resume_mode=disable"
        )
    return folder / f"global_step_{step}"


def why_not_whole(config: DictConfig, checkpoint: Path) -> str | None:
    """What a checkpoint lacks for this run; None where it has all."""
    actor = checkpoint / "actor"
    for part in (actor, checkpoint / STATE_FILE):
        if not part.exists():
            return f"it lacks {part.name}, so it is none of a run of this recipe, or was not written to its end"
    ranks = Run(config).gpus
    saved = {match[1] for file in actor.iterdir() if (match := re.match(r"model_world_size_(\d+)_rank_", file.name))}
    if saved and str(ranks) not in saved:
        return (
            f"it was written by {' or '.join(sorted(saved))} GPUs, and FSDP loads it only on as many, not on {ranks}: "
            "set trainer.nnodes and trainer.n_gpus_per_node as they were"
        )
    for file in (checkpoint / STATE_FILE, *sorted(checkpoint.rglob("*.pt"))):
        if not _has_its_end(file):
            others = [folder for folder in checkpoint.parent.glob("global_step_*") if folder != checkpoint]
            other = max(others, key=lambda folder: folder.stat().st_mtime, default=None)
            remedy = f"trainer.resume_mode=resume_path trainer.resume_from_path={other}" if other else "a new folder"
            return f"{file} is damaged, its end is missing: restore it, or start with {remedy}"
    return _why_not_history(config, checkpoint)


def _has_its_end(file: Path) -> bool:
    """Whether a file has what is written last: a Parquet file its footer, a file of torch's its index."""
    if file.suffix == ".pt":
        return zipfile.is_zipfile(file)
    try:
        pq.read_metadata(file)
    except (pa.ArrowInvalid, OSError):
        return False
    return True


def _why_not_history(config: DictConfig, checkpoint: Path) -> str | None:
    """What is wrong with the history that goes on with this checkpoint; None too where the run begins another one."""
    history = VisitHistory(checkpoint.parent / HISTORY_FILE)
    if Path(config.trainer.default_local_dir).resolve() != checkpoint.parent.resolve():
        return None
    wanted = int(meta_of(pq.read_schema(checkpoint / STATE_FILE)).get("extra", {}).get("history_bytes", 0))
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
        ValueError: the checkpoint is not there or not whole, or the run would resume on other training prompts than it
            has been trained on, whose levels and visits would mix with theirs in the state.
    """
    checkpoint = checkpoint_to_resume(config)
    if checkpoint is None:
        return "  start  from scratch: there is no checkpoint to resume"
    if why := why_not_whole(config, checkpoint):
        raise ValueError(f"{checkpoint} cannot be resumed from: {why}")
    setup = checkpoint.parent / SETUP_FILE
    before = None
    if setup.is_file():
        with foreign(f"{setup} cannot be read"):
            before = json.loads(setup.read_text(encoding="utf-8")).get("prompts")
    words = f"  start  resumes from {checkpoint}"
    if before in (None, data_digest(prompt_ids)):
        return words + ("" if before else " (on which prompts it was trained is not known)")
    if config.trainer.resume_mode == "resume_path":
        return words + ", on OTHER training prompts: old and new ones mix in the state"
    raise ValueError(
        f"data.train_files hold other prompts than {checkpoint} was trained on, and both would mix in the state: set "
        "trainer.default_local_dir to a new folder, or trainer.resume_mode=resume_path and "
        f"trainer.resume_from_path={checkpoint} to go on all the same"
    )
