"""The Slurm template with a real Ray: two nodes, fake or real Slurm, a real training."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.slurm_tools import hosts, real
from tests.slurm_tools.fake import ROOT, TEMPLATE, FakeJob

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2000)]
RAY = "--num-gpus=1 --num-cpus=16 --object-store-memory=200000000"
"""GPUs and CPUs by name only, as in recipe/sage/config/tiny_cpu.yaml."""
STEPS = 8
NAMES = ("node1", "node2")
needs_hosts = pytest.mark.skipif(hosts.why_not() is not None, reason=f"several hosts: {hosts.why_not()}")
needs_slurm = pytest.mark.skipif(real.why_not() is not None, reason=f"real Slurm: {real.why_not()}")


def command(steps: int) -> list[str]:
    return ["python", "tests/slurm_tools/driver.py", str(steps)]


def fake_job(folder: Path, nodes: dict[str, int | None], number: int, *what: str, **variables: str) -> FakeJob:
    variables = {"VENV": str(ROOT / ".venv"), "RAY_START_ARGS": RAY, "FAKE_JOB_ID": str(number), **variables}
    return FakeJob(folder, nodes, *what, seconds=3600, stubs=False, **variables)


def check_interrupted_run(log: str, logs: Path) -> None:
    """One interruption: what was saved is where the second run began, on both nodes."""
    assert log.count("Ray cluster complete: 2 nodes, 2 GPUs") == 2
    saved = re.findall(r"saved at step (\d+)", log)
    begun = re.findall(r"from step (\d+) on \['([\d.]+)', '([\d.]+)'\]", log)
    assert begun == [(step, f"{hosts.NETWORK}.1", f"{hosts.NETWORK}.2") for step in ("0", *saved)] and len(saved) == 1
    assert log.count("done") == 1
    for name in NAMES:
        assert (logs / f"{name}.log").stat().st_size
        assert (logs / f"ray-{name}" / "raylet.out").exists()


def ray_processes(number: int | str) -> str:
    listed = subprocess.check_output(["ps", "-eo", "pid,args"], text=True).splitlines()
    return "\n".join(line for line in listed if f"/tmp/ray-{number}/" in line)


@pytest.mark.long
@needs_hosts
def test_a_job_on_two_nodes_goes_on_after_a_preemption(tmp_path):
    with hosts.hosts(NAMES, tmp_path, ["/tmp/ray-201"]) as pids:
        job = fake_job(tmp_path / "job", pids, 201, *command(STEPS))
        job.wait_for("from step 0", 240)
        job.preempt()
        assert job.wait(300) == [75, 0]
        assert not ray_processes(201)
    check_interrupted_run(job.log(), job.output / "slurm/201")


@pytest.mark.long
@needs_hosts
def test_a_node_that_does_not_join_is_named(tmp_path):
    with hosts.hosts(NAMES, tmp_path, ["/tmp/ray-202"]) as pids:
        subprocess.run(hosts.enter(pids["node2"], "ip", "route", "add", "blackhole", f"{hosts.NETWORK}.1"), check=True)
        job = fake_job(tmp_path / "job", pids, 202, *command(STEPS), START_LIMIT="30")
        assert job.wait(240) == [1]
        assert not ray_processes(202)
    assert "Ray cluster incomplete after 30 s: node2 has not joined\n" in job.log()


@pytest.mark.long
@needs_hosts
@needs_slurm
def test_a_real_slurm_preempts_the_job_and_runs_it_again(tmp_path):
    """Slurm begins a requeued job two minutes later at the earliest."""
    output = tmp_path / "out"
    environment = {**os.environ, "OUTPUT_DIR": str(output), "VENV": str(ROOT / ".venv"), "RAY_START_ARGS": RAY}
    with real.cluster(tmp_path, ["/tmp/ray-1"]) as slurm:

        def sbatch(*line: str) -> str:
            return slurm.run("sbatch", "--parsable", "--nodes=2", *line, cwd=ROOT, env=environment).strip()

        options = ("--gpus-per-node=1", "--time=30", f"--output={tmp_path}/job.out", TEMPLATE)
        assert sbatch(*options, *command(STEPS)) == "1"

        def log() -> str:
            files = [tmp_path / "job.out", output / "slurm/1/driver.log"]
            return "".join(f.read_text() for f in files if f.exists())

        def wait_for(pattern: str) -> None:
            last = time.monotonic() + 360
            while not re.search(pattern, log()):
                assert time.monotonic() < last, f"not seen: {pattern!r} in\n{log()}"
                time.sleep(1)

        wait_for("from step 0")
        sbatch("--partition=urgent", "--output=/dev/null", "--wrap=sleep 2")
        wait_for("TERM: asked for a checkpoint")
        wait_for("slurm: finished")
        state = ""
        while "RUNNING" in (state := slurm.run("scontrol", "show", "job", "1", cwd=ROOT, env=environment)):
            time.sleep(1)
        assert "JobState=COMPLETED" in state and "ExitCode=0:0" in state
        assert not ray_processes(1)
    check_interrupted_run(log(), output / "slurm/1")


@pytest.mark.long
def test_a_training_saves_when_asked_and_goes_on_where_it_was(tmp_path, small_data):
    train = [
        *("python", "-m", "recipe.sage.main_sage", "--config-name", "tiny_cpu"),
        f"trainer.default_local_dir={tmp_path}/job/out/checkpoints",
        *(f"ray_kwargs.ray_init.{key}=null" for key in ("num_cpus", "num_gpus", "object_store_memory")),
        *("trainer.val_before_train=False", "trainer.save_freq=100", f"trainer.total_training_steps={STEPS}"),
        "trainer.logger=[console,file]",
    ]
    job = fake_job(tmp_path / "job", {"node1": None}, 203, *train, TINY_DATA=str(small_data))
    job.wait_for("step:1 - ", 600)
    job.send(signal.SIGUSR1)
    assert job.wait(1200) == [75, 0]
    checkpoints = job.output / "checkpoints"
    lines = [line for file in checkpoints.glob("metrics*.jsonl") for line in file.read_text().splitlines()]
    assert sorted(json.loads(line)["step"] for line in lines) == list(range(1, STEPS + 1)), "each step once"
    saved = sorted(int(folder.name.removeprefix("global_step_")) for folder in checkpoints.glob("global_step_*"))
    assert len(saved) == 2 and saved[0] < saved[1] == STEPS
    history = [json.loads(line)["step"] for line in (checkpoints / "sage_history.jsonl").read_text().splitlines()]
    assert history == [step for step in range(1, STEPS + 1) for _ in range(16)]
