import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sage.method.metrics import visit_metrics
from sage.toy.embedded.summary import summarize, table

ROOT = Path(__file__).parents[2]


def write_run(path: Path, steps: int, evaluations: dict[int, float]) -> Path:
    (path.parent / "wall_seconds").write_text("77\n")
    with open(path, "w") as file:
        for step in range(steps + 1):
            data = {}
            if step:
                data = visit_metrics([], [], 3) | {
                    "sage/hint_usage": 1 - step / steps,
                    "sage/never_solved": 0.5,
                    "sage/tokens/hint": 10.0,
                    "timing_s/step": 2.0,
                    "sage/rollout_probs_diff_max/plain": step / 1000,
                }
            if step in evaluations:
                data |= {f"val-core/{kind}/acc/mean@1": evaluations[step] for kind in ("easy", "medium", "hard")}
            file.write(json.dumps({"step": step, "data": data}) + "\n")
    return path


def test_a_finished_run_is_summarized(tmp_path):
    run = summarize(write_run(tmp_path / "metrics.jsonl", 8, {0: 0.1, 8: 0.4}), seed=3)
    assert run["base"]["hard"] == 0.1 and run["final"]["hard"] == 0.4 and run["seed"] == 3
    assert run["wall_seconds"] == 77 and run["step_seconds"] == 16.0
    assert run["tokens"]["hint"] == run["tokens"]["total"] == 80
    assert run["probs_diff_max"] == {"plain": 0.008}
    assert run["hint_usage_first_quarter"] == pytest.approx((7 / 8 + 6 / 8) / 2)
    assert "0.400" in table({"sage": run}) and "base model" in table({"sage": run})


def test_an_unfinished_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="did not finish"):
        summarize(write_run(tmp_path / "metrics.jsonl", 8, {0: 0.1}), seed=0)


def test_a_run_that_is_tested_elsewhere_has_no_accuracies(tmp_path):
    run = summarize(write_run(tmp_path / "metrics.jsonl", 8, {}), seed=0)
    assert run["steps"] == 8 and not {"base", "final"} & run.keys()
    assert "nan" in table({"sage": run})


def watch(tmp_path, *options_and_command, steps=2):
    return subprocess.run(
        [
            sys.executable,
            str(ROOT / "scripts/watch_run.py"),
            "--steps",
            str(steps),
            "--log",
            str(tmp_path / "log"),
            *options_and_command,
        ],
        env=os.environ | {"VERL_FILE_LOGGER_PATH": str(tmp_path / "metrics.jsonl")},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_watching_shows_steps_and_keeps_the_log(tmp_path):
    run = tmp_path / "source.jsonl"
    write_run(run, 2, {0: 0.1, 2: 0.3})
    target = tmp_path / "metrics.jsonl"
    copy = f"shutil.copy({str(run)!r}, {str(target)!r})"
    script = f"import shutil, time; print('quiet'); {copy}; time.sleep(2)"
    result = watch(tmp_path, "--", sys.executable, "-c", script)
    assert result.returncode == 0 and "step    2/2" in result.stdout and "hard 0.300" in result.stdout
    assert (tmp_path / "log").read_text() == "quiet\n"


def test_a_failure_shows_the_end_of_the_log_and_its_status(tmp_path):
    result = watch(tmp_path, "--", sys.executable, "-c", "import sys; print('the reason'); sys.exit(3)")
    assert result.returncode == 3 and "the reason" in result.stdout


def test_a_run_without_steps_is_watched_too(tmp_path):
    """Such as one with trainer.val_only."""
    assert watch(tmp_path, "--", sys.executable, "-c", "print('tested')", steps=0).returncode == 0


def test_silence_is_stopped(tmp_path):
    result = watch(tmp_path, "--silence", "1", "--", sys.executable, "-c", "import time; time.sleep(50)")
    assert result.returncode == 124 and "no output for 1 s" in result.stdout
