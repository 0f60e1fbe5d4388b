"""Rows of JSON, CSV and Parquet files as their owners write them: byte-order marks, UTF-16, arrays, other separators.

A row that cannot be read is an `Unreadable` in its place, so that every row is accounted for; a file of which nothing
can be read is a ValueError that says what it is instead.
"""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sage.support.documents import DECODER, RepeatedKey, load_json
from sage.support.files import whole
from sage.support.not_rows import refuse_one_object, refuse_others
from sage.support.plugins import first_line

JSON_SUFFIXES = (".jsonl", ".json", ".ndjson")
CSV_SUFFIXES = (".csv", ".tsv")
SUFFIXES = (*JSON_SUFFIXES, ".parquet", *CSV_SUFFIXES)
BATCH = 256
"""Rows of Parquet that are in memory at once."""
LONGEST_CELL = 1 << 24
"""Characters of a CSV cell; a quote that is never closed makes the rest of the file one cell."""


@dataclass(frozen=True)
class Unreadable:
    """A row that cannot be read, and why: with file and line or row."""

    why: str


Row = dict[str, Any] | Unreadable

_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


def read_rows(path: Path, columns: Collection[str] | None = None, skip: int = 0) -> Iterator[Row]:
    """The rows of a file, in order; none where it is empty or has a header only.

    JSON may be a line each, one after another over several lines, or an array.

    Args:
        path: one of `SUFFIXES`.
        columns: the only ones to read from Parquet; those that it lacks are left out of its rows.
        skip: rows to leave out at the beginning.

    Raises:
        ValueError: the file is missing, or not what its name says.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: the type of a file must be one of {', '.join(SUFFIXES)}")
    if suffix == ".parquet":
        yield from _read_parquet(path, columns, skip)
        return
    encoding = _encoding(path)
    rows = _read_csv(path, encoding) if suffix in CSV_SUFFIXES else _several(path, _read_json(path, encoding))
    for number, row in enumerate(rows):
        if number >= skip:
            yield row


def read_lines(path: Path) -> Iterator[tuple[str, Row]]:
    """The rows of a file that has one on each line, each after its file and line.

    Raises:
        ValueError: the file is missing, or not what its name says.
    """
    for number, line in _numbered(_lines(path, _encoding(path), None)):
        yield f"{path}, line {number}", _json_row(path, number, line)


def _head(path: Path) -> bytes:
    if not path.is_file():
        raise ValueError(f"{path} {'is not a file' if path.exists() else 'does not exist'}; correct the path")
    with open(path, "rb") as file:
        return file.read(64)


def _encoding(path: Path) -> str:
    head = _head(path)
    refuse_others(path, head)
    encoding = next((name for mark, name in _MARKS.items() if head.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in head:
        raise ValueError(
            f"{path} holds zero bytes, like UTF-16 without a byte-order mark or a binary file: save it as UTF-8"
        )
    return encoding


def _lines(path: Path, encoding: str, newline: str | None) -> Iterator[str]:
    """Lines of text; a byte that is not UTF-8 becomes a lone surrogate, which `_undecoded` finds.

    Raises:
        ValueError: UTF-16 or UTF-32 that is damaged, where there are no single bytes to leave out.
    """
    errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    try:
        with open(path, encoding=encoding, errors=errors, newline=newline) as file:
            yield from file
    except UnicodeError as error:
        raise ValueError(f"{path} is damaged: not {encoding.upper()} ({error}); save it as UTF-8") from error


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1 on."""
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip("\ufeff \t\r\n"))


_ESCAPED = re.compile("[\udc80-\udcff]")


def _undecoded(text: str) -> str | None:
    found = _ESCAPED.search(text)
    return found and f"not UTF-8 (byte 0x{ord(found.group()) - 0xDC00:02x}); convert the file to UTF-8"


# JSON


def _read_json(path: Path, encoding: str) -> Iterator[Row]:
    lines = _numbered(_lines(path, encoding, "\n"))
    if (first := next(lines, None)) is None:
        return
    row = _json_row(path, *first)
    if isinstance(row, Unreadable) and _undecoded(first[1]) is None and not _is_value(first[1]):
        yield from _json_values(path, "".join(_lines(path, encoding, "\n")))
        return
    yield row
    for number, line in lines:
        yield _json_row(path, number, line)


