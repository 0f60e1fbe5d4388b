"""Files as they are found: every row is kept, or listed with a reason; a file that is none is said to be what it is."""

from __future__ import annotations

import json
import time
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sage.data.preparation.cells import as_structure
from sage.data.preparation.rows import Reason
from sage.data.training import check_training_files
from tests.data.test_preparation import dropped_of, rows_of, run

TEXT = r'{"problem": "What is %d times 3?", "solution": "\\boxed{%d}"}'
LINES = [TEXT % (n, 3 * n) for n in range(1, 4)]


def table(folder: Path, file: Path, *more: object) -> tuple[list[dict], list[dict]]:
    """Rows kept and rows dropped."""
    out = folder / "out.parquet"
    run("table", file, "--allow-missing-solution", "--out", out, *more)
    return rows_of(out) if out.exists() else [], dropped_of(out)


def verl_row(n: int, **changes: object) -> dict:
    return {
        "data_source": "mine",
        "prompt": [{"role": "user", "content": f"What is {n} times 3?"}],
        "reward_model": {"style": "rule", "ground_truth": str(3 * n)},
        "extra_info": {"index": n},
    } | changes


def full_row(n: int, **changes: object) -> dict:
    return verl_row(n, prompt_id=f"p{n}", problem=f"What is {n} times 3?", solution=rf"\boxed{{{3 * n}}}") | changes


ASKED = "What is 2 times 3?"
CHAT = [{"role": "user", "content": ASKED}]
WHOLE = {
    "lines.jsonl": "\n".join(LINES).encode(),
    "bom.jsonl": b"\xef\xbb\xbf" + "\n".join(LINES).encode(),
    "utf16.jsonl": "\n".join(LINES).encode("utf-16"),
    "utf16be.jsonl": b"\xfe\xff" + "\n".join(LINES).encode("utf-16-be"),
    "array.json": f"[{', '.join(LINES)}]".encode(),
    "pretty_array.json": json.dumps(list(map(json.loads, LINES)), indent=4).encode(),
    "pretty.jsonl": "\n".join(json.dumps(json.loads(line), indent=1) for line in LINES).encode(),
    "trailing_commas.jsonl": ",\n".join(LINES).encode() + b",\n",
    "plain.csv": b"problem,solution\nWhat is 1 times 3?,\\boxed{3}\nWhat is 2 times 3?,\\boxed{6}\n"
    b'"What is\n3 times 3?",\\boxed{9}\n',
    "semicolon.csv": b"problem;solution\nWhat is 1 times 3?;\\boxed{3}\nWhat is 2 times 3?;\\boxed{6}\n"
    b"What is 3 times 3?;\\boxed{9}\n",
    "said.csv": b"sep=;\r\nproblem;solution\r\nWhat is 1, times 3?;\\boxed{3}\r\nWhat is 2 times 3?;\\boxed{6}\r\n"
    b"What is 3 times 3?;\\boxed{9}\r\n",
    "old_mac.csv": b"problem,solution\rWhat is 1 times 3?,\\boxed{3}\rWhat is 2 times 3?,\\boxed{6}\r"
    b"What is 3 times 3?,\\boxed{9}\r",
    "utf16.csv": "problem\tsolution\r\nWhat is 1 times 3?\t\\boxed{3}\r\nWhat is 2 times 3?\t\\boxed{6}\r\n"
    "What is 3 times 3?\t\\boxed{9}\r\n".encode("utf-16"),
    "unnamed.csv": b",problem,solution,\n0,What is 1 times 3?,\\boxed{3},\n1,What is 2 times 3?,\\boxed{6},\n"
    b"2,What is 3 times 3?,\\boxed{9},\n",
}


@pytest.mark.parametrize("name", WHOLE)
def test_text_files_of_all_shapes_are_read_whole(tmp_path, name):
    (tmp_path / name).write_bytes(WHOLE[name])
    kept, dropped = table(tmp_path, tmp_path / name)
    assert [row["reward_model"]["ground_truth"] for row in kept] == ["3", "6", "9"] and not dropped


def test_an_array_that_is_cut_off_between_two_rows_is_listed(tmp_path):
    (tmp_path / "cut.json").write_text("[" + ", ".join(LINES) + ", ")
    kept, (dropped,) = table(tmp_path, tmp_path / "cut.json")
    assert len(kept) == 3 and "the file is cut off" in dropped["details"]


def test_what_cannot_be_seen_is_no_problem(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"problem": "\\u200b \\ufeff", "answer": "1"}\n' + LINES[0])
    kept, (dropped,) = table(tmp_path, tmp_path / "a.jsonl")
    assert len(kept) == 1 and dropped["reason"] == "missing_problem"


