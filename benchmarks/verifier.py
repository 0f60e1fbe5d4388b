"""The verifier against math-verify itself: agreement, slow answers, throughput.

    python -m benchmarks.verifier --data ../shared/data --json verifier.json

Agreement: every reference answer in the folder against itself, other spellings (`REWRITINGS`) and near misses
(`PERTURBATIONS`), beside math-verify called as its documentation asks: in a main thread, with its own time limits, here
of a minute, because a busy machine would turn shorter ones into refusals. Each pair counts once, for the first file
that has it.

Slow answers: each known one goes through a pool with one process, where the time until the next verdict shows the
recovery, and through a pool for all cores, with other answers graded meanwhile.

Throughput: 1024 answers through one pool that is kept, and through a fresh multiprocessing pool for every 8 answers.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from typing import TypeVar

from benchmarks.rewritings import PERTURBATIONS, REWRITINGS
from sage.evaluation.benchmarks import BENCHMARKS, find_benchmark, load_benchmark
from sage.grading.comparison import compare
from sage.grading.pool import available_cores
from sage.grading.verifier import MathVerifier, grade
from sage.support.arguments import at_least, output_file
from sage.support.files import write_text
from sage.toy.embedded.comparison import markdown

SLOW = {
    "9^{9^{9^9}}": "9^{9^{9^9}}",
    "(10^7)!": "(10^7)!",
    "((9^9)^9)^{9^9}": "((9^9)^9)^{9^9}",
    "sum to 10000": r"\sum_{k=1}^{10000} \frac{1}{k^k}",
    "900 terms": "+".join("abcdefgh"[k % 8] for k in range(900)),
    "50,000 terms": "+".join(f"x^{{{k}}}" for k in range(50_000)),
}
NEIGHBOURS = [("x^2+1", "1+x^2", True), ("x^2+1", "1+x^3", False), (r"\sqrt{8}", r"2\sqrt{2}", True)]
TRAINING = (
    "gsm8k_train",
    "gsm8k_test",
    "aime_1983_2023_train_with_solutions",
    "math_test_minus_math500_4500_train_with_solutions",
    "math_train_7474_answers_only",
)
BATCH, CALL = 1024, 8
T = TypeVar("T")
SPAWNED = 64
"""Answers through a fresh pool of spawned processes, which is too slow for the whole batch."""


@dataclass(frozen=True)
class Pair:
    """A reference answer and what a response could hold in its box."""

    file: str
    kind: str
    """``rewriting`` or ``perturbation``."""
    change: str
    candidate: str
    answer: str

    @property
    def same(self) -> bool:
        return self.kind == "rewriting"

    @property
    def response(self) -> str:
        return rf"So it is \boxed{{{self.candidate}}}."


def load_golds(folder: Path) -> dict[str, list[str]]:
    """Reference answers of the benchmark and training files in a folder, by file; those not there are left out.

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


def make_pairs(golds: dict[str, list[str]], every: int = 1) -> list[Pair]:
    """All changes of every n-th distinct answer of each file, without repetitions."""
    pairs: dict[tuple[str, str], Pair] = {}
    for file, answers in golds.items():
        for answer in list(dict.fromkeys(answers))[::every]:
            for kind, changes in (("rewriting", REWRITINGS), ("perturbation", PERTURBATIONS)):
                for name, change in changes.items():
                    if (candidate := change(answer)) is not None:
                        pairs.setdefault((candidate, answer), Pair(file, kind, name, candidate, answer))
    return list(pairs.values())


@lru_cache(maxsize=1000)
def _parsed(answer: str, seconds: int) -> list[object]:
    from math_verify import parse

    return parse(rf"\boxed{{{answer}}}", parsing_timeout=seconds)


def ask_math_verify(pair: Pair, seconds: int = 60) -> bool:
    """math-verify with its own extraction and time limits. For a main thread."""
    from math_verify import verify

    return bool(verify(_parsed(pair.answer, seconds), _parsed(pair.candidate, seconds), timeout_seconds=seconds))


