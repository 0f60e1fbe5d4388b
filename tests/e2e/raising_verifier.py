"""A verifier from outside the package that fails on one row."""

from sage.toy.opchain.verifier import Verifier


class RaisingVerifier(Verifier):
    def is_correct(self, response: str, answer: str) -> bool:
        if answer == "raise":
            raise RuntimeError("cannot grade this row")
        return super().is_correct(response, answer)
