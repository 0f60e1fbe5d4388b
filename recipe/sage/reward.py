"""The reward function handed to verl: the configured verifier, 0 or 1."""

from __future__ import annotations

from functools import cache
from typing import Any

from sage.verify import Verifier, load_verifier


@cache
def _verifier(spec: str) -> Verifier:
    return load_verifier(spec)


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: dict[str, Any], verifier: str
) -> dict[str, float]:
    """Grade one response (``reward.custom_reward_function``).

    Args:
        data_source: as in the data file; not used.
        solution_str: the decoded response. The prompt, and so the hint, is never part of it.
        ground_truth: the gold answer.
        extra_info: as in the data file; not used.
        verifier: ``sage.verifier``, passed by the configuration.

    Returns:
        ``score`` (the reward) and ``acc`` (the accuracy that decides "solved"), both 0.0 or 1.0.
    """
    correct = float(_verifier(verifier).is_correct(solution_str, str(ground_truth)))
    return {"score": correct, "acc": correct}
