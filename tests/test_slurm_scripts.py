"""The Slurm template on a fake Slurm, with a stand-in for Ray; with the real ones: tests/e2e/test_slurm.py."""

import re
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from examples.slurm.wait_for_nodes import what_is_missing
from tests.slurm_tools.fake import ROOT, TEMPLATE, FakeJob

NODES = {"node1": None, "node2": None}
HONOUR = 'until [[ -e $SAGE_STOP_FILE ]]; do sleep 0.1; done; rm "$SAGE_STOP_FILE"'
"""What the trainer does with a request to stop, on its first run; a second run finishes."""


def job(folder: Path, number: int, script: str, *, seconds: float = 3600, **variables: str) -> FakeJob:
    """A job whose command is a shell script. Numbers differ: ports and folders come from them."""
    start = f"echo begun; {script}"
    variables = {"FAKE_JOB_ID": str(number), **variables}
    return FakeJob(folder, NODES, "bash", "-c", start, seconds=seconds, stubs=True, **variables)


def finishes(folder: Path) -> None:
    run = job(folder, 101, 'echo "$NNODES $N_GPUS $RAY_ADDRESS" >"$OUTPUT_DIR/seen"')
    assert run.wait(60) == [0]
    assert (run.output / "seen").read_text() == "2 1 127.0.0.1:20202\n"
    for name in NODES:
        assert (run.output / "slurm/101" / f"{name}.log").exists()
    collected = next(
        run.output.glob("slurm/101/ray-*/raylet.out")
    )  # both nodes have this folder of Ray's: one is first
    assert collected.read_text() == "log of Ray\n"
    assert not Path("/tmp/ray-101").exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", 20202))


def fails(folder: Path) -> None:
    run = job(folder, 102, "echo what went wrong; exit 3")
    assert run.wait(60) == [3]
    assert "what went wrong" in (folder / "job.out").read_text(), "the end of the log is shown"


def stops_before_the_time_limit_and_goes_on(folder: Path) -> None:
    run = job(folder, 103, f"((${{SLURM_RESTART_COUNT:-0}})) || {{ {HONOUR}; }}")
    run.wait_for("begun", 30)
    run.send(signal.SIGUSR1)
    assert run.wait(60) == [75, 0]


def stops_when_preempted_and_goes_on(folder: Path) -> None:
    run = job(folder, 104, f"((${{SLURM_RESTART_COUNT:-0}})) || {{ {HONOUR}; }}")
    run.wait_for("begun", 30)
    run.preempt()
    assert run.wait(60) == [75, 0]


def finishes_though_asked_to_stop(folder: Path) -> None:
    run = job(folder, 105, "until [[ -e $SAGE_STOP_FILE ]]; do sleep 0.1; done")
    run.wait_for("begun", 30)
    run.send(signal.SIGUSR1)
    assert run.wait(60) == [0], "its last step: nothing is left to do"


def is_given_up_before_the_end_and_goes_on(folder: Path) -> None:
    run = job(folder, 106, "((${SLURM_RESTART_COUNT:-0})) || sleep 600", seconds=33)
    run.wait_for("begun", 30)
    run.send(signal.SIGUSR1)
    assert run.wait(60) == [75, 0]


def loses_a_part_of_itself_and_goes_on(folder: Path) -> None:
    run = job(folder, 110, "((${SLURM_RESTART_COUNT:-0})) || { echo its last sentence; exit 75; }")
    assert run.wait(60) == [75, 0]
    text = (folder / "job.out").read_text()
    assert "its last sentence" in text and "the loss of a part of itself" in text


def is_not_lost_for_ever(folder: Path) -> None:
    run = job(folder, 111, "exit 75", MAX_RESTARTS="2")
    assert run.wait(60) == [75, 75, 75] and "MAX_RESTARTS" in run.log()


def is_not_requeued_for_ever(folder: Path) -> None:
    run = job(folder, 107, HONOUR, MAX_RESTARTS="1", SLURM_RESTART_COUNT="1")
    run.wait_for("begun", 30)
    run.send(signal.SIGUSR1)
    assert run.wait(60) == [75] and "MAX_RESTARTS" in run.log()


def stays_cancelled(folder: Path) -> None:
    run = job(folder, 108, "sleep 600", seconds=0)
    run.wait_for("begun", 30)
    run.set_state("COMPLETING")
    run.send(signal.SIGTERM)
    assert run.wait(60) == [75] and "COMPLETING" in run.log()


