"""What ends a run when a part of it fails, after how long and how, and whether it resumes as if nothing had happened.

    python -m benchmarks.faults --json benchmarks/results/faults.json
    python -m benchmarks.faults --only "kill engine" "full disk: history"      some of them
    python -m benchmarks.faults --only none --moments 20                       the random moments only

Each fault is injected into a run of the embedded world of its own: real Ray, verl and vLLM. A run that is not over
after LIMIT seconds counts as hung. Some are resumed, and the method's state is compared with a replay of the visits in
the history. At the end one long run is ended at random moments, by SIGKILL and by SIGTERM of the driver in turns, and
resumed each time: the prompts of each step have to be those of a run that nobody disturbed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby
from pathlib import Path

from benchmarks.faulty_run import STEPS, Run, flag, kill
from sage.method.schedule import Sage
from sage.method.state import HISTORY_FILE, LATEST_FILE, StateStore
from sage.report.history import read_history
from sage.support.arguments import at_least, output_file
from sage.support.files import write_json
from sage.toy.embedded.build_data import build

FAULT_STEP = 1
PROCESSES = {
    "engine": "VLLM::EngineCore",
    "engine's server": "ray::vLLMHttpServer",
    "rollout worker": "ray::SageRolloutWork",
    "reward worker": "ray::RewardLoopWork",
    "actor": "ray::WorkerDict",
    "trainer": "ray::TaskRunnerV1",
    "queue's controller": "ray::TransferQueueC",
    "queue's storage": "ray::SimpleStorageU",
    "load balancer": "ray::GlobalRequestL",
    "raylet": "raylet",
    "Ray's head (GCS)": "gcs_server",
}
RESUMED = ("kill engine", "kill trainer", "weight sync raises", "reward hangs")
"""Faults after which the run is resumed; the random moments resume anyway."""


@dataclass
class Outcome:
    """A row of the table."""

    fault: str
    ended: str
    """``by itself``, ``finished``, ``hung``, or ``refused`` (at its start)."""
    seconds: float
    """From the fault to the end of the process."""
    status: int | None
    sentence: str
    left: list[str] = field(default_factory=list)
    """Processes that outlive the run."""
    resumed: str = ""
    """What the resumed run shows."""


def ended(fault: str, run: Run, since: float) -> Outcome:
    """Wait for the end of a run after a fault."""
    status = run.wait()
    seconds = time.monotonic() - since
    how = "hung" if status is None else "finished" if status == 0 else "by itself"
    return Outcome(fault, how, round(seconds, 1), status, run.sentence(), run.left())


def resume(folder: Path, data: Path, *overrides: str) -> str:
    """Resume to the last step; what the state says against a replay of the history."""
    for file in folder.glob("fault.*"):
        file.unlink()
    again = Run(folder, data, *overrides)
    status = again.wait(900)
    if status != 0:
        return f"status {status}: {again.sentence()}"
    steps = again.steps()
    return f"{f'from step {min(steps)}' if steps else 'no step was left'}, {replayed(folder)}"


def replayed(folder: Path) -> str:
    """Whether the last checkpoint's state is what the visits in the history give."""
    store, saved = StateStore(Sage(3)), StateStore(Sage(3))
    for step, entries in groupby(read_history(folder / HISTORY_FILE), key=lambda entry: entry.step):
        store.update([entry.visit for entry in entries], step)
    saved.load(folder / f"global_step_{(folder / LATEST_FILE).read_text().strip()}" / "sage_state.parquet")
    return "state equal to a replay" if saved.prompts == store.prompts else "STATE DIFFERS from a replay"


def prompts_by_step(folder: Path) -> dict[int, list[str]]:
    steps: dict[int, list[str]] = {}
    for entry in read_history(folder / HISTORY_FILE):
        steps.setdefault(entry.step, []).append(entry.visit.prompt_id)
    return {step: sorted(ids) for step, ids in steps.items()}


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A tmpfs of that size; needs root."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Leave no room on the folder's disk."""
    with open(folder / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"0" * 4096)
        except OSError:
            return


class Endpoint:
    """An OpenAI-compatible server that writes hints until it is told to stop answering."""

    def __init__(self) -> None:
        self.silent = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                if outer.silent.is_set():
                    time.sleep(3600)
                message = {"role": "assistant", "content": "begin with the first operation"}
                body = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"completion_tokens": 5}}
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1#hints"


def injected(fault: str, inject: Callable[[Run], None], folder: Path, data: Path, *overrides: str) -> Outcome:
    """A run with a fault after `FAULT_STEP`, and its resume."""
    run = Run(folder, data, *overrides)
    if not run.wait_for_step(FAULT_STEP):
        run.wait(1)
        return Outcome(fault, "hung", 0.0, None, f"did not reach step {FAULT_STEP}: {run.sentence()}")
    inject(run)
    outcome = ended(fault, run, time.monotonic())
    if outcome.ended == "by itself" and fault in RESUMED:
        outcome.resumed = resume(folder, data, *overrides)
    elif outcome.ended == "finished":
        outcome.resumed = f"not needed, {replayed(folder)}"
    return outcome


