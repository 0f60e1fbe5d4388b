"""The reference answers of the benchmark and training files in a folder (``../shared/data``)."""

from __future__ import annotations

import json
from pathlib import Path

from sage.evaluation.benchmarks import BENCHMARKS, find_benchmark, load_benchmark

TRAINING = (
    "gsm8k_train",
    "gsm8k_test",
    "aime_1983_2023_train_with_solutions",
    "math_test_minus_math500_4500_train_with_solutions",
    "math_train_7474_answers_only",
)


def load_golds(folder: Path) -> dict[str, list[str]]:
    """Reference answers by file, repetitions included; files that are not there are left out.

    Benchmarks are read as evaluation reads them; of GSM8K what follows ``####``. Three rows of the MATH training file
    have no answer and are left out.
    """
    golds = {}
    for name in BENCHMARKS:
        if path := find_benchmark(name, folder):
            golds[name] = [problem.answer for problem in load_benchmark(name, path)]
    for name in TRAINING:
        if (path := folder / f"{name}.jsonl").is_file():
            rows = [json.loads(line)["answer"] for line in path.read_text(encoding="utf-8").split("\n") if line]
            golds[name] = [row.rpartition("#### ")[2].strip() for row in rows if row]
    return golds
