"""Figures 2 to 6, and the command that makes everything, on synthetic trees."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from sage.report.tables import figures, paper
from sage.report.tables.cells import RECORDED_TASKS, groups
from sage.report.tables.collect import read_results
from sage.report.tables.plot import write_figure
from sage.toy.embedded.tasks import TASKS
from tests.report.test_tables import paper_tree, write_evaluation, write_metrics

ROOT = Path(__file__).parents[2]


def draw(root, name, suffix=""):
    results = read_results(root)
    return figures.build(figures.BUILDERS[name], results, groups(results, name)[suffix], name + suffix)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return paper_tree(tmp_path_factory.mktemp("results"), steps=20)


def test_courses_hold_the_logged_numbers_and_the_papers_ends(tree):
    figure = draw(tree, "figure2")
    ours = {p.x: p for p in figure.points if (p.model, p.method, p.source) == ("qwen3-4b", "sage", "ours")}
    assert list(ours) == [str(step) for step in range(1, 21)] and not figure.missing
    run = read_results(tree).of("qwen3-4b", "sage")[0]
    assert ours["20"].value == pytest.approx(100 * run.never_solved)
    ends = {(p.model, p.method): p.value for p in figure.points if p.source == "paper"}
    assert ends == {(m, k): v for m, row in paper.TABLE_2.items() for k, v in row.items() if k != "base"}


def test_levels_stack_to_the_prompts_with_a_hint(tree):
    figure = draw(tree, "figure6")
    points = [p for p in figure.points if (p.model, p.method, p.x, p.source) == ("qwen3-4b", "sage", "7", "ours")]
    panels = {p.panel: p.value for p in points}
    levels = sum(value for panel, value in panels.items() if panel.startswith("level"))
    assert levels == pytest.approx(panels["prompts with a hint, %"])
    assert not any(p.method == "grpo" and "hint, %" in p.panel for p in figure.points), "it uses none"


def test_hint_comparisons_hold_the_papers_numbers(tree):
    figure = draw(tree, "figure3")
    printed = {p.x: p.value for p in figure.points if p.source == "paper"}
    assert printed["level 2, online"] == 58.3 and printed["level 2, offline"] == 55.4, "400 steps, as in the paper"
    assert len(printed) == 2 + 9 and len([p for p in figure.points if p.source == "ours"]) == 2 + 9
    printed = {(p.panel, p.x): p.value for p in draw(tree, "figure5").points if p.source == "paper"}
    assert printed["Loss", "off-policy: on x"] == 56.5 and printed["Loss", "SAGE: on (x, h)"] == 59.2
    assert printed["Hints at level 2", "offline, 10 hints"] == 56.3


def test_means_over_seeds_keep_the_range(tmp_path):
    for seed, solved in ((0, 0.2), (1, 0.6)):
        write_metrics(tmp_path / f"own/sage/seed{seed}", 10, solved=solved)
    (point,) = (p for p in draw(tmp_path, "figure2", "_own").points if p.x == "10")
    assert (point.low, point.value, point.high) == pytest.approx((30, 50, 70))


def test_what_was_not_logged_is_named_and_marked(tmp_path):
    write_metrics(tmp_path / "own/grpo", 10)
    lines = [json.loads(line) for line in (tmp_path / "own/grpo/metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["data"]["sage/policy/entropy"]
    (tmp_path / "own/grpo/metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    figure = draw(tmp_path, "figure4", "_own")
    assert figure.missing["entropy, nats: not logged"] == ["own/grpo"]
    assert any("own/sage" in folders for folders in figure.missing.values())
    assert figure.canvas.axes[0].texts[0].get_text() == "— missing"


def test_recorded_methods_can_be_recorded():
    assert RECORDED_TASKS == TASKS


def test_files_of_a_figure(tree, tmp_path):
    figure = draw(tree, "figure5")
    paths = {path.suffix: path for path in write_figure(figure, tmp_path)}
    assert len(list(csv.reader(paths[".csv"].open()))) == 1 + len(figure.points)
    assert "figure5.png" in paths[".md"].read_text() and "includegraphics" in paths[".tex"].read_text()
    assert paths[".png"].read_bytes().startswith(b"\x89PNG")


def test_the_command_makes_what_there_is_and_says_what_not(tmp_path):
    write_evaluation(tmp_path / "results/llama-3.2-3b/grpo", dict.fromkeys(paper.BENCHMARKS, 0.25))
    (tmp_path / "results/own/empty").mkdir(parents=True)
    command = [sys.executable, "scripts/make_tables.py", "--results", tmp_path / "results", "--out", tmp_path / "out"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "made      table1\n" in done.stdout and "llama-3.2-3b/sage: no runs" in done.stdout
    assert "not made  figure2:" in done.stdout and "{qwen2.5-7b,qwen3-4b,qwen3-4b-hard}" in done.stdout
    assert "own/empty: no seed<k>" in done.stdout
    assert "| GRPO | " in (tmp_path / "out/index.md").read_text()
    wrong = subprocess.run([*command, "--model", "nothing"], cwd=ROOT, capture_output=True, text=True)
    assert wrong.returncode == 2 and "no model 'nothing'; it has: llama-3.2-3b, own" in wrong.stderr
