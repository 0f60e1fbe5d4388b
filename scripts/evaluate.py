"""Evaluate a model, or every checkpoint of a verl run, without hints. If stopped, run the same command again.

    python scripts/evaluate.py --model Qwen/Qwen2.5-7B-Instruct --data bench/ --out results/qwen2.5-7b/base/eval
    python scripts/evaluate.py --checkpoints outputs/qwen2.5-7b_sage/checkpoints --data bench/ \\
        --out results/qwen2.5-7b/sage/eval
    python scripts/evaluate.py --model M --benchmarks mine=problems.jsonl --samples 4 --out results/eval

The defaults are the paper's settings: 16 samples a problem, temperature 0.6, top-p 0.95, 8192 tokens. For the result
files and what resuming guarantees see docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import datetime
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sage.data.preparation.rows import SYSTEM_PROMPT
from sage.evaluation.benchmarks import BENCHMARKS, PRIVATE, choose_files, load_benchmark, problems_digest
from sage.evaluation.checkpoints import Checkpoint, choose_best, find_checkpoints, merge
from sage.evaluation.generate import Decoding, EngineError, replica_devices
from sage.evaluation.problems import Problem
from sage.evaluation.references import check_references
from sage.evaluation.run import Evaluation, Settings, messages
from sage.evaluation.store import noted_settings
from sage.grading.verifier import load_verifier
from sage.support.arguments import at_least, named_path, not_negative, part, utf8
from sage.support.engine import add_template_options, engine_option, of_the_model, template_options
from sage.support.files import why_no_folder, write_json
from sage.support.model import ChatTemplate, find_model, identify


@dataclass(frozen=True)
class Target:
    """A model to evaluate: a name or path, or a checkpoint."""

    name: str
    source: str | Checkpoint
    evaluation: Evaluation
    template: ChatTemplate
    commit: str | None
    """Of a model on the hub."""

    def identity(self, engine: Mapping[str, Any]) -> dict[str, Any]:
        """What the samples depend on, beside the settings of the evaluation."""
        of_files = self.source.identity() if isinstance(self.source, Checkpoint) else identify(self.source, self.commit)
        return {**of_files, **self.template.identity(), "engine": of_the_model(engine)}

    def sample(self, engine: Mapping[str, Any], replicas: int | None) -> None:
        """Draw what is missing; a checkpoint is merged first."""
        model = str(merge(self.source, self.merged)) if isinstance(self.source, Checkpoint) else self.source
        fixed = {"revision": self.commit, "tokenizer_revision": self.commit} if self.commit else {}
        self.evaluation.sample(model, self.template, {**engine, **fixed}, replicas)

    @property
    def merged(self) -> Path:
        return self.evaluation.folder / "model"


def read_benchmarks(args: argparse.Namespace, files: Mapping[str, Path]) -> dict[str, list[Problem]]:
    """The problems of each benchmark.

    Raises:
        ValueError: a file cannot be read, or has answers that the verifier can never find in a response.
    """
    verifier = load_verifier(args.verifier)
    problems = {name: load_benchmark(name, path) for name, path in files.items()}
    for name, found in problems.items():
        if remark := check_references(str(files[name]), found, verifier, private=name in PRIVATE):
            print(remark)
    return problems


def open_targets(args: argparse.Namespace, problems: Mapping[str, list[Problem]], settings: Settings) -> list[Target]:
    """The models to evaluate, the one of --model first.

    Raises:
        ValueError: there is no such model, it has no chat template, or the template does not take a problem.
    """
    engine, options = dict(args.engine), template_options(args.template_kwargs)
    sources: list[tuple[str, str | Checkpoint]] = []
    if args.model:
        sources.append((args.name or Path(args.model).resolve().name, args.model))
    if args.checkpoints:
        found, skipped = find_checkpoints(args.checkpoints)
        sources += [(checkpoint.path.name, checkpoint) for checkpoint in found]
        for reason in skipped:
            print(f"skipped {reason}")
    limited = {name: found[: args.limit] for name, found in problems.items()}
    opened = []
    for name, source in sources:
        if name in {target.name for target in opened}:
            raise ValueError(f"--name {name} is the name of a checkpoint; choose another one")
        evaluation = Evaluation(args.out / name, limited, settings)
        date = noted_settings(evaluation.folder / "settings.json").get("template_date")
        commit = None if isinstance(source, Checkpoint) else find_model(source, engine.get("revision"))
        template = ChatTemplate.open(
            str(source.tokenizer) if isinstance(source, Checkpoint) else str(engine.get("tokenizer", source)),
            options,
            datetime.date.fromisoformat(date) if date else None,
            None if "tokenizer" in engine else commit,
            bool(engine.get("trust_remote_code", False)),
        )
        for benchmark, found in limited.items():
            try:
                template.encode(messages(found[0], settings.system))
            except ValueError as error:
                raise ValueError(f"{name}, {benchmark}: {error}") from error
        opened.append(Target(name, source, evaluation, template, commit))
    return opened


def show_plan(plan: list[Target], files: Mapping[str, Path]) -> None:
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


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a model for vLLM: path or name on the hub")
    parser.add_argument("--name", help="folder of --model's results in --out (default: the last part of its name)")
    parser.add_argument("--checkpoints", type=named_path, help="folder of a verl run: every global_step_* is evaluated")
    parser.add_argument(
        "--out", required=True, type=named_path, help="folder for the results; existing ones are continued"
    )
    parser.add_argument("--data", type=named_path, help="folder with files such as aime24.jsonl and gpqa_diamond.csv")
    parser.add_argument("--benchmarks", nargs="+", action="extend", metavar="NAME[=FILE]",
                        help=f"which ones (default: those of {', '.join(BENCHMARKS)} in --data); "
                        "NAME=FILE takes a file of your own")  # fmt: skip
    parser.add_argument("--samples", type=at_least(1), default=16, help="samples for each problem")
    parser.add_argument("--temperature", type=not_negative, default=0.6)
    parser.add_argument("--top-p", type=part, default=0.95)
    parser.add_argument("--max-tokens", type=at_least(1), default=8192, help="longest response")
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument("--limit", type=at_least(1), help="only the first so many problems of each benchmark")
    parser.add_argument(
        "--system", type=utf8, default=SYSTEM_PROMPT, help="system prompt; empty for none (default: training's)"
    )
    add_template_options(parser)
    parser.add_argument("--verifier", default="math", help="math, exact, package.module:name or path/to/file.py:name")
    parser.add_argument("--no-responses", action="store_true", help="store answers and verdicts only")
    parser.add_argument("--replicas", type=at_least(1),
                        help="engines side by side (default: what the visible GPUs allow)")  # fmt: skip
    parser.add_argument("--engine", type=engine_option, action="append", default=[], metavar="KEY=VALUE",
                        help="argument of vLLM's engine, for instance tensor_parallel_size=4")  # fmt: skip
    parser.add_argument("--remove-merged", action="store_true", help="delete each merged model after its evaluation")
    parser.add_argument("--dry-run", action="store_true", help="list what would be done; loads no model")
    args = parser.parse_args()
    if not (args.model or args.checkpoints):
        parser.error("name a model by --model, or a verl run by --checkpoints")
    if args.name is not None and (Path(args.name).name != args.name or args.name in ("", "..")):
        parser.error(f"--name {args.name}: it names a folder in --out, so give letters and digits only")
    if args.temperature == 0 and args.samples > 1:
        parser.error("at temperature 0 all samples are the same; add --samples 1")
    if why := why_no_folder(args.out):
        parser.error(f"--out {args.out}: {why}")
    return args


def main() -> int:
    args = parse()
    try:
        return run(args)
    except (ValueError, EngineError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1


def run(args: argparse.Namespace) -> int:
    settings = Settings(
        samples=args.samples,
        decoding=Decoding(args.temperature, args.top_p, args.max_tokens),
        seed=args.seed,
        system=args.system,
        verifier=args.verifier,
        responses=not args.no_responses,
    )
    files, absent = choose_files(args.benchmarks, args.data)
    if absent:
        print(f"no file in {args.data}, left out: {', '.join(absent)}")
    problems = read_benchmarks(args, files)
    plan = open_targets(args, problems, settings)
    if args.dry_run:
        show_plan(plan, files)
        return 0
    engine = dict(args.engine)
    replica_devices(engine, args.replicas)
    digests = {name: problems_digest(found) for name, found in problems.items()}
    for target in plan:
        target.evaluation.begin(target.identity(engine), digests)

    summaries = {}
    for target in plan:
        if any(target.evaluation.missing().values()):
            target.sample(engine, args.replicas)
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
