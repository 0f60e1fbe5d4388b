"""Versions of installed packages, kept beside what was made with them."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from contextlib import suppress


def installed(names: Iterable[str]) -> dict[str, str]:
    """Versions of those packages that are installed; vLLM, for one, has another name on a CPU."""
    found = {}
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
