r"""Mathematics as it is spoken and typed, turned into the LaTeX that verifiers read.

``thirty-six pi``, ``36π`` and ``36*pi`` are ``36\pi``; ``minus three quarters`` is ``-3/4``; ``1 024`` is ``1024``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache


def _numbered(words: str, start: int, step: int = 1) -> dict[str, int]:
    return {word: start + step * n for n, word in enumerate(words.split())}


_SMALL = _numbered(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen",
    0,
) | _numbered("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10)
_LARGE = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = (
    {"half": 2, "halve": 2, "quarter": 4, "hundredth": 100, "thousandth": 1000}
    | _numbered("third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth", 3)
    | _numbered("twentieth thirtieth fortieth fiftieth", 20, 10)
)


def _any(words: dict[str, int]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_WHOLE = rf"(?:{_any(_SMALL | _LARGE)})"
_AFTER_LARGE = "(?:" + "|".join(f"(?<={word})" for word in _LARGE) + ")"
_CARDINAL = rf"(?:an?[ ](?={_any(_LARGE)}))?{_WHOLE}(?:(?:[ -]|{_AFTER_LARGE}(?:,|[ ]and)[ ]){_WHOLE}){{0,20}}"
_PART = rf"(?:{_any(_PARTS)})s?"
SPOKEN = re.compile(
    rf"""\b(?P<sign>(?:minus|negative)[ ])?
    (?:(?P<whole>{_CARDINAL})(?:[ ]point(?P<decimals>(?:[ ](?:{_any(_SMALL)}|oh)\b){{1,12}}))?\b
        (?:(?P<and>[ ]and[ ](?:an?|(?P<mixed>{_CARDINAL})))?[ -](?P<part>{_PART})\b)?
      |an?[ ](?P<one>{_PART})\b|(?P<half>half(?:[ ]a[ ]dozen)?)\b)""",
    re.IGNORECASE | re.VERBOSE,
)
"""A number in words: whole, decimal, a fraction, or mixed."""
SPOKEN_TERM = re.compile(
    SPOKEN.pattern + r"(?:[ -]?(?:times[ ])?(?:pi\b|π|\\pi\b|(?:the[ ])?(?:square[ ])?root[ ](?:of[ ])?\w+))?"
    r"(?:[ ]over[ ]\w+)?",
    re.IGNORECASE | re.VERBOSE,
)
"""The same, with pi or a root as a factor."""
CHINESE = re.compile(
    r"负?[零〇一二两三四五六七八九十百千万亿]+(?:点[零〇一二三四五六七八九]+|分之[零一二两三四五六七八九十百千万亿]+)?"
)
_MANY = re.compile(rf"\b(\d[\d,]{{0,20}}(?:\.\d{{1,9}})?) ({_any(_LARGE)})\b", re.IGNORECASE)
_CHINESE_DIGITS = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_CHINESE_SCALES = {"十": 10, "百": 100, "千": 1000, "万": 10**4, "亿": 10**8}


def _cardinal(text: str) -> int | None:
    """The value of ``two hundred and five``; None where the words are no one number (``three four``)."""
    total, group, last = 0, 0, 0
    for word in re.findall(r"[a-z]+", text.lower()):
        if word in ("and", "a", "an"):
            continue
        if word in _SMALL:
            number = _SMALL[word]
            if last and not (last == 100 or (20 <= last <= 90 and 0 < number < 10)):
                return None
            group, last = group + number, number or 1
        elif word == "hundred":
            group, last = max(group, 1) * 100, 100
        else:
            total, group, last = total + max(group, 1) * _LARGE[word], 0, 0
    return total + group


def _written(match: re.Match[str]) -> str:
    """A spoken number in digits."""
    sign = "-" if match["sign"] else ""
    if match["half"] and "dozen" in match["half"].lower():
        return f"{sign}6"
    if part := match["one"] or match["half"]:
        return f"{sign}1/{_part(part)}"
    whole = _cardinal(match["whole"])
    if whole is None:
        return match.group()
    if match["decimals"]:
        digits = [_SMALL.get(word, 0) for word in match["decimals"].lower().split()]
        return f"{sign}{whole}." + "".join(map(str, digits))
    if not match["part"]:
        return f"{sign}{whole}"
    below = _part(match["part"])
    if not match["and"]:
        return f"{sign}{whole}/{below}"
    above = _cardinal(match["mixed"]) if match["mixed"] else 1
    value = whole + Fraction(above or 0, below)
    return f"{sign}{value.numerator}/{value.denominator}"


def _many(match: re.Match[str]) -> str:
    value = Fraction(match[1].replace(",", "")) * _LARGE[match[2].lower()]
    return str(value.numerator) if value.denominator == 1 else match.group()


def _part(word: str) -> int:
    word = word.lower()
    return _PARTS.get(word) or _PARTS[word[:-1]]


def _chinese(match: re.Match[str]) -> str:
    text = match.group()
    sign, text = ("-", text[1:]) if text[0] == "负" else ("", text)
    if "分之" in text:
        below, above = text.split("分之")
        return f"{sign}{_chinese_whole(above)}/{_chinese_whole(below)}"
    whole, _, decimals = text.partition("点")
    digits = "".join(str(_CHINESE_DIGITS[c]) for c in decimals)
    return f"{sign}{_chinese_whole(whole)}" + (f".{digits}" if digits else "")


def _chinese_whole(text: str) -> int:
    if not set(text) & _CHINESE_SCALES.keys():
        return int("".join(str(_CHINESE_DIGITS[c]) for c in text) or 0)
    total = group = digit = 0
    for c in text:
        scale = _CHINESE_SCALES.get(c)
        if scale is None:
            digit = _CHINESE_DIGITS[c]
        elif scale < 10**4:
            group, digit = group + (digit or 1) * scale, 0
        else:
            total, group, digit = (total + group + digit) * scale, 0, 0
    return total + group + digit


# One character for one, so that places in a text stay what they are.
_PLAIN = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
_PLAIN |= dict.fromkeys((0xA0, 0x2007, 0x2008, 0x2009, 0x200A, 0x202F, 0x2002, 0x2003, 0x3000), " ")
_PLAIN |= {
    0x2212: "-",
    0x2010: "-",
    0x2011: "-",
    0x2013: "-",
    0x2014: "-",
    0xFE63: "-",
    0x2019: "'",
    0x2215: "/",
    0x2044: "/",
}


def plain(text: str) -> str:
    """The text with full-width characters, kinds of blanks and minus signs made ASCII; as long as before."""
    return text if text.isascii() else text.translate(_PLAIN)


_SYMBOLS = {
    "π": r"\pi ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "λ": r"\lambda ", "φ": r"\phi ",
    "∞": r"\infty ", "×": r"\times ", "⋅": r"\cdot ", "·": r"\cdot ", "÷": r"\div ", "≤": r"\le ", "≥": r"\ge ",
    "∪": r"\cup ", "∩": r"\cap ", "∅": r"\emptyset ", "±": r"\pm ", "°": r"^\circ ", "∈": r"\in ",
    "½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}",
    "⅕": r"\frac{1}{5}", "⅖": r"\frac{2}{5}", "⅗": r"\frac{3}{5}", "⅘": r"\frac{4}{5}", "⅙": r"\frac{1}{6}",
    "⅚": r"\frac{5}{6}", "⅛": r"\frac{1}{8}", "⅜": r"\frac{3}{8}", "⅝": r"\frac{5}{8}", "⅞": r"\frac{7}{8}",
}  # fmt: skip
_SYMBOL = re.compile("[" + "".join(_SYMBOLS) + "]")
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_FROM_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_UNDER_ROOT = r"(?:\(([^()]{1,60})\)|\{([^{}]{1,60})\}|(\d+(?:\.\d+)?|[A-Za-z]\b))"
_ROOT = re.compile(
    rf"(?<![A-Za-z\\])(?:√|(?:the )?square root(?: of)? ?|sqrt ?|root (?:of )?){_UNDER_ROOT}", re.IGNORECASE
)
_CUBE_ROOT = re.compile(rf"(?<![A-Za-z\\])(?:∛|(?:the )?cube root(?: of)? ?|cbrt ?){_UNDER_ROOT}", re.IGNORECASE)
_RULES = (
    (re.compile(r"(?<![A-Za-z\\])pi(?![A-Za-z])", re.IGNORECASE), r"\\pi "),
    (re.compile(r"(?<![A-Za-z\\])infinity(?![A-Za-z])", re.IGNORECASE), r"\\infty "),
    (re.compile(r"(?<=[\d\w)}]) ?(?:percent|per cent)\b", re.IGNORECASE), "%"),
    (re.compile(r"(?<=[\d)}]) ?degrees?\b", re.IGNORECASE), r"^\\circ "),
    (re.compile(r" squared\b"), "^2"),
    (re.compile(r" cubed\b"), "^3"),
    (re.compile(r" (?:raised )?to the (?:power (?:of )?)?(\d+)(?:th|st|nd|rd)?(?: power)?\b"), r"^{\1}"),
    (re.compile(r" over (?=[\d\\])"), "/"),
    (re.compile(r"(?<=\d) times (?=[\d\\])"), r" \\cdot "),
    (re.compile(r"(?<=[\w})$]),? (?:and|or) (?=[-$\d\\(]|[a-z] ?=)"), ", "),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"\^\(([^()]{1,40})\)"), r"^{\1}"),
    (re.compile(r"\^(-?\d{2,})"), r"^{\1}"),
    (re.compile(r"(?<=[\d)}]) ?\* ?(?=[A-Za-z\\(])"), ""),
    (re.compile(r"(?<=[A-Za-z) ]) ?\* ?(?=[A-Za-z\\(])"), " "),
    (re.compile(r"\\frac ?(\d) ?(\d)"), r"\\frac{\1}{\2}"),
)
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:(?:\\[,;: ]|\{\\,\}|~|['_ ])\d{3})+(?![\d])")


@lru_cache(maxsize=8192)
def as_latex(text: str) -> str:
    """A short piece of text as LaTeX, where it is mathematics in words, in plain typing or in Unicode."""
    text = _MANY.sub(_many, plain(text))
    text = CHINESE.sub(_chinese, SPOKEN.sub(_written, text))
    text = _THOUSANDS.sub(lambda match: re.sub(r"\D", "", match.group()), text)
    text = _RAISED.sub(lambda match: "^{" + match.group().translate(_FROM_RAISED) + "}", text)
    text = _ROOT.sub(_root(r"\sqrt"), _CUBE_ROOT.sub(_root(r"\sqrt[3]"), text))
    text = _SYMBOL.sub(lambda match: _SYMBOLS[match.group()], text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())


def _root(command: str) -> Callable[[re.Match[str]], str]:
    return lambda match: f"{command}{{{match[1] or match[2] or match[3]}}}"
