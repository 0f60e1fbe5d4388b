r"""From a row of a benchmark file to a problem, whatever its release calls the columns.

Releases of one benchmark differ in small ways: the column is called ``problem`` or ``question``, answers are floats
(AMC23: ``27.0``), lists of one text wrapped in dollars (OlympiadBench), zero-padded (AIME24: ``025``), behind ``####``
(GSM8K) or only in the last ``\boxed{}`` of the solution (Minerva). All of that ends here. A column that changes what is
asked, and cannot be read, is an error: a model that does not see it would be marked wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sage.evaluation.choices import ELSE_RIGHT, LETTERS, RIGHT, Options, as_text, parsed
from sage.grading.responses import last_boxed
from sage.hints.prompts import Message
from sage.support.values import why_damaged

IDS = ("prompt_id", "problem_id", "unique_id", "question_id", "record id", "id", "index", "idx", "uuid", "qid")
QUESTIONS = ("problem", "question", "question_stem", "problem_statement", "query", "prompt")
ANSWERS = ("final_answer", "expected_answer", "answer", "ground_truth", "correct_answer", "reference_answer",
           "gold_answer", "gold", "target")  # fmt: skip
SOLUTIONS = ("solution", "rationale", "response")
CONTEXTS = ("context", "passage", "article", "paragraph", "body", "story", "background", "premise", "premises",
            "narrative", "pre_text", "table", "post_text")  # fmt: skip
MESSAGES = ("prompt", "messages", "conversations")
_MEDIA = re.compile(r"(?:decoded[ _])?(?:image|picture|figure|audio|video)s?(?:[ _]?\d+)?")
_DISTRACTORS = re.compile(r"(?:incorrect|wrong|false|distractor)s?(?:[ _]?(?:answer|option|choice)s?)?(?:[ _]?\d+)?")
_LETTER_WANTED = "Give only the letter of the right option as the final answer."
_LABEL = re.compile(r"(?:the )?(?:final |correct )?(?:answer|ans)(?: is\b ?:?| ?[:=]) ?(?=\S)", re.IGNORECASE)
_ROLES = {"human": "user", "gpt": "assistant"}
"""Of ShareGPT's conversations, whose other roles are those of everybody."""


@dataclass(frozen=True)
class Problem:
    problem_id: str
    """Unique in its benchmark and stable between runs."""
    question: str
    """What the model reads as the user's turn; the options of multiple choice are lettered lines at its end."""
    answer: str
    """The reference answer; a letter for multiple choice."""
    choices: int = 0
    """How many options there are; 0 where the answer is open."""
    messages: tuple[Message, ...] | None = None
    """The chat messages, where the file brings its own (the project's data format)."""
    response: str | None = field(default=None, repr=False, compare=False)
    """A response that is correct, where the file brings one."""
    row: int = field(default=0, repr=False, compare=False)
    """Its row in the file, for messages."""


@dataclass(frozen=True)
class Row:
    """A row that knows where it comes from. Columns are found whatever their case."""

    where: str
    number: int
    values: Mapping[str, Any]

    def get(self, names: Iterable[str]) -> tuple[str, Any]:
        """Name and value of the first of these columns that is there and not null.

        Raises:
            ValueError: none is.
        """
        names = tuple(names)
        if found := self.find(names):
            return found
        raise ValueError(f"{self.where}: {' or '.join(map(repr, names))} is missing")

    def find(self, names: Iterable[str]) -> tuple[str, Any] | None:
        """As `get`; None where there is none."""
        for name in names:
            for key, value in self.values.items():
                if key.strip().lower() == name and value is not None:
                    return key, value
        return None

    def text(self, *names: str) -> str:
        """As `get`, for a text that must not be empty."""
        key, value = self.get(names)
        if not isinstance(value, str) or not value.strip():
            what = "is empty" if isinstance(value, str) else f"must be a text, not {type(value).__name__}"
            raise ValueError(f"{self.where}: {key!r} {what}")
        return value.strip()

    def given(self, *names: str) -> list[str]:
        """Which of these columns hold something, in the order of the names."""
        columns = ((name, self.find([name])) for name in names)
        return [name for name, found in columns if found and str(found[1]).strip()]

    def problem_id(self) -> str | None:
        """The id; None where the file has no column for it.

        Raises:
            ValueError: it has, and here it is empty.
        """
        columns = [key for name in IDS for key in self.values if key.strip().lower() == name]
        if not columns:
            return None
        if (found := as_text(self.values[columns[0]])) is None:
            raise ValueError(f"{self.where}: {columns[0]!r} is empty; fill it, or leave the column out")
        return found


