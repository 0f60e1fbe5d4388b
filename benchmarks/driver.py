"""What the method costs in the driver and its state: time, memory and size, without an engine or a trainer.

    python benchmarks/driver.py --json benchmarks/results/driver.json

Visits are simulated (`sage`, 35% of the groups fail at level 0, each level rescues half of the rest) and go through
the code of a step: plan, publish and collect (a real TransferQueue), enter into state and history, metrics; then the
state of 64k prompts is saved and loaded. The hint work of the rollout workers is timed on hints of 1.3 KB. The share of
a real step is in the log of every run: ``timing_s/sage`` over ``timing_s/step``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sage.grading.verifier import load_verifier
from sage.hints.leak import find_leaks
from sage.hints.parsing import parse_hints
from sage.method.records import Group, HintRequest, RequestOutcome, Rollout, Visit
from sage.method.schedule import SCHEDULES, Plan, Schedule
from sage.method.state import StateStore, VisitHistory
from sage.support.arguments import at_least, output_file
from sage.support.files import write_json

PROMPTS = 65_536
SIZES = ((128, 8), (1024, 16))
HINT = "Write the sum as a telescoping series and look at $\\frac{1}{k} - \\frac{1}{k+1}$ before you add it up. " * 12
ANSWER = "\\frac{2024}{2025}"


def simulate_visit(rng: random.Random, prompt_id: str, schedule: Schedule, plan: Plan, step: int) -> Visit:
    """A visit with outcomes drawn at random."""
    groups, requests, left = [], [], plan
    fails, level = 0.35, left[0]
    while True:
        failed = rng.random() < fails
        rate = 0.0 if failed else rng.uniform(0.1, 0.9)
        rollouts = []
        for i in range(schedule.group_size):
            correct = not failed and (i == 0 or rng.random() < rate)
            rollouts.append(Rollout(float(correct), correct, rng.randrange(200, 4000)))
        if level:
            requests.append(HintRequest(level, RequestOutcome.USED, 300, 1.5))
        groups.append(Group(level, tuple(rollouts), HINT if level else None, 30.0))
        decision = schedule.after_group(groups[-1], left)
        if decision.action.value != "raise":
            return Visit(prompt_id, plan, tuple(groups), decision, tuple(requests), dispatched=step)
        fails, level = 0.5, decision.level


def clock(work: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def step_times(store: StateStore, history: VisitHistory, ids: list[str], step: int) -> dict[str, float]:
    """Seconds of each part of one step."""
    from recipe.sage import channel
    from sage.method.metrics import step_metrics

    rng = random.Random(step)
    found: dict[str, float] = {}
    found["plan"], plans = clock(lambda: [store.plan(prompt_id, step, 0.5) for prompt_id in ids])
    visits = {
        f"u{step}x{i}": simulate_visit(rng, prompt_id, store.schedule, plan.levels, step)
        for i, (prompt_id, plan) in enumerate(zip(ids, plans, strict=True))
    }

    async def publish() -> None:
        await asyncio.gather(*(channel.publish(uid, visit, {}) for uid, visit in visits.items()))

    found["publish (workers)"], _ = clock(lambda: asyncio.run(publish()))
    found["collect"], collected = clock(lambda: channel.collect(visits))
    assert collected == visits
    found["state"], _ = clock(lambda: store.update(visits.values(), step))
    found["history"], _ = clock(lambda: history.append(step, visits))

    found["metrics"], _ = clock(
        lambda: (step_metrics(visits.values(), [], store.schedule.max_level, step), store.never_solved())
    )
    found["driver"] = sum(seconds for part, seconds in found.items() if part != "publish (workers)")
    return found


def hint_times() -> dict[str, float]:
    """Milliseconds of a worker for one hint answer of three levels."""
    verifier = load_verifier("math")
    text = json.dumps({f"level_{level}": HINT for level in (1, 2, 3)})
    parsing, leaks = [], []
    for _ in range(50):
        seconds, hints = clock(lambda: parse_hints(text, range(1, 4)))
        parsing.append(1000 * seconds)
        seconds, _ = clock(lambda hints=hints: [find_leaks(hint, ANSWER, verifier) for hint in hints.values()])
        leaks.append(1000 * seconds)
    return {"parse": statistics.median(parsing), "leak guard": statistics.median(leaks)}


def state_costs(store: StateStore, folder: Path) -> dict[str, float]:
    """Size and times of the saved state."""
    path = folder / "state.parquet"
    saves = [clock(lambda: store.save(path, {"step": 500}))[0] for _ in range(5)]
    other = StateStore(store.schedule)
    loads = [clock(lambda: other.load(path))[0] for _ in range(5)]
    assert other.prompts == store.prompts
    return {"MB": path.stat().st_size / 1e6, "save s": statistics.median(saves), "load s": statistics.median(loads)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=output_file)
    parser.add_argument("--repetitions", type=at_least(1), default=7)
    args = parser.parse_args()
    os.environ.setdefault("VERL_PLATFORM", "cpu")
    import ray  # here, as these take seconds that --help need not wait for
    import transfer_queue as tq

    ray.init(num_cpus=4, include_dashboard=False, object_store_memory=500_000_000, log_to_driver=False)
    tq.init()
    result: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "prompts": PROMPTS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for schedule in ("sage", "sage-calibrated"):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            store = StateStore(SCHEDULES[schedule](max_level=3, group_size=8, alpha=0.35))
            rng = random.Random(0)
            ids = [f"{rng.getrandbits(64):016x}" for _ in range(PROMPTS)]
            for begin in range(0, PROMPTS, 128):  # 512 steps: every prompt visited once
                step = 1 + begin // 128
                store.update(
                    [
                        simulate_visit(rng, i, store.schedule, store.plan(i, step, 0.5).levels, step)
                        for i in ids[begin : begin + 128]
                    ],
                    step,
                )
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            result[f"{schedule}: state of {PROMPTS} prompts"] = {"memory MB": grown, **state_costs(store, folder)}
            for size, group in SIZES:
                object.__setattr__(store.schedule, "group_size", group)
                history = VisitHistory(folder / f"{schedule}-{size}.jsonl")
                times = [step_times(store, history, rng.sample(ids, size), 600 + i) for i in range(args.repetitions)]
                row = {f"{part} ms": 1000 * statistics.median(t[part] for t in times) for part in times[0]}
                row["driver ms, max"] = 1000 * max(t["driver"] for t in times)
                row["history MB in 500 steps"] = history.size / args.repetitions * 500 / 1e6
                result[f"{schedule}: step of {size} x {group}"] = row
        result["hint answer of three levels (worker), ms"] = hint_times()
    ray.shutdown()
    for name, row in result.items():
        cells = "   ".join(f"{k} {v:.2f}" for k, v in row.items()) if isinstance(row, dict) else row
        print(f"{name:45} {cells}")
    if args.json:
        write_json(args.json, result)


if __name__ == "__main__":
    main()
