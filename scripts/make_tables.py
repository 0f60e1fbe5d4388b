"""The paper's Tables 1, 2, 3 and C.1 and Figures 2 to 6 from result folders, with the paper's numbers beside ours.

    python scripts/make_tables.py --results results --out tables
    python scripts/make_tables.py --results results --out tables --model opchain

Tables are written as Markdown, LaTeX and CSV, figures as PNG with their numbers; OUT/index.md shows them all. For the
layout of the folders see docs/tables.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from sage.report.tables import figures, paper, tables
from sage.report.tables.cells import Table, groups, unfit
from sage.report.tables.collect import Results, read_results
from sage.report.tables.plot import Figure, write_figure
from sage.report.tables.render import missing_notes, write_table
from sage.support.arguments import named_path
from sage.support.files import why_no_folder


def artefacts(results: Results) -> Iterator[tuple[str, Table | Figure | str]]:
    """Every table and figure by file name, or why there is none."""
    for name in (*tables.BUILDERS, *figures.BUILDERS):
        for model in results.runs:
            if reason := unfit(results, name, model):
                yield f"{name}_{model}", reason
        for suffix, models in groups(results, name).items():
            if name in tables.BUILDERS:
                yield name + suffix, tables.BUILDERS[name](results, models, name + suffix)
            else:
                yield name + suffix, figures.build(figures.BUILDERS[name], results, models, name + suffix)


def make(args: argparse.Namespace) -> int:
    """Write what the options name; the exit status."""
    if why := why_no_folder(args.out):
        raise ValueError(f"--out {args.out}: {why}")
    results = read_results(args.results, args.model)
    made: list[Path] = []
    for name, artefact in artefacts(results):
        if isinstance(artefact, str):
            print(f"not made  {name}: {artefact}")
        elif not artefact.has_ours:
            print(f"not made  {name}: {' '.join(missing_notes(artefact.missing))}")
        else:
            paths = write_table(artefact, args.out) if isinstance(artefact, Table) else write_figure(artefact, args.out)
            made.append(paths[0])
            print(f"made      {name}", *(f"          {note}" for note in missing_notes(artefact.missing)), sep="\n")
    if lacking := [] if args.model else [m for m in (*paper.MODELS, paper.HARD_STUDY) if m not in results.runs]:
        print(f"not made  of the paper's models: no results in {args.results}/{{{','.join(lacking)}}}")
    for reason in results.skipped:
        print(f"not read  {reason}")
    if not made:
        print(f"nothing made: no results in {args.results}")
        return 1
    text = []
    for path in made:
        text.append(path.read_text(encoding="utf-8"))
        if not path.stem.startswith("figure"):
            text.append(f"[LaTeX]({path.stem}.tex), [CSV]({path.stem}.csv)\n")
    (args.out / "index.md").write_text("\n".join(text), encoding="utf-8")
    print(f"{len(made)} tables and figures, all in {args.out / 'index.md'}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=named_path, default=Path("results"), help="tree RESULTS/<model>/<method>/")
    parser.add_argument("--out", type=named_path, default=Path("tables"))
    parser.add_argument("--model", nargs="+", action="extend", help="only these models")
    args = parser.parse_args()
    try:
        return make(args)
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
