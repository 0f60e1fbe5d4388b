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
from sage.method.records import LONGEST_ANSWER, Hint, HintFailure, HintRequest, Prompt, RequestOutcome

Ask = Callable[[int, int], Awaitable[Reply | HintFailure]]
"""``await ask(level, attempt)``: one hint request, attempts of a level counted from 0. A failure: cannot ask."""


@dataclass(frozen=True)
class HintRules:
    """How hints are asked for and checked (the ``sage:`` block of the config)."""

    max_level: int
    request: str
    """``json`` (one request for all levels), ``level`` (one a request) or ``verbatim`` (the reply is the hint)."""
    retries: int
    """Further requests in a visit, when a hint could not be used."""
    leak: str
    """``refuse`` (and retry) or ``redact`` a hint that states the final answer."""


def request_seed(*parts: object) -> int:
    """A sampling seed that differs for every request, so that a retry is a new draw, and repeats with the run."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=4).digest(), "big") >> 1


@dataclass
class HintWriter:
    """Writes the hints of one visit.

    In ``json`` mode the levels of one answer are kept for the rest of the visit, so a truncated answer still serves
    the levels that it holds. A hint that cannot be used is asked for again at most ``retries`` times in the whole
    visit; once these are used up by answers that cannot be read, no level is asked for any more.
    """

    prompt: Prompt
    rules: HintRules
    verifier: Verifier
    ask: Ask
    fits: Callable[[str], bool]
    """Whether the prompt with this hint respects the prompt length."""
    requests: list[HintRequest] = field(default_factory=list)
    _kept: dict[int, str] = field(default_factory=dict)
    _outcomes: dict[int, RequestOutcome] = field(default_factory=dict)
    """Of each level, how the last answer that was to serve it went."""
    _answers: dict[int, str] = field(default_factory=dict)
    """Of each level, that answer."""
    _retried: int = 0
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def write(self, level: int) -> Hint | HintFailure:
        """The hint of a level, or why there is none."""
        if self.rules.request != "json":
            return await self._write(level)
        async with self._asking:  # levels that are begun together share an answer
            return await self._write(level)

    async def _write(self, level: int) -> Hint | HintFailure:
        attempt = 0
        while level not in self._kept:
            again = attempt > 0 or (self.rules.request == "json" and level in self._outcomes)
            if again and not self._may_ask_again(attempt):
                return HintFailure(self._outcomes[level].value)
            if not again and self._hopeless:
                return HintFailure(self._hopeless.value)
            tokens, seconds = 0, 0.0
            try:
                reply = await self.ask(level, attempt)
                if isinstance(reply, HintFailure):
                    return reply
                tokens, seconds = reply.tokens, reply.seconds
                await asyncio.to_thread(self._read, reply, level)  # comparing answers takes milliseconds
            except asyncio.CancelledError:
                self.requests.append(HintRequest(level, RequestOutcome.ABORTED, tokens, seconds))
                raise
            answer = None if level in self._kept else reply.text[:LONGEST_ANSWER]
            self.requests.append(HintRequest(level, self._outcomes[level], tokens, seconds, answer))
            attempt += 1
        return Hint(level, self._kept[level])

    def last_answer(self, level: int) -> str | None:
        """The last answer that was to serve a level, or after which it was not asked for; None without answers."""
        if level in self._answers:
            return self._answers[level]
        return self.requests[-1].answer if self.requests else None

    def _may_ask_again(self, attempt: int) -> bool:
        if self.rules.request == "verbatim":
            return attempt <= self.rules.retries  # a file is read at no cost
        self._retried += 1
        return self._retried <= self.rules.retries

    @property
    def _hopeless(self) -> RequestOutcome | None:
        """Why nothing else is asked for in this visit: all retries are used up, and the last answer was unreadable."""
        spent = self.rules.request != "verbatim" and self._retried >= self.rules.retries
        last = self.requests[-1].outcome if self.requests else None
        return last if spent and last in (RequestOutcome.PARSE, RequestOutcome.CUT) else None

    def _read(self, reply: Reply, level: int) -> None:
        """Keep the usable hints of an answer, and note how it went for each level that it was to serve."""
        served = range(level, self.rules.max_level + 1) if self.rules.request == "json" else (level,)
        if self.rules.request == "json":
            found = parse_hints(reply.text, served, cut=reply.cut)
            if reply.cut and level not in found:
                found = {}  # what is counted as cut leaves nothing behind
        elif self.rules.request == "verbatim":
            found = {level: reply.text} if reply.text else {}
        else:
            hint = "" if reply.cut else parse_hint(reply.text, level)
            found = {level: hint} if hint else {}
        for each in served:
            self._answers[each] = reply.text[:LONGEST_ANSWER]
            self._outcomes[each] = RequestOutcome.CUT if reply.cut else RequestOutcome.PARSE
            if each in found:
                checked, self._outcomes[each] = self._check(found[each])
                if checked is not None:
                    self._kept[each] = checked

    def _check(self, hint: str) -> tuple[str | None, RequestOutcome]:
        outcome = RequestOutcome.USED
        if leaks := find_leaks(hint, self.prompt.answer, self.verifier):
            if self.rules.leak == "refuse":
                return None, RequestOutcome.LEAK
            hint, outcome = redact(hint, leaks), RequestOutcome.REDACTED
        if not self.fits(hint):
            return None, RequestOutcome.PROMPT_TOO_LONG
        return hint, outcome
