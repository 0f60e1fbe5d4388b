from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage.method.calibration import Calibration, Forecast
from sage.method.records import Action, Decision, Group, HintFailure, PromptState, Reason, Rollout, Visit
from sage.method.schedule import (
    SCHEDULES,
    AdaPrefix,
    Bha,
    Grpo,
    Outlook,
    Pope,
    Questa,
    Sage,
    SageCalibrated,
    SageFromLast,
    SageLight,
    SageLightReleased,
    ScafGrpo,
    load_schedule,
)
from sage.method.state import StateStore

ALL = (0, 1, 2, 3)
NOW = Outlook(0.5)


def group(level: int, successes: int, size: int = 8) -> Group:
    hint = "h" if level else None
    return Group(level, tuple(Rollout(float(i < successes), i < successes, 10) for i in range(size)), hint)


def visit(level: int, successes: int) -> Visit:
    return Visit("p", (level,), (group(level, successes),), Decision(Action.ACCEPT, Reason.SINGLE_GROUP, level))


def state(level: int) -> PromptState:
    return PromptState(level, 1, (8, 0, 0, 0), (0, 0, 0, 0))


def forecast(*rates: float) -> Forecast:
    return Forecast((1.0,), (rates,))


def test_sage_raises_one_level_at_a_time_and_stops_at_the_first_success():
    schedule = Sage(3)
    assert schedule.plan(state(3), NOW) == ALL, "every visit starts without a hint"
    assert [schedule.after_group(group(level, 0), ALL) for level in range(4)] == [
        Decision(Action.RAISE, Reason.UNSOLVED, 1),
        Decision(Action.RAISE, Reason.UNSOLVED, 2),
        Decision(Action.RAISE, Reason.UNSOLVED, 3),
        Decision(Action.GIVE_UP, Reason.TOP_LEVEL, 3),
    ]
    for level in range(4):
        for successes in (1, 8):
            assert schedule.after_group(group(level, successes), ALL) == Decision(Action.ACCEPT, Reason.SOLVED, level)


def test_sage_from_last_starts_where_the_last_visit_ended():
    assert SageFromLast(3).plan(None, NOW) == ALL
    assert SageFromLast(3).plan(state(2), NOW) == (2, 3)
    assert SageFromLast(3).next_level(state(2), visit(0, 8)) == 2, "it never comes down"
    assert SageFromLast(3).next_level(None, visit(2, 1)) == 2


@pytest.mark.parametrize("successes, raised", [(0, True), (2, True), (3, False), (8, False)])
def test_sage_light_raises_below_alpha_and_never_lowers(successes, raised):
    schedule = SageLight(3, alpha=0.35)  # 2/8 = 0.25 is below, 3/8 = 0.375 is not
    assert schedule.next_level(state(1), visit(1, successes)) == 1 + raised


def test_sage_light_stays_within_the_levels_and_starts_without_a_hint():
    schedule = SageLight(2)
    assert schedule.plan(None, NOW) == (0,)
    assert schedule.next_level(None, visit(0, 0)) == 1
    assert schedule.next_level(state(2), visit(2, 0)) == 2
    assert schedule.plan(state(3), NOW) == (2,), "a state saved with more levels"


@pytest.mark.parametrize("successes, change", [(0, 1), (1, 0), (2, 0), (3, -1), (8, -1)])
def test_the_released_sage_light_raises_at_a_tenth_and_lowers_above_alpha(successes, change):
    schedule = SageLightReleased(3)  # 0/8 <= 0.1 < 1/8, 2/8 < 0.35 < 3/8
    assert schedule.next_level(state(1), visit(1, successes)) == 1 + change
    assert schedule.next_level(state(0), visit(0, 8)) == 0 and schedule.next_level(state(3), visit(3, 0)) == 3


def test_grpo_and_fixed_levels_roll_out_once():
    assert Grpo(3).plan(state(2), NOW) == (0,)
    for level in (1, 2, 3):
        schedule = SCHEDULES[f"fixed-{level}"](max_level=3)
        assert schedule.plan(state(0), NOW) == (level,)
        assert schedule.after_group(group(level, 0), (level,)).action is Action.ACCEPT


