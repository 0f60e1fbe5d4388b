"""Figures 2 to 6: training courses and comparisons of hint levels and sources, the paper's numbers as open diamonds.

Accuracies of Figs. 3 and 5 are points with intervals on an axis that does not start at zero, where bars would mislead.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from statistics import fmean

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from sage.report.tables import paper
from sage.report.tables.cells import Cell, accuracy_cell, columns, model_name
from sage.report.tables.collect import Curve, Results, Run
from sage.report.tables.plot import COLORS, STYLE, Figure, Point, dot, legend, method_legend, open_mark
from sage.report.tables.render import DASH

SOURCES = {"teacher": ("teacher", "#56b4e9"), "offline": ("offline", "#e69f00"), "": ("online", COLORS["sage"])}
"""Hint sources of Fig. 3: suffix of the folder, name, colour."""

LEVELS = {1: "#fdd0a2", 2: "#f19a56", 3: "#d55e00"}
"""Colours of the hint levels in Fig. 6."""

HINTED = ("sage-light", "sage")
FIGURE_6_METHODS = ("grpo", *HINTED)
"""Methods of Fig. 6, of its left half and its right one."""

PANEL = 2.3
"""Width of a panel in inches."""


def over_seeds(runs: Sequence[Run], course: Callable[[Run], Curve]) -> dict[int, tuple[float, float, float]]:
    """Mean, lowest and highest of a metric over the seeds that logged it, by step."""
    curves = [course(run) for run in runs]
    steps = sorted({step for curve in curves for step in curve})
    found = {step: [curve[step] for curve in curves if step in curve] for step in steps}
    return {step: (fmean(values), min(values), max(values)) for step, values in found.items()}


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """Centred mean over ``window`` values, over fewer at the ends."""
    half = window // 2
    return [fmean(values[max(0, i - half) : i + half + 1]) for i in range(len(values))]


def smooth(found: Mapping[int, tuple[float, float, float]]) -> list[list[float]]:
    """Running means over a tenth of the steps, of each of the three courses of `over_seeds`."""
    window = max(1, len(found) // 10)
    return [running_mean([values[i] for values in found.values()], window) for i in range(3)]


def draw_courses(
    figure: Figure,
    axes: Axes,
    results: Results,
    model: str,
    panel: str,
    course: Callable[[Run], Curve],
    smoothed: bool = True,
    wanted: Sequence[str] = ("grpo", "luffy", "sage-light", "sage"),
    shown: Collection[str] = COLORS,
) -> None:
    """One line a method: the mean over seeds and the range of seeds, smoothed for the eye.

    Args:
        wanted: methods of the paper's figure, which are missed when they are not there.
        shown: methods to draw.
    """
    drawn = 0
    for method in (each for each in COLORS if each in shown):
        color = COLORS[method]
        runs = results.of(model, method)
        found = over_seeds(runs, course)
        if not found:
            if method in wanted:
                figure.lacks(model, method, f"{panel}: not logged" if runs else "")
            continue
        drawn += 1
        steps = list(found)
        mean, low, high = smooth(found) if smoothed else zip(*found.values(), strict=True)
        axes.plot(steps, mean, color=color, zorder=3 if method == "sage" else 2, solid_capstyle="round")
        if len(runs) > 1:
            axes.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)
        figure.points.extend(Point(model, panel, method, str(step), "ours", *v) for step, v in found.items())
    if drawn:
        axes.set_xlim(left=0)
    else:
        axes.text(0.5, 0.5, f"{DASH} missing", transform=axes.transAxes, ha="center", color="#6b6b6b")


def percent(name: str) -> Callable[[Run], Curve]:
    return lambda run: {step: 100 * value for step, value in run.curves.get(name, {}).items()}


def plain(name: str) -> Callable[[Run], Curve]:
    return lambda run: run.curves.get(name, {})


def figure_2(results: Results, models: Sequence[str], name: str) -> Figure:
    """Fig. 2: training prompts never solved."""
    canvas = Canvas(figsize=(1.0 + PANEL * len(models), 2.5), layout="constrained")
    figure = Figure(name, "Figure 2", "Training prompts never solved so far", canvas)
    figure.notes.append("Of the prompts visited so far; a rollout with a hint counts. Band: range of the seeds.")
    if set(models) & set(paper.TABLE_2):
        figure.notes.append("Diamonds: the paper's Table 2, after its training.")
    panels = canvas.subplots(1, len(models), sharey=True, squeeze=False)[0]
    for axes, model in zip(panels, models, strict=True):
        draw_courses(figure, axes, results, model, "never solved, %", percent("sage/never_solved"), smoothed=False)
        right = axes.get_xlim()[1]
        for method in ("grpo", "sage"):
            if (value := paper.TABLE_2.get(model, {}).get(method)) is not None:
                axes.plot([right], [value], clip_on=False, zorder=5, **open_mark(COLORS[method]))
                figure.points.append(Point(model, "never solved, %", method, "end", "paper", value))
        axes.set(title=model_name(model), xlabel="training step")
        axes.set_ylim(bottom=0)
    panels[0].set_ylabel("prompts never solved, %")
    method_legend(figure)
    return figure


def figure_4(results: Results, models: Sequence[str], name: str) -> Figure:
    """Fig. 4: entropy, response length and reward in training."""
    rows = {
        "entropy, nats": plain("sage/policy/entropy"),
        "response length, tokens": plain("sage/policy/response_length"),
        "training reward": plain("sage/groups/accuracy"),
    }
    wide = len(models) == 1
    size = (1.0 + PANEL * 3, 2.5) if wide else (1.0 + PANEL * len(models), 5.6)
    canvas = Canvas(figsize=size, layout="constrained")
    figure = Figure(name, "Figure 4", "Training dynamics", canvas)
    figure.notes.append(
        "Entropy and length: all rollouts without a hint, trained on or not. Reward: groups trained on, with hints. "
        "Lines: running mean over a tenth of the steps; band: range of the seeds."
    )
    grid = canvas.subplots(*((1, 3) if wide else (3, len(models))), squeeze=False)
    for column, model in enumerate(models):
        for row, (panel, course) in enumerate(rows.items()):
            axes = grid[0, row] if wide else grid[row, column]
            draw_courses(figure, axes, results, model, panel, course)
            axes.set_ylabel(panel if wide or column == 0 else "")
            axes.set_xlabel("training step" if wide or row == 2 else "")
            axes.set_title(model_name(model) if not wide and row == 0 else "")
    method_legend(figure)
    return figure


def validated(run: Run) -> Curve:
    """Mean no-hint accuracy of the validation in training, by step, in percent."""
    curves = [curve for name, curve in run.curves.items() if name.startswith("val/")]
    steps = set.intersection(*(set(curve) for curve in curves)) if curves else set()
    return {step: 100 * fmean(curve[step] for curve in curves) for step in sorted(steps)}


def figure_6(results: Results, models: Sequence[str], name: str) -> Figure:
    """Fig. 6: prompts of a batch that use a hint, SAGE's by level, and accuracy."""
    canvas = Canvas(figsize=(1.0 + PANEL * 2, 0.5 + 2.1 * len(models)), layout="constrained")
    figure = Figure(name, "Figure 6", "Prompts that use a hint, and accuracy", canvas)
    figure.notes.append("Running mean over a tenth of the steps; band: range of the seeds.")
    levels_drawn = False
    for axes, model in zip(canvas.subplots(len(models), 2, squeeze=False), models, strict=True):
        left, right = axes
        runs = results.of(model, "sage")
        by_level = {level: over_seeds(runs, share(level)) for level in LEVELS}
        if all(by_level.values()):
            levels_drawn = True
            steps = list(by_level[1])
            heights = [smooth(found)[0] for found in by_level.values()]
            left.stackplot(steps, heights, colors=list(LEVELS.values()), linewidth=0, alpha=0.55)
            for level, found in by_level.items():
                points = (Point(model, f"level {level}, %", "sage", str(s), "ours", *v) for s, v in found.items())
                figure.points.extend(points)
        elif runs:
            figure.lacks(model, "sage", "levels: sage/prompts/level_1 to 3 not logged")
        draw_courses(figure, left, results, model, "prompts with a hint, %", hint_usage, wanted=HINTED, shown=HINTED)
        if model in paper.FIGURE_6:
            ends = (0.0, left.get_xlim()[1])
            left.plot(ends, paper.FIGURE_6[model], clip_on=False, zorder=5, **open_mark(COLORS["sage"]))
            for x, value in zip(("start", "end"), paper.FIGURE_6[model], strict=True):
                figure.points.append(Point(model, "prompts with a hint, %", "sage", x, "paper", value))
        tested = any(len(validated(run)) > 2 for runs in results.runs[model].values() for run in runs)
        panel = "no-hint test accuracy, %" if tested else "training accuracy, %"
        course = validated if tested else percent("sage/groups/accuracy")
        methods = FIGURE_6_METHODS
        draw_courses(figure, right, results, model, panel, course, not tested, wanted=methods, shown=methods)
        left.set(ylabel="prompts with a hint,\n% of the batch", xlabel="training step", title=model_name(model))
        left.set_ylim(bottom=0)
        right.set(ylabel=panel, xlabel="training step")
    method_legend(figure)
    if levels_drawn:
        patches = [
            Line2D([], [], color=c, linewidth=6, alpha=0.55, label=f"SAGE, level {k}") for k, c in LEVELS.items()
        ]
        figure.canvas.legend(handles=patches, loc="outside lower center", ncols=3)
    return figure


