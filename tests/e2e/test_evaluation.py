"""scripts/evaluate.py with a real vLLM: killed in the middle and resumed, and on the checkpoints of a real verl run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.e2e.conftest import ROOT, Run, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1300)]
LIMIT = 400
MODEL = ROOT / "examples" / "opchain_base"
OPTIONS = ["--samples", 4, "--temperature", 1, "--top-p", 1, "--max-tokens", 56]
OPTIONS += ["--verifier", "sage.toy.opchain.verifier:Verifier"]
for option in ("dtype=float32", "enforce_eager=true", "gpu_memory_utilization=0.1", "max_model_len=128"):
    OPTIONS += ["--engine", option]


def start(out: Path, data: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "scripts/evaluate.py", "--out", out, "--benchmarks", f"opchain={data / 'test.parquet'}"]
    command += [*OPTIONS, *arguments]
    return subprocess.Popen(
        ["bash", "-c", 'source scripts/cpu_env.sh && exec "$@"', "bash", *map(str, command)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def evaluate(out: Path, data: Path, *arguments: object) -> str:
    """Run to the end; what it printed."""
    process = start(out, data, *arguments)
    try:
        printed, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"no end within {LIMIT} s:\n" + process.communicate()[0][-3000:])
    assert process.returncode == 0, printed[-3000:]
    return printed


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".json", ".jsonl")}


def session_members(session: int) -> set[int]:
    """Processes of a session that are alive."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,sess=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    return {int(pid) for pid, owner, state in rows if int(owner) == session and not state.startswith("Z")}


def test_an_evaluation_that_was_killed_resumes_to_the_same_files(tmp_path, small_data):
    evaluate(tmp_path / "whole", small_data, "--model", MODEL, "--replicas", 2)
    file = tmp_path / "cut" / MODEL.name / "opchain.jsonl"
    slow = ("--model", MODEL, "--engine", "max_num_seqs=4")
    process = start(tmp_path / "cut", small_data, *slow)
    deadline = time.monotonic() + LIMIT
    while process.poll() is None and time.monotonic() < deadline:
        if file.exists() and file.read_bytes().count(b"\n") >= 10:
            break
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while session_members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not session_members(process.pid), "an engine outlived the process that started it"
    done = file.read_bytes().count(b"\n")
    assert 10 <= done < 48
    with open(file, "ab") as torn:
        torn.write(b'{"problem_id": "opchain/')
    assert f"{48 - done} of 48 samples to draw" in evaluate(tmp_path / "cut", small_data, *slow)
    assert results(tmp_path / "cut" / MODEL.name) == results(tmp_path / "whole" / MODEL.name)

    samples = [json.loads(line) for line in file.read_text().splitlines()]
    summary = json.loads((file.parent / "summary.json").read_text())["benchmarks"]["opchain"]
    assert len({(s["problem_id"], s["sample"]) for s in samples}) == len(samples) == 48
    assert summary["avg"] == pytest.approx(sum(s["correct"] for s in samples) / 48, abs=1e-6) and summary["avg"] > 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory, small_data) -> Run:
    """Two steps of a verl run on two ranks, each saved, with the contents that are saved by default.

    With hints, since two steps of GRPO may see no group with a signal, and leave the weights as they are.
    """
    options = ("trainer.n_gpus_per_node=2", "trainer.save_freq=1", "trainer.total_training_steps=2", "method=sage")
    return train(tmp_path_factory.mktemp("trained"), small_data, *options)


@pytest.mark.long
def test_every_checkpoint_of_a_run_is_merged_and_evaluated_and_the_best_is_named(trained, tmp_path, small_data):
    (trained.folder / "global_step_3" / "actor").mkdir(parents=True)
    arguments = ("--checkpoints", trained.folder, "--model", MODEL)
    planned = evaluate(tmp_path, small_data, *arguments, "--dry-run")
    assert "merge (fsdp), opchain 48 samples" in planned and not any(tmp_path.iterdir())

    printed = evaluate(tmp_path, small_data, *arguments)
    assert "global_step_3: latest_checkpointed_iteration.txt says 2, so it is not complete" in printed
    names = [MODEL.name, "global_step_1", "global_step_2"]
    summaries = {name: json.loads((tmp_path / name / "summary.json").read_text()) for name in names}
    averages = {name: summary["benchmarks"]["opchain"]["avg"] for name, summary in summaries.items()}
    best = json.loads((tmp_path / "best.json").read_text())
    assert best["scores"] == {name: averages[name] for name in names[1:]} and best["score"] == max(
        best["scores"].values()
    )
    assert "on the test sets" in best["rule"]

    folders = [MODEL, *(tmp_path / name / "model" for name in names[1:])]
    for before, after in pairwise(load_file(folder / "model.safetensors") for folder in folders):
        assert any((before[key].float() - after[key].float()).abs().max() > 1e-5 for key in before), "same weights"

    written = {name: results(tmp_path / name) for name in names}
    begin = time.monotonic()
    assert "loading" not in evaluate(tmp_path, small_data, *arguments), "nothing is left to do"
    assert time.monotonic() - begin < 60 and written == {name: results(tmp_path / name) for name in names}
