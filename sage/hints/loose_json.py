r"""Objects in text that is nearly JSON, as language models write it.

A model puts LaTeX into JSON and seldom escapes it. A JSON parser then either rejects ``"\sqrt{2}"`` or, worse, turns
``"\frac"`` into a form feed and ``rac``. This reader knows which backslashes are LaTeX, and accepts the usual slips:
prose and fences around the object, comments, raw newlines, inner quotes, typographic quotes, bare keys and values,
missing or trailing commas, a truncated end. It passes over the text a bounded number of times.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

Value: TypeAlias = "Raw | int | dict[str, Value] | list[Value]"


class Raw(str):
    """A string as it stands between its quotes; `decode` gives its meaning."""


@dataclass(frozen=True)
class Found:
    """One object or array; only what the text finishes is in it."""

    value: dict[str, Value] | list[Value]
    start: int
    """Where it begins in the text."""
    complete: bool


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Commands that begin like the JSON escapes \n, \r and \t. Only whole names count: \nuse is a newline before "use".
_LATEX_N = _names("""
    nabla natural nearrow neg neq newline nexists ngeq nleq ngtr nless nmid nolimits nonumber norm not notin nparallel
    nprec nrightarrow nsim ncong nsubseteq nsupseteq nsucc ntriangleleft ntriangleright nwarrow
""")
_LATEX_N_OR_NEWLINE = _names("nu ne")
_LATEX_R = _names("""
    rangle rank rbrace rbrack rceil ref rfloor rgroup rho right rightarrow rightharpoonup rightleftharpoons rm root
    rtimes rvert
""")
_LATEX_T = _names("""
    tag tan tanh tau tbinom text textbf textit textrm textsf texttt textstyle textcolor tfrac theta therefore
    thickapprox thicksim tilde times to top tr triangle triangleleft triangleq triangleright trianglelefteq tt
    twoheadrightarrow
