r"""Whether a model could be marked right at all: each reference answer, tried on the verifier as a response."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from sage.evaluation.problems import Problem
from sage.grading.choices import choice
from sage.grading.no_answer import is_placeholder, why_no_mathematics
from sage.grading.pool import available_cores
from sage.grading.verifier import AnswerChecker, ExactVerifier, MathVerifier, Verifier, guarded, try_response

LETTERS_ALONE = 0.1
"""The share of answers from which on letters of which the question says nothing mean that options were lost; fewer may
be answers, as to the question for a pattern's next letter."""
SHOWN = 5

logger = logging.getLogger(__name__)


def why_unreachable(problem: Problem, verifier: Verifier) -> str | None:
    """Why no response can be correct, in a few words; None where one can."""
    answer, own = problem.answer, [problem.response] if problem.response else []
    if isinstance(verifier, AnswerChecker):
        said = guarded(verifier, lambda: verifier.why_unverifiable(answer, own))
        return f"the verifier fails at it ({said})" if isinstance(said, Exception) else said
    if is_placeholder(answer, words=not isinstance(verifier, ExactVerifier)):
        return "stands for no answer"
    if isinstance(verifier, MathVerifier) and (why := why_no_mathematics(answer)):
        return why
    for response in (*own, rf"\boxed{{{answer}}}", answer):
        correct = try_response(verifier, response, answer)
        if isinstance(correct, Exception):
            return f"the verifier fails at it ({type(correct).__name__}: {correct})"
        if correct:
            return None
    return "the verifier does not accept it for itself"


def letter_alone(problem: Problem) -> bool:
    """Whether the answer is a letter, as of an option, that the question does not name."""
    letter = None if problem.choices else choice(problem.answer)
    return letter is not None and not re.search(rf"(?<![A-Za-z]){letter}(?![A-Za-z])", problem.question)


def check_references(where: str, problems: Sequence[Problem], verifier: Verifier, private: bool = False) -> str | None:
    r"""Refuse a benchmark that has answers which cannot be reached.

    Args:
        where: its file, for the message.
        problems: its problems.
        verifier: grades the responses.
        private: whether no text may be shown.

    Returns:
        A remark where nothing could be found out: a verifier of one's own that accepts neither ``\boxed{answer}`` nor
        the bare answer for any problem, and no problem that brings a response.

    Raises:
        ValueError: there are such answers; the message tells how many, and names the first rows.
    """
    with ThreadPoolExecutor(available_cores()) as threads:
        found = list(threads.map(lambda problem: why_unreachable(problem, verifier), problems))
    alone = [problem.row for problem in problems if isinstance(verifier, MathVerifier) and letter_alone(problem)]
    if alone:
        rows = f"{len(alone)} of {len(problems)} answers are letters that their questions do not name (row {alone[0]})"
        if len(alone) >= LETTERS_ALONE * len(problems):
            raise ValueError(f"{where}: {rows}; give the options as a list in a column 'options', or --verifier exact")
        logger.warning("%s: %s; if they are options, give these as a list in a column 'options'", where, rows)
    bad = [(problem, why) for problem, why in zip(problems, found, strict=True) if why]
    if not bad:
        return None
    own = not isinstance(verifier, (MathVerifier, ExactVerifier, AnswerChecker))
    if own and len(bad) == len(problems) and not any(problem.response for problem in problems):
        return (
            rf"{where}: not checked whether its answers can be reached; the verifier accepts none of them as \boxed{{}}"
        )
    named = "; ".join(
        f"row {problem.row}" + ("" if private else f", {_short(problem.answer)}") + f": {why}"
        for problem, why in bad[:SHOWN]
    )
    raise ValueError(
        f"{where}: {len(bad)} of {len(problems)} answers can never be scored as correct ({named}"
        f"{'; ...' if len(bad) > SHOWN else ''}); mend them, take the rows out, or name another --verifier"
    )


def _short(answer: str) -> str:
    text = repr(answer)
    return text if len(text) <= 60 else f"{text[:56]}...{text[0]}"