def read_messages(row: Row) -> tuple[Message, ...] | None:
    """The chat messages that a row brings, as a list, in JSON, or as ShareGPT writes them; None if it brings none.

    Raises:
        ValueError: they are something else, or do not end in the user's turn.
    """
    for name in MESSAGES:
        key, value = row.find([name]) or ("", None)
        turns = parsed(value) if isinstance(value, str) and value.lstrip().startswith("[") else value
        if isinstance(turns, str) and looks_like_messages(turns):
            raise ValueError(f"{row.where}: {key!r} holds messages that were written as text and cannot be read")
        if turns is None or (name == "prompt" and isinstance(turns, str)):
            continue  # the question as plain text
        if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
            raise ValueError(f"{row.where}: {key!r} must be a list of messages with 'role' and 'content'")
        found = tuple(_message(row, key, turn) for turn in turns)
        if name != "prompt" and found and found[-1]["role"] == "assistant" and row.given(*QUESTIONS[:-1]):
            continue  # to train on, as in NuminaMath: the question has a column of its own
        if not found or found[-1]["role"] != "user":
            raise ValueError(f"{row.where}: the last message of {key!r} must be the user's")
        return found
    return None


_WRITTEN = re.compile(r"\s*(?:array\()?[\[{][\s\[{]*['\"](?:role|content|from|value)['\"]\s*:")


def looks_like_messages(text: str) -> bool:
    """Whether a text begins as chat messages do that were written by JSON, Python or NumPy."""
    return _WRITTEN.match(text) is not None


def _message(row: Row, key: str, turn: Mapping[str, Any]) -> Message:
    role, content = turn.get("role") or turn.get("from"), turn.get("content") or turn.get("value")
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        content = "".join(str(part.get("text") or "") for part in content)
    if not isinstance(role, str) or not isinstance(content, str) or not content.strip():
        raise ValueError(f"{row.where}: a message of {key!r} lacks 'role', or 'content' as text")
    return {"role": _ROLES.get(role, role), "content": content}


