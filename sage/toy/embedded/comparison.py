"""Recorded runs of an embedded task beside each other: one row a method, over its seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from statistics import fmean
from typing import Any

from sage.report.tables.cells import label
from sage.support.intervals import estimate
from sage.toy.embedded.series import UNTIMED
from sage.toy.embedded.tasks import KINDS

TOKENS = ("plain_accepted", "plain_discarded", "hinted_accepted", "hinted_discarded", "hint")

EARLIER = (200, 1)
"""Test problems of each kind and answers to each, in records that do not say."""
MINUS_SAGE = "hard, minus SAGE (same seeds)"


def interval(values: Sequence[float]) -> str:
    """Mean and, from two values on, half the width of the 95% t interval over seeds."""
    found = estimate(values)
    if found is None:
        return "missing"
    return f"{found.mean:.3f}" + (f" ±{found.half_width:.3f}" if found.half_width is not None else "")


def paired(row: Mapping[str, Any]) -> str:
    """Accuracy on hard problems less SAGE's over the seeds of both, and how many those are."""
    found = row["hard_minus_sage"]
    return f"{interval(found)} ({len(found)})" if found else ""


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def total(record: Mapping[str, Any]) -> int:
    return record["tokens"]["total"]


def compare(runs: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """One row a method, over its seeds.

    Seconds are relative to the mean of GRPO's runs in the same series, where that was quiet; tokens beyond those of
    GRPO's run of the same seed are relative to what SAGE's run adds; accuracy on hard problems is also given less that
    of SAGE's run of the same seed.
    """
    rows = []
    series: dict[str, list[Mapping[str, Any]]] = {}
    grpo, sage = runs.get("grpo", {}), runs.get("sage", {})
    for record in grpo.values():
        if record["series"] not in UNTIMED:
            series.setdefault(record["series"], []).append(record)
    for method, seeds in runs.items():
        own = [seeds[seed] for seed in sorted(seeds)]
        tokens = [r["tokens"] for r in own if "tokens" in r]
        row: dict[str, Any] = {"method": method, "seeds": sorted(seeds), "steps": sorted({r["steps"] for r in own})}
        row["answers"] = sorted({prod(r.get("tested", EARLIER)) for r in own})
        row |= {kind: [r["final"][kind] for r in own] for kind in KINDS}
        for key in ("never_solved", "hint_usage_last_quarter"):
            row[key] = [r[key] for r in own if key in r]
        kinds = dict.fromkeys(kind for t in tokens for kind in t)  # a record holds those known when it was made
        row["extra_tokens_relative_to_sage"] = [
            (total(seeds[s]) - total(grpo[s])) / (total(sage[s]) - total(grpo[s]))
            for s in sorted(seeds.keys() & grpo.keys() & sage.keys())
            if all("tokens" in runs[s] for runs in (seeds, grpo, sage)) and total(sage[s]) != total(grpo[s])
        ]
        row["hard_minus_sage"] = [
            seeds[s]["final"]["hard"] - sage[s]["final"]["hard"]
            for s in sorted(seeds.keys() & sage.keys())
            if method != "sage"
        ]
        row["tokens"] = {kind: fmean(t.get(kind, 0) for t in tokens) for kind in kinds}
        for key, name in (("wall_seconds", "seconds"), ("step_seconds", "step_seconds")):
            beside = [
                (r[key], fmean(g[key] for g in series[r["series"]])) for r in own if r["series"] in series and key in r
            ]
            row[f"{name}_relative_to_grpo"] = [seconds / others for seconds, others in beside]
        rows.append(row)
    return rows


def scores_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What each method reached, as a Markdown table."""
    head = ["method", "seeds", "steps", "answers", *KINDS, MINUS_SAGE, "never solved", "tokens (k)"]
    lines = []
    for row in rows:
        cells = [row["method"], str(len(row["seeds"]))]
        cells += [" / ".join(map(str, row[key])) for key in ("steps", "answers")]
        cells += [interval(row[kind]) for kind in KINDS]
        cells += [paired(row), interval(row["never_solved"])]
        lines.append([*cells, f"{row['tokens']['total'] / 1000:.0f}" if row["tokens"] else "missing"])
    return (
        f"{markdown(head, lines)}\n\n"
        "Accuracy without hints on held-out problems; *answers* is how many were drawn of each. ± is half the 95%\n"
        "t interval over seeds."
    )


def costs_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What each method took, as a Markdown table."""
    head = ["method", "hinted, last quarter", "tokens (k) by kind", "extra tokens / SAGE's"]
    head += ["step time / GRPO", "run time / GRPO"]
    lines = []
    for row in rows:
        tokens, extra = row["tokens"], row["extra_tokens_relative_to_sage"]
        cells = [row["method"], interval(row["hint_usage_last_quarter"])]
        cells += [" / ".join(f"{tokens.get(kind, 0) / 1000:.0f}" for kind in TOKENS) if tokens else "missing"]
        cells += [f"{fmean(extra):.2f}" if extra else ""]
        cells += [interval(row["step_seconds_relative_to_grpo"]), interval(row["seconds_relative_to_grpo"])]
        lines.append(cells)
    return (
        f"{markdown(head, lines)}\n\n"
        "Tokens: plain accepted / plain discarded / hinted accepted / hinted discarded / hint requests.\n"
        "Extra tokens: what a row generates beyond GRPO, as a part of what SAGE does (0 is GRPO, 1 is SAGE)."
    )


def brief_table(tasks: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The comparison for a reader in a hurry, the rows of one task below those of the other."""
    lines = []
    for task, rows in tasks.items():
        for row in rows:
            cells = [task, label(row["method"]), str(len(row["seeds"])), *(interval(row[kind]) for kind in KINDS)]
            cells += [interval(row["never_solved"]) if row["never_solved"] else ""]
            lines.append([*cells, f"{row['tokens']['total'] / 1000:.0f}k" if row["tokens"] else ""])
    return markdown(["task", "method", "seeds", *KINDS, "never solved", "tokens"], lines)
