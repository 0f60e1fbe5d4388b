"""Preparation of training files: nothing is lost without a reason, whatever the rows; resume gives the same bytes."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage.data.preparation import manifest, pipeline
from sage.data.preparation.adapters import OPENR1_COLUMNS
from sage.data.preparation.cells import plain_text
from sage.data.preparation.rows import Reason, text_id
from sage.data.preparation.sources import Hub
from sage.data.preparation.truths import answer_of, boxed_response
from sage.data.training import check_training_files
from sage.grading.verifier import MathVerifier

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("prepare_data", ROOT / "scripts/prepare_data.py")
prepare_data = importlib.util.module_from_spec(spec)
spec.loader.exec_module(prepare_data)
SHARED = ROOT / "../shared/data"


def write_jsonl(path: Path, rows: list) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def good(n: int) -> dict:
    return {"problem": f"What is {n} plus {n}, plus one?", "solution": rf"It is \boxed{{{2 * n + 1}}}."}


def run(*arguments: object) -> int:
    return prepare_data.main([str(argument) for argument in arguments])


def rows_of(path: Path) -> list[dict]:
    return pq.read_table(path).to_pylist()


def dropped_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in manifest.dropped_path(out).read_text().splitlines()]


def manifest_of(out: Path) -> dict:
    return json.loads(out.with_name(out.stem + ".manifest.json").read_text())


BAD = {
    Reason.UNREADABLE: ['{"problem": ', "[1, 2]", {"solution": "no problem column"}, {**good(1), "problem": {"a": 1}}],
    Reason.MISSING_PROBLEM: [{"problem": " ", "solution": r"\boxed{1}"}, {"problem": None, "solution": r"\boxed{1}"}],
    Reason.MISSING_SOLUTION: [{"problem": "A problem without a solution", "solution": None, "answer": "3"}],
    Reason.MISSING_ANSWER: [{"problem": "A proof", "solution": "It is clear."}],
    Reason.UNVERIFIABLE_ANSWER: [
        {"problem": "Prove it", "solution": "QED", "answer": "proof"},
        {"problem": "Broken", "solution": "QED", "answer": r"\frac{1}{"},
    ],
    Reason.DUPLICATE: [{"problem": "what is $3$ plus 3, plus one? ", "solution": r"so \boxed{7.0}"}],
    Reason.CONFLICTING_DUPLICATE: [{**good(4), "solution": r"so \boxed{10}"}],
    Reason.REPEATED_ID: [{**good(77), "id": "row-3"}],
    Reason.CONTAMINATED: [{"problem": "Compute the sum of the first ten odd numbers.", "solution": r"\boxed{100}"}],
}


@pytest.fixture
def benchmarks(tmp_path) -> Path:
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    write_jsonl(
        folder / "aime24.jsonl", [{"problem": "Compute the sum of the first ten odd numbers.", "answer": "100"}]
    )
    return folder


def test_every_row_is_kept_or_listed_with_its_reason(tmp_path, benchmarks):
    rows = [{**good(n), "id": f"row-{n}"} for n in range(20)]
    expected = {}
    for reason, bad in BAD.items():
        for row in bad:
            expected[len(rows)] = reason
            rows.append({"id": f"row-{len(rows)}", **row} if isinstance(row, dict) else row)
    out = tmp_path / "train.parquet"
    assert run("table", write_jsonl(tmp_path / "in.jsonl", rows), "--id-column", "id", "--benchmarks", benchmarks,
               "--out", out) == 0  # fmt: skip
    kept, dropped = rows_of(out), dropped_of(out)
    assert {row["row"]: row["reason"] for row in dropped} == expected
    assert [row["extra_info"]["index"] for row in kept] == list(range(20))
    assert all(row["details"] for row in dropped)
    said = manifest_of(out)
    assert said["dropped"] == Counter(row["reason"] for row in dropped)
    assert said["rows_read"] == len(rows) == said["output"]["rows"] + sum(said["dropped"].values())
    assert said["contamination"]["missing"] == [
        "aime25", "amc23", "math500", "minerva", "olympiadbench", "gpqa", "mmlu_pro",
    ]  # fmt: skip
    assert check_training_files([str(out)], needs_solutions=True).rows == 20


def test_prompts_ask_for_steps_and_a_box_and_ids_do_not_depend_on_order(tmp_path):
    rows = [good(n) for n in range(5)]
    run("table", write_jsonl(tmp_path / "a.jsonl", rows), "--out", tmp_path / "a.parquet")
    run("table", write_jsonl(tmp_path / "b.jsonl", rows[::-1]), "--out", tmp_path / "b.parquet", "--system-prompt", "")
    a, b = rows_of(tmp_path / "a.parquet"), rows_of(tmp_path / "b.parquet")
    assert [row["prompt_id"] for row in a] == [row["prompt_id"] for row in b[::-1]]
    system, user = a[0]["prompt"]
    assert system["role"] == "system" and "step by step" in system["content"] and r"\boxed{}" in system["content"]
    assert user == {"role": "user", "content": rows[0]["problem"]} and b[0]["prompt"] == [
        {**user, "content": rows[4]["problem"]}
    ]


def test_the_same_rows_as_jsonl_csv_and_parquet(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "CHUNK", 4)
    solution = "So\n{n}+{n}=<<{n}+{n}={m}>>{m}\n#### {m}"
    rows = [{"question": f'Add\n{n} and {n}, "now"', "answer": solution.format(n=n, m=2 * n)} for n in range(1, 10)]
    write_jsonl(tmp_path / "t.jsonl", rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet", row_group_size=2)
    with open(tmp_path / "t.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["question", "answer"])
        writer.writeheader()
        writer.writerows(rows)
    made = {}
    for suffix in ("jsonl", "parquet", "csv"):
        out = tmp_path / f"{suffix}.out.parquet"
        assert run("table", tmp_path / f"t.{suffix}", "--problem-column", "question", "--solution-column", "answer",
                   "--data-source", "sums", "--out", out) == 0  # fmt: skip
        made[suffix] = rows_of(out)
    assert made["jsonl"] == made["csv"] == made["parquet"]
    for number, row in enumerate(made["csv"]):
        assert row["reward_model"]["ground_truth"] == str(2 * (number + 1))
        assert "<<" not in row["reference_response"] and "####" not in row["reference_response"]
        assert MathVerifier().is_correct(row["reference_response"], row["reward_model"]["ground_truth"])


def openr1_row(n: int) -> dict:
    """A row of the data set's schema: three good traces of growing length, the first one cut off."""
    box = rf"\boxed{{{2 * n}}}"
    return {
        "problem": f"Problem {n}: twice {n}?",
        "solution": "Double it.",
        "answer": str(2 * n),
        "problem_type": "Algebra",
        "question_type": "math-word-problem",
        "source": "olympiads",
        "uuid": f"uuid-{n}",
        "is_reasoning_complete": [False, True, True],
        "generations": [f"cut off {2 * n}", f"{'x ' * 40}{box}", f"long {'y ' * 90} {box}"],
        "correctness_math_verify": [True, True, True],
        "correctness_llama": None,
        "finish_reasons": ["length", "stop", "stop"],
        "correctness_count": 3,
        "messages": [{"content": "x", "role": "user"}],
    }


