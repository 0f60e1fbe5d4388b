"""Hint prompts and their rendering (SAGE Section 3, "Hints").

A set of prompts is a YAML file with the four keys of `PromptTemplates`; ``math`` and a path are accepted in the config.
Placeholders such as ``{problem}`` are filled in one pass, so braces in LaTeX, or a ``{hint}`` inside a problem, stay
what they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

Message = dict[str, str]
BUILTIN = {"math": Path(__file__).with_name("prompts_math.yaml")}
_REQUIRED = {
    "hint_request_level": {"problem", "solution", "level"},
    "hint_request_json": {"problem", "solution"},
    "hinted": {"hint"},
}


def _fill(template: str, values: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda m: values.get(m.group(1), m.group(0)), template)


@dataclass(frozen=True)
class PromptTemplates:
    """The texts around a hint."""

    hint_request_level: str
    """User turn that asks for the hint of one level: ``{problem}``, ``{solution}``, ``{level}``."""
    hint_request_json: str
    """User turn that asks for all levels as JSON with keys level_1..level_3: ``{problem}``, ``{solution}``."""
    hinted: str
    """User turn of a hinted rollout: ``{hint}`` and ``{prompt}`` (the plain user turn) or ``{problem}``."""
    hint_system: str | None = None
    """System turn of a hint request; null for none."""

    @classmethod
    def load(cls, source: str | Path) -> PromptTemplates:
        """Read a built-in set by name, or a YAML file by path.

        Raises:
            ValueError: the file is missing, or a key is unknown, absent or lacks one of its placeholders.
        """
        path = BUILTIN.get(str(source), Path(source))
        if not path.is_file():
            raise ValueError(f"sage.prompts={source}: no such file; give a YAML file or one of {', '.join(BUILTIN)}")
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        names = {f.name for f in fields(cls)}
        if not isinstance(data, dict) or set(data) - names or names - {"hint_system"} - set(data):
            raise ValueError(f"{path}: the keys must be {', '.join(sorted(names))} (hint_system may be left out)")
        for key, required in _REQUIRED.items():
            found = set(re.findall(r"\{(\w+)\}", data[key]))
            if missing := required - found:
                raise ValueError(f"{path}: {key} lacks the placeholder {{{sorted(missing)[0]}}}")
        if not {"prompt", "problem"} & set(re.findall(r"\{(\w+)\}", data["hinted"])):
            raise ValueError(f"{path}: hinted needs {{prompt}} (the plain user turn) or {{problem}}")
        return cls(**data)

    def hint_request_text(self, problem: str, solution: str, level: int | None) -> str:
        """User turn of a hint request; ``level`` None asks for all levels as JSON."""
        template = self.hint_request_json if level is None else self.hint_request_level
        return _fill(template, {"problem": problem, "solution": solution, "level": str(level)})

    def hint_request(self, problem: str, solution: str, level: int | None) -> list[Message]:
        """Messages of a hint request. The solution is shown here and nowhere else."""
        system = [{"role": "system", "content": self.hint_system}] if self.hint_system else []
        return [*system, {"role": "user", "content": self.hint_request_text(problem, solution, level)}]

    def hinted_text(self, prompt: str, problem: str, hint: str) -> str:
        """User turn of a hinted rollout."""
        return _fill(self.hinted, {"prompt": prompt, "problem": problem, "hint": hint})

    def hinted_messages(self, messages: list[Message], problem: str, hint: str) -> list[Message]:
        """The plain messages with the hint in the last user turn; everything before it is unchanged.

        Raises:
            ValueError: the last message is not a user turn.
        """
        if not messages or messages[-1]["role"] != "user":
            raise ValueError("the last message of a prompt must be the user's, since the hint is added to it")
        last = messages[-1]
        return [*messages[:-1], {**last, "content": self.hinted_text(last["content"], problem, hint)}]
