"""The checks of single records, and the one of a record against those before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sage.data.preparation.contamination import ContaminationIndex
from sage.data.preparation.rows import Dropped, Reason, Record, Trace, normalise_problem
from sage.grading.verifier import Verifier

PLACEHOLDERS = frozenset({"proof", "notfound", "not found", "none", "null", "nan", "n/a", "see solution"})
"""What data sets write where there is no final answer (the first two: NuminaMath, from which OpenR1 is made)."""

CountTokens = Callable[[str], int]


@dataclass(frozen=True)
class Checks:
    """The checks that need nothing but the record. Called from several threads at once."""

    verifier: Verifier
    contamination: ContaminationIndex | None = None
    max_trace_tokens: int | None = None
    """An accepted trace must have fewer tokens; None for any length."""
    count_tokens: CountTokens | None = None
    recheck_traces: bool = False
    """Whether the verifier accepts a trace, instead of the flag in the data."""

    def __call__(self, record: Record) -> Record | Dropped:
        """The record, with the trace chosen as its reference response; or why it is dropped."""
        outcome = record if record.traces is None else self._choose_trace(record, record.traces)
        if isinstance(outcome, Dropped):
            return outcome
        return self._why_unverifiable(outcome) or self._why_contaminated(outcome) or outcome

    def _choose_trace(self, record: Record, traces: Sequence[Trace]) -> Record | Dropped:
        """The shortest accepted trace below the limit, complete ones first."""
        if self.recheck_traces:
            accepted = [t for t in traces if self.verifier.is_correct(t.text, record.answer)]
        else:
            accepted = [t for t in traces if t.accepted]
        if not accepted:
            what = f"none of {len(traces)} traces is accepted by " + (
                "the verifier" if self.recheck_traces else "its flag"
            )
            return Dropped(record.row, record.prompt_id, Reason.NO_ACCEPTED_TRACE, what)
        shortest = 0
        for trace in sorted(accepted, key=lambda t: (not t.complete, len(t.text))):
            tokens = self._tokens(trace.text)
            if self.max_trace_tokens is None or tokens < self.max_trace_tokens:
                return replace(record, reference_response=trace.text, traces=None)
            shortest = min(shortest or tokens, tokens)
        what = f"the shortest accepted trace has {shortest} tokens, the limit is {self.max_trace_tokens}"
        return Dropped(record.row, record.prompt_id, Reason.TRACE_TOO_LONG, what)

    def _tokens(self, text: str) -> int:
        """Tokens of a text; 0 where it is surely below the limit, since no token is shorter than a byte."""
        if self.max_trace_tokens is None or len(text.encode()) < self.max_trace_tokens:
            return 0
        assert self.count_tokens is not None
        return self.count_tokens(text)

    def _why_unverifiable(self, record: Record) -> Dropped | None:
        if record.answer.strip(" .").casefold() in PLACEHOLDERS:
            what = f"{record.answer!r} stands for no answer"
        elif not self.verifier.is_correct(rf"\boxed{{{record.answer}}}", record.answer):
            what = rf"the verifier does not accept \boxed{{{record.answer[:200]}}} for it"
        else:
            return None
        return Dropped(record.row, record.prompt_id, Reason.UNVERIFIABLE_ANSWER, what)

    def _why_contaminated(self, record: Record) -> Dropped | None:
        if self.contamination is None or (overlap := self.contamination.find(record.problem)) is None:
            return None
        return Dropped(record.row, record.prompt_id, Reason.CONTAMINATED, str(overlap))


class Seen:
    """The problems and ids of all records that were kept; some 300 bytes for each."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._ids: set[str] = set()
        self._by_text: dict[int, tuple[int, str, str]] = {}  # hash of the problem -> row, id, answer

    def add(self, row: int, prompt_id: str, problem: str, answer: str) -> tuple[Reason, str] | None:
        """Enter a record; the reason and the details when it may not be kept."""
        key = hash(normalise_problem(problem))
        if key in self._by_text:
            first, first_id, first_answer = self._by_text[key]
            same = f"the same problem as row {first} ({first_id}), which is kept"
            if self._verifier.is_correct(rf"\boxed{{{answer}}}", first_answer):
                return Reason.DUPLICATE, same
            return Reason.CONFLICTING_DUPLICATE, f"{same} with {first_answer!r}, not {answer!r}"
        if prompt_id in self._ids:
            return Reason.REPEATED_ID, "another problem has this id; the first one is kept"
        self._ids.add(prompt_id)
        self._by_text[key] = (row, prompt_id, answer)
        return None
