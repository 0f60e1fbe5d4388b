r"""What kind of answer a text is: a value with a unit, a list, a point, an interval, an equation, words.

``parse`` reads the notation of `sage.grading.notation`; what it cannot take apart is one `Value`, for mathematics.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Union

from sage.grading.answers import letters
from sage.grading.names import is_simple
from sage.grading.regions import Chain, Region, Span, combine, inequality, interval, union
from sage.grading.splitting import INEQUALITIES, LISTING, RELATIONS, cut, elements, enclosed
from sage.grading.words import BINDING, WORD, remark, said, spoken

MAX_DEPTH = 6
"""What is nested deeper is not taken apart."""


@dataclass(frozen=True)
class Value:
    """An expression, and what words next to it say."""

    math: str
    remark: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Text:
    """Words only."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Phrase:
    """Words with several expressions among them."""

    words: tuple[tuple[str, ...], ...]
    values: tuple[Kind, ...]


@dataclass(frozen=True)
class Listing:
    """Several answers: in order (a point, a vector, a sequence in brackets) or not (a list, a set)."""

    items: tuple[Kind, ...]
    ordered: bool
    remark: frozenset[str] = frozenset()
    """What words in front say."""


@dataclass(frozen=True)
class Matrix:
    rows: tuple[tuple[Kind, ...], ...]


@dataclass(frozen=True)
class Named:
    """``name = item``."""

    name: str
    item: Kind
    exact: Kind | None
    r"""Where the item is an approximation: the value in front of ``\approx``."""
    whole: str


@dataclass(frozen=True)
class Limited:
    """An answer and the condition under which it holds."""

    item: Kind
    condition: Kind
    binding: bool
    """Whether the condition says which case is meant (*if*), not what a symbol stands for (*where*)."""


@dataclass(frozen=True)
class Congruence:
    """``name = residues (mod modulus)``."""

    name: str
    residues: Kind
    modulus: str


Kind = Union[Value, Text, Phrase, Listing, Matrix, Named, Limited, Congruence, Region, Chain]  # noqa: UP007

_MODULUS = re.compile(
    r"(?:([^\\]*?)\\equiv ?)?((?:(?!\\mod|\\equiv).)+?),? ?\(?\\mod ?\{?((?:(?!\\mod)[^{}()=])+)\}?\)?"
)
_MATRIX = re.compile(r"[(\[]?\\begin\{([pbB]?)matrix\}(.*)\\end\{\1matrix\}[)\]]?", re.DOTALL)
_SCALED = re.compile(
    r'((?!\\det)[^=,"&+]*[^=,"&+(\[ ^_]) ?(?:(?:\\cdot|\\times) ?)?(\\begin\{([pb]?)matrix\}.*\\end\{\3matrix\})',
    re.DOTALL,
)
_CASES = re.compile(r"(.*?=)?\\begin\{cases\}(.*)\\end\{cases\}", re.DOTALL)
_CONDITIONS = {'"where"': False, '"for"': False, '"with"': False, '"if"': True, '"when"': True, '"unless"': True}
_DOMAIN = re.compile(
    r'(?:"(?:where|for|with|any|all|every|some|an)")*(?:([A-Za-z])(?:\\in ?(\\mathbb\{[ZN]\}\S*)'
    r'|(?:=|"is"|"are")?(?:"an"|"any"|"some")*"integers?")|(?:"integers?"|\\mathbb\{Z\}) ?([A-Za-z]))'
)
"""What an index runs over: \\in\\mathbb{Z}, in words too."""
_IN_BRACKETS_BEHIND = re.compile(r"([^,;]+)\((.+)\)")
_UNIT = rf"(?:{WORD}(?:\^ ?(?:\{{-?\d+\}}|\d))?)"
_BEHIND = re.compile(rf'(?:\\cdot ?(?=")|[ *-](?=["(])|/(?=["(])|{_UNIT}|\((?:{_UNIT}|[ /*-]|\\cdot ?)+\)(?:\^\d)?)+\Z')
_IN_FRONT = re.compile(rf"(?:{WORD}|[ -](?=\"))+[: ]*|\((?:{WORD})+\)")
_IDLE_IN_FRONT = re.compile(
    r'(?:(?:"the")?"(?:equation|line)"(?:"of"(?:"the")?"\w+")?[=:]?|"only"|(?:"for")?"(?:all|any|every)"|"for"(?=\\mathbb))(?=[^"]*(?:[=<>]|\\[gl]e(?![A-Za-z])))',
    re.I,
)
"""What says nothing in front of an equation or inequality."""
_OF_NUMBERS = re.compile(r'"(?:integer|number|real|prime)s" ?\Z', re.IGNORECASE)
_BEFORE_OBJECT = ("of", "by", "than", "from", "to", "until", "after", "before")
_BASE = re.compile(r'([0-9A-F]+)\(?"(?:in"")?base"(\d+)\)?')
_POINT = re.compile(r"([A-Z](?:'|_\d)?)(\([^=|]+,[^=|]+\))")
_FUNCTION = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)")


