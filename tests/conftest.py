"""verl picks its platform at import: ask for the CPU before any test module imports it."""

import os

os.environ["VERL_PLATFORM"] = "cpu"

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # one process a core already

import copy
import functools
import gc
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import omegaconf.base
import yaml
from hydra._internal.config_repository import ConfigRepository
from hypothesis import settings

yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # OmegaConf's base: Hydra composes a third faster
omegaconf.base.parse = functools.cache(omegaconf.base.parse)  # the same interpolations in every composition


def loaded_once(load: Callable) -> Callable:
    """Hydra's reading of a file, kept by the file: most compositions read the same thirty."""
    kept = {}

    @functools.wraps(load)
    def loaded(repository: ConfigRepository, config_path: str) -> object:
        key = (*(source.path for source in repository.sources), config_path)
        if key not in kept:
            kept[key] = load(repository, config_path)
        return copy.deepcopy(kept[key])

    return loaded


ConfigRepository.load_config = loaded_once(ConfigRepository.load_config)

ROOT = Path(__file__).resolve().parent.parent

# On a busy machine one example may take long; the same examples in every run.
settings.register_profile("sage", deadline=None, derandomize=True)
settings.load_profile("sage")


def pytest_collection_finish() -> None:
    """What is imported stays: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes do not show in the name of a test: a time in them, as gzip writes one, gives each process another name."""
    return argname if isinstance(val, bytes) else None


def script(name: str) -> ModuleType:
    """A file of scripts/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"scripts/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
