"""Multiple choice: the options of a row, and which of them the file says is right.

Options come as lists, as a dictionary by letter, as ARC's texts and labels, as a text that holds a list, or in columns
of their own. The right one is named by letter, number, label or text, and which of these a file means shows only in all
its rows: the number 1 is an option's text in one file and its place in another.
"""

from __future__ import annotations

import ast
import io
import math
import re
import tokenize
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sage.support.documents import RepeatedKey, load_json

LETTERS = "ABCDEFGHIJ"
LISTS = ("options", "choices", "answer_choices", "answer_options", "endings")
RIGHT = ("answer", "answer_index", "answer_idx", "answer_letter", "answer_key", "answerkey", "correct_answer",
         "correct_option")  # fmt: skip
"""Columns that name the right option; those that are there have to agree."""
ELSE_RIGHT = ("final_answer", "expected_answer", "ground_truth", "target", "gold", "correct", "label", "cop")
"""Columns of which the first may name it, where there is none of `RIGHT`; elsewhere they may say something else."""
_COLUMN = re.compile(r"(?:(?:option|choice|opt|op|ending)[ _-]?)?([a-j])|(?:option|choice|opt|ending)[ _-]?(\d{1,2})")


LONGEST = 200_000
"""Characters of a text that is tried as Python."""


@dataclass(frozen=True)
class Options:
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    """What the file calls them: letters in capitals, or numbers."""


def as_text(value: Any) -> str | None:
    """A cell as text, 27.0 as 27; None where it is empty, or neither a text nor a number."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        return None
    if isinstance(value, (float, Decimal)):
        if not math.isfinite(value):
            return None
        value = int(value) if value == int(value) else value
    return str(value).strip() or None


def parsed(text: str) -> Any:
    """What a text holds that was written from a list or dictionary, by JSON, Python or NumPy; else the text."""
    try:
        return load_json(text)
    except RepeatedKey:
        return text
    except (ValueError, RecursionError):
        pass
    if len(text) > LONGEST:
        return text
    try:  # NumPy puts no commas between elements, which Python would not read, or read as one
        tokens = list(tokenize.generate_tokens(io.StringIO(" ".join(text.split("\n")).strip()).readline))
        with_commas = "".join(
            token.string + ("," if _is_element(token, ("}", "]")) and _is_element(after, ("{", "[")) else " ")
            for token, after in zip(tokens, tokens[1:] + tokens[-1:], strict=True)
        )
        return ast.literal_eval(with_commas.strip())
    except (ValueError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError):
        return text


def _is_element(token: tokenize.TokenInfo, bracket: tuple[str, ...]) -> bool:
    """Whether a token is an element, or the bracket of one."""
    return token.type in (tokenize.STRING, tokenize.NUMBER) or token.string in bracket


def is_option_column(name: str) -> bool:
    """Whether a column of that name may hold options, or tell the right one."""
    name = name.strip().lower()
    return name in (*LISTS, *RIGHT, *ELSE_RIGHT) or _COLUMN.fullmatch(name) is not None


def read_options(values: Mapping[str, Any], where: str) -> Options | None:
    """The options of a row; None where it has none.

    Raises:
        ValueError: they are not texts, or there are more than ten.
    """
    columns = {key.strip().lower(): key for key in values}
    found: Options | None = None
    name = next((columns[n] for n in LISTS if n in columns and values[columns[n]] not in (None, "", [], {})), None)
    if name:
        value = values[name]
        found = _options(parsed(value) if isinstance(value, str) else value)
    else:
        matches = {key: _COLUMN.fullmatch(lower) for lower, key in columns.items()}
        cells = sorted(((match[1] or match[2]), key) for key, match in matches.items() if match)
        while cells and as_text(values[cells[-1][1]]) is None:
            cells.pop()  # questions with fewer options than others
        if len(cells) < 2 or [label for label, _ in cells] not in _in_order(len(cells)):
            return None
        name = cells[0][1]
        found = _options({label: values[key] for label, key in cells})
    if not found:
        raise ValueError(f"{where}: {name!r} must be a list of texts, one for each option")
    if len(found.texts) > len(LETTERS):
        raise ValueError(f"{where}: {name!r} has {len(found.texts)} options, at most {len(LETTERS)} can be lettered")
    return found


def _in_order(count: int) -> list[list[str]]:
    return [list(LETTERS.lower()[:count]), *([str(n) for n in range(start, start + count)] for start in (0, 1))]


def _options(value: Any) -> Options | None:
    """Options from a list, a dictionary, ARC's columns, or a list of labelled texts."""
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        texts, labels = value["text"], value.get("label") or value.get("labels") or LETTERS[: len(value["text"])]
    elif isinstance(value, dict):
        there = {label: text for label, text in value.items() if text is not None}
        texts, labels = list(there.values()), list(there)
    elif isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        texts = [next((part[key] for key in ("text", "value", "content") if key in part), None) for part in value]
        labels = [
            next((part[key] for key in ("label", "key", "id", "letter") if key in part), n)
            for n, part in zip(LETTERS, value, strict=False)
        ]
    elif isinstance(value, (list, tuple)):
        texts, labels = list(value), list(LETTERS)[: len(value)]
    else:
        return None
    plain, named = [as_text(text) for text in texts], [_label(label) for label in labels]
    if not plain or None in plain or len(named) < min(len(plain), len(LETTERS)) or len(set(named)) < len(named):
        return None
    letters = [
        re.match(rf"\(?{letter}\s?[).:]\s*(?=\S)", str(text)) for letter, text in zip(LETTERS, plain, strict=False)
    ]
    if len(plain) > 1 and all(letters):  # lettered already
        plain = [str(text)[match.end() :] for text, match in zip(plain, letters, strict=True) if match]
    return Options(tuple(map(str, plain)), tuple(named))