@pytest.fixture
def openr1(tmp_path) -> Path:
    """A folder laid out like the data set on the hub, in two files."""
    rows = [openr1_row(n) for n in range(1, 41)]
    rows[3] |= {"correctness_math_verify": [False, False, False]}
    rows[4] |= {"correctness_math_verify": None}
    rows[5] |= {"generations": ["z" * 5000, "z" * 6000, "z" * 7000]}
    rows[6] |= {"generations": [r"\boxed{-1}"] * 3}  # flagged as right, and wrong
    rows[7] |= {"answer": "proof"}
    (tmp_path / "hub/data").mkdir(parents=True)
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n---\n"
    (tmp_path / "hub/README.md").write_text(card)
    for number in range(2):
        table = pa.Table.from_pylist(rows[20 * number : 20 * number + 20])
        pq.write_table(table, tmp_path / f"hub/data/train-0000{number}-of-00002.parquet", row_group_size=8)
    return tmp_path / "hub"


TOKENIZER = ROOT / "examples/opchain_base"
"""A token is a byte."""


@pytest.mark.parametrize("recheck", [False, True])
def test_openr1_filters(tmp_path, openr1, recheck):
    out = tmp_path / "train.parquet"
    more = ["--recheck-traces"] if recheck else []
    assert run("openr1", "--local", openr1 / "data", "--tokenizer", TOKENIZER, "--max-trace-tokens", 1000, "--out", out,
               *more) == 0  # fmt: skip
    reasons = {row["prompt_id"]: row["reason"] for row in dropped_of(out)}
    if recheck:
        wanted = {6: "no_accepted_trace", 7: "no_accepted_trace", 8: "no_accepted_trace"}
    else:
        wanted = {4: "no_accepted_trace", 5: "no_accepted_trace", 6: "trace_too_long", 8: "unverifiable_answer"}
    assert reasons == {f"uuid-{n}": reason for n, reason in wanted.items()}
    row = rows_of(out)[0]
    assert row["reference_response"] == openr1_row(1)["generations"][1], "the shortest complete one"
    assert row["prompt_id"] == "uuid-1" and row["data_source"] == "openr1-math"


