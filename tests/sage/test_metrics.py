import torch

from sage.metrics import token_metrics, visit_metrics
from sage.records import (
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


def test_every_step_has_the_same_keys():
    assert visit_metrics([], [], 3).keys() == visit_metrics(VISITS, [], 3).keys()


def test_token_metrics_split_rows_by_hint_and_respect_the_mask():
    mask = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1]])
    entropy = torch.tensor([[1.0, 3.0, 99.0], [5.0, 99.0, 99.0], [2.0, 2.0, 2.0]])
    difference = torch.tensor([[0.1, 0.3, 9.0], [0.2, 9.0, 9.0], [0.0, 0.0, 0.5]])
    metrics = token_metrics(torch.tensor([False, False, True]), mask, entropy, difference)
    assert metrics["sage/entropy/plain"] == 3.0 and metrics["sage/entropy/hinted"] == 2.0
    assert metrics["sage/response_length/plain"] == 1.5 and metrics["sage/response_length/hinted"] == 3.0
    assert metrics["sage/rollout_probs_diff_max/hinted"] == 0.5
    assert abs(metrics["sage/rollout_probs_diff_mean/plain"] - 0.2) < 1e-6
    assert "sage/entropy/hinted" not in token_metrics(torch.tensor([False] * 3), mask, entropy, None)
