"""Evaluate a model, or every checkpoint of a verl run, without hints; stop and go on at will.

    python scripts/evaluate.py --model Qwen/Qwen2.5-7B-Instruct --data bench/ --out results/qwen2.5-7b/base/eval
    python scripts/evaluate.py --checkpoints outputs/qwen2.5-7b_sage/checkpoints --data bench/ \\
        --out results/qwen2.5-7b/sage/eval
    python scripts/evaluate.py --model M --benchmarks mine=problems.jsonl --samples 4 --out results/eval

The defaults are the paper's settings: 16 samples a problem, temperature 0.6, top-p 0.95, 8192 tokens. What the files
hold and what resuming guarantees is in docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage.data.preparation.rows import SYSTEM_PROMPT
from sage.evaluation.benchmarks import BENCHMARKS, Problem, find_benchmark, load_benchmark
from sage.evaluation.checkpoints import Checkpoint, choose_best, find_checkpoints, merge
from sage.evaluation.generate import Decoding
from sage.evaluation.run import Engines, Evaluation, Settings
from sage.evaluation.store import write_json
from sage.grading.verifier import load_verifier
from sage.support.engine import engine_option


@dataclass(frozen=True)
class Target:
    """A model to evaluate: a name or path, or a checkpoint."""

    name: str
    source: str | Checkpoint
    evaluation: Evaluation

    @property
    def identity(self) -> dict[str, Any]:
        return self.source.identity() if isinstance(self.source, Checkpoint) else {"model": self.source}

    def open(self) -> str:
        """Path or name for vLLM; a checkpoint is merged first."""
        return str(merge(self.source, self.merged)) if isinstance(self.source, Checkpoint) else self.source

    @property
    def merged(self) -> Path:
        return self.evaluation.folder / "model"


def choose_files(wanted: list[str] | None, folder: Path | None) -> dict[str, Path]:
    """Name and file of each benchmark, in the paper's order, one's own last.

    Raises:
        ValueError: a benchmark has no file.
    """
    files = {}
    for item in wanted or BENCHMARKS:
        name, _, path = item.partition("=")
        found = Path(path) if path else find_benchmark(name, folder) if folder else None
        if found:
            files[name] = found
        elif wanted:
            raise ValueError(f"--benchmarks {name}: no such file in --data {folder}; give it as {name}=FILE")
        else:
            print(f"{name}: no file in {folder}, left out")
    if not files:
        raise ValueError("nothing to evaluate; name a folder by --data, or files by --benchmarks NAME=FILE")
    order = [*(name for name in BENCHMARKS if name in files), *(name for name in files if name not in BENCHMARKS)]
    return {name: files[name] for name in order}


def targets(args: argparse.Namespace, problems: dict[str, list[Problem]], settings: Settings) -> list[Target]:
    """The models to evaluate, the one of --model first."""
    sources: dict[str, str | Checkpoint] = {}
    if args.model:
        sources[args.name or Path(args.model.rstrip("/")).name] = args.model
    if args.checkpoints:
        found, skipped = find_checkpoints(args.checkpoints)
        sources |= {checkpoint.path.name: checkpoint for checkpoint in found}
        for reason in skipped:
            print(f"skipped {reason}")
    return [Target(name, source, Evaluation(args.out / name, problems, settings)) for name, source in sources.items()]


def show_plan(plan: list[Target], files: Mapping[str, Path]) -> None:
    """What would be done."""
    for name, path in files.items():
        print(f"{name}: {len(plan[0].evaluation.benchmarks[name])} problems from {path}")
    for target in plan:
        todo = {
            name: sum(map(len, numbers.values())) for name, numbers in target.evaluation.missing().items() if numbers
        }
        work = ", ".join(f"{name} {count} samples" for name, count in todo.items()) or "all samples are there"
        if todo and isinstance(target.source, Checkpoint) and not target.source.hugging_face:
            work = f"merge ({target.source.backend}), {work}"
        print(f"{target.evaluation.folder}: {work}")


def table(summary: Mapping[str, Any]) -> str:
    """The scores of one model as text, in percent."""
    n = str(summary["settings"]["samples"])
    heads = (f"avg@{n}", "95% interval", f"pass@{n}", f"maj@{n}", "tokens", "truncated")
    lines = [f"{summary['checkpoint']:<24}" + "".join(f"{head:>15}" for head in heads)]
    for name, scores in summary["benchmarks"].items():
        low, high = (100 * end for end in scores["avg_interval"])
        majority = f"{100 * scores['maj'][n]:.1f}" if scores["maj"] else "-"
        cells = (f"{100 * scores['avg']:.1f}", f"{low:.1f} .. {high:.1f}", f"{100 * scores['pass'][n]:.1f}", majority,
                 f"{scores['tokens']:.0f}", f"{100 * scores['truncated']:.1f}%")  # fmt: skip
        lines.append(f"{name:<24}" + "".join(f"{cell:>15}" for cell in cells))
    for what in ("in_distribution", "out_of_distribution"):
        if summary[what] is not None:
            lines.append(f"{what:<24}{100 * summary[what]:>15.1f}")
    return "\n".join(lines)


def parse() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a model for vLLM: path or name")
    parser.add_argument("--name", help="folder of --model's results in --out (default: the last part of its name)")
    parser.add_argument("--checkpoints", type=Path, help="folder of a verl run: every global_step_* is evaluated")
    parser.add_argument(
        "--out", required=True, type=Path, help="folder for the results; existing ones are gone on with"
    )
    parser.add_argument("--data", type=Path, help="folder with files such as aime24.jsonl and gpqa_diamond.csv")
    parser.add_argument("--benchmarks", nargs="+", metavar="NAME[=FILE]",
                        help=f"which ones (default: those of {', '.join(BENCHMARKS)} in --data); "
                        "NAME=FILE takes a file of your own")  # fmt: skip
    parser.add_argument("--samples", type=int, default=16, help="for each problem")
    parser.add_argument("--temperature", type=float, default=0.6)
    parser.add_argument("--top-p", type=float, default=0.95)
    parser.add_argument("--max-tokens", type=int, default=8192, help="of a response")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="only the first so many problems of each benchmark")
    parser.add_argument("--system", default=SYSTEM_PROMPT, help="system prompt; empty for none (default: training's)")
    parser.add_argument("--verifier", default="math", help="math, exact, or package.module:name")
    parser.add_argument("--no-responses", action="store_true", help="store answers and verdicts only")
    parser.add_argument("--replicas", type=int, help="engines side by side (default: what the visible GPUs allow)")
    parser.add_argument("--engine", type=engine_option, action="append", default=[], metavar="KEY=VALUE",
                        help="argument of vLLM's engine, for instance tensor_parallel_size=4")  # fmt: skip
    parser.add_argument("--remove-merged", action="store_true", help="delete each merged model after its evaluation")
    parser.add_argument("--dry-run", action="store_true", help="list what would be done; loads no model")
    args = parser.parse_args()
    if not (args.model or args.checkpoints):
        parser.error("name a model by --model, or a verl run by --checkpoints")
    if min(args.samples, args.max_tokens, args.limit or 1, args.replicas or 1) < 1:
        parser.error("--samples, --max-tokens, --limit and --replicas must be at least 1")
    if args.temperature == 0 and args.samples > 1:
        parser.error("at temperature 0 all samples are the same; add --samples 1")
    return parser, args


def main() -> int:
    parser, args = parse()
    settings = Settings(
        samples=args.samples,
        decoding=Decoding(args.temperature, args.top_p, args.max_tokens),
        seed=args.seed,
        system=args.system,
        verifier=args.verifier,
        responses=not args.no_responses,
    )
    try:
        load_verifier(args.verifier)
        files = choose_files(args.benchmarks, args.data)
        problems = {name: load_benchmark(name, path)[: args.limit] for name, path in files.items()}
        plan = targets(args, problems, settings)
        if args.dry_run:
            show_plan(plan, files)
            return 0
        digests = {name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for name, path in files.items()}
        for target in plan:
            target.evaluation.begin(target.identity, digests)
    except ValueError as error:
        parser.error(str(error))

    summaries = {}
    for target in plan:
        if any(target.evaluation.missing().values()):
            model = target.open()
            target.evaluation.sample(model, Engines(dict(args.engine), args.replicas))
        source = target.source.path if isinstance(target.source, Checkpoint) else target.source
        summary = target.evaluation.finish({"model": str(source), "checkpoint": target.name})
        print(table(summary))
        if isinstance(target.source, Checkpoint):
            summaries[target.name] = summary
            if args.remove_merged:
                shutil.rmtree(target.merged, ignore_errors=True)
    if summaries:
        best = choose_best(summaries)
        write_json(args.out / "best.json", best)
        print(f"best: {best['checkpoint']}, {100 * best['score']:.1f} ({best['rule']})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
