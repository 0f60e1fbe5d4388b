"""The task of the wheels: right plans, rules, the corpus' success rate."""

import asyncio
import random
from itertools import pairwise

import pytest

from sage.hints.leak import find_leaks
from sage.hints.sources import Reply
from sage.hints.writer import HintRules, HintWriter
from sage.method.records import Hint, HintFailure, Prompt
from sage.toy.embedded.build_data import TEST, TEST_SEED, TRAIN
from sage.toy.embedded.tasks import distinct, plain_prompt
from sage.toy.wheels.corpus import FOLLOWS, noisy_order, sample_document
from sage.toy.wheels.task import (
    CAREFUL,
    CHANCES,
    KINDS,
    Problem,
    after,
    breaches,
    chance,
    forbidden,
    is_correct,
    make_problem,
    make_problems,
    open_ways,
)
from sage.toy.wheels.verifier import Verifier

PROBLEM = Problem("hard", (2, 2, 2, 2), "PQ", "acacbdbd")
"""Allowed are the wheel before and the one across."""


def problems(kind, count=40):
    return make_problems(kind, count, seed=5)


def test_a_plan_by_hand():
    problem = Problem("easy", (1, 0, 2, 0), "D", "cac")
    assert problem.text == "1020D" and after(problem.start, "ac") == (0, 0, 1, 0)
    assert problem.response == "c1010a0010c0000#" and is_correct(problem.response, problem.answer)
    assert problem.solution == "c,a,,c" and PROBLEM.solution == "ac,ac,bd,bd", "hints end at the commas"
    assert problem.checkpoint(1) == "c1010" and problem.checkpoint(3) == "c1010a0010", "never the whole plan"
    assert is_correct("a0020c0010c0000#", problem.answer), "every right order counts"


@pytest.mark.parametrize(
    "response",
    [
        "",
        "#",
        "c1010a0010#",  # stops short
        "c1010a0010c0000",  # has no end
        "c1010a0010c0000##",
        "c1010a0011c0000#",  # a state that does not follow
        "c1010b1010a0010c0000#",  # a wheel without notches
        "so c1010a0010c0000#",
    ],
)
def test_wrong_plans(response):
    assert not is_correct(response, "1020D")


def test_a_rule_forbids_pairs():
    assert forbidden("PQ") == {"aa", "bb", "cc", "dd", "ab", "bc", "cd", "da"} and not forbidden("D")
    right, same, next_wheel = (
        Problem("hard", (1, 1, 1, 0), rule, order) for rule, order in (("PQ", "bac"), ("RS", "bac"), ("PQ", "abc"))
    )
    assert is_correct(right.response, right.answer)
    assert not is_correct(same.response, same.answer) and not is_correct(next_wheel.response, next_wheel.answer)


def test_the_last_state_in_a_hint_is_a_whole_plan():
    verifier = Verifier()
    assert verifier.is_correct("a0000#", "1000D")
    leaky, hint = Problem("easy", (1, 0, 2, 0), "D", "cac").response[:-1], "c1010a0010"
    assert find_leaks(leaky, "1020D", verifier) == [(11, 15)] and not find_leaks(hint, "1020D", verifier)


@pytest.mark.parametrize("kind", KINDS)
def test_every_problem_can_be_solved_and_its_reference_is_right(kind):
    low, high = CHANCES[kind]
    for problem in problems(kind):
        assert is_correct(problem.response, problem.answer)
        assert not {a + b for a, b in pairwise(problem.order)} & forbidden(problem.rule)
        assert low <= chance(problem.rule, "", problem.start, CAREFUL[kind]) <= high
        assert problem.response.startswith(problem.checkpoint(2))
    texts = {p.text for p in problems(kind)}
    assert len(texts) == 40 and not texts & {p.text for p in make_problems(kind, 20, 5, exclude=texts)}


def test_an_open_way_never_ends_before_zero():
    rng = random.Random(0)
    for problem in problems("hard"):
        order = ""
        while any(left := after(problem.start, order)):
            order += rng.choice(open_ways(problem.rule, order[-1:], left))
        assert is_correct(problem.plan(order) + "#", problem.answer)


