"""Ways of rolling out one batch, over any engine: GRPO, SAGE behind a barrier, SAGE prompt by prompt.

Without a barrier a visit is the worker's own coroutine, `sage.visit.run_visit`; with one, the same schedule decides
after each group.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Protocol, cast

from sage.hinting import HintWriter
from sage.records import Action, Group, Hint, HintRequest, Prompt, RequestOutcome, Rollout, Visit
from sage.schedule import SCHEDULES, Plan, Schedule
from sage.simulator.world import World
from sage.visit import run_visit


class Kind(str, Enum):
    """What a request is for."""

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
    """What rolls out."""

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
    early_hint: float | None = None
    """Ask for the hint once this part of a group has finished and failed, instead of the whole group."""
    speculate: float | None = None
    """Launch the next level's group as well then; it is aborted if a rollout still turns out correct."""
    priority: str = ""
    """Which of the waiting requests go first: those of higher ``level``, those of earlier prompts (``prompt``), or
    those that came first."""
    hard_first: bool = False
    """Prompts that needed more in their last visit are submitted first."""

    def make_schedule(self, world: World) -> Schedule:
        """The schedule that decides."""
        return SCHEDULES[self.schedule](max_level=world.max_level, group_size=world.group_size)


STRATEGIES = {
    strategy.name: strategy
    for strategy in (
        Strategy("grpo", "grpo"),
        Strategy("barrier-whole", barrier=Barrier.WHOLE),
        Strategy("barrier-unresolved", barrier=Barrier.UNRESOLVED),
        Strategy("sage"),
        Strategy("sage-ordered", priority="level", hard_first=True),
        Strategy("sage-speculative", speculate=0.5),
        Strategy("sage-light", "sage-light"),
        Strategy("sage-calibrated", "sage-calibrated"),
    )
}


@dataclass
class Writer:
    """Stands for the visit's `HintWriter`: one request serves all levels."""

    ask: Callable[[], asyncio.Task[int]]
    requests: list[HintRequest] = field(default_factory=list)
    _asked: asyncio.Task[int] | None = None

    def prefetch(self) -> None:
        """Ask now, if that was not done yet."""
        self._asked = self._asked or self.ask()

    async def write(self, level: int) -> Hint:
        """The hint of a level."""
        self.prefetch()
        assert self._asked is not None
        tokens = await self._asked
        self.requests = [HintRequest(level, RequestOutcome.USED, tokens, 0.0)]
        return Hint(level, f"hint {level}")


