"""Verdicts on claims, from records made by hand, and the estimates of the gate."""

import importlib.util
import json
from itertools import product
from pathlib import Path
from statistics import fmean

import pytest

from sage.method.gate import gate_probability
from sage.method.methods import METHODS
from sage.report.tables.cells import label
from sage.toy.claims.claims import adaptive, best_fixed, judge_all, timed, wanted_seeds
from sage.toy.claims.gate import gate_parts, gate_rows, unbiased_gate
from sage.toy.claims.judge import EQUAL, INCONCLUSIVE, MISSING, NOT_SUPPORTED, SUPPORTED, Claim, Part, difference
from sage.toy.claims.page import BEGIN, COMMAND, END, Judged, claims_table, pages, with_block
from sage.toy.claims.picture import NAMES, SHOWN, picture
from sage.toy.embedded.series import LONGER

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("reproduce_claims", ROOT / "scripts/reproduce_claims.py")
reproduce_claims = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reproduce_claims)


def record(hard, easy=0.9, tokens=100, series="s", seconds=10.0):
    """A record with what the claims read."""
    return {
        "base": {"easy": 0.95, "medium": 0.1, "hard": 0.0},
        "final": {"easy": easy, "medium": 0.2, "hard": hard},
        "tokens": {"total": tokens},
        "never_solved": 0.5 - hard,
        "hint_usage_first_quarter": 0.8,
        "hint_usage_last_quarter": 0.3 + hard / 10,
        "series": series,
        "step_seconds": seconds,
        "curves": {
            "sage/policy/entropy": [0.5, None, 0.4, hard],
            "sage/policy/response_length": [40.0, 40.0 + hard],
            "sage/never_solved_plain": [1.0, 0.6 - hard],
        },
    }


def part(*values, threshold=0.0, within=False, small=None):
    return Part("x", threshold, dict(enumerate(values)), within=within, small=small)


@pytest.mark.parametrize(
    "values, threshold, within, verdict",
    [
        ((0.2, 0.21, 0.22), 0.0, False, SUPPORTED),
        ((0.2, 0.21, 0.22), 0.3, False, NOT_SUPPORTED),
        ((-0.1, 0.1, 0.2), 0.0, False, INCONCLUSIVE),
        ((0.2,), 0.0, False, INCONCLUSIVE),
        ((), 0.0, False, MISSING),
        ((0.001, -0.001, 0.002), 0.03, True, SUPPORTED),
        ((0.2, 0.21, 0.22), 0.03, True, NOT_SUPPORTED),
        ((-0.2, -0.21, -0.22), 0.03, True, NOT_SUPPORTED),
        ((-0.1, 0.1, 0.0), 0.03, True, INCONCLUSIVE),
    ],
)
def test_a_part_is_judged_by_where_its_interval_lies(values, threshold, within, verdict):
    assert part(*values, threshold=threshold, within=within).verdict == verdict


@pytest.mark.parametrize(
    "values, verdict",
    [
        ((0.001, -0.001, 0.002), EQUAL),
        ((0.010, 0.011, 0.012), SUPPORTED),
        ((-0.010, -0.011, -0.012), EQUAL),
        ((-0.1, -0.11, -0.12), NOT_SUPPORTED),
        ((-0.1, 0.1, 0.0), INCONCLUSIVE),
        ((0.001,), INCONCLUSIVE),
    ],
)
def test_two_methods_are_equal_when_no_larger_difference_is_likely(values, verdict):
    found = part(*values, small=0.03)
    assert found.verdict == verdict and ("equal within 0.03" in str(found)) == (verdict == EQUAL)


def test_the_worst_part_decides():
    good, bad, open_, none = part(1, 1.1, 1.2), part(-1, -1.1, -1.2), part(-1, 1), part()
    assert Claim("", "", "", [good, good]).verdict == SUPPORTED
    assert Claim("", "", "", [good, open_]).verdict == INCONCLUSIVE
    assert Claim("", "", "", [good, part(0, 0.001, small=0.1)]).verdict == EQUAL
    assert Claim("", "", "", [open_, part(0, 0.001, small=0.1)]).verdict == INCONCLUSIVE
    assert Claim("", "", "", [none, open_]).verdict == MISSING
    assert Claim("", "", "", [none, bad, good]).verdict == NOT_SUPPORTED


def test_runs_are_paired_by_seed():
    runs = {"a": {0: record(0.5), 1: record(0.6), 7: record(0.0)}, "b": {1: record(0.1), 0: record(0.2)}}
    found = difference(runs, "", "a", "b", lambda r: r["final"]["hard"])
    assert {seed: round(v, 3) for seed, v in found.values.items()} == {0: 0.3, 1: 0.5}
    assert difference(runs, "", "a", "c", lambda r: 0.0).missing == ("c",)


def test_times_are_compared_within_a_quiet_series():
    series = {0: ("s", "s"), 1: ("s", "other"), 2: ("busy", "busy"), 3: ("s", "s")}
    runs = {
        name: {seed: record(0, series=found[place], seconds=10.0 * (place + 1)) for seed, found in series.items()}
        for place, name in enumerate(("a", "b"))
    }
    assert timed(runs, "b", "a").values == {0: 2.0, 3: 2.0}


