"""The paper's tables from result folders. Trees of the paper's layout here hold synthetic numbers, marked as such."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sage.evaluation.benchmarks import BENCHMARKS
from sage.evaluation.checkpoints import choose_best
from sage.evaluation.scores import averages
from sage.report.tables import paper
from sage.report.tables.cells import Table, groups
from sage.report.tables.collect import benchmark_name, read_results
from sage.report.tables.render import latex, markdown, write_table
from sage.report.tables.tables import BUILDERS
from sage.support.intervals import estimate
from sage.toy.embedded import store


def write_evaluation(folder, accuracy, checkpoint="synthetic"):
    """An eval/ folder as scripts/evaluate.py writes it."""
    path = folder / "eval" / checkpoint
    path.mkdir(parents=True, exist_ok=True)
    facts = {"samples": 16}
    benchmarks = {n: facts | {"problems": paper.PROBLEMS.get(n, 9), "avg": value} for n, value in accuracy.items()}
    (path / "summary.json").write_text(json.dumps({"benchmarks": benchmarks} | averages(benchmarks)))
    summaries = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("eval/*/summary.json")}
    (folder / "eval/best.json").write_text(json.dumps(choose_best(summaries)))


def write_metrics(folder, steps, name="metrics.jsonl", first=1, **shift):
    """Logged steps of a run: what the figures and Tables 2 and 3 read."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for step in range(first, steps + 1):
        part = step / steps
        hinted = shift.get("hinted", 0.3) * (1 - 0.7 * part)
        data = {
            "timing_s/step": 10.0 * shift.get("cost", 1),
            "sage/never_solved": 0.9 - shift.get("solved", 0.5) * part,
            "sage/prompts": 128.0,
            "sage/hint_usage": hinted,
            **{f"sage/prompts/level_{level}": 128 * hinted / 3 for level in (1, 2, 3)},
            "sage/groups/accuracy": 0.2 + shift.get("solved", 0.5) * part / 2 + 0.05 * (step % 3),
            "sage/policy/entropy": 0.5 - 0.3 * part + 0.03 * (step % 5),
            "sage/policy/response_length": 900 + 400 * part * shift.get("solved", 0.5),
        }
        if step % 10 == 0:
            data |= {"val-core/aime24/acc/mean@16": 0.1 + 0.1 * part, "val-core/math500/acc/mean@16": 0.4 + 0.1 * part}
        lines.append(json.dumps({"step": step, "data": data}) + "\n")
    (folder / name).write_text("".join(lines))


def paper_tree(root, steps=50):
    """Every row of every table, with synthetic numbers: 10% to 30%, in no relation to the paper's."""
    for m, model in enumerate([*paper.MODELS, paper.HARD_STUDY]):
        methods = [*paper.METHODS, "sage-calibrated"] if model in paper.MODELS else paper.STUDY_AVERAGES
        for k, method in enumerate(methods):
            for seed in (0, 1, 2) if method == "sage" else (0,):
                folder = root / model / method / (f"seed{seed}" if method == "sage" else "")
                names = enumerate(paper.BENCHMARKS)
                write_evaluation(folder, {name: 0.1 + ((7 * i + 3 * k + m + seed) % 20) / 100 for i, name in names})
                if method not in ("base", "sft"):
                    write_metrics(
                        folder, steps, cost=1 + k / 10, solved=0.05 * k, hinted=0.3 if "sage" in method else 0
                    )
                    (folder / "wall_seconds").write_text(f"{1000 + 100 * k + seed}\n")
    return root


def build(root):
    """All tables of a tree, by file name."""
    results = read_results(root)
    return {
        name + suffix: builder(results, models, name + suffix)
        for name, builder in BUILDERS.items()
        for suffix, models in groups(results, name).items()
    }


