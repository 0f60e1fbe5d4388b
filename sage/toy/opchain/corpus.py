"""The pre-training corpus: what the base model has read before any reinforcement learning.

It can do easy problems, continues a problem from a hint, and writes hints from a reference solution, in both ways of
asking (one level a request; all levels as JSON). At every medium or hard step the corpus uses the right meaning only
with probability 0.60 or 0.45, so the base model has seen right solutions of hard problems but rarely produces one.
"""

from __future__ import annotations

import json
import random

from sage.toy.embedded.tasks import PROMPTS, plain_prompt
from sage.toy.opchain.task import EASY, LABELS, MEDIUM, OPERATIONS, Problem, digits, make_problem

RIGHT_PROBABILITY = {"easy": 1.0, "medium": 0.60, "hard": 0.45}
MIXTURE = {"easy": 0.25, "medium": 0.15, "hinted": 0.30, "write": 0.18, "write_json": 0.07, "hard": 0.05}


def noisy_solution(problem: Problem, rng: random.Random, first_step: int = 0) -> str:
    """A solution as the corpus has them: from ``first_step`` on, starting at the right state there."""
    state = problem.states[first_step - 1] if first_step else problem.start
    out = []
    for label, name in list(zip(LABELS, problem.operations, strict=False))[first_step:]:
        family = "easy" if name in EASY else "medium" if name in MEDIUM else "hard"
        right = rng.random() < RIGHT_PROBABILITY[family]
        state = OPERATIONS[name][0 if right else -1](state)
        out.append(label + name + digits(state))
    return "".join(out) + "#" + digits(state)


def hints_json(problem: Problem) -> str:
    """All three hints in one JSON object, as the model is asked for with ``hint_request: json``."""
    return json.dumps({f"level_{n}": problem.checkpoint(n) for n in (1, 2, 3)}, separators=(",", ":"))


def sample_document(rng: random.Random) -> tuple[str, str]:
    """One (user turn, assistant turn) of the corpus."""
    part = rng.choices(list(MIXTURE), weights=list(MIXTURE.values()))[0]
    if part in ("easy", "medium", "hard"):
        problem = make_problem(part, rng)
        return plain_prompt(problem), noisy_solution(problem, rng)
    problem = make_problem("medium" if part == "write" and rng.random() < 0.2 else "hard", rng)
    if part == "write_json":
        return PROMPTS.hint_request_text(problem.text, problem.solution, None), hints_json(problem)
    level = rng.randint(1, 3)
    hint = problem.checkpoint(level)
    if part == "write":
        return PROMPTS.hint_request_text(problem.text, problem.solution, level), hint
    user = PROMPTS.hinted_text(plain_prompt(problem), problem.text, hint)
    return user, noisy_solution(problem, rng, problem.checkpoint_step(level))
