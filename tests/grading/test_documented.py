"""docs/grading.md: every verdict in its tables."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage.grading.verifier import MathVerifier, grade

DOCUMENT = Path(__file__).parents[2] / "docs/grading.md"


def pairs() -> Iterator[tuple[str, str, bool]]:
    """Response, reference answer and verdict."""
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|") or "`" not in line:
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        codes = [[code.replace(r"\|", "|") for code in re.findall("`([^`]+)`", cell)] for cell in cells]
        if len(cells) == 4:
            (answer,) = codes[1]
            for verdict, boxed in ((True, codes[2]), (False, codes[3])):
                yield from ((rf"So it is \boxed{{{content}}}.", answer, verdict) for content in boxed)
        else:
            assert cells[2] in ("counts", "does not")
            yield codes[0][0], codes[1][0], cells[2] == "counts"


@pytest.fixture(scope="module")
def verifier() -> Iterator[MathVerifier]:
    verifier = MathVerifier()
    yield verifier
    verifier.close()


def test_the_tables_hold(verifier: MathVerifier) -> None:
    documented = list(pairs())
    assert sum(verdict for *_, verdict in documented) > 130 and len(documented) > 250
    found = grade(verifier, [(response, answer) for response, answer, _ in documented])
    wrong = [pair for pair, verdict in zip(documented, found, strict=True) if pair[2] != verdict]
    assert not wrong and not verifier.timeouts
