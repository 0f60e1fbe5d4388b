"""Which panels a report has. Comparisons: mean and range of the seeds, as in the figures of sage/report/tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sage.method.gate import expected_centered_energy, gate_probability
from sage.report.history import Entry
from sage.report.measured import NEW, measure
from sage.report.svg import Series, curve_chart, grid, legend, line_chart, missing, number, percent, stack_chart
from sage.report.tables.cells import label
from sage.report.tables.collect import Curve, Run
from sage.report.tables.figures import LEVELS, over_seeds, plain, running_mean, smooth
from sage.report.tables.plot import COLORS

LEVEL_COLORS = {0: COLORS["grpo"], **LEVELS}
MORE_LEVELS = "#8c3d02"
"""Beyond level 3."""
KINDS = {
    "plain_accepted": ("plain, trained on", COLORS["sage-calibrated"]),
    "plain_discarded": ("plain, discarded", COLORS["scaf-grpo"]),
    "hinted_accepted": ("hinted, trained on", COLORS["sage"]),
    "hinted_discarded": ("hinted, discarded", LEVELS[1]),
    "hint": ("writing hints", COLORS["dapo"]),
}
"""Kinds of tokens and seconds (`sage.method.metrics`)."""
TOKENS = KINDS | {"abandoned": ("of levels begun early", COLORS["luffy"])}
"""Kinds of tokens."""
PHASES = {
    "gen": ("rollouts", COLORS["sage-calibrated"]),
    "old_log_prob": ("log-probs", COLORS["scaf-grpo"]),
    "update_actor": ("update", COLORS["sage"]),
    "update_weights": ("weights to the engine", COLORS["luffy"]),
}
"""Phases of a step in verl's timing_s/*; the rest of timing_s/step is "other"."""
FEW = 10
"""Bins of fewer groups are drawn pale."""
OUTCOMES = {
    "used": COLORS["sage-light"],
    "redacted": COLORS["luffy"],
    "leak": COLORS["sage"],
    "cut": COLORS["sage-calibrated"],
    "parse": COLORS["grpo"],
    "prompt_too_long": COLORS["dapo"],
    "aborted": COLORS["scaf-grpo"],
}
"""Ends of a hint request (`RequestOutcome`)."""


def themed(color: str) -> str:
    """A colour that the page lightens in its dark scheme, where the paper's darker ones would be lost."""
    return f"color-mix(in srgb, {color}, white var(--lift))"


def method_styles(methods: Sequence[str]) -> dict[str, tuple[str, bool]]:
    """Colour of each method, and whether its line is dashed: one without a colour of its own takes a free one."""
    free = [c for m, c in COLORS.items() if m not in methods] or list(COLORS.values())
    others = [m for m in methods if m not in COLORS]
    return {m: (themed(COLORS[m]), False) for m in methods if m in COLORS} | {
        m: (themed(free[k % len(free)]), True) for k, m in enumerate(others)
    }


def total_tokens(run: Run) -> Curve:
    """Tokens generated up to each step, in rollouts and hints."""
    kinds = [run.curves.get(f"sage/tokens/{kind}", {}) for kind in TOKENS]
    total, found = 0.0, {}
    for step in sorted(kinds[0]):
        total += sum(k.get(step, 0.0) for k in kinds)
        found[step] = total
    return found


def comparison(runs: Mapping[str, Sequence[Run]]) -> str:
    """Panels with a line for each method: learning curves, Fig. 2, hint usage, signal, cost."""
    styles = method_styles(list(runs))

    def panel(title: str, course: Callable[[Run], Curve], as_percent: bool = True, smoothed: bool = True) -> str:
        series = []
        for method, seeds in runs.items():
            found = over_seeds(seeds, course)
            points = (
                [*zip(found, *smooth(found), strict=True)] if smoothed else [(step, *v) for step, v in found.items()]
            )
            series.append(Series(label(method), styles[method][0], points, styles[method][1]))
        return line_chart(title, series, percent if as_percent else number)

    tested = sorted({n for seeds in runs.values() for run in seeds for n in run.curves if n.startswith("val/")})
    panels = [panel(f"No-hint test accuracy: {n.removeprefix('val/')}", plain(n), smoothed=False) for n in tested]
    if not tested:
        panels = [missing("No-hint test accuracy", "no validation in the metrics of these runs")]
    panels += [
        panel("Success rate in training, hints included", plain("sage/groups/accuracy")),
        panel("Prompts never solved so far (Fig. 2)", plain("sage/never_solved"), smoothed=False),
        panel("Prompts trained on with a hint (Fig. 6)", plain("sage/hint_usage")),
        panel("Advantage energy of trained groups (Eq. 6)", plain("sage/groups/energy"), as_percent=False),
        panel("Tokens generated so far", total_tokens, as_percent=False, smoothed=False),
        panel("Seconds of a step", plain("timing_s/step"), as_percent=False),
        panel("Entropy, all rollouts without a hint (nats)", plain("sage/policy/entropy"), as_percent=False),
        panel("Length, all rollouts without a hint (tokens)", plain("sage/policy/response_length"), as_percent=False),
    ]
    names = [Series(label(m), *styles[m][:1], (), styles[m][1]) for m in runs]
    return legend(names) + grid(panels)


def level_color(level: int) -> str:
    return LEVEL_COLORS.get(level, MORE_LEVELS)


