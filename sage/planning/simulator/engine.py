"""A model of continuous-batching engines on a virtual clock.

An engine runs up to ``slots`` sequences; a step gives each of them one token and takes a time that depends on how many
there are. Waiting requests join at the next step with a free slot; their prompts are read in that step and lengthen it.
Between such events nothing changes, so whole stretches of steps are one event.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import random
import selectors
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import MinLen

from sage.planning.simulator.strategies import Kind, Request
from sage.support.values import Count, Positive, Share


class _Jump(selectors.SelectSelector):
    """Waits for no one: time goes to the next timer."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("every coroutine waits, and no timer is set: the simulation is stuck")
        self.loop.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's event loop on a clock that jumps from timer to timer; for coroutines without real input or output."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = _Jump()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Virtual seconds."""
        return self.now


@dataclass(frozen=True)
class StepTimes:
    """How long an engine's steps take, in seconds."""

    decode: Annotated[tuple[tuple[Count, Positive], ...], MinLen(1)]
    """(running sequences, step time), rising; linear between, and beyond them, but never below the nearest two."""
    prefill_token: Share
    """Added for each prompt token."""
    request: Share = 0.0
    """Added for each request that joins."""

    def step(self, running: int) -> float:
        """Time of a step without new requests."""
        if len(self.decode) == 1:
            return self.decode[0][1]
        place = min(max(1, bisect_right(self.decode, (running, math.inf))), len(self.decode) - 1)
        (b0, t0), (b1, t1) = self.decode[place - 1], self.decode[place]
        return max(min(t0, t1), t0 + (t1 - t0) * (running - b0) / (b1 - b0))

    def join(self, context: int) -> float:
        """What a new request adds to the step in which it joins."""
        return self.request + self.prefill_token * context


ASSUMED = StepTimes(((1, 0.01205), (256, 0.0248)), 3e-5)
"""A 7B model in bf16 on an H100, not measured: 12 ms, and 0.05 ms for each running sequence."""


@dataclass
class SimulatedEngine:
    loop: asyncio.AbstractEventLoop
    times: StepTimes
    slots: int
    batched_tokens: int = 8192
    """Most tokens of a step (``max_num_batched_tokens``)."""
    seconds: dict[Kind, float] = field(default_factory=lambda: dict.fromkeys(Kind, 0.0))
    """Time in which requests of each kind ran; a step's time is shared among its sequences."""
    timeline: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)])
    """(time, running sequences from then on)."""
    wasted: int = 0
    """Tokens of requests that were aborted."""
    _aborted: bool = False
    _waiting: list[tuple[int, int, Request, asyncio.Future[int]]] = field(default_factory=list)
    _running: list[tuple[int, int, Request, asyncio.Future[int]]] = field(default_factory=list)
    _kinds: Counter[Kind] = field(default_factory=Counter)
    _submitted: int = 0
    _step: int = 0
    _begin: float = 0.0
    _length: int = 0
    """Steps of the stretch that began at ``_begin``."""
    _step_seconds: float = 0.0
    _timer: asyncio.TimerHandle | None = None

    async def generate(self, request: Request) -> int:
        """Implements `sage.planning.simulator.strategies.Engine`."""
        future: asyncio.Future[int] = self.loop.create_future()
        heapq.heappush(self._waiting, (request.priority, self._submitted, request, future))
        self._submitted += 1
        if self._timer is None:
            self._begin, self._length = self.loop.time(), 0
            self._timer = self.loop.call_at(self._begin, self._boundary)
        elif len(self._running) < self.slots:
            self._end_stretch()
        try:
            return await future
        except asyncio.CancelledError:
            self._aborted = True
            self._end_stretch()
            raise

    def _end_stretch(self) -> None:
        """Let the batch change at the end of the step that runs now."""
        if self._timer is None or self._length < 2:
            return
        steps = max(1, math.ceil((self.loop.time() - self._begin) / self._step_seconds - 1e-6))
        if steps < self._length:
            self._timer.cancel()
            self._length = steps
            self._timer = self.loop.call_at(self._begin + steps * self._step_seconds, self._boundary)

    def _boundary(self) -> None:
        now = self.loop.time()
        if self._running:
            share = (now - self._begin) / len(self._running)
            for kind, count in self._kinds.items():
                self.seconds[kind] += share * count
        self._step += self._length
        while self._running and self._running[0][0] <= self._step:
            _, _, request, future = heapq.heappop(self._running)
            self._kinds[request.kind] -= 1
            if not future.done():
                future.set_result(request.tokens)
        if self._aborted:
            self._drop_aborted()
        joining, budget = 0.0, self.batched_tokens - len(self._running)
        while self._waiting and len(self._running) < self.slots:
            _, number, request, future = self._waiting[0]
            if joining and request.context > budget:
                break
            heapq.heappop(self._waiting)
            heapq.heappush(self._running, (self._step + request.tokens, number, request, future))
            self._kinds[request.kind] += 1
            joining += self.times.join(request.context)
            budget -= request.context
        self.timeline.append((now, len(self._running)))
        self._begin = now
        if not self._running:
            self._timer = None
            return
        self._step_seconds = self.times.step(len(self._running)) + joining
        self._length = 1 if joining else self._running[0][0] - self._step
        self._timer = self.loop.call_at(now + self._length * self._step_seconds, self._boundary)

    def _drop_aborted(self) -> None:
        for finish, _, request, future in self._running:
            if future.cancelled():
                self._kinds[request.kind] -= 1
                self.wasted += request.tokens - (finish - self._step)
        for queue in (self._running, self._waiting):
            queue[:] = [entry for entry in queue if not entry[3].cancelled()]
            heapq.heapify(queue)
        self._aborted = False


@dataclass
class Cluster:
    """Several engines behind verl's load balancer: each request goes to the one with the fewest in flight."""

    engines: list[SimulatedEngine]
    rng: random.Random
    """Breaks ties."""

    def __post_init__(self) -> None:
        self._in_flight = [0] * len(self.engines)
        self._queue = [(0, self.rng.random(), i) for i in range(len(self.engines))]
        heapq.heapify(self._queue)

    async def generate(self, request: Request) -> int:
        """Implements `sage.planning.simulator.strategies.Engine`."""
        while self._queue[0][0] != self._in_flight[self._queue[0][2]]:
            heapq.heappop(self._queue)  # out of date
        chosen = self._queue[0][2]
        self._change(chosen, 1)
        try:
            return await self.engines[chosen].generate(request)
        finally:
            self._change(chosen, -1)

    def _change(self, engine: int, by: int) -> None:
        self._in_flight[engine] += by
        heapq.heappush(self._queue, (self._in_flight[engine], self.rng.random(), engine))
