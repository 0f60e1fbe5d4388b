"""Estimate what SAGE costs per step at your scale, and where the time goes, by simulating rollout phases.

    python scripts/simulate.py                                        the paper's batch on 8 GPUs
    python scripts/simulate.py --prompts 512 --group-size 16 --gpus 64 256 --collapse 0.3 --lengths 2000 0.9 8192
    python scripts/simulate.py --engine benchmarks/results/rollout_schedule.json --gpus 1 --slots 32

The engines' step times are an assumption unless --engine names measurements: a 7B model in bf16 on an H100, 12 ms a
step and 0.05 ms more for each running sequence. Give your own with --decode. Lengths are lognormal. Each hint level
solves half of the prompts that failed at the level before (--rescue).
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace
from statistics import fmean, median

from sage.planning.simulator.engine import ASSUMED
from sage.planning.simulator.measured import Measured
from sage.planning.simulator.simulate import Machine, lower_bound, simulate
from sage.planning.simulator.strategies import STRATEGIES, Kind, Strategy
from sage.planning.simulator.world import Lengths, World
from sage.support.arguments import at_least, not_negative, part, positive, share

TABLE_2 = (0.569, 0.298, 0.103)
"""Never solved in the paper's Table 2: Llama-3.2-3B base, Qwen2.5-7B base, Qwen2.5-7B after GRPO."""

LONGEST = 10**7
"""Tokens."""
LARGEST_SIGMA = 10
"""Where lengths are as good as 1 or the cap."""
HINTS = Lengths(300, 0.5, 1024)
"""Of the answers to hint requests."""


def point(text: str) -> tuple[int, float]:
    """``sequences:seconds``."""
    try:
        size, seconds = text.split(":")
        return at_least(1)(size), positive(seconds)
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(f"{text!r} must be SEQUENCES:SECONDS, for instance 256:0.0248") from None


def lengths(parser: argparse.ArgumentParser, values: list[float]) -> Lengths:
    median_length, sigma, cap = values
    if not (1 <= median_length <= LONGEST and 1 <= cap <= LONGEST and sigma <= LARGEST_SIGMA):
        parser.error(f"lengths {values}: MEDIAN and CAP must be from 1 to {LONGEST}, SIGMA at most {LARGEST_SIGMA}")
    return Lengths(median_length, sigma, int(cap))


