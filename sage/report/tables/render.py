"""A `Table` as Markdown, LaTeX, CSV and a picture. A missing cell is a dash, with a note below that says why."""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from sage.report.tables.cells import Cell, Row, Table

DASH = "—"


def value_text(cell: Cell, decimals: int) -> tuple[str, str]:
    """The mean, or a dash, and the interval, or nothing."""
    if cell.estimate is None:
        return DASH, ""
    width = cell.estimate.half_width
    return f"{cell.estimate.mean:.{decimals}f}", "" if width is None else f"±{width:.{decimals}f}"


def row_label(row: Row) -> str:
    return row.label if row.source == "ours" else "paper"


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
            name = row_label(row) if row.source == "ours" else f"*{row_label(row)}*"
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


SIZE, SMALL, LINE, GAP, MARGIN = 9.0, 7.0, 15.0, 16.0, 12.0
"""Of the picture, in points: text, intervals and notes, height of a line, between columns, around everything."""
INK, GRAY = "#1a1a1a", "#6b6b6b"
FONT = "STIXGeneral"


@cache
def width_of(text: str, size: float = SIZE, bold: bool = False) -> float:
    """Width of a text in points."""
    if not text:
        return 0.0
    return (
        TextPath((0, 0), text, prop=FontProperties(family=FONT, size=size, weight="bold" if bold else 400))
        .get_extents()
        .x1
    )


def picture(table: Table) -> Figure:
    """The table drawn: a line for ours in black, one for the paper's numbers below it in gray."""
    rows = [row for block in table.blocks for row in block.rows]
    labels = [*(row.label for row in rows), *(f"   {row_label(row)}" for row in rows)]
    first = max(width_of(text) for text in labels)
    texts = [[value_text(row.cells[i], table.decimals) for row in rows] for i in range(len(table.head))]
    spread = [max(width_of(width, SMALL) + (2 if width else 0) for _, width in column) for column in texts]
    columns = [
        max(width_of(head, bold=True), max(width_of(value, bold=True) for value, _ in column) + after)
        for head, column, after in zip(table.head, texts, spread, strict=True)
    ]
    width = max(first + sum(columns) + GAP * len(columns), 280.0)
    per_line = int(width / width_of("x" * 50, SMALL) * 50 * 1.08)
    notes = [line for note in all_notes(table) for line in textwrap.wrap(note, per_line, subsequent_indent="   ")]
    titles = sum(bool(block.title) for block in table.blocks)
    height = LINE * (2.6 + len(rows) + titles + 0.5 * len(table.blocks)) + 9.5 * len(notes) + 6
    full = (width + 2 * MARGIN, height + 2 * MARGIN)
    figure = Figure(figsize=(full[0] / 72, full[1] / 72), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-MARGIN, width + MARGIN), ylim=(-height - MARGIN, MARGIN))
    axes.axis("off")

    def write(x: float, y: float, text: str, size: float = SIZE, **style: str) -> None:
        axes.text(x, y, text, size=size, family=FONT, va="baseline", parse_math=False, **{"color": INK, **style})  # type: ignore[arg-type]

    def rule(y: float, thick: float) -> None:
        axes.plot([0, width], [y, y], color=INK, linewidth=thick, solid_capstyle="butt")

    rights = [first + sum(columns[: i + 1]) + GAP * (i + 1) for i in range(len(columns))]
    rights = [x + width - rights[-1] for x in rights]
    y = -LINE * 0.8
    write(0, y, f"{table.number}. {table.title}", weight="bold")
    rule(y - 6, 1.0)
    y -= 6 + LINE * 0.9
    for head, right in zip(table.head, rights, strict=True):
        write(right, y, head, ha="right", weight="bold")
    for block in table.blocks:
        y -= LINE * 0.4
        rule(y, 0.5)
        y -= LINE * 0.1
        if block.title:
            y -= LINE
            write(0, y, block.title, style="italic")
        for row in block.rows:
            y -= LINE
            color = INK if row.source == "ours" else GRAY
            write(0 if row.source == "ours" else 8, y, row_label(row), color=color)
            for cell, right, after in zip(row.cells, rights, spread, strict=True):
                value, interval = value_text(cell, table.decimals)
                write(right - after, y, value, ha="right", color=color, weight="bold" if cell.best else "normal")
                write(right - after + 2, y, interval, SMALL, color=GRAY)
    y -= LINE * 0.5
    rule(y, 1.0)
    for line in notes:
        y -= 9.5
        write(0, y - 2, line, SMALL, color=GRAY)
    return figure


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write the four files of a table."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{table.name}.{kind}" for kind in ("md", "tex", "csv", "png")]
    paths[0].write_text(markdown(table), encoding="utf-8")
    paths[1].write_text(latex(table), encoding="utf-8")
    write_csv(table, paths[2])
    picture(table).savefig(paths[3], dpi=200)
    return paths