@lru_cache(maxsize=8192)
def parse(text: str, depth: int = 0) -> Kind:
    """The kind of an answer in canonical notation."""
    if depth > MAX_DEPTH:
        return Value(text)
    if (match := _MODULUS.fullmatch(text)) and text.count(r"\mod") == 1:
        return Congruence((match[1] or "").strip(), parse(match[2].strip("("), depth + 1), match[3].strip())
    if match := _IN_BRACKETS_BEHIND.fullmatch(text):
        if limited := _over(match[1].strip(), match[2], depth):
            return limited
        if any(sign in match[2] for sign in INEQUALITIES) and _bounds_a_letter_of(match[1], match[2], depth):
            return Limited(parse(match[1].strip(), depth + 1), parse(match[2], depth + 1), True)
    groups, between = cut(text, {'"or"', ";"})
    if between and all(group.count("=") > 1 and len(cut(group, {",", '"and"'})[0]) > 1 for group in groups):
        return Listing(tuple(parse(group.strip(", "), depth + 1) for group in groups), ordered=False)
    pieces, connectors = cut(text, LISTING)
    pieces = [piece for piece in pieces if piece]
    if len(pieces) < 2:
        return _element(pieces[0] if pieces else text, depth)
    if limited := _over(text[: text.rindex(pieces[-1])].rstrip(", ("), pieces[-1], depth):
        return limited
    items = [parse(piece, depth + 1) if r"\mod" in piece else _element(piece, depth) for piece in pieces]
    if '"or"' in connectors and any(isinstance(item, Region) for item in items):
        items = [_as_point(item) for item in items]
    regions = [item for item in items if isinstance(item, Region)]
    if regions == items[1:] and connectors == [","] and regions[0].name in letters_as_written(pieces[0]):
        return Limited(items[0], regions[0], True)
    if len(regions) == len(items) and (region := combine(regions, connectors)):
        return region
    classes = [item for item in items if isinstance(item, Congruence)]
    if len(classes) == len(items) and len({(each.name, each.modulus) for each in classes}) == 1:
        return replace(classes[0], residues=Listing(tuple(each.residues for each in classes), ordered=False))
    if '"or"' in connectors and (
        all(isinstance(item, Text) or _is_letter(item) for item in items) or len(_symbols(items)) == len(items)
    ):
        items.append(Text(("or",)))  # who is not decided on; p or q says less than p and q, as do x = 3 or y = 2
    return Listing(_flat(items, text), ordered=False)


def _bounds_a_letter_of(rest: str, condition: str, depth: int) -> bool:
    region = parse(condition, depth + 1)
    return isinstance(region, Region) and region.name in letters_as_written(rest)


def _is_letter(item: Kind) -> bool:
    return isinstance(item, Value) and not item.remark and bool(re.fullmatch(r"(?:\\neg ?)?[A-Za-z]+", item.math))