def table(world: World, machine: Machine, strategies: list[Strategy], seeds: int, visits: int, rest: float) -> None:
    """One line a strategy; medians over the seeds of ratios within a seed, means of the shares."""
    worlds = [replace(world, seed=seed) for seed in range(seeds)]
    bounds = [lower_bound(each, machine) for each in worlds]
    results = {each.name: [simulate(world, each, machine, visits) for world in worlds] for each in strategies}
    grpo = results.get("grpo") or [simulate(each, STRATEGIES["grpo"], machine) for each in worlds]
    work, path = median(b.work for b in bounds), median(b.critical_path for b in bounds)
    load = world.prompts * world.group_size / machine.engines / machine.slots
    print(f"\n{world.prompts} prompts x {world.group_size}, {machine.engines} engines of {machine.slots} slots "
          f"({load:.2g} rollouts a slot), {world.collapse:.1%} fail without a hint")  # fmt: skip
    print(f"Algorithm 1 needs: work {work:.0f} s, critical path {path:.0f} s")
    print(" " * 20, "rollout s  / grpo / bound step / grpo tokens / bound", end=" ")
    print(*(f"{name:>6}" for name in ("plain", "hint", "hinted", "again", "idle")), " occupancy by tenths of the time")
    for name, mine in results.items():
        ratio = median(r.makespan / g.makespan for r, g in zip(mine, grpo, strict=True))
        bound = median(r.makespan / b.makespan for r, b in zip(mine, bounds, strict=True))
        tokens = median((sum(r.tokens.values()) + r.wasted) / b.tokens for r, b in zip(mine, bounds, strict=True))
        shares = [fmean(r.shares[kind] for r in mine) for kind in Kind]
        taken = [fmean(r.occupancy[i] for r in mine) for i in range(10)]
        print(f"{name:20} {median(r.makespan for r in mine):9.1f} {ratio:7.2f} {bound:7.2f} "
              f"{(ratio + rest) / (1 + rest):11.2f} {tokens:14.3f} "
              f"{' '.join(f'{share:6.2f}' for share in [*shares, max(0.0, 1 - sum(shares))])}  "
              f"{' '.join(f'{o:.2f}' for o in taken)}", flush=True)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", help="JSON of benchmarks/rollout_schedule.py: its step times")
    parser.add_argument("--decode", type=point, nargs="+", metavar="SEQUENCES:SECONDS",
                        help="step times by running sequences; linear between")  # fmt: skip
    parser.add_argument("--prefill-token", type=share, help="seconds that each prompt token adds")
    parser.add_argument("--slots", type=at_least(1), default=256, help="sequences of an engine (max_num_seqs)")
    parser.add_argument("--gpus", type=at_least(1), nargs="+", default=[8])
    parser.add_argument("--gpus-per-engine", type=at_least(1), default=1, help="tensor parallel size")
    parser.add_argument("--prompts", type=at_least(1), nargs="+", default=[128])
    parser.add_argument("--group-size", type=at_least(1), nargs="+", default=[8])
    parser.add_argument("--collapse", type=share, nargs="+", default=list(TABLE_2),
                        help="shares of prompts that fail without a hint (default: the paper's Table 2)")  # fmt: skip
    parser.add_argument("--rescue", type=share, default=0.5)
    parser.add_argument(
        "--lengths", type=not_negative, nargs=3, default=[700, 0.8, 2048], metavar=("MEDIAN", "SIGMA", "CAP")
    )
    parser.add_argument("--steady", type=share, default=1.0,
                        help="how well the last visit predicts the next one: probability that a prompt's level is its "
                        "usual one; 0.73 is as on the embedded task")  # fmt: skip
    parser.add_argument("--visits", type=at_least(0), default=2, help="earlier visits of each prompt")
    parser.add_argument("--strategies", nargs="+", choices=list(STRATEGIES), default=list(STRATEGIES))
    parser.add_argument("--patience", type=part, nargs="+", default=[],
                        help="also sage and sage-calibrated with these numbers as sage.patience")  # fmt: skip
    parser.add_argument("--seeds", type=at_least(1), default=3, help="number of batches")
    parser.add_argument("--rest", type=not_negative, default=0.7,
                        help="the rest of a GRPO step (log-probs, update, weights), in its rollout phases")  # fmt: skip
    args = parser.parse_args()
    try:
        times = Measured.load(args.engine).machine.times if args.engine else ASSUMED
    except ValueError as error:
        parser.error(f"--engine {error}")
    if args.decode:
        if len({size for size, _ in args.decode}) < len(args.decode):
            parser.error("--decode: give each number of sequences once")
        times = replace(times, decode=tuple(sorted(args.decode)))
    if args.prefill_token is not None:
        times = replace(times, prefill_token=args.prefill_token)
    strategies = [STRATEGIES[name] for name in args.strategies] + [
        Strategy(f"{schedule}, {patience}", schedule, patience=patience)
        for schedule, patience in itertools.product(("sage", "sage-calibrated"), args.patience)
    ]
    for prompts, size, gpus, collapse in itertools.product(args.prompts, args.group_size, args.gpus, args.collapse):
        if gpus % args.gpus_per_engine:
            parser.error(f"--gpus {gpus} must be a multiple of --gpus-per-engine {args.gpus_per_engine}")
        world = World(
            prompts,
            size,
            collapse,
            lengths(parser, args.lengths),
            HINTS,
            args.rescue,
            steady=args.steady,
        )
        table(
            world,
            Machine(times, gpus // args.gpus_per_engine, args.slots),
            strategies,
            args.seeds,
            args.visits,
            args.rest,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
