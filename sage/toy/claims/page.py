"""The recorded runs on the pages: the tables of results/README.md and README.md, and the figure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sage.method.methods import METHODS
from sage.toy.claims.claims import judge_all
from sage.toy.claims.gate import gate_rows
from sage.toy.claims.judge import Claim, Runs
from sage.toy.claims.picture import SHOWN, picture
from sage.toy.embedded import store
from sage.toy.embedded.comparison import brief_table, compare, costs_table, markdown, scores_table
from sage.toy.embedded.series import RESULTS, STEPS, TUNING
from sage.toy.embedded.summary import ROWS
from sage.toy.embedded.tasks import KINDS, ROOT, TASKS

COMMAND = "python scripts/reproduce_claims.py --docs"
BEGIN, END = f"<!-- begin: {COMMAND} -->", "<!-- end -->"
"""Around the part of a page that is made from the records."""
FIGURE = "docs/results.svg"

OTHER_CONTEXT = ("off-policy", "guide", "sage-async")
"""Rows whose actor differs from the policy that rolled out: hints dropped, or rollouts that span several policies."""


class Judged(NamedTuple):
    runs: Runs
    claims: Sequence[Claim]
    gate: list[dict[str, float]] | None


def gate_file(task: str) -> Path:
    return RESULTS / task / "gate.json"


def judge(task: str) -> Judged:
    runs, gate = store.load(RESULTS / task, METHODS), gate_file(task)
    return Judged(runs, judge_all(runs, gate), gate_rows(gate) if gate.exists() else None)


def claims_table(tasks: Mapping[str, Sequence[Claim]]) -> str:
    """The verdicts as a Markdown table, the tasks side by side."""
    rows = []
    for same in zip(*tasks.values(), strict=True):
        claim = same[0]
        text = claim.text + (f" ({claim.note})" if claim.note else "")
        cells = ["<br>".join([f"**{each.verdict}**", *map(str, each.parts)]) for each in same]
        rows.append([claim.name, text, claim.where or "—", *cells])
    return markdown(["", "claim", "in the paper", *(f"{t}: mean ± half the 95% interval" for t in tasks)], rows)


def gate_table(rows: Sequence[dict[str, float]]) -> str:
    """The measured gate by level as a Markdown table."""
    return markdown(list(rows[0]), [[f"{v:.3f}" if v % 1 else f"{v:.0f}" for v in row.values()] for row in rows])


def tuning_table(task: str) -> str:
    """The runs with a learning rate that was asked for, all of them, by method."""
    found: list[tuple[str, float, int, Mapping[str, Any]]] = [
        (method, float(folder.name), seed, record)
        for folder in TUNING.glob("*")
        for method, seeds in store.load(folder / task, METHODS).items()
        for seed, record in seeds.items()
    ]
    rows = [
        [
            method,
            f"{rate:g}",
            str(seed),
            *(f"{record['final'][kind]:.3f}" for kind in KINDS),
            f"{record['never_solved']:.3f}" if "never_solved" in record else "",
            f"{record['tokens']['total'] / 1000:.0f}k" if "tokens" in record else "",
        ]
        for method, rate, seed, record in sorted(found, key=lambda each: (list(METHODS).index(each[0]), *each[1:3]))
    ]
    return markdown(["method", "learning rate", "seed", *KINDS, "never solved", "tokens"], rows)


def machine_time(judged: Mapping[str, Judged]) -> str:
    """How many runs are recorded, how long they took, on what."""
    records = [r for found in judged.values() for seeds in found.runs.values() for r in seeds.values()]
    hours = sum(r["wall_seconds"] for r in records) / 3600
    places = [f"{r['cores']} cores of {r.get('cpu') or 'a processor not recorded'}" for r in records]
    counts = ", ".join(f"{place} ({count})" for place, count in sorted(Counter(places).items()))
    return f"{len(records)} runs, {hours:.1f} hours in all; on {counts}."


def agreement(judged: Mapping[str, Judged]) -> str:
    """How far the probabilities of actor and engine are apart, so whether both saw the same context."""
    records = [
        record["probs_diff_max"]
        for found in judged.values()
        for method, seeds in found.runs.items()
        for record in seeds.values()
        if method not in OTHER_CONTEXT and record.get("probs_diff_max")
    ]
    largest = {kind: max((r[kind] for r in records if kind in r), default=math.nan) for kind in ROWS}
    each = " and ".join(f"{value:.1e} on {kind} rows" for kind, value in largest.items())
    return (
        f"max |p_rollout - p_actor|: {each} of the {len(records)} runs whose records hold it "
        f"(without {', '.join(OTHER_CONTEXT)}, where the two differ by design)."
    )


def claims_list(tasks: Mapping[str, Sequence[Claim]]) -> str:
    """The verdicts alone, a line a claim."""
    lines = []
    for same in zip(*tasks.values(), strict=True):
        verdicts = ", ".join(f"**{claim.verdict}** on {task}" for task, claim in zip(tasks, same, strict=True))
        if len({claim.verdict for claim in same}) == 1:
            verdicts = f"**{same[0].verdict}**" + (" on both" if len(same) > 1 else "")
        lines.append(f"- {same[0].name}. {same[0].text}: {verdicts}.")
    return "\n".join(lines)


def folded(title: str, *parts: str) -> str:
    """Parts of a page behind a title that opens them."""
    return "\n\n".join([f"<details><summary>{title}</summary>", *parts, "</details>"])


def results_block(judged: Mapping[str, Judged]) -> str:
    """What results/README.md shows: the claims, then the scores by task; everything else is folded behind these."""
    claims = {task: found.claims for task, found in judged.items()}

    def parts() -> Iterator[str]:
        yield "## Claims"
        yield claims_list(claims)
        means = "Means over seeds, runs of the same seed paired, with half the 95% t interval."
        yield folded("The numbers behind each verdict", means, claims_table(claims))
        for task, found in judged.items():
            rows = compare(found.runs)
            yield f"## {task}: {STEPS} steps, no hints at the test"
            yield scores_table(rows)
            yield folded("Tokens, hints and time", costs_table(rows))
            if found.gate:
                yield folded(f"The gate by hint level (C10), of {task}'s base model", gate_table(found.gate))
            yield folded("Learning rates, tried on a seed that is in no other table", tuning_table(task))
        yield f"{machine_time(judged)} {agreement(judged)}"

    return "\n\n".join(parts())


def with_block(page: str, block: str) -> str:
    """The text with the block between `BEGIN` and `END`.

    Raises:
        ValueError: the text does not hold both lines once.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"want the lines {BEGIN!r} and {END!r} once each, around the tables")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{rest.split(END)[1]}"


def pages() -> dict[Path, str]:
    """The files that are made from the records, with what they should hold."""
    judged = {task: judge(task) for task in TASKS}
    shown = {task: compare({m: found.runs[m] for m in SHOWN if m in found.runs}) for task, found in judged.items()}
    blocks = {RESULTS / "README.md": results_block(judged), ROOT / "README.md": brief_table(shown)}
    found = {path: with_block(path.read_text(encoding="utf-8"), block) for path, block in blocks.items()}
    return {**found, ROOT / FIGURE: picture({task: each.runs for task, each in judged.items()})}
