"""verl picks its platform at import: ask for the CPU before any test module imports it."""

import os

os.environ["VERL_PLATFORM"] = "cpu"

import yaml
from hypothesis import settings

yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # OmegaConf's base: Hydra composes a third faster

# On a busy machine one example may take long; the same examples in every run.
settings.register_profile("sage", deadline=None, derandomize=True)
settings.load_profile("sage")
