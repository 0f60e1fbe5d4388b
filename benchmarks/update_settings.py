"""Seconds of log-probs and update with and without packed rows and micro-batches by tokens, in real SAGE runs.

    python benchmarks/update_settings.py --json benchmarks/results/update_settings.json

Every setting trains the embedded model for a few steps through `recipe.sage.main_sage`, in turn, ``--takes`` times. The
first step of a run is left out. Settings change the rounding of the loss only, so the runs do nearly the same work.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Any

from sage.toy.embedded.build_data import TEST, TRAIN, build
from sage.toy.embedded.series import shell

MODEL, ACTOR, ROLLOUT = (f"actor_rollout_ref.{part}" for part in ("model", "actor", "rollout"))
ROWS = 8
PADDED = [f"{MODEL}.use_remove_padding=false"]
BY_ROWS = [
    f"{ACTOR}.use_dynamic_bsz=false",
    f"{ACTOR}.ppo_micro_batch_size_per_gpu={ROWS}",
    f"{ROLLOUT}.log_prob_use_dynamic_bsz=false",
    f"{ROLLOUT}.log_prob_micro_batch_size_per_gpu={ROWS}",
]
SETTINGS = {
    "packed, by tokens (default)": [],
    f"packed, {ROWS} rows": BY_ROWS,
    "padded, by tokens": PADDED,
    f"padded, {ROWS} rows": PADDED + BY_ROWS,
    "default, dead groups trained on": ["sage.skip_dead_groups=false"],
}
PHASES = ("timing_s/old_log_prob", "timing_s/update_actor")


def measure(folder: Path, steps: int, overrides: list[str]) -> list[dict[str, float]]:
    """Seconds of the phases of each step but the first."""
    folder.mkdir(parents=True, exist_ok=True)
    metrics = folder / "metrics.jsonl"
    metrics.unlink(missing_ok=True)
    options = [f"trainer.default_local_dir={folder}", f"trainer.total_training_steps={steps}"]
    options += ["trainer.val_before_train=false", "trainer.test_freq=-1"]
    command = ["python", "scripts/watch_run.py", "--steps", str(steps), "--log", str(folder / "train.log"), "--"]
    command += ["python", "-m", "recipe.sage.main_sage", "--config-name", "tiny_cpu", *options, *overrides]
    environment = {"TINY_DATA": str(folder.parent / "data"), "VERL_FILE_LOGGER_PATH": str(metrics)}
    shell(command, limit=1200, **environment)
    logged = [json.loads(line)["data"] for line in metrics.read_text(encoding="utf-8").splitlines()]
    kept = [data for data in logged if "timing_s/update_actor" in data][1:]
    return [{key: data[key] for key in PHASES} for data in kept]


def summarize(takes: list[list[dict[str, float]]]) -> dict[str, Any]:
    """Mean seconds of a step over all takes, and the same of each take."""
    seconds = [[fmean(step[phase] for step in take) for phase in PHASES] for take in takes]
    return {
        "old_log_prob": fmean(s[0] for s in seconds),
        "update_actor": fmean(s[1] for s in seconds),
        "sum": [sum(s) for s in seconds],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("outputs/update_settings"))
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--takes", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    work = args.work.resolve()
    build(work / "data", 0, TRAIN, TEST)
    takes: dict[str, list[list[dict[str, float]]]] = {name: [] for name in SETTINGS}
    for take in range(args.takes):
        for number, (name, overrides) in enumerate(SETTINGS.items()):
            print(f"== take {take + 1}, {name}", flush=True)
            takes[name].append(measure(work / f"run{number}", args.steps, overrides))
    found = {name: summarize(each) for name, each in takes.items()}
    usual = fmean(next(iter(found.values()))["sum"])
    print(f"{'':<32} log-probs   update      sum (takes)             of the default")
    for name, row in found.items():
        spread = " ".join(f"{value:.2f}" for value in row["sum"])
        total = fmean(row["sum"])
        numbers = f"{row['old_log_prob']:8.2f} s {row['update_actor']:6.2f} s {total:6.2f} s ({spread})"
        print(f"{name:<32} {numbers}   {total / usual:6.2f}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
