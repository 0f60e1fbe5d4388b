"""Ways of rolling out SAGE's levels, measured on one vLLM engine on a CPU.

    source scripts/cpu_env.sh && python benchmarks/rollout_schedule.py --json benchmarks/results/rollout_schedule.json

The engine, its scheduler and its steps are real. Lengths and outcomes are not: every answer has a length drawn
beforehand (vLLM is told to stop there and nowhere else) and an outcome drawn beforehand, so that all ways roll out the
same prompts, hints and outcomes (`sage.simulator.world`). The engine has few enough slots that it is full at first and
has a tail, and its context is longer than the embedded model was trained for; what it writes does not matter here.

Repetition i rolls out batch i in every way, in an order that changes with i, and measures the engine's step times.
Ratios are taken within a repetition.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from sage.schedule import Plan
from sage.simulator.engine import StepTimes
from sage.simulator.simulate import Machine, earlier_visits, lower_bound, occupancy, simulate
from sage.simulator.strategies import STRATEGIES, Batch, Kind, Request, same_decisions
from sage.simulator.world import Lengths, World

MODEL = Path(__file__).parents[1] / "examples" / "opchain_base"
SLOTS = 32
WORLD = World(
    prompts=64,
    group_size=8,
    collapse=0.35,
    lengths=Lengths(38, 0.7, 256),
    hint_lengths=Lengths(24, 0.5, 96),
    prompt_tokens=32,
    solution_tokens=32,
    hint_tokens=16,
)
SAME_DECISIONS = ("barrier-whole", "barrier-unresolved", "sage", "sage-ordered", "sage-speculative")
"""Ways that must take the same decisions: they are Algorithm 1."""


class VllmEngine:
    """One vLLM engine in a process of its own, with the sampling settings of the rollout worker."""

    def __init__(self, slots: int) -> None:
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM
        from vllm.v1.metrics.loggers import StatLoggerBase

        self.steps: list[tuple[float, int]] = []
        """(time, running sequences) after each step."""
        steps = self.steps

        class Steps(StatLoggerBase):
            def __init__(self, *args: Any) -> None:
                pass

            def log_engine_initialized(self) -> None:
                pass

            def record(self, scheduler_stats: Any, iteration_stats: Any, *args: Any, **kwargs: Any) -> None:
                if scheduler_stats is not None:
                    steps.append((time.perf_counter(), scheduler_stats.num_running_reqs))

        self.llm = AsyncLLM.from_engine_args(
            AsyncEngineArgs(
                model=str(MODEL),
                skip_tokenizer_init=True,
                hf_overrides={"max_position_embeddings": 512},
                max_model_len=512,
                max_num_seqs=slots,
                gpu_memory_utilization=0.1,
                dtype="float32",
                enforce_eager=True,
                scheduling_policy="priority",  # equal priorities are served in the order of their arrival
            ),
            stat_loggers=[Steps],
        )

    async def generate(self, request: Request) -> int:
        """Implements `sage.simulator.strategies.Engine`; cancelling it aborts the request."""
        from vllm import SamplingParams
        from vllm.inputs import TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        sampling = SamplingParams(
            temperature=1.0,
            max_tokens=request.tokens,
            ignore_eos=True,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        key = 31 * request.prompt + 7 * request.level  # another context for each prompt and level
        ids = [3 + (key + i * (1 + request.prompt)) % 250 for i in range(request.context)]
        prompt = TokensPrompt(prompt_token_ids=ids)
        async with aclosing(self.llm.generate(prompt, sampling, uuid4().hex, priority=request.priority)) as outputs:
            async for output in outputs:
                done = len(output.outputs[0].token_ids)
        return done

    async def timed(self, count: int, context: int, tokens: int) -> float:
        """Seconds for equal requests."""
        begin = time.perf_counter()
        kind = Kind.PLAIN
        await asyncio.gather(*(self.generate(Request(900 + i, kind, 0, i, context, tokens)) for i in range(count)))
        return time.perf_counter() - begin

    async def step_times(self, slots: int) -> StepTimes:
        """The engine's step times now, from batches of equal requests of two lengths each."""
        sizes = [1, *(b for b in (2, 4, 8, 16, 32, 64) if b < slots), slots]
        short, long = 8, 72
        context = WORLD.prompt_tokens
        decode = []
        for size in sizes:
            begin, end = await self.timed(size, context, short), await self.timed(size, context, long)
            decode.append((size, (end - begin) / (long - short)))
        few, many = context, 4 * context
        light, heavy = [await self.timed(slots, c, 1) - decode[-1][1] for c in (few, many)]
        token = max(0.0, (heavy - light) / slots / (many - few))
        return StepTimes(tuple(decode), token, max(0.0, light / slots - few * token))


def middle(times: Sequence[StepTimes]) -> StepTimes:
    """The median of several measurements, point by point."""
    decode = tuple(
        (size, statistics.median(t.decode[i][1] for t in times)) for i, (size, _) in enumerate(times[0].decode)
    )
    return StepTimes(
        decode,
        statistics.median(t.prefill_token for t in times),
        statistics.median(t.request for t in times),
    )


