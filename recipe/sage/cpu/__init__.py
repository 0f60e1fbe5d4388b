"""A CPU platform for verl, active only where the environment says ``VERL_PLATFORM=cpu``.

verl loads this module in every process through its ``verl.plugins`` entry points.
"""

import os


def is_active() -> bool:
    """Whether this process was asked to run on the CPU."""
    return os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu"


if is_active():
    from recipe.sage.cpu import platform

    platform.install()
