"""Ways of rolling out one batch, over any engine: GRPO, SAGE behind a barrier, SAGE prompt by prompt.

Without a barrier a visit is the worker's own coroutine, `sage.method.visit.run_visit`; with one, the same schedule
decides after each group.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from sage.method.eagerness import Patience, make_worth
from sage.method.records import Action, Group, Hint, HintRequest, Prompt, RequestOutcome, Rollout, Visit, VisitPlan
from sage.method.schedule import SCHEDULES, Schedule
from sage.method.visit import Row, run_visit
from sage.planning.simulator.world import World


class Kind(str, Enum):
    PLAIN = "plain"
    HINT = "hint"
    HINTED = "hinted"
    REPEATED = "repeated"
    """A prompt that was resolved before, rolled out again."""


@dataclass(frozen=True)
class Request:
    """One sequence for the engine."""

    prompt: int
    kind: Kind
    level: int
    index: int
    context: int
    """Prompt tokens."""
    tokens: int
    """Tokens to generate."""
    priority: int = 0
    """Lower goes first among those that wait, as in vLLM."""


class Engine(Protocol):
    async def generate(self, request: Request) -> int:
        """Generate a request's tokens; returns how many there were."""


class Barrier(str, Enum):
    """Between the hint levels of a batch."""

    NONE = "none"
    UNRESOLVED = "unresolved"
    """Prompts that failed wait for each other."""
    WHOLE = "whole"
    """They do, and the whole batch is rolled out again with them."""


@dataclass(frozen=True)
class Strategy:
    """A way of rolling out a batch."""

    name: str
    schedule: str = "sage"
    barrier: Barrier = Barrier.NONE
    patience: Patience = 1.0
    """When the next level is begun (``sage.patience``)."""
    priority: bool = False
    """Requests wait in the order of `VisitPlan.priority` (``rollout.scheduling_policy=priority``), else of arrival."""

    def make_schedule(self, world: World) -> Schedule:
        return SCHEDULES[self.schedule](max_level=world.max_level, group_size=world.group_size)


STRATEGIES = {
    strategy.name: strategy
    for strategy in (
        Strategy("grpo", "grpo"),
        Strategy("barrier-whole", barrier=Barrier.WHOLE),
        Strategy("barrier-unresolved", barrier=Barrier.UNRESOLVED),
        Strategy("sage"),
        Strategy("sage-patience", patience=0.5),
        Strategy("sage-priority", priority=True),
        Strategy("sage-light", "sage-light"),
        Strategy("sage-calibrated", "sage-calibrated"),
        Strategy("sage-auto", patience="auto", priority=True),
        Strategy("sage-calibrated-auto", "sage-calibrated", patience="auto", priority=True),
        Strategy("sage-from-last-auto", "sage-from-last", patience="auto", priority=True),
    )
}


@dataclass
class Writer:
    """Stands for the visit's `HintWriter`: one request serves all levels."""

    ask: Callable[[], Awaitable[int]]
    requests: list[HintRequest] = field(default_factory=list)

    async def write(self, level: int) -> Hint:
        if not self.requests:
            self.requests.append(HintRequest(level, RequestOutcome.USED, await self.ask(), 0.0))
        return Hint(level, f"hint {level}")


@dataclass
class Batch:
    world: World
    strategy: Strategy
    engine: Engine
    plans: Sequence[VisitPlan]
    """Of each prompt, in the order of submission."""
    tokens: Counter[Kind] = field(default_factory=Counter)
    """Generated so far."""

    async def run(self) -> list[Visit]:
        """Roll out; the visits in the order of the prompts."""
        self.schedule = self.strategy.make_schedule(self.world)
        if self.strategy.barrier is not Barrier.NONE:
            return await self._with_barrier()
        return list(await asyncio.gather(*map(self._visit, range(self.world.prompts))))

    async def _generate(
        self, kind: Kind, prompt: int, level: int, index: int, context: int, tokens: int, early: int = 0
    ) -> int:
        priority = self.plans[prompt].priority(early) if self.strategy.priority else 0
        done = await self.engine.generate(Request(prompt, kind, level, index, context, tokens, priority))
        self.tokens[kind] += done
        return done

    async def _hint(self, prompt: int) -> int:
        world = self.world
        context = world.prompt_tokens + world.solution_tokens
        return await self._generate(Kind.HINT, prompt, 1, 0, context, world.hint_request_tokens(prompt))

    def _group(self, prompt: int, level: int, kind: Kind, early: int = 0) -> list[Row[int]]:
        """Starts rollouts of a group; the payloads are their places in it."""
        world = self.world

        async def one(index: int) -> tuple[Rollout, int]:
            length = world.tokens(prompt, level, index)
            tokens = await self._generate(kind, prompt, level, index, world.context(level), length, early)
            correct = world.correct(prompt, level, index)
            return Rollout(float(correct), correct, tokens), index

        return [asyncio.create_task(one(index)) for index in range(self.schedule.rollouts(level))]

    async def _visit(self, prompt: int) -> Visit:
        def roll_out(hint: Hint | None, early: int) -> list[Row[int]]:
            return self._group(prompt, hint.level if hint else 0, Kind.HINTED if hint else Kind.PLAIN, early)

        visit, _ = await run_visit(
            Prompt(str(prompt), "", "", ""),
            self.schedule,
            self.plans[prompt].levels,
            Writer(lambda: self._hint(prompt)),
            roll_out,
            make_worth(self.strategy.patience, self.plans[prompt]),
        )
        return visit

    async def _with_barrier(self) -> list[Visit]:
        """All prompts at level 0, then those that failed at level 1, and so on; see `Barrier`."""
        prompts = range(self.world.prompts)
        groups: list[list[Group]] = [[] for _ in prompts]
        decisions = {}
        active, level, hinted = set(prompts), 0, set[int]()
        while active:
            if level:
                await asyncio.gather(*(self._hint(prompt) for prompt in prompts if prompt in active - hinted))
                hinted |= active
            again = prompts if self.strategy.barrier is Barrier.WHOLE else [p for p in prompts if p in active]
            kinds = {p: (Kind.HINTED if level else Kind.PLAIN) if p in active else Kind.REPEATED for p in again}
            started = {p: self._group(p, level, kinds[p]) for p in again}
            for prompt, rows in started.items():
                rollouts = tuple(rollout for rollout, _ in await asyncio.gather(*rows))
                if prompt in active:
                    groups[prompt].append(Group(level, rollouts, f"hint {level}" if level else None))
                    decisions[prompt] = self.schedule.after_group(groups[prompt][-1], self.plans[prompt].levels)
            active = {prompt for prompt in active if decisions[prompt].action is Action.RAISE}
            level += 1
        return [
            Visit(str(prompt), self.plans[prompt].levels, tuple(groups[prompt]), decisions[prompt])
            for prompt in prompts
        ]


def same_decisions(first: Iterable[Visit], second: Iterable[Visit]) -> bool:
    """Whether two ways of rolling out a batch tried the same levels and accepted the same groups."""

    def decided(visits: Iterable[Visit]) -> list[tuple[object, ...]]:
        return [(v.prompt_id, v.decision, [(g.level, g.rollouts) for g in v.groups]) for v in visits]

    return decided(first) == decided(second)
