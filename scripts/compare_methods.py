"""Compare all methods on an embedded task, from recorded runs: equal steps, tested without hints.

    python scripts/compare_methods.py                  the table of what is recorded in results/opchain
    python scripts/compare_methods.py --json FILE      the same as JSON
    python scripts/compare_methods.py --run            makes the missing runs, 4 to 10 minutes each
    python scripts/compare_methods.py --task wheels    the second task
    python scripts/compare_methods.py --run --methods grpo sage --seeds 0 1 2
    python scripts/compare_methods.py --run --methods grpo sage --seeds 100 --learning-rate 1e-3

The rows are those of `sage.method.methods`. Machines differ, so a run's time is compared with GRPO's mean time in the
same series of runs on one machine (``--series``). Runs with another learning rate are recorded in
benchmarks/results/learning_rate.
"""

from __future__ import annotations

import argparse
import sys
import time

from sage.method.methods import METHODS
from sage.support.arguments import at_least, output_file, positive
from sage.support.files import write_json
from sage.toy.embedded import store
from sage.toy.embedded.comparison import compare, costs_table, scores_table
from sage.toy.embedded.series import WORK, make_missing, name_missing, records
from sage.toy.embedded.tasks import TASKS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true", help="make the missing runs")
    parser.add_argument("--task", choices=TASKS, default=TASKS[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", nargs="+", type=at_least(0), default=[0, 1, 2])
    parser.add_argument("--json", type=output_file, help="write the comparison to this file")
    parser.add_argument(
        "--series", default=time.strftime("%Y-%m-%d"), help="name of a series, whose times are comparable"
    )
    parser.add_argument("--learning-rate", type=positive, help="instead of the task's; recorded separately")
    args = parser.parse_args()
    failed, rate = False, args.learning_rate
    if args.run:
        wanted = [(args.task, m, s) for s in args.seeds for m in args.methods]
        failed = make_missing(wanted, WORK, args.series, rate)
    try:
        rows = compare(store.load(records(args.task, rate), args.methods))
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(scores_table(rows), costs_table(rows), sep="\n\n")
    name_missing(args.task, dict.fromkeys(args.methods, args.seeds), rate)
    if args.json:
        write_json(args.json, rows)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
