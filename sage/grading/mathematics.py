r"""Whether two mathematical expressions are equal: math-verify's verdict, and what any process may ask it."""

from __future__ import annotations

import logging
import re
import threading
from functools import lru_cache
from typing import Any

from sage.grading.answers import COMMAND, GREEK, commands, letters

_E_NOTATION = re.compile(r"(?<=[\d.])[eE]([+-]?\d{1,3})(?!\w|\.\d)")
_THOUSANDS = re.compile(r"(?<![\d,])\d{1,3}(?:,\d{3})+(?![\d,])")
_DEGREES = re.compile(r"(\\[a-z]+(?:\^ ?(?:\w|\{[^{}]*\}))? ?)?(\d+(?:\.\d+)?)\\degree ?")
_ARGUMENT = r"(\\(?:pi|alpha|beta|gamma|delta|theta|lambda|mu|phi|omega)(?![A-Za-z])|[A-Za-z0-9])"
_BARE = [
    (re.compile(rf"(\\(?:frac|binom)|\\sqrt\[[^\[\]]*\]) ?{_ARGUMENT}"), r"\1{\2}"),
    (re.compile(rf"(\\(?:frac|binom) ?\{{(?:[^{{}}]|\{{[^{{}}]*\}})*\}}) ?{_ARGUMENT}"), r"\1{\2}"),
    (re.compile(r"\^ ?(\\frac\{[^{}]*\}\{[^{}]*\})"), r"^{\1}"),
]
"""Arguments without braces, as in \\frac\\pi2 and \\sqrt[3]4."""
_NEEDLESS_ZEROS = re.compile(r"(?<![\d.])(\d+)\.0+(?!\d)")
_NEEDLESS_ONE = re.compile(r"(?<![\d.A-Za-z_^])1(?=[A-Za-z](?![A-Za-z]))")


def _prepared(expression: str) -> str:
    expression = _DEGREES.sub(_in_radians, _THOUSANDS.sub(lambda match: match[0].replace(",", ""), expression))
    for bare, braced in _BARE:
        expression = bare.sub(braced, expression)
    expression = _E_NOTATION.sub(r" \\times 10^{\1}", expression)
    return _NEEDLESS_ONE.sub("", _NEEDLESS_ZEROS.sub(r"\1", expression))


def _in_radians(match: re.Match[str]) -> str:
    fraction = rf"\frac{{{match[2]}\pi}}{{180}}"
    return f"{match[1]}({fraction})" if match[1] else fraction


@lru_cache(maxsize=2048)
def _parse(expression: str) -> list[Any]:
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse

    # The box only: math-verify would otherwise go on to compare some fraction or number inside what it cannot read,
    # and evaluate text with sympy's parse_expr. Units are not its business: it takes the variable of 6m for one.
    config = NormalizationConfig(malformed_operators=True, nits=True, units=False)
    box = LatexExtractionConfig(try_extract_without_anchor=False, boxed_match_priority=0, normalization_config=config)
    parsed = parse(rf"\boxed{{{_prepared(expression)}}}", extraction_config=[box], parsing_timeout=None)
    return _with_common_symbols(parsed)


def _with_common_symbols(parsed: list[Any]) -> list[Any]:
    """What was parsed, its variable i as the imaginary unit (of a variable, i^2 would not be -1), all others as real:
    math-verify takes those beside an i for not real, so that they would differ from those of another expression."""
    from sympy import Expr, I, Symbol

    symbols = parsed[0].free_symbols if parsed and isinstance(parsed[0], Expr) else ()
    common = {symbol: I if symbol.name == "i" else Symbol(symbol.name, real=True) for symbol in symbols}
    return [parsed[0].xreplace(common), *parsed[1:]] if common else parsed


_PRIMES = re.compile(r"(?<=[A-Za-z])'+")
_LETTER = re.compile(r"\\(?:begin|end|mathbb)\{[^{}]*\}|(\\[A-Za-z]+|[A-Z])(?:_(\w|\{\w+\}))?")


def _with_capitals(expression: str, *sides: str) -> str:
    r"""An expression whose capitals are symbols of their own, where m and M occur, or \pi and \Pi: math-verify reads
    all letters as small ones. It drops primes and ^T, which become an index and a symbol."""
    written = " ".join(sides)
    names = {*COMMAND.findall(written), *COMMAND.sub(" ", written)}
    both = {name for name in names if name.lower() != name and name.lower() in names}
    both |= names & {"I"}  # no imaginary unit
    if any("^T" in side for side in sides):
        both.add("T")
    expression = _PRIMES.sub(lambda m: f"_{{{90 + len(m[0])}}}", re.sub(r"\^T", "^{T}", expression))
    if not both:
        return expression

    def marked(match: re.Match[str]) -> str:
        name, index = match[1], (match[2] or "").strip("{}")
        if name in both:
            return f"{name.lower()}_{{99{index}}}"
        return f"{name}_{_LETTER.sub(marked, match[2])}" if index else match[0]

    return _LETTER.sub(marked, expression)


_DERIVATIVE = r"\\frac ?\{(?:d|\\partial)(?:\^\d)? ?\w*\}\{(?:d|\\partial) ?\w(?:\^\d)?\}"
_MISREAD = re.compile(rf"\\ldots|!!|(?<![A-Za-z\\])I\([^()]*\)|{_DERIVATIVE}|\\(?:gcd|lcm) ?\([^()]*[A-Za-z][^()]*\)")
"""What math-verify does not see, or takes for a constant."""


