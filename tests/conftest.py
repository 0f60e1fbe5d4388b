"""verl picks its platform at import: ask for the CPU before any test module imports it."""

import os

os.environ["VERL_PLATFORM"] = "cpu"

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # one process a core already

import functools
import gc
import importlib.util
from pathlib import Path
from types import ModuleType

import omegaconf.base
import yaml
from hypothesis import settings

yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # OmegaConf's base: Hydra composes a third faster
omegaconf.base.parse = functools.cache(omegaconf.base.parse)  # the same interpolations in every composition

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
