"""A run of the embedded world into which faults can be put, for ``benchmarks.faults``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil

from sage.report.tables.collect import logged

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 300.0
"""Seconds after a fault at which a run counts as hung."""
STEPS = 3
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
        """Steps whose metrics are written."""
        return [step for step, _ in logged(self.metrics)] if self.metrics.exists() else []

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