def hint_usage(run: Run) -> Curve:
    """Prompts with a hint in percent of the batch; nothing for a method without hints."""
    usage = percent("sage/hint_usage")(run)
    return usage if any(usage.values()) else {}


def share(level: int) -> Callable[[Run], Curve]:
    """Prompts of the batch whose final group had a hint of a level, in percent."""

    def course(run: Run) -> Curve:
        prompts, counts = run.curves.get("sage/prompts", {}), run.curves.get(f"sage/prompts/level_{level}", {})
        return {step: 100 * count / prompts[step] for step, count in counts.items() if prompts.get(step)}

    return course


INTERVALS = "Bars: 95% t interval over seeds; one seed has none. The axis does not start at zero."


def reported(results: Results, model: str, methods: Sequence[str]) -> tuple[str, Cell, float | None]:
    """The first of some folders that has an accuracy, else the one of the paper's figure; our average, the paper's."""
    heads = columns(results, model)
    benchmarks = heads.get("Average") or heads["Avg. ID"]
    cells = {method: accuracy_cell(results, model, method, benchmarks) for method in methods}
    study = model == paper.HARD_STUDY
    method = next((m for m, cell in cells.items() if cell.estimate), methods[0] if study else methods[-1])
    return method, cells[method], paper.STUDY_AVERAGES.get(method) if study else None