NOT_DATA = {
    "pointer.jsonl": (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 9\n", "git lfs pull"),
    "pointer.parquet": (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 9\n", "git lfs pull"),
    "page.jsonl": (b"<!DOCTYPE html><html></html>", "a web page"),
    "book.csv": (b"PK\x03\x04rest", "Excel workbook"),
    "packed.jsonl": (b"\x1f\x8b\x08rest", "gzip"),
    "half.jsonl": ("\n".join(LINES).encode("utf-16")[:-1], "damaged"),
    "zeros.jsonl": ("\n".join(LINES).encode("utf-16-le"), "UTF-16 without a byte-order mark"),
    "prose.jsonl": (b"hello there\nthis is text\n", "line 1"),
    "empty.jsonl": (b"", "no rows"),
    "header.csv": (b"problem,answer\n", "no rows"),
    "blank.csv": (b"\n\n", "no rows"),
    "twice.csv": (b"problem,answer,answer\na,1,2\n", "two columns are called 'answer'"),
    "columns.json": (b'{"problem": {"0": "a", "1": "b"}, "answer": {"0": "1", "1": "2"}}', "one object of columns"),
    "lists.json": (b'{"problem": ["a", "b"], "answer": ["1", "2"]}', "one object of columns"),
    "wrapped.json": (b'{"data": [{"problem": "a"}], "version": 1}', "one object, not rows (they are in its 'data')"),
    "pretty_wrapped.json": (b'{\n "train": [\n  {"problem": "a"}\n ],\n "test": []\n}', "they are in its 'train'"),
    "named.json": (b'{"q1": {"problem": "a"}, "q2": {"problem": "b"}}', "they are in it by name"),
    "split.json": (b'{"columns": ["problem"], "data": [["a"]]}', "they are in its 'data'"),
    "nothing.json": (b"[]\n", "no rows"),
    "quotes.csv": (b"problem,answer\n" + b'a,"x\n' * 300, "line 2: a quote is opened"),
    "empty.parquet": (b"", "not a Parquet file"),
}


@pytest.mark.parametrize("name", NOT_DATA)
@pytest.mark.parametrize("command", ["table", "benchmarks", "table --benchmarks"])
def test_a_file_that_is_no_data_is_refused_in_one_sentence(tmp_path, capsys, name, command):
    content, said = NOT_DATA[name]
    folder = tmp_path / "folder"
    folder.mkdir()
    file = folder / ("aime24" + Path(name).suffix)
    file.write_bytes(content)
    if command == "table":
        arguments = ["table", file, "--allow-missing-solution"]
    elif command == "benchmarks":
        arguments = ["benchmarks", "--names", f"mine={file}"]
    else:
        (tmp_path / "good.jsonl").write_text(LINES[0])
        arguments = ["table", tmp_path / "good.jsonl", "--benchmarks", folder]
    assert run(*arguments, "--out", tmp_path / "out.parquet") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert file.name in error and (said in error or (command != "table" and "row" in error))
    assert not (tmp_path / "out.parquet").exists()


BROKEN = {
    "half a character": (r'{"problem": "a \ud835", "answer": "1"}', "U+D835"),
    "half a character as id": (r'{"prompt_id": "\udfff", "problem": "a", "answer": "1"}', "U+DFFF"),
    "LaTeX with single backslashes": (
        r'{"problem": "What is \frac{1}{2}?", "answer": "1"}',
        "U+000C before 'rac{1}{2'",
    ),
    "a box with a single backslash": (r'{"problem": "a", "solution": "\boxed{1}"}', "U+0008 before 'oxed{1}'"),
    "an answer with a single backslash": (r'{"problem": "a", "answer": "\frac{1}{2}"}', "U+000C before 'rac{1}{2'"),
    "a product with a single backslash": (r'{"problem": "2 \times 3", "answer": "6"}', "U+0009 before 'imes 3'"),
    "not JSON": ('{"problem": ', "not JSON"),
    "no object": ("[1, 2]", "a JSON list"),
    "a long number": ('{"problem": "a", "answer": 1%s}' % ("0" * 5000), "cannot be read"),
    "deep": ('{"problem": "a", "answer": %s}' % ("[" * 50_000), "cannot be read"),
    "an object": ('{"problem": {"a": 1}, "answer": "1"}', "an object where a text"),
    "two answers": ('{"problem": "a", "answer": ["1", "2"]}', "a list of 2"),
    "true": ('{"problem": "a", "answer": true}', "true or false"),
    "torn messages": (
        "{\"problem\": \"[{'role': 'user', 'content': 'a'\", \"answer\": \"1\"}",
        "messages that were written as text",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_one_bad_row_is_listed_with_its_reason_and_ends_nothing(tmp_path, kind):
    line, said = BROKEN[kind]
    (tmp_path / "in.jsonl").write_text("\n".join([*LINES[:2], line, LINES[2]]) + "\n")
    kept, dropped = table(tmp_path, tmp_path / "in.jsonl")
    assert [row["extra_info"]["index"] for row in kept] == [0, 1, 3]
    assert [row["row"] for row in dropped] == [2] and said in dropped[0]["details"]


def test_bytes_that_are_not_utf_8_and_short_or_open_records_are_listed_by_line(tmp_path):
    (tmp_path / "in.csv").write_bytes(
        b'problem,answer\nWhat is 1 times 3?,3\ncaf\xe9,1\nonly a problem\n"open,2\nWhat is 2 times 3?,6\n'
    )
    kept, dropped = table(tmp_path, tmp_path / "in.csv")
    assert [row["reward_model"]["ground_truth"] for row in kept] == ["3", "6"]
    assert [row["row"] for row in dropped] == [1, 2, 3]
    for row, line in zip(dropped, (3, 4, 5), strict=True):
        assert f"line {line}" in row["details"]


COLUMNS = {
    "prompt as text": ({"prompt": "What is 2 times 3?"}, "6"),
    "prompt as JSON": ({"prompt": json.dumps(CHAT)}, "6"),
    "prompt as pandas writes it": ({"prompt": str(CHAT)}, "6"),
    "prompt in parts": (
        {"prompt": [{"role": "user", "content": [{"type": "text", "text": ASKED}]}]},
        "6",
    ),
    "ShareGPT": ({"prompt": [{"from": "human", "value": "What is 2 times 3?"}]}, "6"),
    "reward_model as JSON": ({"reward_model": '{"ground_truth": "6"}'}, "6"),
    "reward_model as pandas writes it": ({"reward_model": "{'ground_truth': '6'}"}, "6"),
    "a number": ({"reward_model": {"ground_truth": 6}}, "6"),
    "a float": ({"reward_model": {"ground_truth": 6.0}}, "6"),
    "a decimal": ({"reward_model": {"ground_truth": Decimal("6.50")}}, "6.5"),
    "a list of one": ({"reward_model": {"ground_truth": ["6"]}}, "6"),
    "bytes": ({"reward_model": {"ground_truth": b"6"}}, "6"),
    "a solution of numbers": ({"solution": 6}, "6"),
    "a solution in a list": ({"solution": [r"so \boxed{6}"]}, "6"),
    "a solution in bytes": ({"solution": rb"so \boxed{6}"}, "6"),
    "no solution": ({"solution": float("nan")}, "6"),
    "LUFFY": ({"target": [{"role": "assistant", "content": r"so \boxed{6}"}]}, "6"),
    "NaN": ({"reward_model": {"ground_truth": float("nan")}}, Reason.MISSING_ANSWER),
    "null": ({"reward_model": None}, Reason.MISSING_ANSWER),
    "an object": ({"reward_model": {"ground_truth": {"a": "6"}}}, Reason.UNREADABLE),
    "two truths": ({"reward_model": {"ground_truth": ["6", "7"]}}, Reason.UNREADABLE),
    "true": ({"reward_model": {"ground_truth": True}}, Reason.UNREADABLE),
    "a placeholder": ({"reward_model": {"ground_truth": r"\text{unknown}"}}, Reason.UNVERIFIABLE_ANSWER),
    "a whole solution": (
        {"reward_model": {"ground_truth": "Twice 3 is 6. So the answer is 6."}},
        Reason.UNVERIFIABLE_ANSWER,
    ),
    "a conversation": ({"prompt": CHAT * 2}, Reason.UNREADABLE),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns_of_any_type_are_read_or_their_row_is_listed(tmp_path, kind):
    changes, wanted = COLUMNS[kind]
    pq.write_table(pa.Table.from_pylist([verl_row(2) | changes]), tmp_path / "in.parquet")
    kept, dropped = table(tmp_path, tmp_path / "in.parquet")
    if isinstance(wanted, Reason):
        assert not kept and [row["reason"] for row in dropped] == [wanted] and dropped[0]["details"]
    else:
        assert not dropped and kept[0]["problem"] == "What is 2 times 3?"
        assert kept[0]["reward_model"]["ground_truth"] == wanted
        check_training_files([str(tmp_path / "out.parquet")], needs_solutions=False)


FAULTS = {
    "prompt as text": {"prompt": "What?"},
    "prompt null": {"prompt": None},
    "ShareGPT": {"prompt": [{"from": "human", "value": "What?"}]},
    "no content": {"prompt": [{"role": "user", "content": None}]},
    "the assistant's": {"prompt": [*CHAT, {"role": "assistant", "content": "a"}]},
    "reward_model as text": {"reward_model": '{"ground_truth": "6"}'},
    "truth null": {"reward_model": {"ground_truth": None}},
    "truth NaN": {"reward_model": {"ground_truth": float("nan")}},
    "a list as truth": {"reward_model": {"ground_truth": ["6"]}},
    "an object as truth": {"reward_model": {"ground_truth": {"a": "6"}}},
    "true as truth": {"reward_model": {"ground_truth": True}},
    "solution a number": {"solution": 6},
    "solution a list": {"solution": ["6"]},
    "problem a number": {"problem": 6},
    "id a number": {"prompt_id": 6},
    "no id": {"prompt_id": None},
    "extra_info as text": {"extra_info": "{}"},
    "reference a list": {"reference_response": ["6"]},
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_training_file_with_columns_of_a_wrong_type_is_refused_by_row(tmp_path, capsys, kind):
    file = tmp_path / "train.parquet"
    pq.write_table(pa.Table.from_pylist([full_row(2) | FAULTS[kind]]), file)
    with pytest.raises(ValueError, match=r"train\.parquet, row 0"):
        check_training_files([str(file)], needs_solutions=False)
    assert run("validate", file) == 1 and "row 0" in capsys.readouterr().out


def test_a_cell_that_python_cannot_hold_matters_only_where_it_is_read(tmp_path, capsys):
    rows = pa.Table.from_pylist([full_row(n) for n in (1, 2)])
    far = pa.array([9 * 10**15] * 2, pa.timestamp("ms"))
    pq.write_table(rows.append_column("when", far), tmp_path / "in.parquet")
    kept, dropped = table(tmp_path, tmp_path / "in.parquet")
    assert len(kept) == 2 and not dropped
    assert run("benchmarks", "--names", f"mine={tmp_path / 'in.parquet'}", "--out", tmp_path / "val.parquet") == 2
    assert "row 0: the cell of column 'when' cannot be read" in capsys.readouterr().err


def test_a_map_is_a_structure(tmp_path):
    schema = pa.schema({"problem": pa.string(), "reward_model": pa.map_(pa.string(), pa.string())})
    rows = [
        {"problem": "What is 1 times 3?", "reward_model": [("ground_truth", "3"), ("style", "rule")]},
        {"problem": "What is 2 times 3?", "reward_model": [("ground_truth", "6"), ("ground_truth", "7")]},
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "in.parquet")
    kept, dropped = table(tmp_path, tmp_path / "in.parquet")
    assert [row["reward_model"]["ground_truth"] for row in kept] == ["3"]
    assert [(row["row"], row["reason"]) for row in dropped] == [(1, "unreadable")]


def test_times_and_dictionaries_are_no_obstacle(tmp_path):
    rows = pa.Table.from_pylist([full_row(n, when=datetime(2024, 1, n)) for n in (1, 2)])
    at = rows.schema.get_field_index("data_source")
    rows = rows.set_column(at, "data_source", rows["data_source"].dictionary_encode())
    pq.write_table(rows, tmp_path / "in.parquet")
    assert len(table(tmp_path, tmp_path / "in.parquet")[0]) == 2


def test_a_column_that_is_named_is_read_whatever_it_holds(tmp_path):
    rows = [verl_row(n, target=rf"so \boxed{{{3 * n}}}") for n in (1, 2)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    kept, _ = table(tmp_path, tmp_path / "in.parquet", "--solution-column", "target")
    assert [row["solution"] for row in kept] == [r"so \boxed{3}", r"so \boxed{6}"]


def test_columns_inside_columns(tmp_path):
    rows = [{"a": {"q": f"What is {n} times 3?", "b": {"x": 3 * n}}, "s": r"\boxed{%d}" % (3 * n)} for n in (1, 2)]  # noqa: UP031
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    kept, dropped = table(
        tmp_path,
        tmp_path / "in.parquet",
        "--problem-column",
        "a.q",
        "--answer-column",
        "a.b.x",
        "--solution-column",
        "s",
    )
    assert [row["reward_model"]["ground_truth"] for row in kept] == ["3", "6"] and not dropped


OPTIONS = {
    "a letter": ({"choices": ["one", "two", "three"], "answer": "B"}, "B"),
    "a text": ({"options": ["one", "two", "three"], "answer": "two"}, "B"),
    "a letter and its number": ({"options": ["one", "two", "three"], "answer": "B", "answer_index": 1}, "B"),
    "columns": ({"A": "one", "B": "two", "C": "three", "answer": "B"}, "B"),
    "ARC": ({"choices": {"text": ["one", "two", "three"], "label": ["1", "2", "3"]}, "answerKey": "2"}, "B"),
    "a value": ({"options": [10, 12, 14], "answer": 12}, "B"),
    "in the solution": ({"options": ["one", "two", "three"], "solution": r"so \boxed{B}"}, "B"),
    "a number": ({"choices": ["one", "two", "three"], "answer": 1}, Reason.AMBIGUOUS_ANSWER),
    "none of them": ({"choices": ["one", "two", "three"], "answer": "D"}, Reason.UNREADABLE),
    "two of them": ({"choices": ["one", "two"], "answer": "A", "answer_index": 1}, Reason.UNREADABLE),
}


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_options_become_part_of_the_problem_and_a_letter_its_answer(tmp_path, kind, suffix):
    cells, wanted = OPTIONS[kind]
    row, file = {"question": "Which?", **cells}, tmp_path / f"in.{suffix}"
    if suffix == "jsonl":
        file.write_text(json.dumps(row))
    else:
        pq.write_table(pa.Table.from_pylist([row]), file)
    kept, dropped = table(tmp_path, file)
    if isinstance(wanted, Reason):
        assert not kept and dropped[0]["reason"] == wanted
    else:
        assert kept[0]["reward_model"]["ground_truth"] == wanted and not dropped
        assert kept[0]["problem"].startswith("Which?\n\nA. ") and "\nB. " in kept[0]["problem"]


def test_options_that_the_problem_has_already_are_not_repeated(tmp_path):
    row = {"problem": "Which? (A) one (B) two", "options": ["one", "two"], "answer": "A"}
    (tmp_path / "in.jsonl").write_text(json.dumps(row))
    assert table(tmp_path, tmp_path / "in.jsonl")[0][0]["problem"] == row["problem"]


def test_blanks_and_brackets_without_end_take_no_time(tmp_path):
    rows = [
        {"problem": "a", "solution": "so\n####" + " " * 60_000, "answer": None},
        {"problem": "b", "solution": " " * 60_000 + "#### 3"},
        {"problem": "c" + "$ " * 30_000, "answer": r"\frac{" * 10_000},
        {"problem": "d", "solution": r"\boxed{" * 10_000},
        {"problem": "e", "answer": "####" * 15_000},
        {"problem": "[" * 60_000, "answer": "$" * 60_000},
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    begin = time.process_time()
    kept, dropped = table(tmp_path, tmp_path / "in.jsonl")
    assert len(kept) + len(dropped) == len(rows) and time.process_time() - begin < 10


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[{'role': 'user', 'content': 'a'}\n {'role': 'user', 'content': 'b'}]", 2),
        ("['a' 'b']", ["a", "b"]),
        ("[1 2 3]", [1, 2, 3]),
        ('{"a": null}', {"a": None}),
        ("{'a': None}", {"a": None}),
        ("[x, y]", None),
        (r"[\frac{1}{2}, 3]", None),
        ("(1, 2)", None),
    ],
)
def test_structures_that_were_written_as_text(text, value):
    found = as_structure(text)
    assert (len(found) if isinstance(value, int) else found) == value


@pytest.mark.parametrize(
    "options", [["--out", ""], ["--benchmarks", ""], ["--problem-column", " "], ["--system-prompt", "caf\udce9"]]
)
def test_names_that_say_nothing_and_bytes_that_are_no_text_are_refused(tmp_path, capsys, options):
    file = tmp_path / "in.jsonl"
    file.write_text(json.dumps({"problem": "a", "solution": r"\boxed{1}"}))
    with pytest.raises(SystemExit) as ended:
        run("table", file, "--out", tmp_path / "out.parquet", *options)
    assert ended.value.code == 2 and f"argument {options[0]}: " in capsys.readouterr().err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == [file]


def test_an_out_that_cannot_be_made_is_one_sentence(tmp_path, capsys):
    (tmp_path / "in.jsonl").write_text(LINES[0])
    (tmp_path / "file").write_text("")
    assert run("table", tmp_path / "in.jsonl", "--out", tmp_path / "file/out.parquet") == 2
    assert "a file has that name" in capsys.readouterr().err
    assert run("fetch-benchmarks", "--folder", tmp_path / "file") == 2
    assert "a file has that name" in capsys.readouterr().err
