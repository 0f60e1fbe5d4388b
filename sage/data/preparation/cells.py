"""Values of a row as text: columns of columns, chat messages in the shapes that data sets have, numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sage.evaluation.choices import parsed
from sage.evaluation.problems import looks_like_messages
from sage.support.values import why_damaged

MISSING = object()
"""Stands for a column that a row does not have; None is an empty cell."""
LONGEST_LITERAL = 1_000_000
"""Characters of a text that is tried as a structure."""


def find_cell(row: Mapping[str, Any], name: str) -> Any:
    """The value of a column, or of ``a.b`` inside a column that holds an object, also one written as text.

    A column is also found in other case and with blanks around its name, where no other is meant.
    """
    if name in row:
        return row[name]
    alike = [key for key in row if key.strip().casefold() == name.strip().casefold()]
    if len(alike) == 1:
        return row[alike[0]]
    head, dot, rest = name.partition(".")
    if not dot:
        return MISSING
    outer = find_cell(row, head)
    if isinstance(outer, str):
        outer = as_structure(outer)
    return find_cell(outer, rest) if isinstance(outer, dict) else MISSING


def column_names(row: Mapping[str, Any]) -> list[str]:
    """The names that `find_cell` knows, two levels deep."""
    names: list[str] = []
    for key, value in row.items():
        inner = as_structure(value) if isinstance(value, str) and value[:1] == "{" else value
        names += [f"{key}.{name}" for name in inner] if isinstance(inner, dict) and inner else [key]
    return names


def as_structure(text: str) -> Any:
    """What a text says as JSON, or as Python or NumPy writes it (pandas does, in CSV); None where it is only a text."""
    text = text.strip()
    if text[:1] not in ("{", "[") or len(text) > LONGEST_LITERAL:
        return None
    value = parsed(text)
    return None if isinstance(value, str) else value


_BLANK = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff" + "".join(filter(str.isspace, map(chr, range(0x3001))))
"""What is seen as nothing at the ends of a text."""
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "model": "assistant"}


def as_messages(value: Any) -> list[dict[str, str]] | None:
    """Chat messages with role and content or, in ShareGPT, ``from`` and ``value``; one of them alone, or all as text.

    Returns:
        None where the value is something else.

    Raises:
        ValueError: the content of a message is no text.
    """
    if isinstance(value, str):
        value = as_structure(value)
    turns = [value] if isinstance(value, dict) else value
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        return None
    messages = []
    for turn in turns:
        names = ("role", "content") if "role" in turn else ("from", "value")
        role, content = map(turn.get, names)
        if not isinstance(role, str):
            return None
        messages.append({"role": _ROLES.get(role.casefold(), role.casefold()), "content": _content(content)})
    return messages


def _content(content: Any) -> str:
    """A message's text, which may come in parts."""
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        if strange := next((part for part in content if not isinstance(part.get("text"), str)), None):
            raise ValueError(f"a message has a part of type {strange.get('type')!r}; only text can be trained on")
        return "".join(part["text"] for part in content)
    return plain_text(content)


def problem_text(value: Any) -> str:
    """A problem: a text, or the one user turn of chat messages, without what asks for another form of the answer.

    Raises:
        ValueError: it is something else, or a conversation.
    """
    messages = as_messages(value)
    if messages is None and isinstance(value, str) and looks_like_messages(value):
        raise ValueError("chat messages that were written as text and cannot be read")
    if messages is None:
        return without_instructions(_no_null(plain_text(value)))
    turns = [message["content"] for message in messages if message["role"] == "user"]
    if len(turns) != 1:
        raise ValueError(f"a conversation with {len(turns)} user turns where one is expected")
    return without_instructions(turns[0].strip())


def solution_text(value: Any) -> str:
    """A solution: a text, the last assistant turn of chat messages, or the first of several solutions.

    Raises:
        ValueError: it is something else.
    """
    messages = as_messages(value)
    if messages is not None:
        return next((m["content"].strip() for m in reversed(messages) if m["role"] == "assistant"), "")
    if isinstance(value, list) and value and all(isinstance(text, str) for text in value):
        value = next((text for text in value if text.strip()), "")
    return _no_null(plain_text(value))


# What data sets put around a problem, for prompts of their own. Ours are made anew, and the verifier reads a box.
_BEFORE = (
    # DAPO-Math-17k; its paragraph goes on to describe the form
    "Solve the following math problem step by step. The last line of your response should be of the form Answer:",
)
_AFTER = (
    'Remember to put your answer on its own line after "Answer:"',  # DAPO-Math-17k
    'Let\'s think step by step and output the final answer after "####"',  # verl's GSM8K
    "Let's think step by step and output the final answer within \\boxed{}",  # verl's MATH
    "Please reason step by step, and put your final answer within \\boxed{}",  # Qwen's, and many after it
)


def without_instructions(problem: str) -> str:
    """A problem without the sentences around it that are known to ask for a form of the answer."""
    for sentence in _BEFORE:
        if problem.startswith(sentence) and "\n" in problem:
            problem = problem.partition("\n")[2].strip()
    for sentence in _AFTER:
        if (bare := problem.rstrip(" .\n")).endswith(sentence):
            problem = bare.removesuffix(sentence).rstrip()
    return problem


_HALF = re.compile("[\ud800-\udfff]")
_LISTED = re.compile(r"\s*\[\s*['\"]")
_NULLS = frozenset({"nan", "null", "<na>", "nat"})
"""What pandas and others write for an empty cell."""


def _no_null(text: str) -> str:
    """Empty where the whole text stands for an empty cell."""
    return "" if text.casefold() in {*_NULLS, "none"} else text


def plain_text(value: Any) -> str:
    """A cell as text: 27.0 is 27, a list of one is its element, bytes are UTF-8, null and NaN are empty.

    Raises:
        ValueError: it is neither a text nor a number, or holds half a character.
    """
    if isinstance(value, str) and _LISTED.match(value):  # a list of one text, as pandas writes it in CSV
        value = found if isinstance(found := as_structure(value), list) and len(found) == 1 else value
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError("bytes that are not UTF-8 where a text is expected") from error
    if value is None or value != value:
        return ""
    if isinstance(value, (float, Decimal)):
        return _decimal(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"{kind_of(value)} where a text is expected")
    try:
        text = str(value)
    except ValueError as error:  # an integer of thousands of digits
        raise ValueError("a number of more digits than Python prints where a text is expected") from error
    if half := _HALF.search(text):
        raise ValueError(f"half a character (the lone surrogate U+{ord(half.group()):04X}) in a text")
    if damaged := why_damaged(text):
        raise ValueError(damaged)
    text = text.strip(_BLANK)
    return "" if text.casefold() in _NULLS else text


def _decimal(value: float | Decimal) -> str:
    """27.0 as 27 and 2.50 as 2.5; infinity as inf."""
    if isinstance(value, Decimal):
        return format(value.normalize(), "f") if value.is_finite() else str(value)
    return str(int(value)) if value.is_integer() else str(value)


def kind_of(value: Any) -> str:
    """The type of a row's value in words."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    names = {dict: "an object", str: "a text", bytes: "bytes", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)
