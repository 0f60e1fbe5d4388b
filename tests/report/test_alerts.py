from pathlib import Path

import pytest
from rich.console import Console

from sage.report import alerts
from sage.report.alerts import RULES, WINDOW, all_alerts, find_alerts
from sage.report.live import view
from sage.report.page import alerts as alerts_of
from sage.report.tables.collect import Run

ROOT = Path(__file__).parents[2]
HEALTHY = {
    "sage/prompts": 16.0,
    "sage/groups/dead": 6.0,
    "sage/groups/all_fail_after": 3.0,
    "sage/hint_requests/used": 12.0,
    "sage/hint_requests/parse": 2.0,
    "sage/hint_requests/leak": 1.0,
    "sage/grading/rollouts": 128.0,
    "sage/grading/timeouts": 0.0,
    "sage/grading/crashes": 0.0,
    "response_length/clip_ratio": 0.05,
    "sage/rollout_probs_diff_mean/plain": 0.004,
    "sage/rollout_probs_diff_mean/hinted": 0.004,
}
ALARMING = {
    "unreadable_hints": {"sage/hint_requests/parse": 46.0},
    "leaking_hints": {"sage/hint_requests/leak": 46.0},
    "groups_without_signal": {"sage/groups/dead": 15.0, "sage/groups/all_fail_after": 15.0},
    "responses_cut_off": {"response_length/clip_ratio": 0.8},
    "engine_and_actor_disagree": {"sage/rollout_probs_diff_mean/hinted": 0.2},
    "responses_not_graded": {"sage/grading/timeouts": 2.0, "sage/grading/crashes": 1.0},
}


def test_a_healthy_run_has_no_alert():
    assert find_alerts([HEALTHY] * WINDOW) == {} == find_alerts([])
    assert find_alerts([{}] * WINDOW) == {}, "metrics that are not logged alarm nobody"


@pytest.mark.parametrize("rule", ALARMING)
def test_each_rule_fires_alone(rule):
    assert list(find_alerts([HEALTHY | ALARMING[rule]] * WINDOW)) == [rule]


def test_every_rule_is_tried_here():
    assert {rule.__name__ for rule in RULES} == set(ALARMING)


def test_one_bad_step_among_good_ones_is_no_alert():
    for bad in (
        {"sage/hint_requests/parse": 20.0},
        ALARMING["groups_without_signal"],
        {"response_length/clip_ratio": 0.8},
    ):
        assert find_alerts([HEALTHY] * (WINDOW - 1) + [HEALTHY | bad]) == {}


def test_few_requests_say_nothing():
    assert find_alerts([{"sage/hint_requests/parse": 3.0}]) == {}
    assert "46 of 46" in find_alerts([{"sage/hint_requests/parse": 46.0}])["unreadable_hints"]


def test_the_direction_of_dead_groups_is_said():
    easy = HEALTHY | {"sage/groups/dead": 16.0, "sage/groups/all_fail_after": 0.0}
    assert "succeed" in find_alerts([easy])["groups_without_signal"]


def test_values_that_are_not_finite_are_null_in_the_file():
    assert find_alerts([{"response_length/clip_ratio": None, "sage/prompts": None}]) == {}


def test_a_run_keeps_first_and_last_step_of_an_alert():
    steps = {n: HEALTHY | (ALARMING["unreadable_hints"] if 10 <= n < 20 else {}) for n in range(1, 40)}
    ((first, last, text),) = all_alerts(steps)
    assert 10 <= first < 10 + WINDOW and 20 <= last < 20 + WINDOW and "could not be read" in text


def test_live_view_and_report_show_them():
    steps = {n: HEALTHY | ALARMING["responses_cut_off"] for n in range(1, 4)}
    console = Console(width=200)
    with console.capture() as capture:
        console.print(view("run", steps, None))
    assert "alert: 80% of the responses are cut off" in capture.get()
    curves = {name: {n: steps[n][name] for n in steps} for name in HEALTHY}
    assert "steps 1 to 3: 80% of the responses" in alerts_of(Run("m", "sage", curves=curves))[0]
    assert alerts_of(Run("m", "sage")) == []


def test_thresholds_are_documented():
    text = (ROOT / "docs/metrics.md").read_text()
    for name in ("UNREADABLE", "LEAKING", "WITHOUT_SIGNAL", "CUT_OFF", "DISAGREEMENT", "NOT_GRADED"):
        value = getattr(alerts, name)
        shown = f"{value:.0%}" if name != "DISAGREEMENT" else str(value)
        assert f"above {shown} " in text, (name, shown)
