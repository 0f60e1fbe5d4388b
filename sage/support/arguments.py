"""Types of command-line options, for argparse."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from pathlib import Path

from sage.support.files import why_no_file, why_no_folder

DIGITS = 9
"""Of a whole number: nothing that is counted here has more."""


def named_path(text: str) -> Path:
    """A file or folder; an empty name would be the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty; give a file or folder")
    return Path(text)


def filled(text: str) -> str:
    """A text that says something, as a column's name does."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; leave the option out, or name something")
    return utf8(text)


def utf8(text: str) -> str:
    """A text, also an empty one; bytes of the command line that are not UTF-8 arrive as halves of characters."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not UTF-8; write it in UTF-8, or set LC_ALL=C.UTF-8")
    return text


def output_file(text: str) -> Path:
    if why := why_no_file(named_path(text)):
        raise argparse.ArgumentTypeError(why)
    return Path(text)


def output_folder(text: str) -> Path:
    """A folder that is there or can be made."""
    if why := why_no_folder(named_path(text)):
        raise argparse.ArgumentTypeError(f"{text}: {why}")
    return Path(text)


def at_least(least: int) -> Callable[[str], int]:
    """A whole number from a bound on, of at most `DIGITS` digits."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]+", text) or int(text[: DIGITS + 1]) < least:
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of at least {least}")
        if len(text) > DIGITS:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} must be a number of at most {DIGITS} digits")
        return int(text)

    return read


def number(what: str, good: Callable[[float], bool]) -> Callable[[str], float]:
    """A finite number for which ``good`` holds; ``what`` says so after "a number"."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and good(value)):
            raise argparse.ArgumentTypeError(f"{text!r} must be a number {what}")
        return value

    return read


share = number("from 0 to 1", lambda value: 0 <= value <= 1)
part = number("above 0 and at most 1", lambda value: 0 < value <= 1)
not_negative = number("of at least 0", lambda value: value >= 0)
positive = number("above 0", lambda value: value > 0)