async def measure(engine: VllmEngine, batch: Batch) -> tuple[dict[str, Any], list[Any]]:
    """Roll out one batch; the figures and the visits."""
    engine.steps.clear()
    begin = time.perf_counter()
    visits = await batch.run()
    seconds = time.perf_counter() - begin
    running = [(0.0, 0), *((at - begin, count) for at, count in engine.steps)]
    figures = {
        "seconds": round(seconds, 3),
        "tokens": {kind.value: count for kind, count in batch.tokens.items()},
        "occupancy": [round(o, 3) for o in occupancy([running], seconds, SLOTS)],
    }
    return figures, visits


async def run(repetitions: int, collapses: Sequence[float], names: Sequence[str], work: dict[Any, Any]) -> list[Any]:
    """All measurements, one record for each repetition and collapse rate."""
    engine = VllmEngine(SLOTS)
    await engine.step_times(SLOTS)  # warm up
    records = []
    for repetition in range(repetitions):
        times = await engine.step_times(SLOTS)
        for collapse in collapses:
            record: dict[str, Any] = {"repetition": repetition, "collapse": collapse, "step_times": asdict(times)}
            decided = {}
            turn = repetition % len(names)
            for name in [*names[turn:], *names[:turn]]:
                world, plans, order = work[repetition, collapse, name]
                figures, visits = await measure(engine, Batch(world, STRATEGIES[name], engine, plans, order))
                record[name] = figures
                decided[name] = visits
                await asyncio.sleep(0.2)  # what was aborted leaves the engine
            for name in SAME_DECISIONS:
                if name in decided and not same_decisions(decided[name], decided["sage"]):
                    raise RuntimeError(f"{name} and sage decided differently on the same outcomes")
            records.append(record)
            print(f"repetition {repetition}, collapse {collapse}:", end=" ")
            print(*(f"{name} {record[name]['seconds']:.1f} s" for name in names), sep=", ", flush=True)
    engine.llm.shutdown()
    return records


def ratios(records: Sequence[dict[str, Any]], value: Any) -> str:
    """Median and range over the repetitions."""
    values = [value(record) for record in records]
    return f"{statistics.median(values):5.2f} ({min(values):.2f}-{max(values):.2f})"


def report(records: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    """Print the tables."""
    times = middle([StepTimes(**r["step_times"]) for r in records])
    machine = Machine(times, 1, SLOTS)
    for collapse in sorted({r["collapse"] for r in records}, reverse=True):
        mine = [r for r in records if r["collapse"] == collapse]
        worlds = [replace(WORLD, collapse=collapse, seed=r["repetition"]) for r in mine]
        bounds = {world.seed: lower_bound(world, machine) for world in worlds}
        print(f"\n{collapse:.0%} of the prompts fail without a hint; {len(mine)} repetitions, median (range)")
        work, path = (statistics.median(getattr(b, k) for b in bounds.values()) for k in ("work", "critical_path"))
        print(f"lower bound of Algorithm 1: work {work:.2f} s, critical path {path:.2f} s")
        print(f"{'':20} {'seconds':>18} {'/ grpo':>18} {'/ barrier-whole':>18} {'/ bound':>18} "
              f"{'tokens / bound':>14} {'simulated / measured':>20}  occupancy by tenths of the time")  # fmt: skip
        for name in names:
            seconds = lambda r, name=name: r[name]["seconds"]
            ideal = [simulate(world, STRATEGIES[name], machine).makespan for world in worlds]
            error = statistics.median(ideal) / statistics.median(seconds(r) for r in mine)
            tokens = lambda r, name=name: sum(r[name]["tokens"].values()) / bounds[r["repetition"]].tokens
            taken = [statistics.median(r[name]["occupancy"][i] for r in mine) for i in range(10)]
            columns = [
                ratios(mine, seconds),
                ratios(mine, lambda r, s=seconds: s(r) / r["grpo"]["seconds"]),
                ratios(mine, lambda r, s=seconds: s(r) / r["barrier-whole"]["seconds"]),
                ratios(mine, lambda r, s=seconds: s(r) / bounds[r["repetition"]].makespan),
            ]
            print(f"{name:20} {' '.join(f'{c:>18}' for c in columns)} {statistics.median(map(tokens, mine)):14.3f} "
                  f"{error:20.2f}  {' '.join(f'{o:.2f}' for o in taken)}")  # fmt: skip
        print("tokens by kind: " + "; ".join(
            f"{name} " + " ".join(f"{k} {v}" for k, v in mine[0][name]["tokens"].items()) for name in names))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write all measurements here")
    parser.add_argument("--quick", action="store_true", help="one repetition of a smaller batch")
    args = parser.parse_args()
    repetitions, collapses, names = (1 if args.quick else 5), (0.35, 0.1), list(STRATEGIES)
    global WORLD
    if args.quick:
        WORLD = replace(WORLD, prompts=16)
    work: dict[Any, tuple[World, list[Plan], list[int]]] = {}
    for repetition in range(repetitions):
        for collapse in collapses:
            world = replace(WORLD, collapse=collapse, seed=repetition)
            for name in names:
                work[repetition, collapse, name] = (world, *earlier_visits(world, STRATEGIES[name], 2))
    records = asyncio.run(run(repetitions, collapses, names, work))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        setting = {"world": asdict(WORLD), "slots": SLOTS, "processor": platform.processor() or platform.machine()}
        args.json.write_text(json.dumps({"setting": setting, "records": records}, separators=(",", ":")))
    report(records, names)


if __name__ == "__main__":
    main()
