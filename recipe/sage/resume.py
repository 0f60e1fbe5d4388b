"""Whether a run will resume, from where, and with which data: said, and checked, before anything is started."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path

from omegaconf import DictConfig

from sage.method.state import LATEST_FILE, SETUP_FILE


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
    if mode not in ("auto", "disable", "resume_path"):
        raise ValueError(f"trainer.resume_mode={mode} must be auto, disable or resume_path")
    if mode != "resume_path" and path:
        raise ValueError(f"trainer.resume_from_path={path} has no effect without trainer.resume_mode=resume_path")
    if mode == "disable":
        return None
    if mode == "resume_path":
        if not path or "global_step_" not in str(path) or not Path(path).is_dir():
            raise ValueError(
                f"trainer.resume_from_path={path} is no checkpoint: name an existing folder .../global_step_N"
            )
        return Path(path)
    if not (folder / LATEST_FILE).is_file():
        return None
    step = (folder / LATEST_FILE).read_text().strip()
    if not (folder / f"global_step_{step}").is_dir():
        raise ValueError(
            f"{folder / LATEST_FILE} names step {step or '(none)'}, but {folder} has no such checkpoint: write the "
            "number of one that is there into the file, or set trainer.resume_mode=disable"
        )
    return folder / f"global_step_{step}"


def check_resume(config: DictConfig, prompt_ids: Collection[str]) -> str:
    """Where the run begins, in words.

    Raises:
        ValueError: it would resume on other training prompts than it has been trained on, whose levels and visits
            would mix with theirs in the state.
    """
    checkpoint = checkpoint_to_resume(config)
    if checkpoint is None:
        return "  start  from scratch: there is no checkpoint to resume"
    setup = checkpoint.parent / SETUP_FILE
    before = json.loads(setup.read_text()).get("prompts") if setup.is_file() else None
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