def ends_when_a_node_does_not_join(folder: Path) -> None:
    run = job(folder, 109, "true", STUB_JOINED="1")
    assert run.wait(60) == [1] and "begun" not in run.log()
    assert not Path("/tmp/ray-109").exists()


SCENARIOS = [
    finishes,
    fails,
    stops_before_the_time_limit_and_goes_on,
    stops_when_preempted_and_goes_on,
    finishes_though_asked_to_stop,
    is_given_up_before_the_end_and_goes_on,
    loses_a_part_of_itself_and_goes_on,
    is_not_lost_for_ever,
    is_not_requeued_for_ever,
    stays_cancelled,
    ends_when_a_node_does_not_join,
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """All scenarios at once: they mostly wait."""
    with ThreadPoolExecutor(len(SCENARIOS)) as pool:
        yield {f.__name__: pool.submit(f, tmp_path_factory.mktemp(f.__name__)) for f in SCENARIOS}


@pytest.mark.parametrize("scenario", [f.__name__ for f in SCENARIOS])
def test_a_job(outcomes, scenario):
    outcomes[scenario].result()


def node(name: str, gpus: float, alive: bool = True) -> dict:
    return {"Alive": alive, "Labels": {"slurm-node": name}, "Resources": {"GPU": gpus} if gpus else {}}


def test_missing_nodes_are_named():
    nodes = [node("a", 8), node("b", 8, alive=False), node("c", 6), node("c", 0, alive=False)]
    assert what_is_missing(["a"], 8, nodes) == []
    assert what_is_missing(["a", "b", "c", "d"], 8, nodes) == [
        "b has not joined",
        "d has not joined",
        "c has 6 of 8 GPUs",
    ]


def test_an_unknown_interface_is_refused_by_name():
    shell = "source examples/slurm/common.sh; node_ip"
    done = subprocess.run(
        ["bash", "-c", shell], cwd=ROOT, env={"PATH": "/usr/bin:/usr/sbin", "IFACE": "nosuch0"}, capture_output=True
    )
    assert done.returncode == 1 and b"nosuch0" in done.stderr and b"/sys/class/net/lo" in done.stderr


def test_a_port_in_use_is_passed_over():
    shell = "source examples/slurm/common.sh; free_port 127.0.0.1"
    ports = []
    with socket.create_server(("127.0.0.1", 29991)):  # the second one of job 4995
        for number in ("4995", "4996", "9995"):
            environment = {"PATH": "/usr/bin", "SLURM_JOB_ID": number}
            ports.append(int(subprocess.check_output(["bash", "-c", shell], cwd=ROOT, env=environment)))
    assert ports == [29992, 29992, 29992]


def test_outside_slurm_the_template_says_how_to_start_it():
    done = subprocess.run(
        ["bash", TEMPLATE, "true"], cwd=ROOT, env={"PATH": "/usr/bin"}, capture_output=True, text=True
    )
    assert done.returncode and "sbatch" in done.stderr
    assert subprocess.run(["bash", TEMPLATE], cwd=ROOT).returncode == 2


@pytest.mark.parametrize(
    "environ, message",
    [
        ({"N_GPUS": "abc"}, "N_GPUS=abc must be a whole number"),
        ({"START_LIMIT": "1.5"}, "START_LIMIT=1.5 must be a whole number"),
        ({"MAX_RESTARTS": "-1"}, "MAX_RESTARTS=-1 must be a whole number"),
        ({"VENV": "/nowhere"}, "VENV=/nowhere is no virtual environment"),
        ({"OUTPUT_DIR": "/dev/null/x"}, "OUTPUT_DIR=/dev/null/x: no such folder"),
    ],
)
def test_a_wrong_variable_of_a_job_is_named(environ, message, tmp_path):
    run = job(tmp_path, 112, "true", **environ)
    assert run.wait(60)[0] in (1, 2) and message in run.log() and "begun" not in run.log()


def test_the_header_asks_for_what_a_requeue_needs():
    header = set(re.findall(r"^#SBATCH (\S+)", (ROOT / TEMPLATE).read_text(), re.M))
    assert {"--requeue", "--open-mode=append"} <= header
    assert any(option.startswith("--signal=B:USR1@") for option in header)