def test_the_best_fixed_level_is_the_best_on_average():
    runs = {"fixed-1": {0: record(0.9), 1: record(0.0)}, "fixed-3": {0: record(0.5), 1: record(0.5)}}
    assert best_fixed(runs) is None and adaptive(runs).missing == ("fixed-2",)
    assert best_fixed(runs | {"fixed-2": {0: record(0.1)}}) == "fixed-3"


def world(sage=0.3, grpo=0.01, seconds=190, **other):
    """Three seeds of every method, with a little noise; ``seconds``: what sage-calibrated takes, GRPO takes 100."""
    hard = {m: other.get(m, 0.1) for m in METHODS} | {"sage": sage, "grpo": grpo, "luffy": 0.5}
    hard |= {"guide": other.get("guide", 0.2)}
    cost = {"grpo": 100, "sage": 200, "grpo-longer": 210, "sage-calibrated": seconds, "sage-light": 110}
    return {
        m: {
            s: record(hard[m] + s / 1000, tokens=cost.get(m, 120) + s / 10, seconds=cost.get(m, 120) + s)
            for s in range(3)
        }
        for m in METHODS
    }


def verdicts(runs, gate=Path("absent.json")):
    return {claim.name: claim.verdict for claim in judge_all(runs, gate)}


def test_claims_follow_the_records():
    found = verdicts(world(offline=0.3, **{"offline-10": 0.3}))
    assert {found[name] for name in ("C1a", "C1b", "C2a", "C2b", "C5", "C6", "C7", "C8", "C9")} == {SUPPORTED}
    assert found["C11"] == NOT_SUPPORTED, "its seconds and its accuracy"
    assert verdicts(world(**{"sage-calibrated": 0.3}, seconds=120))["C11"] == SUPPORTED
    assert {found[name] for name in ("C1c", "C13", "C14a", "C14b")} == {SUPPORTED}
    assert found["C3"] == found["C4"] == EQUAL, "equal online and offline runs differ by nothing"
    assert found["C15a"] == found["C15b"] == SUPPORTED and found["C15c"] == found["C16"] == NOT_SUPPORTED
    assert found["C10"] == MISSING
    assert verdicts(world(sage=0.01, grpo=0.3))["C1a"] == NOT_SUPPORTED
    assert set(verdicts({}).values()) == {MISSING}


def test_wanted_runs_can_be_made():
    assert set(wanted_seeds()) <= set(METHODS) and set(LONGER) <= set(METHODS)
    assert all(len(wanted_seeds()[m]) >= 5 for m in ("grpo", "sage", "sage-light", "sage-calibrated"))


def test_the_estimate_of_the_gate_is_unbiased():
    """Over all outcomes of 4 rollouts with p = 0.3, its mean is u(0.3) for groups of 3."""
    p = 0.3
    mean = sum(
        p ** sum(drawn) * (1 - p) ** (4 - sum(drawn)) * unbiased_gate(sum(drawn), 4, 3)
        for drawn in product((0, 1), repeat=4)
    )
    assert mean == pytest.approx(gate_probability(p, 3))


def test_gate_rows_and_parts(tmp_path):
    """Two equal problems a level, G = 2: 2 of 4 rollouts correct, then a mixed and an all-correct group."""
    path = tmp_path / "gate.json"
    correct = {"easy": {str(level): [[2, 1, 2]] * 2 for level in range(4)}}
    path.write_text(json.dumps({"group_size": 2, "estimate": 4, "correct": correct}))
    row = gate_rows(path)[0]
    assert row["mixed"] == 0.5 and row["u(p)"] == pytest.approx(1 - 2 / 6) and row["success"] == 0.5
    assert row["energy (Eq. 6)"] == pytest.approx(0.5, abs=1e-4) and row["centred energy"] == 0.125
    assert row["Eq. 17"] == pytest.approx(0.5 * 2 * 2 / (4 * 3))
    mixed = gate_parts(path, 0.15)[0]
    assert len(mixed.values) == 2 and mixed.threshold == 0.1
    assert fmean(mixed.values.values()) == pytest.approx(0.5 - 2 / 3) and mixed.verdict == NOT_SUPPORTED


def test_the_table_and_the_json_hold_every_claim():
    runs = world()
    claims = judge_all(runs, Path("absent.json"))
    text = claims_table({"a": claims, "b": claims})
    assert all(f"| {claim.name} |" in text for claim in claims)
    assert all(line.count(" | ") == 4 for line in text.splitlines()[2:]), "no cell splits a row"
    found = reproduce_claims.as_json(Judged(runs, claims, None))
    assert json.loads(json.dumps(found))["claims"][0]["parts"][0]["values"]["0"] == pytest.approx(0.29)


def test_the_block_of_the_readme_is_replaced():
    text = f"before {BEGIN} old {END} after"
    assert with_block(text, "new") == f"before {BEGIN}\n\nnew\n\n{END} after"
    with pytest.raises(ValueError, match="once each"):
        with_block(f"{BEGIN} {text}", "new")


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_tables_of_the_docs_are_those_of_the_records(path):
    assert path.read_text(encoding="utf-8") == pages()[path], f"run {COMMAND}"


def test_the_figure_has_a_mark_and_a_bar_for_each_method():
    runs = world()
    text = picture({"a": runs, "b": {}})
    for method in SHOWN:
        assert (f">{NAMES.get(method, label(method))}</text>" in text) == (method in runs)
    assert "(GRPO, " in text and text == picture({"a": runs, "b": {}}), "a task without records says so; the same bytes"
