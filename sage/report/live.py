"""A running job in the terminal: the report's numbers from the metrics file, with their course."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

from rich.console import Group
from rich.table import Table
from rich.text import Text

from sage.report.alerts import find_alerts

Steps = Mapping[int, Mapping[str, float]]
"""Logged metrics by step."""

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 40
ROWS = {
    "success rate in training": ("sage/groups/accuracy", "{:.0%}"),
    "prompts with a hint": ("sage/hint_usage", "{:.0%}"),
    "never solved so far": ("sage/never_solved", "{:.1%}"),
    "groups all failed, before hints": ("sage/groups/all_fail_before", "{:.0f}"),
    "groups all failed, after": ("sage/groups/all_fail_after", "{:.0f}"),
    "groups without a signal": ("sage/groups/dead", "{:.0f}"),
    "advantage energy (Eq. 6)": ("sage/groups/energy", "{:.2f}"),
    "hints refused for a leak": ("sage/hint_requests/leak", "{:.0f}"),
    "hints that could not be read": ("sage/hint_requests/parse", "{:.0f}"),
    "responses cut off": ("response_length/clip_ratio", "{:.0%}"),
    "entropy": ("actor/entropy", "{:.3f}"),
    "gradient norm": ("actor/grad_norm", "{:.3g}"),
    "response length": ("response_length/mean", "{:.0f}"),
    "seconds of a step": ("timing_s/step", "{:.1f}"),
    "of them beyond GRPO's part": ("sage/beyond_grpo/seconds", "{:.1f}"),
    "tokens beyond GRPO's part": ("sage/beyond_grpo/tokens", "{:,.0f}"),
    "tokens begun early and lost": ("sage/tokens/abandoned", "{:,.0f}"),
}
"""Lines of the view: name of the metric, and how its last value is written."""


def sparkline(values: Sequence[float]) -> str:
    """Course of a metric, from 0 or below to its maximum: means over equal stretches where there are many values."""
    if not values:
        return ""
    count = min(WIDTH, len(values))
    edges = [round(i * len(values) / count) for i in range(count + 1)]
    means = [fmean(values[a:b]) for a, b in pairwise(edges)]
    low = min(0.0, *means)
    span = (max(means) - low) or 1.0
    return "".join(BLOCKS[min(7, int(8 * (m - low) / span))] for m in means)


def seconds_left(steps: Steps, total: int | None) -> float | None:
    """At the pace of the last ten steps; None where the number of steps or their duration is not known."""
    took = [data["timing_s/step"] for data in steps.values() if "timing_s/step" in data][-10:]
    return fmean(took) * max(0, total - max(steps)) if took and total else None


def headline(name: str, steps: Steps, total: int | None) -> str:
    left = seconds_left(steps, total)
    parts = [name, f"step {max(steps)}" + (f" of {total}" if total else "")]
    return "   ".join(parts + ([] if left is None else [f"{left / 60:.1f} min left"]))


def levels(data: Mapping[str, float]) -> str:
    """Prompts of the last batch by level, as a bar of digits."""
    counts = {key.rpartition("_")[2]: int(v) for key, v in data.items() if key.startswith("sage/prompts/level_")}
    total = sum(counts.values()) or 1
    return "".join(level * round(WIDTH * n / total) for level, n in sorted(counts.items()))


def course(steps: Steps, key: str) -> list[float]:
    """A metric's values where it was logged."""
    return [data[key] for data in steps.values() if key in data]


def view(name: str, steps: Steps, total: int | None) -> Group | Text:
    """The whole view. Metrics that a run does not log have no line."""
    if not steps:
        return Text(f"{name}: no step yet")
    table = Table(box=None, pad_edge=False)
    for head, justify in (("", "left"), ("now", "right"), ("course", "left")):
        table.add_column(head, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for text, (key, form) in ROWS.items():
        if values := course(steps, key):
            table.add_row(text, form.format(values[-1]), sparkline(values))
    spent = [[v for k, v in data.items() if k.startswith("sage/tokens/")] for data in steps.values()]
    tokens = [sum(kinds) for kinds in spent if kinds]
    if tokens:
        table.add_row("tokens of a step", f"{tokens[-1]:,.0f}", sparkline(tokens))
    last = steps[max(steps)]
    if bar := levels(last):
        table.add_row("levels of the last batch", "", bar)
    tested = sorted({key for d in steps.values() for key in d if key.startswith("val-core/") and "/acc/mean@" in key})
    for key in tested:
        values = course(steps, key)
        table.add_row(f"no-hint test: {key.split('/')[1]}", f"{values[-1]:.1%}", sparkline(values))
    alerts = find_alerts([steps[step] for step in sorted(steps)]).values()
    return Group(
        Text(headline(name, steps, total), style="bold"),
        table,
        *(Text(f"alert: {text}", style="red") for text in alerts),
    )