def test_a_sample_is_seeded_and_lists_what_it_leaves_out(tmp_path, openr1):
    def sample(name: str, seed: int, size: int) -> tuple[list[str], list[str]]:
        out = tmp_path / f"{name}.parquet"
        run(
            "openr1",
            "--local",
            openr1 / "data",
            "--max-trace-tokens",
            0,
            "--sample",
            size,
            "--seed",
            seed,
            "--out",
            out,
        )
        left_out = [row["prompt_id"] for row in dropped_of(out) if row["reason"] == "not_sampled"]
        return [row["prompt_id"] for row in rows_of(out)], left_out

    first, left_out = sample("a", 0, 10)
    assert first == sample("b", 0, 10)[0] != sample("c", 1, 10)[0]
    assert set(first) < set(sample("d", 0, 20)[0]), "a larger sample holds the smaller one"
    assert len(first) == 10 and len(left_out) == 27 and not set(first) & set(left_out)


def test_streaming_from_the_hub_gives_what_the_files_give_from_any_position(tmp_path, openr1):
    def hub() -> Hub:
        return Hub(str(openr1), "default", "train", "main", OPENR1_COLUMNS)

    everything = list(hub().read(None))
    assert everything == [
        {c: row[c] for c in OPENR1_COLUMNS} for f in sorted((openr1 / "data").iterdir()) for row in rows_of(f)
    ]
    for stop in (1, 8, 19, 20, 33, 40):
        stream = hub()
        assert list(islice(stream.read(None), stop)) == everything[:stop]
        assert list(hub().read(json.loads(json.dumps(stream.position())))) == everything[stop:]
    out = tmp_path / "train.parquet"
    assert run("openr1", "--name", openr1, "--max-trace-tokens", 0, "--out", out) == 0
    assert manifest_of(out)["source"]["kind"] == "hub" and len(rows_of(out)) == 37


def test_the_released_training_set_in_verls_format(tmp_path):
    prompt = [{"role": "system", "content": "theirs"}, {"role": "user", "content": "What is 3 times 5?"}]
    row = {"prompt": prompt, "reward_model": {"ground_truth": "15", "style": "rule"}, "solution": r"\boxed{15}",
           "data_source": "openr1", "extra_info": {"index": 0}}  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "theirs.parquet")
    assert run("sage_train", "--local", tmp_path / "theirs.parquet", "--out", tmp_path / "train.parquet") == 0
    (made,) = rows_of(tmp_path / "train.parquet")
    assert made["problem"] == "What is 3 times 5?" and made["solution"] == r"\boxed{15}"
    assert made["prompt_id"] == text_id("What is 3 times 5?") and made["data_source"] == "openr1"


def test_validate_says_what_is_wrong(tmp_path, benchmarks, capsys):
    out = tmp_path / "train.parquet"
    run("table", write_jsonl(tmp_path / "in.jsonl", [good(n) for n in range(6)]), "--out", out)
    assert run("validate", out, "--benchmarks", benchmarks) == 0
    assert "describes" in capsys.readouterr().out
    rows = rows_of(out)
    rows[1]["prompt_id"] = rows[0]["prompt_id"]
    rows[2]["reward_model"]["ground_truth"] = None
    rows[3]["problem"] = "Compute the sum of the first ten odd numbers."
    rows[4]["reward_model"]["ground_truth"] = "proof"
    rows[5]["solution"] = None
    pq.write_table(pa.Table.from_pylist(rows), out)
    assert run("validate", out, "--benchmarks", benchmarks, "--list", tmp_path / "found.jsonl") == 1
    said = capsys.readouterr().out
    assert (
        "row 1: prompt_id" in said and "row 2" in said and "1 rows have no solution" in said and "NOT the one" in said
    )
    found = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    assert {row["row"]: row["reason"] for row in found} == {
        1: "repeated_id", 3: "contaminated", 4: "unverifiable_answer",
    }  # fmt: skip