def of_run(run: Run) -> str:
    """Panels of one run from its metrics: Fig. 6, tokens, seconds, hint requests, hinted beside plain rows."""
    curves = dict(run.curves)
    steps = sorted({step for name in curves if not name.startswith("val/") for step in curves[name]})

    def layers(names: Mapping[str, tuple[str, str]]) -> list[Series]:
        window = max(1, len(steps) // 20)
        return [
            Series(text, themed(color), [
                (s, y, y, y)
                for s, y in zip(steps, running_mean([curves[n].get(s, 0.0) for s in steps], window), strict=True)
            ])
            for n, (text, color) in names.items()
            if n in curves
        ]  # fmt: skip

    levels = sorted(int(n.rpartition("_")[2]) for n in curves if n.startswith("sage/prompts/level_"))
    by_level = {f"sage/prompts/level_{k}": (f"level {k}", level_color(k)) for k in levels if k}
    phases = {f"timing_s/{name}": style for name, style in PHASES.items()}
    if whole := curves.get("timing_s/step"):
        known = [curves.get(name, {}) for name in phases]
        curves["other"] = {step: max(0.0, s - sum(k.get(step, 0.0) for k in known)) for step, s in whole.items()}
        phases["other"] = ("other", COLORS["grpo"])
    kinds = {"plain": COLORS["grpo"], "hinted": COLORS["sage"]}

    def lines(title: str, name: str, colors: Mapping[str, str]) -> str:
        series = [
            Series(k.replace("_", " "), themed(c), [*zip(found, *smooth(found), strict=True)])
            for k, c in colors.items()
            for found in [{step: (v, v, v) for step, v in curves.get(f"{name}/{k}", {}).items()}]
        ]
        return line_chart(title, series, show_legend=True)

    reliance = {f"level_{k}": level_color(k) for k in levels if f"sage/reliance/level_{k}" in curves}
    return grid(
        [
            stack_chart("Prompts of a batch with a hint, by level (Fig. 6)", layers(by_level)),
            stack_chart("Tokens of a step, by kind", layers({f"sage/tokens/{k}": v for k, v in TOKENS.items()})),
            stack_chart("Seconds, summed over prompts, by kind", layers(
                {f"sage/seconds/{k}": v for k, v in KINDS.items()})),
            stack_chart("Wall seconds of a step, by phase", layers(phases)),
            stack_chart("Hint requests of a step, by outcome", layers(
                {f"sage/hint_requests/{o}": (o.replace("_", " "), c) for o, c in OUTCOMES.items()})),
            lines("Entropy of rows trained on (nats)", "sage/entropy", kinds),
            lines("Length of rows trained on (tokens)", "sage/response_length", kinds),
            lines("Mean |p rollout − p actor|", "sage/rollout_probs_diff_mean", kinds),
            lines("Reliance of successes on their hint (nats a token)", "sage/reliance", reliance) if reliance else "",
        ]
    )  # fmt: skip


def success_by_level(entries: Sequence[Entry]) -> str:
    """Success rate of the rollouts at each level in twelfths of the training, discarded groups included."""
    last = max(e.step for e in entries)
    width = max(1, -(-last // 12))
    counts: dict[int, dict[int, tuple[int, int]]] = {}
    for e in entries:
        for g in e.visit.groups:
            own = counts.setdefault(g.level, {})
            good, n = own.get(e.step // width, (0, 0))
            own[e.step // width] = good + g.successes, n + sum(not r.reference for r in g.rollouts)
    panels = []
    for level, own in sorted(counts.items()):
        points = [(min(last, (w + 0.5) * width), g / n, g / n, g / n) for w, (g, n) in sorted(own.items()) if n]
        text = "no hint" if level == 0 else f"level {level}"
        panels.append(line_chart(f"Success of rollouts, {text}", [Series(text, "var(--accent)", points)], percent, 1.0))
    return grid(panels, "four")


def gate_and_energy(entries: Sequence[Entry]) -> tuple[str, str]:
    """Measured groups beside Eq. 7, and beside Eq. 17, by level."""
    bins = measure(entries)
    gates, energies = [], []
    for level in sorted({b.level for b in bins}):
        own = [b for b in bins if b.level == level]
        size = own[0].group_size
        text = ("no hint" if level == 0 else f"level {level}") + f", groups of {size}"
        mixed, energy = [], []
        for b in own:
            earlier = b.earlier if b.earlier == NEW else f"earlier success {b.earlier}"
            tip = f"{earlier}, {b.groups} groups: success {b.success:.2f}"
            kind = ("hollow " if b.earlier == NEW else "") + ("few" if b.groups < FEW else "")
            mixed.append(((b.success, b.mixed, b.low, b.high), kind, f"{tip}, mixed {b.mixed:.2f}"))
            flat = (b.success, b.variance, b.variance, b.variance)
            energy.append((flat, kind, f"{tip}, energy {b.variance:.3f}"))
        gate = partial(gate_probability, group_size=size)
        centered = partial(expected_centered_energy, group_size=size)
        gates.append(curve_chart(f"Mixed groups and u(p), {text}", gate, mixed, 1.0, percent))
        energies.append(curve_chart(f"Centred energy (Eq. 17), {text}", centered, energy, 0.25, number))
    return grid(gates, "four"), grid(energies, "four below")
