"""Reach a target with +, -, * and / from given numbers, each used once. Many answers are right: nothing is compared."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

OPERATORS = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}


def evaluate(text: str) -> tuple[Fraction, Counter[int]]:
    """Value of an expression and the numbers that it uses.

    Raises:
        ValueError: anything but whole numbers, parentheses and the four operations, or a division by zero.
    """

    def walk(node: ast.expr) -> tuple[Fraction, Counter[int]]:
        match node:
            case ast.Constant(value=int(number)) if not isinstance(number, bool):
                return Fraction(number), Counter([number])
            case ast.BinOp(left, operator, right) if type(operator) in OPERATORS:
                (a, used), (b, more) = walk(left), walk(right)
                return OPERATORS[type(operator)](a, b), used + more
        raise ValueError(f"not an expression of numbers: {text}")

    try:
        return walk(ast.parse(text, mode="eval").body)
    except (SyntaxError, ZeroDivisionError, RecursionError, MemoryError) as error:
        raise ValueError(f"cannot be evaluated: {text}") from error


class CountdownVerifier:
    """The answer in a data file is ``target: n n n``, for instance ``24: 4 6 8 2``."""

    def is_correct(self, response: str, answer: str) -> bool:
        """Whether the last ``<answer>`` of a response reaches the target."""
        found = re.findall(r"<answer>([^<]{1,200})</answer>", response)
        return bool(found) and self.same_answer(found[-1], answer)

    def same_answer(self, candidate: str, answer: str) -> bool:
        """Whether an expression reaches the target; also what the leak guard asks about each part of a hint."""
        target, _, numbers = answer.partition(":")
        try:
            value, used = evaluate(candidate.strip())
        except ValueError:
            return False
        return value == int(target) and used == Counter(map(int, numbers.split()))

    def why_unverifiable(self, answer: str, responses: Sequence[str]) -> str | None:
        """What is wrong with an answer in a data file (`sage.grading.verifier.AnswerChecker`)."""
        if not re.fullmatch(r"\s*-?\d+\s*:(?:\s*\d+)+\s*", answer):
            return f"{answer!r} is not written as target: n n n"
        if responses and not any(self.is_correct(text, answer) or self.same_answer(text, answer) for text in responses):
            return "neither the reference response nor the solution reaches the target"
        return None
