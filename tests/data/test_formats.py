r"""Formats of the field: which column means what, without an option."""

from __future__ import annotations

import pytest

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
