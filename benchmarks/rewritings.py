"""Answers written in another way, and answers that are nearly right: what a verifier must accept and must refuse."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from sage.grading.answers import Number, number
from sage.grading.choices import choice
from sage.grading.notation import normalise

Change = Callable[[str], "str | None"]
"""Changes an answer; None where it does not apply."""


def _exact(answer: str) -> Number | None:
    value = number(answer)
    return None if value is None or value.percent else value


def _replace(old: str, new: str) -> Change:
    return lambda answer: answer.replace(old, new) if old in answer else None


def _substitute(pattern: str, new: str) -> Change:
    return lambda answer: changed if (changed := re.sub(pattern, new, answer)) != answer else None


def _thousands(answer: str) -> str | None:
    return f"{int(answer):,}" if re.fullmatch(r"-?\d{4,}", answer) else None


def _decimal(answer: str) -> str | None:
    """The decimal of a terminating fraction."""
    value = _exact(answer)
    if value is None or value.value.denominator in (1,) or re.search(r"[.e]", answer):
        return None
    rest = value.value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    decimal = format(float(value.value), "f").rstrip("0")
    return decimal if rest == 1 and Fraction(decimal) == value.value else None


def _fraction(answer: str) -> str | None:
    value = _exact(answer)
    if value is None or "." not in answer or value.value.denominator == 1:
        return None
    sign = "-" if value.value < 0 else ""
    return rf"{sign}\frac{{{abs(value.value.numerator)}}}{{{value.value.denominator}}}"


def elements(answer: str) -> tuple[str, list[str], str] | None:
    """Opening bracket, at least two elements, closing bracket of a list, tuple, interval or set; None for others."""
    text = re.sub(r"\\(?:left|right)(?![a-z])", "", normalise(answer))
    if _thousands_separated(text) or "=" in text or r"\begin" in text:
        return None
    match = re.fullmatch(r"(\\\{|[(\[])(.*?)(\\\}|[)\]])", text, re.DOTALL)
    opening, inside, closing = match.groups() if match else ("", text, "")
    parts, depth = [""], 0
    for token in re.findall(r"\\[A-Za-z]+|\\.|.", inside, re.DOTALL):
        depth += token in ("(", "[", "{", r"\{")
        depth -= token in (")", "]", "}", r"\}")
        if depth < 0:
            return None
        if token == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += token
    return (opening, parts, closing) if len(parts) > 1 and all(parts) else None


def _thousands_separated(text: str) -> bool:
    return bool(re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", text))


def _reversed(answer: str) -> str | None:
    """A set or bare list in another order."""
    found = elements(answer)
    if not found or found[0] in ("(", "[") or found[1] == found[1][::-1] or re.search(r"[A-Za-z]{3}", answer):
        return None
    return found[0] + ", ".join(found[1][::-1]) + found[2]


def _wrapped(answer: str) -> str | None:
    return rf"\text{{{answer}}}" if re.fullmatch(r"[A-Za-z]+|-?\d+", answer) else None


def _assigned(answer: str) -> str | None:
    other = re.search(r"[=<>,x]|\\text|\\in|\\[lg]e|[A-Za-z]{3}(?<!frac)", answer)
    return None if other or choice(answer) else f"x = {answer}"


REWRITINGS: dict[str, Change] = {
    "itself": lambda answer: answer,
    "\\dfrac": _replace(r"\frac", r"\dfrac"),
    "\\tfrac": _replace(r"\frac", r"\tfrac"),
    "a/b": lambda answer: (
        re.sub(r"\\d?frac\{(-?\d+)\}\{(\d+)\}", r"\1/\2", answer)
        if re.fullmatch(r"-?\\d?frac\{\d+\}\{\d+\}", answer)
        else None
    ),
    "\\frac12": _substitute(r"\\frac\{(\d)\}\{(\d)\}", r"\\frac\1\2"),
    "blanks": _substitute(r"(?<=[\w})])([-+=])(?=[\w\\({])(?![^{]*\})", r" \1 "),
    "blank after comma": _substitute(r"(?<=[\w})]),(?=[\w\\({](?!!|\d\d(?!\d)))(?![^{]*\})", ", "),
    "no blanks": _substitute(r"(?<=[-+=,]) (?!\d{3}(?!\d))| (?=[-+=,])", ""),
    "\\left \\right": lambda answer: (
        answer.replace("(", r"\left(").replace(")", r"\right)")
        if "(" in answer and r"\left" not in answer and answer.count("(") == answer.count(")")
        else None
    ),
    "no \\left \\right": _substitute(r"\\(left|right)(?![a-z])\s?", ""),
    "dollars": lambda answer: f"${answer}$" if "$" not in answer else None,
    "final stop": lambda answer: f"{answer}.",
    "\\displaystyle": lambda answer: rf"\displaystyle {answer}" if r"\text" not in answer else None,
    "thin spaces": _substitute(r"(?<=\d)(?=\\(?:pi|sqrt)\b)", r"\\,"),
    "\\text{}": _wrapped,
    "no \\text{}": _substitute(r"^\\text\{([^{}]*)\}$", r"\1"),
    "thousands": _thousands,
    "thousands {,}": lambda answer: text.replace(",", "{,}") if (text := _thousands(answer)) else None,
    "no thousands": lambda answer: (
        t.replace(",", "") if _thousands_separated(t := normalise(answer)) and "circ" not in answer else None
    ),
    "x =": _assigned,
    "decimal": _decimal,
    "fraction": _fraction,
    ".0": lambda answer: f"{answer}.0" if re.fullmatch(r"-?\d{1,9}", answer) else None,
    "times 10^": _substitute(r"(?<=\d)e([+-]?\d+)$", r" \\times 10^{\1}"),
    "no leading 0": _substitute(r"^0\.", "."),
    "^{n}": _substitute(r"\^(\d)", r"^{\1}"),
    "^n": _substitute(r"\^\{(\d)\}", r"^\1"),
    "\\sqrt n": _substitute(r"\\sqrt\{(\d)\}", r"\\sqrt \1"),
    "another order": _reversed,
    "\\cdot": _substitute(r"(?<=\d)(?=\\(?:pi|sqrt)\b)", r" \\cdot "),
    "pmatrix": _replace("pmatrix", "bmatrix"),
}
"""Other spellings of the same answer."""


def _other_digit(index: int) -> Change:
    """The first or last digit changed, of the number that it belongs to."""

    def change(answer: str) -> str | None:
        digits = [m.start() for m in re.finditer(r"\d", answer)]
        if not digits or r"\approx" in answer:  # the exact half is an answer by itself
            return None
        place = digits[index]
        digit = str((int(answer[place]) + 1) % 10) if answer[place] != "9" else "8"
        return answer[:place] + digit + answer[place + 1 :]

    return change


def _other_sign(answer: str) -> str | None:
    value = _exact(answer)
    if (
        not re.search("[1-9A-Za-z]", re.sub(r"\\[a-z]+|\{p?matrix\}", "", answer))
        or elements(answer)
        or re.search(r"[=<>]|\\pm|\\text|\\in", answer)
    ):
        return None
    if value is None and not re.fullmatch(r"[-\d\\{}^ ().+a-z]+", answer):
        return None
    return answer[1:] if answer.startswith("-") and not re.search(r"[-+]", answer[1:]) else f"-({answer})"


def _shortened(answer: str) -> str | None:
    found = elements(answer)
    if not found or len(set(found[1])) < len(found[1]):
        return None
    return found[0] + ",".join(found[1][:-1]) + found[2]


def _lengthened(answer: str) -> str | None:
    found = elements(answer)
    return found and found[0] + ",".join([*found[1], "7919"]) + found[2]


def _joined(answer: str) -> str | None:
    """A list of numbers read as one number."""
    found = elements(answer)
    joined = "".join(found[1]) if found else ""
    return joined if found and not found[0] and joined.isdecimal() else None


def _swapped(answer: str) -> str | None:
    """A tuple or interval in another order."""
    found = elements(answer)
    if not found or found[0] not in ("(", "[") or found[1] == found[1][::-1]:
        return None
    return found[0] + ",".join(found[1][::-1]) + found[2]


def _plus_one(answer: str) -> str | None:
    value = _exact(answer)
    if value is not None:
        return str(value.value + 1)
    open_ended = re.search(r"[=<>,&]|\\(?:text|mbox|in|begin|pm|cup|circ)|[A-Za-z]{3}|%|_", answer)
    return None if open_ended or elements(answer) else f"{answer} + 1"


def _other_choice(answer: str) -> str | None:
    letter = choice(answer)
    return letter and "ABCDEFGHIJ"[("ABCDEFGHIJ".index(letter) + 1) % 10]


PERTURBATIONS: dict[str, Change] = {
    "first digit": _other_digit(0),
    "last digit": _other_digit(-1),
    "sign": _other_sign,
    "off by one": _plus_one,
    "one element less": _shortened,
    "joined": _joined,
    "one element more": _lengthened,
    "tuple reversed": _swapped,
    "another letter": _other_choice,
}
"""Answers that are not the same any more."""
