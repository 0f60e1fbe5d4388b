r"""Where in a response its answer stands: behind the thoughts, in the last box or in boxes that belong together."""

from __future__ import annotations

import re
from typing import NamedTuple

from sage.grading.notation import canonical

MAX_BOXES = 32
"""The last boxes of a response; those before are not looked at."""
_THOUGHT = re.compile(
    r"<\|?/?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad)\|?>|\[/?think\]|◁/?think▷", re.IGNORECASE
)
_BOX_TOKEN = re.compile(
    r"(?:\\+b|\x08)oxed\s*(?:\{|(\d))|\\+f(?:rame)?box\s*(?:\[[^\[\]{}]*\]\s*)*(?:\{|(\d))|\\[\\{}]|[{}]"
)
_PLACEHOLDER = re.compile(r'(?:"(?i:the|your|my|final|answer|here|result)"|\\ldots|[^\w\\]|_)*')
_JOINT = re.compile(
    r"(?:[\s$,;&*()]|\\[()\[\],;! ]|\\q?quad|\\(?:text|mbox|textrm)\{\s*(?:and|or|,)*\s*\}|and\b|or\b|和|或|以及"
    r"|[A-Za-z](?:_\{?\w+\}?)?\s*=|\([a-z0-9]\))*"
)
_SEPARATOR = re.compile(r"[,;&]|and\b|or\b|和|或|以及|\([a-z0-9]\)")
_NAME = re.compile(r"([A-Za-z](?:_\{?\w+\}?)?)\s*=[\s$]*(?:\\[(\[]\s*)?\Z")
_RETRACTION = re.compile(
    r"(?i:\b(?:wrong|mistake|incorrect|error|instead|actually|wait|hmm+|reconsider|fails?|however|but|guess(?:ed)?|attempt|(?:final|(?:so|hence|thus|therefore),?\s+(?:the|our))\s+answer|too\s+(?:small|large|big|low|high)|impossible|invalid|extraneous|reject(?:ed)?|must\s+be|no(?=[.,!])|correct(?:ion|ed)|not|check)\b)"
)
_DENIED = re.compile(r"(?i:\bnot)[\s$]*(?:\\[(\[]\s*)?\Z")


def boxed_spans(text: str) -> list[tuple[int, int]]:
    r"""Spans of the contents of all ``\boxed{}`` with balanced braces, in the order in which they end."""
    return _scan(text)[0]


def _scan(text: str) -> tuple[list[tuple[int, int]], int]:
    """Spans of the boxes, and where the content of an outermost one starts that never ends; -1 if there is none."""
    spans: list[tuple[int, int]] = []
    opened: list[int] = []  # where a box's content starts, or -1 for another brace
    for match in _BOX_TOKEN.finditer(text):
        token = match.group()
        if match.lastindex:
            spans.append(match.span(match.lastindex))
        elif token == "}":
            start = opened.pop() if opened else -1
            if start >= 0:
                spans.append((start, match.start()))
        elif token.endswith("{") and token != r"\{":
            opened.append(-1 if token == "{" else match.end())
    return spans, next((start for start in opened if start >= 0), -1)


def last_boxed(text: str) -> str | None:
    r"""Content of the last complete ``\boxed{}``; None if there is none. Linear in the length of the text."""
    spans = boxed_spans(text)
    return text[slice(*spans[-1])].strip() if spans else None


def without_thoughts(response: str) -> str:
    """What a response says outside of ``<think>``; nothing behind a ``<think>`` that does not end, nothing in front
    of a ``</think>`` that the template began."""
    parts: list[str] = []
    position, thinking = 0, False
    for match in _THOUGHT.finditer(response):
        if "/" not in match[0]:
            if not thinking:
                parts.append(response[position : match.start()])
            thinking = True
        elif thinking:
            position, thinking = match.end(), False
        else:
            parts, position = [], match.end()
    return "".join(parts if thinking else [*parts, response[position:]]) if position or parts or thinking else response


class Boxes(NamedTuple):
    """What a response gives as its answer."""

    final: str | None
    """The last box that is not empty, or the list of those joined to it by "and" or a comma; None without any."""
    end: int
    """Where the last of them ends; 0 without any."""
    every: tuple[str, ...]
    """The different boxes of the response, unless it takes one of them back."""


def find_boxes(text: str) -> Boxes:
    r"""The boxes of a response without thoughts.

    A ``\boxed{`` that does not end, in a response that was cut off, counts to the end of its line if there is no other.
    """
    spans, unended = _scan(text)
    spans = [span for span in _outermost(spans)[-MAX_BOXES:] if not _is_empty(text[slice(*span)])]
    if not spans:
        line = text[unended:].lstrip().partition("\n")[0] if unended >= 0 else ""
        return Boxes(None, 0, ()) if _is_empty(line) else Boxes(line.rstrip(" $."), len(text), ())
    joined = [spans[-1]]
    for span in reversed(spans[:-1]):
        between = text[span[1] + 1 : _opening(text, joined[0][0])]
        if len(between) > 80 or not _JOINT.fullmatch(between) or not _SEPARATOR.search(between):
            break
        joined.insert(0, span)
    every = list(dict.fromkeys(_content(text, span) for span in spans))
    retracted = _RETRACTION.search(text, spans[0][1], spans[-1][0]) or _DENIED.search(
        text[: _opening(text, spans[0][0])][-40:]
    )
    final = list(dict.fromkeys(_content(text, span) for span in joined))
    alone = text[slice(*spans[-1])].strip()
    return Boxes(", ".join(final) if len(final) > 1 else alone, spans[-1][1], () if retracted else tuple(every))


def _outermost(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    kept: list[tuple[int, int]] = []
    for span in spans:
        while kept and kept[-1][0] >= span[0]:
            kept.pop()
        kept.append(span)
    return kept


def _opening(text: str, content: int) -> int:
    """Where the command begins whose content starts there."""
    found = (
        text.rfind(sign, max(0, content - 60), content) for sign in ("\\boxed", "\\fbox", "\\framebox", "\x08oxed")
    )
    return max(0, *found)


def _content(text: str, span: tuple[int, int]) -> str:
    """A box with the name in front of it: ``x = \\boxed{3}`` is ``x=3``."""
    content = text[slice(*span)].strip()
    name = _NAME.search(text, max(0, span[0] - 40), max(0, _opening(text, span[0])))
    return f"{name[1]}={content}" if name and "=" not in content else content


def _is_empty(content: str) -> bool:
    return not content.strip() or (len(content) < 100 and bool(_PLACEHOLDER.fullmatch(canonical(content))))
