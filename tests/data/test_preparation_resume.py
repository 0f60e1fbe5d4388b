"""A preparation that is killed goes on to the same bytes, wherever it was killed."""

from __future__ import annotations

import pytest

from sage.data.preparation import pipeline
from tests.data import test_preparation
from tests.data.test_preparation import dropped_of, good, manifest_of, rows_of, run, write_jsonl

openr1 = test_preparation.openr1
"""The fixture."""


class Killed(BaseException):
    pass


@pytest.mark.parametrize("kill_after", [1, 3, 5])
@pytest.mark.parametrize("local", [True, False])
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path, openr1, monkeypatch, kill_after, local):
    monkeypatch.setattr(pipeline, "CHUNK", 8)
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    where = ["--local", openr1 / "data"] if local else ["--name", openr1]
    command = ["openr1", *where, "--max-trace-tokens", 0, "--sample", 12, "--out"]
    assert run(*command, tmp_path / "whole/train.parquet") == 0
    out = tmp_path / "killed/train.parquet"
    add, count = pipeline.Parts.add, 0

    def dies(self, *arguments):
        nonlocal count
        count += 1
        if count > kill_after:
            (self.folder / "part-00009.parquet.tmp").write_text("half a file")
            raise Killed
        return add(self, *arguments)

    monkeypatch.setattr(pipeline.Parts, "add", dies)
    with pytest.raises(Killed) if kill_after < 5 else pytest.raises(AssertionError):
        run(*command, out)
        raise AssertionError("five parts: it came through")
    monkeypatch.setattr(pipeline.Parts, "add", add)
    if not out.exists():
        assert run(*command[:-1], "--seed", 5, "--out", out) == 2, "not with other settings"
        assert run(*command, out) == 0
    for name in ("train.parquet", "train.dropped.jsonl", "train.manifest.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not out.with_name("train.parquet.parts").exists()
    assert run(*command, out) == 2, "a finished file is not overwritten"


def test_a_run_killed_before_its_manifest_is_finished(tmp_path, monkeypatch):
    rows = write_jsonl(tmp_path / "in.jsonl", [good(n) for n in range(5)])
    out = tmp_path / "out.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "write_manifest", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            run("table", rows, "--out", out)
    assert out.exists() and run("table", rows, "--out", out) == 0
    assert manifest_of(out)["output"]["rows"] == 5


def test_a_run_killed_while_it_removes_its_parts_is_finished(tmp_path, monkeypatch):
    """Parts that were left of some of the rows must not be taken for an interrupted run's."""
    monkeypatch.setattr(pipeline, "CHUNK", 2)
    rows = write_jsonl(tmp_path / "in.jsonl", [good(n) for n in range(9)])
    out = tmp_path / "out.parquet"

    def dies(folder):
        for part in sorted(folder.glob("part-00004*")):
            part.unlink()
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda folder, ignore_errors=False: None if ignore_errors else dies(folder))
        with pytest.raises(Killed):
            run("table", rows, "--out", out)
    assert len(rows_of(out)) == 9 and run("table", rows, "--out", out) == 2, "it is finished"
    out.unlink()
    assert run("table", rows, "--out", out) == 0 and len(rows_of(out)) == 9
    assert not list(tmp_path.glob("*.parts*"))


def test_duplicates_are_found_across_chunks_and_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "CHUNK", 2)
    rows = write_jsonl(tmp_path / "in.jsonl", [good(n % 3) for n in range(9)])
    out = tmp_path / "out.parquet"
    assert run("table", rows, "--out", out) == 0
    assert len(rows_of(out)) == 3
    assert [row["row"] for row in dropped_of(out)] == [3, 4, 5, 6, 7, 8]
    assert "row 0" in dropped_of(out)[0]["details"]
