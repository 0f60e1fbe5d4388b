r"""Intervals, their unions, and inequalities in one variable, as one kind: ``x \ge 2`` is ``[2,\infty)``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise

from sage.grading.answers import letters, number
from sage.grading.splitting import INEQUALITIES, cut, elements, enclosed

INFINITY = r"\infty"


@dataclass(frozen=True)
class Span:
    """From low to high; a point if they are the same and both belong to it."""

    low: str
    has_low: bool
    high: str
    has_high: bool


@dataclass(frozen=True)
class Region:
    name: str
    """What lies in it; empty for a set by itself."""
    spans: tuple[Span, ...]
    whole: str = field(default="", compare=False)
    """The inequality that says so, where its variable is part of an expression."""

    @property
    def written(self) -> str:
        """The region as a set, or the inequality."""
        pairs = ((span, "[" if span.has_low else "(", "]" if span.has_high else ")") for span in self.spans)
        return self.whole or r"\cup ".join(f"{low}{span.low},{span.high}{high}" for span, low, high in pairs)


@dataclass(frozen=True)
class Chain:
    """Inequalities that bound no single variable; ascending."""

    sides: tuple[str, ...]
    signs: tuple[str, ...]
    whole: str


LINE = Span("-" + INFINITY, False, INFINITY, False)
_REALS = r"\mathbb{R}"
_FRENCH = re.compile(r"([\]\[])([^\[\]()]+)([\]\[])")
_SYMBOL = re.compile(r"(?:\\?[A-Za-z]+|[A-Za-z])(?:_(?:\w|\{[^{}]*\}))?'*")


def interval(text: str) -> Span | None:
    """The interval between two bounds in any brackets, also those of ``]1,2[``; else None."""
    if (found := enclosed(text)) and found[0] != r"\{":
        opening, inside, closing = found
    elif match := _FRENCH.fullmatch(text):
        opening, inside, closing = match.groups()
    else:
        return None
    bounds = elements(inside)
    if len(bounds) != 2 or not all(bounds):
        return None
    return bounded(bounds[0], opening == "[", bounds[1], closing == "]")


def bounded(low: str, has_low: bool, high: str, has_high: bool) -> Span:
    low, high = low.replace("+" + INFINITY, INFINITY).strip(), high.replace("+" + INFINITY, INFINITY).strip()
    return Span(low, has_low and INFINITY not in low, high, has_high and INFINITY not in high)


def union(text: str) -> tuple[Span, ...] | None:
    r"""The spans of a union of intervals and finite sets, of ``\mathbb{R}`` with or without points; else None."""
    spans: list[Span] = []
    for piece in cut(text, {r"\cup"})[0]:
        parts, cuts = cut(piece, {r"\setminus"})
        if cuts and parts[0] != _REALS:
            left = None if len(cuts) > 1 else _minus(union(parts[0]), union(parts[1]))
            if left is None:
                return None
            spans += left
        elif (span := interval(piece)) is not None:
            spans.append(span)
        elif piece.startswith(_REALS):
            rest = piece.removeprefix(_REALS)
            if rest in ("^+", "_+", "_{+}", "_{>0}", "^{>0}"):
                spans.append(bounded("0", False, INFINITY, False))
            elif not rest:
                spans.append(LINE)
            else:
                match = re.fullmatch(r"(?:\\setminus ?|-)\\\{(.*)\\\}", rest)
                holes = _without(elements(match[1])) if match else _minus((LINE,), union(parts[-1]) if cuts else None)
                if holes is None:
                    return None
                spans += holes
        elif (found := enclosed(piece)) and found[0] == r"\{" and not re.search(r"[|:]", found[1]):
            spans += [Span(point, True, point, True) for point in elements(found[1]) if point]
        else:
            return None
    return tuple(spans)


def _minus(spans: tuple[Span, ...] | None, taken: tuple[Span, ...] | None) -> list[Span] | None:
    """What of some spans lies outside of others, whose bounds have to be numbers."""
    if not spans or not taken:
        return None
    left = list(spans)
    for span in taken:
        below = Span("-" + INFINITY, False, span.low, not span.has_low)
        above = Span(span.high, not span.has_high, INFINITY, False)
        pairs = [_common(each, side) for each in left for side in (below, above)]
        if any(pair is None for pair in pairs):
            return None
        left = [found for pair in pairs if pair for found in pair]
    return left


def _without(points: Sequence[str]) -> list[Span] | None:
    """The line without points, which have to be numbers if there are several."""
    points = [
        sign + point.removeprefix(r"\pm").strip()
        for point in points
        for sign in (("-", "") if point.startswith(r"\pm") else ("",))
    ]
    values = [number(point) for point in points]
    if len(points) > 1:
        if any(value is None for value in values):
            return None
        points = [point for _, point in sorted((v.value, p) for v, p in zip(values, points, strict=True) if v)]
    edges = ["-" + INFINITY, *points, INFINITY]
    return [Span(low, False, high, False) for low, high in pairwise(edges)]


def inequality(text: str) -> Region | Chain | None:
    """What inequalities say: a region of one variable where they bound one by others; None if there are none."""
    sides, signs = cut(text, INEQUALITIES)
    if len(signs) == 1 and not sides[0] and sides[1] and signs != [r"\ne"] and _is_constant(sides[1]):
        found = inequality("x" + text)  # "at least 5"
        return replace(found, name="") if isinstance(found, Region) else None
    if not signs or not all(sides):
        return None
    if signs == [r"\ne"]:
        name, point = (sides[0], sides[1]) if not _is_constant(sides[0]) else (sides[1], sides[0])
        spans = _without([point])
        return Region(name, tuple(spans)) if spans else None
    downwards = [sign in (">", r"\ge") for sign in signs]
    if r"\ne" in signs or len(set(downwards)) > 1:
        return Chain(tuple(sides), tuple(signs), text)
    if downwards[0]:
        sides, signs = sides[::-1], [{">": "<", r"\ge": r"\le"}[sign] for sign in reversed(signs)]
    closed = [sign == r"\le" for sign in signs]
    at = _variable(sides, downwards[0])
    if at is None or len(sides) > 3 or (len(sides) == 3 and at != 1):
        return Chain(tuple(sides), tuple(signs), text)
    if len(sides) == 3:
        return Region(sides[1], (bounded(sides[0], closed[0], sides[2], closed[1]),), text)
    name, bound = sides[at], sides[1 - at]
    if re.fullmatch(r"\|[^|]+\|", name):
        text = "" if _SYMBOL.fullmatch(name.strip("|")) else text
        opposite = bound[1:] if bound.startswith("-") else "-" + bound
        if at == 0:
            return Region(name.strip("|"), (bounded(opposite, closed[0], bound, closed[0]),), text)
        return Region(
            name.strip("|"),
            (bounded("-" + INFINITY, False, opposite, closed[0]), bounded(bound, closed[0], INFINITY, False)),
            text,
        )
    if at == 0:
        return Region(name, (bounded("-" + INFINITY, False, bound, closed[0]),), text)
    return Region(name, (bounded(bound, closed[0], INFINITY, False),), text)


def _is_constant(side: str) -> bool:
    return letters(side) <= {"e"}


def _variable(sides: Sequence[str], reversed_: bool) -> int | None:
    """Which side is bounded by the others; None if none is or several are."""
    varying = [k for k, side in enumerate(sides) if not _is_constant(side)]
    if len(varying) == 1:
        return varying[0]
    symbols = [k for k in varying if _SYMBOL.fullmatch(sides[k])]
    return symbols[0] if len(symbols) == 1 else None


def combine(regions: Sequence[Region], connectors: Sequence[str]) -> Region | None:
    """Several inequalities in the same variable as one region: their union after "or", else what they have in common,
    unless that is nothing (``x < -1, x > 3``); None where it takes mathematics to tell."""
    names = {region.name for region in regions}
    if len(names) != 1:
        return None
    everything = tuple(span for region in regions for span in region.spans)
    if '"or"' in connectors:
        return Region(names.pop(), everything)
    common = list(regions[0].spans)
    for region in regions[1:]:
        pairs = [_common(a, b) for a in common for b in region.spans]
        if any(pair is None for pair in pairs):
            return None
        common = [span for pair in pairs if pair for span in pair]
    return Region(names.pop(), tuple(common) or everything)


def _common(left: Span, right: Span) -> list[Span] | None:
    """What two spans have in common; None where their bounds are no numbers."""
    lows, highs = ([_place(bound) for bound in bounds] for bounds in ((left.low, right.low), (left.high, right.high)))
    if None in lows or None in highs:
        return None
    low = max((lows[0], not left.has_low, left.low), (lows[1], not right.has_low, right.low))
    high = min((highs[0], left.has_high, left.high), (highs[1], right.has_high, right.high))
    if low[0] < high[0] or (low[0] == high[0] and not low[1] and high[1]):  # type: ignore[operator]
        return [Span(low[2], not low[1], high[2], high[1])]
    return []


def _place(bound: str) -> Fraction | float | None:
    if INFINITY in bound:
        return float("-inf") if bound.startswith("-") else float("inf")
    value = number(bound)
    return None if value is None else value.value