@dataclass
class Batch:
    """One batch on its way through an engine."""

    world: World
    strategy: Strategy
    engine: Engine
    plans: Sequence[Plan]
    """Levels to try, of each prompt."""
    order: Sequence[int]
    """Prompts in the order of submission."""
    tokens: Counter[Kind] = field(default_factory=Counter)
    """Generated so far."""

    async def run(self) -> list[Visit]:
        """Roll out; the visits in the order of the prompts."""
        self.schedule = self.strategy.make_schedule(self.world)
        self._rank = {prompt: rank for rank, prompt in enumerate(self.order)}
        if self.strategy.barrier is not Barrier.NONE:
            return await self._with_barrier()
        visits = await asyncio.gather(*(self._visit(prompt) for prompt in self.order))
        by_prompt = dict(zip(self.order, visits, strict=True))
        return [by_prompt[prompt] for prompt in range(self.world.prompts)]

    async def _generate(self, kind: Kind, prompt: int, level: int, index: int, context: int, tokens: int) -> int:
        priority = {"": 0, "level": -level, "prompt": self._rank[prompt]}[self.strategy.priority]
        done = await self.engine.generate(Request(prompt, kind, level, index, context, tokens, priority))
        self.tokens[kind] += done
        return done

    async def _hint(self, prompt: int) -> int:
        world = self.world
        context = world.prompt_tokens + world.solution_tokens
        return await self._generate(Kind.HINT, prompt, 1, 0, context, world.hint_request_tokens(prompt))

    async def _group(
        self, prompt: int, level: int, kind: Kind, failed: Callable[[int], None] = lambda count: None
    ) -> tuple[Rollout, ...]:
        """One group; ``failed`` hears how many have failed, each time, as long as none is correct."""
        world = self.world
        failures, solved = 0, False

        async def one(index: int) -> Rollout:
            nonlocal failures, solved
            length = world.tokens(prompt, level, index)
            tokens = await self._generate(kind, prompt, level, index, world.context(level), length)
            correct = world.correct(prompt, level, index)
            solved = solved or correct
            failures += not correct
            if not solved:
                failed(failures)
            return Rollout(float(correct), correct, tokens)

        return tuple(await asyncio.gather(*(one(i) for i in range(self.schedule.rollouts(level)))))

    async def _visit(self, prompt: int) -> Visit:
        plan, size = self.plans[prompt], self.world.group_size
        early, speculate = self.strategy.early_hint, self.strategy.speculate
        writer = Writer(lambda: asyncio.create_task(self._hint(prompt)))
        launched: dict[int, asyncio.Task[tuple[Rollout, ...]]] = {}

        async def group(level: int) -> tuple[Rollout, ...]:
            if level:
                await writer.write(level)
            return await self._group(prompt, level, Kind.HINTED if level else Kind.PLAIN, partial(failed, level))

        def failed(level: int, count: int) -> None:
            if level == plan[-1]:
                return
            if early is not None and count >= early * size:
                writer.prefetch()
            following = min(n for n in plan if n > level)
            if speculate is not None and count >= speculate * size and following not in launched:
                launched[following] = asyncio.create_task(group(following))

        async def roll_out(hint: Hint | None) -> tuple[tuple[Rollout, ...], Sequence[int]]:
            level = hint.level if hint else 0
            rollouts = await (launched[level] if level in launched else group(level))
            return rollouts, range(len(rollouts))

        record = Prompt(str(prompt), "", "", "")
        visit, _ = await run_visit(record, self.schedule, plan, cast(HintWriter, writer), roll_out)
        for level, task in launched.items():
            if level > visit.groups[-1].level:
                task.cancel()
        return visit

    async def _with_barrier(self) -> list[Visit]:
        """All prompts at level 0, then those that failed at level 1, and so on; see `Barrier`."""
        groups: list[list[Group]] = [[] for _ in self.order]
        decisions = {}
        active, level, hinted = set(self.order), 0, set[int]()
        while active:
            if level:
                await asyncio.gather(*(self._hint(prompt) for prompt in self.order if prompt in active - hinted))
                hinted |= active
            again = self.order if self.strategy.barrier is Barrier.WHOLE else [p for p in self.order if p in active]
            kinds = {p: (Kind.HINTED if level else Kind.PLAIN) if p in active else Kind.REPEATED for p in again}
            results = await asyncio.gather(*(self._group(p, level, kinds[p]) for p in again))
            for prompt, rollouts in zip(again, results, strict=True):
                if prompt in active:
                    groups[prompt].append(Group(level, rollouts, f"hint {level}" if level else None))
                    decisions[prompt] = self.schedule.after_group(groups[prompt][-1], self.plans[prompt])
            active = {prompt for prompt in active if decisions[prompt].action is Action.RAISE}
            level += 1
        return [
            Visit(str(prompt), self.plans[prompt], tuple(groups[prompt]), decisions[prompt])
            for prompt in range(self.world.prompts)
        ]


def same_decisions(first: Iterable[Visit], second: Iterable[Visit]) -> bool:
    """Whether two ways of rolling out a batch tried the same levels and accepted the same groups."""

    def decided(visits: Iterable[Visit]) -> list[tuple[object, ...]]:
        return [(v.prompt_id, v.decision, [(g.level, g.rollouts) for g in v.groups]) for v in visits]

    return decided(first) == decided(second)
