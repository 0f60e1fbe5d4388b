"""A real Slurm cluster (Debian's slurmctld and slurmd) on the hosts of `hosts.py`."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.slurm_tools.hosts import enter, hosts

NAMES = ("node1", "node2")
CONFIG = """
ClusterName=test
SlurmctldHost=node1
AuthType=auth/none
CredType=cred/none
SlurmUser=root
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
ProctrackType=proctrack/{proctrack}
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
OverTimeLimit=0
KillWait=10
SchedulerParameters=sched_interval=2,batch_sched_delay=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
NodeName=node[1-2] CPUs=2 Gres=gpu:1 RealMemory=4000 State=UNKNOWN
PartitionName=train Nodes=node[1-2] Default=YES PriorityTier=1 GraceTime=60 MaxTime=INFINITE State=UP
PartitionName=urgent Nodes=node[1-2] PriorityTier=2 PreemptMode=OFF MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Slurm:
    folder: Path
    pids: Mapping[str, int]

    def run(self, *command: str, cwd: Path, env: Mapping[str, str]) -> str:
        """Output of a Slurm command run on the first node."""
        line = enter(self.pids[NAMES[0]], "sh", "-c", 'cd "$0" && exec "$@"', str(cwd), *command)
        environment = {**env, "SLURM_CONF": str(self.folder / "slurm.conf")}
        done = subprocess.run(line, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout


def why_not() -> str | None:
    """Why there can be no real Slurm here; None when there can."""
    missing = [name for name in ("slurmctld", "slurmd", "sbatch") if shutil.which(name) is None]
    return f"no {', '.join(missing)} (Debian: slurmctld, slurmd, slurm-client)" if missing else None


@contextmanager
def cluster(folder: Path, private: Sequence[str], proctrack: str = "pgid") -> Iterator[Slurm]:
    """Two nodes of two CPUs; partition `urgent` preempts `train` with a grace of 60 s."""
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(folder=folder, proctrack=proctrack))
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")  # stands for a GPU
    (folder / "state").mkdir()
    environment = {**os.environ, "SLURM_CONF": str(config)}
    daemons: list[subprocess.Popen[bytes]] = []
    with hosts(NAMES, folder, private) as pids:
        try:
            for name, command in [(NAMES[0], "slurmctld"), *((name, "slurmd") for name in NAMES)]:
                line = enter(pids[name], command, "-D")
                with open(folder / f"{command}-{name}.out", "ab") as out:
                    daemons.append(subprocess.Popen(line, env=environment, stdout=out, stderr=subprocess.STDOUT))
            slurm = Slurm(folder, pids)
            last = time.monotonic() + 30
            while "idle" not in (seen := _try(slurm)):
                if time.monotonic() > last:
                    raise RuntimeError(f"Slurm did not start, see {folder}: {seen}")
                time.sleep(0.5)
            yield slurm
        finally:
            for daemon in reversed(daemons):
                daemon.terminate()
                daemon.wait()


def _try(slurm: Slurm) -> str:
    try:
        return slurm.run("sinfo", "--noheader", "--format=%T %D", cwd=slurm.folder, env=os.environ)
    except RuntimeError as error:
        return str(error)
