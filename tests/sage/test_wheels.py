"""The task of the wheels: right plans, rules, the corpus' success rate."""

import random
from itertools import pairwise

import pytest

from sage.wheels.corpus import FOLLOWS, noisy_order, plain_prompt, sample_document
from sage.wheels.task import (
    CAREFUL,
    CHANCES,
    KINDS,
    RULES,
    Problem,
    chance,
    is_correct,
    make_problem,
    make_problems,
    open_ways,
    state_after,
)

PROBLEM = Problem("hard", "287", "P", "514", "abacbacc")
"""Wheel a goes up by 3, b down by 7, c down by 3; its order is not a right one."""


def problems(kind, count=40):
    return make_problems(kind, count, seed=5)


def test_a_plan_by_hand():
    problem = Problem("easy", "120", "D", "012", "abcc")
    assert problem.left() == (1, 1, 2) and problem.left("ac") == (0, 1, 1)
    assert problem.response == "a020b010c011c012#" and is_correct(problem.response, problem.answer)
    assert problem.checkpoint(1) == "a020" and problem.checkpoint(3) == "a020b010c011"
    assert state_after("287", "514", "abba") == "467"


@pytest.mark.parametrize(
    "response",
    [
        "",
        "#",
        "a020b010c011#",  # stops short
        "a020b010c011c012",  # has no end
        "a020b010c011c012##",
        "a020b010c012c012#",  # a state that does not follow
        "a220b210c211c212#",  # away from the target
        "a020b010c011c012c013#",  # beyond it
        "so a020b010c011c012#",
    ],
)
def test_wrong_plans(response):
    assert not is_correct(response, "120D012")


def test_a_rule_forbids_pairs():
    assert not is_correct("c111a011c012b012#", "110P012"), "b goes nowhere"
    problem = Problem("hard", "200", "P", "102", "cac")
    assert is_correct(problem.response, problem.answer)
    assert not is_correct(Problem("hard", "200", "P", "102", "acc").response, problem.answer)


@pytest.mark.parametrize("kind", KINDS)
def test_every_problem_can_be_solved_and_its_reference_is_right(kind):
    low, high = CHANCES[kind]
    for problem in problems(kind):
        assert is_correct(problem.response, problem.answer)
        assert not {a + b for a, b in pairwise(problem.order)} & RULES[problem.rule]
        assert low <= chance(problem.rule, "", problem.left(), CAREFUL[kind]) <= high
        assert problem.response.startswith(problem.checkpoint(2))
    texts = {p.text for p in problems(kind)}
    assert len(texts) == 40 and not texts & {p.text for p in make_problems(kind, 20, 5, exclude=texts)}


def test_an_open_way_never_ends_before_the_target():
    rng = random.Random(0)
    for problem in problems("hard"):
        order = ""
        while any(problem.left(order)):
            order += rng.choice(open_ways(problem.rule, order[-1:], problem.left(order)))
        assert is_correct(problem.plan(order) + "#", problem.answer)


def test_the_chance_is_the_success_rate_of_the_corpus():
    rng = random.Random(1)
    for problem in problems("medium", 5):
        plans = [problem.plan(noisy_order(problem, rng)) + "#" for _ in range(2000)]
        rate = sum(is_correct(plan, problem.answer) for plan in plans) / 2000
        assert rate == pytest.approx(chance(problem.rule, "", problem.left(), CAREFUL["medium"]), abs=0.04)


def test_hints_of_the_corpus_are_as_good_as_its_plans():
    """They follow the reference only in part, so many break the rule."""
    rng = random.Random(2)
    found = [noisy_order(p, rng, length=6, follow=FOLLOWS) == p.order[:6] for p in problems("hard") for _ in range(20)]
    assert 0.05 < sum(found) / len(found) < 0.5
    assert noisy_order(PROBLEM, rng, begin="ab", length=2) == "ab"


def test_documents_fit_the_model():
    rng = random.Random(3)
    documents = [sample_document(rng) for _ in range(500)]
    assert max(len(user) + len(assistant) for user, assistant in documents) < 120
    assert any("?" in user for user, _ in documents) and any("!" in user for user, _ in documents)
    assert plain_prompt(PROBLEM) == "287P514="


def test_another_kind_is_refused():
    with pytest.raises(ValueError, match="unknown kind 'odd': use one of easy, medium, hard"):
        make_problem("odd", random.Random(0))