def cells(table, source):
    """Means by method and column; None where missing."""
    rows = [row for block in table.blocks for row in block.rows if row.source == source]
    values = ([cell.estimate and cell.estimate.mean for cell in row.cells] for row in rows)
    return {row.method: dict(zip(table.head, found, strict=True)) for row, found in zip(rows, values, strict=True)}


# The paper's numbers. Each is rounded to 0.1, so a mean and the printed average differ by at most 0.05 + 0.05.
ROUNDING = 0.1 + 1e-9


def test_printed_averages_follow_from_printed_values_but_for_the_noted_one():
    odd = set()
    for model, methods in paper.TABLE_1.items():
        for method, values in methods.items():
            means = sum(values[:6]) / 6, sum(values[6:8]) / 2
            if any(abs(mean - printed) > ROUNDING for mean, printed in zip(means, values[8:], strict=True)):
                odd.add((model, method))
    assert odd == set(paper.INCONSISTENT)
    for method, (*values, printed) in paper.TABLE_C1.items():
        assert abs(sum(values) / 6 - printed) <= ROUNDING and len(values) == 6, method


def test_the_papers_tables_have_every_row_of_every_model():
    rows = {model: set(rows) for model, rows in paper.TABLE_1.items()}
    assert rows == {model: set(paper.METHODS) for model in paper.MODELS}
    assert all(len(values) == len(paper.BENCHMARKS) + 2 for rows in paper.TABLE_1.values() for values in rows.values())
    assert tuple(paper.BENCHMARKS) == tuple(paper.PROBLEMS) == BENCHMARKS
    assert set(paper.TABLE_C1) == set(paper.STUDY) <= set(paper.STUDY_AVERAGES)


# Reading


def test_names_of_benchmarks_are_unified():
    assert {benchmark_name(n) for n in ("AIME24", "aime_2024", "AIME 2024", "aime-24")} == {"aime24"}
    assert benchmark_name("MATH-500") == "math500" and benchmark_name("GPQA-diamond") == "gpqa"
    assert benchmark_name("MMLU-Pro") == "mmlu_pro" and benchmark_name("minerva_math") == "minerva"


def test_the_reported_checkpoint_is_the_best_one_and_never_a_guess(tmp_path):
    folder = tmp_path / "m/grpo"
    write_evaluation(folder, {"x": 0.1}, "step_50")
    write_evaluation(folder, {"x": 0.3}, "step_100")
    write_evaluation(folder, {"x": 0.2}, "step_150")
    (run,) = read_results(tmp_path).of("m", "grpo")
    assert run.accuracy == {"x": 0.3} and run.origin == "eval/step_100"
    (folder / "eval/best.json").unlink()
    (run,) = read_results(tmp_path).of("m", "grpo")
    assert not run.accuracy and "3 evaluated checkpoints" in run.absent


def test_a_resumed_run_replaces_the_steps_that_it_repeats_and_an_unfinished_line_waits(tmp_path):
    folder = tmp_path / "m/sage"
    write_metrics(folder, 50, solved=0.1)
    write_metrics(folder, 60, "metrics-resumed.jsonl", first=41, solved=0.5)
    with open(folder / "metrics-resumed.jsonl", "a") as file:
        file.write('{"step": 61, "da')
    (run,) = read_results(tmp_path).of("m", "sage")
    curve = run.curves["sage/never_solved"]
    assert list(curve) == list(range(1, 61)) and run.steps == 60
    assert curve[40] == pytest.approx(0.9 - 0.1 * 40 / 50) and curve[41] == pytest.approx(0.9 - 0.5 * 41 / 60)
    assert run.never_solved == curve[60] and run.origin == "validation at step 60"


