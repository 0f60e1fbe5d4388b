"""The checks of single records, and the one of a record against those before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sage.data.preparation.contamination import ContaminationIndex
from sage.data.preparation.rows import (
    Dropped,
    Reason,
    Record,
    Trace,
    exact_id,
    exact_problem,
    normalise_problem,
    text_id,
)
from sage.data.preparation.truths import bare_answer, boxed_response
from sage.grading.no_answer import is_placeholder, why_no_mathematics
from sage.grading.verifier import AnswerChecker, ExactVerifier, MathVerifier, Verifier, guarded, try_response

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
        if why := self._why_unverifiable(outcome):
            return Dropped(record.row, record.prompt_id, Reason.UNVERIFIABLE_ANSWER, why)
        return self._why_contaminated(outcome) or self._with_response(outcome)

    def _choose_trace(self, record: Record, traces: Sequence[Trace]) -> Record | Dropped:
        """The shortest accepted trace below the limit, complete ones first."""
        if self.recheck_traces:
            accepted = [t for t in traces if try_response(self.verifier, t.text, record.answer) is True]
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

    def _why_unverifiable(self, record: Record) -> str | None:
        """Why no response could be found correct. A verifier may say so itself (`AnswerChecker`)."""
        verifier, answer = self.verifier, record.answer
        responses = [text for text in (record.reference_response, record.solution) if text]
        if isinstance(verifier, AnswerChecker):
            why = guarded(verifier, lambda: verifier.why_unverifiable(answer, responses))
            return f"the verifier fails at it ({why})" if isinstance(why, Exception) else why
        if is_placeholder(answer, words=not isinstance(verifier, ExactVerifier)):
            return f"{answer[:200]!r} stands for no answer"
        if isinstance(verifier, MathVerifier):
            if why := why_no_mathematics(answer):
                return f"{answer[:200]!r} is {why}"
            try:
                bare = bare_answer(answer)
            except ValueError as error:
                return f"it has {error}"
            if bare != answer:
                return None if verifier.is_correct(rf"\boxed{{{bare}}}", answer) else f"it is {bare[:200]!r} and more"
        for response in (rf"\boxed{{{answer}}}", *responses):
            correct = try_response(verifier, response, answer)
            if isinstance(correct, Exception):
                return f"the verifier fails at it ({type(correct).__name__}: {correct})"
            if correct:
                return None
        others = " nor the row's own response" if responses else ""
        if not isinstance(verifier, (MathVerifier, ExactVerifier)):
            others += " (a column reference_response, or a method why_unverifiable of the verifier, may say more)"
        return rf"the verifier does not accept \boxed{{{answer[:200]}}}{others} for it"

    def _with_response(self, record: Record) -> Record:
        """The record with its solution in a form that the verifier reads, where the row brings none."""
        if record.reference_response or not record.solution:
            return record
        response = boxed_response(record.solution, record.answer)
        if response is None or try_response(self.verifier, response, record.answer) is not True:
            return record
        return replace(record, reference_response=response)

    def _why_contaminated(self, record: Record) -> Dropped | None:
        if self.contamination is None or (overlap := self.contamination.find(record.problem)) is None:
            return None
        return Dropped(record.row, record.prompt_id, Reason.CONTAMINATED, str(overlap))


@dataclass(frozen=True)
class _Kept:
    row: int
    prompt_id: str
    exact: int
    """Hash of `exact_problem`."""
    answer: str


class Seen:
    """The problems and ids of all records that were kept; some 400 bytes for each.

    Args:
        verifier: decides whether two answers agree.
        renames: whether a record whose id was made from its text gets another one where that id is taken.
    """

    def __init__(self, verifier: Verifier, renames: bool = True) -> None:
        self._verifier = verifier
        self._renames = renames
        self._ids: set[str] = set()
        self._by_text: dict[int, list[_Kept]] = {}  # by hash of the normalised problem

    def add(self, record: Record) -> Record | Dropped:
        """Enter a record: the record with its final id, or why it may not be kept.

        Problems that differ in case, superscripts or blanks only are the same where their answers agree; where those
        differ, so do the problems, unless even these agree.
        """
        alike = self._by_text.setdefault(hash(normalise_problem(record.problem)), [])
        exact = hash(exact_problem(record.problem))
        for kept in alike:
            same = f"the same problem as row {kept.row} ({kept.prompt_id}), which is kept"
            if self._agree(record.answer, kept.answer):
                return Dropped(record.row, record.prompt_id, Reason.DUPLICATE, same)
            if exact == kept.exact:
                what = f"{same} with {kept.answer[:200]!r}, not {record.answer[:200]!r}"
                return Dropped(record.row, record.prompt_id, Reason.CONFLICTING_DUPLICATE, what)
        if self._renames and record.prompt_id in self._ids and record.prompt_id == text_id(record.problem):
            record = replace(record, prompt_id=exact_id(record.problem))
        if record.prompt_id in self._ids:
            what = "another problem has this id; the first one is kept"
            return Dropped(record.row, record.prompt_id, Reason.REPEATED_ID, what)
        self._ids.add(record.prompt_id)
        alike.append(_Kept(record.row, record.prompt_id, exact, record.answer))
        return record

    def _agree(self, answer: str, other: str) -> bool:
        verifier = self._verifier
        return (
            answer == other
            or try_response(verifier, rf"\boxed{{{answer}}}", other) is True
            or guarded(verifier, lambda: verifier.same_answer(answer, other)) is True
        )
