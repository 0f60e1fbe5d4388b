"""verl picks its platform at import: ask for the CPU before any test module imports it."""

import os

os.environ["VERL_PLATFORM"] = "cpu"

from hypothesis import settings

settings.register_profile("sage", deadline=None)  # on a busy machine one example may take long
settings.load_profile("sage")