def mark(
    figure: Figure,
    axes: Axes,
    at: tuple[str, float, bool],
    found: tuple[str, Cell, float | None],
    model: str,
    panel: str,
    color: str,
) -> None:
    """Ours as a dot with its interval, the paper's as a diamond beside it.

    Args:
        at: name of the position, position, and whether accuracy runs along x.
        found: of `reported`.
    """
    name, position, along_x = at
    method, cell, printed = found
    shift = 0.0 if printed is None else 0.09
    if ours := cell.estimate:
        half = ours.half_width
        ends = (None, None) if half is None else (ours.mean - half, ours.mean + half)
        figure.points.append(Point(model, panel, method, name, "ours", ours.mean, *ends))
        place = (ours.mean, position + shift) if along_x else (position - shift, ours.mean)
        error = {} if half is None else {"xerr" if along_x else "yerr": [half]}
        axes.errorbar(*place, **error, fmt="o", markersize=5, color=color, elinewidth=1.1, zorder=4)  # type: ignore[arg-type]
    else:
        figure.lacks(model, method, cell.missing)
    if printed is not None:
        figure.points.append(Point(model, panel, method, name, "paper", printed))
        place = (printed, position - shift) if along_x else (position + shift, printed)
        axes.plot(*place, zorder=3, **open_mark(color))


def figure_3(results: Results, models: Sequence[str], name: str) -> Figure:
    """Fig. 3: average accuracy by fixed hint level and hint source, beside the base model and no hints."""
    (model,) = models
    canvas = Canvas(figsize=(3.6, 2.9), layout="constrained")
    figure = Figure(name, "Figure 3", f"Hint level and source, {model_name(model)}", canvas)
    figure.notes.append(INTERVALS)
    if model == paper.HARD_STUDY:
        figure.notes.append("Level 2, offline and online: runs of 400 steps where there are such (Table C.1).")
    axes = canvas.subplots()
    for x, method, text, style in ((-1, "base", "base", ":"), (0, "grpo", "no hint", "--")):
        found = reported(results, model, [method])
        mark(figure, axes, (text, x, False), found, model, "accuracy", COLORS["grpo"])
        if height := found[1].estimate.mean if found[1].estimate else found[2]:
            axes.axhline(height, color=COLORS["grpo"], linestyle=style, linewidth=0.9)
    for level in (1, 2, 3):
        for place, (source, (text, color)) in enumerate(SOURCES.items()):
            folder = f"fixed-{level}" + (f"-{source}" if source else "")
            found = reported(results, model, [f"{folder}-400", folder] if f"{folder}-400" in paper.STUDY else [folder])
            at = (f"level {level}, {text}", level + (place - 1) * 0.28, False)
            mark(figure, axes, at, found, model, "accuracy", color)
    axes.set_xticks([-1, 0, 1, 2, 3], ["base", "no hint", "level 1", "level 2", "level 3"])
    axes.set(ylabel="average accuracy, %", xlim=(-1.5, 3.6))
    axes.grid(axis="x", visible=False)
    drawn = {point.x.rpartition(", ")[2] for point in figure.points if point.source == "ours"}
    names = {text: text if text in drawn else f"{text} (missing)" for text, _ in SOURCES.values()}
    legend(figure, [dot(color, names[text]) for text, color in SOURCES.values()])
    return figure


