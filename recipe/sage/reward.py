"""The reward function handed to verl: the configured verifier, 0 or 1."""

from __future__ import annotations

import threading
from functools import cache
from math import ceil
from typing import Any

from sage.grading.pool import available_cores
from sage.grading.verifier import Judge, Verdict, Verifier, load_verifier

_LOADING = threading.Lock()  # the first responses come in several threads at once


@cache
def _verifier(spec: str, workers: int) -> Verifier:
    """One for the process. The reward workers of a node divide its cores, rounded up, between them."""
    return load_verifier(spec, processes=ceil(available_cores() / workers))


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: dict[str, Any],
    verifier: str,
    workers: int = 8,
    nodes: int = 1,
) -> dict[str, float | str]:
    """Grade one response (``reward.custom_reward_function``).

    Args:
        data_source, extra_info: as in the data file; not used.
        solution_str: the decoded response. The prompt, and so the hint, is never part of it.
        ground_truth: the gold answer.
        verifier: ``sage.verifier``, passed by the configuration.
        workers: ``reward.num_workers``; the default is verl's.
        nodes: ``trainer.nnodes``, over which verl spreads them.

    Returns:
        ``score`` (the reward) and ``acc`` (the accuracy that decides "solved"), both 0.0 or 1.0; ``grading_failure`` is
        ``timeout`` or ``crash`` where grading ended without a verdict, and empty otherwise.
    """
    with _LOADING:
        grader = _verifier(verifier, ceil(workers / nodes))
    if isinstance(grader, Judge):
        verdict = grader.judge(solution_str, str(ground_truth))
    else:
        verdict = Verdict(grader.is_correct(solution_str, str(ground_truth)))
    correct = float(verdict.correct)
    return {"score": correct, "acc": correct, "grading_failure": verdict.failure or ""}
