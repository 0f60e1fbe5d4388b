"""One rollout phase on the virtual clock, and the least that any schedule could need."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sage.method.records import Visit, VisitPlan
from sage.method.state import StateStore
from sage.planning.simulator.engine import Cluster, SimulatedEngine, StepTimes, VirtualLoop
from sage.planning.simulator.strategies import Batch, Kind, Request, Strategy
from sage.planning.simulator.world import World

Timeline = Sequence[tuple[float, int]]
"""(time, running sequences from then on) of one engine."""


@dataclass(frozen=True)
class Machine:
    """The engines that share a batch."""

    times: StepTimes
    engines: int
    slots: int
    """Most sequences of an engine (``max_num_seqs``)."""


@dataclass(frozen=True)
class Result:
    visits: tuple[Visit, ...]
    tokens: dict[Kind, int]
    wasted: int
    """Further tokens, of requests that were aborted."""
    makespan: float
    """Seconds until the last visit is done."""
    shares: dict[Kind, float]
    """Part of the engines' time in which each kind of request ran; the rest is idle."""
    occupancy: tuple[float, ...]
    """Mean part of the slots that was taken, in each tenth of the makespan."""


def earlier_visits(world: World, strategy: Strategy, visits: int) -> list[VisitPlan]:
    """Plans of the prompts after earlier visits with other draws of the same prompts.

    Plans are what the driver makes of those visits' outcomes (`StateStore`). Visits are ten steps apart. Without
    earlier visits the driver has seen as many first visits of other prompts.
    """

    class Instant:
        async def generate(self, request: Request) -> int:
            return request.tokens

    store = StateStore(strategy.make_schedule(world))
    prompts = range(world.prompts)
    plans: list[VisitPlan] = []
    for number in range(max(1, visits) + 1):
        step = 10 * number
        names = [f"{prompt}" if visits or not number else f"another {prompt}" for prompt in prompts]
        plans = [store.plan(name, step, 0.5) for name in names]
        if number < max(1, visits):
            past = replace(world, visit=-1 - number)
            done = asyncio.run(Batch(past, replace(strategy, patience=1.0), Instant(), plans).run())
            store.update(done, step)
    return plans


def simulate(world: World, strategy: Strategy, machine: Machine, visits: int = 2) -> Result:
    """Roll out one batch on the virtual clock."""
    plans = earlier_visits(world, strategy, visits)
    loop = VirtualLoop()
    engines = [SimulatedEngine(loop, machine.times, machine.slots) for _ in range(machine.engines)]
    batch = Batch(world, strategy, Cluster(engines, random.Random(world.seed)), plans)
    try:
        done = loop.run_until_complete(batch.run())
        makespan = loop.time()
    finally:
        loop.close()
    total = makespan * machine.engines
    shares = {kind: sum(engine.seconds[kind] for engine in engines) / total for kind in Kind}
    taken = occupancy([engine.timeline for engine in engines], makespan, machine.slots)
    wasted = sum(engine.wasted for engine in engines)
    return Result(tuple(done), dict(batch.tokens), wasted, makespan, shares, taken)


def occupancy(timelines: Sequence[Timeline], makespan: float, slots: int) -> tuple[float, ...]:
    """Mean part of the slots of all engines that is taken, in each tenth of the makespan."""
    filled = [0.0] * 10
    width = makespan / 10
    for timeline in timelines:
        for (begin, running), (end, _) in zip(timeline, [*timeline[1:], (makespan, 0)], strict=True):
            for place in range(int(begin / width), min(10, int(end / width) + 1)):
                filled[place] += running * max(0.0, min(end, (place + 1) * width) - max(begin, place * width))
    return tuple(f / (width * len(timelines) * slots) for f in filled)


@dataclass(frozen=True)
class Bound:
    """The least that Algorithm 1 needs, whatever the order of its requests."""

    tokens: int
    """Tokens of all groups up to the first with a correct rollout, and of their hints."""
    work: float
    """Seconds for them if all engines always ran at their best throughput."""
    critical_path: float
    """Seconds of the longest visit alone: the longest rollout of each group and the hints, each at the fastest step."""

    @property
    def makespan(self) -> float:
        """No schedule can be faster."""
        return max(self.work, self.critical_path)


def lower_bound(world: World, machine: Machine) -> Bound:
    """The bound, from the world alone: no schedule and no engine is run."""
    times = machine.times
    fastest = min(times.step(b) for b in range(1, machine.slots + 1))
    per_token = min(times.step(b) / b for b in range(1, machine.slots + 1))
    tokens, joining, path = 0, 0.0, 0.0
    for prompt in range(world.prompts):
        hint, chain = 0, 0.0
        for level in range(min(world.solved_from[prompt], world.max_level) + 1):
            if level == 1:
                hint = world.hint_request_tokens(prompt)
                join = times.join(world.prompt_tokens + world.solution_tokens)
                joining += join
                chain += hint * fastest + join
            lengths = [world.tokens(prompt, level, i) for i in range(world.group_size)]
            tokens += sum(lengths)
            joining += len(lengths) * times.join(world.context(level))
            chain += max(lengths) * fastest + times.join(world.context(level))
        tokens += hint
        path = max(path, chain)
    return Bound(tokens, (tokens * per_token + joining) / machine.engines, path)
