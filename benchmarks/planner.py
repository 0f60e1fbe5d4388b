"""The hours that a dry run plans against those that a run takes: predicted and measured seconds of a step by phase.

    python -m benchmarks.planner --json benchmarks/results/planner.json

Two runs are made on this machine's CPU: SAGE on the embedded world, and SmolLM2-135M on word problems. The planner gets
the mean length of responses and the failing groups from the run's own history, as ``--history`` gives them, and one
core's speed as measured here, in place of a GPU's data sheet. Beside them stand the recorded runs of the embedded world
on an H100. The first step of a run is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median
from typing import Any

from sage.method.state import HISTORY_FILE
from sage.planning.hours import GPUS, Gpu, Habits, Hours, estimate_hours
from sage.report.history import read_history
from sage.report.tables.collect import read_metrics
from sage.support.arguments import at_least, output_file
from sage.support.files import write_json
from sage.toy.embedded.build_data import TEST, TRAIN, build
from sage.toy.embedded.comparison import markdown
from sage.toy.embedded.series import shell

RECORDED = Path("benchmarks/results/h100.json")
PHASES = {"rollouts": "gen", "log-probs": "old_log_prob", "update": "update_actor", "step": "step"}
"""Planned phases and verl's names for them; a step is more than the sum of the others."""
SIZE = 4096
"""Rows and columns of the matrices whose product is timed."""


def fastest(call: Callable[[], Any], takes: int = 5) -> float:
    """Seconds of the fastest of some calls."""
    seconds = []
    for _ in range(takes):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def this_core() -> Gpu:
    """One core as the planner describes a GPU; half its bandwidth, since it has float32 weights instead of bfloat16."""
    import torch

    torch.set_num_threads(1)
    matrix, vector, small = torch.rand(SIZE, SIZE), torch.rand(SIZE), torch.rand(SIZE // 4, SIZE // 4)
    operations = 2 * (SIZE // 4) ** 3 / fastest(lambda: small @ small)
    read = matrix.numel() * 4 / fastest(lambda: matrix @ vector)
    return Gpu(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 10**9, operations / 1e12, read / 2 / 1e12)


def measured_seconds(run: Path) -> dict[str, float]:
    """Mean seconds of each phase in a run's steps after the first, by its planned name."""
    steps = [data for data in read_metrics(run).values() if "timing_s/update_actor" in data][1:]
    return {name: fmean(data[f"timing_s/{phase}"] for data in steps) for name, phase in PHASES.items()}


def planned_seconds(hours: Hours) -> dict[str, list[float]]:
    """Lowest and highest seconds of each phase of a step."""
    return {
        "rollouts": [hours.rollouts + hint for hint in hours.hints],
        "log-probs": [hours.log_probs] * 2,
        "update": [hours.update] * 2,
        "step": list(hours.step),
    }


def plan(overrides: list[str], gpu: Gpu, habits: Habits) -> dict[str, list[float]]:
    """What the planner says of a run on such a device, in seconds of a step."""
    from recipe.sage.dry_run import compose_run, load_shape, workload
    from recipe.sage.preflight import check_run

    config = compose_run("tiny_cpu", overrides)
    sage, report = check_run(config)
    shape = load_shape(config.actor_rollout_ref.model.path)
    work, schedule = workload(config, sage, shape, report, gpu), sage.make_schedule(config.actor_rollout_ref.rollout.n)
    return planned_seconds(estimate_hours(shape, gpu, work, schedule, sage.max_level, habits))


def embedded(folder: Path, steps: int) -> list[str]:
    """Run the embedded world; the overrides of the run."""
    build(folder / "data", 0, TRAIN, TEST, "opchain")
    os.environ["TINY_DATA"] = str(folder / "data")
    overrides = [f"trainer.default_local_dir={folder}/sage", f"trainer.total_training_steps={steps}"]
    overrides += ["trainer.val_before_train=false", "trainer.test_freq=-1"]
    (folder / "sage").mkdir(parents=True, exist_ok=True)
    command = ["python", "scripts/watch_run.py", "--steps", str(steps), "--log", str(folder / "train.log"), "--"]
    command += ["python", "-m", "recipe.sage.main_sage", "--config-name", "tiny_cpu", *overrides]
    shell(command, limit=1800, VERL_FILE_LOGGER_PATH=str(folder / "sage/metrics.jsonl"))
    return overrides


def smollm2(folder: Path, steps: int) -> list[str]:
    """Run the example of a real language model; the overrides of the run."""
    shell(["bash", "examples/run_smollm2_cpu.sh"], limit=7200, OUTPUT=str(folder), STEPS=str(steps))
    os.environ |= {"TINY_DATA": str(folder / "data"), "SMOLLM2": str(folder / "model")}
    return ["+world=smollm2", f"trainer.total_training_steps={steps}"]


def compared(run: Path, overrides: list[str], core: Gpu) -> dict[str, Any]:
    """Planned and measured seconds of a run on this core, whose responses and failing groups the planner knows."""
    habits = Habits.measured((entry.visit for entry in read_history(run / HISTORY_FILE)), run.name)
    return {"planned": plan(overrides, core, habits), "measured": measured_seconds(run)}


def recorded(overrides: list[str]) -> dict[str, Any]:
    """The runs on record from an H100, twelve at once, of rows that do what SAGE does; failing groups are assumed."""
    runs = json.loads(RECORDED.read_text(encoding="utf-8"))["runs"]
    kept = [run["seconds_a_step"] for run in runs if run["row"] in ("offline-10", "teacher", "sage-from-last")]
    measured = {name: median(seconds[phase] for seconds in kept) for name, phase in PHASES.items()}
    return {"planned": plan(overrides, GPUS["h100"], Habits.assumed(56, 44)), "measured": measured}


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Planned and measured seconds of a step by run and phase, in Markdown."""
    cells = [
        [run, phase, f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}", f"{row['measured'][phase]:.3g}"]
        for run, row in rows.items()
        for phase, (low, high) in row["planned"].items()
    ]
    return markdown(["run", "phase", "planned, s", "measured, s"], cells)


def main() -> None:
    """Make the runs, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=output_file, help="file for the table")
    parser.add_argument("--steps", type=at_least(2), nargs=2, default=(8, 3), help="of opchain and of SmolLM2")
    args = parser.parse_args()
    core = this_core()
    print(f"one core: {core.teraflops * 1000:.1f} GFLOPS, {core.terabytes_second * 2000:.1f} GB/s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        tiny, small = Path(folder, "opchain"), Path(folder, "smollm2")
        overrides = embedded(tiny, args.steps[0])
        rows = {
            "opchain, one core": compared(tiny / "sage", overrides, core),
            "opchain, H100 shared by 12 runs": recorded(overrides),
        }
        overrides = smollm2(small, args.steps[1])
        rows["SmolLM2-135M, one core"] = compared(small / "sage", overrides, core)
    print(table(rows))
    if args.json:
        write_json(args.json, rows)


if __name__ == "__main__":
    main()
