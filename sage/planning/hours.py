"""Hours of a run on GPUs of a known kind, before it is made: arithmetic on what each phase computes and reads.

An estimate for the choice between settings. It counts floating-point operations and the bytes that decoding reads, at
the efficiencies stated below. The paper's own time of GRPO (25.3 h, Table 3) comes out within `MARGIN`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sage.method.records import Visit
from sage.method.schedule import Schedule
from sage.planning.budget import ModelShape, longest_plan

COMPUTE = 0.35
"""Part of a GPU's peak that training and prefill reach."""
BANDWIDTH = 0.7
"""Part of a GPU's memory bandwidth that decoding reaches."""
TOKEN_SECONDS = 0.004
"""Of each decoding step, whatever it computes: scheduler, sampler, kernel launches."""
STEP_SECONDS = 8.0
"""Of each training step: data, grading, logging, and the weights' way to the engines."""
MARGIN = 1.5
"""Factor by which the truth may lie above or below."""
MEAN_SHARE = 8
"""Without a measurement a response has 1 / MEAN_SHARE of its limit in the mean."""
FAILING = (0.35, 0.65, 0.8, 0.8)
"""Without a measurement: share of the groups at each hint level that all fail, the last one for levels above."""


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU, from its data sheet."""

    gigabytes: int
    teraflops: float
    """bfloat16, dense."""
    terabytes_second: float
    """Memory bandwidth."""


GPUS = {
    "a100": Gpu(80, 312, 2.04),
    "a100-40": Gpu(40, 312, 1.56),
    "a10": Gpu(24, 125, 0.6),
    "l40s": Gpu(48, 362, 0.86),
    "rtx4090": Gpu(24, 165, 1.01),
    "h100": Gpu(80, 989, 3.35),
    "h200": Gpu(141, 989, 4.8),
    "b200": Gpu(180, 2250, 8.0),
}


@dataclass(frozen=True)
class Habits:
    """How long responses are and how often groups fail: assumed, stated or measured."""

    response_tokens: float
    """In the mean."""
    failing: tuple[float, ...]
    """By hint level from 0 on: share of the groups that all fail; the last one holds above."""
    source: str

    @classmethod
    def assumed(cls, response_limit: int, response_tokens: float | None = None) -> Habits:
        """Without a run to look at. ``response_limit`` and ``response_tokens`` are in tokens."""
        if response_tokens is None:
            return cls(response_limit / MEAN_SHARE, FAILING, f"1/{MEAN_SHARE} of the limit, assumed")
        return cls(response_tokens, FAILING, "as stated")

    @classmethod
    def measured(cls, visits: Iterable[Visit], source: str) -> Habits:
        """From a run's history.

        Raises:
            ValueError: it holds no visit.
        """
        tokens = rollouts = 0
        groups: dict[int, list[bool]] = {}
        for visit in visits:
            for group in visit.groups:
                groups.setdefault(group.level, []).append(group.all_fail)
                tokens += group.tokens
                rollouts += sum(not rollout.reference for rollout in group.rollouts)
        if not rollouts:
            raise ValueError(f"{source} holds no visit")
        failing = [sum(groups[0]) / len(groups[0]) if 0 in groups else FAILING[0]]
        for level in range(1, max(groups) + 1):
            failing.append(sum(groups[level]) / len(groups[level]) if level in groups else failing[-1])
        return cls(tokens / rollouts, tuple(failing), f"as in {source}")

    def fails(self, level: int) -> float:
        """Share of the groups at a level that all fail."""
        return self.failing[min(level, len(self.failing) - 1)]


@dataclass(frozen=True)
class Workload:
    """What one run asks of its GPUs."""

    gpus: int
    engine_parallel: int
    """Tensor parallel ranks of an engine."""
    cache_tokens: int
    """Tokens that an engine's cache holds."""
    sequences: int
    """That an engine runs at once (``max_num_seqs``)."""
    prompts: int
    """Of a step."""
    prompt_tokens: float
    response_limit: int
    hint_tokens: float
    """Of one hint request's answer."""
    steps: int
    tests: int
    """How often the run is validated."""
    test_rollouts: int
    """Responses of one validation."""
    recomputed: bool
    """Whether activations are recomputed in the backward pass."""
    lora: bool
    """Whether only an adapter is trained."""


