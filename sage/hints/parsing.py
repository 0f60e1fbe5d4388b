r"""Reading hints out of a model's answer (SAGE Section 3, "Hints").

A hint request is answered by a model that writes LaTeX inside JSON and seldom escapes it. A JSON parser then either
rejects ``"\sqrt{2}"`` or, worse, turns ``"\frac"`` into a form feed and ``rac``. The reader here is made for such text:
it knows which backslashes are LaTeX, accepts the usual slips (prose and fences around the object, raw newlines, inner
quotes, missing or trailing commas, a truncated end) and passes over the text a bounded number of times.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache


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

_NAME = r"[A-Za-z0-9][\w .-]{0,48}"
_OBJECT_START = re.compile(rf"""\{{\s*(?=["']?{_NAME}["']?\s*:)""")
_KEY = re.compile(rf"""["']?({_NAME})["']?\s*:\s*""")
_SEPARATOR = re.compile(r"[\s,]*")
_BARE_VALUE = re.compile(r"""[^\s,{}\[\]"']+""")
_STRING_BODY = {
    quote: re.compile(rf"(?:[^{quote}\\]+|\\.)*", re.DOTALL)  # up to the next unescaped quote
    for quote in "\"'"
}
# What may follow the quote that ends a value: the end, a bracket, or the next key. Other quotes belong to the text.
_NEXT_KEY = rf"""(?:["']{_NAME}["']?\s*(?::|\Z)|(?:hint_?)?level[\s_]?\d{{1,3}}\s*:)"""
_AFTER_VALUE = re.compile(
    rf"""\s*(?:\Z|[}}\]]|,\s*(?:\Z|[}}\]]|["']\Z|{_NEXT_KEY})|["']{_NAME}["']\s*:)""", re.IGNORECASE
)
_AFTER_ITEM = re.compile(r"""\s*(?:\Z|[,\]])""")

_ESCAPE = re.compile(r"(\\+)(u[0-9a-fA-F]{4}|[A-Za-z]{1,24}|.|\Z)", re.DOTALL)
_SURROGATE_PAIR = re.compile("([\ud800-\udbff])([\udc00-\udfff])")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LEVEL_KEY = re.compile(r"(?:hint[\s_.-]*)?level[\s_.-]*0*([0-9]{1,3})", re.IGNORECASE)

_FENCE_LINE = re.compile(r"^[ \t]*```[^\n`]*$\n?", re.MULTILINE)
# Repetitions are bounded, since several of them could share one run of blanks.
_LABEL = re.compile(
    r"""[\s*_#>"]{0,8}
    (?:(?:sure|certainly|okay|ok)[,.!:]?\s{1,3})?
    (?:here\s(?:is|comes)\s|here's\s)?(?:(?:the|a|your|my)\s)?
    (?:(?:level|strength)[\s_-]?\d{1,2}\s|strong\s|short\s)?
    hint\s?(?:\(?(?:of\s|for\s|at\s)?(?:level|strength)?[\s_-]?\d{1,2}\)?)?
    [\s*_]{0,4}[:\uff1a][\s*_]{0,8}""",
    re.IGNORECASE | re.VERBOSE,
)
_LEVEL_LABEL = re.compile(
    r"[\s*_#>]{0,8}(?:level|strength)[\s_-]?\d{1,2}[\s*_]{0,4}[:\uff1a][\s*_]{0,8}", re.IGNORECASE
)
_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019"}


@dataclass
class _Frame:
    """An open object (or array, whose strings are dropped)."""

    is_object: bool
    strings: dict[str, str] = field(default_factory=dict)
    key: str | None = None


@dataclass(frozen=True)
class _Found:
    """The string members of one object, raw as they stand between their quotes."""

    strings: dict[str, str]
    complete: bool


def parse_hints(text: str, levels: Sequence[int]) -> dict[int, str]:
    r"""Read the hints of several levels from an answer that should be one JSON object with keys ``level_1``, ....

    The last complete object after any reasoning block counts; of a truncated one, the members that were finished.
    Levels that were given one object each (as in JSON lines) are put together. LaTeX commands survive whether or not
    their backslash was doubled.

    Args:
        text: the model's answer.
        levels: the levels that are asked for; others are dropped.

    Returns:
        Level to non-empty hint, in the order of ``levels``; empty when nothing is usable.
    """
    gathered: dict[int, str] = {}
    for found in _best_first(_scan_objects(_after_reasoning(text))):
        hints = _levels_of(found.strings)
        if hints and not gathered:
            gathered, complete = hints, found.complete
        elif hints:
            if hints.keys() & gathered.keys() or found.complete != complete:
                break
            gathered.update(hints)
    return {level: gathered[level] for level in levels if level in gathered}


def parse_hint(text: str, level: int | None = None) -> str:
    """Read one hint from an answer that should be plain text.

    Reasoning blocks, code fences, a leading label such as ``Hint:``, a JSON object around the hint and surrounding
    quotes are taken off.

    Args:
        text: the model's answer.
        level: the level that was asked for; it decides when the answer is an object with several levels, of which the
            first counts otherwise.

    Returns:
        The hint, or an empty string when nothing is usable.
    """
    text = _FENCE_LINE.sub("", _after_reasoning(text)).strip().removesuffix("```").strip()
    text = _without_label(text)
    if _OBJECT_START.match(text):
        return _hint_of_objects(_scan_objects(text), level)
    closing = _QUOTES.get(text[:1])
    if closing and len(text) > 1 and text.endswith(closing) and not {text[0], closing} & set(text[1:-1]):
        text = _without_label(text[1:-1].strip())
    return text if text not in _QUOTES else ""


def _after_reasoning(text: str) -> str:
    """The text after the last reasoning block; what precedes it when the block was never closed."""
    answer = text.rpartition("</think>")[2]
    return answer.partition("<think>")[0]


def _without_label(text: str) -> str:
    match = _LABEL.match(text) or _LEVEL_LABEL.match(text)
    return text[match.end() :].strip() if match else text


def _hint_of_objects(objects: list[_Found], level: int | None) -> str:
    for found in _best_first(objects):
        hints = _levels_of(found.strings)
        if hints:
            return hints.get(level, "") if level is not None and len(hints) > 1 else next(iter(hints.values()))
        if len(found.strings) == 1:
            return _decode(next(iter(found.strings.values()))).strip()
    return ""


def _best_first(objects: list[_Found]) -> list[_Found]:
    """Complete objects before truncated ones, later before earlier."""
    return sorted(reversed(objects), key=lambda found: not found.complete)


def _levels_of(strings: dict[str, str]) -> dict[int, str]:
    hints: dict[int, str] = {}
    for key, raw in strings.items():
        match = _LEVEL_KEY.fullmatch(key.strip())
        if match and (hint := _decode(raw).strip()):
            hints[int(match.group(1))] = hint
    return hints


def _scan_objects(text: str) -> list[_Found]:
    """All objects of the text in the order in which they end; open ones that the text breaks off come as incomplete."""
    objects: list[_Found] = []
    position, restarts = 0, 0
    while match := _OBJECT_START.search(text, position):
        position, open_string = _read_object(text, match.end(), objects)
        if open_string is not None:
            # A quote was never closed. Look for another object inside, but not once per brace of an adversarial text.
            restarts += 1
            position = open_string if restarts <= _MAX_RESTARTS else len(text)
    return objects


def _read_object(text: str, position: int, objects: list[_Found]) -> tuple[int, int | None]:
    """Read one object whose brace was just passed, and the objects inside it.

    Returns:
        Where reading stopped, and where the string starts that never ended (None if there is none).
    """
    frames = [_Frame(is_object=True)]
    open_string = None
    while frames:
        frame = frames[-1]
        position = _SEPARATOR.match(text, position).end()  # type: ignore[union-attr]  # matches the empty string too
        character = text[position : position + 1]
        if character in ("}", "]"):
            frames.pop()
            position += 1
            if frame.is_object:
                objects.append(_Found(frame.strings, complete=True))
            continue
        if frame.is_object and frame.key is None:
            key = _KEY.match(text, position)
            if key is None:
                break
            frame.key, position = key.group(1), key.end()
            character = text[position : position + 1]
        name, frame.key = frame.key, None
        if character in ("{", "["):
            frames.append(_Frame(is_object=character == "{"))
            position += 1
        elif character in ('"', "'"):
            end = _string_end(text, position, _AFTER_VALUE if frame.is_object else _AFTER_ITEM)
            if end is None:
                open_string = position + 1
                break
            if name is not None:
                frame.strings.pop(name, None)
                frame.strings[name] = text[position + 1 : end]
            position = end + 1
        elif bare := _BARE_VALUE.match(text, position):
            position = bare.end()
        elif name is None:
            break
    objects.extend(_Found(frame.strings, complete=False) for frame in frames if frame.is_object)
    return position, open_string


def _string_end(text: str, start: int, follow: re.Pattern[str]) -> int | None:
    """Index of the quote that ends the string opened at ``start``; None when the text ends first."""
    body = _STRING_BODY[text[start]]
    position = start + 1
    while (end := body.match(text, position).end()) < len(text):  # type: ignore[union-attr]  # matches "" too
        if text[end] == "\\":  # a lone backslash is the last character
            return None
        if follow.match(text, end + 1):
            return end
        position = end + 1
    return None


def _decode(raw: str) -> str:
    """Undo the JSON escapes of a string and leave its LaTeX alone."""
    if "\\" not in raw:
        return raw
    runs = _ESCAPE.findall(raw)
    plain = any(len(slashes) % 2 == 1 and _is_certain_latex(tail) for slashes, tail in runs)
    strict = not plain and any(len(slashes) % 2 == 0 and tail[:1].isalpha() for slashes, tail in runs)

    def replace(match: re.Match[str]) -> str:
        slashes, tail = match.groups()
        count = len(slashes)
        if count == 1:
            return _decode_escape(tail, strict)
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
    """The meaning of one backslash before ``tail``; ``strict`` when the string doubles the backslashes of its LaTeX."""
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
