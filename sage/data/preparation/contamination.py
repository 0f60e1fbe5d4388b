r"""Whether a training problem is a benchmark problem: n-gram overlap of words.

A word is a run of letters and digits, in lower case, so ``\frac{1}{2}`` is *frac 1 2* and punctuation does not matter.
The n-grams (n = 13, as in GPT-3's report, arXiv 2005.14165, Appendix C) that a training problem shares with a benchmark
problem must cover less than half of the benchmark problem's words. Without that share, a stock phrase such as *where m
and n are relatively prime positive integers, find m + n* would make one AIME problem the copy of another.

A benchmark problem of fewer than n words is compared as a whole: from 8 words on it must not occur inside a training
problem; below that, where *what is 2 + 3* occurs in many problems, it must not be the training problem.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sage.evaluation.benchmarks import PRIVATE
from sage.evaluation.problems import Problem

NGRAM = 13
SHARE = 0.5
SHORTEST_PART = 8
_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


@dataclass(frozen=True)
class Overlap:
    """What a training problem shares with a benchmark problem."""

    benchmark: str
    problem_id: str
    share: float
    """Of the benchmark problem's words, those in shared n-grams."""
    text: str
    """The first n-gram that is shared."""

    def __str__(self) -> str:
        shared = "" if self.benchmark in PRIVATE else f": {self.text!r}"
        return f"{self.share:.0%} of {self.benchmark} {self.problem_id}{shared}"


class ContaminationIndex:
    """The n-grams of the benchmarks.

    Args:
        benchmarks: problems by benchmark.
        ngram: words of an n-gram.
        share: of a benchmark problem's words, from which on a training problem is a copy; 0 for any shared n-gram.
    """

    def __init__(self, benchmarks: Mapping[str, Sequence[Problem]], ngram: int = NGRAM, share: float = SHARE) -> None:
        self._share = share
        self._head = min(SHORTEST_PART, ngram)
        self._owners: list[tuple[str, str, int]] = []  # benchmark, problem id, words
        self._heads: set[str] = set()  # the first words of all n-grams, so that most positions need one look-up
        self._parts: dict[int, dict[str, list[tuple[int, int]]]] = {}  # length -> n-gram -> owner and first word
        self._whole: dict[str, int] = {}
        for name, problems in benchmarks.items():
            for problem in problems:
                # Options are short and shared by many questions: only the question is compared.
                text = problem.question.split("\n\nA. ")[0] if problem.choices else problem.question
                self._add(name, problem.problem_id, words(text), ngram)

    def _add(self, name: str, problem_id: str, found: list[str], ngram: int) -> None:
        owner = len(self._owners)
        self._owners.append((name, problem_id, len(found)))
        if len(found) < self._head:
            self._whole.setdefault(" ".join(found), owner)
            return
        length = min(ngram, len(found))
        parts = self._parts.setdefault(length, {})
        for start in range(len(found) - length + 1):
            self._heads.add(" ".join(found[start : start + self._head]))
            parts.setdefault(" ".join(found[start : start + length]), []).append((owner, start))

    def find(self, problem: str) -> Overlap | None:
        """The benchmark problem that a training problem covers most; None if it covers too little of each."""
        found = words(problem)
        if (owner := self._whole.get(" ".join(found))) is not None:
            return Overlap(*self._owners[owner][:2], 1.0, " ".join(found))
        covered: dict[int, set[int]] = {}
        first: dict[int, str] = {}
        for position in range(len(found) - self._head + 1):
            if " ".join(found[position : position + self._head]) not in self._heads:
                continue
            for length, parts in self._parts.items():
                part = " ".join(found[position : position + length])
                for owner, start in parts.get(part, ()):
                    covered.setdefault(owner, set()).update(range(start, start + length))
                    first.setdefault(owner, part)
        shares = {owner: len(places) / self._owners[owner][2] for owner, places in covered.items()}
        best = max(shares, key=shares.__getitem__, default=None)
        if best is None or shares[best] < self._share:
            return None
        return Overlap(*self._owners[best][:2], shares[best], first[best])
