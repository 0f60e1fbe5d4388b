r"""The format of an answer that holds all hints, for engines and endpoints that can be held to it.

An engine gets a regular expression (vLLM's structured outputs): one JSON object with a bounded text a level, so that
all levels fit into ``sage.hint_max_tokens``. Of the escapes of JSON it lets pass ``\\``, ``\"`` and ``\n``, the last
one not before a small letter: so LaTeX is always written with its backslashes doubled, and ``\frac``, ``\nu`` or
``\theta`` cannot be taken for a form feed, a line end or a tab. Of vLLM's back ends *guidance* is needed: xgrammar
takes minutes for texts of bounded length, and lets no backslash pass in them. An endpoint, which may run it, gets a
JSON schema without bounds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sage.hints.loose_json import decode
from sage.hints.reply import behind_thoughts, without_labels

SHARES = {1: 2, 2: 3, 3: 4}
"""Room of the levels' texts, relative to each other: a stronger hint is longer."""
DENSER = 0.75
"""Characters a token of a hint, relative to those of its request: formulas have fewer than prose."""
BACKEND = "guidance"
"""The back end of vLLM's structured outputs (``structured_outputs_config.backend``)."""
THOUGHTS = "<think>"
_FIRST = r'(?:[^"\\\s\x00-\x1f\x7f]|\\[\\"])'
_NEXT = r'(?:[^"\\\x00-\x1f\x7f]|\\[\\"]|(?:\\n){1,2}(?:[^a-z"\\\x00-\x1f\x7f]|\\[\\"]))'


def answer_pattern(
    levels: int, tokens: int, characters: float, thoughts: str = "", opened: bool = False, thinking: int = 0
) -> str | None:
    """A regular expression for the whole answer, in the syntax of Python, Rust and JSON Schema alike.

    Args:
        levels: L; the object has the keys ``level_1`` to ``level_L``.
        tokens: the answer's limit. The texts are as long as it allows; reasoning takes at most half of it.
        characters: characters a token, of the request that is answered.
        thoughts: the tag with which the model begins its reasoning, such as ``<think>``; empty for none.
        opened: whether the prompt has written this tag, so that reasoning must come; else it may.
        thinking: tokens for reasoning beyond that limit. It then takes nothing of the texts' room and ends by itself:
            a bound of so many characters would cost the engine milliseconds a token.

    Returns:
        The expression, or None where the limit leaves no room for a text of each level.
    """
    room = int((tokens - 1) * max(1.0, DENSER * characters))  # a token is at least a character; one ends the answer
    before = ""
    if thoughts:
        begin, end = thoughts[0], f"{thoughts[0]}/{thoughts[1:]}"
        bound = "*" if thinking else f"{{0,{room // 2}}}"
        inner = rf"(?:[^{re.escape(begin)}]|{re.escape(begin)}[^/]){bound}{re.escape(end)}[ \n]{{0,3}}"
        before = inner if opened else f"(?:{re.escape(thoughts)}{inner})?"
        room -= 0 if thinking else room // 2 + len(thoughts) + len(end)
    room -= sum(len(f'"level_{level}":"",') for level in range(1, levels + 1)) + 1
    total = sum(SHARES[level] for level in range(1, levels + 1))
    lengths = {level: room * SHARES[level] // total for level in range(1, levels + 1)}
    if min(lengths.values()) < 1:
        return None
    texts = [rf'"level_{level}": ?"{_FIRST}{_NEXT}{{0,{length - 1}}}"' for level, length in lengths.items()]
    return before + r"\{[ \n]{0,3}" + r",[ \n]{0,3}".join(texts) + r"\n?\}"


@dataclass(frozen=True)
class AnswerFormat:
    """What an engine is told about the answers to requests for all levels."""

    levels: int
    """L."""
    tokens: int
    """Limit of an answer."""
    thoughts: str = ""
    """The tag with which the model may begin its reasoning where the prompt has not; empty for none."""
    thinking: int = 0
    """Tokens for reasoning beyond that limit."""
    engine_waits: bool = False
    """Whether the engine knows the model's reasoning and holds to the format only what comes after it."""

    @classmethod
    def of(
        cls, levels: int, tokens: int, vocabulary: Collection[str], engine: Mapping[str, Any], thinking: int = 0
    ) -> AnswerFormat:
        """The format for a model with these tokens, in an engine with these options."""
        thoughts = THOUGHTS if THOUGHTS in vocabulary else ""
        own = engine.get("structured_outputs_config") or {}
        waits = bool(engine.get("reasoning_parser") or own.get("reasoning_parser"))
        return cls(levels, tokens, thoughts, thinking, waits)

    def pattern(self, messages: Sequence[Mapping[str, str]], prompt_tokens: int, opened: str) -> str | None:
        """`answer_pattern` for a request.

        Args:
            messages: the request.
            prompt_tokens: what it becomes, in tokens.
            opened: the tag of a reasoning block that the prompt ends with (`sage.hints.reply.opened_thoughts`).
        """
        characters = sum(len(message["content"]) for message in messages) / prompt_tokens
        thoughts = "" if self.engine_waits else opened or self.thoughts
        opened_here = bool(thoughts and opened)
        return answer_pattern(self.levels, self.tokens, characters, thoughts, opened_here, self.thinking)


def json_schema(levels: int) -> dict[str, Any]:
    """The answer's format as a JSON schema in the subset that OpenAI's strict mode and common servers take."""
    keys = [f"level_{level}" for level in range(1, levels + 1)]
    return {
        "type": "object",
        "properties": {key: {"type": "string"} for key in keys},
        "required": keys,
        "additionalProperties": False,
    }


UNFILLED = frozenset(("...", "…"))
"""What stands for a hint in a form that was not filled in."""
_STRING = r'"((?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*)"'
_MEMBER = re.compile(rf'"level_([1-9])"\s*:\s*{_STRING}')
_OBJECT = re.compile(rf"\s*\{{\s*{_MEMBER.pattern}(?:\s*,\s*{_MEMBER.pattern})*\s*\}}\s*")
_UNAMBIGUOUS = re.compile(rf"{_NEXT}*")


def read_exactly(text: str) -> dict[int, str] | None:
    """The hints of an answer that is one JSON object of levels and nothing else, reasoning aside; else None.

    Where its escapes leave no doubt it means what JSON says, whatever stands in a text; else LaTeX is looked for.
    """
    text = behind_thoughts(text)
    if not _OBJECT.fullmatch(text):
        return None
    hints = {}
    for level, raw in _MEMBER.findall(text):
        hint = json.loads(f'"{raw}"') if _UNAMBIGUOUS.fullmatch(raw) else decode(raw)
        hints[int(level)] = without_labels(hint.strip())
    return {level: hint for level, hint in hints.items() if hint and hint not in UNFILLED}
