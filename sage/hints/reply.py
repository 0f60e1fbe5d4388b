"""An assistant's answer as plain text: without special tokens, reasoning, fences, greetings and labels of a hint."""

from __future__ import annotations

import re
from collections.abc import Iterator


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_THOUGHTS = r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad)"
_THOUGHTS_BEGIN = re.compile(rf"\s*(?:<\|?{_THOUGHTS}\|?>|\[think\]|◁think▷)", re.IGNORECASE)
_THOUGHTS_END = re.compile(rf"</\|?{_THOUGHTS}\|?>|\[/think\]|◁/think▷", re.IGNORECASE)
_THOUGHTS_LINE = re.compile(rf"^[ \t]{{0,3}}<{_THOUGHTS}>", re.IGNORECASE | re.MULTILINE)
_MAX_ENDS = 8
_CHANNEL = re.compile(
    r"<\|channel\|>\s{0,9}(\w{1,20})(?:[^<\n]|<\|constrain\|>){0,40}<\|message\|>|\Aanalysis.*assistantfinal", re.DOTALL
)
_STOP = re.compile(
    r"<[|｜](?:im_end|eot_id|eom_id|end|return|endoftext|end_of_text|end▁of▁sentence|user|tool_call)[|｜]>"
    r"|</s>|<eos>|<end_of_turn>"
)
_TURN = re.compile(
    r"<[|｜](?:im_start|start_header_id|start|assistant)[|｜]>(?:assistant|model)?|<start_of_turn>(?:model)?"
)
_OTHER_BRACE = re.compile(r"[^{\uff5b]{0,2000}?(\\\{|\uff5b)(?=\s{0,9}[\"'\u201c])")
_TOKEN = re.compile(r"<[|｜][A-Za-z_▁]{3,40}[|｜]>|<s>|<bos>|<pad>|<unk>|\[/?INST\]")

_FENCE_LINE = re.compile(r"^[ \t]*```[^\n`]*$\n?", re.MULTILINE)
_TAG = re.compile(r"<(hint|answer|output|response)(?:[ _][^<>\n]{0,40})?>", re.IGNORECASE)
_CLOSING_TAG = re.compile(r"</(hint|answer|output|response)>", re.IGNORECASE)
_QUOTES = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb", "\u300c": "\u300d"}
_GREETING = re.compile(
    r"[\s*_]{0,4}(?:sure(?:\sthing)?|certainly|of\scourse|okay|ok|absolutely|alright|gladly|no\sproblem|got\sit|"
    r"assistant(?=\s*\n))"
    r"(?:[!.,:]{0,3}[*_]{0,2}\s{0,9}\n|[!.]{1,3}[*_]{0,2}\s)",
    re.IGNORECASE,
)
_FAREWELL = re.compile(
    r"\n\s{0,9}(?:let\sme\sknow|feel\sfree|i\shope\s(?:this|that|it)|hope\s(?:this|that|it)\shelps|would\syou\slike|good\sluck)\b"
    r"[^\n]{0,160}\s{0,9}\Z",
    re.IGNORECASE,
)
_DECORATION = re.compile(r"[\s*_#>\[\u3010-]{0,12}")
_BREAK = re.compile(r"[:\uff1a]|\s[-–—]{1,2}\s|(?<=\d)[.)](?=\s)|\](?=\s)|\u3011|\n")
_MAX_LABEL = 160
_WORD = re.compile(r"\d+|第[一二三四五]级|提示|[^\W\d_](?:[^\W\d_]|['’])*")
_NAMES_HINT = _names(
    "hint hints 提示 这是提示 以下是提示 提示如下 这是一个提示 这里是提示 "
    "pista indice indizio hinweis tipp dica подсказка ヒント 힌트"
)
_NAMES_LEVEL = _names("level strength tier lvl")
_NUMBERS = _names("one two three four five first second third i ii iii")
# A line made of these words only, with "hint" or a level in it, speaks about the hint and is none.
_LABEL_WORDS = (
    _NAMES_HINT
    | _NAMES_LEVEL
    | _NUMBERS
    | _names("""
        a an the this that your my our here heres here's here’s is are comes below following sure certainly of course
        okay ok yes absolutely alright great gladly for at in on to as by with without from and or it its you i'll i’ll
        me let let's can could will would should try might may help helps helping helpful get started start solve
        solving think number no problem question exercise task student final answer solution reference give gives
        giving away given reveal reveals revealing state states stating not does doesn't doesn’t do show showing strong
        stronger strongest weak weakest short brief small gentle little subtle key idea only main useful guide guiding
        guidance requested asked based provided designed written json format text plain direct step next
        de du la le el una un uma der die das ein mild moderate medium
        等级 级别 第一级 第二级 第三级 好的 当然
    """)
)


TEMPLATE_END = 16
"""Tokens at the end of a prompt in which a template's tag is looked for."""


def opened_thoughts(prompt_end: str) -> str:
    """The tag of a reasoning block that the end of a rendered prompt opens; empty if it opens none.

    Some chat templates write it, so that an answer begins inside the block; put before the answer it says so.
    """
    for match in _THOUGHTS_BEGIN.finditer(prompt_end):
        if not prompt_end[match.end() :].strip():
            return match.group().strip()
    return ""


