"""The page: one HTML file with style, script, charts and data in it, which may load nothing from anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from sage.grading.verifier import Verifier
from sage.method.records import LONGEST_ANSWER
from sage.method.state import KEPT_ANSWERS
from sage.report.alerts import all_alerts
from sage.report.charts import FEW, comparison, gate_and_energy, level_color, of_run, success_by_level, themed
from sage.report.hints import Example, Unused, examples, outcome_counts, unused_answers
from sage.report.history import Entry
from sage.report.prompts import PART, PromptData, prompt_data
from sage.report.runs import Problem, Setup, Source, setting, tokens
from sage.report.tables.collect import Run

HERE = Path(__file__).parent
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""The browser itself refuses whatever is not in the file."""

GATE_TEXT = """Each point is a bin of groups, sorted by their prompts' success at this level in <em>earlier</em> visits;
the hollow one holds prompts without such a visit. Success and mixed groups are then counted in the groups themselves.
Sorting groups by their own success would decide what is measured: at 0 and 1 none is mixed, elsewhere all are. Where
the prompts of a bin differ, its point lies below the curve, since u(p) and p(1−p) are concave. Bars: 95% Wilson
intervals. Pale: fewer than {few} groups."""


@dataclass(frozen=True)
class RunPage:
    """The parts of one run, rendered."""

    label: str
    html: str
    prompts: PromptData | None


def number(value: float | None, form: str = ",.0f") -> str:
    return "—" if value is None else format(value, form)


def overview(sources: Sequence[Source], runs: Sequence[Run]) -> str:
    """A row for each run: its last numbers."""
    tested = sorted({name for run in runs for name in run.accuracy})
    head = ["run", "steps", *(f"test: {name}" for name in tested), "never solved", "tokens", "all steps", "whole run"]
    rows = []
    for source, run in zip(sources, runs, strict=True):
        accuracy = [number(100 * run.accuracy[n] if n in run.accuracy else None, ".1f") for n in tested]
        never = None if run.never_solved is None else 100 * run.never_solved
        seconds = [f"{number(s)} s" if s is not None else "—" for s in (run.step_seconds, run.wall_seconds)]
        cells = [number(run.steps), *accuracy, number(never, ".1f"), number(tokens(source, run)), *seconds]
        rows.append(
            f'<tr><th scope="row">{escape(source.label)}</th>' + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"
        )
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Runs"><table class="plain"><thead><tr>'
        + "".join(f'<th scope="col">{escape(h)}</th>' for h in head)
        + f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def marked(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """Text with spans highlighted."""
    parts, end = [], 0
    for first, last in spans:
        parts += [escape(text[end:first]), f"<mark>{escape(text[first:last])}</mark>"]
        end = last
    return "".join([*parts, escape(text[end:])])


def hint_card(example: Example) -> str:
    group = example.group
    if example.leaks is None:
        now = "not checked again: answer unknown (--data)"
    else:
        now = f"states the answer in {len(example.leaks)} places" if example.leaks else "no leak found"
    bad = " bad" if example.leaks or example.recorded == "leak" else ""
    name = escape(example.prompt_id)
    rate = f"{group.successes}/{len(group.rollouts)} correct"
    return (
        f'<article class="hint"><header><b class="chip" style="--chip:var(--level-{min(group.level, 9)})">'
        f"level {group.level}</b> step {example.step}, {rate}</header>"
        f"<blockquote>{marked(group.hint or '', example.leaks or ())}</blockquote>"
        f'<p class="verdict{bad}">When written: {escape(example.recorded)}. Guard now: {now}.</p>'
        f'<p><a class="prompt" href="#" data-prompt="{name}">{name}</a></p></article>'
    )


def unused_card(unused: Unused) -> str:
    name, request = escape(unused.prompt_id), unused.request
    return (
        f'<article class="hint"><header><b class="chip" style="--chip:var(--level-{min(request.level, 9)})">'
        f"level {request.level}</b> step {unused.step}, {request.tokens:,} tokens</header>"
        f"<blockquote>{escape(request.answer or '')}</blockquote>"
        f'<p class="verdict bad">{escape(str(request.outcome)).replace("_", " ")}</p>'
        f'<p><a class="prompt" href="#" data-prompt="{name}">{name}</a></p></article>'
    )


def counts_text(title: str, counts: Mapping[str, int]) -> str:
    items = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in sorted(counts.items(), key=lambda i: -i[1]))
    return f"<p>{title}: {items or 'none'}.</p>"


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Leaves of a nested configuration under dotted names."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


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


def alerts_text(run: Run) -> str:
    """What a person would have stopped the run for."""
    steps: dict[int, dict[str, float]] = {}
    for name, curve in run.curves.items():
        for step, value in curve.items():
            steps.setdefault(step, {})[name] = value
    rows = [
        f"<li>{f'steps {first} to {last}' if first < last else f'step {first}'}: {escape(text)}.</li>"
        for first, last, text in all_alerts(steps)
    ]
    return f'<h3>Alerts</h3><ul class="alerts">{"".join(rows)}</ul>' if rows else ""


