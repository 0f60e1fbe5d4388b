"""What this machine lacks for a run whose configuration may be right for another one."""

from __future__ import annotations

import importlib.util
import netrc
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlparse

from omegaconf import DictConfig

from recipe.sage.preflight.rules import AtFault, Run, read_config
from recipe.sage.preflight.values import wrong_values
from sage.hints.catalogue import load_hint_source
from sage.support.files import why_no_folder

PACKAGES = {
    "clearml": "clearml",
    "mlflow": "mlflow",
    "rl_insight": "rl_insight",
    "swanlab": "swanlab",
    "tensorboard": "tensorboard",
    "tracking": "wandb",
    "trackio": "trackio",
    "vemlp_wandb": "volcengine_ml_platform",
    "wandb": "wandb",
}
"""What verl imports for a logger."""


def check_machine(config: DictConfig, environ: Mapping[str, str]) -> list[str]:
    """What is missing here, each with what to do; values that `wrong_values` refuses are passed over."""
    run = Run(config, faulty=wrong_values(config))
    problems: list[str] = []
    for check in (_engine, _loggers, _folder, _hints, _cluster):
        with suppress(AtFault):
            problems += check(run, environ)
    return problems


def _engine(run: Run, environ: Mapping[str, str]) -> Iterator[str]:
    if run["model_engine"] == "megatron" and importlib.util.find_spec("megatron") is None:
        yield "model_engine=megatron, but megatron is not installed: see docs/training.md, or use backend=fsdp"


def _loggers(run: Run, environ: Mapping[str, str]) -> Iterator[str]:
    for logger in run.loggers:
        if (package := PACKAGES.get(logger)) and importlib.util.find_spec(package) is None:
            yield (
                f"trainer.logger has {logger}, but {package} is not installed: install it, or leave {logger} out of "
                "trainer.logger (LOGGER)"
            )
    if "wandb" in run.loggers and not _logged_in_to_wandb(environ):
        yield (
            "trainer.logger has wandb, but there is no login: run wandb login, set WANDB_API_KEY or "
            "WANDB_MODE=offline, or leave wandb out of trainer.logger (LOGGER)"
        )


def _folder(run: Run, environ: Mapping[str, str]) -> Iterator[str]:
    for key in ("trainer.default_local_dir", "trainer.rollout_data_dir", "trainer.validation_data_dir"):
        if (folder := run[key]) and (why := why_no_folder(Path(folder))):
            yield f"{key}={folder} cannot be a folder: {why}"


def _hints(run: Run, environ: Mapping[str, str]) -> Iterator[str]:
    try:
        sage = read_config(run.config)
    except ValueError:
        return  # refused elsewhere
    if reason := load_hint_source(sage.hint_source).why_not(sage.hint_source, sage.hint_settings()):
        yield f"sage.hint_source={sage.hint_source} gives no hints, by {reason}"


def _cluster(run: Run, environ: Mapping[str, str]) -> Iterator[str]:
    nodes, gpus = run["trainer.nnodes"], run["trainer.n_gpus_per_node"]
    if environ.get("RAY_ADDRESS"):
        own = [key for key in ("num_cpus", "num_gpus", "object_store_memory") if run[f"ray_kwargs.ray_init.{key}"]]
        if own:
            keys = ", ".join(f"ray_kwargs.ray_init.{key}" for key in own)
            yield f"RAY_ADDRESS names a running Ray cluster, whose resources are fixed: set {keys} to null"
    elif nodes > 1:
        yield (
            f"trainer.nnodes={nodes} needs a running Ray cluster: start it (ray start), and set RAY_ADDRESS "
            "(auto on its head node)"
        )
    elif run["trainer.device"] == "cuda":
        import torch

        if (found := torch.cuda.device_count()) < gpus:
            yield f"trainer.n_gpus_per_node={gpus}, but this machine has {found} GPUs: set N_GPUS"


def _logged_in_to_wandb(environ: Mapping[str, str]) -> bool:
    if environ.get("WANDB_API_KEY") or environ.get("WANDB_MODE") in ("offline", "disabled"):
        return True
    host = urlparse(environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname
    file = Path(environ.get("NETRC") or Path(environ.get("HOME", "~")).expanduser() / ".netrc")
    try:
        return host in netrc.netrc(file).hosts
    except (OSError, netrc.NetrcParseError):
        return False
