"""What the page knows of each prompt: a compact table of all visits, and details that are unpacked one part at a time.

The table (a few numbers a visit) is read when the page opens. Details with texts are JSON in parts of `PART` prompts,
gzipped in base64, which the browser unpacks when a prompt of the part is chosen.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage.report.history import Entry
from sage.report.runs import Problem, read_dumps

PART = 100
"""Prompts in a part."""
TEXT_BUDGET = 60_000_000
"""Characters of hints and problems in a page, over all runs; gzip leaves about a quarter. Prompts beyond have none."""
ROLLOUT_PROMPTS = 500
"""Prompts whose rollouts are kept, over all runs."""
LONG_HINT, LONG_ROLLOUT, LONG_PROBLEM = 2000, 3000, 120
"""Longer texts are cut in the middle, or at the end (the problem in the table)."""


@dataclass(frozen=True)
class PromptData:
    table: dict[str, Any]
    """Columns by prompt, and flat columns by visit in the prompts' order."""
    parts: list[str]
    notes: list[str]
    """What was cut or left out."""


class Cutter:
    """Cuts long texts in the middle, since both ends matter, to a number of characters, and counts them."""

    def __init__(self) -> None:
        self.cut = 0

    def __call__(self, text: str, most: int) -> str:
        if len(text) <= most:
            return text
        self.cut += 1
        return f"{text[: most * 2 // 3]}\n[… {len(text) - most} characters …]\n{text[-(most // 3) :]}"


def pack(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def details(entry: Entry, cut: Callable[[str, int], str] | None) -> dict[str, Any]:
    """One visit; without texts where there is no cutter."""
    visit = entry.visit
    main = visit.main
    return {
        "s": entry.step,
        "d": [str(visit.decision.action), str(visit.decision.reason), visit.decision.level],
        "g": [
            [
                g.level,
                g.successes,
                sum(not r.reference for r in g.rollouts),
                g.tokens,
                round(g.seconds, 2),
                int(g is main),
                (cut(g.hint, LONG_HINT) if cut else None) if g.hint is not None else 0,
            ]
            for g in visit.groups
        ],
        "q": [[r.level, str(r.outcome), r.tokens] for r in visit.requests],
        "f": [str(f) for f in visit.failures],
    }


def prompt_data(
    entries: Sequence[Entry],
    problems: Mapping[str, Problem],
    dumps: Path | None,
    wanted: Sequence[str],
    runs: int,
) -> PromptData:
    """Table and details of one run.

    Args:
        dumps: folder of dumped rollouts.
        wanted: prompts that keep all their texts, uncut.
        runs: how many runs share the page.

    Raises:
        ValueError: a dump is damaged.
    """
    visits: dict[str, list[Entry]] = {}
    for entry in entries:
        visits.setdefault(entry.visit.prompt_id, []).append(entry)
    # Which prompts keep their texts has no relation to outcomes, and is the same in every run.
    sampled = sorted(visits, key=lambda i: (i not in wanted, zlib.crc32(i.encode())))
    cut = Cutter()
    found: dict[str, dict[str, Any]] = {}
    left = TEXT_BUDGET // runs
    texts = 0
    for prompt_id in sampled:
        row = problems.get(prompt_id)
        size = sum(len(g.hint or "") for e in visits[prompt_id] for g in e.visit.groups)
        size += len(row.problem) if row else 0
        keeps = prompt_id in wanted or size <= left
        left -= size if keeps else 0
        texts += keeps
        cutter = ((lambda text, most: text) if prompt_id in wanted else cut) if keeps else None
        found[prompt_id] = {"v": [details(e, cutter) for e in visits[prompt_id]]}
        if row:
            found[prompt_id] |= {"p": row.problem if keeps else None, "a": row.answer}
    notes = []
    if texts < len(visits):
        notes.append(
            f"Hints and problem texts of {texts:,} of {len(visits):,} prompts, drawn by their ids, to bound the page."
        )
    if dumps is not None:
        chosen = sampled[: max(1, ROLLOUT_PROMPTS // runs) + len(wanted)]
        notes += _add_rollouts(found, {i: visits[i] for i in chosen}, dumps, cut, wanted)
        if len(chosen) < len(visits):
            notes.append(
                f"Rollouts of {len(chosen):,} of {len(visits):,} prompts, drawn by their ids; --prompt adds others."
            )
    if cut.cut:
        notes.append(f"{cut.cut:,} long texts are cut in the middle; --prompt ID keeps those of a prompt whole.")
    ids = list(visits)
    parts = [pack([found[i] for i in ids[k : k + PART]]) for k in range(0, len(ids), PART)]
    return PromptData(_table(visits, problems), parts, notes)


def _add_rollouts(
    found: dict[str, dict[str, Any]],
    visits: Mapping[str, Sequence[Entry]],
    folder: Path,
    cut: Cutter,
    wanted: Sequence[str],
) -> list[str]:
    places = {e.uid: (prompt_id, k) for prompt_id, own in visits.items() for k, e in enumerate(own)}
    there = set()
    for trained in read_dumps(folder, set(places)):
        prompt_id, k = places[trained.visit]
        most = len(trained.output) if prompt_id in wanted else LONG_ROLLOUT
        visit = found[prompt_id]["v"][k]
        contexts = visit.setdefault("c", [])
        if trained.input not in contexts:
            contexts.append(trained.input)
        place = contexts.index(trained.input)
        visit.setdefault("o", []).append([place, trained.score, cut(trained.output, most)])
        there.add(trained.visit)
    lacking = len(places) - len(there)
    return [f"{lacking:,} visits have no dumped rollouts in {folder.name}/."] if lacking else []


def _table(visits: Mapping[str, Sequence[Entry]], problems: Mapping[str, Problem]) -> dict[str, Any]:
    every = [entry for own in visits.values() for entry in own]
    accepted = [entry.visit.accepted for entry in every]
    return {
        "id": list(visits),
        "problem": [problems[i].problem[:LONG_PROBLEM] if i in problems else "" for i in visits],
        "visits": [len(own) for own in visits.values()],
        "tokens": [sum(g.tokens for e in own for g in e.visit.groups) for own in visits.values()],
        # 2: solved without a hint, 1: only with one, 0: never
        "solved": [
            max((1 + (g.hint is None) for e in own for g in e.visit.groups if g.successes), default=0)
            for own in visits.values()
        ],
        "step": [entry.step for entry in every],
        "level": [group.level for group in accepted],
        "success": [round(100 * group.accuracy) for group in accepted],
    }