def test_scaf_grpo_gives_no_hints_in_its_first_phase():
    schedule = ScafGrpo(3)
    assert schedule.plan(None, Outlook(0.149)) == (0,) and schedule.plan(None, Outlook(0.15)) == ALL
    assert [schedule.rollouts(level) for level in ALL] == [8, 4, 4, 4]
    assert schedule.after_group(group(2, 1, 4), ALL) == Decision(Action.SCAFFOLD, Reason.SOLVED, 2)
    assert schedule.after_group(group(3, 0, 4), ALL) == Decision(Action.GIVE_UP, Reason.TOP_LEVEL, 0)


def test_hints_are_withdrawn_with_a_probability_that_grows():
    schedule = Bha(3)
    assert [schedule.plan(None, Outlook(0.3, draw=draw)) for draw in (0.0, 0.29, 0.3, 0.99)] == [(0,), (0,), (1,), (1,)]
    store = StateStore(schedule)
    for progress in (0.0, 0.3, 0.9):
        plain = sum(store.plan(f"prompt {i}", 1, progress).levels == (0,) for i in range(1000))
        assert abs(plain / 1000 - progress) < 0.05
    assert store.plan("a", 1, 0.5) == store.plan("a", 1, 0.5), "the same after a resume"


def test_pope_trains_on_failing_prompts_with_and_without_the_first_part():
    schedule = Pope(3)
    plans = [schedule.plan(None, Outlook(0.3, draw=draw)) for draw in (0.0, 0.49, 0.5, 0.99)]
    assert plans == [(0,), (0,), (0, 1), (0, 1)]
    assert schedule.after_group(group(0, 0), (0, 1)) == Decision(Action.RAISE, Reason.UNSOLVED, 1)
    assert schedule.after_group(group(0, 1), (0, 1)) == Decision(Action.ACCEPT, Reason.SOLVED, 0)


def test_questa_halves_its_part_at_half_time():
    assert [Questa(3).plan(None, Outlook(progress)) for progress in (0.0, 0.49, 0.5, 0.99)] == [(2,), (2,), (1,), (1,)]
    assert Questa(1).plan(None, Outlook(0.0)) == (1,)


@pytest.mark.parametrize(
    "rates, level", [((0, 0, 0.1, 0.2), 3), ((0, 0.2, 0.6, 0.9), 2), ((0.3, 0.8, 0.9, 1), 0), ((0.9, 1, 1, 1), 0)]
)
def test_adaprefix_moves_towards_one_half_and_withdraws(rates, level):
    assert AdaPrefix(3).plan(None, Outlook(0.0, forecast(*rates))) == (level,)


def test_adaprefix_withdraws_as_the_policy_improves():
    """The filter's forecasts after visits at the levels that it chose itself, of a prompt that gets easier."""
    store, chosen = StateStore(AdaPrefix(3)), []
    for step in range(1, 31):
        (level,) = store.plan("p", step, 0.0).levels
        chosen.append(level)
        successes = round(8 * min(1.0, max(0.0, (step - 10) / 15 + level / 3)))
        store.update([visit(level, successes)], step)
    assert max(chosen[:12]) >= 2 and chosen[-1] == 0


def test_a_calibrated_plan_by_hand():
    """G = 2, two scenarios, one of them hopeless up to level 1.

    Level 0: the chance of a success is 0.5 * 0.75 = 0.375, so it is tried at 0.3. After its failure the hopeful
    scenario has weight 0.125 against 0.5, so the chance at level 1 is 0.2 * 0.75 = 0.15: tried at 0.1, not at 0.3.
    """
    seen = Outlook(0.0, Forecast((0.5, 0.5), ((0.5, 0.5, 0.9, 0.9), (0.0, 0.0, 0.9, 0.9))))
    assert SageCalibrated(3, 2, threshold=0.3).plan(None, seen) == (0, 2, 3)
    assert SageCalibrated(3, 2, threshold=0.1).plan(None, seen) == ALL
    assert SageCalibrated(3, 2, threshold=0.4).plan(None, seen) == (2, 3)
    assert SageCalibrated(3, 2, threshold=0.0).plan(None, Outlook(0.0, forecast(0, 0, 0, 0))) == ALL


