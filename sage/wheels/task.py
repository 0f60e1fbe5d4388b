"""The task: turn three wheels from a start to a target, one step of one wheel at a time, under a rule on the order.

A problem such as ``287P514`` gives the start ``287``, a rule ``P`` and the target ``514``. A response writes for every
move the wheel and the new state, and then ``#``: ``a387b377...#``. Any plan is right that moves a wheel towards its
target digit at every step, arrives, and never makes two moves in a row that the rule forbids. What a rule forbids is
known to the verifier only.

A rule forbids some ordered pairs of wheels. Some choices leave no allowed order for the rest: a plan must look ahead.
The pre-training corpus makes an allowed move that leaves a way open only with a given probability at every step
(`sage.wheels.corpus`), so the base model's success decays with the number of moves.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Container
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from sage.embedded.tasks import KINDS, distinct

WHEELS = "abc"
Counts = tuple[int, int, int]
"""Moves that each wheel has left."""

# Rule -> forbidden pairs (wheel of a move, wheel of the next move).
RULES: dict[str, frozenset[str]] = {
    "D": frozenset(),
    "E": frozenset({"aa", "bc"}),
    "F": frozenset({"bb", "ca"}),
    "G": frozenset({"cc", "ab"}),
    "P": frozenset({"aa", "bb", "cc"}),
    "Q": frozenset({"ab", "bc", "ca"}),
    "R": frozenset({"ac", "cb", "ba"}),
}
FAMILIES = {"easy": "D", "medium": "EFG", "hard": "PQR"}
MOVES = {"easy": (2, 6), "medium": (5, 6), "hard": (8, 8)}
CAREFUL = {"easy": 1.0, "medium": 0.60, "hard": 0.40}
"""Probability of an allowed move that leaves a way open, at every step of a plan of the corpus."""
CHANCES = {"easy": (0.0, 1.0), "medium": (0.05, 0.25), "hard": (0.0, 0.02)}
"""Success probability of such a plan for the problems of a kind: others, with less choice, are not asked."""


def _without(left: Counts, wheel: str) -> Counts:
    """What is left after a move of the wheel."""
    a, b, c = (count - (wheel == w) for w, count in zip(WHEELS, left, strict=True))
    return a, b, c


@cache
def open_ways(rule: str, last: str, left: Counts) -> tuple[str, ...]:
    """Wheels that may be moved next so that the rest can be finished; ``last`` is "" before the first move."""
    ways = []
    for n, wheel in enumerate(WHEELS):
        if left[n] and last + wheel not in RULES[rule]:
            rest = _without(left, wheel)
            if not any(rest) or open_ways(rule, wheel, rest):
                ways.append(wheel)
    return tuple(ways)


@cache
def chance(rule: str, last: str, left: Counts, careful: float) -> float:
    """Probability that a plan of the corpus, with ``careful`` as in `CAREFUL`, ends well."""
    if not any(left):
        return 1.0
    ways = open_ways(rule, last, left)
    others = sum(count > 0 for count in left) - len(ways)
    total = 0.0
    for wheel in ways:
        total += chance(rule, wheel, _without(left, wheel), careful)
    return (careful if others else 1.0) * total / max(1, len(ways))


def state_after(start: str, target: str, order: str) -> str:
    """The state after the moves ``order`` (a string of wheels), each one step towards the target."""
    signs = [(t > s) - (t < s) for s, t in zip(start, target, strict=True)]
    return "".join(str(int(s) + sign * order.count(w)) for s, sign, w in zip(start, signs, WHEELS, strict=True))


@dataclass(frozen=True)
class Problem:
    """One problem, with one of its right plans."""

    kind: str
    start: str
    rule: str
    target: str
    order: str
    """The reference plan: the wheels moved, in order."""

    @property
    def text(self) -> str:
        """The problem as the model reads it, for example ``287P514``."""
        return self.start + self.rule + self.target

    @property
    def answer(self) -> str:
        """What the verifier needs: the problem itself, since every right plan counts."""
        return self.text

    @property
    def solution(self) -> str:
        """The reference solution: the order of the wheels, without states."""
        return self.order

    def plan(self, order: str) -> str:
        """The moves ``order`` with their states, as a response writes them."""
        return "".join(w + state_after(self.start, self.target, order[: i + 1]) for i, w in enumerate(order))

    @property
    def response(self) -> str:
        """The right response that the reference plan makes (for SFT and LUFFY)."""
        return self.plan(self.order) + "#"

    def checkpoint(self, level: int) -> str:
        """The first ``ceil(n * level / 4)`` of n moves: the text of an ideal hint of that level."""
        return self.plan(self.order[: self.checkpoint_step(level)])

    def checkpoint_step(self, level: int) -> int:
        return math.ceil(len(self.order) * level / 4)

    def left(self, order: str = "") -> Counts:
        """Moves that each wheel has left after ``order``."""
        pairs = zip(self.start, self.target, WHEELS, strict=True)
        a, b, c = (abs(int(t) - int(s)) - order.count(w) for s, t, w in pairs)
        return a, b, c


def make_problem(kind: str, rng: random.Random) -> Problem:
    """Draw one problem that can be solved, and one of its plans.

    Args:
        kind: ``easy`` (2 to 6 moves, no rule), ``medium`` (5 or 6 moves) or ``hard`` (8 moves, other rules).
        rng: source of randomness.

    Raises:
        ValueError: for another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}: use one of {', '.join(KINDS)}")
    rule = rng.choice(FAMILIES[kind])
    while True:
        moves = rng.randint(*MOVES[kind])
        start, target = (f"{rng.randrange(1000):03}" for _ in range(2))
        problem = Problem(kind, start, rule, target, "")
        left = problem.left()
        if sum(left) == moves and open_ways(rule, "", left):
            low, high = CHANCES[kind]
            if low <= chance(rule, "", left, CAREFUL[kind]) <= high:
                break
    order = ""
    while any(problem.left(order)):
        order += rng.choice(open_ways(rule, order[-1:], problem.left(order)))
    return Problem(kind, start, rule, target, order)


def make_problems(kind: str, count: int, seed: int, exclude: Container[str] = ()) -> list[Problem]:
    """``count`` distinct problems of a kind, none of whose texts is in ``exclude``."""
    return distinct(make_problem, kind, count, seed, exclude)


def is_correct(response: str, answer: str) -> bool:
    """Whether a response is a right plan for the problem ``answer``."""
    start, rule, target = answer[:3], answer[3], answer[4:]
    if not re.fullmatch(r"(?:[abc]\d{3})+#", response.strip()):
        return False
    order = response.strip()[:-1:4]
    if any(a + b in RULES[rule] for a, b in pairwise(order)):
        return False
    problem = Problem("", start, rule, target, order)
    return not any(problem.left(order)) and response.strip() == problem.response
