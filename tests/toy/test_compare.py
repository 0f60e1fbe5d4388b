"""The comparison of recorded runs, from records on file."""

import json
from pathlib import Path

import pytest

from sage.method.methods import METHODS
from sage.toy.embedded import series, store
from sage.toy.embedded.comparison import TOKENS, brief_table, compare, costs_table, scores_table
from sage.toy.embedded.series import STEPS

ROOT = Path(__file__).parents[2]


def record(method, seed, hard, seconds, series="s"):
    return {
        "method": method,
        "seed": seed,
        "steps": 45,
        "series": series,
        "final": {"easy": 0.9, "medium": 0.2, "hard": hard},
        "never_solved": 0.1,
        "hint_usage_last_quarter": 0.4,
        "tokens": {kind: 1000 for kind in TOKENS} | {"total": 5000},
        "wall_seconds": seconds,
        "step_seconds": seconds / 2,
    }


@pytest.fixture
def results(tmp_path):
    for seed, hard in ((0, 0.2), (1, 0.3)):
        store.save(tmp_path, record("grpo", seed, 0.01, 100))
        store.save(tmp_path, record("sage", seed, hard, 150 + seed * 50, series="s" if seed else "another machine"))
    final = {"easy": 1, "medium": 0.5, "hard": 0.3}
    store.save(tmp_path, {"method": "sft", "seed": 0, "steps": 45, "series": "s", "final": final, "wall_seconds": 9})
    return store.load(tmp_path, METHODS)


def test_rows_are_over_seeds_and_times_within_a_series(results):
    rows = {row["method"]: row for row in compare(results)}
    assert list(rows) == ["grpo", "sft", "sage"], "in the order of METHODS"
    assert rows["sage"]["hard"] == [0.2, 0.3] and rows["sage"]["seeds"] == [0, 1]
    assert rows["sage"]["seconds_relative_to_grpo"] == [2.0], "seed 0 ran in another series"
    assert rows["sage"]["steps"] == [45]
    assert rows["sft"]["tokens"] == {} and json.dumps(list(rows.values()))


def test_records_of_before_a_kind_of_token_was_counted_have_none_of_it(tmp_path):
    store.save(tmp_path, record("grpo", 0, 0.0, 100))
    later = record("grpo", 1, 0.0, 100)
    later["tokens"]["abandoned"] = 10
    store.save(tmp_path, later)
    (row,) = compare(store.load(tmp_path, METHODS))
    assert row["tokens"]["abandoned"] == 5 and row["tokens"]["total"] == 5000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"final": {"easy": 1, "medium": 0}}, "'final.hard' is missing"),
        ({"series": None}, "series=None should be a valid string"),
        ({"tokens": None}, "tokens=None should be an object"),
        ({"wall_seconds": "x"}, "wall_seconds='x' should be a valid number"),
    ],
)
def test_a_damaged_record_is_named(tmp_path, change, message):
    store.save(tmp_path, record("grpo", 0, 0.0, 100) | change)
    with pytest.raises(ValueError, match=rf"grpo/seed0\.json: {message}"):
        store.load(tmp_path, METHODS)


def test_runs_without_tokens_are_compared_all_the_same(results, tmp_path):
    for method in ("grpo", "sage"):
        store.save(tmp_path, {k: v for k, v in record(method, 0, 0.1, 100).items() if k != "tokens"})
    rows = compare(store.load(tmp_path, METHODS))
    assert scores_table(rows) and costs_table(rows)


def test_the_table_has_means_with_intervals_and_says_what_is_missing(results):
    scores, costs = scores_table(compare(results)), costs_table(compare(results))
    assert "0.250 ±0.635" in scores, "t = 12.71 with two seeds: 12.71 * 0.0707 / sqrt(2)"
    lines = [line for line in f"{scores}\n{costs}".splitlines() if line.startswith("| sft")]
    assert [line.count("missing") for line in lines] == [2, 3]


def test_accuracy_is_given_less_sages_over_the_seeds_of_both(results, tmp_path):
    store.save(tmp_path, record("grpo", 2, 0.9, 100))
    rows = compare(store.load(tmp_path, METHODS))
    assert {row["method"]: row["hard_minus_sage"] for row in rows} == {
        "grpo": pytest.approx([-0.19, -0.29]),
        "sft": pytest.approx([0.1]),
        "sage": [],
    }
    text = scores_table(rows)
    assert "| -0.240 ±0.635 (2) |" in text and "| 0.100 (1) |" in text


def test_extra_tokens_are_a_part_of_what_sage_adds(tmp_path):
    for method, tokens in (("grpo", 100), ("sage", 200), ("sage-calibrated", 150), ("fixed-1", 90)):
        made = record(method, 0, 0.1, 100)
        store.save(tmp_path, made | {"tokens": made["tokens"] | {"total": 1000 * tokens}})
    rows = compare(store.load(tmp_path, METHODS))
    for made, column, wanted in (
        (scores_table(rows), "tokens (k)", ["100", "90", "200", "150"]),
        (costs_table(rows), "extra tokens / SAGE's", ["0.00", "-0.10", "1.00", "0.50"]),
    ):
        head, _, *lines = (line.strip("| ").split(" | ") for line in made.splitlines()[:6])
        assert [cells[head.index(column)] for cells in lines] == wanted


