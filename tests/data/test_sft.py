"""The SFT file of training files."""

import sys

import pyarrow.parquet as pq
import pytest

from sage.data import sft
from sage.toy.embedded.build_data import build


@pytest.fixture
def files(tmp_path):
    for name in ("a", "b"):
        build(tmp_path / name, seed=ord(name), train={"easy": 2, "medium": 2, "hard": 2}, test=1)
    return [tmp_path / name / "train.parquet" for name in ("a", "b")]


def test_the_answer_is_the_reference_or_the_solution(files, tmp_path):
    rows = pq.read_table(files[0]).to_pylist()
    rows[0]["reference_response"], rows[1]["reference_response"] = "its trace", None
    rows[2]["solution"] = rows[2]["reference_response"] = None
    pq.write_table(pq.read_table(files[0]).from_pylist(rows), tmp_path / "train.parquet")
    assert sft.convert([str(tmp_path / "train.parquet")], str(tmp_path / "sft.parquet")) == (5, 1)
    made = {row["prompt_id"]: row["messages"] for row in pq.read_table(tmp_path / "sft.parquet").to_pylist()}
    assert made[rows[0]["prompt_id"]] == [*rows[0]["prompt"], {"role": "assistant", "content": "its trace"}]
    assert made[rows[1]["prompt_id"]][-1]["content"] == rows[1]["solution"]
    assert rows[2]["prompt_id"] not in made


@pytest.mark.parametrize("form", ["{}", "[{}]", "[{},{}]", "[{}, {}]"])
def test_a_list_of_files_is_written_as_for_the_other_methods(form, files, tmp_path, monkeypatch, capsys):
    command = ["sft_data", "--data", form.format(*files), "--out", str(tmp_path / "sft.parquet")]
    monkeypatch.setattr(sys, "argv", command)
    sft.main()
    assert f"wrote {6 * form.count('{}')} rows to" in capsys.readouterr().out
