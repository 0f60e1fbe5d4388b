"""JSON that this project or verl wrote, read back with the type of everything in it.

Whatever is wrong with such a file is a ValueError of one sentence: file and line, place in it, and what to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

_MARK = b"\xef\xbb\xbf"
"""What some editors put in front of UTF-8."""
SHOWN = 60
"""Characters of a value in a message."""
_adapter = cache(TypeAdapter)


class RepeatedKey(ValueError):
    """An object of JSON has two values of one key, of which json.loads keeps the last."""


def load_json(text: str) -> Any:
    """As json.loads, but for an object that has two values of one key.

    Raises:
        ValueError: as json.loads, or `RepeatedKey`.
    """
    return DECODER.decode(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise RepeatedKey(f"the key {twice[:SHOWN]!r} is there twice, take one out")
    return found


DECODER = json.JSONDecoder(object_pairs_hook=_once)
"""Of `load_json`."""


def parse(kind: Any, text: bytes, where: str, advice: str) -> Any:
    """The value of a JSON text.

    Args:
        kind: its type, as pydantic checks it; keys that a dataclass does not have are passed over.
        text: JSON in UTF-8.
        where: file and line; the message begins with it.
        advice: what to do where the text is something else; the message ends with it.

    Raises:
        ValueError: it is no JSON, or not of this type.
    """
    try:
        return _adapter(kind).validate_json(text.removeprefix(_MARK), strict=True)
    except ValidationError as error:
        raise ValueError(f"{where}: {_why(error)}; {advice}") from None


def read_json(kind: Any, path: Path, advice: str) -> Any:
    """The value of a file.

    Raises:
        ValueError: it cannot be opened, or as `parse`.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; {advice}") from error
    return parse(kind, text, str(path), advice)


def whole_lines(path: Path, advice: str) -> Iterator[tuple[str, bytes]]:
    """The lines of a file, each after its place.

    A last one without a line end is left out where it begins as an object does: another process may be writing it.

    Raises:
        ValueError: the file cannot be opened.
    """
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n") or not line.startswith(b"{"):
                    yield f"{path}, line {number}", line
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; {advice}") from error


def cut_torn_line(path: Path, begin: bytes) -> None:
    """Take the last line out of a file where an interruption cut it off.

    Args:
        path: a file that is written line by line, or none.
        begin: how each of its lines begins.

    Raises:
        ValueError: what has no line end at the end of the file begins otherwise, so that the file is another one.
    """
    if not path.exists() or not path.stat().st_size:
        return
    with open(path, "rb+") as file:
        with mmap(file.fileno(), 0, access=ACCESS_READ) as text:
            end = text.rfind(b"\n") + 1
            torn = text[end : end + len(begin)]
        if not begin.startswith(torn):
            raise ValueError(f"{path}: the last line has no end and is none of this program: name another file")
        if torn:
            file.truncate(end)


def _why(error: ValidationError) -> str:
    """The first fault in words."""
    fault = error.errors(include_url=False, include_context=False)[0]
    place, kind = ".".join(map(str, fault["loc"])), fault["type"]
    if kind == "json_invalid":
        return f"not JSON ({fault['msg'].removeprefix('Invalid JSON: ')})"
    if kind == "missing":
        return f"{place!r} is missing"
    shown = repr(fault["input"])
    value = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}.."
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{place}={value} {message}" if place else f"{value} {message}"