""")
_MAX_RESTARTS = 8
_MAX_DEPTH = 64
_MAX_BARE = 4000

# Every repetition below is bounded or can start at few places only, so that no text is read in more than linear time.
_CLOSING = {
    '"': '"',
    "'": "'",
    "`": "`",
    "\u201c": '\u201d\u201c"',
    "\u201d": "\u201d\u201c",
    "\u201e": '\u201c\u201d"',
    "\u2018": "\u2019\u2018",
    "\u00ab": "\u00bb",
    "\uff02": "\uff02",
    "\u300c": "\u300d",
    "\u300e": "\u300f",
}
"""Quotes that open a string, with those that close it."""
_Q = "[" + "".join(sorted({*"".join(_CLOSING), *"".join(_CLOSING.values())})) + "]"
_NO_Q = _Q.replace("[", "[^")
_NAME = r"[^\W_][\w .()#-]{0,48}"
_COLON = r"\s*[:\uff1a]"
_COMMA = r"[,;\u3001\uff0c\uff1b]"
_COMMENT = r"(?://[^\n]{0,200}(?:\n|\Z)|\#[^\n]{0,200}(?:\n|\Z)|/\*(?:[^*]|\*(?!/)){0,200}\*/)"
_GAP = rf"\s*(?:{_COMMENT}\s*){{0,8}}"
_LEVEL = r"(?:hint[\s_]?)?(?:level|hint)[\s_]?(?:\d{1,3}|one|two|three)"
_LEVEL_KEY = rf"{_Q}({_LEVEL}{_NO_Q}{{0,60}}){_Q}"
_NEXT_KEY = rf"(?:{_Q}{_NAME}{_Q}(?:{_COLON}|\s*\Z)|{_LEVEL}{_COLON}|\d{{1,2}}{_COLON}\s{{0,9}}{_Q})"

_OBJECT_START = re.compile(rf"(?<!\\)\{{{_GAP}(?={_Q}?{_NAME}{_Q}?{_COLON})|(?<!\\)\[{_GAP}(?={_Q}|\{{)")
_KEY = re.compile(rf"(?:{_LEVEL_KEY}|{_Q}?({_NAME}){_Q}?){_COLON}{_GAP}", re.IGNORECASE)
_SEPARATOR = re.compile(rf"(?:[\s+]|{_COMMA}|{_COMMENT})*")
# What may follow the quote that ends a value: the end, a bracket, the next key, a string that goes on with this one, or
# anything but a quote up to the key of a level, which no hint may swallow. Other quotes belong to the text.
_END = rf"(?:\Z|[}}\]]|{_COMMA}{_GAP}(?:\Z|[}}\]]|{_Q}(?:{_NAME})?\Z|{_NEXT_KEY})|{_Q}{_NAME}{_Q}{_COLON})"
_GOES_ON = rf"(?:\+\s*)?{_Q}[^\"'\\\n]{{0,200}}{_Q}{_GAP}{_END}"
_AFTER_VALUE = re.compile(rf"{_GAP}(?:{_END}|{_GOES_ON})|{_NO_Q}{{0,240}}{_LEVEL_KEY}{_COLON}", re.IGNORECASE)
_AFTER_ITEM = re.compile(rf"{_GAP}(?:\Z|\]|{_COMMA}{_GAP}(?:\Z|[\]{{\[]|{_Q}))")
_NUMBER = re.compile(r"-?\d{1,9}(?=\s{0,99}(?:[,\uff0c}\]\n/#]|\Z))")
_CONSTANT = re.compile(r"(?:null|none|nil|undefined|true|false|[-+\d.eE]*)\Z", re.IGNORECASE)
_BARE_END = re.compile(rf"[}}\]]|{_COMMA}\s{{0,99}}(?:[}}\]]|{_NEXT_KEY})|\n[ \t]{{0,20}}{_NEXT_KEY}|\Z", re.IGNORECASE)
_BODY = {
    opening: re.compile(rf"(?:[^{closing}\\]+|\\.)*", re.DOTALL)  # up to the next unescaped closing quote
    for opening, closing in _CLOSING.items()
}


@dataclass
class _Frame:
    """An open object or array."""

    start: int
    value: dict[str, Value] | list[Value]
    key: str | None = None

    def put(self, value: Value) -> None:
        """Add a member or an item; a key that comes again moves to the end."""
        if isinstance(self.value, list):
            self.value.append(value)
        elif self.key is not None:
            self.value.pop(self.key, None)
            self.value[self.key] = value
        self.key = None


@dataclass
class _Reader:
    text: str
    found: list[Found] = field(default_factory=list)

    def read(self, position: int, start: int) -> tuple[int, int | None]:
        """Read one object or array whose bracket was just passed, and what is inside it.

        Returns:
            Where reading stopped, and where the string starts that never ended (None if there is none).
        """
        text = self.text
        frames = [_Frame(start, {} if text[start] == "{" else [])]
        open_string = None
        while frames:
            frame = frames[-1]
            position = _SEPARATOR.match(text, position).end()  # type: ignore[union-attr]  # matches "" too
            character = text[position : position + 1]
            if character in ("}", "]"):
                frames.pop()
                position += 1
                self.found.append(Found(frame.value, frame.start, complete=True))
                if frames:
                    frames[-1].put(frame.value)
                continue
            if isinstance(frame.value, dict) and frame.key is None:
                if key := _KEY.match(text, position):
                    frame.key, position = key.group(1) or key.group(2), key.end()
                    character = text[position : position + 1]
                elif character not in _CLOSING:
                    break
            if character in ("{", "["):
                if len(frames) == _MAX_DEPTH:
                    break
                frames.append(_Frame(position, {} if character == "{" else []))
                position += 1
            elif character in _CLOSING:
                end, after = self._string(position, _AFTER_VALUE if isinstance(frame.value, dict) else _AFTER_ITEM)
                if end is None:
                    open_string = position + 1
                    break
                frame.put(Raw(text[position + after - end : end]))
                position = after
            elif number := _NUMBER.match(text, position):
                frame.put(int(number.group()))
                position = number.end()
            else:
                limit = min(len(text), position + _MAX_BARE)
                end = _BARE_END.search(text, position, limit).start()  # type: ignore[union-attr]  # finds the limit
                if end == limit or (end == position and frame.key is None):
                    break
                bare = text[position:end].strip()
                frame.put(0 if _CONSTANT.match(bare) else Raw(bare))
                position = end
        self.found.extend(Found(frame.value, frame.start, complete=False) for frame in frames)
        return position, open_string

    def _string(self, start: int, follow: re.Pattern[str]) -> tuple[int | None, int]:
        """Where the content of the string opened at ``start`` ends, and where its closing quotes do; None: never."""
        text = self.text
        if text.startswith('"""', start) and (end := text.find('"""', start + 3)) >= 0:
            return end, end + 3
        body, position = _BODY[text[start]], start + 1
        while (end := body.match(text, position).end()) < len(text):  # type: ignore[union-attr]  # matches "" too
            if text[end] == "\\":  # a lone backslash is the last character
                return None, end
            if follow.match(text, end + 1):
                return end, end + 1
            position = end + 1
        return None, end


def scan(text: str) -> list[Found]:
    """All objects and arrays of a text in the order in which they end; those that it breaks off come as incomplete."""
    reader = _Reader(text)
    position, restarts = 0, 0
    while match := _OBJECT_START.search(text, position):
        position, open_string = reader.read(match.end(), match.start())
        if open_string is not None:
            # A quote was never closed. Look for another object inside, but not once per brace of an adversarial text.
            restarts += 1
            position = open_string if restarts <= _MAX_RESTARTS else len(text)
    return reader.found


def best_first(found: list[Found]) -> Iterator[Found]:
    """Complete ones before truncated ones, later before earlier."""
    yield from sorted(reversed(found), key=lambda one: not one.complete)


_ESCAPE = re.compile(r"(\\+)(u[0-9a-fA-F]{4}|[A-Za-z]{1,24}|.|\Z)", re.DOTALL)
_PROSE = re.compile(r"[ ,]{1,2}[a-z]{2}")
_SURROGATE_PAIR = re.compile("([\ud800-\udbff])([\udc00-\udfff])")
_SURROGATE = re.compile("[\ud800-\udfff]")


def decode(raw: str) -> str:
    """Undo the JSON escapes of a string and leave its LaTeX alone."""
    if "\\" not in raw:
        return raw
    runs = _ESCAPE.findall(raw)
    plain = any(len(slashes) % 2 == 1 and _is_certain_latex(tail) for slashes, tail in runs)
    strict = not plain and any(len(slashes) % 2 == 0 and tail[:1].isalpha() for slashes, tail in runs)

    dollars = counted = 0

    def begins_a_line(match: re.Match[str]) -> bool:
        r"""``\\alpha\nu is free`` goes on in a new line; ``$\\alpha\nu$`` and ``\\alpha\nu_1`` do not."""
        nonlocal dollars, counted
        dollars += raw.count("$", counted, match.start())
        counted = match.start()
        return dollars % 2 == 0 and _PROSE.match(raw, match.end()) is not None

    def replace(match: re.Match[str]) -> str:
        slashes, tail = match.groups()
        count = len(slashes)
        if count == 1:
            return _decode_escape(tail, strict and tail in _LATEX_N_OR_NEWLINE and begins_a_line(match))
        if plain and count in (2, 3):  # a matrix row break, unless it is a command that was doubled after all
            if count == 2:
                return "\\" + tail if tail[:1].isalpha() else slashes + tail
            return "\\\\" + _decode_escape(tail, False)
        if count % 2 == 0:
            return slashes[: count // 2] + tail
        return slashes[: count // 2] + _decode_escape(tail, strict)

    decoded = _ESCAPE.sub(replace, raw).replace("\r\n", "\n").replace("\r", "\n")
    if _SURROGATE.search(decoded):
        decoded = _SURROGATE_PAIR.sub(_join_surrogates, decoded)
        decoded = _SURROGATE.sub("\ufffd", decoded)
    return decoded


def _join_surrogates(match: re.Match[str]) -> str:
    return match.group().encode("utf-16-le", "surrogatepass").decode("utf-16-le")


@lru_cache(maxsize=4096)
def _is_certain_latex(tail: str) -> bool:
    """Whether a single backslash before ``tail`` can only be LaTeX whose backslash was not doubled."""
    if not tail[:1].isalpha():
        return tail[:1] not in ("", '"', "'", "/", "\\", "\n")
    if re.fullmatch(r"u[0-9a-fA-F]{4}", tail):
        return False
    head = tail[0]
    if head == "n":
        return tail in _LATEX_N
    if head == "r":
        return tail in _LATEX_R
    if head == "t":
        return tail in _LATEX_T
    return len(tail) > 1 or head not in "bf"


@lru_cache(maxsize=4096)
def _decode_escape(tail: str, strict: bool) -> str:
    r"""The meaning of one backslash before ``tail``; ``strict`` when ``\nu`` and ``\ne`` would be a new line."""
    head = tail[:1]
    if head in ('"', "'", "/"):
        return tail
    if head in ("", "\n"):
        return tail
    if re.fullmatch(r"u[0-9a-fA-F]{4}", tail):
        return chr(int(tail[1:], 16))
    if _is_certain_latex(tail) or (tail in _LATEX_N_OR_NEWLINE and not strict):
        return "\\" + tail
    return {"n": "\n", "r": "\r", "t": "\t", "b": "", "f": " "}[head] + tail[1:]
