r"""Loaders: the real files where they are, and the quirks of each release."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sage.evaluation.benchmarks import BENCHMARKS, find_benchmark, load_benchmark
from sage.grading.verifier import MathVerifier
from sage.toy.embedded.build_data import build

DATA = Path(__file__).parents[2] / "../shared/data"
SIZES = {
    "aime24": 30,
    "aime25": 30,
    "amc23": 40,
    "math500": 500,
    "minerva": 272,
    "olympiadbench": 675,
    "mmlu_pro": 12032,
}


def lines(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", SIZES)
def test_every_row_of_the_real_file_is_read_and_its_answer_verifies_against_itself(name):
    path = find_benchmark(name, DATA)
    if path is None:
        pytest.skip("the benchmark files are not here")
    problems = load_benchmark(name, path)
    assert len(problems) == SIZES[name] == len({p.problem_id for p in problems})
    verifier = MathVerifier()
    wrong = [p.problem_id for p in problems if not verifier.is_correct(rf"So it is \boxed{{{p.answer}}}.", p.answer)]
    assert wrong == []
    assert all(("\nA. " in p.question) == bool(p.choices) for p in problems)


def test_answers_of_the_real_files_are_what_a_model_would_write():
    if find_benchmark("amc23", DATA) is None:
        pytest.skip("the benchmark files are not here")
    answers = {name: [p.answer for p in load_benchmark(name, find_benchmark(name, DATA))] for name in SIZES}
    assert all(answer.isdigit() and len(answer) <= 3 for answer in answers["aime24"]) and "25" in answers["aime24"]
    assert {"27", "3159", "-1"} <= set(answers["amc23"]) and not any("." in answer for answer in answers["amc23"])
    assert not any("$" in answer for answer in answers["olympiadbench"]) and "69,84" in answers["olympiadbench"]
    assert r"\arcsin(10/13)" in answers["minerva"]


def test_other_releases_of_a_benchmark_give_the_same_problems(tmp_path):
    row = {"question": "What is $1+1$?", "answer": "$2$", "id": 7}
    capital = {"Problem": row["question"], "Answer": 2, "ID": "7"}
    solved = {"problem": row["question"], "solution": r"Chatter. $1$ \boxed{1}, no: \boxed{2}. -a.user", "idx": 7}
    listed = {"question": row["question"], "final_answer": ["$2$."], "context": None, "id": 7}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    found = [load_benchmark("x", tmp_path / "a.parquet")]
    found += [load_benchmark("x", lines(tmp_path / "b.jsonl", r)) for r in (row, capital, solved, listed)]
    assert all(problems == found[0] for problems in found) and found[0][0].answer == "2"


def test_rows_without_an_id_column_are_numbered_and_separators_inside_text_do_not_split_a_row(tmp_path):
    path = lines(tmp_path / "x.jsonl", {"problem": "a\u2028b", "answer": "1"}, {"problem": "c", "answer": r"\$5"})
    path.write_text(path.read_text().replace("\\u2028", "\u2028"), encoding="utf-8")
    assert [(p.problem_id, p.answer) for p in load_benchmark("x", path)] == [("0", "1"), ("1", r"\$5")]


@pytest.mark.parametrize(
    "row",
    [
        {"Body": "Sam has 2.", "Question": "How many?", "Answer": 2.0},
        {"context": "Sam has 2.", "passage": "Sam has 2.", "question": "How many?", "answer": "2"},
        {"story": "Sam has 2.", "question": "Sam has 2.\n\nHow many?", "answer": "2"},
    ],
)
def test_what_a_question_is_about_stands_before_it_once(tmp_path, row):
    (problem,) = load_benchmark("x", lines(tmp_path / "x.jsonl", row))
    assert (problem.question, problem.answer) == ("Sam has 2.\n\nHow many?", "2")


def test_chat_messages_to_train_on_do_not_hide_a_question_in_a_column_of_its_own(tmp_path):
    turns = [{"role": "user", "content": "How many?"}, {"role": "assistant", "content": r"\boxed{2}"}]
    (problem,) = load_benchmark(
        "x", lines(tmp_path / "x.jsonl", {"problem": "How many?", "answer": "2", "messages": turns})
    )
    assert (problem.question, problem.messages) == ("How many?", None)
    with pytest.raises(ValueError, match="the last message of 'messages' must be the user's"):
        load_benchmark("x", lines(tmp_path / "x.jsonl", {"answer": "2", "messages": turns}))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"answer": "1"}, r"row 1: 'problem' or 'question' is missing"),
        ({"problem": " ", "answer": "1"}, "row 1: 'problem' is empty"),
        ({"problem": ["p"], "answer": "1"}, "row 1: 'problem' must be a text, not list"),
        ({"problem": "p", "answer": "1", "table": [["a"]]}, "row 1: 'table' must be a text, not list"),
        ({"problem": "p"}, "row 1: 'answer' is missing"),
        ({"problem": "p", "answer": ["1", "2"]}, "row 1: 'answer' must be"),
        ({"problem": "p", "answer": float("nan")}, "row 1: 'answer' must be"),
        ({"problem": "p", "answer": "\frac{1}{2}"}, r"row 1: the control character U\+000C before 'rac"),
        ({"problem": "p", "answer": "$ $"}, "row 1: 'answer' is empty"),
        ({"problem": "p", "options": ["x", "y"], "answer": "C"}, "row 1: 'answer' must be the letter"),
        ({"problem": "p", "options": ["x", "y"], "answer": "A", "answer_index": 1}, "name different options"),
        ({"problem": "p", "options": "xy", "answer": "A"}, "'options' must be a list"),
        ({"problem": "p", "answer": "1", "id": 0}, "row 1: its id repeats that of row 0"),
    ],
)
def test_a_bad_row_is_an_error_that_names_it(tmp_path, row, message):
    path = lines(tmp_path / "x.jsonl", {"problem": "p", "answer": "1", "id": 0}, {"id": 1, **row})
    with pytest.raises(ValueError, match=message):
        load_benchmark("x", path)


@pytest.mark.parametrize(("name", "text"), [("no.jsonl", None), ("x.txt", "x"), ("x.jsonl", "{"), ("x.parquet", "x")])
def test_a_bad_file_is_an_error_that_names_it(tmp_path, name, text):
    if text:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=name):
        load_benchmark("x", tmp_path / name)


def write_gpqa(path: Path, records: int, **changes: str) -> Path:
    """A file with the columns of the original release and invented content."""
    rows = [
        {"Record ID": f"rec{n}", "Question": f"secret question {n}", "Correct Answer": f"right {n}\n"}
        | {f"Incorrect Answer {i}": f"wrong {n}.{i}" for i in (1, 2, 3)}
        for n in range(records)
    ]
    rows[-1].update(changes)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_gpqa_options_are_shuffled_by_record_whatever_the_order_of_the_file(tmp_path):
    problems = load_benchmark("gpqa", write_gpqa(tmp_path / "gpqa_diamond.csv", 60))
    for n, problem in enumerate(problems):
        assert f"\n{problem.answer}. right {n}\n" in problem.question and problem.choices == 4
    assert {p.answer for p in problems} == set("ABCD")
    text = (tmp_path / "gpqa_diamond.csv").read_text().splitlines()
    assert find_benchmark("gpqa", tmp_path) == tmp_path / "gpqa_diamond.csv"
    last = load_benchmark("gpqa", write_gpqa(tmp_path / "one.csv", 60))[-1]
    assert last == problems[-1] and len(text) > 60


@pytest.mark.parametrize("column", ["Question", "Correct Answer", "Incorrect Answer 2", "Record ID"])
def test_errors_about_gpqa_show_none_of_its_text(tmp_path, column):
    with pytest.raises(ValueError) as caught:
        load_benchmark("gpqa", write_gpqa(tmp_path / "g.csv", 3, **{column: " "}))
    assert "row 2" in str(caught.value) and column in str(caught.value)
    assert not any(word in str(caught.value) for word in ("secret", "right", "wrong"))


def test_the_projects_own_files_bring_their_messages(tmp_path):
    build(tmp_path, seed=0, train={"easy": 1, "medium": 1, "hard": 1}, test=2)
    rows = pq.read_table(tmp_path / "test.parquet").to_pylist()
    problems = load_benchmark("opchain", tmp_path / "test.parquet")
    assert [p.problem_id for p in problems] == [r["prompt_id"] for r in rows]
    assert [list(p.messages) for p in problems] == [r["prompt"] for r in rows]
    assert [p.answer for p in problems] == [r["reward_model"]["ground_truth"] for r in rows]


def test_the_names_are_the_papers_eight():
    assert set(BENCHMARKS) == {*SIZES, "gpqa"} and len(BENCHMARKS) == 8
