"""Bare answers: plainly written numbers, and the letters in others."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from sage.grading.notation import normalise


class Number(NamedTuple):
    """A plainly written rational number."""

    value: Fraction
    percent: bool
    places: int
    """Digits after the decimal point; 0 for other forms."""


_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+"
_PLAIN = re.compile(
    rf"([+-]?(?:{_DIGITS}))(?:[eE]([+-]?\d{{1,3}})|(?:\\times ?|\\cdot ?|\*)10\^(?:\{{([+-]?\d{{1,3}})\}}|(\d)))?(%)?"
)
_SLASH = re.compile(rf"([+-]?)(?:(\d+) )?((?:{_DIGITS}))/([+-]?(?:{_DIGITS}))")
_PART = rf"(?:\{{([+-]?(?:{_DIGITS}))\}}|(\d))"
_FRAC = re.compile(rf"([+-]?)(\d*)\\frac ?{_PART} ?{_PART}")
_OVERLINED = r"\\(?:overline|dot) ?(?:\{(\d+)\}|(\d))"
_REPEATING = re.compile(rf"([+-]?)(\d*)\.(\d*?)(?:{_OVERLINED}(?:(\d*)\\dot ?(?:\{{(\d)\}}|(\d)))?|\((\d+)\)|\\ldots)")
_PERIOD = re.compile(r"(\d*?)(?:(\d)\2{2,}|(\d{2,}?)\3+)")


@lru_cache(maxsize=8192)
def number(text: str) -> Number | None:
    r"""Read a number such as ``-3``, ``1,000``, ``.5``, ``50\%``, ``2/3``, ``1\frac{2}{3}``, ``4.5e33``; else None."""
    text = normalise(text)
    if len(text) > 64 or not text.isascii() or (not text[-1:].isalnum() and text[-1:] not in ("}", "%", ".", ")")):
        return None
    if match := _PLAIN.fullmatch(text):
        digits, *exponents, percent = match.groups()
        exponent = int(next((e for e in exponents if e), "0"))
        value = _decimal(digits) * (Fraction(10) ** exponent)
        places = len(digits.partition(".")[2]) if not exponent else 0
        return Number(value, percent is not None, places)
    if match := _SLASH.fullmatch(text):
        sign, whole, above, below = match.groups()
    elif match := _FRAC.fullmatch(text):
        sign, whole, *parts = match.groups()
        above, below = parts[0] or parts[1], parts[2] or parts[3]
    elif text.endswith("%") and (share := number(text[:-1])) and not share.percent:
        return Number(share.value, True, share.places)
    else:
        return _repeating(text)
    if not _decimal(below):
        return None
    value = Fraction(whole or 0) + _decimal(above) / _decimal(below)
    return Number(-value if sign == "-" else value, False, 0)


def _repeating(text: str) -> Number | None:
    r"""A repeating decimal: ``0.\overline{3}``, ``0.1\dot{6}``, ``0.(3)``, ``0.333\ldots``; else None."""
    match = _REPEATING.fullmatch(text)
    if match is None:
        return None
    sign, whole, fixed, *periods = match.groups()
    period = "".join(part for part in periods if part)
    if not period:  # dots behind digits: what they repeat has been written twice, a single digit three times
        shown = _PERIOD.fullmatch(fixed)
        if shown is None:
            return None
        fixed, period = shown[1], shown[2] or shown[3]
    value = Fraction(whole or 0) + Fraction(
        int(fixed + period) - int(fixed or 0), 10 ** len(fixed) * (10 ** len(period) - 1)
    )
    return Number(-value if sign == "-" else value, False, 0)


def _decimal(digits: str) -> Fraction:
    return Fraction(digits.replace(",", "").rstrip(".") or 0)


def same_number(left: Number, right: Number) -> bool:
    """Whether two numbers are equal. ``50%`` equals both 0.5 and 50 unless the other is a percentage too, and a decimal
    of at least six places and six significant digits equals what rounds to it."""
    if left.percent != right.percent:
        share, other = (left, right) if left.percent else (right, left)
        return other.value in (share.value, share.value / 100)
    if left.value == right.value:
        return True
    difference = abs(left.value - right.value)
    return any(
        n.places >= 6 and abs(n.value) * 10**n.places >= 10**5 and difference * 2 * 10**n.places <= 1
        for n in (left, right)
    )


COMMAND = re.compile(r"\\[A-Za-z]+")
_NAMES = re.compile(rf"\\(?:begin|end)\{{[^{{}}]*\}}|{COMMAND.pattern}")


def commands(names: str) -> frozenset[str]:
    return frozenset("\\" + name for name in names.split())


GREEK = commands("alpha beta gamma delta theta lambda mu phi rho sigma omega tau")


def letters(normalised: str) -> frozenset[str]:
    """The variables (and letters of words) of an answer; commands other than Greek letters do not count."""
    greek = {command for command in COMMAND.findall(normalised) if command in GREEK}
    return frozenset(c.lower() for c in _NAMES.sub(" ", normalised) if c.isalpha()) | greek
