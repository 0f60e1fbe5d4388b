"""Every method beside the others on an embedded task, from recorded runs: equal steps, no hints at the test.

    python scripts/compare_methods.py                  the table of what is recorded in results/opchain
    python scripts/compare_methods.py --json FILE      the same as JSON
    python scripts/compare_methods.py --run            makes the runs that are missing, about 5 minutes each
    python scripts/compare_methods.py --task wheels    the second task
    python scripts/compare_methods.py --run --methods grpo sage --seeds 0 1 2
    python scripts/compare_methods.py --run --methods grpo sage --seeds 100 --learning-rate 1e-3

The rows are those of `sage.embedded.series`. Times are compared within one series of runs on one machine
(``--series``), since machines differ: a run beside the mean of GRPO's in its series. Runs with a learning rate of their
own are recorded apart, in benchmarks/results/learning_rate.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import fmean
from typing import Any

from sage.embedded import store
from sage.embedded.series import METHODS, ROOT, make_missing, name_missing, records
from sage.embedded.tasks import KINDS, TASKS
from sage.tables.cells import estimate


def interval(values: list[float]) -> str:
    """Mean and, from two values on, half the width of the 95% t interval over seeds."""
    found = estimate(values)
    if found is None:
        return "missing"
    return f"{found.mean:.3f}" + (f" ±{found.half_width:.3f}" if found.half_width is not None else "")


def compare(runs: dict[str, dict[int, dict[str, Any]]]) -> list[dict[str, Any]]:
    """One row a method, over its seeds; seconds relative to the mean of GRPO's runs in the same series."""
    rows = []
    series: dict[str, list[dict[str, Any]]] = {}
    for record in runs.get("grpo", {}).values():
        series.setdefault(record["series"], []).append(record)
    for method, seeds in runs.items():
        own = list(seeds.values())
        tokens = [r["tokens"] for r in own if "tokens" in r]
        row: dict[str, Any] = {"method": method, "seeds": sorted(seeds)}
        row |= {kind: [r["final"][kind] for r in own] for kind in KINDS}
        for key in ("never_solved", "hint_usage_last_quarter"):
            row[key] = [r[key] for r in own if key in r]
        kinds = dict.fromkeys(kind for t in tokens for kind in t)  # a record holds those known when it was made
        row["tokens"] = {kind: fmean(t.get(kind, 0) for t in tokens) for kind in kinds}
        for key, name in (("wall_seconds", "seconds"), ("step_seconds", "step_seconds")):
            beside = [
                (r[key], fmean(g[key] for g in series[r["series"]])) for r in own if r["series"] in series and key in r
            ]
            row[f"{name}_relative_to_grpo"] = [seconds / grpo for seconds, grpo in beside]
        rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The comparison as a Markdown table."""
    head = [
        "method",
        "seeds",
        "easy",
        "medium",
        "hard",
        "never solved",
        "hinted, last quarter",
        "tokens (k)",
        "of them",
    ]
    head += ["step time / GRPO", "run time / GRPO"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        tokens = row["tokens"]
        kinds = ("plain_accepted", "plain_discarded", "hinted_accepted", "hinted_discarded", "hint")
        cells = [row["method"], str(len(row["seeds"])), *(interval(row[kind]) for kind in KINDS)]
        cells += [interval(row["never_solved"]), interval(row["hint_usage_last_quarter"])]
        cells += [f"{tokens['total'] / 1000:.0f}" if tokens else "missing"]
        cells += [" / ".join(f"{tokens[kind] / 1000:.0f}" for kind in kinds) if tokens else "missing"]
        cells += [interval(row["step_seconds_relative_to_grpo"]), interval(row["seconds_relative_to_grpo"])]
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    lines.append(
        "Accuracy without hints on 200 held-out problems of each kind; ± is half the 95% t interval over seeds."
    )
    lines.append(
        "Tokens: plain accepted / plain discarded / hinted accepted / hinted discarded / hint requests, thousands."
    )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true", help="make the runs that are missing")
    parser.add_argument("--task", choices=TASKS, default=TASKS[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--json", type=Path, help="write the comparison to this file")
    parser.add_argument("--work", type=Path, default=ROOT / "outputs" / "compare", help="folder of the runs themselves")
    parser.add_argument("--series", default=time.strftime("%Y-%m-%d"), help="name of runs whose times are comparable")
    parser.add_argument("--learning-rate", type=float, help="instead of the task's own; recorded apart")
    args = parser.parse_args()
    failed, rate = False, args.learning_rate
    if args.run:
        wanted = [(args.task, m, s) for s in args.seeds for m in args.methods]
        failed = make_missing(wanted, args.work, args.series, rate)
    rows = compare(store.load(records(args.task, rate), args.methods))
    print(table(rows))
    name_missing(args.task, dict.fromkeys(args.methods, args.seeds), rate)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
