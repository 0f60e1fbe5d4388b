"""What is found in the place of a file of rows, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# How other files begin that are found under these names.
_OTHERS = {
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself: run git lfs pull in its folder",
    b"/annex/objects/": "a pointer of git-annex, not the file itself: run git annex get",
    b"PAR1": "a Parquet file: give it a name in .parquet",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook: unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook: save the sheet as CSV",
    b"\x1f\x8b": "compressed with gzip: unpack it",
    b"\x28\xb5\x2f\xfd": "compressed with zstd: unpack it",
    b"BZh": "compressed with bzip2: unpack it",
    b"\xfd7zXZ": "compressed with xz: unpack it",
    b"ARROW1": "an Arrow file: save it as Parquet",
    b"<!doctype html": "a web page, not the data: download the file itself",
    b"<html": "a web page, not the data: download the file itself",
}
_OF_A_ROW = {"problem", "question", "query", "prompt", "instruction", "messages", "conversations"}
"""Columns of a row; an object with one of them is a row, whatever lists it holds."""


def refuse_others(path: Path, head: bytes) -> None:
    """Raise ValueError where the first bytes of a file are those of another kind."""
    if what := next((what for begin, what in _OTHERS.items() if head.lstrip().lower().startswith(begin.lower())), None):
        raise ValueError(f"{path} is {what}")


def refuse_one_object(path: Path, value: dict[str, Any]) -> None:
    """Raise ValueError where the only object of a JSON file is no row but holds rows, or whole columns."""
    parts = list(value.values())
    if _are_columns(parts):
        raise ValueError(
            f"{path} holds one object of columns, not rows: write it with orient='records' (pandas), as lines or array"
        )
    if _is_row(value):
        return
    lists = [
        key for key, part in value.items() if isinstance(part, list) and part and isinstance(part[0], (dict, list))
    ]
    if lists or (parts and all(isinstance(part, dict) and _is_row(part) for part in parts)):
        what = f"they are in its {lists[0]!r}" if lists else "they are in it by name"
        raise ValueError(f"{path} holds one object, not rows ({what}): write the rows alone, as lines or as one array")


def _is_row(value: dict[str, Any]) -> bool:
    return not _OF_A_ROW.isdisjoint(key.strip().lower() for key in value)


def _are_columns(values: list[Any]) -> bool:
    """Whether the values of one object are whole columns, by row number or as lists of the same length."""
    if values and all(isinstance(value, dict) and value and all(key.isdecimal() for key in value) for value in values):
        return True
    return len(values) > 1 and all(isinstance(value, list) and len(value) == len(values[0]) > 1 for value in values)
