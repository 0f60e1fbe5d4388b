"""The embedded tasks: what each of them supplies, and how one is loaded by name."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import yaml

from sage.hints.prompts import PromptTemplates

ROOT = Path(__file__).resolve().parents[3]
TASKS = ("opchain", "wheels")
KINDS = ("easy", "medium", "hard")
PROMPTS = PromptTemplates.load(Path(__file__).with_name("prompts.yaml"))

CPU_ENGINE = {"dtype": "float32", "max_model_len": 128, "enforce_eager": True, "gpu_memory_utilization": 0.1}
"""Arguments of vLLM's engine for the embedded models."""
ENGINE_OPTIONS = [part for key, value in CPU_ENGINE.items() for part in ("--engine", f"{key}={value}")]
"""The same for scripts/evaluate.py and scripts/write_hints.py."""


class Problem(Protocol):
    """One problem of an embedded task."""

    @property
    def kind(self) -> str:
        """One of `KINDS`."""

    @property
    def text(self) -> str:
        """The problem as the model reads it."""

    @property
    def answer(self) -> str:
        """What the verifier compares with."""

    @property
    def solution(self) -> str:
        """The reference solution, from which hints are written."""

    @property
    def response(self) -> str:
        """A right response (for SFT and LUFFY)."""

    def checkpoint(self, level: int) -> str:
        """An ideal hint of a level, 1 to 3."""


AnyProblem = TypeVar("AnyProblem", bound=Problem)


@dataclass(frozen=True)
class Task:
    name: str
    make_problems: Callable[..., list[Problem]]
    """(kind, count, seed, exclude) -> distinct problems."""
    is_correct: Callable[[str, str], bool]
    """(response, answer) -> whether the response is right."""
    sample_document: Callable[[random.Random], tuple[str, str]]
    """One (user turn, assistant turn) of the pre-training corpus."""


def load_task(name: str) -> Task:
    """The task ``sage.toy.<name>``; one of `TASKS`."""
    task, corpus = (importlib.import_module(f"sage.toy.{name}.{part}") for part in ("task", "corpus"))
    return Task(name, task.make_problems, task.is_correct, corpus.sample_document)


def task_config(task: str) -> dict[str, Any]:
    """What a task sets in the recipe's configuration."""
    return yaml.safe_load((ROOT / f"recipe/sage/config/task/{task}.yaml").read_text(encoding="utf-8"))


def base_model(task: str) -> str:
    return task_config(task)["actor_rollout_ref"]["model"]["path"]


def plain_prompt(problem: Problem) -> str:
    """The user turn of a problem without a hint."""
    return problem.text + "="


def distinct(
    make: Callable[[str, random.Random], AnyProblem], kind: str, count: int, seed: int, exclude: Container[str]
) -> list[AnyProblem]:
    """``count`` problems of a kind with distinct texts, none of them in ``exclude``, as ``make`` draws them.

    Raises:
        ValueError: there are hardly so many (``100 * count`` draws do not find them).
    """
    rng = random.Random(f"{kind}/{seed}")
    problems: dict[str, AnyProblem] = {}
    for _ in range(100 * count):
        if len(problems) == count:
            break
        problem = make(kind, rng)
        if problem.text not in exclude:
            problems.setdefault(problem.text, problem)
    if len(problems) < count:
        raise ValueError(f"found {len(problems)} distinct {kind} problems, not {count}: ask for fewer")
    return list(problems.values())
