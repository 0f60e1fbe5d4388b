import itertools
import math
import random
import time

import pytest

from sage.method.calibration import PROMPT_VARIANCE, Calibration
from sage.method.records import Action, Decision, Group, Reason, Rollout, Visit


def visit(prompt_id, *outcomes, size=8):
    groups = tuple(Group(level, tuple(Rollout(i < k, i < k, 1) for i in range(size))) for level, k in outcomes)
    return Visit(prompt_id, (0, 1, 2, 3), groups, Decision(Action.ACCEPT, Reason.SOLVED, outcomes[-1][0]))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_forecasts_are_probabilities_that_rise_with_the_level():
    forecast = Calibration(3).forecast("new", 0)
    assert sum(forecast.weights) == pytest.approx(1)
    assert all(0 < a < b < 1 for rates in forecast.rates for a, b in itertools.pairwise(rates))


def test_what_is_seen_at_one_level_moves_the_others():
    calibration = Calibration(3)
    before = [calibration.forecast("p", 0).mean(level) for level in range(4)]
    calibration.update([visit("p", (0, 0))], 1)
    failed = [calibration.forecast("p", 1).mean(level) for level in range(4)]
    calibration.update([visit("q", (0, 8))], 1)
    solved = [calibration.forecast("q", 1).mean(level) for level in range(4)]
    assert all(f < b < s for f, b, s in zip(failed, before, solved, strict=True))


def test_the_filter_finds_the_rates_of_a_simulated_world_that_moves():
    """200 prompts, level terms that rise with the steps: forecasts before each visit are calibrated and informative."""
    rng = random.Random(0)
    ability = {f"p{i}": rng.gauss(0, 1.5) for i in range(200)}
    calibration, pairs = Calibration(3), []
    for step in range(100):
        visits = []
        for name in rng.sample(sorted(ability), 16):
            outcomes = []
            for level in range(4):
                p = sigmoid(-4 + 1.5 * level + 0.03 * step + ability[name])
                if step > 30:
                    pairs.append((calibration.forecast(name, step).mean(level), p))
                outcomes.append((level, sum(rng.random() < p for _ in range(8))))
                if outcomes[-1][1]:
                    break
            visits.append(visit(name, *outcomes))
        calibration.update(visits, step)
    error = sum(abs(f - p) for f, p in pairs) / len(pairs)
    bias = sum(f - p for f, p in pairs) / len(pairs)
    mean = sum(p for _, p in pairs) / len(pairs)
    constant = sum(abs(p - mean) for _, p in pairs) / len(pairs)
    assert abs(bias) < 0.05 and error < 0.7 * constant


def test_uncertainty_shrinks_with_a_visit_and_grows_with_time_up_to_that_of_a_new_prompt():
    calibration = Calibration(3)
    calibration.update([visit("p", (0, 3))], 1)
    variance = [calibration._prompt("p", step)[1] for step in (1, 50, 10**6)]
    assert variance[0] < variance[1] < variance[2] == PROMPT_VARIANCE


def test_extreme_outcomes_stay_finite():
    calibration = Calibration(3)
    for step in range(300):
        calibration.update(
            [visit("easy", (0, 64), size=64), visit("hopeless", *[(n, 0) for n in range(4)], size=64)], step
        )
    assert all(math.isfinite(x) for level in calibration.levels for x in level)
    assert calibration.forecast("easy", 300).mean(0) > 0.9 > 0.1 > calibration.forecast("hopeless", 300).mean(3)


def test_a_large_step_takes_milliseconds():
    calibration = Calibration(3)
    visits = [visit(f"p{i}", (0, 0), (1, 0), (2, 3)) for i in range(1024)]
    begin = time.process_time()
    calibration.update(visits, 1)
    for v in visits:
        calibration.forecast(v.prompt_id, 2)
    assert time.process_time() - begin < 1.0, "0.06 s on an idle machine"
