"""Run a training command with its output in a log, one progress line a step on the terminal, and a limit on silence.

    python scripts/watch_run.py --steps 80 --log run/train.log -- python -m recipe.sage.main_sage ...

The steps are read from verl's file logger (VERL_FILE_LOGGER_PATH). A run that writes nothing to its log for --silence
seconds is stopped: a vLLM worker that dies during weight sync would otherwise hang it. Exits with the command's status.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def describe(step: int, steps: int, data: dict[str, float], seconds: float, left: float) -> str:
    """One line for one step."""
    parts = [f"step {step:4d}/{steps}", f"{seconds:5.1f} s", f"left {left / 60:4.1f} min"]
    if "sage/groups/accuracy" in data:
        parts.append(f"train accuracy {data['sage/groups/accuracy']:.2f}")
        parts.append(f"hinted {data['sage/hint_usage']:4.0%}")
        parts.append(f"all-fail {data['sage/groups/all_fail_before']:.0f} -> {data['sage/groups/all_fail_after']:.0f}")
    kinds = {key.split("/")[1]: v for key, v in data.items() if key.startswith("val-core/") and "/mean@" in key}
    if kinds:
        parts.append("no-hint test " + " ".join(f"{kind} {value:.3f}" for kind, value in kinds.items()))
    return "  ".join(parts)


class Progress:
    """Prints the new lines of a metrics file."""

    def __init__(self, path: Path, steps: int) -> None:
        self.path, self.steps, self.position = path, steps, 0
        self.begin = self.last = time.time()
        self.first_step: tuple[int, float] | None = None

    def show_new(self) -> None:
        if not self.path.exists():
            return
        with open(self.path, encoding="utf-8") as file:
            file.seek(self.position)
            while (line := file.readline()).endswith("\n"):
                self.position += len(line.encode())
                self._show(json.loads(line))

    def _show(self, record: dict[str, object]) -> None:
        now = time.time()
        step = int(str(record["step"]))
        if self.first_step is None:
            print(f"  started in {now - self.begin:.0f} s", flush=True)
            self.first_step = (step, now)
        first, since = self.first_step
        rate = (now - since) / max(1, step - first)
        data = record["data"]
        assert isinstance(data, dict)
        print("  " + describe(step, self.steps, data, now - self.last, rate * (self.steps - step)), flush=True)
        self.last = now


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the command and what it started: first politely, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=20)
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--silence", type=float, default=300.0, help="stop after this many seconds without output")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    progress = Progress(Path(os.environ["VERL_FILE_LOGGER_PATH"]), args.steps)
    with open(args.log, "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        while process.poll() is None:
            time.sleep(1)
            progress.show_new()
            if time.time() - args.log.stat().st_mtime > args.silence:
                print(f"  no output for {args.silence:.0f} s: stopping", flush=True)
                stop(process)
                return 124
        progress.show_new()
    except KeyboardInterrupt:
        stop(process)
        return 130
    if process.returncode:
        lines = args.log.read_text(encoding="utf-8", errors="replace").splitlines()
        print("\n".join(lines[-40:]), f"\nfailed with status {process.returncode}; whole log: {args.log}", sep="")
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