def _symbols(items: Sequence[Kind]) -> set[str]:
    """The different symbols, numbered or not, whose values items are."""
    return {re.split("_", item.name)[0] for item in items if isinstance(item, Named) and is_simple(item.name)}


def _as_point(item: Kind) -> Kind:
    """x = 5 beside inequalities as the region of one point."""
    if isinstance(item, Named) and isinstance(item.item, Value) and not item.item.remark:
        return Region(item.name, (Span(item.item.math, True, item.item.math, True),))
    return item


def _flat(items: Sequence[Kind], text: str) -> tuple[Kind, ...]:
    r"""The elements of a list, each sign of a ``\pm`` as one."""
    if r"\pm" not in text:
        return tuple(items)
    bare = (item.item if isinstance(item, Named) and isinstance(item.item, Listing) else item for item in items)
    parts = (item.items if isinstance(item, Listing) and not item.ordered else (item,) for item in bare)
    return tuple(part for each in parts for part in each)


def _over(rest: str, condition: str, depth: int) -> Limited | None:
    """An answer for every value of an index, which is called k where no other k is; None where no index is in it."""
    match = _DOMAIN.fullmatch(condition)
    index = match and (match[1] or match[3])
    if not match or not index or index not in letters_as_written(rest):
        return None
    domain = index + r"\in" + (match[2] or r"\mathbb{Z}")
    if index != "k" and "k" not in letters_as_written(rest):
        rest, domain = (
            re.sub(rf'\\[A-Za-z]+|"[^"]*"|{index}', lambda m: "k" if m[0] == index else m[0], text)
            for text in (rest, domain)
        )
    return Limited(parse(rest, depth + 1), _element(domain, depth), False)


def letters_as_written(text: str) -> set[str]:
    return set(re.findall("[A-Za-z]", re.sub(r"\\[A-Za-z]+", " ", text)))


def _element(text: str, depth: int) -> Kind:
    """One answer, without separators outside of brackets."""
    head, conditions = cut(text, _CONDITIONS)
    if conditions and head[0] and '"' not in head[0]:
        condition = text[text.lower().index(conditions[0], len(head[0])) + len(conditions[0]) :].strip()
        return _over(head[0], condition, depth) or Limited(
            _element(head[0], depth + 1), parse(condition, depth + 1), _CONDITIONS[conditions[0]]
        )
    if match := _CASES.fullmatch(text):
        rows = [_cells(row, depth) for row in match[2].split(r"\\") if row.strip()]
        return Listing(tuple(Listing(row, ordered=True) for row in rows), ordered=False)
    if text.endswith("^T") and (turned := _transposed(text[:-2], depth)):
        return turned
    if text.count(r"\begin") == 1 and (match := _SCALED.fullmatch(text)):
        return _times(match[1], _element(match[2], depth))
    if (match := _MATRIX.fullmatch(text)) and text.count(r"\begin") == 1:
        matrix = Matrix(tuple(_cells(row, depth) for row in match[2].split(r"\\") if row.strip()))
        return matrix.rows[0][0] if [len(row) for row in matrix.rows] == [1] else matrix
    sides, signs = cut(text, RELATIONS)
    if signs and (match := _IDLE_IN_FRONT.match(text)):
        return _element(text[match.end() :], depth + 1)
    if r"\begin" in text and signs == ["="] and r"{cases}" not in text:
        if r"\begin" not in sides[0]:
            return _equation(text, depth)
        if _is_of_names(_element(sides[0], depth)):
            return _element(sides[1], depth)
    if r"\begin" not in text:
        if any(sign in INEQUALITIES for sign in signs):
            return inequality(text) or Value(text)
        if signs:
            return _equation(text, depth)
    if r"\cup" in text or r"\mathbb{R}" in text or (r"\setminus" in text and text[0] in "(["):
        spans = union(text)
        if spans is not None:
            return Region("", spans)
    if (found := enclosed(text)) or interval(text):
        return _bracketed(text, found, depth)
    if (match := _POINT.fullmatch(text)) and enclosed(match[2]):
        return Named(match[1], parse(match[2], depth + 1), None, text)
    if '"' in text:
        return _with_words(text, depth)
    if r"\pm" in text or r"\mp" in text:
        signed = [re.sub(r"\\pm ?", one, re.sub(r"\\mp ?", other, text)) for one, other in (("+", "-"), ("-", "+"))]
        return Listing(tuple(_measured(value.removeprefix("+")) for value in signed), ordered=False)
    return _measured(text)


