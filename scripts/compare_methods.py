"""Every method beside the others on the embedded world, from recorded runs: equal steps, no hints at the test.

    python scripts/compare_methods.py                  the table of what is recorded in results/opchain
    python scripts/compare_methods.py --json FILE      the same as JSON
    python scripts/compare_methods.py --run            makes the runs that are missing, about 5 minutes each
    python scripts/compare_methods.py --run --methods grpo sage --seeds 0 1 2

Every run is ``examples/run_tiny_cpu.sh`` (or ``run_tiny_sft.sh``) with the overrides of `METHODS`: real verl, Ray and
vLLM. A run is recorded when it has ended; an interrupted one is made again. Wall time is compared within one series of
runs on one machine (``--series``), since machines differ.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pyarrow.parquet as pq

from sage.opchain import store
from sage.opchain.build_data import TEST, TRAIN, build
from sage.opchain.summary import PACKAGES, summarize
from sage.opchain.task import KINDS

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results" / "opchain"
STEPS = 45
METHODS: dict[str, list[str]] = {
    "grpo": ["method=grpo"],
    "dapo": ["method=dapo"],
    "sft": [],
    "luffy": ["method=luffy"],
    "scaf-grpo": ["method=scaf-grpo", "sage.hint_source={teacher}"],
    "fixed-1": ["method=fixed-1"],
    "fixed-2": ["method=fixed-2"],
    "fixed-3": ["method=fixed-3"],
    "sage": ["method=sage"],
    "sage-from-last": ["method=sage-from-last"],
    "sage-light": ["method=sage-light"],
    "sage-light-released": ["method=sage-light-released"],
    "sage-calibrated": ["method=sage-calibrated"],
    "sage-probe": ["method=sage-probe"],
    "offline": ["method=sage", "sage.hint_source={offline1}"],
    "offline-10": ["method=sage", "sage.hint_source={offline10}"],
    "teacher": ["method=sage", "sage.hint_source={teacher}"],
    "off-policy": ["method=off-policy"],
    "dr-grpo": ["method=grpo", "algorithm.norm_adv_by_std_in_grpo=false"],
    "grpo-verl": ["method=grpo", "algorithm.adv_estimator=grpo"],
}
"""Each row of the comparison: what it changes. {offline1} and the like stand for hint files, made where needed."""


def write_teacher_hints(data: Path, out: Path) -> None:
    """The hints of an ideal teacher: the checkpoint of each level."""
    rows = pq.read_table(data, columns=["prompt_id", "solution"]).to_pylist()
    lines = [
        {"prompt_id": row["prompt_id"], "level": level, "hint": row["solution"][4 * (level - 1) : 4 * level]}
        for row in rows
        for level in (1, 2, 3)
    ]
    out.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def write_offline_hints(data: Path, out: Path, draws: int) -> None:
    """Hints by the base model, written by ``scripts/write_hints.py``."""
    partial = out.with_name("partial-" + out.name)
    engine = {"dtype": "float32", "max_model_len": 128, "enforce_eager": True, "gpu_memory_utilization": 0.1}
    command = ["--model", "examples/opchain_base", "--data", data, "--out", partial, "--draws", draws]
    command += ["--prompts", "sage/opchain/prompts.yaml", "--request", "level", "--max-tokens", 16]
    command += ["--verifier", "sage.opchain.verifier:OpchainVerifier"]
    command += [part for key, value in engine.items() for part in ("--engine", f"{key}={value}")]
    shell(["python", "scripts/write_hints.py", *map(str, command)], limit=1800)
    partial.rename(out)


def shell(command: list[str], limit: int, **environment: str) -> None:
    """Run a command with the CPU environment of the examples; it is stopped after ``limit`` seconds."""
    line = ["bash", "-c", 'source scripts/setup_env.sh && source scripts/cpu_env.sh && exec "$@"', "bash", *command]
    subprocess.run(line, cwd=ROOT, env=os.environ | environment, timeout=limit, check=True)


def hint_file(name: str, data: Path) -> Path:
    """The hint file that an override names, made if need be."""
    path = data.parent / f"{name}.jsonl"
    if not path.exists():
        if name == "teacher":
            write_teacher_hints(data, path)
        else:
            write_offline_hints(data, path, draws=int(name.removeprefix("offline")))
    return path


def run(method: str, seed: int, steps: int, work: Path, series: str) -> dict[str, Any]:
    """Make one run and return its record."""
    folder = work / f"seed{seed}" / method
    inputs = work / f"seed{seed}" / "inputs"
    build(inputs, seed, TRAIN, TEST)
    names = ("teacher", "offline1", "offline10")
    used = {name for name in names if any(f"{{{name}}}" in part for part in METHODS[method])}
    files = {name: str(hint_file(name, inputs / "train.parquet")) for name in used}
    overrides = [part.format(**files) for part in METHODS[method]]
    shutil.rmtree(folder, ignore_errors=True)
    environment = {"OUTPUT": str(folder), "STEPS": str(steps), "SEED": str(seed)}
    if method == "sft":
        shell(["bash", "examples/run_tiny_sft.sh"], limit=3600, **environment)
        inner = folder / "sft"
        evaluated = json.loads((inner / "metrics.jsonl").read_text().splitlines()[0])["data"]
        final = {kind: round(evaluated[f"val-core/{kind}/acc/mean@1"], 4) for kind in KINDS}
        summary = {"final": final, "steps": steps, "wall_seconds": int((inner / "wall_seconds").read_text())}
        found = {}
    else:
        name = overrides[0].removeprefix("method=")
        shell(["bash", "examples/run_tiny_cpu.sh", *overrides[1:]], limit=3600, METHODS=name, **environment)
        inner = folder / name
        summary = summarize(inner / "metrics.jsonl", seed)
        found = store.curves(inner / "metrics.jsonl")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "method": method,
        "overrides": METHODS[method],
        **summary,
        "seed": seed,
        "series": series,
        "commit": commit.stdout.strip(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {package: importlib.metadata.version(package) for package in PACKAGES},
        "curves": found,
    }


def interval(values: list[float]) -> str:
    """Mean and, from two values on, half the width of the 95% t interval over seeds."""
    if not values:
        return "missing"
    if len(values) == 1:
        return f"{values[0]:.3f}"
    t = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36}.get(len(values), 2.0)
    return f"{fmean(values):.3f} ±{t * stdev(values) / math.sqrt(len(values)):.3f}"


def compare(runs: dict[str, dict[int, dict[str, Any]]]) -> list[dict[str, Any]]:
    """One row a method, over its seeds; seconds relative to GRPO's run of the same seed and series."""
    rows = []
    grpo = {(r["seed"], r.get("series")): r for r in runs.get("grpo", {}).values()}
    for method, seeds in runs.items():
        records = list(seeds.values())
        beside = [(r, grpo[r["seed"], r.get("series")]) for r in records if (r["seed"], r.get("series")) in grpo]
        tokens = [r["tokens"] for r in records if "tokens" in r]
        rows.append(
            {
                "method": method,
                "seeds": sorted(seeds),
                **{kind: [r["final"][kind] for r in records] for kind in KINDS},
                "never_solved": [r["never_solved"] for r in records if "never_solved" in r],
                "hint_usage_last_quarter": [r["hint_usage_last_quarter"] for r in records if "tokens" in r],
                "tokens": {kind: fmean(t[kind] for t in tokens) for kind in (tokens[0] if tokens else {})},
                "seconds_relative_to_grpo": [r["wall_seconds"] / g["wall_seconds"] for r, g in beside],
                "step_seconds_relative_to_grpo": [
                    r["step_seconds"] / g["step_seconds"] for r, g in beside if "step_seconds" in r
                ],
            }
        )
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


