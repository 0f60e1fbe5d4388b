"""References that nothing can reach are refused before a model is loaded; options of evaluate.py in one sentence."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from sage.evaluation.problems import Problem
from sage.evaluation.references import check_references
from sage.grading.verifier import ExactVerifier, MathVerifier
from tests.data.test_preparation import dropped_of, rows_of, run, write_jsonl

ROOT = Path(__file__).parents[2]


class Plans:
    """Answers are the length of a plan; a plan of that length is right."""

    def is_correct(self, response: str, answer: str) -> bool:
        return len(response.split(",")) == int(answer)

    def same_answer(self, candidate: str, answer: str) -> bool:
        return candidate == answer

    def why_unverifiable(self, answer: str, responses: list[str]) -> str | None:
        return None if answer.isdecimal() else f"{answer!r} is no length"


class Fragile:
    """Fails at what it cannot read."""

    def is_correct(self, response: str, answer: str) -> bool:
        return int(response) == int(answer)

    def same_answer(self, candidate: str, answer: str) -> bool:
        return candidate == answer


UNREACHABLE = ["?", "unknown", r"\text{proof}", "It is 3. So the answer is 3.", "3\n4", "['3', '4']", r"\frac{1}{",
               "NA", "#REF!", "#DIV/0!", "#N/A", "#NAME?", "![](a.png)", "<image>", "[asy] draw(A); [/asy]",
               "\u7565", "\u8bc1\u660e\u7565"]  # fmt: skip


@pytest.mark.parametrize("answer", UNREACHABLE)
def test_a_reference_that_no_response_can_reach_is_refused_with_its_row(answer):
    problems = [Problem("a", "q", "1"), Problem("b", "q", answer, row=1)]
    with pytest.raises(ValueError, match=r"file: 1 of 2 answers can never be scored as correct \(row 1"):
        check_references("file", problems, MathVerifier(processes=1))
    with pytest.raises(ValueError, match=r"\(row 1: [^']*\)"):
        check_references("file", problems, MathVerifier(processes=1), private=True)


def test_words_are_answers_where_texts_are_compared():
    assert check_references("file", [Problem("a", "q", "unknown")], ExactVerifier()) is None


def test_letters_whose_options_are_missing_are_refused():
    problems = [Problem(str(n), "Which?", letter, row=n) for n, letter in enumerate("ABCD")]
    with pytest.raises(ValueError, match="4 of 4 answers are letters that their questions do not name"):
        check_references("file", problems, MathVerifier(processes=1))


def test_a_verifier_says_itself_what_cannot_be_reached_and_may_fail():
    assert check_references("file", [Problem("a", "q", "3")], Plans()) is None
    with pytest.raises(ValueError, match="'x' is no length"):
        check_references("file", [Problem("a", "q", "x")], Plans())
    with pytest.raises(ValueError, match="the verifier fails at it"):
        check_references("file", [Problem("a", "q", "x", response="y")], Fragile())


def test_the_preparation_asks_the_verifier_in_the_same_way(tmp_path):
    rows = [{"problem": f"Plan {n}", "solution": "go", "answer": answer} for n, answer in enumerate(["3", "x"])]
    out = tmp_path / "out.parquet"
    file = write_jsonl(tmp_path / "in.jsonl", rows)
    assert run("table", file, "--verifier", f"{__name__}:Plans", "--out", out) == 0
    assert [row["reward_model"]["ground_truth"] for row in rows_of(out)] == ["3"]
    assert "'x' is no length" in dropped_of(out)[0]["details"]
    assert run("table", file, "--verifier", f"{__name__}:Fragile", "--out", tmp_path / "b.parquet") == 1
    assert all("the verifier fails at it" in row["details"] for row in dropped_of(tmp_path / "b.parquet"))


def test_a_held_out_file_shares_no_row_with_the_training_file(tmp_path):
    rows = [{"problem": f"What is {n} and {n}?", "solution": rf"\boxed{{{2 * n}}}"} for n in range(20)]
    out = tmp_path / "out.parquet"
    file = write_jsonl(tmp_path / "in.jsonl", rows)
    assert run("table", file, "--hold-out", 5, "--sample", 10, "--out", out) == 0
    kept, held = ({row["prompt_id"] for row in rows_of(out.with_name(n))} for n in ("out.parquet", "out.val.parquet"))
    left_out = {row["prompt_id"]: row["reason"] for row in dropped_of(out)}
    assert (len(kept), len(held), len(left_out)) == (10, 5, 10) and not kept & held
    assert {name for name, reason in left_out.items() if reason == "held_out"} == held


def evaluate(monkeypatch, *arguments: object) -> int:
    spec = importlib.util.spec_from_file_location("evaluate_script", ROOT / "scripts/evaluate.py")
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "evaluate_script", script)
    spec.loader.exec_module(script)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, arguments)])
    return script.main()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--limit", "0"], "argument --limit"),
        (["--replicas", "0"], "argument --replicas"),
        (["--samples", "-1"], "argument --samples"),
        (["--temperature", "-0.1"], "argument --temperature"),
        (["--temperature", "nan"], "argument --temperature"),
        (["--temperature", "0"], "add --samples 1"),
        (["--top-p", "0"], "argument --top-p"),
        (["--top-p", "1.5"], "argument --top-p"),
        (["--name", ""], "--name"),
        (["--template-kwargs", "thinking"], "must be KEY=VALUE"),
        (["--out", "{file}"], "a file has that name"),
        (["--out", ""], "the name is empty"),
        (["--checkpoints", ""], "the name is empty"),
        (["--system", "caf\udce9"], "is not UTF-8"),
        (["--engine", "model=other"], "the model is set already"),
        (["--template-kwargs", "messages=1"], "messages is set already"),
    ],
)
def test_options_out_of_range_are_refused_in_one_sentence(tmp_path, monkeypatch, capsys, options, said):
    (tmp_path / "file").write_text("")
    given = [option.format(file=tmp_path / "file") for option in options]
    with pytest.raises(SystemExit):
        evaluate(monkeypatch, "--model", "m", "--out", tmp_path / "out", *given)
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_a_list_that_is_given_in_parts_is_one_list(tmp_path, monkeypatch, capsys):
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text('{"problem": "p", "answer": "1"}\n')
    parts = [part for name in "ab" for part in ("--benchmarks", f"{name}={tmp_path}/{name}.jsonl")]
    model = Path(__file__).parents[2] / "examples/opchain_base"
    assert evaluate(monkeypatch, "--model", model, "--out", tmp_path / "out", "--dry-run", *parts) == 0
    assert {"a: 1 problems", "b: 1 problems"} <= {
        line.split(" from")[0] for line in capsys.readouterr().out.splitlines()
    }
