"""A job of the template on the fake Slurm in `bin/`, which runs its nodes on this machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = Path(__file__).parent
TEMPLATE = "examples/slurm/train.sbatch"


class FakeJob:
    """A running `sbatch` of the template; results are in ``folder``/out, as OUTPUT_DIR, and in ``folder`` itself.

    Args:
        hosts: names of the nodes, with the id of the first process of each (`hosts.py`), or None for this host itself.
        seconds: until the job's time limit.
        stubs: no real Ray: its start takes no time.
    """

    def __init__(
        self,
        folder: Path,
        hosts: Mapping[str, int | None],
        *command: str,
        seconds: float,
        stubs: bool,
        **variables: str,
    ) -> None:
        self.folder, self.output = folder, folder / "out"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "end").write_text(time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + seconds)))
        self.set_state("RUNNING")
        path = [str(TOOLS / "bin"), *([str(TOOLS / "stub")] if stubs else []), os.environ["PATH"]]
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "RAY_"))},
            "PATH": ":".join(path),
            "FAKE_SLURM": str(folder),
            "FAKE_HOSTS": " ".join(f"{name}:{pid or ''}" for name, pid in hosts.items()),
            "OUTPUT_DIR": str(self.output),
            **variables,
        }
        start = 'source scripts/cpu_env.sh && exec sbatch "$@"'
        self.process = subprocess.Popen(["bash", "-c", start, "bash", TEMPLATE, *command], cwd=ROOT, env=environment)

    def set_state(self, state: str) -> None:
        (self.folder / "state").write_text(state)

    def log(self) -> str:
        """What the template and the command have printed so far."""
        files = [self.folder / "job.out", *self.output.glob("slurm/*/driver.log")]
        return "".join(f.read_text(errors="replace") for f in files if f.exists())

    def wait_for(self, pattern: str, limit: float) -> None:
        last = time.monotonic() + limit
        while not re.search(pattern, self.log()):
            if time.monotonic() > last or self.process.poll() is not None:
                raise TimeoutError(f"not seen: {pattern!r} in\n{self.log()}")
            time.sleep(0.1)

    def send(self, which: signal.Signals) -> None:
        """A signal for the batch script alone, as `--signal=B:` sends it."""
        os.kill(int((self.folder / "pid").read_text()), which)

    def preempt(self) -> None:
        """TERM for the job's steps, as Slurm announces a preemption."""
        for pid in (self.folder / "tasks").read_text().split():
            os.kill(int(pid), signal.SIGTERM)

    def wait(self, limit: float) -> list[int]:
        """Exit status of each run of the template."""
        self.process.wait(limit)
        return [int(line) for line in (self.folder / "status").read_text().split()]