def make_missing(args: argparse.Namespace) -> None:
    """Make and record the runs that are missing, seed by seed."""
    known = store.load(RESULTS, METHODS)
    todo = [(m, s) for s in args.seeds for m in args.methods if s not in known.get(m, {})]
    began = time.time()
    for number, (method, seed) in enumerate(todo):
        left = (time.time() - began) / number * (len(todo) - number) / 60 if number else None
        print(
            f"== run {number + 1}/{len(todo)}: {method}, seed {seed}" + (f", left {left:.0f} min" if left else ""),
            flush=True,
        )
        record = run(method, seed, args.steps, args.work, args.series)
        print(f"== recorded in {store.save(RESULTS, record).relative_to(ROOT)}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true", help="make the runs that are missing")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--json", type=Path, help="write the comparison to this file")
    parser.add_argument("--work", type=Path, default=ROOT / "outputs" / "compare", help="folder of the runs themselves")
    parser.add_argument("--series", default=time.strftime("%Y-%m-%d"), help="name of runs whose times are comparable")
    args = parser.parse_args()
    if args.run:
        make_missing(args)
    rows = compare(store.load(RESULTS, args.methods))
    print(table(rows))
    missing = {m: [s for s in args.seeds if not (RESULTS / m / f"seed{s}.json").exists()] for m in args.methods}
    for method, seeds in missing.items():
        if seeds:
            print(f"missing: {method}, seeds {', '.join(map(str, seeds))}", file=sys.stderr)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