def test_an_unchecked_contamination_is_said_loudly(tmp_path, capsys):
    out = tmp_path / "train.parquet"
    run("table", write_jsonl(tmp_path / "in.jsonl", [good(1)]), "--out", out)
    assert "CONTAMINATION WAS NOT CHECKED" in capsys.readouterr().out
    assert manifest_of(out)["contamination"]["checked"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table", "nowhere.jsonl", "--out", "x.parquet"], "no such file"),
        (["table", "{folder}/in.txt", "--out", "x.parquet"], "type of a file"),
        (
            ["table", "{folder}/in.jsonl", "--problem-column", "question", "--out", "x.parquet"],
            "it has problem, solution",
        ),
        (
            ["openr1", "--local", "{folder}/in.jsonl", "--max-trace-tokens", "0", "--out", "x.parquet"],
            "no column 'answer'",
        ),
        (["table", "{folder}/in.jsonl", "--out", "x.json"], "must end in .parquet"),
        (["table", "{folder}/fake.parquet", "--out", "{folder}/x.parquet"], "not a Parquet file"),
        (["table", "{folder}/latin.csv", "--out", "{folder}/x.parquet"], "not UTF-8"),
        (
            ["table", "{folder}/in.jsonl", "--out", "{folder}/x.parquet", "--benchmarks", "{folder}"],
            "none of the bench",
        ),
        (["openr1", "--local", "{folder}/fake.parquet", "--out", "{folder}/x.parquet"], "needs --tokenizer"),
        (["validate", "{folder}/nowhere.parquet"], "does not exist"),
        (["benchmarks", "--folder", "{folder}", "--out", "x.parquet"], "none of the benchmark files"),
    ],
)
def test_bad_input_is_named(tmp_path, capsys, arguments, message):
    write_jsonl(tmp_path / "in.jsonl", [good(1)])
    (tmp_path / "in.txt").write_text("x")
    (tmp_path / "fake.parquet").write_text("x")
    (tmp_path / "latin.csv").write_bytes("problem,solution\n\xe9t\xe9,\\boxed{1}\n".encode("latin-1"))
    assert run(*(argument.format(folder=tmp_path) for argument in arguments)) == 2
    assert message in capsys.readouterr().err


def test_no_row_kept_is_a_failure_with_its_list(tmp_path, capsys):
    out = tmp_path / "train.parquet"
    assert run("table", write_jsonl(tmp_path / "in.jsonl", [{"problem": "x", "solution": ""}]), "--out", out) == 1
    assert "no row was kept" in capsys.readouterr().err and len(dropped_of(out)) == 1


def test_answers_and_cells():
    assert answer_of("so 5\n#### 1,234 ") == "1,234"
    assert answer_of(r"\boxed{1} then \boxed{\frac{1}{2}}") == r"\frac{1}{2}"
    assert answer_of("in the middle #### 5\nmore text") is None
    assert boxed_response(r"has \boxed{1}", "1") is None
    assert [plain_text(v) for v in (27.0, 3, "  x ", None, ["a"], float("nan"), 0.5)] == [
        "27",
        "3",
        "x",
        "",
        "a",
        "",
        "0.5",
    ]
    with pytest.raises(ValueError):
        plain_text({"a": 1})


@given(st.text(alphabet=" $~xY2+{}.,", max_size=40))
def test_ids_do_not_depend_on_spaces_dollars_and_case(text):
    assert text_id(text) == text_id("$ " + text.replace(" ", "  ").upper() + " $")
    assert text_id("a" + text) != text_id("b" + text)


def test_benchmarks_become_a_validation_file(tmp_path, benchmarks):
    write_jsonl(benchmarks / "mmlu_pro.jsonl", [
        {"question_id": 7, "question": "Which one?", "options": ["this", "that"], "answer": "B", "answer_index": 1}
    ])  # fmt: skip
    (benchmarks / "gpqa.csv").write_text("private")
    with pytest.raises(SystemExit):
        run("benchmarks", "--folder", benchmarks, "--names", "unknown", "--out", tmp_path / "val.parquet")
    assert run("benchmarks", "--folder", benchmarks, "--names", "gpqa", "--out", tmp_path / "val.parquet") == 2
    assert run("benchmarks", "--folder", benchmarks, "--out", tmp_path / "val.parquet") == 0
    rows = rows_of(tmp_path / "val.parquet")
    assert [row["prompt_id"] for row in rows] == ["aime24/0", "mmlu_pro/7"]
    assert "B. that" in rows[1]["prompt"][-1]["content"] and rows[1]["reward_model"]["ground_truth"] == "B"
    assert rows[1]["extra_info"]["split"] == "test" and rows[1]["data_source"] == "mmlu_pro"
    check_training_files([str(tmp_path / "val.parquet")], needs_solutions=False)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data files")
def test_aime_problems_that_are_in_math500_are_found_and_stock_phrases_are_not(tmp_path):
    out = tmp_path / "aime.parquet"
    (tmp_path / "some").mkdir()
    for name in ("math500", "aime24", "aime25"):
        (tmp_path / "some" / f"{name}.jsonl").symlink_to(SHARED.resolve() / f"{name}.jsonl")
    source = SHARED / "aime_1983_2023_train_with_solutions.jsonl"
    assert run("table", source, "--benchmarks", tmp_path / "some", "--out", out) == 0
    found = [row["details"] for row in dropped_of(out)]
    assert sum("100% of math500" in details for details in found) >= 6
    assert not any("aime25" in details for details in found)
