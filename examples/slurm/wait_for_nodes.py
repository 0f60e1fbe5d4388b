"""Wait until every node of a Slurm job has joined the Ray cluster at RAY_ADDRESS, with its GPUs.

    python wait_for_nodes.py --nodes "$(scontrol show hostnames)" --gpus 8 --limit 300

Exits with 1, naming the nodes that are missing or short of GPUs, when the limit (seconds) has passed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any


def what_is_missing(expected: Iterable[str], gpus: int, nodes: Iterable[Mapping[str, Any]]) -> list[str]:
    """One phrase for each expected Slurm node that is not alive in ``nodes`` (`ray.nodes()`) or has too few GPUs."""
    found = {n["Labels"].get("slurm-node"): n["Resources"].get("GPU", 0) for n in nodes if n["Alive"]}
    missing = [f"{name} has not joined" for name in expected if name not in found]
    return missing + [f"{n} has {found[n]:g} of {gpus} GPUs" for n in expected if n in found and found[n] < gpus]


def main() -> None:
    import ray

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=str.split, required=True, help="names of the nodes, separated by white space")
    parser.add_argument("--gpus", type=int, required=True, help="GPUs of each node")
    parser.add_argument("--limit", type=int, required=True, help="seconds")
    args = parser.parse_args()

    last = time.monotonic() + args.limit
    ray.init(address="auto", log_to_driver=False, logging_level="error")  # RAY_ADDRESS
    while missing := what_is_missing(args.nodes, args.gpus, ray.nodes()):
        if time.monotonic() > last:
            sys.exit(f"Ray cluster incomplete after {args.limit} s: " + "; ".join(missing))
        time.sleep(1)
    print(f"Ray cluster complete: {len(args.nodes)} nodes, {ray.cluster_resources().get('GPU', 0):g} GPUs")


if __name__ == "__main__":
    main()
