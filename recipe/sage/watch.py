"""A run that ends: what the trainer and the rollout workers report, and the thread of the driver that watches them.

    trainer          the phase it is in, and the engines' addresses   `enter`, `name_engines`
    rollout workers  rollouts that have ended                         `count_rollout`
    driver           `Watch`: every second, is a part of the run dead, or has a phase made no progress for too long?

Death is what Ray and vLLM say: Ray's table of actors (engines, rollout workers, reward workers, actors, queue), and
the engines' own ``/health``. The clock is for what is alive and stuck. Reports go through the key-value store of Ray's
head process, which needs no process or file of its own. A run that is lost ends with one sentence and `LOST`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import ray
from ray._private.state import actors
from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_list, _internal_kv_put

from sage.method.records import Skip
from sage.method.state import LATEST_FILE

LOST = 75
"""Exit status (EX_TEMPFAIL) of a run that lost a part of itself: started again, it resumes from its checkpoint."""
START_UP = "start-up"
DONE = "done"
START_UP_FACTOR = 4
"""Start-up loads models and has few marks on the way: it may take this many times `stall_limit`."""
POLL_SECONDS = 1.0
HEALTH_SECONDS = 2.0
LOG_BYTES = 1 << 20
NO_ERROR = "its log has no error, so it was most likely killed, for example for want of memory"
FATAL = ("WORKER_DIED", "NODE_DIED", "oom_context")
"""What Ray's death cause of an actor holds that did not end because it was told to."""
RAY_PROCESSES = {"gcs_server": "Ray's head process, gcs_server,", "raylet": "Ray's process on this node, raylet,"}
_SPACE = "sage"
_counted: dict[str, float] = {}
_answered: set[str] = set()
"""Engines whose health route has answered this process."""


class PartLost(RuntimeError):
    """A process that the run needs is dead."""


class BrokenStep(RuntimeError):
    """Too many prompts of a step were lost for the step to be trained on."""


def _key(name: str) -> str:
    return f"{ray.get_runtime_context().get_job_id()}/{name}"


def _put(name: str, value: object) -> None:
    _internal_kv_put(_key(name), json.dumps(value).encode(), overwrite=True, namespace=_SPACE)


def _get(name: str, default: object) -> object:
    value = _internal_kv_get(_key(name), namespace=_SPACE)
    return default if value is None else json.loads(value)


def enter(phase: str, step: int = 0) -> None:
    """The trainer is in this phase of this step; each new one counts as progress."""
    _put("phase", [phase, step])


def name_engines(addresses: Sequence[str]) -> None:
    """Addresses (``host:port``) of vLLM's servers, whose ``/health`` is asked from now on."""
    _put("engines", list(addresses))


def count_rollout(worker: str) -> None:
    """A rollout of this worker has ended; said once a second at most."""
    now = time.monotonic()
    if now - _counted.get(worker, 0.0) >= POLL_SECONDS:
        _counted[worker] = now
        _put(f"rollouts/{worker}", now)


def dead_ray() -> str | None:
    """A process of Ray's own that this driver has started and that is dead, in words; None while all live."""
    node = ray._private.worker._global_node
    for kind, process in node.dead_processes() if node else []:
        if kind in RAY_PROCESSES:
            return f"{RAY_PROCESSES[kind]} (process {process.pid}) has died: {NO_ERROR}"
    return None


def dead_part(served: bool = False) -> str | None:
    """A process of this run that is dead, in words with its own last error; None while all live.

    Args:
        served: the engines have rolled out. Before that, one whose health route has never answered may be starting.
    """
    for actor in _actors():
        cause = str(actor["DeathCause"])
        if actor["State"] == "DEAD" and any(kind in cause for kind in FATAL):
            why = _reason(cause) or last_error(actor["Pid"]) or NO_ERROR
            return f"{_name(actor)} (process {actor['Pid']}) has died: {why}"
    for address in _get("engines", []):  # type: ignore[attr-defined]
        if reason := _unhealthy(address, served):
            return f"the engine at {address} is dead ({reason}): {_engine_error()}"
    return None


def check_step(prompts: int, skips: Sequence[Skip], max_lost: float) -> None:
    """Assert that a step may be trained on.

    Args:
        prompts: that the step has used up.
        skips: those of them that have no group.
        max_lost: ``sage.max_lost``.

    Raises:
        PartLost: a process that the run needs is dead.
        BrokenStep: more than that share of the prompts is lost.
    """
    if part := dead_part(served=True):
        raise PartLost(part)
    if skips and len(skips) > max_lost * prompts:
        ((error, _),) = Counter(skip.error for skip in skips).most_common(1)
        raise BrokenStep(
            f"{len(skips)} of {prompts} prompts were lost (sage.max_lost={max_lost}), most of them by: {error}"
        )


def in_one_line(error: BaseException) -> str:
    """An exception that came through Ray, without its stack."""
    cause = getattr(error, "cause", None) or error
    return " ".join(f"{type(cause).__name__}: {cause}".split())[:300]


