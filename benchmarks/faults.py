"""What ends a run when a part of it fails, after how long and how, and whether it resumes as if nothing had happened.

    python benchmarks/faults.py --json benchmarks/results/faults.json
    python benchmarks/faults.py --only "kill engine" "full disk: history"      some of them
    python benchmarks/faults.py --only none --moments 20                       the random moments only

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
import sys
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

import psutil

from sage.method.schedule import Sage
from sage.method.state import HISTORY_FILE, LATEST_FILE, StateStore
from sage.report.history import read_history
from sage.toy.embedded.build_data import build

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 300.0
"""Seconds after a fault at which a run counts as hung."""
STEPS = 3
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
REWARD = """
import os, time
from recipe.sage.reward import compute_score as ours
def compute_score(*args, **kwargs):
    fault = os.environ["FAULT_FLAG"]
    while os.path.exists(fault + ".hang"):
        time.sleep(0.1)
    if os.path.exists(fault + ".raise"):
        raise ValueError("a fault in the reward function")
    return ours(*args, **kwargs)
"""
SITE = """
import importlib.abc, importlib.machinery, os, sys
NAME = "verl.workers.rollout.vllm_rollout.bucketed_weight_transfer"
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != NAME:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module
        def patched(module):
            load(module)
            receive = module.BucketedWeightReceiver.receive_weights
            def receive_weights(self, *args, **kwargs):
                if os.path.exists(os.environ["FAULT_FLAG"] + ".sync"):
                    raise RuntimeError("a fault in the engine's weight sync")
                return receive(self, *args, **kwargs)
            module.BucketedWeightReceiver.receive_weights = receive_weights
        spec.loader.exec_module = patched
        return spec
if "FAULT_FLAG" in os.environ:
    sys.meta_path.insert(0, Finder())
"""


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


class Run:
    """A run of the recipe in a folder, as a child process."""

    def __init__(
        self, folder: Path, data: Path, *overrides: str, steps: int = STEPS, metrics: Path | None = None
    ) -> None:
        self.folder, self.log = folder, folder / "train.log"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "site").mkdir(exist_ok=True)
        (folder / "site" / "sitecustomize.py").write_text(SITE)
        (folder / "reward.py").write_text(REWARD)
        self.metrics = (metrics or folder) / f"metrics.{time.time_ns()}.jsonl"
        environment = os.environ | {
            "TINY_DATA": str(data),
            "PYTHONPATH": f"{folder}/site:{ROOT}",
            "VERL_FILE_LOGGER_PATH": str(self.metrics),
            "FAULT_FLAG": str(folder / "fault"),
            "FAULT_RUN": str(folder),
        }
        command = ["bash", "-c", 'source scripts/cpu_env.sh && exec "$@"', "bash", sys.executable]
        command += ["-m", "recipe.sage.main_sage", "--config-name", "tiny_cpu", f"trainer.default_local_dir={folder}"]
        command += [f"trainer.total_training_steps={steps}", "trainer.val_before_train=False", "trainer.save_freq=1"]
        command += [f"reward.custom_reward_function.path={folder}/reward.py", *overrides]
        with open(self.log, "ab") as log:
            self.process = psutil.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def steps(self) -> list[int]:
        """Steps whose metrics are written; not of a line that is being written."""
        lines = self.metrics.read_text().splitlines(keepends=True) if self.metrics.exists() else []
        return [json.loads(line)["step"] for line in lines if line.endswith("\n")]

    def wait_for_step(self, step: int = 1, limit: float = 600.0) -> bool:
        """Whether the run, from scratch or resumed, reached the end of this step or a later one."""
        until = time.monotonic() + limit
        while self.process.poll() is None and time.monotonic() < until:
            if any(reached >= step for reached in self.steps()):
                return True
            time.sleep(0.2)
        return False

    def find(self, name: str) -> list[psutil.Process]:
        """Its processes whose title begins so."""
        found = []
        for process in self.process.children(recursive=True):
            try:
                title = " ".join(process.cmdline())
            except psutil.NoSuchProcess:
                continue
            if title.startswith(name) or (title.split(" ")[0].endswith(f"/{name}")):
                found.append(process)
        return found

    def wait(self, limit: float = LIMIT) -> int | None:
        """Its exit status, None if it hangs (it is then ended)."""
        below = self.process.children(recursive=True) if self.process.is_running() else []
        try:
            return self.process.wait(limit)
        except psutil.TimeoutExpired:
            for process in [self.process, *below]:
                if process.is_running():
                    process.kill()
            return None

    def sentence(self) -> str:
        """The last line that tells the user why it ended."""
        lines = self.log.read_text(errors="replace").splitlines()
        said = [line for line in lines if line.startswith("SAGE: the run")]
        return said[-1] if said else (lines[-1][:200] if lines else "")

    def left(self) -> list[str]:
        """Processes of this run that live on five seconds after it."""
        time.sleep(5)
        names = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("FAULT_RUN") == str(self.folder) and process.status() != psutil.STATUS_ZOMBIE:
                    names.append(" ".join(process.cmdline())[:60] or process.name())
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return names


def flag(kind: str, run: Run) -> None:
    (run.folder / f"fault.{kind}").touch()


def kill(name: str, run: Run) -> None:
    victims = run.find(name)
    if not victims:
        raise RuntimeError(f"no process {name}")
    victims[0].kill()


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
    return f"from step {min(again.steps())}, {replayed(folder)}"


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
    parser.add_argument("--json", type=Path, help="write the outcomes to this file")
    parser.add_argument("--only", nargs="+", help="names of faults; 'none' for the random moments only")
    parser.add_argument("--moments", type=int, default=20, help="how often the long run is ended (0: not)")
    parser.add_argument("--seed", type=int, default=0)
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

    outcomes = []
    for number, (name, case) in enumerate(cases.items()):
        if name in wanted:
            outcomes.append(case(folder / f"run{number}"))
            print(row(outcomes[-1]), flush=True)
    if args.moments:
        outcomes.append(moments(args.moments, folder / "moments", data, args.seed))
        print(row(outcomes[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n")
    if not args.folder:
        shutil.rmtree(folder)


def row(outcome: Outcome) -> str:
    parts = [outcome.fault, outcome.ended, f"{outcome.seconds:.0f} s", f"status {outcome.status}"]
    return " | ".join([*parts, f"left: {outcome.left or 'nothing'}", outcome.resumed, outcome.sentence])


if __name__ == "__main__":
    main()