def read_problem(row: Row, options: Options | None, letter: str | None) -> Problem:
    """The problem of a row.

    Args:
        row: the row.
        options: its options; None where the answer is open.
        letter: that of the right option.

    Raises:
        ValueError: something is missing, or not what it has to be.
    """
    _refuse_what_is_not_read(row, options)
    messages = read_messages(row)
    question = messages[-1]["content"] if messages else _question(row, options)
    answer = letter or read_answer(row)
    number = row.problem_id() or str(row.number)
    try:
        json.dumps([number, question, answer, messages], ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"U+{ord(error.object[error.start]):04X}"
        raise ValueError(f"{row.where}: {half} is half a character, which no tokenizer takes; mend the text") from None
    found = row.find(["reference_response"])
    response = found[1] if found and isinstance(found[1], str) else None
    return Problem(number, question, answer, len(options.texts) if options else 0, messages, response, row.number)


def refuse_media(row: Row) -> None:
    """Raise ValueError where a question has pictures and the like."""
    for key, value in row.values.items():
        if value and value == value and _MEDIA.fullmatch(key.strip().lower()):
            raise ValueError(f"{row.where}: {key!r} is part of the question and not read; only text is")


def _refuse_what_is_not_read(row: Row, options: Options | None) -> None:
    refuse_media(row)
    for key, value in row.values.items():
        name = key.strip().lower()
        if value and not options and _DISTRACTORS.fullmatch(name):
            gpqa = "; GPQA's own file is given as gpqa=FILE" if row.find(["record id"]) else ""
            raise ValueError(
                f"{row.where}: {key!r} is an option and not read; put all of them in a list 'options'{gpqa}"
            )


def _question(row: Row, options: Options | None) -> str:
    if not row.find(QUESTIONS):
        raise ValueError(
            f"{row.where}: 'problem' or 'question' is missing; it has {', '.join(row.values) or 'no column'}"
        )
    question = with_context(row, row.text(*QUESTIONS))
    return with_options(question, options.texts) if options else question


def with_context(row: Row, question: str) -> str:
    """A question after the texts that it is about, where it does not repeat them.

    Raises:
        ValueError: one of them is no text.
    """
    contexts = dict.fromkeys(row.text(name) for name in row.given(*CONTEXTS))
    return "\n\n".join([*(text for text in contexts if text not in question), question])


def is_part_of_question(name: str) -> bool:
    """Whether a column of that name belongs to the question, beside its text."""
    name = name.strip().lower()
    return name in CONTEXTS or _MEDIA.fullmatch(name) is not None


def with_options(question: str, options: Iterable[str]) -> str:
    """A question of multiple choice as the model reads it."""
    lines = [f"{letter}. {option.strip()}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([question, "", *lines, "", _LETTER_WANTED])


def read_answer(row: Row) -> str:
    r"""The answer of an open question: the cell's value, or what its solution ends in.

    Raises:
        ValueError: there is none.
    """
    if reward := row.find(["reward_model"]):
        return _undamaged(row, _ground_truth(row, *reward))
    if given := row.given(*ANSWERS):
        return _answer(row, given[0])
    for name in row.given(*SOLUTIONS):
        if answer := marked_answer(row.text(name)):
            return _undamaged(row, answer)
    raise ValueError(
        rf"{row.where}: 'answer' is missing, and no 'solution' ends in \boxed{{}} or ####; "
        f"it has {', '.join(row.values)}"
    )


def _undamaged(row: Row, answer: str) -> str:
    """The answer; questions stay as they are, since those of AIME 2025 were released with damage."""
    if damaged := why_damaged(answer):
        raise ValueError(f"{row.where}: {damaged}")
    return answer


def right_cells(row: Row) -> dict[str, Any]:
    """The cells that may tell which option is right, by column."""
    if not (names := row.given(*RIGHT) or row.given(*ELSE_RIGHT)[:1]) and (reward := row.find(["reward_model"])):
        return {"ground_truth": _ground_truth(row, *reward)}
    return {name: row.get([name])[1] for name in names}


def _ground_truth(row: Row, key: str, value: Any) -> str:
    """As training reads it, so that both grade alike."""
    value = parsed(value) if isinstance(value, str) else value
    answer = value.get("ground_truth") if isinstance(value, dict) else None
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if answer is None or not str(answer).strip():
        raise ValueError(f"{row.where}: {key}.ground_truth is missing")
    return str(answer)


def marked_answer(text: str) -> str | None:
    r"""The last ``\boxed{}`` of a text, or what follows ``####`` in its last line (GSM8K)."""
    _, mark, last = text.rpartition("####")
    last = last.strip() if mark else ""
    return last_boxed(text) or (last if "\n" not in last else "") or None


def _answer(row: Row, name: str) -> str:
    key, value = row.get([name])
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    text = as_text(value)
    if isinstance(value, str) and not value.strip(" $."):
        raise ValueError(f"{row.where}: {key!r} is empty")
    if text is None:
        what = str(value) if isinstance(value, float) else type(value).__name__
        raise ValueError(f"{row.where}: {key!r} must be a text or a number, not {what}")
    _undamaged(row, str(value))  # as_text takes blanks away, and with them a form feed
    if isinstance(value, str) and ("####" in text or r"\boxed" in text):
        text = marked_answer(text) or text
    # Dollars wrap the answer, or each of several; \$ is money. Minerva has one answer in Python.
    text = re.sub(r"(?<!\\)\$", "", text).replace("np.", "\\").strip().rstrip(".")
    text = _LABEL.sub("", text, count=1) if _LABEL.match(text) else text
    if not text:
        raise ValueError(f"{row.where}: {key!r} is empty")
    return str(int(text)) if re.fullmatch(r"-?0\d{1,999}", text) else text