def _unhealthy(address: str, served: bool) -> str | None:
    """What vLLM's health route says against an engine; slow is not dead, and neither is one that starts."""
    try:
        with urllib.request.urlopen(f"http://{address}/health", timeout=HEALTH_SECONDS):
            _answered.add(address)
            return None
    except urllib.error.HTTPError as error:
        return f"its health route answers {error.code}"
    except (urllib.error.URLError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        slow = isinstance(reason, TimeoutError) or not (served or address in _answered)
        return None if slow else f"its health route does not answer: {reason}"
    except TimeoutError:
        return None


def _reason(cause: str) -> str:
    """What Ray's death cause says; "" if that is nothing."""
    if "oom_context" in cause:
        return "Ray ended it since its machine had hardly any memory left (RAY_memory_usage_threshold)"
    return "its node is gone" if "NODE_DIED" in cause else ""


def _actors() -> list[dict[str, Any]]:
    """This run's processes in Ray's table of actors."""
    return list(actors(job_id=ray.JobID.from_hex(ray.get_runtime_context().get_job_id())).values())


def _name(actor: dict[str, Any]) -> str:
    return str(actor["Name"] or actor["ActorClassName"])


def logged_error(since: float) -> str:
    """The last error of a part that has written to its log since then, in words; "" for none."""
    for actor in _actors():
        if error := last_error(actor["Pid"], since):
            return f"; {_name(actor)} logged: {error}"
    return ""


def _engine_error() -> str:
    """The last error in the logs of the servers, which run the engines."""
    servers = [a["Pid"] for a in _actors() if "Server" in a["ActorClassName"]]
    return next((e for pid in servers if (e := last_error(pid))), NO_ERROR)


def last_error(pid: int, since: float = 0.0) -> str:
    """The last line of an error in the log of a worker of Ray's, if it ran on this machine; "" for none.

    Logs that were last written to before ``since``, in seconds since the epoch, are left out.
    """
    folder = Path(ray._private.worker.global_worker.node.get_logs_dir_path())
    for path in sorted(path for path in folder.glob(f"worker-*-{pid}.*") if path.stat().st_mtime >= since):
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
        for line in reversed(lines):
            text = line.partition("]")[2].strip() if line.startswith("(EngineCore") else line.strip()
            name = text.split(":")[0].rpartition(".")[2].rpartition(" ")[2]
            if name.endswith(("Error", "Exception")) and "EngineDead" not in name and ":" in text:
                return text[:300]
    return ""


def run_in_words(folder: Path) -> str:
    """What remains of the run, and how to resume it."""
    try:
        step = (folder / LATEST_FILE).read_text().strip()
    except OSError:
        return "There is no checkpoint yet: the same command starts it afresh"
    return f"The same command resumes it from {folder / f'global_step_{step}'}"


class Watch(threading.Thread):
    """Ends the process, and all that it started, when the run cannot go on.

    Args:
        stall_limit: seconds that a phase may make no progress (``sage.stall_limit``).
        folder: ``trainer.default_local_dir``.
    """

    def __init__(self, stall_limit: float, folder: Path) -> None:
        super().__init__(name="sage-watch", daemon=True)
        self.stall_limit, self.folder = stall_limit, folder
        self.phase, self.step = START_UP, 0
        self._stopped = threading.Event()
        self._ending = threading.Lock()
        self._seen: object = None
        self._since = time.monotonic()

    def run(self) -> None:
        while not self._stopped.wait(POLL_SECONDS):
            if (reason := self._why_end()) is not None:
                self.end(reason, LOST)

    def stop(self) -> None:
        """The run has ended by itself."""
        self._stopped.set()

    def _why_end(self) -> str | None:
        """Why the run cannot go on, None if it can."""
        if ray.is_initialized():
            if part := dead_ray():  # what is asked below would wait for it
                return part
            keys = sorted(_internal_kv_list(_key(""), namespace=_SPACE))
            reports = [(key, _internal_kv_get(key, namespace=_SPACE)) for key in keys]
            if reports != self._seen:
                self._seen, self._since = reports, time.monotonic()
            self.phase, self.step = _get("phase", [START_UP, 0])  # type: ignore[misc]
            if self.phase == DONE:
                self.stop()
                return None
            if part := dead_part():
                return part
        limit = self.stall_limit * (START_UP_FACTOR if self.phase == START_UP else 1)
        if (stalled := time.monotonic() - self._since) > limit:
            error = logged_error(time.time() - stalled - 2 * POLL_SECONDS) if ray.is_initialized() else ""
            return f"no progress for {limit:.0f} s (sage.stall_limit); all processes live, one of them is stuck{error}"
        return None

    def end_with(self, error: ray.exceptions.RayError) -> None:
        """End after an error of the run itself."""
        cause = getattr(error, "cause", None) or error
        lost = isinstance(cause, (PartLost, BrokenStep, ray.exceptions.RayError))
        full = isinstance(cause, OSError) and cause.errno == errno.ENOSPC
        advice = f"; make room, the run writes to {self.folder} and to what VERL_FILE_LOGGER_PATH names" if full else ""
        words = str(cause) if isinstance(cause, (PartLost, BrokenStep)) else in_one_line(error)
        self.end(words + advice, LOST if lost else 1)

    def end(self, reason: str, status: int) -> None:
        """Say why, the part and its last error, stop whatever this process started, and exit with a status."""
        with self._ending:  # the first reason counts: others follow from it
            self.stop()
            where = self.phase if self.phase == START_UP else f"{self.phase} of step {self.step}"
            print(f"SAGE: the run ends in {where}: {reason}. {run_in_words(self.folder)}.", flush=True)
            end_children()
            os._exit(status)


def end_children(grace: float = 5.0) -> None:
    """Stop every process below this one, politely at first.

    Ray's head goes first and at once. It would tell this process that its node is gone, and then Ray's core ends this
    process with status 1 as soon as it misses the node's objects.
    """
    children = psutil.Process().children(recursive=True)
    heads = [child for child in children if _is_head(child)]
    for head in heads:
        _signal(head, "kill")
    psutil.wait_procs(heads, timeout=grace)
    for child in children:
        _signal(child, "terminate")
    _, alive = psutil.wait_procs(children, timeout=grace)
    for child in {*alive, *psutil.Process().children(recursive=True)}:
        _signal(child, "kill")


def _is_head(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.name() == "gcs_server")
    return False


def _signal(process: psutil.Process, name: str) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        getattr(process, name)()
