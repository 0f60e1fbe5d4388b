"""verl picks its platform at import: ask for the CPU before any test module imports it."""

import os

os.environ["VERL_PLATFORM"] = "cpu"

import yaml
from hypothesis import settings

yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # OmegaConf's base: Hydra composes a third faster

settings.register_profile("sage", deadline=None)  # on a busy machine one example may take long
settings.load_profile("sage")