def math_verify_says(candidate: str, answer: str) -> bool:
    """math-verify's verdict on two expressions, without its time limits, and not on small numbers alone."""
    for module in ("parser", "grader"):
        logging.getLogger(f"math_verify.{module}").setLevel(logging.ERROR)  # it warns that it has no time limit
    from math_verify import verify

    misread, expected = (sorted(_MISREAD.findall(side)) for side in (candidate, answer))
    if misread != expected:
        return False
    for k, name in enumerate(dict.fromkeys(expected)):
        candidate, answer = (side.replace(name, f"q_{{{80 + k}}}") for side in (candidate, answer))
    if {candidate[-2:], answer[-2:]} == {"+c", "+C"}:  # any constant
        candidate, answer = (f"{side[:-1]}C" for side in (candidate, answer))
    left, right = (_parse(_with_capitals(side, candidate, answer)) for side in (candidate, answer))
    if any(map(_is_inequality, (left, right))) and (sets := _solved(left, right)):
        return sets[0] == sets[1]
    percent = "%" in candidate + answer  # 50% equals both 0.5 and 50
    return bool(verify(right, left, timeout_seconds=None)) and (percent or _close(left, right))


def _is_inequality(parsed: list[Any]) -> bool:
    from sympy import And, Eq
    from sympy.core.relational import Relational

    inequality = bool(parsed) and isinstance(parsed[0], (And, Relational)) and not isinstance(parsed[0], Eq)
    return inequality and len(parsed[0].free_symbols) == 1


def _solved(left: list[Any], right: list[Any]) -> list[Any]:
    """The sets of real numbers that inequalities in the same variable allow, or that are given; empty for others."""
    from sympy import Float, Rational, Set

    symbols = {symbol for each in (left, right) if _is_inequality(each) for symbol in each[0].free_symbols}
    if len(symbols) != 1 or not all(
        each and (isinstance(each[0], Set) or _is_inequality(each)) for each in (left, right)
    ):
        return []
    exact = (each[0].xreplace({x: Rational(str(x)) for x in each[0].atoms(Float)}) for each in (left, right))
    try:
        return [item if isinstance(item, Set) else item.as_set() for item in exact]
    except NotImplementedError:
        return []


def _close(left: list[Any], right: list[Any]) -> bool:
    """False where two numbers differ in their first five digits: math-verify compares absolutely, so 1e-20 equals 0."""
    if left == right or not all(parsed and getattr(parsed[0], "is_number", False) for parsed in (left, right)):
        return True
    apart, *sizes = (abs(value.evalf()).evalf() for value in (left[0] - right[0], left[0], right[0]))
    if not all(value.is_Number and value.is_finite for value in (apart, *sizes)):
        return True
    return bool(apart <= 1e-5 * max(sizes))


# What math-verify may see in a caller's process: no factorials, sums, integrals, limits, matrices, big powers.
_HARMLESS_COMMANDS = GREEK | commands("frac sqrt pi cdot times div infty cup cap pm sin cos tan ln log")
_COSTLY = re.compile(r"\\(?:sqrt|sin|cos|tan|ln|log|pm)(?![A-Za-z])")
_FACTORIAL = re.compile(r"(?<![\d.!])(\d\d?)!(?!!)")
_POWER = re.compile(r"([\])}]?)\^ ?(\{(?:[^{}]|\{[^{}]*\})*\}|\\?\w)")


@lru_cache(maxsize=8192)
def is_harmless(expression: str) -> bool:
    """Whether a comparison with the expression is quick, whatever the other one is, if that is harmless too."""
    expression = expression if "^" in expression else _FACTORIAL.sub(r"\1", expression)
    if not 0 < len(expression) <= 64 or re.search(r"[!<>]|\*\*|\.\.|\\[^A-Za-z{}]|&|\^[^^]*\^ ?\{?\^", expression):
        return False
    if any(command not in _HARMLESS_COMMANDS for command in COMMAND.findall(expression)):
        return False
    symbolic = bool(letters(expression))
    if len(_COSTLY.findall(expression)) > (1 if symbolic else 3):
        return False
    if expression.count("^") != len(_POWER.findall(expression)) or re.search(
        r"\^ ?(?:\{[^{}]*\}|\\?\w) ?\^", expression
    ):
        return False
    plain, grouped = 1, 1
    for base, exponent in _POWER.findall(expression):
        if "^" in exponent:
            return False
        size = 1
        for digits in re.findall(r"\d+", exponent):
            size *= max(1, int(digits))
        if base:
            grouped *= size
        else:
            plain = max(plain, size)
    return plain * grouped <= (12 if symbolic else 999)


class HarmlessMathematics:
    """Mathematics for one comparison in a caller's process: what could be slow, or comes late, is different."""

    def __init__(self, comparisons: int = 16) -> None:
        self._left = comparisons

    def __call__(self, candidate: str, answer: str) -> bool:
        if letters(candidate) != letters(answer) or not (is_harmless(candidate) and is_harmless(answer)):
            return False
        self._left -= 1
        return self._left >= 0 and _compare_here(candidate, answer)


_here = threading.Lock()  # sympy and the parser keep global caches


@lru_cache(maxsize=8192)
def _compare_here(candidate: str, answer: str) -> bool:
    with _here:
        return math_verify_says(candidate, answer)
