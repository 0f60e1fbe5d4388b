"""How well the forecast of sage-calibrated would have done on a SAGE run: its recorded outcomes, replayed.

    python -m benchmarks.replay outputs/.../sage/sage outputs/.../sage/sage --json replay.json

Takes run folders (or histories) of ``method=sage``. Over all runs together, the forecast of `sage.method.calibration`,
made before every visit as in training: how well it tells the groups that succeed from those that fail at each level,
and how many of the former are passed over with 30% of the latter.
"""

from __future__ import annotations

import argparse
import json
import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import mean
from typing import Any
from unittest.mock import patch

import sage.method.calibration
from sage.method.calibration import PROMPT_DRIFT, Calibration
from sage.method.state import HISTORY_FILE
from sage.report.history import Entry, read_history
from sage.toy.embedded.comparison import markdown

LEVELS = 4
FROM_STEP = 11
"""First step whose forecasts count: the level terms have settled."""
PASSED = 0.3
"""Share of the failing groups to pass over."""
DRIFTS = (PROMPT_DRIFT, 0.15)


def forecasts(history: Sequence[Entry], drift: float) -> dict[int, list[tuple[float, bool]]]:
    """Chance of a success that was forecast, and whether there was one, by level."""
    calibration = Calibration(LEVELS - 1)
    found: dict[int, list[tuple[float, bool]]] = {level: [] for level in range(LEVELS)}
    with patch.object(sage.method.calibration, "PROMPT_DRIFT", drift):
        for step, entries in groupby(history, key=lambda e: e.step):
            visits = [e.visit for e in entries]
            for visit in visits if step >= FROM_STEP else ():
                forecast = calibration.forecast(visit.prompt_id, step)
                for group in visit.groups:
                    scenarios = zip(forecast.weights, forecast.rates, strict=True)
                    failure = sum(w * (1 - rates[group.level]) ** len(group.rollouts) for w, rates in scenarios)
                    found[group.level].append((1 - failure, not group.all_fail))
            calibration.update(visits, step)
    return found


def sharpness(pairs: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """How well forecast chances tell successful groups from failing ones."""
    failed = sorted(chance for chance, success in pairs if not success)
    succeeded = [chance for chance, success in pairs if success]
    ranks = [(bisect_left(failed, c) + bisect_right(failed, c)) / 2 / len(failed) for c in succeeded]
    limit = failed[round(PASSED * len(failed))]
    return {
        "groups": len(pairs),
        "succeed": len(succeeded) / len(pairs),
        "area under the curve": mean(ranks),
        "log loss": -mean(math.log(c if success else 1 - c) for c, success in pairs),
        f"successes lost for {PASSED:.0%} of the failures": mean(c < limit for c in succeeded),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders or histories of SAGE runs")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    args = parser.parse_args()
    histories = [list(read_history(run / HISTORY_FILE if run.is_dir() else run)) for run in args.runs]
    forecast: list[Mapping[str, Any]] = []
    for drift in DRIFTS:
        found = [forecasts(history, drift) for history in histories]
        for level in range(LEVELS):
            pairs = [pair for one in found for pair in one[level]]
            forecast.append({"drift of a prompt": drift, "level": level, **sharpness(pairs)})
    cells = [[f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values()] for row in forecast]
    print(markdown(list(forecast[0]), cells), end="\n\n")
    if args.json:
        args.json.write_text(json.dumps({"forecast": forecast}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
