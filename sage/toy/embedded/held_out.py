"""Test a model of an embedded task on its held-out problems, without hints, with scripts/evaluate.py.

source scripts/cpu_env.sh
python -m sage.toy.embedded.held_out --task opchain --model DIR --data test.parquet --out OUT
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from sage.support.arguments import at_least
from sage.toy.embedded.tasks import ENGINE_OPTIONS, KINDS, ROOT, TASKS, task_config

NAME = "model"


def read_scores(out: Path) -> dict[str, float]:
    """Accuracy by kind, from the folder of a test that has ended."""
    found = json.loads((out / NAME / "summary.json").read_text(encoding="utf-8"))["benchmarks"]
    return {kind: round(found[kind]["avg"], 4) for kind in KINDS}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--data", type=Path, required=True, help="test.parquet of sage.toy.embedded.build_data")
    parser.add_argument("--out", type=Path, required=True, help="folder for samples and scores")
    parser.add_argument("--samples", type=at_least(1), default=1, help="answers to each problem, at temperature 1")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows, benchmarks = pq.read_table(args.data), []
    for kind in KINDS:
        file = args.out / f"{kind}.parquet"
        pq.write_table(rows.filter(pc.equal(rows["data_source"], kind)), file)
        benchmarks.append(f"{kind}={file}")
    command = ["--model", args.model, "--name", NAME, "--out", args.out, "--benchmarks", *benchmarks]
    command += ["--samples", args.samples, "--temperature", 1, "--top-p", 1, "--max-tokens", 56, "--no-responses"]
    command += ["--verifier", task_config(args.task)["sage"]["verifier"]]
    command += ENGINE_OPTIONS
    return subprocess.run([sys.executable, ROOT / "scripts/evaluate.py", *map(str, command)]).returncode


if __name__ == "__main__":
    sys.exit(main())
