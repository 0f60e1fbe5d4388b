"""The paper's claims, judged one by one on recorded runs of the embedded world.

    python scripts/reproduce_claims.py                 the table, from what is recorded in results/opchain
    python scripts/reproduce_claims.py --json FILE     the same as JSON, with the value of every seed
    python scripts/reproduce_claims.py --run           makes what is missing first, about 5 minutes a run

The runs are those of scripts/compare_methods.py, seeds and margins those of sage/claims/settings.yaml. A claim is a set
of inequalities between means over seeds. It is supported when the 95% intervals of all of them lie on its side, not
supported when one lies on the other, else inconclusive. Stopping loses the run in progress, no more.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sage.claims.claims import judge_all, wanted_seeds
from sage.claims.gate import gate_rows
from sage.claims.judge import Claim, Runs
from sage.opchain import store
from sage.opchain.series import METHODS, RESULTS, ROOT, make_missing, name_missing, shell

GATE = RESULTS / "gate.json"


def table(claims: Sequence[Claim]) -> str:
    """The verdicts as a Markdown table."""
    lines = ["| | claim | in the paper | verdict | mean ± half the 95% interval |", "|---|---|---|---|---|"]
    for claim in claims:
        numbers = "<br>".join(map(str, claim.parts))
        text = claim.text + (f" ({claim.note})" if claim.note else "")
        lines.append(f"| {claim.name} | {text} | {claim.where or '—'} | **{claim.verdict}** | {numbers} |")
    return "\n".join(lines)


def gate_table(rows: Sequence[dict[str, float]]) -> str:
    """The measured gate by level as a Markdown table."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    return "\n".join(
        lines + ["| " + " | ".join(f"{v:.3f}" if v % 1 else f"{v:.0f}" for v in r.values()) + " |" for r in rows]
    )


def as_json(claims: Sequence[Claim], runs: Runs) -> dict[str, Any]:
    """Everything that the table holds, and the value of every seed."""
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
            for claim in claims
        ],
        "seeds": {method: sorted(seeds) for method, seeds in runs.items()},
        "gate": gate_rows(GATE) if GATE.exists() else None,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="print the table (the default unless --json is given)")
    parser.add_argument("--json", type=Path, help="write the verdicts and their numbers to this file")
    parser.add_argument("--run", action="store_true", help="make the runs that are missing, seed by seed")
    parser.add_argument("--work", type=Path, default=ROOT / "outputs" / "compare", help="folder of the runs themselves")
    parser.add_argument("--series", default=time.strftime("%Y-%m-%d"), help="name of runs whose times are comparable")
    args = parser.parse_args()
    wanted, failed = wanted_seeds(), False
    if args.run:
        if not GATE.exists():
            print("== the gate, a few minutes", flush=True)
            shell(["python", "-m", "sage.claims.gate", "--out", str(GATE)], limit=3600)
        most = max(map(len, wanted.values()))
        runs_wanted = [(method, seed) for seed in range(most) for method in wanted if seed in wanted[method]]
        failed = make_missing(runs_wanted, args.work, args.series)
    runs = store.load(RESULTS, METHODS)
    claims = judge_all(runs, GATE)
    if args.table or not args.json:
        print(table(claims))
        if GATE.exists():
            print(f"\nC10 by hint level:\n\n{gate_table(gate_rows(GATE))}")
    name_missing(wanted)
    if args.json:
        args.json.write_text(json.dumps(as_json(claims, runs), indent=1) + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
