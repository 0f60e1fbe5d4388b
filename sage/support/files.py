"""Files that are written as a whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_json(path: Path, data: Any) -> None:
    """Write a file as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def why_no_folder(path: Path) -> str | None:
    """Why a folder is not there and cannot be made; None where it is or can be. Makes nothing."""
    there = next((each for each in (path, *path.absolute().parents) if each.exists()), Path("/"))
    if not there.is_dir():
        return "a file has that name" if there == path else f"{there} is a file"
    return None if os.access(there, os.W_OK | os.X_OK) else f"{there} may not be written to"
