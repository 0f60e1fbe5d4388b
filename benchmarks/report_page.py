"""How long a browser takes to open the report of a large run, how big the page is, and what it asks the network for.

    python -m benchmarks.report_page --json benchmarks/results/report_page.json

A run of 15,000 prompts and 64,000 visits with hints of some 400 characters is drawn at random, made a page by
scripts/report.py, and opened by a headless chromium several times, each with a profile of its own. Milliseconds are
those between the start of the navigation and the end of the last handler of ``load``, layout included.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.driver import simulate_visit
from sage.method.schedule import Sage
from sage.method.state import HISTORY_FILE, VisitHistory

ROOT = Path(__file__).resolve().parents[1]
PROMPTS, VISITS, BATCH = 15_000, 64_000, 128
WORDS = [a + b for a in ("factor", "sum", "count", "bound", "pair", "split", "root") for b in ("", "s", " it")]
PROBE = """<script>
addEventListener("load", () => {
  document.body.offsetHeight;
  const root = document.documentElement;
  root.dataset.opened = Math.round(performance.now());
  root.dataset.requests = performance.getEntriesByType("resource").length;
  root.dataset.wider = root.scrollWidth - innerWidth;
});
</script></body>"""


def write_run(folder: Path) -> None:
    """History and metrics of a run of Algorithm 1."""
    from sage.method.metrics import visit_metrics  # here, as it imports torch, which --help need not wait for

    rng, schedule = random.Random(0), Sage()
    folder.mkdir()
    history = VisitHistory(folder / HISTORY_FILE)
    with open(folder / "metrics.jsonl", "w", encoding="utf-8") as metrics:
        for step in range(1, VISITS // BATCH + 1):
            visits = {}
            for place in range(BATCH):
                number = ((step - 1) * BATCH + place) % PROMPTS
                visit = simulate_visit(rng, f"prompt/{number}", schedule, schedule.plan(None, None), step)
                groups = [
                    replace(g, hint=" ".join(rng.choices(WORDS, k=80)) if g.level else None) for g in visit.groups
                ]
                visits[f"uid-{step}-{place}"] = replace(visit, groups=tuple(groups))
            history.append(step, visits)
            data = visit_metrics(visits.values(), [], 3) | {"timing_s/step": 100.0, "sage/never_solved": 0.1}
            metrics.write(json.dumps({"step": step, "data": data}) + "\n")


def open_page(page: Path, width: int) -> dict[str, int]:
    """What the browser measured: milliseconds, requests of the page, pixels by which it is too wide."""
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}"]
        flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        command = ["chromium", *flags, f"--window-size={width},900", "--dump-dom", f"file://{page}"]
        dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    return {name: int(value) for name, value in re.findall(r'data-(opened|requests|wider)="(-?\d+)"', dom[:3000])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_run(folder / "sage")
        page = folder / "report.html"
        subprocess.run(
            [sys.executable, "scripts/report.py", str(folder / "sage"), "--out", str(page)], cwd=ROOT, check=True
        )
        size = page.stat().st_size / 1e6
        page.write_text(page.read_text(encoding="utf-8").replace("</body>", PROBE), encoding="utf-8")
        seen = [{"width": width} | open_page(page, width) for width in (1280, 500) for _ in range(args.repeats)]
    print(f"| window, px | ms to open, {args.repeats} times | requests | too wide by, px |\n|---|---|---|---|")
    for width in (1280, 500):
        own = [each for each in seen if each["width"] == width]
        times = sorted(each["opened"] for each in own)
        print(f"| {width} | {times[len(times) // 2]} ({times[0]}-{times[-1]}) | {max(e['requests'] for e in own)} "
              f"| {max(0, *(e['wider'] for e in own))} |")  # fmt: skip
    print(f"{PROMPTS:,} prompts, {VISITS:,} visits: {size:.1f} MB, {len(os.sched_getaffinity(0))} cores")
    if args.json:
        record = {"prompts": PROMPTS, "visits": VISITS, "megabytes": round(size, 1), "opened": seen}
        args.json.write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
