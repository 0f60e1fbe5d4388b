import re
from dataclasses import replace
from pathlib import Path

import torch

from sage.method.metrics import (
    cost_line,
    cost_metrics,
    policy_metrics,
    reliance_metrics,
    staleness_metrics,
    token_metrics,
    visit_metrics,
)
from sage.method.records import (
    Action,
    Decision,
    Group,
    HintFailure,
    HintRequest,
    Reason,
    RequestOutcome,
    Rollout,
    SkipReason,
    Visit,
)
from sage.method.schedule import ScafGrpo


def group(level, successes, hint=None):
    return Group(level, tuple(Rollout(float(i < successes), i < successes, 10) for i in range(4)), hint, 2.0)


VISITS = [
    Visit("a", (0, 1, 2, 3), (group(0, 4),), Decision(Action.ACCEPT, Reason.SOLVED, 0)),
    Visit(
        "b",
        (0, 1, 2, 3),
        (group(0, 0), group(1, 0, "h1"), group(2, 2, "h2")),
        Decision(Action.ACCEPT, Reason.SOLVED, 2),
        (HintRequest(1, RequestOutcome.LEAK, 5, 0.5), HintRequest(1, RequestOutcome.USED, 6, 0.5)),
    ),
    Visit(
        "c",
        (0, 1, 2, 3),
        (group(0, 0),),
        Decision(Action.GIVE_UP, Reason.HINT_MISSING, 0),
        (),
        (HintFailure.NO_SOLUTION,),
    ),
]


def test_rollouts_that_could_not_be_graded_are_counted():
    failures = ("timeout", "timeout", "crash", None)
    rollouts = tuple(Rollout(0.0, False, 10, grading_failure=failure) for failure in failures)
    visit = Visit("a", (0,), (Group(0, rollouts),), Decision(Action.ACCEPT, Reason.SINGLE_GROUP, 0))
    assert Visit.from_json(visit.to_json()) == visit
    metrics = visit_metrics([visit], [], 3)
    assert [metrics[f"sage/grading/{name}"] for name in ("rollouts", "timeouts", "crashes")] == [4, 2, 1]


def test_reliance_is_what_the_hint_adds_to_the_log_probability():
    scored = (
        Rollout(1.0, True, 10, logprob=-5.0, plain_logprob=-25.0),
        Rollout(1.0, True, 5, logprob=-1.0, plain_logprob=-1.0),
    )
    hinted = Group(2, (*scored, Rollout(0.0, False, 10, logprob=-3.0)), "h")
    visit = Visit("a", (0, 2), (group(0, 0), hinted), Decision(Action.ACCEPT, Reason.SOLVED, 2))
    assert reliance_metrics([visit, VISITS[0]]) == {"sage/reliance/level_2": (20 / 10 + 0) / 2}
    assert reliance_metrics(VISITS) == {}


def test_visit_metrics_by_hand():
    metrics = visit_metrics(VISITS, [SkipReason.VERIFIER_ERROR], 3)
    expected = {
        "prompts": 3,
        "prompts/level_0": 2,
        "prompts/level_2": 1,
        "hint_usage": 1 / 3,
        "groups/all_fail_before": 2,
        "groups/all_correct_before": 1,
        "groups/all_fail_after": 1,
        "groups/all_correct_after": 1,
        "groups/dead": 2,
        "groups/accuracy": (1 + 0.5 + 0) / 3,
        "hint_requests/leak": 1,
        "hint_requests/used": 1,
        "hint_missing/no_solution": 1,
        "grading/rollouts": 20,
        "skipped/verifier_error": 1,
        "tokens/plain_accepted": 80,
        "tokens/plain_discarded": 40,
        "tokens/hinted_accepted": 40,
        "tokens/hinted_discarded": 40,
        "tokens/hint": 11,
        "seconds/hint": 1.0,
        "seconds/hinted_accepted": 2.0,
    }
    assert {key: metrics[f"sage/{key}"] for key in expected} == expected
    assert 0.33 < metrics["sage/groups/energy"] < 1 / 3 + 1e-6


def test_a_group_of_failures_with_unequal_rewards_has_a_signal():
    shaped = Group(0, (Rollout(0.2, False, 1), Rollout(0.1, False, 1)))
    assert shaped.all_fail and not shaped.dead
    metrics = visit_metrics([Visit("s", (0,), (shaped,), Decision(Action.ACCEPT, Reason.SINGLE_GROUP, 0))], [], 3)
    assert metrics["sage/groups/dead"] == 0 and abs(metrics["sage/groups/energy"] - 1) < 0.01
    assert metrics["sage/groups/all_fail_after"] == 1


def test_every_step_has_the_same_keys():
    assert visit_metrics([], [], 3).keys() == visit_metrics(VISITS, [], 3).keys()


