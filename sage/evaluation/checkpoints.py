"""The checkpoints of a verl run as Hugging Face models, and the choice of the best one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage.evaluation.generate import EngineError
from sage.evaluation.scores import selection_score
from sage.method.state import LATEST_FILE, latest_note
from sage.support.model import digest

MERGED_FROM = "merged_from.json"


@dataclass(frozen=True)
class Checkpoint:
    """A ``global_step_*`` folder of a verl run."""

    path: Path

    @property
    def step(self) -> int:
        return int(self.path.name.rpartition("_")[2])

    @property
    def hugging_face(self) -> Path | None:
        """The model in Hugging Face format, where the run saved one (``hf_model`` in ``checkpoint.save_contents``)."""
        folders = (self.path / "actor/huggingface", self.path / "actor/model/huggingface")
        return next((folder for folder in folders if any(folder.glob("*.safetensors"))), None)

    @property
    def backend(self) -> str:
        """``fsdp`` or ``megatron``.

        Raises:
            ValueError: there are no weights that verl's model merger could read.
        """
        if (self.path / "actor/fsdp_config.json").is_file() and any(
            (self.path / "actor").glob("model_world_size_*.pt")
        ):
            return "fsdp"
        if (self.path / "actor/model/dist_ckpt").is_dir():
            return "megatron"
        raise ValueError(
            f"{self.path}/actor holds no weights of FSDP or Megatron; save them with "
            "actor_rollout_ref.actor.checkpoint.save_contents=[model,optimizer,extra]"
        )

    @property
    def tokenizer(self) -> Path:
        """The folder with configuration and tokenizer, which verl saves with every checkpoint.

        Raises:
            ValueError: it is not there.
        """
        folder = self.hugging_face or self.path / "actor/huggingface"
        if not folder.is_dir():
            raise ValueError(f"{folder} is missing, where verl saves configuration and tokenizer; copy the run again")
        return folder

    def identity(self) -> dict[str, str]:
        """Changes when another checkpoint is written at this place, and not when the run's folder moves.

        Sizes and times stand for the contents, since a run has many checkpoints of several times the model's size.
        """
        files = ((path.relative_to(self.path), path.stat()) for path in sorted(self._shards()))
        listing = "".join(f"{name} {stat.st_size} {stat.st_mtime_ns}\n" for name, stat in files)
        return {"weights": f"checkpoint {digest(listing.encode())}"}

    def _shards(self) -> set[Path]:
        """Everything on which the merged model depends."""
        patterns = ("model_world_size_*.pt", "model/**/*.*", "huggingface/*")
        return {path for pattern in patterns for path in (self.path / "actor").glob(pattern) if path.is_file()}


def find_checkpoints(run: Path) -> tuple[list[Checkpoint], list[str]]:
    """The complete checkpoints of a run by step, and why others are left out.

    Raises:
        ValueError: there is none, or verl's note of the last one is damaged.
    """
    if not run.is_dir():
        raise ValueError(f"{run} is not a folder, so it has no complete checkpoint global_step_*; correct the path")
    latest, note = run / LATEST_FILE, latest_note(run)
    if note is not None and not note.isdecimal():
        raise ValueError(f"{latest} must hold the number of the last step, not {note[:40]!r}; correct or delete it")
    last = None if note is None else int(note)
    found, skipped = [], []
    for path in run.glob("global_step_*"):
        if not re.fullmatch(r"global_step_\d+", path.name):
            skipped.append(f"{path}: not a checkpoint's name")
        elif last is not None and Checkpoint(path).step > last:
            skipped.append(f"{path}: {latest.name} says {last}, so it is not complete")
        elif not (path / "actor").is_dir():
            skipped.append(f"{path}: no folder 'actor'")
        else:
            found.append(Checkpoint(path))
    if not found:
        raise ValueError(
            f"{run} has no complete checkpoint global_step_*; {'; '.join(skipped) or 'set trainer.save_freq'}"
        )
    return sorted(found, key=lambda c: c.step), sorted(skipped)


def merge(checkpoint: Checkpoint, target: Path) -> Path:
    """The checkpoint as a Hugging Face model, merged by verl's model merger unless that has been done.

    The merger writes beside the target, which appears only when it is complete.

    Raises:
        EngineError: the merger failed; the message holds the end of what it printed.
        ValueError: the checkpoint holds no weights that it could merge.
    """
    if checkpoint.hugging_face:
        return checkpoint.hugging_face
    identity = checkpoint.identity()
    note = target / MERGED_FROM
    merged_from = json.dumps(identity) + "\n"
    if note.is_file() and note.read_bytes() == merged_from.encode():
        return target
    partial = target.with_name(target.name + ".part")
    for folder in (partial, target):
        shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "verl.model_merger", "merge", "--backend", checkpoint.backend]
    command += ["--local_dir", str(checkpoint.path / "actor"), "--target_dir", str(partial)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-25:])
        raise EngineError(f"{tail}\nverl's model merger failed on {checkpoint.path}/actor (status {done.returncode})")
    (partial / MERGED_FROM).write_text(merged_from, encoding="utf-8")
    os.replace(partial, target)
    return target


def choose_best(summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The checkpoint with the best average over the benchmarks that all have, the earliest of equal ones.

    Args:
        summaries: summary by checkpoint, in the order of their steps.

    Raises:
        ValueError: they have no benchmark in common.
    """
    all_scored = [summary["benchmarks"] for summary in summaries.values()]
    common = [name for name in all_scored[0] if all(name in scored for scored in all_scored)]
    if not common:
        raise ValueError(f"{', '.join(summaries)} have no benchmark in common: evaluate all of them on one")
    scores = {
        name: selection_score({key: summary["benchmarks"][key] for key in common})
        for name, summary in summaries.items()
    }
    best = max(scores, key=lambda name: scores[name][0])
    value, names = scores[best]
    return {
        "checkpoint": best,
        "score": value,
        "rule": f"highest mean avg over {', '.join(names)}, among {len(scores)} checkpoints; chosen on the test sets "
        "themselves, as the paper does, so the figure is optimistic",
        "scores": {name: score for name, (score, _) in scores.items()},
    }
