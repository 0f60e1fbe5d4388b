"""What this machine lacks for a run whose configuration may be right for another one."""

from __future__ import annotations

import importlib.util
import netrc
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

from omegaconf import DictConfig

from recipe.sage.preflight.rules import Run, read_config
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
    """What is missing here, each with what to do."""
    trainer, problems, loggers = config.trainer, [], Run(config).loggers
    if config.model_engine == "megatron" and importlib.util.find_spec("megatron") is None:
        problems.append(
            "model_engine=megatron, but megatron is not installed: see docs/training.md, or use backend=fsdp"
        )
    for logger in loggers:
        if (package := PACKAGES.get(logger)) and importlib.util.find_spec(package) is None:
            problems.append(
                f"trainer.logger has {logger}, but {package} is not installed: install it, or leave {logger} out of "
                "trainer.logger (LOGGER)"
            )
    if "wandb" in loggers and not _logged_in_to_wandb(environ):
        problems.append(
            "trainer.logger has wandb, but there is no login: run wandb login, set WANDB_API_KEY or "
            "WANDB_MODE=offline, or leave wandb out of trainer.logger (LOGGER)"
        )
    if why := why_no_folder(Path(trainer.default_local_dir)):
        problems.append(f"trainer.default_local_dir={trainer.default_local_dir} cannot be a folder: {why}")
    try:
        sage = read_config(config)
    except ValueError:
        sage = None  # refused elsewhere
    if sage and (reason := load_hint_source(sage.hint_source).why_not(sage.hint_source, sage.hint_settings())):
        problems.append(f"sage.hint_source={sage.hint_source} gives no hints, by {reason}")
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