def test_rows_say_how_many_answers_were_drawn(tmp_path):
    store.save(tmp_path, record("grpo", 0, 0.0, 100))
    store.save(tmp_path, record("sage", 0, 0.0, 100) | {"tested": [200, 5]})
    rows = compare(store.load(tmp_path, METHODS))
    assert [row["answers"] for row in rows] == [[200], [1000]]
    assert "| sage | 1 | 45 | 1000 |" in scores_table(rows)


def test_the_brief_table_names_task_method_and_tokens(results):
    lines = brief_table({"a": compare(results), "b": []}).splitlines()
    assert lines[0].startswith("| task | method | seeds | easy")
    assert len(lines) == 5 and all(line.startswith("| a | ") for line in lines[2:])
    assert lines[2].startswith("| a | GRPO | 2 | ") and lines[2].endswith("k |"), lines[2]


def test_every_method_of_the_recipe_is_compared():
    configs = {path.stem for path in (ROOT / "recipe/sage/config/method").glob("*.yaml")}
    named = {part.removeprefix("method=") for method in METHODS.values() for part in method.overrides[:1]}
    assert configs == named


def test_curves_keep_only_training_steps(tmp_path):
    lines = [{"step": 0, "data": {"val": 1}}]
    lines += [
        {"step": n, "data": {"sage/prompts": 16, "sage/hint_usage": n / 3, "timing_s/step": 1.23456}} for n in (1, 2)
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = store.curves(tmp_path / "metrics.jsonl")
    assert found == {
        "sage/hint_usage": [0.333, 0.667],
        "sage/prompts": [16.0, 16.0],
        "timing_s/step": [1.23, 1.23],
    }


@pytest.mark.parametrize(
    "method, rate, steps, arguments",
    [
        ("grpo", None, STEPS, []),
        ("dr-grpo", 1e-3, STEPS, ["algorithm.norm_adv_by_std_in_grpo=false", "actor_rollout_ref.actor.optim.lr=0.001"]),
        ("sft", 1e-3, STEPS, ["optim.lr=0.001"]),
        ("grpo-longer", None, 110, []),
    ],
)
def test_a_run_is_an_example_with_overrides(method, rate, steps, arguments, tmp_path, monkeypatch):
    """A learning rate of its own goes to the trainer and is recorded apart."""
    started, tested = [], []

    def shell(command, limit, **environment):
        started.append((command, environment))
        (Path(environment["OUTPUT"]) / "sft").mkdir(parents=True)
        (Path(environment["OUTPUT"]) / "sft/wall_seconds").write_text("9\n")

    monkeypatch.setattr(series, "shell", shell)
    monkeypatch.setattr(series, "read_run", lambda folder, seed: {})
    monkeypatch.setattr(series, "held_out", lambda task, model, data, out: tested.append(model) or {"hard": 0.1})
    found = series.run("wheels", method, 7, tmp_path, "s", rate)
    ((command, environment),) = started
    script = "examples/run_tiny_sft.sh" if method == "sft" else "examples/run_tiny_cpu.sh"
    assert command[: 2 + len(arguments)] == ["bash", script, *arguments] and set(arguments) <= set(found["overrides"])
    assert tested[0].name == "wheels_base" and f"global_step_{steps}" in tested[1].parts
    assert found["tested"] == series.TESTED["wheels"]
    assert (environment["TASK"], environment["STEPS"], environment["SEED"]) == ("wheels", str(steps), "7")
    assert environment.get("METHODS") == (None if method == "sft" else "grpo")


def test_runs_with_a_learning_rate_are_recorded_apart(tmp_path, monkeypatch, capsys):
    made = []

    def run(task, method, seed, work, name, rate):
        made.append((task, method, seed, rate))
        return record(method, seed, 0.1, 100)

    monkeypatch.setattr(series, "ROOT", tmp_path)
    monkeypatch.setattr(series, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(series, "TUNING", tmp_path / "tuning")
    monkeypatch.setattr(series, "run", run)
    for rate in (None, 1e-3, 5e-4, 1e-3):
        assert not series.make_missing([("wheels", "grpo", 0)], tmp_path, "s", rate)
    assert made == [("wheels", "grpo", 0, rate) for rate in (None, 1e-3, 5e-4)], "the last one was there"
    paths = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.json")}
    folders = ("results/wheels", "tuning/0.001/wheels", "tuning/0.0005/wheels")
    assert paths == {f"{folder}/grpo/seed0.json" for folder in folders}
    series.name_missing("wheels", {"grpo": [0, 1]}, 1e-3)
    assert capsys.readouterr().err == "missing: wheels, grpo, seeds 1\n"


def test_the_records_stay_small():
    assert sum(path.stat().st_size for path in series.RESULTS.rglob("*.json")) < 1_000_000
