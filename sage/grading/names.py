r"""What stands on the left side of an equation: a name of what is on the right, or something to be solved."""

from __future__ import annotations

import re

from sage.grading.answers import letters

_GRAPH = ({"y", "f(x)"}, {"y'", "f'(x)", r"\frac{dy}{dx}"}, {"y", "f^{-1}(x)"})
"""Names of one and the same function of x, of its derivative and of its inverse."""
_TO_SOLVE = re.compile(r"(?!.*[a-z]\([\d,]+\))(?:[a-z\d +*/()-]|\^(?:\w|\{\d+\})|\\frac ?(?=\{|\d)|\\cdot ?|[{}])+")

_NAME = re.compile(
    r"[A-Za-z ]+(?:_(?:\w|\{[^{}]*\}))?(?:\^\{-1\}|\^T|\^\{\(\d\)\})?'*(?:\([^()=]*(?:\([^()]*\))?[^()=]*\))?"
    r"|\\[a-z]+(?:_(?:\w|\{[^{}]*\}))?(?:\([A-Za-z, ]*\))?|\\(?:angle|triangle|det|deg|dim) ?(?:[A-Z](?:_\w)?'* ?)+"
    r"|\\(?:overline|overrightarrow|vec|hat) ?\{?\w+\}?"
    r"|\|[A-Z]+\||\[[A-Z]+\]|\\frac\{d ?\w*\}\{d ?\w\}|d\w/d\w"
)


def is_simple(name: str) -> bool:
    r"""Whether an equation's left side only names what the right side is: a symbol, ``f(x)``, ``\angle ABC``, words."""
    if '"' in name:
        return bool(re.fullmatch(r"[^+*/^\d=]+", name))
    return bool(_NAME.fullmatch(name)) and name not in ("e", "i") and bool(re.search("[A-Za-z]", name))


def has_to_be_solved(side: str) -> bool:
    """Whether an equation says with it what one variable is, as 2x = 6 does, and not what is asked for."""
    return _TO_SOLVE.fullmatch(side) is not None and not is_simple(side) and len(letters(side)) == 1


_SPELLING = re.compile(r"\\overline ?\{(\w+)\}|(d\w)/(d\w)")


def same_name(left: str, right: str) -> bool:
    """Whether two left sides name the same."""
    left, right = (_SPELLING.sub(lambda m: m[1] or rf"\frac{{{m[2]}}}{{{m[3]}}}", name) for name in (left, right))
    alike = left == right or any({left, right} <= names for names in _GRAPH)
    return alike or _numbered(left, right) or _numbered(right, left)


def _numbered(name: str, other: str) -> bool:
    """Whether a name is another one with a number, as x_1 and x are."""
    return bool(other) and re.fullmatch(rf"{re.escape(other)}_(?:\d|\{{\d+\}})", name) is not None
