"""Where hints come from: what a source has to offer, and the current policy as one (``sage.hint_source=online``).

A source of one's own is a subclass of `HintSource` in any file: ``sage.hint_source=path/to/file.py:Class``
(docs/hints.md). `sage.hints.catalogue` knows those that come with this project.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

from sage.hints.prompts import Message, PromptTemplates
from sage.method.records import HintFailure, Prompt


@dataclass(frozen=True)
class Reply:
    """A hint writer's raw answer."""

    text: str
    tokens: int
    seconds: float
    cut: bool = False
    """Whether the token limit ended it."""


@dataclass(frozen=True)
class HintSettings:
    """How hints are asked for (the ``sage:`` block of the config)."""

    max_level: int
    """L."""
    request: str
    """``json``: all levels in one answer; ``level``: one level a request."""
    schema: bool
    """Whether ``json`` answers are to be held to their format (`sage.hints.structure`)."""
    temperature: float
    top_p: float
    max_tokens: int
    """Of an answer, with its reasoning."""
    prompts: PromptTemplates
    timeout: float = 300.0
    """Seconds for each of four tries of a request to an endpoint."""


@dataclass(frozen=True)
class HintQuery:
    """What a visit asks for."""

    prompt: Prompt
    level: int
    attempt: int
    """Further requests for this level in this visit, counted from 0."""
    visit: int
    """How often the prompt was visited before."""
    seed: int
    """Another one for every request; it repeats with the run."""


Policy = Callable[[Sequence[Message], int], Awaitable[Reply | HintFailure]]
"""``await policy(messages, seed)``: an answer of the current policy, by the engine that rolls out."""


class HintSource(ABC):
    """Gives the hints of prompts. One instance serves the visits of a rollout worker, which run side by side."""

    needs_solution: ClassVar[bool] = True
    """Whether a prompt without a reference solution gets no hint; such prompts are then not asked for."""
    verbatim: ClassVar[bool] = False
    """Whether a reply is the hint as it stands, at no cost; else it is a model's answer, to be read and counted."""
    from_policy: ClassVar[bool] = False
    """Whether the current policy writes the hints, on the engine that rolls out."""

    @classmethod
    def takes(cls, spec: str) -> bool:
        """Whether a value of ``sage.hint_source`` means this source.

        Raises:
            ValueError: it does, and is not complete.
        """
        return False

    @classmethod
    @abstractmethod
    def open(cls, spec: str, settings: HintSettings) -> HintSource:
        """The source that ``sage.hint_source`` names.

        Raises:
            ValueError: it is not there, or damaged.
        """

    @classmethod
    def why_not(cls, spec: str, settings: HintSettings) -> str | None:
        """By what it is known to give no hints from this machine; None where it does, or where nothing is tried."""
        return None

    @abstractmethod
    async def ask(self, query: HintQuery, policy: Policy) -> Reply | HintFailure:
        """A hint, or the answer in which it is; a failure where there is none."""

    def covered(self, prompt_ids: Collection[str], level: int) -> int | None:
        """How many of these prompts have a hint of a level; None where this is not known before they are asked for."""
        return None

    def request(self, prompt: Prompt) -> list[Message] | None:
        """What a model is sent for a prompt, to show and to measure; None where no model is asked."""
        return None

    def example(self, prompt: Prompt) -> str | None:
        """A long hint of a prompt, to show and to measure; None where there is none before training."""
        return None


class Written(HintSource):
    """Hints by a model that sees problem and reference solution (SAGE Section 3, "Hints")."""

    def __init__(self, settings: HintSettings) -> None:
        self.settings = settings

    def messages(self, query: HintQuery) -> list[Message]:
        """The request for a query's level, or for all of them."""
        asked = None if self.settings.request == "json" else query.level
        return self.settings.prompts.hint_request(query.prompt.problem, query.prompt.solution or "", asked)

    def request(self, prompt: Prompt) -> list[Message] | None:
        return self.messages(HintQuery(prompt, 1, 0, 0, 0))


class Online(Written):
    """Hints by the current policy."""

    from_policy = True

    @classmethod
    def takes(cls, spec: str) -> bool:
        return spec == "online"

    @classmethod
    def open(cls, spec: str, settings: HintSettings) -> Online:
        return cls(settings)

    async def ask(self, query: HintQuery, policy: Policy) -> Reply | HintFailure:
        return await policy(self.messages(query), query.seed)
