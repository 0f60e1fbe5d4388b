"""Examples of hints with what the leak guard said when they were written, and what it says of them now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sage.grading.verifier import Verifier
from sage.hints.leak import find_leaks
from sage.method.records import Group, HintRequest, Visit
from sage.report.history import Entry
from sage.report.runs import Problem

EXAMPLES = 4
"""Hints shown of each level, at equal distances in the history."""


@dataclass(frozen=True)
class Example:
    prompt_id: str
    step: int
    group: Group
    recorded: str
    """Outcome of the last request for this level in the visit."""
    leaks: tuple[tuple[int, int], ...] | None
    """What the guard finds in the text now; None where the answer is not known."""

    @property
    def head(self) -> str:
        return f"step {self.step}, {self.group.successes}/{len(self.group.rollouts)} correct"

    @property
    def marked(self) -> Markup:
        """The hint as HTML, what the guard finds highlighted."""
        text, end, marked = self.group.hint or "", 0, Markup()
        for first, last in self.leaks or ():
            marked += Markup("{}<mark>{}</mark>").format(text[end:first], text[first:last])
            end = last
        return marked + text[end:]

    @property
    def verdict(self) -> str:
        if self.leaks is None:
            now = "not checked again: answer unknown (--data)"
        else:
            now = f"states the answer in {len(self.leaks)} places" if self.leaks else "no leak found"
        return f"When written: {self.recorded}. Guard now: {now}."

    @property
    def bad(self) -> bool:
        return bool(self.leaks) or self.recorded == "leak"


def outcome_of(visit: Visit, level: int) -> str:
    outcomes = [str(r.outcome) for r in visit.requests if r.level == level]
    return outcomes[-1] if outcomes else "no request: from a file, or from a request for another level"


def examples(entries: Sequence[Entry], problems: Mapping[str, Problem], verifier: Verifier) -> list[Example]:
    """Hints by level, each level spread over the training."""
    by_level: dict[int, list[tuple[Entry, Group]]] = {}
    for entry in entries:
        for group in entry.visit.groups:
            if group.hint is not None:
                by_level.setdefault(group.level, []).append((entry, group))
    chosen = []
    for _, own in sorted(by_level.items()):
        for entry, group in (own[place] for place in _spread(len(own))):
            prompt_id = entry.visit.prompt_id
            leaks = None
            if prompt_id in problems:
                leaks = tuple(find_leaks(group.hint or "", problems[prompt_id].answer, verifier))
            chosen.append(Example(prompt_id, entry.step, group, outcome_of(entry.visit, group.level), leaks))
    return chosen


@dataclass(frozen=True)
class Unused:
    """A request that gave no hint, with its answer."""

    prompt_id: str
    step: int
    request: HintRequest


def unused_answers(entries: Sequence[Entry]) -> list[Unused]:
    """Answers that gave no hint, by outcome, each outcome spread over the training."""
    by_outcome: dict[str, list[Unused]] = {}
    for entry in entries:
        for request in entry.visit.requests:
            if request.answer is not None:
                unused = Unused(entry.visit.prompt_id, entry.step, request)
                by_outcome.setdefault(str(request.outcome), []).append(unused)
    return [own[place] for _, own in sorted(by_outcome.items()) for place in _spread(len(own))]


def _spread(count: int) -> list[int]:
    """`EXAMPLES` places at equal distances."""
    return sorted({round(k * (count - 1) / max(1, EXAMPLES - 1)) for k in range(EXAMPLES)})


def outcome_counts(entries: Sequence[Entry]) -> tuple[Counter[str], Counter[str]]:
    """Hint requests by outcome, and levels without a hint by reason, over the whole run."""
    outcomes = Counter(str(r.outcome) for e in entries for r in e.visit.requests)
    return outcomes, Counter(str(f) for e in entries for f in e.visit.failures)