def _label(value: Any) -> str:
    return (as_text(value) or "").strip("().: ").upper()


def _same(left: str, right: str) -> bool:
    """Whether two texts are the same up to blanks and, but for single letters, capitals."""
    if max(len(left), len(right)) > 1:
        left, right = left.casefold(), right.casefold()
    return left.split() == right.split()


def _by_label(value: Any, options: Options) -> int | None:
    """``B``, ``(b)``, ``B. its text``, or a number where the file numbers its options."""
    text = as_text(value) or ""
    if _label(text) in options.labels:
        return options.labels.index(_label(text))
    match = re.match(r"\(?([A-Ja-j])\s?[).:]\s*", text)
    at = options.labels.index(match[1].upper()) if match and match[1].upper() in options.labels else None
    return at if match and at is not None and _same(text[match.end() :], options.texts[at]) else None


def _by_number(first: int) -> Callable[[Any, Options], int | None]:
    def find(value: Any, options: Options) -> int | None:
        text = as_text(value) or ""
        lettered = options.labels[0] == "A"  # numbered options are found by their labels
        place = int(text) - first if lettered and re.fullmatch(r"\d{1,2}", text) else -1
        return place if 0 <= place < len(options.texts) else None

    return find


def _by_text(value: Any, options: Options) -> int | None:
    text = as_text(value)
    places = [n for n, option in enumerate(options.texts) if text is not None and _same(option, text)]
    return places[0] if len(places) == 1 else None


Way = Callable[[Any, Options], "int | None"]
COUNTING: tuple[Way, ...] = (_by_number(0), _by_number(1))
WAYS: tuple[Way, ...] = (_by_label, *COUNTING, _by_text)


@dataclass(frozen=True)
class Question:
    """What tells the right option of one row."""

    where: str
    options: Options
    cells: Mapping[str, Any]
    """The columns that may tell it."""


def right_options(questions: Sequence[Question]) -> list[str]:
    """The letter of each question's right option.

    Raises:
        ValueError: a column does not tell, tells two things, or contradicts another; the message names the row.
    """
    if not questions:
        return []
    names = list(dict.fromkeys(name for question in questions for name in question.cells))
    if not names:
        raise ValueError(f"{questions[0].where}: 'answer' is missing, and the options alone do not tell it")
    readings = [_readings(name, questions) for name in names]
    common = [places for places in readings[0] if all(places in others for others in readings[1:])]
    if len(common) == 1:
        return [LETTERS[place] for place in common[0]]
    if common:
        row = next(row for row, places in enumerate(zip(*common, strict=True)) if len(set(places)) > 1)
        raise ValueError(
            f"{questions[row].where}: {names[0]!r} may be the letter or number of one option and the text of another; "
            "give letters, or a column 'answer_index' counted from 0"
        )
    firsts = [column[0] for column in readings]
    row = next(row for row, places in enumerate(zip(*firsts, strict=True)) if len(set(places)) > 1)
    raise ValueError(f"{questions[row].where}: {' and '.join(map(repr, names))} name different options")


def _readings(name: str, questions: Sequence[Question]) -> list[list[int]]:
    """The places that a column names, in each way that makes sense of all rows.

    Raises:
        ValueError: no way does.
    """
    tried = [[way(question.cells.get(name), question.options) for question in questions] for way in WAYS]
    whole = [[place for place in places if place is not None] for places in tried if None not in places]
    if whole:
        if None not in tried[1] and None not in tried[2]:
            whole.remove([place for place in tried[2] if place is not None])  # as MMLU does, which counts from 0
        return [places for number, places in enumerate(whole) if places not in whole[:number]]
    best = max(tried, key=lambda places: sum(place is not None for place in places))
    wrong = best.index(None)
    raise ValueError(
        f"{questions[wrong].where}: {name!r} must be the letter of one of the {len(questions[wrong].options.texts)} "
        f"options, its number from 0, or its text ({best.count(None)} of {len(best)} rows are not)"
    )
