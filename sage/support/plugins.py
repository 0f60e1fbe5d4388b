"""What a configuration names outside the package: a verifier or a schedule of the user's own."""

from __future__ import annotations

import importlib
import sys
import threading
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

_LOADING = threading.RLock()  # verl grades in several threads; none may see a file's module half made


def load_object(spec: str) -> Any:
    """The object that ``package.module:name`` or ``path/to/file.py:name`` names.

    Raises:
        ValueError: it is not there; says what to change.
    """
    place, colon, name = spec.rpartition(":")
    if not (place and colon and name):
        raise ValueError("write package.module:name or path/to/file.py:name")
    try:
        if place.endswith(".py"):
            with _LOADING:
                module = _load_file(Path(place).resolve())
        else:
            module = importlib.import_module(place)
    except (ImportError, FileNotFoundError) as error:
        raise ValueError(f"{place} cannot be imported ({error}); correct the name or set PYTHONPATH") from error
    if not hasattr(module, name):
        raise ValueError(f"{place} has no {name}; correct the part after ':'")
    return getattr(module, name)


def _load_file(path: Path) -> ModuleType:
    name = f"sage.support.plugins:{path}"
    if name not in sys.modules:
        spec = spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = module = module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]