ABLATIONS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "Hints at level 2": (
        ("offline, 1 hint", ("fixed-2-offline-400", "fixed-2-offline")),
        ("offline, 10 hints", ("fixed-2-offline-10",)),
        ("teacher", ("fixed-2-teacher",)),
        ("online", ("fixed-2-400", "fixed-2")),
    ),
    "Hints of SAGE": (
        ("offline, 1 hint", ("offline",)),
        ("offline, 10 hints", ("offline-10",)),
        ("teacher", ("teacher",)),
        ("online", ("sage",)),
    ),
    "Loss": (("off-policy: on x", ("off-policy",)), ("SAGE: on (x, h)", ("sage",))),
    "Level": (
        ("no hint", ("grpo",)),
        ("1", ("fixed-1",)),
        ("2", ("fixed-2-400", "fixed-2")),
        ("3", ("fixed-3",)),
        ("as needed: SAGE", ("sage",)),
    ),
}
"""Groups of Fig. 5: what is compared, and the folders that may hold it."""


def figure_5(results: Results, models: Sequence[str], name: str) -> Figure:
    """Fig. 5: ablations of the hints' source and number, of the loss and of the level."""
    (model,) = models
    shown, lacking = {}, []
    for group, bars in ABLATIONS.items():
        found = [(text, reported(results, model, methods)) for text, methods in bars]
        own = [f for _, f in found if f[1].estimate and f[0] not in ("sage", "grpo")]
        if own or any(printed for _, (_, _, printed) in found[:1]):
            shown[group] = found
        else:
            lacking += [method for _, (method, _, _) in found if method not in ("sage", "grpo")]
    lines = sum(len(found) + 1.4 for found in shown.values())
    canvas = Canvas(figsize=(3.6, 0.8 + 0.19 * lines), layout="constrained")
    figure = Figure(name, "Figure 5", f"Ablations, {model_name(model)}", canvas, [INTERVALS])
    for method in lacking:
        figure.lacks(model, method)
    axes = canvas.subplots()
    y = 0.0
    ticks: dict[float, str] = {}
    for group, found in shown.items():
        axes.text(0.01, y - 0.1, group, transform=axes.get_yaxis_transform(), va="center", weight="bold")
        for text, entry in found:
            y -= 1
            ticks[y] = text
            color = COLORS["sage"] if entry[0] == "sage" else COLORS["sage-calibrated"]
            mark(figure, axes, (text, y, True), entry, model, group, color)
            if entry[1].estimate is None:
                where = axes.get_yaxis_transform()
                axes.text(0.99, y, f"{DASH} missing", transform=where, ha="right", va="center", color="#6b6b6b")
        y -= 1.4
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.set(xlabel="average accuracy, %", ylim=(y + 0.8, 0.6))
    axes.tick_params(axis="y", length=0)
    legend(figure, [dot(COLORS["sage"], "SAGE"), dot(COLORS["sage-calibrated"], "variants")])
    return figure


BUILDERS: dict[str, Callable[[Results, Sequence[str], str], Figure]] = {
    "figure2": figure_2,
    "figure3": figure_3,
    "figure4": figure_4,
    "figure5": figure_5,
    "figure6": figure_6,
}


def build(
    builder: Callable[[Results, Sequence[str], str], Figure], results: Results, models: Sequence[str], name: str
) -> Figure:
    """A figure in the common style."""
    with rc_context(STYLE):  # type: ignore[arg-type]
        figure = builder(results, models, name)
        figure.canvas.draw_without_rendering()
    return figure