def test_a_resumed_run_that_tests_its_checkpoint_first_keeps_the_step_before(tmp_path):
    folder = tmp_path / "m/sage"
    write_metrics(folder, 50)
    test = {"step": 40, "data": {"val-core/aime24/acc/mean@16": 0.5}}
    (folder / "metrics.2.jsonl").write_text(json.dumps(test) + "\n")
    (run,) = read_results(tmp_path).of("m", "sage")
    assert run.steps == 50, "it has made no step of its own yet"
    write_metrics(folder, 60, "rest.jsonl", first=41)
    with open(folder / "metrics.2.jsonl", "a") as file:
        file.write((folder / "rest.jsonl").read_text())
    (run,) = read_results(tmp_path).of("m", "sage")
    assert run.steps == 60 and run.step_seconds == 600 and list(run.curves["sage/hint_usage"]) == list(range(1, 61))
    assert run.curves["val/aime24"][40] == 0.5 and run.curves["val/math500"][40] == pytest.approx(0.48)


def test_a_run_that_began_again_replaces_its_first_attempt(tmp_path):
    folder = tmp_path / "m/sage"
    write_metrics(folder, 30, solved=0.1)
    write_metrics(folder, 50, "metrics.20261126-120000.jsonl", solved=0.5)
    write_metrics(folder, 45, "metrics.20261126-130000.jsonl", first=41, solved=0.2)
    (run,) = read_results(tmp_path).of("m", "sage")
    curve = run.curves["sage/never_solved"]
    assert run.steps == 45 and curve[30] == pytest.approx(0.9 - 0.5 * 30 / 50) and curve[45] == pytest.approx(0.7)


def test_validation_before_training_is_the_base_model_and_not_the_result(tmp_path):
    folder = tmp_path / "m/grpo"
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text('{"step": 0, "data": {"val-core/easy/acc/mean@1": 0.9}}\n')
    results = read_results(tmp_path)
    assert results.of("m", "base")[0].accuracy == {"easy": 0.9} and not results.of("m", "grpo")[0].accuracy


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        (
            "eval/a/summary.json",
            '{"benchmarks": {"aime24": {"avg": 23.9, "problems": 30, "samples": 16}}}',
            "aime24 is 23.9, expected a fraction",
        ),
        ("eval/a/summary.json", '{"aime24": 0.2}', "summary.json: 'benchmarks' is missing"),
        ("eval/a/summary.json", "{", "summary.json: not JSON"),
        ("eval/best.json", '{"checkpoint": "b"}', "names checkpoint 'b'"),
        ("metrics.jsonl", '{"step": 1, "data": {}}\nnonsense\n', "metrics.jsonl, line 2: not JSON"),
        ("seed0.json", '{"seed": 0, "method": "sage"}', "seed0.json: 'final' is missing"),
        ("seed0.json", '{"seed": 1, "method": "sage", "final": {}}', "holds sage, seed 1"),
    ],
)
def test_damaged_files_are_named(tmp_path, path, text, message):
    file = tmp_path / "m/sage" / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_results(tmp_path)


ROOT = Path(__file__).parents[2]


def test_tables_that_cannot_be_written_are_said_first(tmp_path):
    (tmp_path / "file").write_text("mine")
    command = [sys.executable, ROOT / "scripts/make_tables.py", "--results", tmp_path, "--out", tmp_path / "file"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert result.returncode == 2 and "a file has that name" in result.stderr.splitlines()[-1]


RECORD = {"method": "sage", "seed": 0, "final": {"easy": 0.5}, "steps": 4}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base": None}, "base=None should be an object"),
        ({"never_solved": "x"}, "never_solved='x' should be a valid number"),
        ({"wall_seconds": []}, r"wall_seconds=\[\] should be a valid number"),
        ({"steps": "4"}, "steps='4' should be a valid integer"),
        ({"curves": {"a": 1}}, "curves.a=1 should be a valid array"),
        ({"curves": {"a": [float("nan")]}}, "curves.a.0=nan should be a finite number"),
        ({"tokens": {}}, "tokens={} lacks 'total'"),
    ],
)
def test_a_record_of_wrong_types_is_named(tmp_path, change, message):
    file = tmp_path / "m/sage/seed0.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(RECORD | change))
    with pytest.raises(ValueError, match=rf"seed0\.json: {message}"):
        read_results(tmp_path)


