"""What goes to wandb beside verl's metrics."""

from recipe.sage.wandb_run import COLUMNS, HINTS, hint_rows
from sage.method.records import Action, Decision, Group, HintRequest, Reason, RequestOutcome, Rollout, Visit


def visit(prompt_id: str, *requests: HintRequest) -> Visit:
    groups = (
        Group(0, (Rollout(0.0, False, 9), Rollout(0.0, False, 9))),
        Group(1, (Rollout(1.0, True, 9), Rollout(0.0, False, 9)), "Factor it."),
    )
    return Visit(prompt_id, (0, 1), groups, Decision(Action.ACCEPT, Reason.SOLVED, 1), requests)


LEAK = HintRequest(1, RequestOutcome.LEAK, 5, 0.1, "It is 7.")
REDACTED = HintRequest(1, RequestOutcome.REDACTED, 5, 0.1)


def test_a_row_says_what_came_of_a_hint():
    first, second = (dict(zip(COLUMNS, row, strict=True)) for row in hint_rows([visit("a", LEAK, REDACTED)], 3))
    used = {"hint": "Factor it.", "outcome": "redacted", "correct": 1, "rollouts": 2}
    assert first == {"step": 3, "prompt": "a", "level": 1} | used
    assert second == {"step": 3, "prompt": "a", "level": 1, "hint": "It is 7.", "outcome": "leak"} | {
        "correct": 0, "rollouts": 0
    }  # fmt: skip
    assert hint_rows([visit("a")], 3)[0][4] == "used", "of an answer that held several levels"


def test_a_table_has_few_rows_and_room_for_what_went_wrong():
    for leaking, rows in ((99, HINTS // 4), (1, 1), (0, 0)):
        visits = [visit(str(n), *[LEAK] * (n < leaking), REDACTED) for n in range(99)]
        outcomes = [row[4] for row in hint_rows(visits, 1)]
        assert len(outcomes) == HINTS and outcomes.count("leak") == rows
