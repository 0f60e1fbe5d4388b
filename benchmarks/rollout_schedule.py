"""Ways of rolling out SAGE's levels, measured on one vLLM engine.

    source scripts/cpu_env.sh && python benchmarks/rollout_schedule.py --json benchmarks/results/rollout_schedule.json
    source scripts/cpu_env.sh && python -m benchmarks.rollout_schedule --paced --quick
    python -m benchmarks.rollout_schedule --model MODEL --json FILE      a model of real size on a GPU

The engine, its scheduler and its steps are real. Lengths and outcomes are not: every answer has a length drawn
beforehand (vLLM is told to stop there and nowhere else) and an outcome drawn beforehand, so that all ways roll out the
same prompts, hints and outcomes (`sage.planning.simulator.world`). The engine has few enough slots that it is full at
first and has a tail, and its context is longer than the embedded model was trained for; what it writes does not matter
here.

With ``--model`` it is an engine for a GPU with that model, and answers have up to 1024 tokens. With ``--paced`` every
step takes at least as long as a GPU's (`benchmarks.paced`), and every rollout has a slot. Both compare `FEW` by the
time on the clock.

Repetition i rolls out batch i in every way, in an order that changes, and measures the engine's step times; each figure
is that of the fastest of three takes. Ratios are taken within a repetition.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from sage.method.records import VisitPlan
from sage.planning.simulator.engine import ASSUMED, StepTimes
from sage.planning.simulator.measured import Measured
from sage.planning.simulator.simulate import earlier_visits, lower_bound, occupancy
from sage.planning.simulator.strategies import STRATEGIES, Batch, Kind, Request, same_decisions
from sage.planning.simulator.world import Lengths, World
from sage.support.arguments import output_file
from sage.support.files import write_text

MODEL = Path(__file__).parents[1] / "examples" / "opchain_base"
SLOTS, PACED_SLOTS = 32, 512
WORLD = World(
    prompts=32,
    group_size=8,
    collapse=0.35,
    lengths=Lengths(38, 0.7, 256),
    hint_lengths=Lengths(24, 0.5, 96),
    prompt_tokens=32,
    solution_tokens=32,
    hint_tokens=16,
)
LARGE = replace(WORLD, lengths=Lengths(350, 0.7, 1024), hint_lengths=Lengths(100, 0.5, 300), prompt_tokens=128,
                solution_tokens=256, hint_tokens=64)  # fmt: skip
FEW = ("grpo", "barrier-whole", "sage", "sage-auto", "sage-calibrated-auto")
TAKES = 3
"""Every measurement is the fastest of so many: other work on the machine can only slow the engine down."""
COLLAPSES = (0.35, 0.1)
BASELINES = ("grpo", "barrier-whole")
COLUMNS = (
    *("", "seconds", "busy", "/ grpo", "/ barrier-whole", "/ bound", "tokens / bound"),
    *("plain, hint, hinted, repeated", "simulated", "occupancy by tenths"),
)
SAME_DECISIONS = ("barrier-whole", "barrier-unresolved", "sage", "sage-patience", "sage-priority", "sage-auto")
"""Ways that must take the same decisions: they are Algorithm 1."""

EMBEDDED_ENGINE: dict[str, Any] = {
    "hf_overrides": {"max_position_embeddings": 512},
    "max_model_len": 512,
    "gpu_memory_utilization": 0.1,
    "dtype": "float32",
    "enforce_eager": True,
}
LARGE_ENGINE: dict[str, Any] = {"max_model_len": 2048, "gpu_memory_utilization": 0.6}
PACED_ENGINE: dict[str, Any] = {"scheduler_cls": "benchmarks.paced.PacedScheduler", "async_scheduling": False}


class VllmEngine:
    """One vLLM engine in a process of its own, with the sampling settings of the rollout worker."""

    def __init__(self, paced: bool = False, model: Path | None = None) -> None:
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM
        from vllm.v1.metrics.loggers import StatLoggerBase

        self.by_clock = paced or model is not None
        """Its time is that on the clock, and every rollout has a slot; else its CPU time is measured."""
        self.slots = PACED_SLOTS if self.by_clock else SLOTS
        self.steps: list[tuple[float, int, int]] = []
        """(time, running sequences, tokens it gave) of each step."""
        steps = self.steps

        class Steps(StatLoggerBase):
            def __init__(self, *args: Any) -> None:
                pass

            def log_engine_initialized(self) -> None:
                pass

            def record(self, scheduler_stats: Any, iteration_stats: Any, *args: Any, **kwargs: Any) -> None:
                if scheduler_stats is not None:
                    tokens = iteration_stats.num_generation_tokens if iteration_stats else 0
                    steps.append((time.perf_counter(), scheduler_stats.num_running_reqs, tokens))

        self.llm = AsyncLLM.from_engine_args(
            AsyncEngineArgs(
                model=str(model or MODEL),
                skip_tokenizer_init=True,
                max_num_seqs=self.slots,
                scheduling_policy="priority",  # equal priorities are served in the order of their arrival
                **(LARGE_ENGINE if model else EMBEDDED_ENGINE),
                **(PACED_ENGINE if paced else {}),
            ),
            stat_loggers=[Steps],
        )
        self.process = self.llm.engine_core.resources.engine_manager.processes[0].pid

    def busy(self) -> float:
        """CPU seconds of the engine's process so far: its time on the clock, had it a core for itself."""
        tasks = Path(f"/proc/{self.process}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    async def generate(self, request: Request) -> int:
        """Implements `sage.planning.simulator.strategies.Engine`; cancelling it aborts the request."""
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
        """The engine's seconds for equal requests."""
        begin = self.busy()
        kind = Kind.PLAIN
        await asyncio.gather(*(self.generate(Request(900 + i, kind, 0, i, context, tokens)) for i in range(count)))
        return self.busy() - begin

    async def fastest(self, size: int, context: int, tokens: int) -> float:
        """The shortest of `TAKES` such batches."""
        return min([await self.timed(size, context, tokens) for _ in range(TAKES)])

    async def step_times(self) -> StepTimes:
        """The engine's step times now, from batches of equal requests of two lengths each."""
        slots = self.slots
        sizes = [1, *(b for b in (2, 4, 8, 16, 32, 64) if b < slots), slots]
        short, long = 8, 72
        context = WORLD.prompt_tokens
        decode = []
        for size in sizes:
            begin, end = await self.fastest(size, context, short), await self.fastest(size, context, long)
            decode.append((size, (end - begin) / (long - short)))
        few, many = context, 4 * context
        light, heavy = [await self.fastest(slots, c, 1) - decode[-1][1] for c in (few, many)]
        token = max(0.0, (heavy - light) / slots / (many - few))
        return StepTimes(tuple(decode), token, max(0.0, light / slots - few * token))


async def measure(engine: VllmEngine, batch: Batch) -> tuple[dict[str, Any], list[Any]]:
    """Roll out one batch; the figures and the visits. Busy is the engine's CPU time, or the time on the clock."""
    engine.steps.clear()
    begin, busy = time.perf_counter(), engine.busy()
    visits = await batch.run()
    seconds, busy = time.perf_counter() - begin, engine.busy() - busy
    running = [(0.0, 0), *((at - begin, count) for at, count, _ in engine.steps)]
    figures = {
        "seconds": round(seconds, 3),
        "busy": round(seconds if engine.by_clock else busy, 3),
        "steps": len(engine.steps),
        "generated": sum(tokens for *_, tokens in engine.steps),  # with those of aborted requests
        "tokens": {kind.value: count for kind, count in batch.tokens.items()},
        "occupancy": [round(o, 3) for o in occupancy([running], seconds, engine.slots)],
    }
    return figures, visits


async def run(
    repetitions: int,
    work: Mapping[Any, tuple[World, list[VisitPlan]]],
    names: list[str],
    paced: bool,
    model: Path | None,
) -> tuple[int, list[Any]]:
    """The engine's slots and all measurements, one record for each repetition and collapse rate."""
    engine = VllmEngine(paced, model)
    takes = 1 if engine.by_clock else TAKES
    if engine.by_clock:
        await engine.timed(8, WORLD.prompt_tokens, 8)  # warm up
    else:
        await engine.step_times()
    records = []
    for repetition, collapse in itertools.product(range(repetitions), COLLAPSES):
        record: dict[str, Any] = {"repetition": repetition, "collapse": collapse}
        record["step_times"] = ASSUMED if engine.by_clock else await engine.step_times()
        decided = {}
        for take in range(takes):
            turn = (repetition + 3 * take) % len(names)
            for name in [*names[turn:], *names[:turn]]:
                world, plans = work[repetition, collapse, name]
                figures, decided[name] = await measure(engine, Batch(world, STRATEGIES[name], engine, plans))
                record[name] = min(record.get(name, figures), figures, key=lambda f: f["busy"])
                await asyncio.sleep(0.2)  # what was aborted leaves the engine
        for name in set(SAME_DECISIONS) & set(names):
            if not same_decisions(decided[name], decided["sage"]):
                raise RuntimeError(f"{name} and sage decided differently on the same outcomes")
        records.append(record)
        print(f"repetition {repetition}, collapse {collapse}:", end=" ")
        print(*(f"{name} {record[name]['busy']:.1f} s" for name in names), sep=", ", flush=True)
    engine.llm.shutdown()
    return engine.slots, records


def spread(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def report(measured: Measured) -> None:
    """Print a table for each collapse rate; ratios are of busy seconds, within a repetition."""
    machine = measured.machine
    times = machine.times
    print("milliseconds of a step by running sequences:", *(f"{size}: {1e3 * t:.2f}" for size, t in times.decode))
    print(f"added by a prompt token: {1e3 * times.prefill_token:.3f}, by a request: {1e3 * times.request:.2f}")
    for collapse in measured.collapses:
        runs = measured.at(collapse)
        bounds = [lower_bound(world, machine) for world, _ in runs]
        needed, work, path = (statistics.median(b) for b in zip(*map(astuple, bounds), strict=True))
        print(f"\n{collapse:.0%} of the prompts fail without a hint; {len(runs)} repetitions, median (range)")
        print(f"Algorithm 1 needs {needed:.0f} tokens, {work:.2f} s of work, {path:.2f} s on the critical path\n")
        print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
        for name in (name for name in STRATEGIES if name in runs[0][1]):
            mine = [record[name] for _, record in runs]
            busy = [figures["busy"] for figures in mine]
            tokens = [f["generated"] / b.tokens for f, b in zip(mine, bounds, strict=True)]
            cells = [
                f"`{name}`",
                spread([figures["seconds"] for figures in mine]),
                spread(busy),
                *(spread([f / r[o]["busy"] for f, (_, r) in zip(busy, runs, strict=True)]) for o in BASELINES),
                spread([f / b.makespan for f, b in zip(busy, bounds, strict=True)]),
                f"{statistics.median(tokens):.3f}",
                ", ".join(f"{statistics.median(f['tokens'].get(kind, 0) for f in mine):.0f}" for kind in Kind),
                f"{measured.simulated(collapse, name) / statistics.median(busy):.2f}",
                " ".join(f"{statistics.median(f['occupancy'][i] for f in mine):.1f}" for i in range(10)),
            ]
            print("| " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=output_file, help="write all measurements here")
    parser.add_argument(
        "--show", type=Path, metavar="FILE", help="the tables of earlier measurements; measures nothing"
    )
    parser.add_argument("--quick", action="store_true", help="one repetition of a quarter of the batch")
    parser.add_argument("--paced", action="store_true",
                        help="pad every step to a GPU's step time, with a slot for every rollout")  # fmt: skip
    parser.add_argument(
        "--model", type=Path, help="folder of a model to measure on a GPU (benchmarks/real_size.py builds one)"
    )
    args = parser.parse_args()
    if args.show:
        try:
            return report(Measured.load(args.show))
        except ValueError as error:
            parser.error(f"--show {error}")
    repetitions = 1 if args.quick else 5
    base, names = LARGE if args.model else WORLD, list(FEW if args.model or args.paced else STRATEGIES)
    if args.quick:
        base = replace(base, prompts=base.prompts // 4)
    work = {}
    for repetition, collapse in itertools.product(range(repetitions), COLLAPSES):
        world = replace(base, collapse=collapse, seed=repetition)
        for name in names:
            work[repetition, collapse, name] = (world, earlier_visits(world, STRATEGIES[name], 2))
    slots, records = asyncio.run(run(repetitions, work, names, args.paced, args.model))
    if args.json:
        setting = {"world": asdict(base), "slots": slots}
        lines = ",\n".join(json.dumps(record, separators=(",", ":"), default=asdict) for record in records)
        write_text(args.json, f'{{"setting":{json.dumps(setting)},"records":[\n{lines}\n]}}\n')
    report(Measured(base, slots, tuple(records)))


if __name__ == "__main__":
    main()
