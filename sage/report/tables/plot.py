"""The parts that all figures share: record of what was drawn, style, colours, legend, files."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from sage.method.methods import METHODS
from sage.report.tables.cells import absent, label
from sage.report.tables.render import escape, missing_notes

COLORS = {name: method.color for name, method in METHODS.items() if method.color}
"""Methods of the training courses, in the order of the legend."""

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
}


@dataclass(frozen=True)
class Point:
    """One plotted number, as it stands in the CSV."""

    model: str
    panel: str
    method: str
    x: str
    source: str
    """"ours" or "paper"."""
    value: float
    low: float | None = None
    high: float | None = None


@dataclass
class Figure:
    """A drawn figure with its numbers, and folders by what they lack."""

    name: str
    number: str
    title: str
    canvas: Canvas
    notes: list[str] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    missing: dict[str, list[str]] = field(default_factory=dict)

    @property
    def has_ours(self) -> bool:
        return any(point.source == "ours" for point in self.points)

    def lacks(self, model: str, method: str, why: str = "") -> None:
        """Note that something is missing: why, by default that there are no runs."""
        cell = absent(model, method, why)
        folders = self.missing.setdefault(cell.missing, [])
        if cell.where not in folders:
            folders.append(cell.where)


def open_mark(color: str) -> dict[str, Any]:
    """The paper's numbers: an open diamond."""
    return {
        "marker": "D",
        "linestyle": "",
        "markersize": 4.5,
        "markerfacecolor": "white",
        "markeredgecolor": color,
        "markeredgewidth": 1.1,
    }


def dot(color: str, name: str) -> Line2D:
    return Line2D([], [], marker="o", linestyle="", color=color, label=name)


def legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """One legend above all panels, in rows of about equal length; with the paper's diamond where there is one."""
    handles = list(handles)
    if any(point.source == "paper" for point in figure.points):
        handles.append(Line2D([], [], **open_mark("#333333"), label="paper"))
    if handles:
        rows = math.ceil(len(handles) * 1.15 / figure.canvas.get_figwidth())
        figure.canvas.legend(
            handles=handles, loc="outside upper center", ncols=math.ceil(len(handles) / rows), columnspacing=1.2
        )


def method_legend(figure: Figure) -> None:
    there = {point.method for point in figure.points if point.source == "ours"}
    legend(figure, [Line2D([], [], color=color, label=label(m)) for m, color in COLORS.items() if m in there])


def write_figure(figure: Figure, folder: Path) -> list[Path]:
    """Write the picture, its caption as Markdown and LaTeX, and its numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{figure.name}.{kind}" for kind in ("md", "tex", "csv", "png")]
    notes = [*figure.notes, *missing_notes(figure.missing)]
    lines = [f"## {figure.number}. {figure.title}", "", f"![{figure.title}]({paths[3].name})", ""]
    paths[0].write_text("\n".join([*lines, *(f"- {note}" for note in notes)]) + "\n", encoding="utf-8")
    caption = escape(" ".join([f"{figure.title}.", *notes]))
    lines = [r"\begin{figure}[t]", r"\centering", rf"\includegraphics[width=\linewidth]{{{paths[3].name}}}"]
    paths[1].write_text("\n".join([*lines, rf"\caption{{{caption}}}", r"\end{figure}"]) + "\n", encoding="utf-8")
    with open(paths[2], "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "panel", "method", "x", "source", "value", "low", "high"])
        writer.writerows([p.model, p.panel, p.method, p.x, p.source, p.value, p.low, p.high] for p in figure.points)
    figure.canvas.savefig(paths[3], dpi=200, facecolor="white")
    return paths
