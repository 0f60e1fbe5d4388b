"""A file made by scripts/prepare_data.py is trained on by the recipe, with the embedded model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sage.grading.verifier import MathVerifier
from tests.e2e.conftest import ROOT, Run, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1300)]


class OneInTen(MathVerifier):
    """One response in ten is correct: some groups have a signal, though the model cannot solve word problems."""

    def is_correct(self, response: str, answer: str) -> bool:
        return zlib.crc32(response.encode()) % 10 == 0


def longer_model(folder: Path, length: int = 2048) -> Path:
    """The embedded model with room for word problems; rotary embeddings have no parameters."""
    shutil.copytree(ROOT / "examples/opchain_base", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": length}))
    return folder


def prepare(*arguments: object) -> None:
    subprocess.run([sys.executable, "scripts/prepare_data.py", *map(str, arguments)], cwd=ROOT, check=True)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """Training and validation file from a table like GSM8K and a benchmark file like AIME24."""
    folder = tmp_path_factory.mktemp("prepared")
    table = [
        {
            "question": f"Ann has {n} pens and buys {n + 3} more. How many pens has she now?",
            "answer": f"She has {n} + {n + 3} = <<{n}+{n + 3}={2 * n + 3}>>{2 * n + 3} pens.\n#### {2 * n + 3}",
        }
        for n in range(2, 40)
    ]
    table += [{"question": "A question without a solution?", "answer": ""}]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
    test = [{"problem": f"Compute the sum of {n} and 10.", "answer": n + 10} for n in range(4)]
    (folder / "aime24.jsonl").write_text("".join(json.dumps(row) + "\n" for row in test))
    prepare(
        "table", folder / "in.jsonl", "--problem-column", "question", "--solution-column", "answer",
        "--data-source", "pens", "--benchmarks", folder, "--out", folder / "train.parquet",
    )  # fmt: skip
    prepare("benchmarks", "--folder", folder, "--out", folder / "test.parquet")
    prepare("validate", folder / "train.parquet", "--benchmarks", folder)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory, prepared) -> Run:
    model = longer_model(tmp_path_factory.mktemp("model") / "longer")
    return train(
        tmp_path_factory.mktemp("run"),
        prepared,
        f"actor_rollout_ref.model.path={model}",
        "sage.verifier=tests.e2e.test_prepared_data:OneInTen",
        "sage.prompts=math",
        "data.max_prompt_length=512",
        "actor_rollout_ref.rollout.max_model_len=2048",
        "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=2048",
        "actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu=2048",
        "trainer.total_training_steps=2",
        "trainer.test_freq=2",
    )


def test_the_rows_of_the_file_are_trained_on(run, prepared):
    rows = {row["prompt_id"]: row for row in pq.read_table(prepared / "train.parquet").to_pylist()}
    assert len(rows) == 38
    visited = [line["prompt_id"] for line in run.history]
    assert len(visited) == 32 and set(visited) <= set(rows)
    inputs = {row["input"] for step in (1, 2) for row in run.dump("rollouts", step) if not row["uid"].startswith("pad")}
    assert all(r"\boxed{}" in text and "Ann has" in text for text in inputs)
    assert all(run.metrics[step]["actor/grad_norm"] > 0 for step in (1, 2))


def test_hints_are_asked_for_with_the_solutions_of_the_file(run):
    asked = [request for line in run.history for request in line["requests"]]
    stopped = [request for request in asked if request["outcome"] == "aborted"]  # begun early, and not needed
    assert len(asked) > len(stopped) and all(request["tokens"] > 0 for request in asked if request not in stopped)
    assert not any(run.metrics[step]["sage/hint_missing/no_solution"] for step in (1, 2))


def test_the_benchmark_file_is_validated_on_by_name(run):
    assert len(run.dump("validation", 2)) == 4
    assert "val-core/aime24/acc/mean@1" in run.metrics[2]
