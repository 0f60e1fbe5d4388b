"""Writing a hint file ahead of training: every prompt, every draw, every level, checked like an online hint.

The file is JSONL and grows as hints come in, so that an interrupted run goes on where it was; what could not be written
is in ``<file>.failures.jsonl`` with its reason and the model's answer, and is not tried again either, except where an
endpoint did not answer.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sage.grading.verifier import Verifier
from sage.hints.sources import Reply
from sage.hints.writer import HintRules, HintWriter, request_seed
from sage.method.records import HintFailure, Prompt
from sage.support.documents import cut_torn_line, parse, read_json, whole_lines
from sage.support.files import write_json

AskAny = Callable[[Prompt, int | None, int], Awaitable[Reply | HintFailure]]
"""``await ask(prompt, level, seed)``: one hint request; level None asks for all levels as JSON."""


@dataclass(frozen=True)
class _Row:
    """What the lines of both files have."""

    prompt_id: str
    level: int
    draw: int
    failure: str | None = None


def failures_path(path: Path) -> Path:
    """Where what could not be written is noted."""
    return path.with_name(path.name + ".failures.jsonl")


def noted_settings(path: Path) -> dict[str, Any]:
    """What the hints of a file depend on; empty where there is none, or nothing is noted beside it."""
    note = path.with_name(path.name + ".settings.json")
    settings: dict[str, Any] = {}
    if path.exists() and note.exists():
        settings = read_json(dict[str, Any], note, "use another file, or delete both")
    return settings


def check_settings(path: Path, settings: dict[str, Any]) -> None:
    """Refuse to continue a file that was begun otherwise; else note how it is made, in ``<file>.settings.json``.

    Raises:
        ValueError: a setting has changed, and the message names it and both values; or the note is damaged.
    """
    before = noted_settings(path) or settings
    for key, value in settings.items():
        if key not in before or before[key] != value:
            raise ValueError(
                f"{path} was begun with {key}={before.get(key)!r}, which is {value!r} now: use another file, "
                "or delete it"
            )
    write_json(path.with_name(path.name + ".settings.json"), settings)


def already_done(path: Path) -> set[tuple[str, int, int]]:
    """(prompt id, level, draw) of every hint and failure on file; a line cut off by an interruption is dropped.

    Raises:
        ValueError: another line is damaged, or the file is another one; names file and line.
    """
    done = set()
    advice = "take the line out, or use another file"
    for file in (path, failures_path(path)):
        if not file.exists():
            continue
        for where, line in whole_lines(file, advice):
            if line.strip():
                row: _Row = parse(_Row, line, where, advice)
                if row.failure != HintFailure.ENDPOINT.value:
                    done.add((row.prompt_id, row.level, row.draw))
        cut_torn_line(file, b'{"prompt_id": ')
    return done


async def write_hints(
    prompts: Iterable[Prompt],
    path: Path,
    ask: AskAny,
    rules: HintRules,
    verifier: Verifier,
    *,
    draws: int,
    seed: int,
    concurrency: int,
    progress: Callable[[], object] = lambda: None,
) -> Counter[str]:
    """Write the hints that the file does not have yet.

    Args:
        prompts: the prompts.
        path: the JSONL file; rows hold ``prompt_id``, ``level``, ``draw`` and ``hint``.
        ask: sends one request to the model.
        rules: how hints are asked for and checked.
        verifier: for the leak guard.
        draws: hints for each prompt and level; training uses another one at each visit.
        seed: makes the draws of another file different.
        concurrency: prompts in flight.
        progress: called after each prompt and draw.

    Returns:
        How many hints were ``written``, were there ``before``, or failed, by reason.
    """
    done = already_done(path)
    counts: Counter[str] = Counter(before=len(done))
    gate = asyncio.Semaphore(concurrency)

    async def one(prompt: Prompt, draw: int, hints: IO[str], failed: IO[str]) -> None:
        levels = [n for n in range(1, rules.max_level + 1) if (prompt.prompt_id, n, draw) not in done]

        async def ask_once(level: int, attempt: int) -> Reply | HintFailure:
            asked = None if rules.request == "json" else level
            return await ask(prompt, asked, request_seed(seed, prompt.prompt_id, draw, level, attempt))

        writer = HintWriter(prompt, rules, verifier, ask_once, lambda text: True)  # the run knows its prompt length
        async with gate:
            for level in levels:
                hint = await writer.write(level)
                row = {"prompt_id": prompt.prompt_id, "level": level, "draw": draw}
                if isinstance(hint, HintFailure):
                    counts[hint.value] += 1
                    if hint is not HintFailure.ENDPOINT:
                        row |= {"failure": hint.value, "answer": writer.last_answer(level)}
                        failed.write(json.dumps(row, ensure_ascii=False) + "\n")
                else:
                    counts["written"] += 1
                    hints.write(json.dumps(row | {"hint": hint.text}, ensure_ascii=False) + "\n")
            hints.flush()
            failed.flush()
        progress()

    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as hints, open(failures_path(path), "a", encoding="utf-8") as failed:
        await asyncio.gather(*(one(p, draw, hints, failed) for p in prompts for draw in range(draws)))
    return counts
