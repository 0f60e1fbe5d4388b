"""Scores against enumeration, and the properties that a reader of a table relies on."""

from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.evaluation.benchmarks import BENCHMARKS, IN_DISTRIBUTION
from sage.evaluation.checkpoints import choose_best
from sage.evaluation.scores import answer_key, averages, bootstrap, majority_at_k, pass_at_k, score, sizes
from sage.evaluation.store import TOO_LONG, Sample


def samples(answers: str, right: str = "a", problem: str = "p") -> list[Sample]:
    """One sample a letter; ``-`` for none."""
    return [Sample(problem, n, None if a == "-" else a, a == right, 10, "stop") for n, a in enumerate(answers)]


@given(st.lists(st.booleans(), min_size=1, max_size=7), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_sample(correct, data):
    k = data.draw(st.integers(1, len(correct)))
    assert pass_at_k(len(correct), sum(correct), k) == pytest.approx(fmean(any(s) for s in combinations(correct, k)))


@pytest.mark.parametrize(
    ("answers", "k", "expected"),
    [
        ("aab", 3, 1.0),
        ("abb", 3, 0.0),
        ("ab", 2, 0.5),
        ("abc", 3, 1 / 3),
        ("a---", 4, 1.0),
        ("----", 4, 0.0),
        ("aabb", 2, 0.5),
        ("aaxab", 2, 0.75),
    ],
)
def test_majority_counts_votes_with_ties_shared_and_abstentions(answers, k, expected):
    assert majority_at_k(samples(answers), k) == pytest.approx(expected)


@given(st.text("abc-", min_size=1, max_size=16))
def test_a_vote_of_one_is_the_accuracy(answers):
    assert majority_at_k(samples(answers), 1) == pytest.approx(fmean(s.correct for s in samples(answers)))


def test_answers_are_grouped_by_value_where_they_are_numbers_and_by_text_otherwise():
    assert len({answer_key(a) for a in (r"\frac{1}{2}", "0.5", "$1/2$", r"\dfrac12")}) == 1
    assert answer_key(r"\text{ north}") == answer_key("north") != answer_key("south")
    assert answer_key("50") != answer_key(r"50\%")


def test_sizes_are_the_powers_of_two_and_the_whole():
    assert sizes(16) == [1, 2, 4, 8, 16] and sizes(6) == [1, 2, 4, 6] and sizes(1) == [1]


def test_intervals_cover_what_the_theory_says():
    rng = np.random.default_rng(1)
    values = np.stack([rng.random(400) < 0.3, np.full(400, 0.25)]).astype(float)
    (low, high), constant = bootstrap(values)
    mean = values[0].mean()
    half = 1.96 * np.sqrt(mean * (1 - mean) / 400)
    assert low == pytest.approx(mean - half, abs=0.01) and high == pytest.approx(mean + half, abs=0.01)
    assert constant.tolist() == [0.25, 0.25]
    assert np.array_equal(bootstrap(values), bootstrap(values))


@settings(max_examples=5)
@given(st.lists(st.text("ab-", min_size=4, max_size=4), min_size=1, max_size=5))
def test_scores_are_consistent_with_each_other(problems):
    result = score([samples(answers, problem=str(n)) for n, answers in enumerate(problems)])
    assert result["problems"] == len(problems) and result["samples"] == 4
    assert result["avg"] == result["pass"]["1"] and list(result["pass"]) == ["1", "2", "4"]
    assert result["pass"]["1"] <= result["pass"]["2"] <= result["pass"]["4"]
    assert result["avg_interval"] == result["pass_interval"]["1"]
    low, high = result["avg_interval"]
    assert low - 1e-6 <= result["avg"] <= high + 1e-6
    assert (result["maj"] is None) == all(set(answers) == {"-"} for answers in problems)


def test_truncated_and_unanswered_samples_are_counted():
    row = [Sample("p", 0, "a", True, 30, "stop"), Sample("p", 1, None, False, 50, "length")]
    row += [Sample("p", 2, None, False, 0, TOO_LONG), Sample("p", 3, "b", False, 20, "stop")]
    result = score([row])
    assert (result["tokens"], result["truncated"], result["prompt_too_long"], result["no_answer"]) == (25, 0.25, 1, 2)


def test_majorities_and_passes_are_means_over_problems():
    result = score([samples("aab"), samples("abb")])
    assert result["maj"] == {"1": 0.5, "2": 0.75, "3": 0.5}
    assert result["pass"]["1"] == 0.5 and result["pass"]["3"] == 1.0


def test_averages_are_null_until_every_benchmark_is_there():
    scores = {name: {"avg": n / 10} for n, name in enumerate(BENCHMARKS)}
    assert averages(scores) == {"in_distribution": 0.25, "out_of_distribution": 0.65, "missing": []}
    del scores["aime25"], scores["gpqa"]
    assert averages(scores) == {"in_distribution": None, "out_of_distribution": None, "missing": ["aime25", "gpqa"]}


def test_the_best_checkpoint_is_the_first_with_the_highest_in_distribution_average():
    def summary(aime24: float, amc23: float, gpqa: float) -> dict:
        return {"benchmarks": {"aime24": {"avg": aime24}, "amc23": {"avg": amc23}, "gpqa": {"avg": gpqa}}}

    best = choose_best({"1": summary(0.1, 0.2, 0.9), "2": summary(0.1, 0.4, 0), "3": summary(0.3, 0.2, 0.5)})
    assert (best["checkpoint"], best["score"]) == ("2", 0.25)
    assert "aime24, amc23," in best["rule"] and "gpqa" not in best["rule"] and "test sets" in best["rule"]
    own = {step: {"benchmarks": {"mine": {"avg": value}}} for step, value in (("1", 0.1), ("2", 0.3))}
    assert choose_best(own)["checkpoint"] == "2"
    more = {"1": summary(0.9, 0.2, 0), "2": {"benchmarks": {"amc23": {"avg": 0.3}}}}
    best = choose_best(more)
    assert best["checkpoint"] == "2" and best["scores"] == {"1": 0.2, "2": 0.3}, "over what both have"
    with pytest.raises(ValueError, match="1, 2 have no benchmark in common"):
        choose_best({"1": own["1"], "2": more["2"]})
    assert "gpqa" not in IN_DISTRIBUTION