@dataclass(frozen=True)
class Hours:
    """Seconds of a step by phase, and hours of the run."""

    rollouts: float
    """Level 0, or the only group."""
    hints: tuple[float, float]
    """What hint requests and hinted groups add: if they fill gaps only, and if every level waits for the one before."""
    log_probs: float
    update: float
    rest: float
    test: float
    """Seconds of one validation."""
    steps: int
    tests: int

    @property
    def step(self) -> tuple[float, float]:
        """Seconds of a step, with the two values of `hints`."""
        fixed = self.rollouts + self.log_probs + self.update + self.rest
        return fixed + self.hints[0], fixed + self.hints[1]

    @property
    def training(self) -> tuple[float, float]:
        return self.step[0] * self.steps / 3600, self.step[1] * self.steps / 3600

    @property
    def validation(self) -> float:
        return self.test * self.tests / 3600

    @property
    def dominant(self) -> str:
        """The phase that takes longest, in words."""
        phases = {
            "rollouts": self.rollouts,
            "hinted rollouts": sum(self.hints) / 2,
            "log-probs": self.log_probs,
            "the update": self.update,
            "fixed costs": self.rest,
            "validation": self.test * self.tests / max(1, self.steps),
        }
        return max(phases, key=phases.__getitem__)


def estimate_hours(
    shape: ModelShape, gpu: Gpu, work: Workload, schedule: Schedule, max_level: int, habits: Habits
) -> Hours:
    """Hours of a run.

    Decoding is bound by memory: every step reads the weights and the cache of what runs. Training takes 6 operations a
    weight and token, 2 more where activations are recomputed, 2 fewer for an adapter; log-probabilities take 2.
    """
    decode = _Decoder(shape, gpu, work, habits)
    plan = longest_plan(schedule, max_level)
    first, *further = plan
    rows = work.prompts * schedule.rollouts(first)
    rollouts = decode.seconds(rows)
    gap_free = chain = 0.0
    reached = float(work.prompts)
    level = first
    if first:
        chain += decode.hint_seconds(work.prompts)
        gap_free += decode.hint_seconds(work.prompts)
    for above in further:
        reached *= habits.fails(level)
        level = above
        again = reached * schedule.rollouts(level)
        gap_free += decode.busy_seconds(again)
        chain += decode.seconds(again) + decode.hint_seconds(reached)
    rate = COMPUTE * gpu.teraflops * 1e12 * work.gpus
    length = work.prompt_tokens + habits.response_tokens
    attention = 2 * shape.layers * shape.heads * shape.head_dim * length**2  # causal, of one row over itself
    forward = work.prompts * schedule.group_size * (2 * shape.parameters * length + attention)
    passes = 3 + work.recomputed - work.lora
    return Hours(
        rollouts=rollouts,
        hints=(gap_free, chain),
        log_probs=forward / rate,
        update=passes * forward / rate,
        rest=STEP_SECONDS,
        test=decode.seconds(work.test_rollouts),
        steps=work.steps,
        tests=work.tests,
    )


@dataclass(frozen=True)
class _Decoder:
    """Seconds that the engines take."""

    shape: ModelShape
    gpu: Gpu
    work: Workload
    habits: Habits

    def _step(self, running: float) -> float:
        """One decoding step of an engine with so many sequences."""
        read = 2 * self.shape.parameters + running * self._length * self.shape.kv_bytes
        bandwidth = BANDWIDTH * self.gpu.terabytes_second * 1e12 * self.work.engine_parallel
        compute = (
            2 * self.shape.parameters * running / (COMPUTE * self.gpu.teraflops * 1e12 * self.work.engine_parallel)
        )
        return TOKEN_SECONDS + max(read / bandwidth, compute)

    @property
    def _length(self) -> float:
        """Tokens of a sequence in the cache, half-way through its response."""
        return self.work.prompt_tokens + self.habits.response_tokens / 2

    @property
    def _engines(self) -> float:
        return max(1, self.work.gpus // self.work.engine_parallel)

    def busy_seconds(self, rows: float) -> float:
        """Responses without their slowest one: as long as the engines have enough to do."""
        if rows <= 0:
            return 0.0
        each = rows / self._engines
        running = max(1.0, min(each, self.work.sequences, self.work.cache_tokens / max(1.0, self._length)))
        return each * self.habits.response_tokens * self._step(running) / running

    def seconds(self, rows: float) -> float:
        """Responses until the slowest one has ended, which is taken to reach the limit."""
        tail = max(0.0, self.work.response_limit - self.habits.response_tokens) * self._step(1) if rows > 0 else 0.0
        return self.busy_seconds(rows) + tail

    def hint_seconds(self, requests: float) -> float:
        """Answers to hint requests that begin together."""
        return self.work.hint_tokens * self._step(max(1.0, requests / self._engines)) if requests > 0 else 0.0
