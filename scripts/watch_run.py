"""Run a training command with its output in a log and its progress on the terminal, or follow a run in progress.

    VERL_FILE_LOGGER_PATH=run/metrics.jsonl \\
        python scripts/watch_run.py --steps 80 --log run/train.log -- python -m recipe.sage.main_sage ...
    python scripts/watch_run.py --follow run

The steps are read from verl's file logger (VERL_FILE_LOGGER_PATH, or metrics*.jsonl in the followed folder). On a
terminal the metrics are shown as curves, otherwise as one line a step. A run ends itself when it hangs
(sage.stall_limit); in case it does not, a command that writes nothing to its log for --silence seconds is stopped.
Exits with the command's status. A command is ended by Ctrl-C, SIGTERM, a closed terminal (except under nohup) and the
end of the process that started this one. With --follow, Ctrl-C ends only the view.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from itertools import islice
from pathlib import Path

from sage.support.arguments import at_least, output_file, positive
from sage.support.processes import end_group


def describe(step: int, steps: int | None, data: dict[str, float], seconds: float, left: float | None) -> str:
    parts = [f"step {step:4d}" + (f"/{steps}" if steps else ""), f"{seconds:5.1f} s"]
    if left is not None:
        parts.append(f"left {left / 60:4.1f} min")
    forms = {
        "train accuracy {:.2f}": ("sage/groups/accuracy",),
        "hinted {:4.0%}": ("sage/hint_usage",),
        "all-fail {:.0f} -> {:.0f}": ("sage/groups/all_fail_before", "sage/groups/all_fail_after"),
    }
    parts += [form.format(*map(data.get, keys)) for form, keys in forms.items() if data.keys() >= set(keys)]
    kinds = {key.split("/")[1]: v for key, v in data.items() if key.startswith("val-core/") and "/mean@" in key}
    if kinds:
        parts.append("no-hint test " + " ".join(f"{kind} {value:.3f}" for kind, value in kinds.items()))
    return "  ".join(parts)


class View(ABC):
    """Shows what there is until a metrics file cannot be read: that is said, and ends the view alone."""

    good = True

    def show(self) -> None:
        try:
            if self.good:
                self.show_new()
        except (ValueError, OSError) as error:
            self.close()
            print(f"{error}\nNothing more is shown.", file=sys.stderr, flush=True)

    @abstractmethod
    def show_new(self) -> None:
        """Show what is new in the metrics files."""

    def close(self) -> None:
        """Show nothing more; twice is no harm."""
        self.good = False


class Progress(View):
    """Prints the new lines of a metrics file."""

    def __init__(self, path: Path, steps: int) -> None:
        self.path, self.steps, self.lines, self.size = path, steps, 0, 0
        self.begin = self.last = time.time()
        self.first_step: tuple[int, float] | None = None

    def show_new(self) -> None:
        size = self.path.stat().st_size if self.path.exists() else 0
        if size == self.size:
            return
        from sage.report.tables.collect import logged

        self.size = size
        for step, data in islice(logged(self.path), self.lines, None):
            now = time.time()
            if self.first_step is None:
                print(f"  started in {now - self.begin:.0f} s", flush=True)
                self.first_step = (step, now)
            first, since = self.first_step
            left = (now - since) / (step - first) * max(0, self.steps - step) if step > first and self.steps else None
            print("  " + describe(step, self.steps, data, now - self.last, left), flush=True)
            self.lines, self.last = self.lines + 1, now


class Screen(View):
    """Shows the metrics files of a folder on the terminal, with their course."""

    def __init__(self, folder: Path, steps: int | None) -> None:
        from rich.live import Live

        self.folder, self.steps = folder, steps
        self.seen: list[tuple[Path, int]] = []
        self.live = Live(f"{folder.name}: no step yet", auto_refresh=False)
        self.live.start()

    def show_new(self) -> None:
        from sage.report.live import view
        from sage.report.tables.collect import read_metrics

        there = [(path, path.stat().st_size) for path in sorted(self.folder.glob("metrics*.jsonl"))]
        if there != self.seen:
            self.seen = there
            self.live.update(view(self.folder.name, read_metrics(self.folder), self.steps), refresh=True)

    def close(self) -> None:
        """Give the terminal back too."""
        super().close()
        self.live.stop()


def has_screen() -> bool:
    """Whether the output is a terminal, and what draws on it is installed."""
    return sys.stdout.isatty() and importlib.util.find_spec("rich") is not None


class Lines(View):
    """Prints a line for each step of a folder's metrics files."""

    def __init__(self, folder: Path, steps: int | None) -> None:
        self.folder, self.steps, self.last = folder, steps, -1

    def show_new(self) -> None:
        from sage.report.tables.collect import read_metrics

        for step, data in read_metrics(self.folder).items():
            if step > self.last:
                print("  " + describe(step, self.steps, data, data.get("timing_s/step", 0.0), None), flush=True)
                self.last = step


def follow(folder: Path, steps: int | None) -> int:
    """Show a run that another process writes, until Ctrl-C."""
    shown: View = Screen(folder, steps) if has_screen() else Lines(folder, steps)
    try:
        while True:
            shown.show()
            if not shown.good:
                return 1
            time.sleep(1)
    except KeyboardInterrupt:
        return 0
    finally:
        shown.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--follow", type=Path, metavar="FOLDER", help="show the run of this folder")
    parser.add_argument("--steps", type=at_least(0), help="steps of the whole run")
    parser.add_argument("--log", type=output_file)
    parser.add_argument("--silence", type=positive, default=1800.0, help="stop after this many seconds without output")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if args.follow:
        if command or not args.follow.is_dir():
            parser.error(f"--follow {args.follow}: " + ("takes no command" if command else "no such folder"))
        return follow(args.follow, args.steps)
    if not (command and args.log) or args.steps is None:
        parser.error("needs --steps, --log and a command, or --follow FOLDER")
    if "VERL_FILE_LOGGER_PATH" not in os.environ:
        parser.error("set VERL_FILE_LOGGER_PATH to the metrics file that the command is to write")
    metrics = Path(os.environ["VERL_FILE_LOGGER_PATH"])
    progress: View = Screen(metrics.parent, args.steps) if has_screen() else Progress(metrics, args.steps)
    if shutil.which(command[0]) is None:
        parser.error(f"{command[0]}: there is no such command")
    parent, told = os.getppid(), []
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, lambda number, frame: told.append(number))
    args.log.parent.mkdir(parents=True, exist_ok=True)
    with open(args.log, "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        while process.poll() is None:
            time.sleep(1)
            progress.show()
            if told or os.getppid() != parent:
                raise KeyboardInterrupt
            if time.time() - args.log.stat().st_mtime > args.silence:
                print(f"  no output for {args.silence:.0f} s: stopping", flush=True)
                return 124
        progress.show()
    except KeyboardInterrupt:
        return 130
    finally:
        progress.close()
        end_group(process)  # at once where it has ended
    if process.returncode:
        lines = args.log.read_text(encoding="utf-8", errors="replace").splitlines()
        print("\n".join(lines[-40:]), f"\nfailed with status {process.returncode}; whole log: {args.log}", sep="")
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
