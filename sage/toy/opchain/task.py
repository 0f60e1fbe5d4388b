"""The task: apply a chain of labelled operations to a state of three digits.

A problem such as ``887aRbScAdQ`` gives the start state ``887`` and the operations R, S, A, Q labelled a, b, c, d.
A response writes label, operation and new state for every step and then ``#`` and the final state:
``aR807bS806cA086dQ386#386``.

Operations come in three families. Easy ones have one meaning. Each medium or hard operation has a RIGHT meaning, which
the verifier uses, and a WRONG one: the pre-training corpus picks between them independently at every step, so the base
model's success decays with the number of such steps and neither sampling nor greedy decoding solves hard problems.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Container
from dataclasses import dataclass

from sage.toy.embedded.tasks import KINDS, distinct

State = tuple[int, int, int]
Operation = Callable[[State], State]

LABELS = "abcdefghijkl"
EASY, MEDIUM, HARD = "ABCD", "EFG", "PQRS"


def _permute(*order: int) -> Operation:
    return lambda s: (s[order[0]], s[order[1]], s[order[2]])


def _add(position: int, amount: int) -> Operation:
    def operation(s: State) -> State:
        digits = list(s)
        digits[position] = (digits[position] + amount) % 10
        return digits[0], digits[1], digits[2]

    return operation


# Operation name -> (right meaning, wrong meaning); easy operations have only the first.
OPERATIONS: dict[str, tuple[Operation, ...]] = {
    "A": (_permute(1, 0, 2),),
    "B": (_permute(0, 2, 1),),
    "C": (_add(0, 1),),
    "D": (_add(2, 1),),
    "E": (_permute(1, 2, 0), _permute(2, 0, 1)),
    "F": (_add(1, 1), _add(1, -1)),
    "G": (_add(0, 2), _add(2, 2)),
    "P": (_permute(2, 1, 0), _permute(1, 0, 2)),
    "Q": (_add(0, 3), _add(0, -3)),
    "R": (_add(1, 2), _add(2, 2)),
    "S": (_add(2, -1), _add(2, 2)),
}


def digits(state: State) -> str:
    return "".join(map(str, state))


@dataclass(frozen=True)
class Problem:
    """One problem: a start state and a chain of operation names."""

    kind: str
    start: State
    operations: str

    @property
    def text(self) -> str:
        """The problem as the model reads it, for example ``887aRbS``."""
        steps = zip(LABELS, self.operations, strict=False)
        return digits(self.start) + "".join(label + operation for label, operation in steps)

    @property
    def states(self) -> list[State]:
        """The right state after each step."""
        out, state = [], self.start
        for name in self.operations:
            state = OPERATIONS[name][0](state)
            out.append(state)
        return out

    @property
    def answer(self) -> str:
        return digits(self.states[-1])

    @property
    def solution(self) -> str:
        """The reference solution: label and state after 25, 50, 75 and 100% of the steps, without operations."""
        return "".join(self.checkpoint(level) for level in (1, 2, 3, 4))

    @property
    def response(self) -> str:
        """The right response: every step with its right meaning (for SFT and LUFFY)."""
        steps = zip(LABELS, self.operations, self.states, strict=False)
        return "".join(label + name + digits(state) for label, name, state in steps) + "#" + self.answer

    def checkpoint(self, level: int) -> str:
        """Label and right state after ``ceil(n * level / 4)`` of n steps: the text of an ideal hint of that level."""
        step = self.checkpoint_step(level)
        return LABELS[step - 1] + digits(self.states[step - 1])

    def checkpoint_step(self, level: int) -> int:
        return math.ceil(len(self.operations) * level / 4)


def make_problem(kind: str, rng: random.Random) -> Problem:
    """Draw one problem.

    Args:
        kind: ``easy`` (2-8 easy operations), ``medium`` (4-6 steps, 3 of them medium) or ``hard`` (8 steps, 6 hard).

    Raises:
        ValueError: for another kind.
    """
    if kind == "easy":
        names = rng.choices(EASY, k=rng.randint(2, 8))
    elif kind == "medium":
        names = rng.choices(MEDIUM, k=3) + rng.choices(EASY, k=rng.randint(1, 3))
    elif kind == "hard":
        names = rng.choices(HARD, k=6) + rng.choices(EASY, k=2)
    else:
        raise ValueError(f"unknown kind {kind!r}: use one of {', '.join(KINDS)}")
    rng.shuffle(names)
    start = (rng.randrange(10), rng.randrange(10), rng.randrange(10))
    return Problem(kind, start, "".join(names))


def make_problems(kind: str, count: int, seed: int, exclude: Container[str] = ()) -> list[Problem]:
    """``count`` distinct problems of a kind, none of whose texts is in ``exclude``."""
    return distinct(make_problem, kind, count, seed, exclude)


def extract_answer(response: str) -> str | None:
    """The text after ``#``; None unless the response has exactly one ``#``."""
    _, mark, tail = response.partition("#")
    return tail.strip() if mark and "#" not in tail else None


def is_correct(response: str, answer: str) -> bool:
    return extract_answer(response) == answer