def _transposed(text: str, depth: int) -> Kind | None:
    """The transpose of a matrix or vector; None for others."""
    if (found := enclosed(text)) and found[0] != r"\{" and len(items := elements(found[1])) > 1 and "[" not in found[1]:
        return Listing(tuple(parse(item, depth + 1) for item in items), ordered=True)
    kind = parse(text, depth + 1)
    if not isinstance(kind, Matrix) or len({len(row) for row in kind.rows}) > 1:
        return None
    return Matrix(tuple(zip(*kind.rows, strict=True)))


def _times(factor: str, matrix: Kind) -> Kind:
    """A matrix whose entries are multiplied by a factor."""
    factor = factor + "1" if factor in ("-", "+") else factor
    rows = matrix.rows if isinstance(matrix, Matrix) else ((matrix,),)
    return Matrix(
        tuple(
            tuple(Value(rf"{factor}\cdot({cell.math})") if isinstance(cell, Value) else cell for cell in row)
            for row in rows
        )
    )


def _is_of_names(kind: Kind) -> bool:
    r"""Whether it is a vector of names, as in ``\begin{pmatrix}x\\y\end{pmatrix}=...``."""
    cells = [cell for row in kind.rows for cell in row] if isinstance(kind, Matrix) else []
    return bool(cells) and all(isinstance(cell, Value) and is_simple(cell.math) for cell in cells)


def _cells(row: str, depth: int) -> tuple[Kind, ...]:
    cells = (re.sub(r'^"(?:if|when|for|where)"', "", cell.strip()).rstrip(", ") for cell in row.split("&"))
    return tuple(parse(cell, depth + 1) for cell in cells)


def _bracketed(text: str, found: tuple[str, str, str] | None, depth: int) -> Kind:
    if found is None or (found[0] + found[2] in ("(]", "[)")):
        span = interval(text)
        return Region("", (span,)) if span else Value(text)
    opening, inside, closing = found
    items = elements(inside)
    if opening == r"\{":
        sides, bars = cut(inside, {"|", ":"})
        if bars and len(sides) == 2:
            rule = parse(sides[1], depth + 1)
            name = re.split(r"\\in", sides[0])[0].strip()
            if isinstance(rule, (Region, Congruence)) and rule.name == name:
                return replace(rule, name="") if isinstance(rule, Region) else rule
            return _over(sides[0], sides[1], depth) or Value(rf"\{{{sides[0]}|{sides[1]}\}}")
        if not inside:
            return Value(r"\emptyset")
        if inside == r"\emptyset":
            return Value(text)
        members = _flat([parse(item, depth + 1) for item in items if item], text)
        return Listing(tuple(map(_as_set, members)), ordered=False)
    rows = [enclosed(item) for item in items] if opening + closing == "[]" and len(items) > 1 else [None]
    if all(row and row[0] + row[2] == "[]" for row in rows):  # [[1,2],[3,4]]
        return Matrix(tuple(tuple(parse(cell, depth + 1) for cell in elements(row[1])) for row in rows if row))
    if opening + closing == "[]" and len(items) == 2 and (span := interval(text)):
        return Region("", (span,))
    if len(items) == 1:
        return parse(inside, depth + 1) if opening == "(" else Value(text)
    return Listing(tuple(parse(item, depth + 1) for item in items), ordered=True)


