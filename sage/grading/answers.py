"""Bare answers as text: boxes, normalisation, plainly written numbers, choices, and what can be compared
without mathematics."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

_BOX_TOKEN = re.compile(r"\\(?:boxed|fbox)\s*(?:\{|(\d))|\\[\\{}]|[{}]")


def boxed_spans(text: str) -> list[tuple[int, int]]:
    r"""Spans of the contents of all ``\boxed{}`` with balanced braces, in the order in which they end."""
    spans: list[tuple[int, int]] = []
    opened: list[int] = []  # where a box's content starts, or -1 for another brace
    for match in _BOX_TOKEN.finditer(text):
        token = match.group()
        if match.group(1):
            spans.append(match.span(1))
        elif token == "}":
            start = opened.pop() if opened else -1
            if start >= 0:
                spans.append((start, match.start()))
        elif token.endswith("{") and token != r"\{":
            opened.append(-1 if token == "{" else match.end())
    return spans


def last_boxed(text: str) -> str | None:
    r"""Content of the last complete ``\boxed{}``; None if there is none. Linear in the length of the text."""
    spans = boxed_spans(text)
    return text[slice(*spans[-1])].strip() if spans else None


_MARKUP = re.compile(r"\\(?:left|right|displaystyle|quad|qquad|limits)(?![A-Za-z])|\\[!,;:>$()\[\]]|\$|\\(?=%)")
_DEGREES = re.compile(r"\^\s?\{?\s?\\circ(?![A-Za-z])\s?\}?|\\degree(?![A-Za-z])")
_LIST_COMMA = re.compile(rf"(?:{_DEGREES.pattern}|\$)\s?,")
_WORDS = re.compile(r"\\(?:text|textbf|textit|textrm|mbox|mathrm|mathbf|mathit)\s?\{([^{}]*)\}")
_FRACTION_NAME = re.compile(r"\\[dtc]frac(?![A-Za-z])")
# The blank in 45, 135 stays: it is a list, 45,135 is a number.
_LOOSE_SPACE = re.compile(r"(?!(?<=\d,) \d{3}(?!\d))(?:(?<!\w) | (?!\w))")
_ASSIGNMENT = re.compile(r"[A-Za-z](?:_\{?\w+\}?)?(?:=|\\in(?![A-Za-z]) ?)(?=[^=])")


@lru_cache(maxsize=8192)
def normalise(text: str) -> str:
    """An answer without markup that does not change it: dollars, spacing, sizes, text wrappers, degrees, final stop."""
    text = text.replace("\u2212", "-").replace("\\ ", " ")
    text = _LIST_COMMA.sub(", ", re.sub(r"\{,\}|,\s?\\!\s?", ",", text))
    text = _DEGREES.sub("", _MARKUP.sub("", text))
    text = _FRACTION_NAME.sub(r"\\frac", _WORDS.sub(r"\1", text))
    return _LOOSE_SPACE.sub("", " ".join(text.split())).strip().rstrip(".")


def _without_assignment(normalised: str) -> str:
    match = _ASSIGNMENT.match(normalised)
    return normalised[match.end() :] if match and "=" not in normalised[match.end() :] else normalised


def comparable(candidate: str, answer: str) -> tuple[str, str]:
    """Both normalised. An assignment on one side only is dropped: x=5 and 5 agree, x=5 and y=5 do not."""
    left, right = normalise(candidate), normalise(answer)
    bare_left, bare_right = _without_assignment(left), _without_assignment(right)
    return (bare_left, bare_right) if (bare_left == left) != (bare_right == right) else (left, right)


class Number(NamedTuple):
    """A plainly written rational number."""

    value: Fraction
    percent: bool
    places: int
    """Digits after the decimal point; 0 for other forms."""


_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+"
_PLAIN = re.compile(
    rf"([+-]?(?:{_DIGITS}))(?:[eE]([+-]?\d{{1,3}})|(?:\\times|\\cdot|\*)10\^(?:\{{([+-]?\d{{1,3}})\}}|(\d)))?(%)?"
)
_SLASH = re.compile(rf"([+-]?)(?:(\d+) )?((?:{_DIGITS}))/([+-]?(?:{_DIGITS}))")
_PART = rf"(?:\{{([+-]?(?:{_DIGITS}))\}}|(\d))"
_FRAC = re.compile(rf"([+-]?)(\d*)\\frac ?{_PART}{_PART}")


@lru_cache(maxsize=8192)
def number(text: str) -> Number | None:
    r"""Read a number such as ``-3``, ``1,000``, ``.5``, ``50\%``, ``2/3``, ``1\frac{2}{3}``, ``4.5e33``; else None."""
    text = normalise(text)
    if len(text) > 64 or not text.isascii():
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
    else:
        return None
    if not _decimal(below):
        return None
    value = Fraction(whole or 0) + _decimal(above) / _decimal(below)
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


_BASED = re.compile(r"[+-]?[\w.]+_\d+")
_LOOSE_FACTOR = re.compile(r"(?<=\d) (?=[A-Za-z\\])|(?<=[A-Za-z]) (?=\d)")
_QUANTITY = re.compile(r"[\d.,/]+ ?[A-Za-z ]+\^(\d+)")


def compare_cheaply(candidate: str, answer: str) -> bool | None:
    """The verdict where text or plain numbers decide; None where mathematics has to."""
    left, right = comparable(candidate, answer)
    if not left or not right:
        return False
    left_number, right_number = number(left), number(right)
    if left_number is not None and right_number is not None:
        return same_number(left_number, right_number)
    left, right = (_LOOSE_FACTOR.sub("", re.sub(r"(?<=[\^_])\{(\w+)\}", r"\1", text)) for text in (left, right))
    if left == right:
        return True
    # math-verify drops both the base of 52_8 and the unit of 8 cm^2, also where they differ.
    if _BASED.fullmatch(left) and _BASED.fullmatch(right):
        return left.lstrip("0") == right.lstrip("0")
    units = _QUANTITY.fullmatch(left), _QUANTITY.fullmatch(right)
    return False if units[0] and units[1] and units[0][1] != units[1][1] else None


# What may stand behind the letter of a choice: the text of the option, but no second choice.
_OPTION = r"(?!(?:[,;/&+]|and\b|or\b)|[. ]*\(?[A-J]\)?$).*"
_NAMED = re.compile(
    rf"(?:(?:[Oo]ption|[Cc]hoice|[Aa]nswer)\b:? ?)?(?:\(([A-J])\){_OPTION}|([A-J])(?:[.:)]{_OPTION})?)", re.DOTALL
)
_STATED = re.compile(
    r"(?i:\banswer\s*(?:is\b\s*:?|:))[\s*$]*(?:(?i:option|choice)\s+)?[*$]*(?:\\text(?:bf)?\{)?"
    r"(?:\(([A-J])\)|([A-J])(?![\w'\u2019(]|[ \t]+(?!because\b|since\b|as\b)\w))"
    r"(?!\s*(?:[,/&]|or\b|and\b)\s*\(?[A-J]\b)"
)


def choice(answer: str) -> str | None:
    r"""The letter of a reference answer that is a choice from A to J: ``B``, ``(B)`` or ``\text{B}``; else None."""
    match = re.fullmatch(r"([A-J])|\(([A-J])\)", normalise(answer))
    return match and (match[1] or match[2])


def named_choice(candidate: str) -> str | None:
    r"""The one choice that the content of a box names: ``B``, ``(B)``, ``B. text``, ``\textbf{(B)}\ 12``; else None."""
    match = _NAMED.fullmatch(normalise(candidate))
    return match and (match[1] or match[2])


def stated_choice(response: str) -> str | None:
    """The choice of the last statement such as "the answer is (B)" or "Answer: B"; None if there is none."""
    found = _STATED.findall(response)
    return found[-1][0] or found[-1][1] if found else None


COMMAND = re.compile(r"\\[A-Za-z]+")


def commands(names: str) -> frozenset[str]:
    return frozenset("\\" + name for name in names.split())


GREEK = commands("alpha beta gamma delta theta lambda mu phi rho sigma omega tau")


def letters(normalised: str) -> frozenset[str]:
    """The variables (and letters of words) of an answer; commands other than Greek letters do not count."""
    greek = {command for command in COMMAND.findall(normalised) if command in GREEK}
    return frozenset(c.lower() for c in COMMAND.sub(" ", normalised) if c.isalpha()) | greek
