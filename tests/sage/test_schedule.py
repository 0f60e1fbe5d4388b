import pytest

from sage.records import Action, Decision, Group, HintFailure, PromptState, Reason, Rollout, Visit
from sage.schedule import SCHEDULES, Grpo, Sage, SageLight


def group(level: int, successes: int, size: int = 8) -> Group:
    return Group(level, tuple(Rollout(float(i < successes), i < successes, 10) for i in range(size)))


def visit(level: int, successes: int) -> Visit:
    return Visit("p", level, (group(level, successes),), Decision(Action.ACCEPT, Reason.SINGLE_GROUP, level))


def state(level: int) -> PromptState:
    return PromptState(level, 1, (8, 0, 0, 0), (0, 0, 0, 0))


def test_sage_raises_one_level_at_a_time_and_stops_at_the_first_success():
    schedule = Sage(3)
    assert [schedule.after_group(group(level, 0)) for level in range(4)] == [
        Decision(Action.RAISE, Reason.UNSOLVED, 1),
        Decision(Action.RAISE, Reason.UNSOLVED, 2),
        Decision(Action.RAISE, Reason.UNSOLVED, 3),
        Decision(Action.GIVE_UP, Reason.TOP_LEVEL, 3),
    ]
    for level in range(4):
        for successes in (1, 8):
            assert schedule.after_group(group(level, successes)) == Decision(Action.ACCEPT, Reason.SOLVED, level)


def test_sage_starts_every_visit_without_a_hint():
    assert Sage(3).start_level(state(3)) == 0


@pytest.mark.parametrize("successes, raised", [(0, True), (2, True), (3, False), (8, False)])
def test_sage_light_raises_below_alpha_and_never_lowers(successes, raised):
    schedule = SageLight(3, alpha=0.35)  # 2/8 = 0.25 is below, 3/8 = 0.375 is not
    assert schedule.next_level(state(1), visit(1, successes)) == 1 + raised


def test_sage_light_stays_within_the_levels_and_starts_without_a_hint():
    schedule = SageLight(2)
    assert schedule.start_level(None) == 0
    assert schedule.next_level(None, visit(0, 0)) == 1
    assert schedule.next_level(state(2), visit(2, 0)) == 2
    assert schedule.start_level(state(3)) == 2, "a state saved with more levels"


def test_grpo_never_leaves_level_0():
    assert Grpo(3).start_level(state(2)) == 0
    assert Grpo(3).after_group(group(0, 0)).action is Action.ACCEPT


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("failure", HintFailure)
def test_a_missing_hint_never_leaves_a_prompt_without_a_group(name, failure):
    schedule = SCHEDULES[name](3)
    for level in (1, 2, 3):
        alone = schedule.after_missing_hint(level, failure, None)
        assert alone == Decision(Action.PLAIN, Reason.HINT_MISSING, 0)
        after = schedule.after_missing_hint(level, failure, group(level - 1, 0))
        permanent = failure in (HintFailure.NO_SOLUTION, HintFailure.SOLUTION_TOO_LONG)
        if permanent or level == 3:
            assert after == Decision(Action.GIVE_UP, Reason.HINT_MISSING, level - 1)
        else:
            assert after == Decision(Action.RAISE, Reason.HINT_MISSING, level + 1)
