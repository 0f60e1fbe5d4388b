"""The README's figure: held-out hard accuracy against generated tokens, from the recorded runs of both tasks."""

from __future__ import annotations

import io
from collections.abc import Mapping
from statistics import fmean

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sage.report.tables.cells import label
from sage.report.tables.plot import COLORS, STYLE
from sage.support.intervals import Estimate, estimate
from sage.toy.claims.judge import Runs
from sage.toy.embedded.comparison import total

SHOWN = ("grpo", "grpo-longer", "sage", "guide", "dapo")
LEFT = ("grpo", "dapo")
"""Methods whose name stands on the left of their point."""
NAMES = {"grpo-longer": "GRPO, more steps"}
FIXED = {"svg.fonttype": "none", "svg.hashsalt": "sage", "font.family": "sans-serif", "font.size": 8.5}
"""Text stays text; the same records give the same bytes."""


def point(runs: Runs, method: str) -> tuple[float, Estimate] | None:
    """Mean generated tokens in thousands, and hard accuracy over the seeds; None without records."""
    records = [record for record in runs.get(method, {}).values() if "tokens" in record]
    found = estimate([record["final"]["hard"] for record in records])
    return (fmean(total(record) for record in records) / 1000, found) if found else None


def draw(axes: Axes, task: str, runs: Runs) -> None:
    """One task: a point a method with its 95% interval, GRPO's two joined, the base model as a line."""
    found = {method: at for method in SHOWN if (at := point(runs, method))}
    base = [record["base"]["hard"] for seeds in runs.values() for record in seeds.values() if "base" in record]
    if base:
        axes.axhline(fmean(base), color="#999999", linestyle=":", linewidth=1)
        axes.annotate(
            "before training",
            (0.99, fmean(base)),
            (0, 3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            color="#777777",
            fontsize=7,
        )
    if {"grpo", "grpo-longer"} <= found.keys():
        ends = [found["grpo"], found["grpo-longer"]]
        axes.plot([x for x, _ in ends], [y.mean for _, y in ends], color=COLORS["grpo"], linewidth=1, zorder=1)
    for method, (x, y) in found.items():
        color = COLORS[method.removesuffix("-longer")]
        axes.errorbar(x, y.mean, yerr=y.half_width, fmt="o", markersize=5, color=color, elinewidth=1.3, capsize=2)
        left = method in LEFT
        axes.annotate(
            NAMES.get(method, label(method)),
            (x, y.mean),
            (-7 if left else 8, 5 if method != "grpo-longer" else -8),
            textcoords="offset points",
            color=color,
            ha="right" if left else "left",
        )
    missing = [NAMES.get(method, label(method)) for method in SHOWN if method not in found]
    title = task + (f" ({', '.join(missing)} not recorded)" if missing else "")
    axes.set(title=title, xlabel="generated tokens, thousands", xlim=(0, 1200), ylim=(0, 0.31))


def picture(runs: Mapping[str, Runs]) -> str:
    """The figure as SVG text: a panel a task. Accuracy is without hints, bars are 95% t intervals over seeds."""
    with rc_context({**STYLE, **FIXED}):  # type: ignore[dict-item]
        figure = Figure(figsize=(7.6, 2.9), layout="constrained")
        panels = figure.subplots(1, len(runs), sharey=True, squeeze=False)[0]
        for axes, (task, found) in zip(panels, runs.items(), strict=True):
            draw(axes, task, found)
        panels[0].set_ylabel("held-out hard problems solved")
        text = io.StringIO()
        figure.savefig(text, format="svg", facecolor="white", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"
