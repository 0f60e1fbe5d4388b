"""Hosts of one machine, each with a network, a name and mounts of its own (Linux namespaces)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

NETWORK = "198.18.77"
"""Of the range that RFC 2544 reserves for tests; exists only between these hosts."""


def why_not() -> str | None:
    """Why this machine cannot have such hosts; None when it can."""
    missing = [name for name in ("unshare", "nsenter", "ip", "mount") if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)} on PATH (Debian: util-linux, iproute2)"
    trial = ["unshare", "--net", "--mount", "--uts", "ip", "link", "add", "trial0", "type", "bridge"]
    done = subprocess.run(trial, capture_output=True, text=True)
    return f"no namespaces here: {done.stderr.strip()}" if done.returncode else None


def enter(pid: int, *command: str) -> list[str]:
    """The command line that runs ``command`` on the host whose first process is ``pid``, in the current folder."""
    return ["nsenter", f"--target={pid}", "--net", "--mount", "--uts", f"--wdns={os.getcwd()}", *command]


def _on(pid: int, *command: str) -> None:
    subprocess.run(enter(pid, *command), check=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def hosts(names: Sequence[str], folder: Path, private: Sequence[str]) -> Iterator[dict[str, int]]:
    """Hosts with these names, the i-th (from 1) at NETWORK.i, as a map from name to the id of its first process.

    ``private`` folders, made here, hold other files on each host, kept in ``folder``; all else is shared. What
    still runs on a host keeps it alive: end that before.
    """
    table = "127.0.0.1 localhost\n" + "".join(f"{NETWORK}.{i} {name}\n" for i, name in enumerate(names, 1))
    (folder / "etc_hosts").write_text(table)
    first = ["unshare", "--net", "--mount", "--uts", "sh", "-c", "echo; exec sleep infinity"]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for i, name in enumerate(names, 1):
            process = subprocess.Popen(first, stdout=subprocess.PIPE, start_new_session=True)
            started.append(process)
            assert process.stdout is not None and process.stdout.readline()  # the namespaces are there
            pid, hub = process.pid, started[0].pid
            _on(pid, "hostname", name)
            _on(pid, "mount", "--bind", str(folder / "etc_hosts"), "/etc/hosts")
            for path in private:
                own = folder / name / path.lstrip("/")
                own.mkdir(parents=True, mode=0o755)
                Path(path).mkdir(exist_ok=True)
                _on(pid, "mount", "--bind", str(own), path)
            _on(pid, "ip", "link", "set", "lo", "up")
            if i == 1:  # its network card is the switch
                _on(pid, "ip", "link", "add", "eth0", "type", "bridge")
            else:
                _on(hub, "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
                _on(hub, "ip", "link", "set", name, "master", "eth0", "up")
            _on(pid, "ip", "addr", "add", f"{NETWORK}.{i}/24", "dev", "eth0")
            _on(pid, "ip", "link", "set", "eth0", "up")
        yield {name: process.pid for name, process in zip(names, started, strict=True)}
    finally:
        for process in started:
            _end(process)
        for path in private:
            Path(path).rmdir()