def measure_agreement(pairs: Sequence[Pair]) -> list[dict]:
    """Both verdicts on every pair."""
    verifier = MathVerifier()
    records = []
    start = time.monotonic()
    for begin in range(0, len(pairs), BATCH):
        chunk = pairs[begin : begin + BATCH]
        ours = _ours(verifier, chunk)
        theirs = [ask_math_verify(pair) for pair in chunk]
        records += [
            asdict(pair) | {"ours": a, "math_verify": b} for pair, a, b in zip(chunk, ours, theirs, strict=True)
        ]
        print(f"\r{begin + len(chunk)} of {len(pairs)} pairs, {time.monotonic() - start:.0f} s", end="", flush=True)
    print(f"\ncut off: {verifier.timeouts}, crashes: {verifier.crashes}")
    verifier.close()
    return records


def print_agreement(records: Sequence[dict]) -> None:
    print("\n| file | rewritings | both accept | only ours | only math-verify | neither | ", end="")
    print("perturbed | accepted: ours | accepted: math-verify |\n|---|---|---|---|---|---|---|---|---|")
    files = list(dict.fromkeys(record["file"] for record in records))
    for file in [*files, "all"]:
        count = Counter((r["kind"], r["ours"], r["math_verify"]) for r in records if file in (r["file"], "all"))
        same, other = (
            [count[kind, ours, theirs] for ours, theirs in product((True, False), repeat=2)]
            for kind in ("rewriting", "perturbation")
        )
        accepted = [other[0] + other[1], other[0] + other[2]]
        print("|", " | ".join(map(str, [file, sum(same), *same, sum(other), *accepted])), "|")
    classes: dict[tuple, list[dict]] = {}
    for r in records:
        if r["ours"] != r["math_verify"] or r["ours"] != (r["kind"] == "rewriting"):
            classes.setdefault((r["kind"], r["change"], r["ours"], r["math_verify"]), []).append(r)
    print("\n| kind | change | ours | math-verify | pairs | for example |\n|---|---|---|---|---|---|")
    for (kind, change, ours, theirs), found in sorted(classes.items(), key=lambda item: -len(item[1])):
        shown = "; ".join(f"`{r['candidate']}` for `{r['answer']}`" for r in found[:2])
        print(f"| {kind} | {change} | {ours} | {theirs} | {len(found)} | {shown} |")


def measure_slow() -> list[dict]:
    """Every known slow answer: seconds to its verdict and to the next one, and the verdicts on its neighbours."""
    records = []
    for name, slow in SLOW.items():
        response = rf"\boxed{{{slow}}}"
        alone, pool = MathVerifier(processes=1), MathVerifier()
        for verifier in (alone, pool):
            _right(verifier, 1)
        accepted, seconds = _timed(partial(alone.is_correct, response, "17"))
        right, recovery = _timed(partial(_right, alone, 1))
        thread = threading.Thread(target=pool.is_correct, args=(response, "17"))
        thread.start()
        neighbours_right, neighbours_seconds = _timed(partial(_right, pool, 20))
        thread.join()
        records.append(
            {
                "answer": name,
                "accepted": accepted,
                "seconds": seconds,
                "cut_off": alone.timeouts,
                "next_right": right == len(NEIGHBOURS),
                "next_seconds": recovery,
                "neighbours": 20 * len(NEIGHBOURS),
                "neighbours_right": neighbours_right,
                "neighbours_seconds": neighbours_seconds,
                "crashes": alone.crashes + pool.crashes,
            }
        )
        alone.close()
        pool.close()
    return records


def _right(verifier: MathVerifier, times: int) -> int:
    verdicts = [verifier.is_correct(rf"\boxed{{{a}}}", b) == same for a, b, same in NEIGHBOURS * times]
    return sum(verdicts)


