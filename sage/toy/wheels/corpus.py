"""The pre-training corpus of `sage.toy.wheels`: what the base model has read before any reinforcement learning.

It winds wheels down, repeats a hint and goes on from it, and writes hints from a reference solution. It avoids blind
alleys, but where a breach of the rule is possible it makes one with a probability that depends on the kind of problem.
In a hint it follows the reference with `FOLLOWS` and otherwise moves as in a plan of its own, so some hints break the
rule: a hint is as good as the policy that writes it.
"""

from __future__ import annotations

import random

from sage.toy.embedded.tasks import PROMPTS, plain_prompt
from sage.toy.wheels.task import CAREFUL, Problem, after, breaches, make_problem, movable, open_ways

FOLLOWS = 0.9
MIXTURE = {"easy": 0.22, "medium": 0.15, "hinted": 0.33, "write": 0.24, "hard": 0.06}


def noisy_order(
    problem: Problem, rng: random.Random, begin: str = "", length: int | None = None, follow: float = 0.0
) -> str:
    """An order of moves as the corpus has them.

    Args:
        begin: the moves to go on from.
        length: moves in all; None for all.
        follow: probability of the reference's move at every step where it is still possible.
    """
    order = begin
    while any(left := after(problem.start, order)) and (length is None or len(order) < length):
        useful, reference = movable(left), problem.order[len(order)]
        if reference in useful and rng.random() < follow:
            order += reference
            continue
        careless = rng.random() >= CAREFUL[problem.kind]
        wrong = breaches(problem.rule, order[-1:], left) if careless else ""
        order += rng.choice(wrong or open_ways(problem.rule, order[-1:], left) or useful)
    return order


def sample_document(rng: random.Random) -> tuple[str, str]:
    """One (user turn, assistant turn) of the corpus."""
    part = rng.choices(list(MIXTURE), weights=list(MIXTURE.values()))[0]
    if part in ("easy", "medium", "hard"):
        problem = make_problem(part, rng)
        return plain_prompt(problem), problem.plan(noisy_order(problem, rng)) + "#"
    problem = make_problem("medium" if part == "write" and rng.random() < 0.2 else "hard", rng)
    level = rng.randint(1, 3)
    hinted = noisy_order(problem, rng, length=problem.checkpoint_step(level), follow=FOLLOWS)
    hint = problem.plan(hinted)
    if part == "write":
        return PROMPTS.hint_request_text(problem.text, problem.solution, level), hint
    user = PROMPTS.hinted_text(plain_prompt(problem), problem.text, hint)
    return user, problem.plan(noisy_order(problem, rng, begin=hinted)) + "#"
