"""Hint prompts and their rendering (SAGE Section 3, "Hints").

A set of prompts is a YAML file with the keys of `PromptTemplates`; ``math`` and a path are accepted in the config.
Placeholders such as ``{problem}`` are filled in one pass, so braces in LaTeX, or a ``{hint}`` inside a problem, stay
what they are.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from sage.support.values import closest

Message = dict[str, str]
BUILTIN = {"math": Path(__file__).with_name("prompts_math.yaml")}
_REQUIRED: dict[str, set[str]] = {
    "hint_request_level": {"problem", "solution", "level"},
    "hint_request_json": {"problem", "solution"},
    "hinted": {"hint"},
}
_ALLOWED = _REQUIRED | {"hinted": {"hint", "prompt", "problem"}, "hint_system": set()}
_ALL = sorted(set().union(*_ALLOWED.values()))
_OPTIONAL = ("hint_system", "solution_step")


def _fill(template: str, values: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda m: values.get(m.group(1), m.group(0)), template)


def _placeholders(template: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", template))


def _unfilled(template: str, allowed: set[str]) -> str | None:
    """What is meant as a placeholder and would stay as it is; no argument of LaTeX, no other word."""
    for word in re.findall(r"(?<![\w\\])\{([ \w]+)\}", template):
        if word not in allowed and closest(word.strip().lower(), _ALL):
            return word
    return None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        data = loader.construct_document(node) if node else None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error.reason}); save the file as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        fault = error.problem or error.context
        raise ValueError(
            f"{path}{line}: not YAML ({fault}); indent every line of a text, and begin a text with a colon in it by |-"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no such date or number
        raise ValueError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(data, dict):
        return {}
    seen = set()
    for key, _ in node.value:
        if key.value in seen:
            raise ValueError(f"{path}, line {key.start_mark.line + 1}: {key.value} is there twice; take one out")
        seen.add(key.value)
    return data


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
    solution_step: str | None = None
    """Regular expression of one step of a solution, for ``sage.hint_source=prefix``; null: lines and sentences."""

    @classmethod
    def load(cls, source: str | Path) -> PromptTemplates:
        """Read a built-in set by name, or a YAML file by path.

        Raises:
            ValueError: the file is missing or no YAML, or a key is unknown, absent, no text or lacks a placeholder;
                names file and line or key.
        """
        path = BUILTIN.get(str(source), Path(source))
        if not os.path.isfile(path):
            raise ValueError(f"sage.prompts={source}: no such file; give a YAML file or one of {', '.join(BUILTIN)}")
        data = _read_yaml(path)
        names = [f.name for f in fields(cls)]
        wrong = [f"{key!r} is unknown" for key in data if key not in names]
        wrong += [f"{key} is missing" for key in names if key not in data and key not in _OPTIONAL]
        if wrong:
            raise ValueError(
                f"{path}: {wrong[0]}; the keys must be {', '.join(names)} ({' and '.join(_OPTIONAL)} may be left out)"
            )
        for key, value in data.items():
            if not isinstance(value, str) and (key not in _OPTIONAL or value is not None):
                raise ValueError(f"{path}: {key} is {value!r}; give a text")
        for key, required in _REQUIRED.items():
            if missing := required - _placeholders(data[key]):
                raise ValueError(f"{path}: {key} lacks the placeholder {{{sorted(missing)[0]}}}")
        for key, allowed in _ALLOWED.items():
            if word := _unfilled(data.get(key) or "", allowed):
                known = ", ".join(f"{{{name}}}" for name in sorted(allowed)) or "none"
                raise ValueError(f"{path}: {key} has {{{word}}}, which is not filled in; its placeholders are {known}")
        if not {"prompt", "problem"} & _placeholders(data["hinted"]):
            raise ValueError(f"{path}: hinted needs {{prompt}} (the plain user turn) or {{problem}}")
        try:
            re.compile(data.get("solution_step") or "")
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{path}: solution_step is no regular expression ({error})") from error
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