@pytest.mark.parametrize("name", ["metrics.jsonl", "seed0.json", "eval/best.json", "eval/../wall_seconds"])
def test_a_folder_in_the_place_of_a_file_is_named(tmp_path, name):
    (tmp_path / "m/sage/eval").mkdir(parents=True)
    (tmp_path / "m/sage" / name).mkdir()
    with pytest.raises(ValueError, match=name.rpartition("/")[2]):
        read_results(tmp_path)


def test_folders_without_results_are_named_not_dropped(tmp_path):
    (tmp_path / "m/sage").mkdir(parents=True)
    (tmp_path / "m/grpo/seed0").mkdir(parents=True)
    named = [reason.split(":")[0] for reason in read_results(tmp_path).skipped]
    assert named == [str(tmp_path / "m/grpo/seed0"), str(tmp_path / "m/sage")]
    with pytest.raises(ValueError, match="no model 'n'; it has: m"):
        read_results(tmp_path, ["n"])


# Tables


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return build(paper_tree(tmp_path_factory.mktemp("results")))


def test_a_full_tree_fills_every_cell_and_has_the_papers_number_in_each_row(full):
    for name in ("table1", "tablec1"):
        assert not full[name].missing
        assert all(value is not None for row in cells(full[name], "ours").values() for value in row.values())
    assert set(cells(full["table1"], "paper")) == set(paper.METHODS)
    assert cells(full["tablec1"], "paper")["fixed-2-400"]["Average"] == 58.3
    llama = {row.method: row for row in full["table1"].blocks[0].rows if row.source == "paper"}
    assert [c.estimate.mean for c in llama["sage"].cells] == [9.2, 0.8, 34.7, 56.3, 20.1, 22.0, 23.9, 27.3, 40.7, 34.0]


def test_averages_are_of_six_and_of_two_benchmarks(full):
    for row in cells(full["table1"], "ours").values():
        values = list(row.values())
        assert row["Avg. ID"] == pytest.approx(sum(values[:6]) / 6)
        assert row["Avg. OOD"] == pytest.approx(sum(values[7:9]) / 2)


def test_best_is_the_best_printed_number_of_its_own_kind(full):
    for name, best in (("table1", max), ("table2", min), ("table3", min)):
        table = full[name]
        for block in table.blocks:
            for source in ("ours", "paper"):
                for place in range(len(table.head)):
                    column = [row.cells[place] for row in block.rows if row.source == source]
                    printed = [(round(c.estimate.mean, table.decimals), c.best) for c in column if c.estimate]
                    expected = best(value for value, _ in printed) if len(printed) > 1 else None
                    assert all(marked == (value == expected) for value, marked in printed)


def test_a_lacking_benchmark_empties_its_average_and_nothing_else(tmp_path):
    accuracy = {name: 0.5 for name in paper.BENCHMARKS if name != "amc23"}
    write_evaluation(tmp_path / "qwen3-4b/sage", accuracy | {"gsm8k": 0.9})
    table = build(tmp_path)["table1"]
    row = cells(table, "ours")["sage"]
    assert {head for head, value in row.items() if value is None} == {"AMC23", "Avg. ID"}
    assert table.missing["not evaluated: amc23"] == ["qwen3-4b/sage"]
    assert any("not in this table: gsm8k" in note for note in table.notes)
    assert any("qwen3-4b/grpo" in folders for folders in table.missing.values())


def test_a_short_evaluation_is_named(tmp_path):
    write_evaluation(tmp_path / "qwen3-4b/sage", {"aime24": 0.5, "amc23": 0.5})
    path = tmp_path / "qwen3-4b/sage/eval/synthetic/summary.json"
    path.write_text(path.read_text().replace('"problems": 40', '"problems": 20'))
    notes = build(tmp_path)["table1"].notes
    assert "Evaluated unlike the paper: amc23, 20 of 40 problems x 16 samples: SAGE." in notes


