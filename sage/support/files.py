"""Files that are written as a whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name under which to write a file (or folder), which takes its own when the block has ended well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    yield temporary
    os.replace(temporary, path)


def write_json(path: Path, data: Any) -> None:
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file as a whole or not at all; halves of characters are escaped, as JSON does."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def why_no_file(path: Path) -> str | None:
    """Why a file cannot be written; None where it can be. Makes nothing."""
    if path.is_dir():
        return f"{path} is a folder: name a file in it"
    why = why_no_folder(path.parent)
    return why and f"{path} cannot be written, for {path.parent} is no folder: {why}"


def why_no_folder(path: Path) -> str | None:
    """Why a folder is not there and cannot be made; None where it is or can be. Makes nothing."""
    there = next((each for each in (path, *path.absolute().parents) if each.exists()), Path("/"))
    if not there.is_dir():
        return "a file has that name" if there == path else f"{there} is a file"
    return None if os.access(there, os.W_OK | os.X_OK) else f"{there} may not be written to"
