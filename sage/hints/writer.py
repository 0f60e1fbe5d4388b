"""Hint writing for one visit: ask, read, check for leaks, retry."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sage.grading.verifier import Verifier
from sage.hints.leak import find_leaks, redact
from sage.hints.parsing import parse_hint, parse_hints
from sage.hints.sources import Reply
from sage.method.records import Hint, HintFailure, HintRequest, Prompt, RequestOutcome

Ask = Callable[[int, int], Awaitable[Reply | HintFailure]]
"""``await ask(level, attempt)``: one hint request, attempts of a level counted from 0. A failure: cannot ask."""


@dataclass(frozen=True)
class HintRules:
    """How hints are asked for and checked (the ``sage:`` block of the config)."""

    max_level: int
    request: str
    """``json`` (one request for all levels), ``level`` (one a request) or ``verbatim`` (the reply is the hint)."""
    retries: int
    """Further requests for a level whose hint could not be used."""
    leak: str
    """``refuse`` (and retry) or ``redact`` a hint that states the final answer."""


def request_seed(*parts: object) -> int:
    """A sampling seed that differs for every request, so that a retry is a new draw, and repeats with the run."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=4).digest(), "big") >> 1


@dataclass
class HintWriter:
    """Writes the hints of one visit.

    In ``json`` mode the levels of one answer are kept for the rest of the visit, so a truncated answer still serves
    the levels that it holds.
    """

    prompt: Prompt
    rules: HintRules
    verifier: Verifier
    ask: Ask
    fits: Callable[[str], bool]
    """Whether the prompt with this hint respects the prompt length."""
    requests: list[HintRequest] = field(default_factory=list)
    _kept: dict[int, str] = field(default_factory=dict)

    async def write(self, level: int) -> Hint | HintFailure:
        """The hint of a level, or why there is none."""
        if level in self._kept:
            return Hint(level, self._kept[level])
        outcome = RequestOutcome.PARSE
        for attempt in range(1 + self.rules.retries):
            tokens, seconds = 0, 0.0
            try:
                reply = await self.ask(level, attempt)
                if isinstance(reply, HintFailure):
                    return reply
                tokens, seconds = reply.tokens, reply.seconds
                outcome = await asyncio.to_thread(self._read, reply.text, level)  # comparing answers takes milliseconds
            except asyncio.CancelledError:
                self.requests.append(HintRequest(level, RequestOutcome.ABORTED, tokens, seconds))
                raise
            self.requests.append(HintRequest(level, outcome, tokens, seconds))
            if level in self._kept:
                return Hint(level, self._kept[level])
        return HintFailure(outcome.value)

    def _read(self, text: str, level: int) -> RequestOutcome:
        """Keep the usable hints of an answer; the outcome is that of ``level``."""
        if self.rules.request == "json":
            found = parse_hints(text, range(level, self.rules.max_level + 1))
        else:
            hint = text if self.rules.request == "verbatim" else parse_hint(text, level)
            found = {level: hint} if hint else {}
        outcome = RequestOutcome.PARSE
        for found_level, hint in found.items():
            checked, result = self._check(hint)
            if checked is not None:
                self._kept[found_level] = checked
            if found_level == level:
                outcome = result
        return outcome

    def _check(self, hint: str) -> tuple[str | None, RequestOutcome]:
        outcome = RequestOutcome.USED
        if leaks := find_leaks(hint, self.prompt.answer, self.verifier):
            if self.rules.leak == "refuse":
                return None, RequestOutcome.LEAK
            hint, outcome = redact(hint, leaks), RequestOutcome.REDACTED
        if not self.fits(hint):
            return None, RequestOutcome.PROMPT_TOO_LONG
        return hint, outcome
