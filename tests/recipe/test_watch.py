"""When a run is given up, and what is said then; the processes themselves are in tests/e2e/test_faults.py."""

import errno
import shutil
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import ray
from ray.core.generated.common_pb2 import ActorDeathCause

from recipe.sage import watch
from sage.method.records import Skip, SkipReason

LOST = [Skip(SkipReason.ROLLOUT_ERROR, "EngineDeadError: gone")] * 5


@pytest.fixture
def alive(monkeypatch):
    monkeypatch.setattr(watch, "dead_part", lambda served: None)


def test_a_single_lost_prompt_is_skipped_and_a_quarter_of_a_step_may_be(alive):
    watch.check_step(16, LOST[:1], 0.25)
    watch.check_step(16, LOST[:4], 0.25)
    watch.check_step(0, [], 0.25)


def test_a_step_that_lost_more_is_not_trained_on_and_names_the_commonest_error(alive):
    other = Skip(SkipReason.VERIFIER_ERROR, "ValueError: once")
    with pytest.raises(watch.BrokenStep, match=r"6 of 16 prompts .*sage.max_lost=0.25.* EngineDeadError: gone"):
        watch.check_step(16, [other, *LOST], 0.25)


def test_no_step_is_trained_on_once_a_part_has_died_whatever_it_lost(monkeypatch):
    monkeypatch.setattr(watch, "dead_part", lambda served: "the engine at a:1 is dead")
    with pytest.raises(watch.PartLost, match="the engine at a:1"):
        watch.check_step(16, [], 0.25)


def test_an_error_that_came_through_ray_is_one_line_with_its_cause():
    error = ray.exceptions.RayTaskError("f", "a long\ntraceback", ValueError("two\nlines"))
    assert watch.in_one_line(error) == "ValueError: two lines"


@pytest.mark.parametrize("silent, phase, ends", [(5, "update", False), (11, "update", True), (11, "start-up", False)])
def test_a_phase_without_progress_ends_the_run_after_the_limit_and_start_up_after_four(
    tmp_path, monkeypatch, silent, phase, ends
):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    guard = watch.Watch(10, tmp_path)
    guard.phase, guard._since = phase, time.monotonic() - silent
    assert (guard._why_end() is not None) == ends


def test_the_last_sentence_names_the_checkpoint_to_resume_from(tmp_path):
    assert "no checkpoint yet" in watch.run_in_words(tmp_path)
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("40")
    assert str(tmp_path / "global_step_40") in watch.run_in_words(tmp_path)


def test_a_full_disk_is_said_with_the_folders(tmp_path, monkeypatch):
    said = []
    guard = watch.Watch(10, tmp_path)
    monkeypatch.setattr(guard, "end", lambda reason, status: said.append((reason, status)))
    full = OSError(errno.ENOSPC, "No space left on device")
    guard.end_with(ray.exceptions.RayTaskError("f", "traceback", full))
    ((reason, status),) = said
    assert status == 1 and "No space left" in reason and f"make room, the run writes to {tmp_path}" in reason


def test_the_last_error_of_a_log_counts_if_it_is_recent(tmp_path, monkeypatch):
    (tmp_path / "worker-a-01-7.out").write_text(
        "x\n(EngineCore pid=8) ERROR [core.py:1] RuntimeError: in weight sync\ny\n"
    )
    node = SimpleNamespace(get_logs_dir_path=lambda: str(tmp_path))
    monkeypatch.setattr(ray._private.worker.global_worker, "node", node)
    monkeypatch.setattr(watch, "_actors", lambda: [{"Pid": 6, "Name": "a"}, {"Pid": 7, "Name": "server"}])
    assert watch.logged_error(time.time() - 5) == "; server logged: RuntimeError: in weight sync"
    assert watch.logged_error(time.time() + 5) == ""


def test_an_engine_that_has_not_answered_yet_is_starting_until_it_has_rolled_out(monkeypatch):
    monkeypatch.setattr(watch, "_actors", list)
    monkeypatch.setattr(watch, "_answered", set())
    monkeypatch.setattr(watch, "_engine_error", lambda: watch.NO_ERROR)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setattr(watch, "_get", lambda name, default: [address])
    assert watch.dead_part() is None
    assert f"the engine at {address} is dead" in str(watch.dead_part(served=True))
    watch._answered.add(address)
    assert f"the engine at {address} is dead" in str(watch.dead_part())


@pytest.mark.parametrize(
    "cause, words",
    [
        (
            {"oom_context": {"error_message": "killed", "fail_immediately": True}},
            "Ray ended it since its machine had hardly any memory left",
        ),
        ({"actor_died_error_context": {"reason": "NODE_DIED"}}, "its node is gone"),
        ({"actor_died_error_context": {"reason": "WORKER_DIED"}}, "its log has no error"),
        ({"actor_died_error_context": {"reason": "RAY_KILL"}}, None),
    ],
)
def test_a_part_is_dead_unless_it_was_told_to_end(cause, words, monkeypatch):
    actor = {"Pid": 7, "Name": "", "ActorClassName": "RewardLoopWorker", "State": "DEAD"}
    actor["DeathCause"] = ActorDeathCause(**cause)
    monkeypatch.setattr(watch, "_actors", lambda: [actor])
    monkeypatch.setattr(watch, "_get", lambda name, default: default)
    monkeypatch.setattr(watch, "last_error", lambda pid: "")
    found = watch.dead_part()
    assert found is None if words is None else "RewardLoopWorker (process 7) has died: " + words in found


def test_rays_head_ends_before_the_node_so_that_it_cannot_report_it_as_lost(tmp_path):
    """Else Ray's core ended the driver with status 1 instead of 75: seen once when a rollout worker was killed."""
    shell = shutil.which("bash")
    (tmp_path / "gcs_server").symlink_to(shell)
    node = f"trap 'pgrep -P $PPID gcs_server > {tmp_path}/heads; exit' TERM; echo; while :; do sleep 0.05; done"
    code = f"""
import subprocess
from recipe.sage.watch import end_children
started = [
    subprocess.Popen(command, stdout=subprocess.PIPE)
    for command in (
        [{shell!r}, "-c", {node!r}],
        [{str(tmp_path / "gcs_server")!r}, "-c", "trap 'sleep 1; exit' TERM; echo; while :; do sleep 0.05; done"],
    )
]
for process in started:
    process.stdout.readline()
end_children()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert (tmp_path / "heads").read_text() == "", "the head still ran when the node was told to end"