def full_disk(what: str, folder: Path, data: Path) -> Outcome:
    """The disk of checkpoints, of the history (with no checkpoints on it) or of the metrics is full from step 1 on."""
    disk, name = folder / "disk", f"full disk: {what}"
    with small_disk(disk, 64):
        at = folder / "run" if what == "metrics" else disk / "run"
        overrides = ["trainer.save_freq=-1"] if what == "history" else []
        run = Run(at, data, *overrides, metrics=disk if what == "metrics" else None)
        if not run.wait_for_step(FAULT_STEP):
            return Outcome(name, "hung", 0.0, run.wait(1), f"did not reach step {FAULT_STEP}: {run.sentence()}")
        fill(disk)
        outcome = ended(name, run, time.monotonic())
        (disk / "filler").unlink()
        if what != "history" and outcome.ended == "by itself":
            outcome.resumed = resume(at, data)
        return outcome


def truncated(what: str, pattern: str, folder: Path, data: Path, finished: Path) -> Outcome:
    """A resume from a file that was cut in half."""
    shutil.copytree(finished, folder)
    last = (folder / LATEST_FILE).read_text().strip()
    (victim, *_) = sorted(folder.glob(pattern.format(last=last)))
    os.truncate(victim, victim.stat().st_size // 2)
    since = time.monotonic()
    run = Run(folder, data, steps=STEPS + 2)
    outcome = ended(f"truncated {what}", run, since)
    if outcome.ended == "by itself":
        outcome.ended = "refused"
    return outcome


def moments(count: int, folder: Path, data: Path, seed: int) -> Outcome:
    """End one run at random moments and resume it; compare with a run that nobody disturbed."""
    draw, steps, since = random.Random(seed), 2 * count, time.monotonic()
    left: list[str] = []
    for index in range(count):
        run = Run(folder / "run", data, steps=steps)
        if index % 4 == 3:
            time.sleep(draw.uniform(1, 40))  # anywhere in the start-up
        else:
            run.wait_for_step()
            time.sleep(draw.uniform(0, 15))
        if run.process.is_running():
            run.process.send_signal(signal.SIGTERM if index % 2 else signal.SIGKILL)
        status = run.wait(120)
        left += run.left()
        print(f"  moment {index + 1}: steps {run.steps()}, status {status}", flush=True)
    last = Run(folder / "run", data, steps=steps)
    status = last.wait(1800)
    still = Run(folder / "undisturbed", data, steps=steps)
    still.wait(1800)
    same = prompts_by_step(folder / "run") == prompts_by_step(folder / "undisturbed")
    words = (
        f"{replayed(folder / 'run')}; prompts of all {steps} steps {'as' if same else 'NOT as'} in an undisturbed run"
    )
    return Outcome(f"{count} random moments", "resumed", round(time.monotonic() - since, 1), status, words, left)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--json", type=output_file, help="write the outcomes to this file, beside those of other faults"
    )
    parser.add_argument("--only", nargs="+", help="names of faults; 'none' for the random moments only")
    parser.add_argument("--moments", type=at_least(0), default=20, help="how often the long run is ended (0: not)")
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument("--folder", type=Path, help="keep the runs' folders and logs here")
    args = parser.parse_args()
    folder = (args.folder or Path(tempfile.mkdtemp(prefix="faults"))).resolve()
    data = folder / "data"
    build(data, seed=0, train={"easy": 32, "medium": 32, "hard": 256}, test=4)
    endpoint = Endpoint()
    cases: dict[str, Callable[[Path], Outcome]] = {}
    for name, title in PROCESSES.items():
        cases[f"kill {name}"] = lambda at, n=f"kill {name}", t=title: injected(n, partial(kill, t), at, data)
    for name, kind in (("weight sync raises", "sync"), ("reward hangs", "hang"), ("reward raises", "raise")):
        cases[name] = lambda at, n=name, k=kind: injected(n, partial(flag, k), at, data)
    hints = f"sage.hint_source={endpoint.url}"
    cases["endpoint stops answering"] = lambda at: injected(
        "endpoint stops answering", lambda run: endpoint.silent.set(), at, data, hints
    )
    for what in ("checkpoint", "history", "metrics"):
        cases[f"full disk: {what}"] = lambda at, w=what: full_disk(w, at, data)
    files = {"checkpoint": "global_step_{last}/actor/model*", "state": "global_step_{last}/sage_state.parquet"}
    for what, pattern in (files | {"history": HISTORY_FILE}).items():
        cases[f"truncated {what}"] = lambda at, w=what, p=pattern: truncated(w, p, at, data, folder / "finished")
    wanted = args.only or list(cases)
    if unknown := set(wanted) - set(cases) - {"none"}:
        parser.error(f"--only {', '.join(sorted(unknown))}: the faults are {', '.join(cases)}")
    if any(name.startswith("truncated") for name in wanted):
        Run(folder / "finished", data).wait(900)

    chosen = [partial(case, folder / f"run{i}") for i, (name, case) in enumerate(cases.items()) if name in wanted]
    if args.moments:
        chosen.append(partial(moments, args.moments, folder / "moments", data, args.seed))
    for case in chosen:
        outcome = case()
        print(row(outcome), flush=True)
        if args.json:
            keep(args.json, outcome)
    if not args.folder:
        shutil.rmtree(folder)


def keep(path: Path, outcome: Outcome) -> None:
    """Write an outcome into the file, in the place of an earlier one of the same fault."""
    kept = json.loads(path.read_text()) if path.exists() else []
    kept = [old for old in kept if old["fault"] != outcome.fault] + [asdict(outcome)]
    write_json(path, kept)


def row(outcome: Outcome) -> str:
    parts = [outcome.fault, outcome.ended, f"{outcome.seconds:.0f} s", f"status {outcome.status}"]
    return " | ".join([*parts, f"left: {outcome.left or 'nothing'}", outcome.resumed, outcome.sentence])


if __name__ == "__main__":
    main()
