"""A series of runs is stopped without leaving one behind, and goes on where it was."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sage.toy.embedded import series

ROOT = Path(__file__).parents[2]
SERIES = """
import signal
import sys
from pathlib import Path
from sage.toy.embedded import series

signal.signal(signal.SIGINT, signal.default_int_handler)
folder = Path(sys.argv[1])
series.RESULTS = folder / "results"

def run(task, method, seed, work, name, rate):
    if seed == 1 and not (folder / "again").exists():
        series.shell(["bash", "-c", f"echo $$ > {folder}/pid; exec sleep 600"], limit=900)
    if seed == 2 and not (folder / "again").exists():
        raise AssertionError("never reached")
    return {"method": method, "seed": seed}

series.run = run
wanted = [("opchain", "grpo", seed) for seed in range(4)]
sys.exit(series.make_missing(wanted, folder, "s"))
"""


def wait_for(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def written_pid(path: Path) -> int:
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


@pytest.fixture(autouse=True)
def no_set_up(monkeypatch):
    """On a CPU the commands of a series set the environment up first."""
    monkeypatch.setenv("DEVICE", "cuda")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_series_loses_the_run_in_progress_and_no_more(number, tmp_path):
    command = [sys.executable, "-c", SERIES, str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT)
    pid = written_pid(tmp_path / "pid")
    process.send_signal(number)
    process.wait(30)
    wait_for(lambda: not alive(pid))
    folder = tmp_path / "results/opchain/grpo"
    assert [path.name for path in folder.iterdir()] == ["seed0.json"]
    first = (folder / "seed0.json").stat().st_mtime_ns
    (tmp_path / "again").touch()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "== run 1/3: opchain, grpo, seed 1" in done.stdout and "min left" in done.stdout
    assert {path.name for path in folder.iterdir()} == {f"seed{seed}.json" for seed in range(4)}
    assert (folder / "seed0.json").stat().st_mtime_ns == first, "what is recorded is not made again"


def test_a_run_that_takes_too_long_ends_with_all_that_it_started(tmp_path):
    with pytest.raises(subprocess.TimeoutExpired):
        series.shell(["bash", "-c", f"sleep 600 & echo $! > {tmp_path}/pid; wait"], limit=3)
    wait_for(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_a_failed_run_does_not_end_the_series(tmp_path, monkeypatch, capsys):
    def run(task, method, seed, *rest):
        if seed == 0:
            raise subprocess.CalledProcessError(3, "train")
        if seed == 1:
            raise ValueError("no evaluation before and after training")
        return {"method": method, "seed": seed}

    monkeypatch.setattr(series, "RESULTS", tmp_path)
    monkeypatch.setattr(series, "run", run)
    assert series.make_missing([("wheels", "sage", seed) for seed in range(3)], tmp_path, "s")
    assert json.loads((tmp_path / "wheels/sage/seed2.json").read_text()) == {"method": "sage", "seed": 2}
    assert "== failed: wheels, sage, seed 0; wheels, sage, seed 1" in capsys.readouterr().out


@pytest.mark.parametrize("who", ["watcher", "shell above it"])
def test_a_watched_command_ends_with_its_watcher(who, tmp_path):
    """Also when the shell that started the watcher is killed: the training would run on beside the next one."""
    watcher = f"exec {sys.executable} scripts/watch_run.py --steps 1 --log {tmp_path}/log"
    command = f"bash -c 'echo $$ > {tmp_path}/pid; exec sleep 600'"
    script = f"echo $BASHPID > {tmp_path}/watcher; {watcher} -- {command}"
    environment = os.environ | {"VERL_FILE_LOGGER_PATH": str(tmp_path / "metrics.jsonl")}
    above = subprocess.Popen(["bash", "-c", f"({script}); true"], cwd=ROOT, env=environment)
    pid = written_pid(tmp_path / "pid")
    if who == "watcher":
        os.kill(int((tmp_path / "watcher").read_text()), signal.SIGTERM)
    else:
        above.kill()
    wait_for(lambda: not alive(pid))
    above.kill()
    above.wait(30)
