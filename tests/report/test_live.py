import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from sage.report.live import BLOCKS, levels, seconds_left, sparkline, view
from sage.report.tables.collect import read_metrics
from tests.report.test_report import write_run

ROOT = Path(__file__).parents[2]
WATCH = [sys.executable, str(ROOT / "scripts/watch_run.py")]


def drawn(renderable: object) -> str:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_sparklines_show_the_course():
    assert sparkline([]) == ""
    assert sparkline([0, 1]) == BLOCKS[0] + BLOCKS[7]
    assert sparkline([5.0] * 3) == BLOCKS[7] * 3 and sparkline([0.0]) == BLOCKS[0]
    long = sparkline([float(x) for x in range(1000)])
    assert len(long) == 40 and list(long) == sorted(long)


def test_what_verl_logs_as_null_is_left_out(tmp_path):
    logged = [{"actor/grad_norm": 0.5, "val-core/easy/acc/mean@1": 0.25}, {"actor/grad_norm": None, "sage/prompts": 1}]
    lines = [json.dumps({"step": step, "data": data}) + "\n" for step, data in enumerate(logged, start=1)]
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    steps = read_metrics(tmp_path)
    assert steps[2] == {"sage/prompts": 1}
    assert re.search(r"gradient norm +0\.5 ", drawn(view("x", steps, None)))


def test_the_view_has_last_values(tmp_path):
    steps = read_metrics(write_run(tmp_path / "run", steps=12))
    text = drawn(view("run", steps, 20))
    assert "step 12 of 20" in text and "0.3 min left" in text and seconds_left(steps, 20) == 16
    last = steps[12]
    assert f"{last['sage/hint_usage']:.0%}" in re.search(r"prompts with a hint +(\S+)", text)[0]
    assert "no-hint test: math" in text and "100.0%" in text
    bar = levels(last)
    assert bar and bar == "".join(sorted(bar)) and set(bar) <= set("0123")
    assert "gradient norm" not in text, "what is not logged has no line"
    assert "no step yet" in drawn(view("run", {}, None))


def grow(folder: Path, step: int) -> None:
    with open(folder / "metrics.jsonl", "a") as file:
        file.write(json.dumps({"step": step, "data": {"sage/never_solved": step / 10, "timing_s/step": 2.0}}) + "\n")


def read_until(stream: int, text: str, seconds: float = 40) -> str:
    found, end = "", time.time() + seconds
    while text not in found and time.time() < end:
        if select.select([stream], [], [], 0.2)[0]:
            found += os.read(stream, 65536).decode(errors="replace")
    return found


@pytest.mark.parametrize("terminal", [False, True])
def test_a_growing_run_is_followed(tmp_path, terminal):
    grow(tmp_path, 1)
    ours, theirs = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen(
        [*WATCH, "--follow", str(tmp_path), "--steps", "9"],
        stdout=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
    )
    try:
        for step in (1, 2, 3):
            if step > 1:
                grow(tmp_path, step)
            text = f"step {step} of 9" if terminal else f"step    {step}/9"
            found = read_until(ours, text)
            assert text in found
        if terminal:
            found += "" if "30.0%" in found else read_until(ours, "30.0%")  # the rest of the picture
            assert "never solved so far" in found and "30.0%" in found
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def test_the_first_line_of_a_run_knows_no_pace(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": step, "data": {"sage/groups/accuracy": 0.5}}) for step in (0, 1)]
    program = f"import time; f = open({str(metrics)!r}, 'a', buffering=1)\n"
    program += "".join(f"print({line!r}, file=f); time.sleep(1.5)\n" for line in lines)
    command = [*WATCH, "--steps", "9", "--log", str(tmp_path / "log"), "--", sys.executable, "-c", program]
    environment = os.environ | {"VERL_FILE_LOGGER_PATH": str(metrics)}
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment).stdout
    first, second = (line for line in shown.splitlines() if "step" in line)
    assert "step    0/9" in first and "left" not in first and "left" in second


def test_arguments_are_checked(tmp_path):
    for arguments, text in (
        (["--follow", str(tmp_path / "no")], "no such folder"),
        (["--follow", str(tmp_path), "--", "true"], "takes no command"),
        (["--steps", "3", "--", "true"], "needs --steps, --log and a command"),
        (["--steps", "-1"], "'-1' must be a whole number of at least 0"),
        (["--silence", "nan"], "'nan' must be a number above 0"),
    ):
        result = subprocess.run([*WATCH, *arguments], capture_output=True, text=True, timeout=60)
        assert result.returncode == 2 and text in result.stderr
    environment = {key: value for key, value in os.environ.items() if key != "VERL_FILE_LOGGER_PATH"}
    command = [*WATCH, "--steps", "3", "--log", str(tmp_path / "log"), "--", "true"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert result.returncode == 2 and "set VERL_FILE_LOGGER_PATH to the metrics file" in result.stderr


def test_a_log_or_a_command_that_is_not_there_is_named(tmp_path):
    environment = os.environ | {"VERL_FILE_LOGGER_PATH": str(tmp_path / "metrics.jsonl")}
    for log, command, text in (
        (tmp_path, "true", "is a folder: name a file in it"),
        (tmp_path / "log", "no-such-command", "no-such-command: there is no such command"),
    ):
        arguments = ["--steps", "3", "--log", str(log), "--", command]
        result = subprocess.run([*WATCH, *arguments], capture_output=True, text=True, timeout=60, env=environment)
        assert result.returncode == 2 and text in result.stderr.splitlines()[-1]


def test_a_view_of_damaged_metrics_ends_in_a_sentence(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "data": {"sage/groups/accuracy": 0.5}}\n[1]\n')
    result = subprocess.run([*WATCH, "--follow", str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "metrics.jsonl, line 2: [1] should be an object" in result.stderr


@pytest.mark.parametrize("how", ["hangup", "nohup", "damaged metrics"])
def test_a_command_does_not_outlive_its_watcher(tmp_path, how):
    """A closed terminal ends it, unless nohup says otherwise; metrics that cannot be read end nothing but the view."""
    metrics, pid = tmp_path / "metrics.jsonl", tmp_path / "pid"
    command = [*WATCH, "--steps", "3", "--log", str(tmp_path / "log"), "--"]
    command += ["bash", "-c", f"echo $$ >{pid}.new; mv {pid}.new {pid}; exec sleep 60"]
    process = subprocess.Popen(
        ["nohup", *command] if how == "nohup" else command,
        env=os.environ | {"VERL_FILE_LOGGER_PATH": str(metrics)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        end = time.time() + 40
        while not pid.exists() and time.time() < end:
            time.sleep(0.1)
        child = int(pid.read_text())
        if how == "damaged metrics":
            metrics.write_text('{"step": 1, "data": {}}\nnonsense\n')
            assert "metrics.jsonl, line 2: not JSON" in read_until(process.stdout.fileno(), "Nothing more is shown")
        process.send_signal(signal.SIGHUP)
        if how == "nohup":
            time.sleep(2)
            assert process.poll() is None
            process.terminate()
        assert process.wait(20) == 130
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    finally:
        process.kill()
        process.wait()
