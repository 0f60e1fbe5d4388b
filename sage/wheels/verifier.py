"""The verifier of the wheels, named in the config as ``sage.wheels.verifier:Verifier``."""

from sage.wheels.task import is_correct


class Verifier:
    """Checks a plan step by step; the reference answer is the problem itself, since every right plan counts."""

    def is_correct(self, response: str, answer: str) -> bool:
        """Whether a response is a right plan."""
        return is_correct(response, answer)

    def same_answer(self, candidate: str, answer: str) -> bool:
        """Whether a state is the target: a hint that reaches it is a whole plan."""
        return candidate.strip() == answer[4:]