def _timed(call: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    return call(), time.perf_counter() - start


def make_batch(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """1024 answers, half of them right, none of them multiple choice."""
    rng = random.Random(seed)
    open_ended = [pair for pair in pairs if pair.file not in ("mmlu_pro", "gpqa")]
    right = rng.choices([pair for pair in open_ended if pair.same], k=BATCH // 2)
    wrong = rng.choices([pair for pair in open_ended if not pair.same], k=BATCH // 2)
    return rng.sample([*right, *wrong], BATCH)


def measure_throughput(pairs: Sequence[Pair], repetitions: int) -> list[dict]:
    """Seconds of every way to grade a batch, interleaved; another batch in every repetition."""
    kept = MathVerifier()
    _right(kept, 1)

    def started(batch: Sequence[Pair]) -> list[bool]:
        verifier = MathVerifier()
        verdicts = _ours(verifier, batch)
        verifier.close()
        return verdicts

    ways: dict[str, Callable[[Sequence[Pair]], list[bool]]] = {
        "pool kept": partial(_ours, kept),
        "pool started for the batch": started,
        f"fresh pool for every {CALL}, forked": partial(_fresh_pools, "fork"),
        f"fresh pool for every {CALL}, spawned": lambda batch: _fresh_pools("spawn", batch[:SPAWNED]),
    }
    records = []
    for repetition in range(repetitions):
        batch = make_batch(pairs, seed=repetition)
        for name, way in ways.items():
            _parsed.cache_clear()
            verdicts, seconds = _timed(partial(way, batch))
            print(f"{name}, repetition {repetition}: {seconds:.1f} s", flush=True)
            right = sum(verdict == pair.same for verdict, pair in zip(verdicts, batch, strict=False))
            records.append(
                {
                    "way": name,
                    "repetition": repetition,
                    "answers": len(verdicts),
                    "seconds": seconds,
                    "right": right,
                    "load": os.getloadavg()[0],
                }
            )
    kept.close()
    return records


def _ours(verifier: MathVerifier, pairs: Sequence[Pair]) -> list[bool]:
    return grade(verifier, [(pair.response, pair.answer) for pair in pairs])


def _fresh_pools(method: str, batch: Sequence[Pair]) -> list[bool]:
    import math_verify  # noqa: F401  forked processes find it loaded

    verdicts: list[bool] = []
    for begin in range(0, len(batch), CALL):
        with multiprocessing.get_context(method).Pool(available_cores()) as pool:
            verdicts += pool.map(partial(ask_math_verify, seconds=5), batch[begin : begin + CALL])
    return verdicts


def print_table(records: Sequence[dict]) -> None:
    cells = [[f"{value:.2f}" if isinstance(value, float) else str(value) for value in r.values()] for r in records]
    print("\n" + markdown(list(records[0]), cells))


def summarise(throughput: Sequence[dict]) -> list[dict]:
    """Answers per second of every way, over the repetitions."""
    rows = []
    for way in dict.fromkeys(record["way"] for record in throughput):
        runs = [record for record in throughput if record["way"] == way]
        rates = [run["answers"] / run["seconds"] for run in runs]
        rows.append(
            {
                "way": way,
                "answers": runs[0]["answers"],
                "answers/s, median": statistics.median(rates),
                "lowest": min(rates),
                "highest": max(rates),
                "right": min(run["right"] for run in runs),
                "load": statistics.mean(run["load"] for run in runs),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with benchmark and training files")
    parser.add_argument("--json", type=output_file, help="where every single verdict and time goes")
    parser.add_argument("--every", type=at_least(1), default=1, help="take every n-th reference answer (default: all)")
    parser.add_argument("--repetitions", type=at_least(1), default=3, help="of the throughput (default 3)")
    args = parser.parse_args()
    golds = load_golds(args.data)
    if not golds:
        parser.error(f"--data {args.data}: none of the known files is there: {', '.join(TRAINING)}, ..")
    pairs = make_pairs(golds, args.every)
    cheap = sum(compare(pair.candidate, pair.answer) is not None for pair in make_batch(pairs, seed=0))
    print(f"{available_cores()} cores; {cheap} of {BATCH} answers are decided by text or plain numbers")
    throughput = measure_throughput(pairs, args.repetitions)
    print_table(summarise(throughput))
    slow = measure_slow()
    print_table(slow)
    agreement = measure_agreement(pairs)
    print_agreement(agreement)
    if args.json:
        found = {"throughput": throughput, "slow": slow, "agreement": agreement}
        write_text(args.json, json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