def setup_text(setup: Setup) -> str:
    """Configuration and versions, and what is not known of them."""

    def table(items: Iterable[tuple[str, Any]]) -> str:
        rows = "".join(f'<tr><th scope="row">{escape(str(k))}</th><td>{escape(str(v))}</td></tr>' for k, v in items)
        return (
            f'<div class="wide" tabindex="0" role="region" aria-label="Settings"><table class=keys>{rows}</table></div>'
        )

    whole = list(flat(setup.config))
    first = [(k, v) for k, v in whole if any(k == name or k.startswith(f"{name}.") for name in SHOWN)] or whole
    parts = [f'<p class="note">Not known: {escape(text)}.</p>' for text in setup.missing]
    if first:
        parts.append(table(first))
    if len(first) < len(whole):
        parts.append(f"<details><summary>All {len(whole)} settings</summary>{table(whole)}</details>")
    if setup.versions:
        parts += ["<h4>Versions</h4>", table(setup.versions.items())]
    return "".join(parts)


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
    own = alerts_text(run) + (
        '<h3>Course</h3><p class="note">Areas: running mean over a twentieth of the steps, lines over a tenth.</p>'
        f"{of_run(run)}"
    )
    prompts = None
    if entries:
        gates, energies = gate_and_energy(entries)
        outcomes, failures = outcome_counts(entries)
        found = examples(entries, problems, verifier)
        cards = "".join(hint_card(e) for e in found) or "<p>No hints in this run.</p>"
        unused = "".join(unused_card(u) for u in unused_answers(entries)) or "<p>None on file.</p>"
        configured = setting(setup.config, "trainer", "rollout_data_dir")
        places = [source.path / "rollouts", *([Path(configured)] if configured else [])]
        dumps = next((place for place in places if place.is_dir()), None)
        prompts = prompt_data(entries, problems, dumps, wanted, runs)
        own += (
            '<h3>Success by level</h3><p class="note">Of all rollouts, discarded groups included. The levels see '
            "different prompts: a hint goes to those that failed.</p>"
            f"{success_by_level(entries)}"
            f'<h3>Gate and energy</h3><p class="note">{GATE_TEXT.format(few=FEW)}</p>{gates}{energies}'
            f"<h3>Hints</h3>{counts_text('Requests by outcome', outcomes)}"
            f"{counts_text('Levels without a hint', failures)}"
            f'<div class="hints">{cards}</div>'
            f"<h3>Answers that gave no hint</h3>"
            f'<p class="note">The first {KEPT_ANSWERS} of a step are kept, {LONGEST_ANSWER:,} characters of each.</p>'
            f'<div class="hints">{unused}</div>'
        )
    else:
        own += '<p class="note">No sage_history.jsonl: no prompts, hints or levels to show.</p>'
    own += f"<h3>Configuration and versions</h3>{setup_text(setup)}"
    hidden = "" if index == 0 else " hidden"
    return RunPage(source.label, f'<section class="run" data-run="{index}"{hidden}>{own}</section>', prompts)


def embedded(value: Any) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def render(
    title: str, sources: Sequence[Source], runs: Sequence[Run], pages: Sequence[RunPage], notes: Sequence[str]
) -> str:
    """The whole page."""
    by_method: dict[str, list[Run]] = {}
    for source, run in zip(sources, runs, strict=True):
        by_method.setdefault(source.method, []).append(run)
    tables, parts = [], []
    for index, page in enumerate(pages):
        data = page.prompts
        tables.append({"label": page.label, "table": data.table if data else None, "notes": data.notes if data else []})
        for k, part in enumerate(data.parts if data else []):
            parts.append(f'<script type="text/plain" id="part-{index}-{k}">{part}</script>')
    options = "".join(f'<option value="{k}">{escape(p.label)}</option>' for k, p in enumerate(pages))
    levels = "".join(f"--level-{k}:{themed(level_color(k))};" for k in range(10))
    config = embedded({"runs": tables, "part": PART})
    noted = "".join(f"<p class=note>{escape(note)}</p>" for note in notes)
    template = (HERE / "page.html").read_text(encoding="utf-8")
    fill = {
        "policy": POLICY,
        "title": escape(title),
        "style": f":root{{{levels}}}\n" + (HERE / "page.css").read_text(encoding="utf-8"),
        "overview": overview(sources, runs) + noted,
        "comparison": comparison(by_method),
        "options": options,
        "runs": "".join(page.html for page in pages),
        "data": config,
        "parts": "\n".join(parts),
        "script": (HERE / "page.js").read_text(encoding="utf-8"),
    }
    head, *rest = template.split("{{")
    return head + "".join(fill[name] + text for name, _, text in (piece.partition("}}") for piece in rest))