def test_the_chance_is_the_success_rate_of_the_corpus():
    rng = random.Random(1)
    for problem in problems("medium", 5):
        plans = [problem.plan(noisy_order(problem, rng)) + "#" for _ in range(2000)]
        rate = sum(is_correct(plan, problem.answer) for plan in plans) / 2000
        assert rate == pytest.approx(chance(problem.rule, "", problem.start, CAREFUL["medium"]), abs=0.04)


def test_the_corpus_avoids_blind_alleys_and_breaks_the_rule_at_a_known_rate():
    """Until a plan breaks the rule, each of its moves leaves a way open or breaks the rule where that is possible."""
    rng = random.Random(4)
    possible = broken = 0
    for problem in problems("hard") * 20:
        order = noisy_order(problem, rng)
        for step, wheel in enumerate(order):
            last, left = order[step - 1 : step], after(problem.start, order[:step])
            if not (wrong := breaches(problem.rule, last, left)):
                assert wheel in open_ways(problem.rule, last, left)
                continue
            possible += 1
            if last + wheel in forbidden(problem.rule):
                broken += 1
                assert wheel in wrong
                break
            assert wheel in open_ways(problem.rule, last, left)
    assert 1 - broken / possible == pytest.approx(CAREFUL["hard"], abs=0.05)


def test_hints_of_the_corpus_are_as_good_as_its_plans():
    """They leave the reference now and then, and may break the rule there."""
    rng = random.Random(2)
    hints = [noisy_order(p, rng, length=6, follow=FOLLOWS) for p in problems("hard")]
    breaking = [
        h for p, h in zip(problems("hard"), hints, strict=True) if {a + b for a, b in pairwise(h)} & forbidden(p.rule)
    ]
    assert 0 < len(breaking) < 20
    found = [noisy_order(p, rng, length=6, follow=FOLLOWS) == p.order[:6] for p in problems("hard") for _ in range(20)]
    assert 0.6 < sum(found) / len(found) < 0.85
    assert noisy_order(PROBLEM, rng, begin="ac", length=2) == "ac"


def test_documents_fit_the_model():
    rng = random.Random(3)
    documents = [sample_document(rng) for _ in range(500)]
    assert max(len(user) + len(assistant) for user, assistant in documents) < 120
    assert any("?" in user for user, _ in documents) and any("!" in user for user, _ in documents)
    assert plain_prompt(PROBLEM) == "2222PQ="


def test_another_kind_is_refused():
    with pytest.raises(ValueError, match="unknown kind 'odd': use one of easy, medium, hard"):
        make_problem("odd", random.Random(0))


def test_more_problems_than_there_are_are_refused():
    def one_of_three(kind, rng):
        return make_problem(kind, random.Random(rng.randrange(3)))

    assert len({p.text for p in distinct(one_of_three, "easy", 3, seed=0, exclude=())}) == 3
    with pytest.raises(ValueError, match="found 3 distinct easy problems, not 4: ask for fewer"):
        distinct(one_of_three, "easy", 4, seed=0, exclude=())


def test_a_run_finds_its_problems_and_none_is_another_ones_twin():
    tests = [p for kind in KINDS for p in make_problems(kind, TEST, TEST_SEED)]
    held_out = {p.text for p in tests}
    training = [p for kind, count in TRAIN.items() for p in make_problems(kind, count, 1000, held_out)]
    assert len({(p.start, forbidden(p.rule), p.kind) for p in tests + training}) == 3 * TEST + sum(TRAIN.values())


@pytest.mark.parametrize("leak, expected", [("refuse", HintFailure("leak")), ("redact", Hint(3, "c1010a0010c[...]"))])
def test_a_hint_that_is_a_whole_plan_is_not_given(leak, expected):
    async def ask(level, attempt):
        return Reply("c1010a0010c0000", 15, 0.1)

    prompt, rules = Prompt("wheels/1020D", "1020D", "1020D", "cac"), HintRules(3, "level", 0, leak)
    assert asyncio.run(HintWriter(prompt, rules, Verifier(), ask, lambda hint: True).write(3)) == expected
