"""The task: wind four wheels down to zero, one notch of one wheel at a time, under a rule on the order.

A problem such as ``2013PQ`` gives the notches that each wheel has left and a rule. A response writes for every move the
wheel and the new state, and then ``#``: ``d2012a1012...d0000#``. Any order is right that ends at ``0000`` and never
makes two moves in a row that the rule forbids. What a rule forbids is known to the verifier only.

Every letter of a rule forbids one kind of next move: the same wheel, the next one, the one before or the one across.
Some moves leave no allowed order for the rest, so a plan must look ahead. The plans of the pre-training corpus do, but
where a breach of the rule is possible they avoid it with a given probability only (`sage.toy.wheels.corpus`), so the
base model's success decays with the number of moves.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Container
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise

from sage.toy.embedded.tasks import KINDS, distinct

WHEELS = "abcd"
Notches = tuple[int, ...]
"""What each wheel has left."""

_KINDS_OF_MOVE = (
    frozenset({"aa", "bb", "cc", "dd"}),
    frozenset({"ab", "bc", "cd", "da"}),
    frozenset({"ba", "cb", "dc", "ad"}),
    frozenset({"ac", "bd", "ca", "db"}),
)
# Letter of a rule -> forbidden pairs (wheel of a move, wheel of the next move).
FORBIDDEN: dict[str, frozenset[str]] = {
    "D": frozenset(),
    **dict(zip("EFGH", _KINDS_OF_MOVE, strict=True)),
    **dict(zip("PQRS", _KINDS_OF_MOVE, strict=True)),
}
RULES = {"easy": ("D",), "medium": tuple("EFGH"), "hard": tuple(map("".join, combinations("PQRS", 2)))}
MOVES = {"easy": (2, 8), "medium": (5, 8), "hard": (7, 10)}
CAREFUL = {"easy": 1.0, "medium": 0.50, "hard": 0.35}
"""Probability of an allowed move where a breach is possible, at every step of a plan of the corpus."""
CHANCES = {"easy": (0.0, 1.0), "medium": (0.05, 0.25), "hard": (0.0003, 0.008)}
"""Success probability of such a plan for the problems of a kind: others are not asked."""


@cache
def forbidden(rule: str) -> frozenset[str]:
    return frozenset().union(*(FORBIDDEN[letter] for letter in rule))


def after(left: Notches, wheels: str) -> Notches:
    return tuple(count - wheels.count(wheel) for wheel, count in zip(WHEELS, left, strict=True))


def movable(left: Notches) -> str:
    """The wheels that have notches left."""
    return "".join(wheel for wheel, count in zip(WHEELS, left, strict=True) if count)


def breaches(rule: str, last: str, left: Notches) -> str:
    """Wheels that could be moved next against the rule."""
    return "".join(wheel for wheel in movable(left) if last + wheel in forbidden(rule))


@cache
def open_ways(rule: str, last: str, left: Notches) -> str:
    """Wheels that may be moved next so that the rest can be finished; ``last`` is "" before the first move."""
    ways = ""
    for wheel in movable(left):
        rest = after(left, wheel)
        if last + wheel not in forbidden(rule) and (not any(rest) or open_ways(rule, wheel, rest)):
            ways += wheel
    return ways


@cache
def chance(rule: str, last: str, left: Notches, careful: float) -> float:
    """Probability that a plan of the corpus, with ``careful`` as in `CAREFUL`, ends well."""
    if not any(left):
        return 1.0
    ways = open_ways(rule, last, left)
    total = sum(chance(rule, wheel, after(left, wheel), careful) for wheel in ways)
    return (careful if breaches(rule, last, left) else 1.0) * total / max(1, len(ways))


@dataclass(frozen=True)
class Problem:
    """One problem, with one of its right orders."""

    kind: str
    start: Notches
    rule: str
    order: str
    """The reference plan: the wheels moved, in order."""

    @property
    def text(self) -> str:
        """The problem as the model reads it, for example ``2013PQ``."""
        return "".join(map(str, self.start)) + self.rule

    @property
    def answer(self) -> str:
        """What the verifier needs: the problem itself, since every right order counts."""
        return self.text

    @property
    def solution(self) -> str:
        """The reference solution: the order of the wheels, without states, in the four parts that hints end after."""
        ends = [0, *(self.checkpoint_step(level) for level in (1, 2, 3)), len(self.order)]
        return ",".join(self.order[a:b] for a, b in pairwise(ends))

    def plan(self, order: str) -> str:
        """The moves ``order`` with their states, as a response writes them."""
        states = ("".join(map(str, after(self.start, order[: i + 1]))) for i in range(len(order)))
        return "".join(wheel + state for wheel, state in zip(order, states, strict=True))

    @property
    def response(self) -> str:
        """The right response that the reference plan makes (for SFT and LUFFY)."""
        return self.plan(self.order) + "#"

    def checkpoint(self, level: int) -> str:
        """About ``level`` quarters of the moves: the text of an ideal hint of that level."""
        return self.plan(self.order[: self.checkpoint_step(level)])

    def checkpoint_step(self, level: int) -> int:
        """Moves in that hint; never all of them."""
        return min(math.ceil(len(self.order) * level / 4), len(self.order) - 1)


def make_problem(kind: str, rng: random.Random) -> Problem:
    """Draw one problem that can be solved, and one of its orders.

    Args:
        kind: ``easy`` (2 to 8 moves, no rule), ``medium`` (5 to 8 moves) or ``hard`` (7 to 10 moves, other rules).

    Raises:
        ValueError: for another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}: use one of {', '.join(KINDS)}")
    low, high = CHANCES[kind]
    while True:
        rule, moves = rng.choice(RULES[kind]), rng.randint(*MOVES[kind])
        bars = [-1, *sorted(rng.sample(range(moves + 3), 3)), moves + 3]
        start = tuple(b - a - 1 for a, b in pairwise(bars))  # every split of the moves is as likely
        if open_ways(rule, "", start) and low <= chance(rule, "", start, CAREFUL[kind]) <= high:
            break
    order = ""
    while any(left := after(start, order)):
        order += rng.choice(open_ways(rule, order[-1:], left))
    return Problem(kind, start, rule, order)


def make_problems(kind: str, count: int, seed: int, exclude: Container[str] = ()) -> list[Problem]:
    """``count`` distinct problems of a kind, none of whose texts is in ``exclude``."""
    return distinct(make_problem, kind, count, seed, exclude)


def is_correct(response: str, answer: str) -> bool:
    """Whether a response is a right plan for the problem ``answer``."""
    response = response.strip()
    if not re.fullmatch(r"(?:[abcd]\d{4})+#", response):
        return False
    problem = Problem("", tuple(map(int, answer[:4])), answer[4:], response[:-1:5])
    if any(a + b in forbidden(problem.rule) for a, b in pairwise(problem.order)):
        return False
    return not any(after(problem.start, problem.order)) and response == problem.response