def _as_set(kind: Kind) -> Kind:
    """A member of a set, marked where it is a set of one, which is not its own element there."""
    if isinstance(kind, Listing) and not kind.ordered and len(kind.items) == 1:
        return replace(kind, remark=frozenset(("set",)))
    return kind


def _equation(text: str, depth: int) -> Kind:
    sides, signs = cut(text, RELATIONS)
    if not all(sides):
        return Value(text)
    if signs[0] == r"\in":
        item = parse(sides[1], depth + 1)
        span = interval(sides[1])
        if isinstance(item, Region) or span:
            return Region(sides[0], item.spans if isinstance(item, Region) else (span,) if span else ())
        return Named(_named(sides[0]), item, None, text)
    binds = '"' in sides[1] and bool(BINDING & set(spoken(sides[1])))
    if len(sides) == 2 and not letters(sides[0]) and '"' not in sides[0] and is_simple(sides[1]) and not binds:
        sides = sides[::-1]
    names, values = (enclosed(side) for side in (sides[0], sides[-1]))
    if len(sides) == 2 and names and values and names[0] == values[0] == "(":
        parts = list(zip(elements(names[1]), elements(values[1]), strict=False))
        if len(elements(names[1])) == len(elements(values[1])) > 1 and all(is_simple(name) for name, _ in parts):
            named = (Named(name, parse(value, depth + 1), None, f"{name}={value}") for name, value in parts)
            return Listing(tuple(named), ordered=False)
    exact = None
    if signs[-1] == r"\approx" and (len(sides) > 2 or not is_simple(sides[0])):
        exact = parse(sides[-2], depth + 1)
    name = "" if len(sides) == 2 and exact else sides[0]
    return Named(_named(name), parse(sides[-1], depth + 1), exact, text)


def _named(name: str) -> str:
    return " ".join(spoken(name)) if '"' in name and re.fullmatch(rf"(?:{WORD}| )+", name) else name


def _with_words(text: str, depth: int) -> Kind:
    if match := _BASE.fullmatch(text):
        return Value(f"{match[1]}_{{{match[2]}}}" if len(match[2]) > 1 else f"{match[1]}_{match[2]}")
    behind = _BEHIND.search(text)
    rest, words = (text[: behind.start()], behind[0]) if behind else (text, "")
    in_front = _IN_FRONT.match(rest)
    label = in_front[0] if in_front else ""
    rest = re.sub(r"(?:\\times|\\cdot|[ *:])+\Z", "", rest[len(label) :]).strip()
    if not rest:
        return Text(spoken(text))
    if '"' in rest:
        return _phrase(text, depth)
    if not words and re.fullmatch("[a-z]", rest) and _OF_NUMBERS.search(label):
        return Text(spoken(label))
    found = remark(words) | (remark(label) - {""})
    if label and spoken(label)[-1:] and spoken(label)[-1] in _BEFORE_OBJECT and remark(label) - set(_BEFORE_OBJECT):
        found |= {"not"}
    value = _element(rest, depth + 1)
    if isinstance(value, Value):
        return Value(value.math, value.remark | found)
    if isinstance(value, Listing) and not found & BINDING:
        return replace(value, remark=found)
    return value if not found else Phrase((tuple(sorted(found)),), (value,))


def _phrase(text: str, depth: int) -> Kind:
    parts = re.split(rf"((?:{WORD}[ -]*)+)", text)
    values = tuple(parse(part.strip(" :"), depth + 1) for part in parts[::2] if part.strip(" :"))
    return Phrase(tuple(said(words) for words in parts[1::2]), values)


def _measured(text: str) -> Value:
    """A value without words; a degree sign or an ohm at its end is its unit."""
    if match := re.fullmatch(r"((?:(?!\\degree).)*[\d})π])(\\degree|\\Omega)", text):
        if match[2] == r"\Omega":
            return Value(match[1], frozenset(("ohm^1",)))
        if not _FUNCTION.search(text):
            return Value(match[1], frozenset(("degree",)))
    return Value(text)