def test_every_metric_is_documented():
    """docs/metrics.md names each key, or the key with its last part as <..> where that is one of several words."""
    text = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
    words = set(re.findall(r"`(\w+)`", text)) | {"0", "1", "2", "3"}
    named = [re.escape(name) for name in re.findall(r"`(sage/[^`]+)`", text)]
    patterns = [re.sub(r"<\w+>", r"(\\w+)", name) for name in named]
    ones = torch.ones(1, 2)
    found = {
        **visit_metrics(VISITS, [], 3),
        **cost_metrics(VISITS),
        **policy_metrics(VISITS),
        **staleness_metrics(VISITS, 3),
    }
    for key in {*found, *token_metrics(["hinted"], ones, ones, ones)}:
        matches = [match for pattern in patterns if (match := re.fullmatch(pattern, key))]
        assert matches and all(word in words for match in matches for word in match.groups()), key


def test_token_metrics_split_rows_by_hint_and_respect_the_mask():
    mask = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1]])
    entropy = torch.tensor([[1.0, 3.0, 99.0], [5.0, 99.0, 99.0], [2.0, 2.0, 2.0]])
    difference = torch.tensor([[0.1, 0.3, 9.0], [0.2, 9.0, 9.0], [0.0, 0.0, 0.5]])
    metrics = token_metrics(["plain", "plain", "hinted"], mask, entropy, difference)
    assert metrics["sage/entropy/plain"] == 3.0 and metrics["sage/entropy/hinted"] == 2.0
    assert metrics["sage/response_length/plain"] == 1.5 and metrics["sage/response_length/hinted"] == 3.0
    assert metrics["sage/rollout_probs_diff_max/hinted"] == 0.5
    assert abs(metrics["sage/rollout_probs_diff_mean/plain"] - 0.2) < 1e-6
    assert "sage/entropy/hinted" not in token_metrics(["plain"] * 3, mask, entropy, None)
    assert set(token_metrics(["plain"] * 3, mask, None, None)) == {"sage/response_length/plain"}, "verl's bypass mode"


def test_references_are_in_no_token_metric():
    kinds = ["plain", "reference", "plain"]
    metrics = token_metrics(kinds, torch.ones(3, 2), torch.tensor([[1.0, 1.0], [9.0, 9.0], [2.0, 2.0]]), None)
    assert metrics == {"sage/entropy/plain": 1.5, "sage/response_length/plain": 2.0}


def test_rows_of_a_group_with_scaffolding_are_told_apart():
    groups = (group(0, 0), group(1, 0, "h1"), group(2, 2, "h2"))
    decision = Decision(Action.SCAFFOLD, Reason.SOLVED, 2)
    visit = Visit("x", (0, 1, 2, 3), groups, decision, rows=ScafGrpo(3, 4).select(groups, decision))
    assert visit.rows == ((0, 0), (0, 1), (0, 2), (2, 0)) and visit.main is groups[0]
    assert list(visit.kinds) == ["plain", "plain", "plain", "hinted"]
    assert {VISITS[1].kinds[i] for i in range(4)} == {"hinted"}
    luffy = Group(0, (Rollout(0.0, False, 9), Rollout(1.0, True, 5, reference=True)))
    assert Visit("y", (0,), (luffy,), Decision(Action.ACCEPT, Reason.SINGLE_GROUP, 0)).kinds[1] == "reference"


def test_the_policy_is_measured_on_all_rollouts_without_a_hint():
    """Two groups without a hint, one of them discarded, one with a reference; a hinted group does not count."""
    discarded = Group(0, (Rollout(0.0, False, 10, logprob=-5.0), Rollout(0.0, False, 30, logprob=-11.0)))
    hinted = Group(1, (Rollout(1.0, True, 99, logprob=-99.0),), "h")
    referenced = Group(0, (Rollout(1.0, True, 10, logprob=-4.0), Rollout(1.0, True, 500, reference=True)))
    visits = [
        Visit("a", (0, 1), (discarded, hinted), Decision(Action.ACCEPT, Reason.SOLVED, 1)),
        Visit("b", (0,), (referenced,), Decision(Action.ACCEPT, Reason.SINGLE_GROUP, 0)),
    ]
    found = policy_metrics(visits)
    assert found == {"sage/policy/response_length": 50 / 3, "sage/policy/entropy": 20 / 50}
    assert policy_metrics([]) == {}


def test_what_hints_cost_by_hand():
    """Beyond three plain groups of 40 tokens: two hinted ones, 11 tokens of requests, 7 lost; 6.5 s against 2 s."""
    visits = [
        replace(visit, seconds=s, abandoned_tokens=n)
        for visit, s, n in zip(VISITS, (2, 6.5, 2), (0, 7, 0), strict=True)
    ]
    found = cost_metrics(visits)
    assert found == {
        "sage/beyond_grpo/tokens": 98,
        "sage/beyond_grpo/seconds": 4.5,
        "sage/beyond_grpo/share": 4.5 / 6.5,
    }
    steps = [{**visit_metrics(visits, [], 3), **found, "timing_s/step": 10.0}] * 2
    assert cost_line(steps) == (
        "beyond the groups without a hint, 2 steps took 196 of 436 tokens (45%), 14 of them begun early and lost, "
        "and 9 of 20 seconds (45%)"
    )
    assert (
        set(cost_metrics([]).values())
        == {0.0}
        == set(cost_metrics([replace(visits[1], groups=visits[1].groups[1:], rows=())]).values())
    )
