"""Types of command-line options, for argparse."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def at_least(least: int) -> Callable[[str], int]:
    """A whole number from a bound on."""

    def read(text: str) -> int:
        if not text.lstrip("+-").isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of at least {least}")
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
