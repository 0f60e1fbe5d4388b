"""The verifier of the chains of steps, named in the config as ``sage.toy.opchain.verifier:Verifier``."""

from sage.toy.opchain.task import extract_answer, is_correct


class Verifier:
    """Exact comparison of states."""

    def is_correct(self, response: str, answer: str) -> bool:
        return is_correct(response, answer)

    def same_answer(self, candidate: str, answer: str) -> bool:
        """Whether a bare state is the answer."""
        return candidate.strip() == answer

    def extract_answer(self, response: str) -> str | None:
        """The state after ``#``, for majority votes."""
        return extract_answer(response)
