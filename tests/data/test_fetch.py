"""The benchmarks from a stand-in for the hub: a small HTTP server that lists and serves files of data sets."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import huggingface_hub
import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfApi

from sage.data.preparation import fetch
from sage.data.preparation.fetch import RELEASES, Release
from sage.evaluation.benchmarks import BENCHMARKS, load_benchmark
from tests.data.test_preparation import rows_of, run

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROWS = [{"problem": f"What is {n} and {n}?", "answer": str(2 * n), "id": n} for n in range(3)]
GPQA = (
    "Record ID,Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3\nrec1,Which?,a,b,c,d\n"
)


def parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), file)
    return file.getvalue()


def lines() -> bytes:
    return "".join(json.dumps(row) + "\n" for row in ROWS).encode()


class Hub:
    """What the server has, and what it was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        self.asked: list[str] = []
        self.endpoint = ""

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        self.asked.append(path)
        parts = unquote(urlsplit(path).path).strip("/").split("/")
        listing = parts[:2] == ["api", "datasets"]
        repository = "/".join(parts[2:4] if listing else parts[1:3])
        if repository not in self.files:
            return 404, {"X-Error-Code": "RepoNotFound"}, b""
        assert COMMIT in parts, "at another revision"
        if listing:
            found = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in self.files[repository].items()
            ]
            return 200, {"Content-Type": "application/json"}, json.dumps(found).encode()
        if repository in self.gated:
            return 403, {"X-Error-Code": "GatedRepo"}, b""
        content = self.files[repository].get("/".join(parts[5:]))
        if content is None:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        return 200, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}, content


@pytest.fixture
def hub(monkeypatch) -> Iterator[Hub]:
    """The server, with small stand-ins for three of the releases."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._say(body=False)

        def do_GET(self) -> None:
            self._say(body=True)

        def _say(self, body: bool) -> None:
            status, headers, content = hub.answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(huggingface_hub, "HfApi", partial(HfApi, endpoint=hub.endpoint))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(
        fetch,
        "RELEASES",
        {
            "aime24": Release("some/aime24", COMMIT, 3),
            "math500": Release("some/math", COMMIT, 3),
            "gpqa": Release("some/gpqa", COMMIT, 1, "gpqa_diamond.csv"),
        },
    )
    hub.files = {
        "some/aime24": {"README.md": b"", "test.jsonl": lines(), "train.jsonl": b"{}"},
        "some/math": {".gitattributes": b"", "data/test-00000-of-00001.parquet": parquet()},
        "some/gpqa": {"gpqa_diamond.csv": GPQA.encode(), "gpqa_main.csv": b""},
    }
    yield hub
    server.shutdown()
    server.server_close()


def test_files_are_fetched_at_their_revision_and_read_by_everything_else(tmp_path, hub, capsys):
    names = ("aime24", "math500", "gpqa")
    folder = tmp_path / "new/bench"
    assert run("fetch-benchmarks", "--folder", folder, "--names", *names) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["aime24.jsonl", "gpqa.csv", "math500.parquet"]
    assert (folder / "aime24.jsonl").read_bytes() == lines()
    assert len(load_benchmark("math500", folder / "math500.parquet")) == 3
    assert f"3 problems of some/aime24 at {COMMIT[:12]}" in capsys.readouterr().out
    assert run("benchmarks", "--folder", folder, "--out", tmp_path / "val.parquet") == 0
    assert len(rows_of(tmp_path / "val.parquet")) == 6, "GPQA is not copied"


def test_files_that_are_there_are_left_alone_and_not_asked_for(tmp_path, hub, capsys):
    (tmp_path / "aime24.csv").write_text("mine")
    assert run("fetch-benchmarks", "--folder", tmp_path, "--names", "aime24", "math500") == 0
    assert (tmp_path / "aime24.csv").read_text() == "mine" and not any("aime24" in path for path in hub.asked)
    assert "aime24.csv is there already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda hub: hub.files["some/aime24"].update({"test.jsonl": lines() * 2}), "row 3: its id repeats"),
        (lambda hub: hub.files["some/aime24"].update({"test.jsonl": lines()[:60]}), "aime24"),
        (
            lambda hub: hub.files["some/aime24"].update({"test.jsonl": lines().splitlines(True)[0]}),
            "1 problems where 3",
        ),
        (lambda hub: hub.files["some/aime24"].pop("test.jsonl"), "should have one file test*"),
        (lambda hub: hub.files["some/aime24"].update({"test2.jsonl": b""}), "should have one file test*"),
        (lambda hub: hub.files.pop("some/aime24"), "some/aime24 cannot be read from http://127.0.0.1"),
        (lambda hub: hub.gated.add("some/aime24"), "is behind a gate: accept its conditions at http://127.0.0.1"),
    ],
)
def test_what_cannot_be_had_is_said_and_leaves_nothing_behind(tmp_path, hub, capsys, change, said):
    change(hub)
    assert run("fetch-benchmarks", "--folder", tmp_path, "--names", "aime24", "math500") == 1
    output = capsys.readouterr()
    assert said in output.err and "Traceback" not in output.err
    assert [path.name for path in tmp_path.iterdir()] == ["math500.parquet"], "the others are fetched all the same"


def test_a_hub_that_cannot_be_reached(tmp_path, hub, monkeypatch, capsys):
    monkeypatch.setattr(huggingface_hub, "HfApi", partial(HfApi, endpoint="http://127.0.0.1:9"))
    assert run("fetch-benchmarks", "--folder", tmp_path, "--names", "aime24") == 1
    assert "cannot be read from http://127.0.0.1:9" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_every_benchmark_has_a_release_at_a_commit():
    assert tuple(RELEASES) == BENCHMARKS
    assert all(len(release.revision) == 40 and int(release.revision, 16) for release in RELEASES.values())
    assert Path(RELEASES["gpqa"].file).suffix == ".csv"
