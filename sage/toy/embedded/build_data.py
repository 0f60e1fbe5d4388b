"""Write the training and test files of an embedded task.

python -m sage.toy.embedded.build_data --out outputs/opchain/data --seed 0
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sage.support.arguments import at_least
from sage.support.rows import write_parquet
from sage.toy.embedded.tasks import KINDS, TASKS, Problem, load_task, plain_prompt

TRAIN = {"easy": 32, "medium": 32, "hard": 256}
TEST = 200
TEST_SEED = 7  # one test set for all training seeds
SEEDS = (*range(5), 100)
"""Of the recorded runs."""


def row(task: str, problem: Problem, split: str, index: int) -> dict[str, Any]:
    """One row in verl's format, with the columns of `sage.data.training`."""
    return {
        "prompt_id": f"{task}/{problem.text}",
        "data_source": problem.kind,
        "prompt": [{"role": "user", "content": plain_prompt(problem)}],
        "problem": problem.text,
        "solution": problem.solution,
        "reference_response": problem.response,
        "ability": "reasoning",
        "reward_model": {"style": "rule", "ground_truth": problem.answer},
        "extra_info": {"split": split, "index": index},
    }


def final_test(task: str, count: int) -> list[Problem]:
    """Held-out problems of each kind: those that `build` holds out, then others that no seed of `SEEDS` trains on."""
    make_problems = load_task(task).make_problems
    held_out = {problem.text for kind in KINDS for problem in make_problems(kind, TEST, TEST_SEED)}
    trained = {p.text for s in SEEDS for k in KINDS for p in make_problems(k, TRAIN[k], 1000 + s, held_out)}
    return [problem for kind in KINDS for problem in make_problems(kind, count, TEST_SEED, trained)]


def write(task: str, problems: Sequence[Problem], name: str, out: Path) -> None:
    rows = [row(task, problem, name, index) for index, problem in enumerate(problems)]
    write_parquet(out / f"{name}.parquet", rows)


def build(out: Path, seed: int, train: dict[str, int], test: int, task: str = TASKS[0]) -> list[Problem]:
    """Write ``train.parquet`` and ``test.parquet``; no training problem is a test problem.

    Returns:
        The training problems.
    """
    make_problems = load_task(task).make_problems
    held_out = [problem for kind in KINDS for problem in make_problems(kind, test, TEST_SEED)]
    exclude = {problem.text for problem in held_out}
    training = [problem for kind in KINDS for problem in make_problems(kind, train[kind], 1000 + seed, exclude)]
    write(task, training, "train", out)
    write(task, held_out, "test", out)
    return training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for train.parquet and test.parquet")
    parser.add_argument("--task", choices=TASKS, default=TASKS[0])
    parser.add_argument("--seed", type=at_least(0), default=0, help="seed of the training problems")
    args = parser.parse_args()
    build(args.out, args.seed, TRAIN, TEST, args.task)
    print(f"wrote {args.out}/train.parquet and {args.out}/test.parquet")


if __name__ == "__main__":
    main()
