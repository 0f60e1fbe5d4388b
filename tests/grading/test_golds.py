r"""Reference answers of real files: other spellings are accepted, near misses are not (all: benchmarks.verifier)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.rewritings import PERTURBATIONS, REWRITINGS
from benchmarks.verifier import Pair, load_golds, make_pairs
from sage.grading.verifier import MathVerifier, grade

DATA = Path(__file__).parents[3] / "shared/data"


@pytest.fixture(scope="module")
def verifier() -> Iterator[MathVerifier]:
    verifier = MathVerifier()
    yield verifier
    assert (verifier.timeouts, verifier.crashes) == (0, 0)
    verifier.close()


def _unexpected(verifier: MathVerifier, pairs: list[Pair]) -> list[Pair]:
    verdicts = grade(verifier, [(pair.response, pair.answer) for pair in pairs])
    return [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict != pair.same]


EXAMPLES = [
    "-21", "1234567", r"\frac{3}{8}", "0.75", "1.77e-6", r"\left( 3, \frac{\pi}{2} \right)", "(2,\\infty)",
    r"\{1, 2, 3\}", "1,-2", r"3\sqrt{2}", "x^{2}+2x-5", r"\begin{pmatrix} 1/5 \\ -18/5 \end{pmatrix}",
    r"\text{odd}", r"\text{(C)}", "B", "52_8", r"864 \mbox{ inches}^2", "[-1,4)", "2-3i", r"10,\!080",
]  # fmt: skip


def test_examples_in_every_spelling_and_nearly_right(verifier: MathVerifier) -> None:
    assert _unexpected(verifier, make_pairs({"examples": EXAMPLES})) == []


def test_every_change_applies_to_some_answer() -> None:
    seen = {pair.change for pair in make_pairs({"": [*EXAMPLES, r"\frac{1}{2} \pi", r"2 \pi", "2,345", "27,54"]})}
    assert set(REWRITINGS) | set(PERTURBATIONS) == seen


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not there")
@pytest.mark.parametrize("every", [97, pytest.param(7, marks=pytest.mark.slow)])
def test_a_sample_of_real_answers(verifier: MathVerifier, every: int) -> None:
    pairs = make_pairs(load_golds(DATA), every)
    unexpected = _unexpected(verifier, pairs)
    assert [pair for pair in unexpected if not pair.same] == []
    assert len(unexpected) <= 0.01 * len(pairs), unexpected
