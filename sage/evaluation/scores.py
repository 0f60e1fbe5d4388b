"""Scores of a benchmark from its samples: avg@n, pass@k and maj@k, with bootstrap intervals over problems."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from sage.evaluation.benchmarks import IN_DISTRIBUTION, OUT_OF_DISTRIBUTION
from sage.evaluation.store import TOO_LONG, Sample
from sage.grading.answers import number
from sage.grading.notation import normalise

DRAWS = 10_000
LEVEL = 0.95


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Probability that at least one of k samples, drawn without replacement, is correct: the unbiased estimator
    1 - C(n-c, k) / C(n, k) of Chen et al., arXiv 2107.03374, Eq. 1.

    Args:
        samples: n >= k.
        correct: c, how many of them are correct.
        k: size of a draw.
    """
    return 1 - math.comb(samples - correct, k) / math.comb(samples, k)


def answer_key(answer: str) -> Hashable:
    """Equal for answers that are the same text up to markup, or the same plainly written number."""
    plain = number(answer)
    return normalise(answer) if plain is None else (plain.value, plain.percent)


def majority_at_k(samples: Sequence[Sample], k: int) -> float:
    """Accuracy of a majority vote of k samples: the mean over consecutive blocks of k, a rest left out.

    Samples without an answer do not vote. Between answers with equally many votes chance decides, so a tie scores the
    share of them that is correct; a block without a vote scores 0.
    """
    scores = []
    for start in range(0, len(samples) - k + 1, k):
        votes: dict[Hashable, list[bool]] = defaultdict(list)
        for sample in samples[start : start + k]:
            if sample.answer is not None:
                votes[answer_key(sample.answer)].append(sample.correct)
        most = max(map(len, votes.values()), default=0)
        scores.append(fmean(fmean(v) for v in votes.values() if len(v) == most) if votes else 0.0)
    return fmean(scores)


def sizes(samples: int) -> list[int]:
    """The k of pass@k and maj@k: powers of two up to n, and n."""
    return sorted({2**e for e in range(samples.bit_length())} | {samples})


def bootstrap(values_MP: np.ndarray, seed: int = 0) -> np.ndarray:
    """Percentile intervals of means over problems.

    Args:
        values_MP: a row a metric, a column a problem; all metrics share the resampled problems.
        seed: of the 10,000 resamples.

    Returns:
        Lower and upper end of the 95% interval of each metric, ``[M, 2]``.
    """
    rng = np.random.default_rng(seed)
    problems = values_MP.shape[1]
    means = np.empty((DRAWS, len(values_MP)))
    for draw in range(DRAWS):
        counts = np.bincount(rng.integers(problems, size=problems), minlength=problems)
        means[draw] = values_MP @ counts / problems
    return np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0).T


def score(problems: Sequence[Sequence[Sample]]) -> dict[str, Any]:
    """Scores of one benchmark, fractions in 0..1.

    Args:
        problems: the samples of each problem, n for every one, in the order of their numbers.

    Returns:
        ``problems``, ``samples`` (n), ``avg``, ``pass`` and ``maj`` by k with ``*_interval`` beside each, mean
        ``tokens``, the ``truncated`` fraction, and ``prompt_too_long`` and ``no_answer``, counts of samples. ``maj`` is
        null when no sample has an answer, as with a verifier that extracts none.
    """
    n = len(problems[0])
    flat = [sample for samples in problems for sample in samples]
    ks = sizes(n)
    rows = {("avg", 0): [fmean(s.correct for s in samples) for samples in problems]}
    for k in ks:
        rows["pass", k] = [pass_at_k(n, sum(s.correct for s in samples), k) for samples in problems]
    voted = any(s.answer is not None for s in flat)
    if voted:
        for k in ks:
            rows["maj", k] = [majority_at_k(samples, k) for samples in problems]
    means = {key: round(fmean(values), 6) for key, values in rows.items()}
    ends = bootstrap(np.array(list(rows.values()))).round(6).tolist()
    intervals = dict(zip(rows, ends, strict=True))
    by_k = {
        name: {str(k): values[kind, k] for k in ks} if kind == "pass" or voted else None
        for kind in ("pass", "maj")
        for name, values in ((kind, means), (f"{kind}_interval", intervals))
    }
    return {
        "problems": len(problems),
        "samples": n,
        "avg": means["avg", 0],
        "avg_interval": intervals["avg", 0],
        **by_k,
        "tokens": round(fmean(s.tokens for s in flat), 2),
        "truncated": round(fmean(s.finish == "length" for s in flat), 6),
        "prompt_too_long": sum(s.finish == TOO_LONG for s in flat),
        "no_answer": sum(s.answer is None for s in flat),
    }


def averages(benchmarks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The paper's two averages of avg@n: each is null while a benchmark is missing, and ``missing`` names those."""
    result: dict[str, Any] = {}
    for name, members in (("in_distribution", IN_DISTRIBUTION), ("out_of_distribution", OUT_OF_DISTRIBUTION)):
        there = all(member in benchmarks for member in members)
        result[name] = round(fmean(benchmarks[member]["avg"] for member in members), 6) if there else None
    result["missing"] = [m for m in (*IN_DISTRIBUTION, *OUT_OF_DISTRIBUTION) if m not in benchmarks]
    return result


def selection_score(benchmarks: Mapping[str, Mapping[str, Any]]) -> tuple[float, list[str]]:
    """What a checkpoint is picked by: mean avg@n over the in-distribution benchmarks there are, else over all; with
    their names."""
    names = [name for name in IN_DISTRIBUTION if name in benchmarks] or list(benchmarks)
    return round(fmean(benchmarks[name]["avg"] for name in names), 6), names