def test_seeds_that_are_in_no_mean_are_named(tmp_path):
    write_evaluation(tmp_path / "qwen3-4b/sage/seed0", dict.fromkeys(paper.BENCHMARKS, 0.5))
    write_metrics(tmp_path / "qwen3-4b/sage/seed1", 5)
    table = build(tmp_path)["table1"]
    assert "Left out: SAGE (qwen3-4b) seed 1: no eval/ and no validation after training." in table.notes
    assert "Ours: one seed each." in table.notes


def test_times_are_compared_within_seed_series_and_steps(tmp_path):
    for method, seed, seconds, series in (("grpo", 0, 100, "a"), ("grpo", 1, 200, "a"), ("sage", 0, 150, "a")):
        record = {"method": method, "seed": seed, "final": {"hard": 0.1}, "wall_seconds": seconds, "series": series}
        store.save(tmp_path / "opchain", record)
    store.save(tmp_path / "opchain", {**record, "seed": 1, "series": "another machine"})
    sage = cells(build(tmp_path)["table3_opchain"], "ours")["sage"]
    assert sage == {"Run / GRPO": 1.5, "Steps / GRPO": None}


def test_recorded_runs_become_a_table_of_their_own_benchmarks(tmp_path):
    for seed, hard in ((0, 0.2), (1, 0.3)):
        record = {
            "method": "sage",
            "seed": seed,
            "base": {"easy": 0.9, "hard": 0.0},
            "final": {"easy": 0.8, "hard": hard},
        }
        store.save(tmp_path / "opchain", record)
    table = build(tmp_path)["table1_opchain"]
    assert table.head == ("easy", "hard", "Average")
    assert cells(table, "ours")["base"]["easy"] == pytest.approx(90)
    assert cells(table, "ours")["sage"] == pytest.approx({"easy": 80, "hard": 25, "Average": 52.5})
    text = markdown(table)
    assert "| SAGE | 80.0 ±0.0 | **25.0** ±63.5 | **52.5** ±31.8 |" in text
    assert (
        "| LUFFY | — | — | — |" in text
        and "opchain/luffy" in text
        and "compare_methods.py --task opchain --run" in text
    )


def test_interval_is_students_t():
    assert estimate([]) is None and estimate([1.0]).half_width is None
    assert estimate([1.0, 2.0, 3.0]).half_width == pytest.approx(4.30 / 3**0.5)


def test_every_format_has_every_number_and_every_gap(full, tmp_path):
    table: Table = full["table2"]
    paths = {path.suffix: path for path in write_table(table, tmp_path)}
    tex, md = paths[".tex"].read_text(), paths[".md"].read_text()
    rows = list(csv.DictReader(paths[".csv"].open()))
    assert len(rows) == sum(len(row.cells) for block in table.blocks for row in block.rows)
    assert all(bool(row["mean"]) != bool(row["missing"]) for row in rows)
    for row in rows:
        if row["mean"]:
            assert f"{float(row['mean']):.1f}" in tex and f"{float(row['mean']):.1f}" in md
    assert md.count("—") == 3 + 1 and tex.count(r"\textemdash{}") == 3 + 1, "three gaps and the note on them"


ENVIRONMENTS = [("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table")]


def test_latex_is_balanced_and_escaped(full):
    for table in full.values():
        tex = latex(table)
        assert tex.count("{") == tex.count("}")
        assert re.findall(r"\\(begin|end){(\w+)}", tex) == ENVIRONMENTS
        assert not re.search(r"(?<!\\)[_#%$]", tex.removeprefix("%").replace(r"$\pm$", ""))
        body = [line for line in tex.splitlines() if line.endswith(r"\\") and "&" in line]
        assert {line.count(" & ") for line in body} == {len(table.head)}