@pytest.mark.parametrize(
    "rates, plan",
    [
        ((0.001, 0.004, 0.02, 0.25), (3,)),
        ((0.008, 0.03, 0.09, 0.27), (2, 3)),
        ((0.02, 0.3, 0.6, 0.9), (1, 2, 3)),
        ((0.1, 0.2, 0.4, 0.6), ALL),
    ],
)
def test_calibrated_starts_where_hints_are_needed_and_comes_back_down(rates, plan):
    assert SageCalibrated(3).plan(None, Outlook(0.0, forecast(*rates))) == plan


@given(st.lists(st.tuples(st.floats(0.01, 1), *[st.floats(0, 1)] * 4), min_size=1, max_size=4))
def test_a_calibrated_plan_rises_to_the_top_whatever_the_forecast(scenarios):
    total = sum(w for w, *_ in scenarios)
    seen = Forecast(tuple(w / total for w, *_ in scenarios), tuple(tuple(rates) for _, *rates in scenarios))
    schedule = SageCalibrated(3)
    plan = schedule.plan(None, Outlook(0.0, seen))
    assert plan[-1] == 3 and all(a < b for a, b in pairwise(plan))
    assert plan == schedule.plan(None, Outlook(0.9, seen)), "pure"


@given(st.sampled_from(sorted(SCHEDULES)), st.integers(1, 3), st.data())
def test_no_schedule_ever_leaves_the_levels(name, max_level, data):
    """Any outcomes: plans rise within 0..L, every decision stays in the plan, the kept level stays within 0..L."""
    if name.startswith("fixed-") and int(name[-1]) > max_level:
        return
    schedule = SCHEDULES[name](max_level=max_level, group_size=4)
    kept, calibration = None, Calibration(max_level)
    for step in range(4):
        outlook = Outlook(step / 4, calibration.forecast("p", step))
        plan = schedule.plan(kept, outlook)
        assert plan == schedule.plan(kept, outlook) and plan == tuple(sorted(set(plan)))
        assert plan[0] >= 0 and plan[-1] <= max_level
        groups = []
        level = plan[0]
        while True:
            size = schedule.rollouts(level)
            assert 0 < size <= 4 and size == schedule.rollouts(level)
            groups.append(group(level, data.draw(st.integers(0, size)), size))
            decision = schedule.after_group(groups[-1], plan)
            assert decision == schedule.after_group(groups[-1], plan), "pure"
            if decision.action is not Action.RAISE:
                break
            assert level < decision.level <= max_level and decision.level in plan
            level = decision.level
        seen = Visit("p", plan, tuple(groups), decision)
        calibration.update([seen], step)
        after = schedule.next_level(kept, seen)
        assert 0 <= after <= max_level and after == schedule.next_level(kept, seen)
        kept = PromptState(after, step + 1, (4,) * (max_level + 1), (0,) * (max_level + 1))


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("failure", HintFailure)
def test_a_missing_hint_never_leaves_a_prompt_without_a_group(name, failure):
    schedule = SCHEDULES[name](max_level=3)
    permanent = failure in (HintFailure.NO_SOLUTION, HintFailure.SOLUTION_TOO_LONG, HintFailure.ENDPOINT)
    for level in (1, 2, 3):
        stops = permanent or level == 3
        raised = Decision(Action.RAISE, Reason.HINT_MISSING, level + 1)
        alone = schedule.after_missing_hint(level, failure, None, ALL)
        assert alone == (Decision(Action.PLAIN, Reason.HINT_MISSING, 0) if stops else raised)
        after = schedule.after_missing_hint(level, failure, group(level - 1, 0), ALL)
        kept = 0 if schedule.scaffolds else level - 1
        assert after == (Decision(Action.GIVE_UP, Reason.HINT_MISSING, kept) if stops else raised)


def test_a_schedule_can_come_from_outside(tmp_path):
    assert load_schedule("sage.method.schedule:Sage") is Sage
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nfrom sage.method.schedule import Sage\n\n"
        "@dataclass(frozen=True)\nclass Mine(Sage):\n    extra: int = 5\n"
    )
    found = load_schedule(f"{tmp_path}/mine.py:Mine")
    assert issubclass(found, Sage) and found(max_level=2).extra == 5
    assert load_schedule(f"{tmp_path}/mine.py:Mine") is found
    with pytest.raises(ValueError, match="correct the part after"):
        load_schedule("sage.method.schedule:Nothing")