def own_turn(text: str) -> str:
    """The assistant's own turn, without special tokens."""
    channels = list(_CHANNEL.finditer(text))
    if channels:
        final = [match for match in channels if match.group(1) in (None, "final")]
        text = text[final[-1].end() :] if final else ""
    text = _TURN.sub("", text)
    position = 0
    while (stop := _STOP.search(text, position)) and not text[: stop.start()].strip():
        position = stop.end()
    said = _TOKEN.sub("", text[position : stop.start() if stop else len(text)]).lstrip("\ufeff")
    return with_braces(_FAREWELL.sub("", said))


def with_braces(text: str) -> str:
    r"""The text with plain braces around an object that has those of LaTeX, ``\{"a": "b"\}``, or full-width ones."""
    opening, end = _OTHER_BRACE.match(text), max(text.rfind(r"\}"), text.rfind("\uff5d"))
    if not opening or end < opening.end():
        return text
    before, after = text[: opening.start(1)], text[end:].removeprefix("\\")[1:]
    return f"{before}{{{text[opening.end() : end]}}}{after}"


def answers(text: str) -> Iterator[tuple[str, bool]]:
    """What may be the answer behind the reasoning of a turn, likeliest first, and whether it is for certain.

    What follows the last tag that closes a reasoning block is. The rest may be drafts, and counts only where that tag
    turns out to stand in a hint (`closes_thoughts`). Nothing, where a block was opened and never closed.
    """
    ends = [match.end() for match in _THOUGHTS_END.finditer(text)]
    for number, end in enumerate(ends[: -_MAX_ENDS - 1 : -1]):
        yield text[end:], number == 0
    if not _THOUGHTS_BEGIN.match(text):
        yield text, not ends


def behind_thoughts(text: str) -> str:
    """The text behind a reasoning block at its begin; all of it where there is none, or one that is never closed."""
    end = _THOUGHTS_END.search(text) if _THOUGHTS_BEGIN.match(text) else None
    return text[end.end() :] if end else text


def closes_thoughts(text: str) -> bool:
    """Whether a tag that closes a reasoning block is in a text."""
    return _THOUGHTS_END.search(text) is not None


def plain_answer(text: str) -> str:
    """A turn's answer without reasoning, fences and a tag around it."""
    text, _ = next(answers(text), ("", True))
    if thoughts := _THOUGHTS_LINE.search(text):
        text = text[: thoughts.start()]
    text = _FENCE_LINE.sub("", text).strip().removesuffix("```").strip()
    closing = {tag[1].lower(): tag.start() for tag in _CLOSING_TAG.finditer(text)}  # the last one of each name
    for tag in _TAG.finditer(text):
        if (end := closing.get(tag[1].lower(), -1)) >= tag.end():
            return text[tag.end() : end].strip()
    return text


def without_fences(text: str) -> str:
    """The text without the lines of code fences."""
    return _FENCE_LINE.sub("", text)


def unquoted(text: str) -> str:
    """The text without quotes that are around all of it, or marks of quotation before each line."""
    if re.match(r"(?!>[ \t]?[-\d$])>", text) and all(line.startswith(">") for line in text.split("\n")):
        text = re.sub(r"^>[ \t]?", "", text, flags=re.MULTILINE).strip()
    closing = _QUOTES.get(text[:1])
    if closing and len(text) > 1 and text.endswith(closing) and not {text[0], closing} & set(text[1:-1]):
        return text[1:-1].strip()
    return "" if text in _QUOTES else text


def without_labels(text: str) -> str:
    """The text without greetings, labels such as ``Hint (level 2):`` and headings at its begin."""
    for _ in range(4):
        shorter = _without_label(text)
        if shorter == text:
            break
        text = shorter
    return text


def _without_label(text: str) -> str:
    """The text without one greeting, label or heading at its begin."""
    if greeting := _GREETING.match(text):
        return text[greeting.end() :].strip()
    begin = _DECORATION.match(text).end()  # type: ignore[union-attr]  # matches the empty string too
    for match in _BREAK.finditer(text, begin, begin + _MAX_LABEL):
        if _is_label(text[begin : match.start()]):
            open_marks = text[:begin].count("*") - text[begin : match.start()].count("*")
            dash = r"(?:\s{0,3}[-–—:]{1,2}\s)?" if match.group() in ".)]" else ""
            return re.sub(rf"\A\s*\*{{0,{max(0, open_marks)}}}{dash}", "", text[match.end() :]).strip()
        if match.group() == "\n":
            break
    return "" if len(text) <= _MAX_LABEL and _is_label(text[begin:]) else text


def _is_label(text: str) -> bool:
    words = [word.lower() for word in _WORD.findall(text)]
    if not words or not all(word in _LABEL_WORDS or (word.isdigit() and len(word) < 3) for word in words):
        return False
    return not _NAMES_HINT.isdisjoint(words) or (
        not _NAMES_LEVEL.isdisjoint(words) and any(word.isdigit() or word in _NUMBERS for word in words)
    )
