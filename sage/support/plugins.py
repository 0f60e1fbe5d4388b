"""What a configuration names outside the package, such as a user's own verifier, and what foreign code raises."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

_LOADING = threading.RLock()  # verl grades in several threads; none may see a file's module half made


@contextmanager
def foreign(what: str) -> Iterator[None]:
    """Turn whatever code that is not ours raises into a ValueError of one line that begins with ``what``."""
    try:
        yield
    except (Exception, SystemExit) as error:  # the user's code or a framework's, which may raise anything, or exit
        cause: BaseException = error
        while type(error).__module__.startswith("hydra") and cause.__cause__ is not None:
            cause = cause.__cause__  # Hydra wraps what a class raises in its own words
        words = " ".join(str(cause).split())
        name = "" if isinstance(cause, ValueError | AssertionError) and words else f"{type(cause).__name__}: "
        raise ValueError(f"{what}: {name}{words}".rstrip(": ")) from error


def first_line(error: Exception) -> str:
    """What an exception says, or its name where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def load_object(spec: str) -> Any:
    """The object that ``package.module:name`` or ``path/to/file.py:name`` names.

    Modules are looked for in the current folder too, as with ``python -m``.

    Raises:
        ValueError: it is not there, or its module does not load; says what to change.
    """
    place, colon, name = spec.rpartition(":")
    if not (place and colon and name):
        raise ValueError("write package.module:name or path/to/file.py:name")
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # a script's own folder is there, the current one is not
    with _LOADING, foreign(f"{place} cannot be imported (correct the name, set PYTHONPATH, or mend it)"):
        module = _load_file(Path(place).resolve()) if place.endswith(".py") else importlib.import_module(place)
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
