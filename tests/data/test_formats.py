r"""Formats of the field: which column means what, without an option."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.test_bad_files import table
from tests.data.test_preparation import dropped_of, rows_of, run, write_jsonl

GSM8K = {"question": "What is 2 times 3?", "answer": "Twice 3 is <<2*3=6>>6.\n#### 6"}
MATH = {"problem": "What is 2 times 3?", "answer": "We double 3. This gives 6, so the result is \\boxed{6}. Done so."}


@pytest.mark.parametrize("row", [GSM8K, MATH])
@pytest.mark.parametrize("verifier", ["math", "exact"])
def test_an_answer_that_is_a_whole_solution_is_the_solution(tmp_path, row, verifier):
    out = tmp_path / "out.parquet"
    assert run("table", write_jsonl(tmp_path / "in.jsonl", [row]), "--out", out, "--verifier", verifier) == 0
    (made,) = rows_of(out)
    assert made["solution"] == row["answer"] and made["reward_model"]["ground_truth"] == "6"


def test_an_answer_alone_is_no_solution(tmp_path, capsys):
    rows = [{"question": "What is 2 times 3?", "answer": answer} for answer in ("6", r"\boxed{6}", "#### 6")]
    file = write_jsonl(tmp_path / "in.jsonl", rows)
    assert run("table", file, "--out", tmp_path / "out.parquet") == 2
    assert "no column 'solution' (nor extra_info.solution, " in (said := capsys.readouterr().err)
    assert "a whole solution in answer); it has question, answer" in said
    assert run("table", write_jsonl(file, [*rows[:1], GSM8K]), "--out", tmp_path / "out.parquet") == 0
    assert [row["reason"] for row in dropped_of(tmp_path / "out.parquet")] == ["missing_solution"]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_what_a_problem_is_about_is_part_of_it_and_pictures_are_listed(tmp_path, suffix):
    row = {"question": "How many?", "Body": "Sam has 2.", "solution": r"\boxed{2}", "images": []}
    rows, file = [row, {**row, "question": "How many in all?", "images": ["a.png"]}], tmp_path / f"in.{suffix}"
    if suffix == "jsonl":
        file.write_text("\n".join(map(json.dumps, rows)))
    else:
        pq.write_table(pa.Table.from_pylist(rows), file)
    kept, dropped = table(tmp_path, file)
    assert [row["problem"] for row in kept] == ["Sam has 2.\n\nHow many?"]
    assert [(row["reason"], "'images'" in row["details"]) for row in dropped] == [("unreadable", True)]
