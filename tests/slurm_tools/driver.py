"""Stands for a training in tests of the Slurm template: a "step" a second; saves when asked to stop.

    python driver.py STEPS

Keeps verl's file of the latest checkpoint, resumes from it, and honours SAGE_STOP_FILE as the trainer does.
"""

import os
import sys
import time
from pathlib import Path

import ray


@ray.remote(num_gpus=1)
def where() -> tuple[str, str | None]:
    return ray.util.get_node_ip_address(), os.environ.get("SAGE_STOP_FILE")


def main() -> None:
    steps = int(sys.argv[1])
    assert int(os.environ["N_GPUS"]) == 1
    ray.init()
    latest = Path(os.environ["OUTPUT_DIR"]) / "checkpoints" / "latest_checkpointed_iteration.txt"
    latest.parent.mkdir(parents=True, exist_ok=True)
    first = int(latest.read_text()) if latest.exists() else 0
    seen = ray.get([where.options(scheduling_strategy="SPREAD").remote() for _ in range(int(os.environ["NNODES"]))])
    print(f"from step {first} on {sorted(ip for ip, _ in seen)}", flush=True)
    assert {stop for _, stop in seen} == {os.environ["SAGE_STOP_FILE"]}, "the trainer runs in a worker"
    for step in range(first + 1, steps + 1):
        time.sleep(1)
        stop = Path(os.environ["SAGE_STOP_FILE"])
        if stop.exists() and step < steps:
            latest.write_text(str(step))
            stop.unlink()
            print(f"saved at step {step}", flush=True)
            return
    print("done", flush=True)


if __name__ == "__main__":
    main()
