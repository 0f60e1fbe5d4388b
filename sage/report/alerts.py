"""What a person would stop a run for, found in the metrics of its last steps. Thresholds are in docs/metrics.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

Steps = Sequence[Mapping[str, float]]
"""Logged metrics of consecutive steps."""

WINDOW = 5
"""Steps that are looked at together, so that one bad step is no alert."""
MIN_COUNT = 10
"""Hint requests, groups and rollouts in the window below which a share says nothing."""
UNREADABLE = LEAKING = 0.5
WITHOUT_SIGNAL = 0.9
CUT_OFF = 0.5
DISAGREEMENT = 0.05
NOT_GRADED = 0.01

_ANSWERED = ("used", "redacted", "parse", "leak", "cut", "prompt_too_long")


def _sum(steps: Steps, *keys: str) -> float:
    return sum(step.get(key) or 0.0 for step in steps for key in keys)


def _mean(steps: Steps, key: str) -> float | None:
    values = [value for step in steps if (value := step.get(key)) is not None]
    return fmean(values) if values else None


def _requests(steps: Steps, *outcomes: str) -> float:
    return _sum(steps, *(f"sage/hint_requests/{outcome}" for outcome in outcomes))


def unreadable_hints(steps: Steps) -> str | None:
    bad, asked = _requests(steps, "parse", "cut"), _requests(steps, *_ANSWERED)
    if asked >= MIN_COUNT and bad > UNREADABLE * asked:
        return (
            f"{bad:.0f} of {asked:.0f} hint requests could not be read or were cut off: look at what the model wrote "
            "(report.py shows it), then at sage.hint_request, sage.hint_max_tokens, or take another sage.hint_source"
        )
    return None


def leaking_hints(steps: Steps) -> str | None:
    bad, asked = _requests(steps, "leak"), _requests(steps, *_ANSWERED)
    if asked >= MIN_COUNT and bad > LEAKING * asked:
        return (
            f"{bad:.0f} of {asked:.0f} hints state the answer: look at them with report.py, then change the hint "
            "prompts (sage.prompts) or the sage.hint_source"
        )
    return None


def groups_without_signal(steps: Steps) -> str | None:
    dead, groups = _sum(steps, "sage/groups/dead"), _sum(steps, "sage/prompts")
    if groups < MIN_COUNT or dead <= WITHOUT_SIGNAL * groups:
        return None
    failed = _sum(steps, "sage/groups/all_fail_after")
    why = "fail" if failed > dead / 2 else "succeed"
    what = "too hard, or the verifier refuses right answers" if why == "fail" else "too easy for this model"
    return f"{dead:.0f} of {groups:.0f} groups teach nothing, since all their rollouts {why}: the data are {what}"


def responses_cut_off(steps: Steps) -> str | None:
    share = _mean(steps, "response_length/clip_ratio")
    if share is not None and share > CUT_OFF:
        return f"{share:.0%} of the responses are cut off at data.max_response_length: raise it, or the reward stays 0"
    return None


def engine_and_actor_disagree(steps: Steps) -> str | None:
    means = [_mean(steps, f"sage/rollout_probs_diff_mean/{rows}") for rows in ("plain", "hinted")]
    worst = max((mean for mean in means if mean is not None), default=0.0)
    if worst > DISAGREEMENT:
        return (
            f"engine and actor give the sampled tokens probabilities that differ by {worst:.3f} on average: weights, "
            "precision or chat template differ between the two"
        )
    return None


def responses_not_graded(steps: Steps) -> str | None:
    rollouts = _sum(steps, "sage/grading/rollouts")
    failed = _sum(steps, "sage/grading/timeouts", "sage/grading/crashes")
    if rollouts >= MIN_COUNT and failed > NOT_GRADED * rollouts:
        return (
            f"{failed:.0f} of {rollouts:.0f} responses count as wrong because their grading ran out of time or memory: "
            "look at the longest answers, or grade with a verifier of your own (sage.verifier)"
        )
    return None


RULES: tuple[Callable[[Steps], str | None], ...] = (
    unreadable_hints,
    leaking_hints,
    groups_without_signal,
    responses_cut_off,
    engine_and_actor_disagree,
    responses_not_graded,
)


def find_alerts(steps: Steps) -> dict[str, str]:
    """Alerts of the last `WINDOW` steps: what to look at and which key to change, by the name of the rule."""
    last = list(steps)[-WINDOW:]
    return {rule.__name__: text for rule in RULES if (text := rule(last)) is not None}


def all_alerts(steps: Mapping[int, Mapping[str, float]]) -> list[tuple[int, int, str]]:
    """Every alert of a run, from its metrics by step: first and last step in which it held, and its last text."""
    numbers = sorted(steps)
    found: dict[str, tuple[int, int, str]] = {}
    for place, number in enumerate(numbers, start=1):
        window = [steps[n] for n in numbers[max(0, place - WINDOW) : place]]
        for rule, text in find_alerts(window).items():
            found[rule] = (found.get(rule, (number,))[0], number, text)
    return sorted(found.values())
