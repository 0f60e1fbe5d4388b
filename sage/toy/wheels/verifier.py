"""The verifier of the plans, named in the config as ``sage.toy.wheels.verifier:Verifier``."""

import re

from sage.toy.wheels.task import is_correct


class Verifier:
    """Checks a plan move by move; the reference answer is the problem itself, since every right order counts."""

    def is_correct(self, response: str, answer: str) -> bool:
        return is_correct(response, answer)

    def same_answer(self, candidate: str, answer: str) -> bool:
        return candidate.strip() == answer

    def find_leaks(self, hint: str, answer: str) -> list[tuple[int, int]]:
        """The last state, which a hint has when it is a whole plan."""
        return [match.span() for match in re.finditer("0000", hint)]
