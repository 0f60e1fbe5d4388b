"""A `Table` as Markdown, LaTeX and CSV. A missing cell is a dash, with a note below that says why."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from sage.report.tables.cells import Cell, Row, Table

DASH = "—"


def value_text(cell: Cell, decimals: int) -> tuple[str, str]:
    """The mean, or a dash, and the interval, or nothing."""
    if cell.estimate is None:
        return DASH, ""
    width = cell.estimate.half_width
    return f"{cell.estimate.mean:.{decimals}f}", "" if width is None else f"±{width:.{decimals}f}"


def missing_notes(missing: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence for each thing that is missing, with the folders that lack it."""
    return [f"{DASH} missing: {', '.join(folders)}: {reason}." for reason, folders in missing.items()]


def all_notes(table: Table) -> list[str]:
    """The table's notes, what is missing last."""
    paper = [cell for block in table.blocks for row in block.rows if row.source == "paper" for cell in row.cells]
    unprinted = [f"{DASH} not printed in the paper."] if Cell() in paper else []
    return [*table.notes, *unprinted, *missing_notes(table.missing)]


def markdown(table: Table) -> str:
    def text(cell: Cell, row: Row) -> str:
        value, width = value_text(cell, table.decimals)
        value = f"**{value}**" if cell.best else value
        return f"*{value}*" if row.source == "paper" and not cell.best else f"{value} {width}".strip()

    lines = [f"## {table.number}. {table.title}", ""]
    for block in table.blocks:
        if block.title:
            lines += [f"### {block.title}", ""]
        lines += ["| | " + " | ".join(table.head) + " |", "|---|" + "---:|" * len(table.head)]
        for row in block.rows:
            name = row.label if row.source == "ours" else "*paper*"
            lines.append("| " + " | ".join([name, *(text(cell, row) for cell in row.cells)]) + " |")
        lines.append("")
    return "\n".join([*lines, *(f"- {note}" for note in all_notes(table))]) + "\n"


def escape(text: str) -> str:
    """Plain text for LaTeX."""
    signs = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    signs |= {sign: "\\" + sign for sign in "&%$#_{}"} | {"±": r"$\pm$", DASH: r"\textemdash{}", "<": "$<$", ">": "$>$"}
    return "".join(signs.get(sign, sign) for sign in text).replace("--", "-{}-")


def latex(table: Table) -> str:
    """A table environment; the document needs the packages booktabs and xcolor."""

    def text(cell: Cell, row: Row) -> str:
        value, width = map(escape, value_text(cell, table.decimals))
        value = rf"\textbf{{{value}}}" if cell.best else value
        value += rf" {{\scriptsize {width}}}" if width else ""
        return value if row.source == "ours" else rf"\textcolor{{gray}}{{{value}}}"

    lines = ["% needs \\usepackage{booktabs,xcolor}", r"\begin{table}[t]", r"\centering\small"]
    lines += [rf"\caption{{{escape(table.title)}}}", rf"\begin{{tabular}}{{l{'r' * len(table.head)}}}", r"\toprule"]
    lines.append(" & ".join(["", *map(escape, table.head)]) + r" \\")
    for block in table.blocks:
        lines.append(r"\midrule")
        if block.title:
            lines.append(rf"\multicolumn{{{len(table.head) + 1}}}{{l}}{{\textbf{{{escape(block.title)}}}}} \\")
        for row in block.rows:
            name = escape(row.label) if row.source == "ours" else r"\quad\textcolor{gray}{paper}"
            lines.append(" & ".join([name, *(text(cell, row) for cell in row.cells)]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", "", r"\medskip\raggedright\footnotesize"]
    lines += [escape(note) + r"\\" for note in all_notes(table)[:-1]] + [escape(all_notes(table)[-1])]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def write_csv(table: Table, path: Path) -> None:
    """One line a cell, at full precision; ``missing`` says why a mean of ours is empty."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "method", "label", "source", "column", "mean", "half_width", "seeds", "missing"])
        for block in table.blocks:
            for row in block.rows:
                for head, cell in zip(table.head, row.cells, strict=True):
                    e = cell.estimate
                    numbers = (
                        ["", "", ""] if e is None else [e.mean, e.half_width, "" if row.source == "paper" else e.seeds]
                    )
                    absent = "not printed" if e is None and row.source == "paper" else cell.missing
                    writer.writerow([block.title or head, row.method, row.label, row.source, head, *numbers, absent])


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write the three files of a table."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{table.name}.{kind}" for kind in ("md", "tex", "csv")]
    paths[0].write_text(markdown(table), encoding="utf-8")
    paths[1].write_text(latex(table), encoding="utf-8")
    write_csv(table, paths[2])
    return paths