def _several(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, of which a single one must not hold the others."""
    begin = list(islice(rows, 2))
    if len(begin) == 1 and isinstance(begin[0], dict):
        refuse_one_object(path, begin[0])
    yield from begin
    yield from rows


def _is_value(line: str) -> bool:
    """Whether a line is JSON by itself, and no array of rows."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return not (isinstance(value, list) and (not value or any(isinstance(element, dict) for element in value)))


def _json_row(path: Path, number: int, line: str) -> Row:
    where = f"{path}, line {number}"
    if bad := _undecoded(line):
        return Unreadable(f"{where}: {bad}")
    try:
        return _object(where, load_json(line.lstrip("\ufeff")))
    except json.JSONDecodeError as error:
        return Unreadable(f"{where}: not JSON ({error.msg} at column {error.colno})")
    except (ValueError, RecursionError) as error:  # a key twice; a number of thousands of digits; brackets too deep
        return Unreadable(f"{where}: JSON that cannot be read ({first_line(error)})")


def _object(where: str, value: Any) -> Row:
    return value if isinstance(value, dict) else Unreadable(f"{where}: a JSON {type(value).__name__}, not an object")


_BETWEEN = re.compile(r"[\s,\[\]\ufeff]*")


def _json_values(path: Path, text: str) -> Iterator[Row]:
    """Objects one after another, or as the elements of an array.

    Where one is broken, reading goes on at the next line that begins with an object as this one did.
    """
    position, line, counted = 0, 1, 0
    while True:
        between = _BETWEEN.match(text, position)
        position = between.end() if between else position
        if position == len(text):
            if text.lstrip("\ufeff \t\r\n").startswith("[") and not text.rstrip().endswith("]"):
                yield Unreadable(f"{path}: the array of rows does not end, so the file is cut off: fetch it again")
            return
        line, counted = line + text.count("\n", counted, position), position
        where = f"{path}, line {line}"
        try:
            value, end = DECODER.raw_decode(text, position)
        except RepeatedKey as error:
            yield Unreadable(f"{where}: JSON that cannot be read ({error})")
            position = json.JSONDecoder().raw_decode(text, position)[1]
            continue
        except (ValueError, RecursionError) as error:
            what = error.msg if isinstance(error, json.JSONDecodeError) else first_line(error)
            indent = re.escape(text[text.rfind("\n", 0, position) + 1 : position])
            again = re.compile(rf"\n{indent}(?=\{{)").search(text, position)
            rest = "" if again else ", nor can what follows"
            yield Unreadable(f"{where}: the JSON value that begins here cannot be read{rest} ({what})")
            if again is None:
                return
            position = again.end()
            continue
        bad = _undecoded(text[position:end])
        yield Unreadable(f"{where}: {bad}") if bad else _object(where, value)
        position = end


# CSV

_EXCEL = re.compile(r'\ufeff?"?sep=(.)"?\s*', re.IGNORECASE)
"""A first line that tells Excel which separator follows."""


def _read_csv(path: Path, encoding: str) -> Iterator[Row]:
    """Rows of CSV; lines and rows without any text are left out.

    A record with a broken quote is listed by its first line alone, and reading goes on at the line after it.
    """
    csv.field_size_limit(LONGEST_CELL)
    lines = _lines(path, encoding, "")
    above = 0  # lines before the header
    head = next(lines, "")
    separator = "\t" if path.suffix.lower() == ".tsv" else None
    while head and (not head.strip() or _EXCEL.fullmatch(head)):
        if said := _EXCEL.fullmatch(head):
            separator = said.group(1)
        head, above = next(lines, ""), above + 1
    if not head:
        return
    separator = separator or max(",;\t|", key=lambda mark: len(next(csv.reader([head], delimiter=mark), [])))
    records = _csv_records(head, lines, separator, blank_after=f"{separator} " in head)
    _, names, bad = next(records)
    if bad := bad or _undecoded(head):
        raise ValueError(f"{path}, line {above + 1}: the header cannot be read: {bad}")
    header = [name.strip() for name in names]
    if repeated := sorted({name for name in header if name and header.count(name) > 1}):
        raise ValueError(f"{path}: two columns are called {repeated[0]!r}; rename one")
    for line, cells, bad in records:
        where = f"{path}, line {line + above}"
        if bad:
            yield Unreadable(f"{where}: {bad}")
        elif not any(cell.strip() for cell in cells):
            continue
        elif len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
            yield Unreadable(f"{where}: {len(cells)} cells where the header has {len(header)}")
        elif bad := next((bad for cell in cells if (bad := _undecoded(cell))), None):
            yield Unreadable(f"{where}: {bad}")
        else:
            yield {name: cell for name, cell in zip(header, cells, strict=False) if name}


def _csv_records(
    head: str, lines: Iterator[str], separator: str, blank_after: bool
) -> Iterator[tuple[int, list[str], str | None]]:
    """The header and the records after it: first line (the header's is 1), cells, and what is wrong instead."""
    waiting = deque([head])
    taken: list[str] = []
    number = 1

    def feed() -> Iterator[str]:
        while (line := waiting.popleft() if waiting else next(lines, None)) is not None:
            taken.append(line)
            yield line

    def reader() -> Iterator[list[str]]:
        return csv.reader(feed(), delimiter=separator, skipinitialspace=blank_after, strict=True)

    records = reader()
    while True:
        taken.clear()
        try:
            cells = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            unclosed = "a quote is opened here that is not closed as CSV wants it"
            yield number, [], unclosed if len(taken) > 1 or "unexpected end" in str(error) else f"not CSV: {error}"
            waiting.extendleft(reversed(taken[1:]))
            records = reader()
            number += 1
        else:
            yield number, cells, None
            number += len(taken)


# Parquet


def open_parquet(path: Path) -> pq.ParquetFile:
    """A Parquet file.

    Raises:
        ValueError: it is missing, or something else; two of its columns have the same name.
    """
    refuse_others(path, _head(path).replace(b"PAR1", b"    ", 1))
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is not a Parquet file ({first_line(error)})") from error
    names = file.schema_arrow.names
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{path}: two columns are called {repeated[0]!r}; rename one")
    return file


def write_parquet(path: Path, rows: Iterable[Mapping[str, Any]], schema: pa.Schema | None = None) -> None:
    """Write a Parquet file, as a whole or not at all."""
    with whole(path) as temporary:
        pq.write_table(pa.Table.from_pylist(list(rows), schema), temporary)


def _read_parquet(path: Path, columns: Collection[str] | None, skip: int) -> Iterator[Row]:
    file = open_parquet(path)
    chosen = None if columns is None else [name for name in file.schema_arrow.names if name in columns]
    before = 0
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if before + count > skip:
            for number, row in enumerate(_group(file, path, group, before, chosen), before):
                if number >= skip:
                    yield row
        before += count


def _group(file: pq.ParquetFile, path: Path, group: int, before: int, columns: list[str] | None) -> Iterator[Row]:
    """As many rows as a row group has, whatever can be read of it."""
    count, done = file.metadata.row_group(group).num_rows, 0
    if columns == []:
        yield from ({} for _ in range(count))
        return
    try:
        for batch in file.iter_batches(batch_size=BATCH, row_groups=[group], columns=columns):
            for row in _rows(batch, path, before + done):
                done += 1
                yield row
    except (pa.ArrowException, OSError) as error:
        for number in range(before + done, before + count):
            yield Unreadable(f"{path}, row {number}: the file is damaged here ({first_line(error)})")


_VALUES = (pa.ArrowException, ValueError, OverflowError, NotImplementedError, KeyError)
"""What a cell raises that has no counterpart in Python, such as a text that is not UTF-8."""


def _rows(batch: pa.RecordBatch, path: Path, before: int) -> list[Row]:
    try:
        return batch.to_pylist(maps_as_pydicts="strict")
    except _VALUES:
        return [_parquet_row(batch.slice(n, 1), f"{path}, row {before + n}") for n in range(batch.num_rows)]


def _parquet_row(batch: pa.RecordBatch, where: str) -> Row:
    row = {}
    for name, cell in zip(batch.schema.names, batch.columns, strict=True):
        try:
            row[name] = cell[0].as_py(maps_as_pydicts="strict")
        except _VALUES as error:
            return Unreadable(
                f"{where}: the cell of column {name!r} cannot be read ({first_line(error)}); mend it or leave it out"
            )
    return row
