"""The n-gram check against the benchmarks."""

from __future__ import annotations

from itertools import count, islice

import pytest

from sage.data.preparation.contamination import NGRAM, ContaminationIndex, words
from sage.evaluation.problems import Problem

WORDS = (f"w{n}" for n in count())


def text(length: int) -> str:
    """Words that occur nowhere else."""
    return " ".join(islice(WORDS, length))


def index(*questions: str, **options) -> ContaminationIndex:
    problems = [Problem(str(n), question, "1") for n, question in enumerate(questions)]
    return ContaminationIndex({"math500": problems}, **options)


def test_words_ignore_what_typesetting_changes():
    assert words(r"$\frac{1}{2}$, NOW") == words(r"\( \frac 1 2 \) now!") == ["frac", "1", "2", "now"]


def test_a_copy_inside_other_text_is_found_and_named():
    problem = text(40)
    overlap = index(text(40), problem).find(f"{text(30)}. {problem.upper()}! {text(30)}")
    assert overlap and overlap.problem_id == "1" and overlap.share == 1.0 and overlap.text in problem


@pytest.mark.parametrize(("copied", "found"), [(19, False), (20, True), (39, True)])
def test_half_of_the_words_decide(copied, found):
    problem = text(40).split()
    overlap = index(" ".join(problem)).find(" ".join(problem[:copied]) + " " + text(40))
    assert bool(overlap) == found
    if overlap:
        assert overlap.share == pytest.approx(copied / 40)


def test_share_zero_means_any_shared_ngram():
    problem = text(200).split()
    assert index(" ".join(problem), share=0.0).find(" ".join(problem[50 : 50 + NGRAM]))
    assert not index(" ".join(problem), share=0.0).find(" ".join(problem[50 : 49 + NGRAM]))


def test_changed_numbers_break_ngrams_but_not_the_rest():
    problem = text(60).split()
    changed = [*problem[:20], "other", *problem[21:]]
    overlap = index(" ".join(problem)).find(" ".join(changed))
    assert overlap and overlap.share == pytest.approx(59 / 60)


@pytest.mark.parametrize("length", [8, 10, 12])
def test_short_benchmark_problems_count_inside_others(length):
    problem = text(length)
    assert index(problem).find(f"{text(5)} {problem} {text(5)}")
    assert not index(problem).find(f"{text(5)} {' '.join(problem.split()[1:])} {text(5)}")


def test_very_short_ones_count_only_alone():
    assert index("What is 2 + 3?").find("what is $2+3$")
    assert not index("What is 2 + 3?").find("Tell me: what is 2 + 3 in base four?")


def test_options_of_multiple_choice_do_not_count():
    options = "none of the above is the right thing to say about this very question"
    question = f"{text(20)}\n\nA. {options}\nB. {options}\n\nGive only the letter."
    problems = {"mmlu_pro": [Problem("1", question, "A", choices=2)]}
    assert not ContaminationIndex(problems).find(f"{text(20)} {options}")
    assert ContaminationIndex(problems).find(question.split("\n\n")[0])


def test_private_benchmarks_are_named_without_their_text():
    problem = text(30)
    overlap = ContaminationIndex({"gpqa": [Problem("rec1", problem, "A")]}).find(problem)
    assert overlap and str(overlap) == "100% of gpqa rec1"
