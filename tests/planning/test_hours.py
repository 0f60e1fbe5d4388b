"""Hours of a run: against the paper's time, and by what they must grow with."""

from dataclasses import replace

import pytest

from sage.method.records import Action, Decision, Group, Reason, Rollout, Visit
from sage.method.schedule import Grpo, Sage, SageLight
from sage.planning.budget import KNOWN_SHAPES
from sage.planning.hours import FAILING, GPUS, MARGIN, Habits, Hours, Workload, estimate_hours

QWEN = KNOWN_SHAPES["Qwen2.5-7B-Instruct"]
PAPER = Workload(8, 1, 500_000, 256, 128, 250, 8192, 150, 500, 0, 0, True, False)
"""The paper's run: 500 steps of 128 prompts on eight A100."""


def hours(schedule=Grpo, work=PAPER, habits=None, gpu="a100") -> Hours:
    return estimate_hours(QWEN, GPUS[gpu], work, schedule(3, 8), 3, habits or Habits.assumed(work.response_limit))


def test_the_papers_times_lie_within_the_margin():
    (low, high) = hours().training
    assert low == high and 1 / MARGIN < low / 25.3 < MARGIN, "Table 3"
    low, high = hours(Sage).training
    assert low < 2.3 * 25.3 < high, "Table 3: 2.3 times GRPO"
    assert hours(SageLight).training == hours().training


def test_hours_grow_with_the_length_of_responses_and_shrink_with_gpus():
    lengths = [hours(work=replace(PAPER, response_limit=n)).training[1] for n in (8192, 16384, 30000)]
    assert lengths[0] < lengths[1] / 1.5 < lengths[2] / 2.25
    assert hours(work=replace(PAPER, gpus=16)).training[1] < hours().training[1]
    assert hours(work=replace(PAPER, sequences=32)).rollouts > hours(work=replace(PAPER, sequences=128)).rollouts
    assert hours(gpu="h100").training[1] < hours().training[1]
    assert hours(work=replace(PAPER, lora=True)).update == pytest.approx(3 / 4 * hours().update)


def test_what_was_measured_replaces_what_was_assumed():
    def group(level, *correct):
        return Group(level, tuple(Rollout(float(c), c, 100) for c in correct), "h" if level else None)

    decision = Decision(Action.ACCEPT, Reason.SOLVED, 1)
    visits = [
        Visit("a", (0, 1), (group(0, False, False), group(1, True, False)), decision),
        Visit("b", (0, 1), (group(0, True, True),), replace(decision, level=0)),
    ]
    habits = Habits.measured(visits, "history")
    assert habits == Habits(100.0, (0.5, 0.0), "as in history") and habits.fails(3) == 0.0
    assert hours(Sage, habits=habits).hints[1] < hours(Sage, habits=Habits(100.0, FAILING, "")).hints[1]
    with pytest.raises(ValueError, match="holds no visit"):
        Habits.measured([], "history")


def test_what_dominates_is_named():
    assert hours().dominant == "rollouts"
    assert hours(work=replace(PAPER, tests=500, test_rollouts=20_000)).dominant == "validation"
