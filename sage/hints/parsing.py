"""Reading hints out of a model's answer (SAGE Section 3, "Hints").

Reasoning, special tokens, greetings and labels are taken off (`sage.hints.reply`); hints of several levels are read
from an object (`sage.hints.loose_json`), or else from sections with a heading a level, or from a numbered list.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from sage.hints.loose_json import Raw, Value, best_first, decode, scan
from sage.hints.reply import answers, closes_thoughts, own_turn, plain_answer, unquoted, without_fences, without_labels
from sage.hints.structure import UNFILLED, read_exactly

_NUMBERS = {
    word: number
    for number, words in enumerate(
        (
            "one first i 一",
            "two second ii 二",
            "three third iii 三",
            "four fourth iv 四",
            "five fifth v 五",
        ),
        1,
    )
    for word in words.split()
}
_NOUN = r"(?:hints?|levels?|lvl|strength|tier|stage|提示|级别|等级|层级|第)"
_NUMBER = rf"(?:0{{0,3}}\d{{1,3}}(?:st|nd|rd|th)?|{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})"
_LEVEL_KEY = re.compile(
    rf"(?P<noun>(?:the[\s_])?(?:(?:{_NOUN}|(?<![a-z])[lh](?=\d))[\s_.:#=\"'-]{{0,3}}){{0,3}})(?P<number>{_NUMBER})"
    r"(?P<rest>(?:[\s_.:()级-].{0,60}|hints?|level)?)",
    re.IGNORECASE | re.DOTALL,
)
_LEVEL_MEMBERS = ("level", "hint_level", "strength", "tier", "number", "id")
_TEXT_MEMBERS = ("hint", "text", "content", "value", "description", "message")
_HEADING = re.compile(
    rf"""^[ \t>]{{0,8}}(?:(?:[^\w\s]\ufe0f?|\d{{1,2}}[.)])[ \t]{{1,3}})?\#{{0,6}}[ \t]{{0,3}}[*_`"'“‘\[(<]{{0,4}}
    (?P<key>(?:{_NOUN}[ \t_.:\#="-]{{0,3}}){{1,3}}{_NUMBER}级?(?:[ _]hint|提示)?(?:[ ]?\([^)\n]{{0,60}}\))?
       |{_NUMBER}[ _](?:level[ _])?hint)
    [*_`"'”’\])>]{{0,4}}(?:[ \t]{{0,3}}(?:[=-]>|[:=\uff1a→⇒]|[-–—.](?=[ \t]))[ \t]{{0,3}}[*_]{{0,3}}
       |(?=[ \t]{{0,3}}(?:\n|\Z))|(?<=[>\]])|(?<=\*\*)(?=[ \t])|(?<=\d\)))""",
    re.MULTILINE | re.IGNORECASE | re.VERBOSE,
)
_ITEM = re.compile(r"^[ \t]{0,3}[*_]{0,2}(\d)[.)][*_]{0,2}[ \t]{1,3}", re.MULTILINE)
_OTHER = re.compile(
    rf"(?:^|[\s\"'“”{{,.<])((?:level|hint)[ _=]?[\"']?{_NUMBER})"
    rf"(?:[\"']?>|[\"'“”]\s{{0,3}}[:\uff1a]|[:\uff1a]\s{{0,3}}[\"'“”]|:\s)",
    re.IGNORECASE,
)
_OBJECT = re.compile(r"\{\s{0,9}[\"']?\w")
_BLOCK_MARK = re.compile(r"[|>][-+]?\d?[ \t]{0,9}\n")
_RULE = re.compile(r"\n[ \t]{0,9}(?:[-*_] ?){3,40}\Z|\A[ \t]{0,9}(?:[-*_] ?){3,40}\n")
_CLOSING_TAG = re.compile(r"(?:</[\w ]{1,20}>\s{0,9}){1,3}\Z")


def parse_hints(text: str, levels: Sequence[int], *, cut: bool = False) -> dict[int, str]:
    r"""Read the hints of several levels from an answer that should be one JSON object with keys ``level_1``, ....

    The last complete object after any reasoning counts; of a truncated one, the members that were finished. Levels that
    were given one object each are put together. Keys may also be ``hint_1``, ``1``, ``level_one``; a list may hold
    the hints themselves, as many as there are levels, or objects with ``level`` and ``hint``; and headings such as
    ``Level 1:`` may stand in place of an object. LaTeX commands survive whether or not their backslash was doubled.

    Args:
        text: the model's answer.
        levels: the levels that are asked for; others are dropped.
        cut: whether the token limit ended the answer. Then its last section, and an object that comes after a long
            text, which is a draft within reasoning, do not count.

    Returns:
        Level to non-empty hint, in the order of ``levels``; empty when nothing is usable.
    """
    exact = read_exactly(text)
    if exact is not None:
        return {level: exact[level] for level in levels if level in exact}
    for answer, certain in answers(own_turn(text)):
        hints = _read_levels(answer, max(levels, default=0), cut and not closes_thoughts(text))
        if hints and (certain or any(map(closes_thoughts, hints.values()))):
            return {level: hints[level] for level in levels if level in hints and not _holds_other(hints[level], level)}
    return {}


def parse_hint(text: str, level: int | None = None) -> str:
    """Read one hint from an answer that should be plain text.

    Reasoning, code fences, greetings, labels such as ``Hint:``, a JSON object around the hint and surrounding quotes
    are taken off.

    Args:
        text: the model's answer.
        level: the level that was asked for; it decides when the answer has hints of several levels. Without it the
            first of an object counts.

    Returns:
        The hint, or an empty string when nothing is usable.
    """
    text = plain_answer(own_turn(text))
    sections = dict(_sections(text))
    if level is not None and (len(sections) > 1 or min(sections, default=level) > level):
        return _of_level(sections, level)
    if text.startswith("<") and level in sections:
        return _of_level(sections, level)
    if ("{" in text or text.startswith("[")) and (hint := _hint_of_objects(text, level)) is not None:
        return hint
    for _ in range(2):
        text = without_labels(unquoted(_RULE.sub("", text).strip()))
    return "" if level is not None and _holds_other(text, level) else text


def _of_level(hints: dict[int, str], level: int) -> str:
    """The hint of a level; of a single one, also where it is called a weaker one, but never a stronger one."""
    hint = hints.get(level) or (next(iter(hints.values())) if len(hints) == 1 and min(hints) < level else "")
    return "" if _holds_other(hint, level) else hint


def _holds_other(hint: str, level: int) -> bool:
    """Whether the hint of a level goes on into that of another, for want of a quote or a line between them."""
    keys = (_level_of(match[1]) for match in _OTHER.finditer(hint))
    return any(key is not None and key != level for key in keys)


def _read_levels(text: str, count: int, cut: bool) -> dict[int, str]:
    """Hints by level of a text without reasoning; ``count``: how many there should be."""
    found = scan(text)
    if cut and found and _is_late(text, min(one.start for one in found)):
        return {}
    gathered: dict[int, str] = {}
    complete = False
    for one in best_first(found):
        hints = _levels_of(one.value)
        if hints and not gathered:
            gathered, complete = hints, one.complete
        elif hints:
            if hints.keys() & gathered.keys() or one.complete != complete:
                break
            gathered.update(hints)
    if gathered:
        return {level + 1: hint for level, hint in gathered.items()} if 0 in gathered else gathered
    for one in best_first(found):
        if isinstance(one.value, list) and (len(one.value) == count or (len(one.value) < count and not one.complete)):
            items = {level: _text_of(item) for level, item in enumerate(one.value, 1)}
            if items and all(items.values()):
                return items
    if r"{\"" in text:  # an object written as a string
        return _read_levels(re.sub(r"\\([\"\\/])", r"\1", text), count, cut)
    sections = list(_sections(text)) or _items(text, count)
    if cut:
        del sections[-1:]
    return dict(sections)


def _is_late(text: str, start: int) -> bool:
    """Whether more than an introduction precedes a place."""
    return start > 400 or text[:start].strip().count("\n") > 3


def _level_of(key: str) -> int | None:
    """The level that a key names: ``level_1``, ``hint 2``, ``3``, ``level_one``, ``first hint``, ``L1``."""
    match = _LEVEL_KEY.fullmatch(key.strip())
    if match is None or not (match["noun"] or not match["rest"] or re.search("hint|level", match["rest"], re.I)):
        return None
    number = match["number"].lower()
    return _NUMBERS.get(number) or int(number.rstrip("sthndr"))


def _levels_of(value: Value) -> dict[int, str]:
    """The hints of an object whose keys are levels, or that has one level and its hint as members."""
    if not isinstance(value, dict):
        return {}
    hints: dict[int, str] = {}
    for key, member in value.items():
        level = _level_of(key)
        if isinstance(member, Raw) and level is not None and _holds_other(member, level):
            continue
        if level is not None and (hint := _text_of(member)):
            hints[level] = hint
    if not hints:
        members = {key.lower(): member for key, member in value.items()}
        named = next((members[key] for key in _LEVEL_MEMBERS if key in members), None)
        level = _level_of(named) if isinstance(named, str) else named if isinstance(named, int) else None
        hint = next((_text_of(members[key]) for key in _TEXT_MEMBERS if key in members), "")
        if level is not None and hint:
            hints[level] = hint
    return {} if len(hints) > 1 and {*hints.values()} <= UNFILLED else hints  # a form that was not filled in


def _text_of(value: Value) -> str:
    """The text of a member: a string, the lines of a list, or the one text of an object."""
    if isinstance(value, Raw):
        return without_labels(decode(value).strip())
    if isinstance(value, list):
        return "\n".join(filter(None, map(_text_of, value)))
    if isinstance(value, dict):
        named = [member for key, member in value.items() if key.lower() in _TEXT_MEMBERS]
        texts = named or [member for member in value.values() if isinstance(member, Raw)]
        return _text_of(texts[0]) if len(texts) == 1 or named else ""
    return ""


def _hint_of_objects(text: str, level: int | None) -> str | None:
    """The hint of an object in a text; None where the text has no object of hints."""
    found = scan(text)
    if level is not None and any(_levels_of(one.value) for one in found):
        return _of_level(_read_levels(text, 0, cut=False), level)
    for one in best_first(found):
        if hints := _levels_of(one.value):
            return next(iter(hints.values()))
        if one.start == 0 and isinstance(one.value, list) and level and not any(isinstance(i, dict) for i in one.value):
            return _text_of(one.value[min(level, len(one.value)) - 1]) if one.value else ""
        if (one.start == 0 or (isinstance(one.value, dict) and "hint" in one.value)) and (hint := _text_of(one.value)):
            return hint
    return "" if any(one.start == 0 and isinstance(one.value, dict) for one in found) else None


def _sections(text: str) -> Iterator[tuple[int, str]]:
    """Level and hint of each section that a heading such as ``Level 1:`` or ``level_1:`` begins."""
    text = text.replace("><", ">\n<")
    headings = [match for match in _HEADING.finditer(text) if _level_of(match["key"]) is not None]
    if headings and _OBJECT.search(text, 0, headings[0].start() + 1):
        return  # an object, however broken
    ends = [*(match.start() for match in headings[1:]), len(text)]
    for heading, end in zip(headings, ends, strict=False):
        if hint := _section_text(text[heading.end() : end]):
            yield _level_of(heading["key"]) or 0, hint


def _items(text: str, count: int) -> list[tuple[int, str]]:
    """Level and hint of each item of a numbered list of as many hints, behind no more than an introduction."""
    items = list(_ITEM.finditer(text))
    if not items or [item[1] for item in items] != [str(level) for level in range(1, count + 1)]:
        return []
    if without_labels(text[: items[0].start()]):
        return []
    ends = [*(item.start() for item in items[1:]), len(text)]
    return [(int(item[1]), _section_text(text[item.end() : end])) for item, end in zip(items, ends, strict=True)]


def _section_text(text: str) -> str:
    text = without_fences(text)
    if mark := _BLOCK_MARK.match(text):
        text = textwrap.dedent(text[mark.end() :])
    text = _RULE.sub("", _CLOSING_TAG.sub("", text.strip())).strip()
    bare = unquoted(text.rstrip(",").rstrip())
    return without_labels(decode(bare) if len(bare) < len(text) - 1 else text)
