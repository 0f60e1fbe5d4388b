"""Small charts as inline SVG. Colours are CSS variables of the page, so that they follow its light or dark scheme."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import pairwise
from statistics import fmean

import numpy as np

WIDTH, HEIGHT = 360, 216
"""In units of the drawing; about CSS pixels, since a panel is 300 to 420 wide on every screen."""
LEFT, RIGHT, TOP, BOTTOM = 42, 12, 10, 34
MOST_POINTS = 120
"""A longer course is averaged in equal stretches of steps."""

Point = tuple[float, float, float, float]
"""x, y, and the ends of its interval."""


@dataclass(frozen=True)
class Series:
    name: str
    color: str
    """A CSS colour."""
    points: Sequence[Point]
    dashed: bool = False


@dataclass(frozen=True)
class Axes:
    """Maps data to the drawing."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        left, right = self.x
        low, high = self.y
        return (
            LEFT + (x - left) / ((right - left) or 1) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - low) / ((high - low) or 1) * (HEIGHT - TOP - BOTTOM),
        )

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        return "M" + "L".join("{:.1f} {:.1f}".format(*self.at(x, y)) for x, y in points)


def number(value: float) -> str:
    """Short text of a number: 1200 as 1.2k, 0.25 as 0.25."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def ticks(low: float, high: float) -> list[float]:
    """Round numbers from ``low`` to ``high``, about four of them."""
    if high <= low:
        return [low]
    raw = (high - low) / 4
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def thin(points: Sequence[Point]) -> list[Point]:
    """At most `MOST_POINTS`: means over stretches of equal number, ends of intervals included."""
    if len(points) <= MOST_POINTS:
        return list(points)
    edges = [round(i * len(points) / MOST_POINTS) for i in range(MOST_POINTS + 1)]
    parts = [points[a:b] for a, b in pairwise(edges)]
    return [(fmean(x), fmean(y), fmean(low), fmean(high)) for x, y, low, high in (zip(*c, strict=True) for c in parts)]


def _frame(axes: Axes, x_label: str, y_text: Callable[[float], str], whole_x: bool) -> str:
    parts = []
    for y in ticks(*axes.y):
        _, v = axes.at(axes.x[0], y)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{v:.1f}" y2="{v:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{v + 4:.1f}" text-anchor="end">{y_text(y)}</text>')
    for x in ticks(*axes.x):
        if whole_x and x != round(x):
            continue
        u, _ = axes.at(x, axes.y[0])
        parts.append(f'<text x="{u:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{number(x)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="axis" x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_label)}</text>')
    return "".join(parts)


def figure(title: str, body: str, summary: str, legend: str = "") -> str:
    """A panel: heading, legend above the drawing, drawing with a description for screen readers."""
    return (
        f'<figure class="panel"><figcaption>{escape(title)}</figcaption>{legend}'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{title}: {summary}")}">{body}</svg>'
        "</figure>"
    )


def legend(series: Sequence[Series]) -> str:
    """A list of names, each with a stroke of its colour."""
    items = "".join(
        f'<li><i style="background:{s.color}"{" class=dash" if s.dashed else ""}></i>{escape(s.name)}</li>'
        for s in series
    )
    return f'<ul class="legend">{items}</ul>'


MISSING = '<span class="missing">'


def missing(title: str, why: str) -> str:
    """In place of a panel: why there is nothing to draw."""
    return f"{MISSING}{escape(title)}: {escape(why)}.</span>"


def grid(panels: Sequence[str], kind: str = "") -> str:
    """Panels in a grid, and below it what is missing."""
    drawn = "".join(p for p in panels if not p.startswith(MISSING))
    absent = " ".join(p for p in panels if p.startswith(MISSING))
    return (f'<div class="panels {kind}">{drawn}</div>' if drawn else "") + (
        f"<p class=note>{absent}</p>" if absent else ""
    )


def percent(value: float) -> str:
    return f"{100 * value:.3g}%"


def line_chart(
    title: str,
    series: Sequence[Series],
    y_text: Callable[[float], str] = number,
    y_top: float | None = None,
    show_legend: bool = False,
) -> str:
    """Courses over the steps, with a band where an interval has a width; a course of few points has marks.

    Args:
        y_top: upper end of the y axis, by default the highest value. The lower end is 0, or below it the lowest value.
    """
    drawn = [replace(s, points=thin(s.points)) for s in series if s.points]
    if not drawn:
        return missing(title, "not recorded")
    all_points = [p for s in drawn for p in s.points]
    low = min(0.0, *(p[2] for p in all_points))
    high = y_top if y_top is not None else max(p[3] for p in all_points) * 1.05 or 1.0
    axes = Axes((0, max(p[0] for p in all_points)), (low, high))
    body = [_frame(axes, "training step", y_text, True)]
    for s in drawn:
        if len(s.points) > 1 and any(p[3] > p[2] for p in s.points):
            outline = [(p[0], p[3]) for p in s.points] + [(p[0], p[2]) for p in reversed(s.points)]
            body.append(f'<path class="band" style="fill:{s.color}" d="{axes.path(outline)}Z"/>')
    for s in drawn:
        dash = ' stroke-dasharray="5 3"' if s.dashed else ""
        body.append(f'<path class="line" style="stroke:{s.color}"{dash} d="{axes.path([p[:2] for p in s.points])}"/>')
        for p in s.points if len(s.points) <= 12 else s.points[-1:]:
            u, v = axes.at(p[0], p[1])
            tip = f"{escape(s.name)}, step {p[0]:.0f}: {y_text(p[1])}"
            body.append(f'<circle cx="{u:.1f}" cy="{v:.1f}" r="3" style="fill:{s.color}"><title>{tip}</title></circle>')
    words = "; ".join(f"{s.name} from {y_text(s.points[0][1])} to {y_text(s.points[-1][1])}" for s in drawn)
    return figure(title, "".join(body), words, legend(drawn) if show_legend else "")


def stack_chart(title: str, layers: Sequence[Series]) -> str:
    """Layers on top of each other, the first one lowest; layers without any value are left out.

    Args:
        layers: each with one point a step, the same steps in all.
    """
    there = [s for s in layers if any(p[1] for p in s.points)]
    if not there:
        return missing(title, "none in this run" if layers else "not recorded")
    thinned = [thin(s.points) for s in there]
    xs = [p[0] for p in thinned[0]]
    tops = np.cumsum([[p[1] for p in points] for points in thinned], axis=0)
    axes = Axes((xs[0], xs[-1] if len(xs) > 1 else xs[0] + 1), (0.0, max(tops[-1]) * 1.05))
    body = [_frame(axes, "training step", number, True)]
    for s, below, top in zip(there, [np.zeros(len(xs)), *tops[:-1]], tops, strict=True):
        outline = [*zip(xs, top, strict=True), *zip(xs[::-1], below[::-1], strict=True)]
        body.append(
            f'<path class="layer" style="fill:{s.color}" d="{axes.path(outline)}Z">'
            f"<title>{escape(s.name)}</title></path>"
        )
    total = [sum(p[1] for p in s.points) for s in there]
    words = "; ".join(f"{s.name} {t / (sum(total) or 1):.0%}" for s, t in zip(there, total, strict=True))
    return figure(title, "".join(body), f"shares of the sum over all steps: {words}", legend(there))


def curve_chart(
    title: str,
    curve: Callable[[float], float],
    points: Sequence[tuple[Point, str, str]],
    y_top: float,
    y_text: Callable[[float], str],
) -> str:
    """A curve over the success rate, and measured points with intervals.

    Args:
        points: each with its CSS classes, and its tip.
    """
    axes = Axes((0.0, 1.0), (0.0, y_top))
    body = [_frame(axes, "mean success rate of the bin's groups", y_text, False)]
    path = axes.path([(i / 60, curve(i / 60)) for i in range(61)])
    body.append(f'<path class="line" style="stroke:var(--muted)" d="{path}"/>')
    for (x, y, low, high), kind, tip in points:
        u, v = axes.at(x, y)
        if high > low:
            ends = [axes.at(x, end)[1] for end in (low, min(high, y_top))]
            body.append(f'<line class="bar {kind}" x1="{u:.1f}" x2="{u:.1f}" y1="{ends[0]:.1f}" y2="{ends[1]:.1f}"/>')
        body.append(
            f'<circle class="mark {kind}" cx="{u:.1f}" cy="{v:.1f}" r="4.5"><title>{escape(tip)}</title></circle>'
        )
    return figure(title, "".join(body), "; ".join(tip for _, _, tip in points))
