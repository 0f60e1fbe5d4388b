"""The page: one HTML file with style, script, charts and data in it, which may load nothing from anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sage.grading.verifier import Verifier
from sage.method.records import LONGEST_ANSWER
from sage.method.state import KEPT_ANSWERS
from sage.report.alerts import all_alerts
from sage.report.charts import FEW, comparison, gate_and_energy, level_color, of_run, success_by_level, themed
from sage.report.hints import examples, outcome_counts, unused_answers
from sage.report.history import Entry
from sage.report.prompts import PART, PromptData, prompt_data
from sage.report.runs import Problem, Setup, Source, setting, tokens
from sage.report.tables.collect import Run
from sage.support.values import flat

HERE = Path(__file__).parent
TEMPLATES = Environment(loader=FileSystemLoader(HERE), undefined=StrictUndefined, autoescape=True, trim_blocks=True)


@dataclass(frozen=True)
class RunPage:
    index: int
    label: str
    html: str
    prompts: PromptData | None


def number(value: float | None, form: str = ",.0f") -> str:
    return "—" if value is None else format(value, form)


def overview(sources: Sequence[Source], runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Heads of the table of runs, and a row for each: its label and last numbers."""
    tested = sorted({name for run in runs for name in run.accuracy})
    head = ["run", "steps", *(f"test: {name}" for name in tested), "never solved", "tokens", "all steps", "whole run"]
    rows = []
    for source, run in zip(sources, runs, strict=True):
        accuracy = [number(100 * run.accuracy[n] if n in run.accuracy else None, ".1f") for n in tested]
        never = None if run.never_solved is None else 100 * run.never_solved
        seconds = [f"{number(s)} s" if s is not None else "—" for s in (run.step_seconds, run.wall_seconds)]
        cells = [number(run.steps), *accuracy, number(never, ".1f"), number(tokens(source, run)), *seconds]
        rows.append([source.label, *cells])
    return head, rows


SHOWN = (
    "sage", "algorithm.adv_estimator", "algorithm.norm_adv_by_std_in_grpo", "data.train_files", "data.train_batch_size",
    "data.max_prompt_length", "data.max_response_length", "actor_rollout_ref.model.path",
    "actor_rollout_ref.rollout.n", "actor_rollout_ref.rollout.temperature",
    "actor_rollout_ref.actor.ppo_mini_batch_size",
    "actor_rollout_ref.actor.clip_ratio_low", "actor_rollout_ref.actor.clip_ratio_high",
    "actor_rollout_ref.actor.use_kl_loss", "actor_rollout_ref.actor.optim.lr", "trainer.total_training_steps",
    "trainer.n_gpus_per_node", "trainer.nnodes",
)  # fmt: skip
"""Settings shown at once; all others are folded."""


def alerts(run: Run) -> list[str]:
    """What a person would have stopped the run for."""
    steps: dict[int, dict[str, float]] = {}
    for name, curve in run.curves.items():
        for step, value in curve.items():
            steps.setdefault(step, {})[name] = value
    return [
        f"{f'steps {first} to {last}' if first < last else f'step {first}'}: {text}"
        for first, last, text in all_alerts(steps)
    ]


def render_run(
    index: int,
    source: Source,
    run: Run,
    entries: Sequence[Entry],
    problems: Mapping[str, Problem],
    verifier: Verifier,
    setup: Setup,
    wanted: Sequence[str],
    runs: int,
) -> RunPage:
    """Everything about one run.

    Args:
        entries: its history; empty where there is none.
        wanted: prompts that keep all their texts.
        runs: how many runs share the page.
    """
    prompts, history = None, {}
    if entries:
        configured = setting(setup.config, "trainer", "rollout_data_dir")
        places = [source.path / "rollouts", *([Path(configured)] if configured else [])]
        dumps = next((place for place in places if place.is_dir()), None)
        prompts = prompt_data(entries, problems, dumps, wanted, runs)
        history = {
            "success": success_by_level(entries),
            **dict(zip(("gates", "energies"), gate_and_energy(entries), strict=True)),
            **dict(zip(("outcomes", "failures"), outcome_counts(entries), strict=True)),
            "examples": examples(entries, problems, verifier),
            "unused": unused_answers(entries),
            **{"few": FEW, "kept": KEPT_ANSWERS, "longest": LONGEST_ANSWER},
        }
    settings = list(flat(setup.config)) if setup.config else []
    first = [(k, v) for k, v in settings if any(k == name or k.startswith(f"{name}.") for name in SHOWN)] or settings
    html = TEMPLATES.get_template("run.html").render(
        index=index,
        alerts=alerts(run),
        course=of_run(run),
        history=history,
        setup=setup,
        settings=settings,
        first=first,
    )
    return RunPage(index, source.label, html, prompts)


def render(
    title: str, sources: Sequence[Source], runs: Sequence[Run], pages: Sequence[RunPage], notes: Sequence[str]
) -> str:
    by_method: dict[str, list[Run]] = {}
    for source, run in zip(sources, runs, strict=True):
        by_method.setdefault(source.method, []).append(run)
    tables = [
        {
            "label": page.label,
            "table": page.prompts and page.prompts.table,
            "notes": page.prompts.notes if page.prompts else [],
        }
        for page in pages
    ]
    data = json.dumps({"runs": tables, "part": PART}, ensure_ascii=False, separators=(",", ":"))
    head, rows = overview(sources, runs)
    return TEMPLATES.get_template("page.html").render(
        title=title,
        levels=[themed(level_color(level)) for level in range(10)],
        style=(HERE / "page.css").read_text(encoding="utf-8"),
        script=(HERE / "page.js").read_text(encoding="utf-8"),
        head=head,
        rows=rows,
        notes=notes,
        comparison=comparison(by_method),
        pages=pages,
        data=data.replace("<", "\\u003c"),  # so that it may stand in a script element
    )
