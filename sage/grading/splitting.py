r"""Notation cut at signs outside of all brackets."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from itertools import pairwise

_TOKEN = re.compile(r'"[^"]*"|\\[A-Za-z]+|\\.|.', re.DOTALL)
_OPENING = frozenset(("(", "[", "{", r"\{", r"\lfloor", r"\lceil", r"\begin"))
_CLOSING = frozenset((")", "]", "}", r"\}", r"\rfloor", r"\rceil", r"\end"))
_THOUSANDS = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?!\d|,\d)")
LISTING = frozenset((",", ";", '"and"', '"or"', "&"))
INEQUALITIES = {"<": "<", ">": ">", r"\le": r"\le", r"\ge": r"\ge", r"\ne": r"\ne"}
RELATIONS = frozenset((*INEQUALITIES, "=", r"\approx", r"\in"))


def _outside(text: str) -> Iterator[tuple[str, int, int]]:
    """Tokens outside of brackets: text, start, end. A bracket counts as outside itself."""
    depth = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token.lower() in _CLOSING:
            depth = max(0, depth - 1)
        if depth == 0:
            yield token.lower() if token[0] == '"' else token, match.start(), match.end()
        if token in _OPENING:
            depth += 1


def cut(text: str, separators: Container[str]) -> tuple[list[str], list[str]]:
    """The stripped pieces between separators, and the separators. Commas of thousands do not count."""
    inside_number = {p for match in _THOUSANDS.finditer(text) for p in range(*match.span())} if "," in text else set()
    found = [t for t in _outside(text) if t[0] in separators and t[1] not in inside_number]
    edges = [0, *(edge for _, start, end in found for edge in (start, end)), len(text)]
    return [text[a:b].strip() for a, b in zip(edges[::2], edges[1::2], strict=True)], [token for token, *_ in found]


def elements(text: str) -> list[str]:
    """What commas separate, thousands or not."""
    commas = [start for token, start, _ in _outside(text) if token in (",", ";")]
    edges = [-1, *commas, len(text)]
    return [text[a + 1 : b].strip() for a, b in pairwise(edges)]


def enclosed(text: str) -> tuple[str, str, str] | None:
    r"""Opening bracket, content and closing bracket of a text in ``()``, ``[]``, ``[)``, ``\{\}``; else None."""
    tokens = list(_TOKEN.finditer(text))
    if len(tokens) < 2 or tokens[0][0] not in ("(", "[", r"\{") or tokens[-1][0] not in (")", "]", r"\}"):
        return None
    depth = 0
    for match in tokens[:-1]:
        depth += (match[0] in _OPENING) - (match[0] in _CLOSING)
        if depth == 0:
            return None
    return (tokens[0][0], text[tokens[0].end() : tokens[-1].start()].strip(), tokens[-1][0]) if depth == 1 else None
