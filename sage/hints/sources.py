"""Where hints come from: the current policy (``online``), a file written before, or another model behind an endpoint.

A file holds one hint a row, JSONL or Parquet, with ``prompt_id``, ``level`` and ``hint``. Several rows of one prompt
and level are draws, in the order of a column ``draw`` or else of the file; each visit uses the next one.
``scripts/write_hints.py`` writes such files: hints by the initial policy are the paper's *offline* hints, those by a
stronger model its *teacher* hints.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from sage.method.records import HintFailure

logger = logging.getLogger(__name__)
ONLINE = "online"
SUFFIXES = (".jsonl", ".parquet")


@dataclass(frozen=True)
class Reply:
    """A hint writer's raw answer."""

    text: str
    tokens: int
    seconds: float


def is_endpoint(source: str) -> bool:
    """Whether it is the URL of an endpoint."""
    return source.startswith(("http://", "https://"))


def kind_of(source: str) -> str:
    """``online``, ``file`` or ``endpoint``.

    Raises:
        ValueError: none of them.
    """
    if source == ONLINE:
        return ONLINE
    if is_endpoint(source):
        return "endpoint"
    if source.endswith(SUFFIXES):
        return "file"
    raise ValueError(
        "must be online, the path of a .jsonl or .parquet file of hints, or the http(s) URL of an endpoint"
    )


@dataclass
class HintFile:
    """Hints read from a file."""

    path: Path
    hints: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    """The draws of each prompt id and level, in order."""

    @classmethod
    def load(cls, path: str | Path, max_level: int) -> HintFile:
        """Read a hint file.

        Raises:
            ValueError: the file is missing or empty, or a row lacks a column or has a bad value; names file and row.
        """
        found = cls(Path(path))
        if not found.path.is_file():
            raise ValueError(f"sage.hint_source={path}: no such file; write one with scripts/write_hints.py")
        draws: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
        for where, row in _rows(found.path):
            missing = {"prompt_id", "level", "hint"} - set(row)
            if missing:
                raise ValueError(f"{where}: {sorted(missing)[0]!r} is missing; it has {', '.join(row)}")
            level, hint = row["level"], row["hint"]
            if not isinstance(level, int) or level < 1:
                raise ValueError(f"{where}: level is {level!r}; levels are 1 to {max_level}")
            if not isinstance(hint, str) or not hint.strip():
                raise ValueError(f"{where}: hint is {hint!r}; leave the row out if there is no hint")
            key = (str(row["prompt_id"]), level)
            draws[key].append((row.get("draw", len(draws[key])), hint))
        if not draws:
            raise ValueError(f"{path}: no hints in it")
        found.hints = {key: [hint for _, hint in sorted(values)] for key, values in draws.items()}
        return found

    def covered(self, prompt_ids: Collection[str], level: int) -> int:
        """How many of these prompts have a hint of a level."""
        return sum((prompt_id, level) in self.hints for prompt_id in set(prompt_ids))

    def longest(self, prompt_id: str) -> str | None:
        """A prompt's longest hint, in characters; None where it has none."""
        drawn = [hint for level in (1, 2, 3) for hint in self.hints.get((prompt_id, level), ())]
        return max(drawn, key=len, default=None)

    def draw(self, prompt_id: str, level: int, number: int) -> Reply | HintFailure:
        """The hint of a level for the ``number``-th draw, counted from 0; draws repeat when all were used."""
        hints = self.hints.get((prompt_id, level))
        if not hints:
            return HintFailure.NOT_IN_FILE
        return Reply(hints[number % len(hints)], 0, 0.0)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if path.suffix == ".parquet":
        for number, row in enumerate(pq.read_table(path).to_pylist()):
            yield f"{path}, row {number}", row
        return
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}, line {number}: not JSON ({error})") from error
            if not isinstance(row, dict):
                raise ValueError(f"{path}, line {number}: not a JSON object")
            yield f"{path}, line {number}", row


class Endpoint:
    """An OpenAI-compatible chat endpoint: ``http://host:port/v1``, or with ``#model`` where it serves several.

    The key, where one is needed, is read from the environment variable ``SAGE_HINT_API_KEY``. The first error of each
    kind is logged.
    """

    def __init__(self, url: str) -> None:
        from openai import AsyncOpenAI

        base, _, self.model = url.partition("#")
        key = os.environ.get("SAGE_HINT_API_KEY", "none")
        self.client = AsyncOpenAI(base_url=base, api_key=key, max_retries=3, timeout=300)
        self.limit = "max_tokens"
        self.logged: set[str] = set()

    def why_not(self, temperature: float, top_p: float) -> str | None:
        """Why a short trial request fails; None when it is answered. Not to be called in a running event loop."""
        from openai import OpenAIError

        async def ask() -> None:
            self.client = self.client.with_options(max_retries=1, timeout=60)
            await self._ask([{"role": "user", "content": "Say yes."}], temperature, top_p, max_tokens=16, seed=0)

        try:
            asyncio.run(ask())
        except OpenAIError as error:
            return f"{type(error).__name__}: {error}"
        return None

    async def ask(
        self, messages: Sequence[dict[str, str]], temperature: float, top_p: float, max_tokens: int, seed: int
    ) -> Reply | HintFailure:
        """One request; `HintFailure.ENDPOINT` when it still fails after retries."""
        from openai import OpenAIError

        try:
            return await self._ask(messages, temperature, top_p, max_tokens, seed)
        except OpenAIError as error:
            if (kind := type(error).__name__) not in self.logged:
                self.logged.add(kind)
                logger.warning("%s gave no hint, counted as endpoint: %s: %s", self.client.base_url, kind, error)
            return HintFailure.ENDPOINT

    async def _ask(
        self, messages: Sequence[dict[str, str]], temperature: float, top_p: float, max_tokens: int, seed: int
    ) -> Reply:
        from openai import BadRequestError

        begin = time.perf_counter()
        if not self.model:
            self.model = (await self.client.models.list()).data[0].id
        limit = self.limit
        try:
            answer = await self.client.chat.completions.create(
                model=self.model,
                messages=list(messages),  # type: ignore[arg-type]
                temperature=temperature,
                top_p=top_p,
                seed=seed,
                extra_body={limit: max_tokens},
            )
        except BadRequestError as error:
            if limit == "max_tokens" and "max_completion_tokens" in str(error):
                self.limit = "max_completion_tokens"  # what OpenAI's reasoning models take instead
                return await self._ask(messages, temperature, top_p, max_tokens, seed)
            raise
        tokens = answer.usage.completion_tokens if answer.usage else 0
        return Reply(answer.choices[0].message.content or "", tokens, time.perf_counter() - begin)
