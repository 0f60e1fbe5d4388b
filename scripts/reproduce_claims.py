"""Judge the paper's claims one by one on recorded runs of the embedded tasks.

    python scripts/reproduce_claims.py                 the table, from what is recorded in results/
    python scripts/reproduce_claims.py --json FILE     the same as JSON, with the value of every seed
    python scripts/reproduce_claims.py --run           makes the missing runs first, 4 to 10 minutes each
    python scripts/reproduce_claims.py --tasks wheels  one task only
    python scripts/reproduce_claims.py --docs          writes the tables of results/README.md and README.md

The runs are those of scripts/compare_methods.py; seeds and margins are in sage/toy/claims/settings.yaml. A claim is a
set of inequalities between means over seeds. It is supported if the 95% intervals of all of them are on its side, not
supported if one is on the other side, and else inconclusive. If stopped, only the run in progress is lost.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from sage.support.arguments import output_file
from sage.support.files import write_json
from sage.toy.claims.claims import wanted_seeds
from sage.toy.claims.page import Judged, claims_table, gate_file, gate_table, judge, pages
from sage.toy.embedded.series import WORK, make_missing, name_missing, shell
from sage.toy.embedded.tasks import ROOT, TASKS


def as_json(judged: Judged) -> dict[str, Any]:
    """Everything that the table holds of a task, and the value of every seed."""
    return {
        "claims": [
            {
                "name": claim.name,
                "claim": claim.text,
                "verdict": claim.verdict,
                "parts": [
                    {
                        "what": part.what,
                        "threshold": part.threshold,
                        "within": part.within,
                        "verdict": part.verdict,
                        "mean": part.estimate and part.estimate.mean,
                        "half_width": part.estimate and part.estimate.half_width,
                        "values": part.values,
                        "missing": part.missing,
                    }
                    for part in claim.parts
                ],
            }
            for claim in judged.claims
        ],
        "seeds": {method: sorted(seeds) for method, seeds in judged.runs.items()},
        "gate": judged.gate,
    }


def make_runs(tasks: Sequence[str], series: str) -> bool:
    """Make what is missing: gates first, then the runs seed by seed; returns whether one failed."""
    wanted, failed = wanted_seeds(), False
    for task in tasks:
        if not gate_file(task).exists():
            print(f"== {task}: the gate, a few minutes", flush=True)
            command = ["python", "-m", "sage.toy.claims.gate", "--task", task, "--out", str(gate_file(task))]
            try:
                shell(command, limit=3600)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                failed = True
                print(f"== not recorded: {error}", flush=True)
    most = max(map(len, wanted.values()))
    runs = [(t, m, seed) for seed in range(most) for t in tasks for m in wanted if seed in wanted[m]]
    return make_missing(runs, WORK, series) or failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--json", type=output_file, help="write the verdicts and their numbers to this file")
    parser.add_argument("--run", action="store_true", help="make the missing runs, seed by seed")
    parser.add_argument(
        "--series", default=time.strftime("%Y-%m-%d"), help="name of a series, whose times are comparable"
    )
    parser.add_argument("--docs", action="store_true", help="write the tables of results/README.md and README.md")
    args = parser.parse_args()
    failed = make_runs(args.tasks, args.series) if args.run else False
    if args.docs:
        for path, text in pages().items():
            path.write_text(text, encoding="utf-8")
            print(f"written: {path.relative_to(ROOT)}")
    judged = {task: judge(task) for task in args.tasks}
    printed = not (args.json or args.docs)
    if printed:
        print(claims_table({task: found.claims for task, found in judged.items()}))
    for task, found in judged.items():
        if found.gate and printed:
            print(f"\nC10 by hint level, {task}:\n\n{gate_table(found.gate)}")
        name_missing(task, wanted_seeds())
    if args.json:
        write_json(args.json, {t: as_json(j) for t, j in judged.items()})
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
