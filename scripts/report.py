"""Make an HTML page about one or more runs: curves, levels, gate, cost, history of prompts, hints, configuration.

    python scripts/report.py outputs/opchain/sage --out report.html
    python scripts/report.py grpo=runs/a sage:0=runs/b sage:1=runs/c --out report.html --png figures

RUN is a run's folder, a folder with runs below it, or a recorded run (results/opchain/*/seed<k>.json). Method and seed
are read from the path, or given as METHOD=RUN or METHOD:SEED=RUN. The page needs no network. More: docs/report.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sage.grading.verifier import load_verifier
from sage.method.state import HISTORY_FILE
from sage.report.history import read_history
from sage.report.page import render, render_run
from sage.report.runs import (
    MODEL,
    Source,
    find_sources,
    read_metrics,
    read_problems,
    read_setup,
    setting,
    training_files,
)
from sage.report.tables import figures
from sage.report.tables.cells import label
from sage.report.tables.collect import Results, Run
from sage.report.tables.plot import write_figure
from sage.support.arguments import output_file
from sage.support.files import why_no_folder, write_text


def write_pngs(sources: list[Source], runs: list[Run], folder: Path) -> list[str]:
    """The figures of scripts/make_tables.py for these runs; what was made, a line each."""
    by_method: dict[str, list[Run]] = {}
    for source, run in zip(sources, runs, strict=True):
        by_method.setdefault(source.method, []).append(run)
    results = Results({MODEL: {method: tuple(own) for method, own in by_method.items()}}, ())
    lines = []
    for name in ("figure2", "figure4", "figure6"):
        figure = figures.build(figures.BUILDERS[name], results, [MODEL], name)
        if figure.has_ours:
            lines.append(f"{write_figure(figure, folder)[-1]}")
        else:
            lines.append(f"not made: {name}, its metrics are not in these runs")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--out", type=output_file, default=Path("report.html"))
    parser.add_argument("--png", type=Path, help="folder for Figures 2, 4 and 6 as PNG, with their numbers")
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        action="extend",
        help="training files, for problems and answers; by default the run's own",
    )
    parser.add_argument("--verifier", help="for the leak guard; by default the run's own, if it is one of this project")
    parser.add_argument(
        "--prompt", nargs="+", action="extend", default=[], metavar="ID", help="prompts whose texts are not cut"
    )
    args = parser.parse_args()
    try:
        if args.out.suffix not in (".html", ".htm"):
            raise ValueError(f"--out {args.out}: the name must end in .html")
        if args.png and (why := why_no_folder(args.png)):
            raise ValueError(f"--png: {why}")
        if nowhere := [file for file in args.data or () if not file.is_file()]:
            raise ValueError(f"--data {nowhere[0]}: no such file")
        sources = find_sources(args.runs)
        runs = [read_metrics(source) for source in sources]
        pages = []
        notes: list[str] = []
        seen: set[str] = set()
        for index, (source, run) in enumerate(zip(sources, runs, strict=True)):
            setup = read_setup(source)
            path = source.state / HISTORY_FILE
            entries = list(read_history(path)) if path.is_file() else []
            seen |= {e.visit.prompt_id for e in entries}
            files = (args.data or training_files(setup)) if entries else []
            problems = {prompt: problem for file in files for prompt, problem in read_problems(file).items()}
            unknown = len({e.visit.prompt_id for e in entries} - problems.keys())
            if unknown:
                notes.append(f"{source.label}: no problem and answer for {unknown:,} prompts; give --data.")
            name = args.verifier or str(setting(setup.config, "sage", "verifier") or "math")
            if not (args.verifier or ":" not in name or name.startswith("sage.")):  # code that a run folder names
                notes.append(f"{source.label}: leaks in hints by exact comparison; its own is --verifier {name}.")
                name = "exact"
            verifier = load_verifier(name)
            pages.append(render_run(index, source, run, entries, problems, verifier, setup, args.prompt, len(sources)))
            print(f"read  {source.label}: {run.steps or 0} steps, {len(entries):,} visits  {source.path}")
        if lacking := [prompt for prompt in args.prompt if prompt not in seen]:
            raise ValueError(f"--prompt {' '.join(lacking)}: in none of the histories")
        title = "SAGE report: " + ", ".join(dict.fromkeys(label(source.method) for source in sources))
        write_text(args.out, render(title, sources, runs, pages, notes))
        print(*notes, f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB", sep="\n")
        if args.png:
            print(*write_pngs(sources, runs, args.png), sep="\n")
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
