"""Make training files in the project's format, and check them; a run that was stopped is gone on with.

    python scripts/prepare_data.py openr1 --tokenizer Qwen/Qwen2.5-7B-Instruct --benchmarks DIR --out train.parquet
    python scripts/prepare_data.py sage_train --benchmarks DIR --out train.parquet
    python scripts/prepare_data.py table my.jsonl --problem-column question --benchmarks DIR --out train.parquet
    python scripts/prepare_data.py benchmarks --folder DIR --out val.parquet
    python scripts/prepare_data.py validate train.parquet --benchmarks DIR

Beside OUT.parquet: OUT.dropped.jsonl, every row that is not in it and why, and OUT.manifest.json: source, settings,
counts and hashes. See docs/data.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sage.data.preparation import adapters
from sage.data.preparation.benchmarks import write_benchmarks
from sage.data.preparation.checks import Checks, CountTokens
from sage.data.preparation.contamination import NGRAM, SHARE, BenchmarkFiles, ContaminationIndex
from sage.data.preparation.manifest import count_table, dropped_path, file_record, manifest_path, versions
from sage.data.preparation.pipeline import CHUNK, prepare
from sage.data.preparation.rows import SYSTEM_PROMPT, Reason
from sage.data.preparation.sources import Files, Hub, Source, expand
from sage.data.preparation.validation import finding_counts, validate
from sage.data.training import check_training_files
from sage.evaluation.benchmarks import BENCHMARKS, PRIVATE
from sage.grading.verifier import load_verifier


def source_of(args: argparse.Namespace) -> tuple[Source, adapters.Adapter, list[Path]]:
    """Source, adapter and local files of a command."""
    if args.command == "table":
        columns = adapters.Columns(
            args.problem_column, args.solution_column, args.answer_column, args.id_column, args.data_source_column
        )
        files = expand(args.files)
        wanted = [columns.problem, columns.answer, columns.prompt_id, columns.data_source]
        if not args.allow_missing_solution:
            wanted.append(columns.solution)
        Files(files).require(
            [column for column in wanted if column],
            "name the columns with --problem-column, --solution-column and so on, or add --allow-missing-solution",
        )
        name = args.data_source or files[0].stem
        return Files(files), adapters.table_adapter(columns, name, args.allow_missing_solution), files
    if args.command == "openr1":
        adapt, needed = adapters.openr1, adapters.OPENR1_COLUMNS
    else:
        adapt, needed = adapters.sage_train, adapters.SAGE_TRAIN_COLUMNS
    if args.local:
        files = expand(args.local)
        if args.command == "openr1":
            Files(files).require(needed, f"give the Parquet files of {adapters.OPENR1}")
        return Files(files, needed), adapt, files
    return Hub(args.name, args.config, args.split, args.revision, needed), adapt, []


def token_counter(name: str) -> CountTokens:
    """Lengths by a model's tokenizer."""
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()  # it warns of every text that is longer than the model's context
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ValueError(f"--tokenizer {name}: {error}") from error
    if tokenizer.is_fast:  # half the time of a call: no offsets, no lists in Python
        encode = tokenizer.backend_tokenizer.encode_batch_fast
        return lambda text: len(encode([text], add_special_tokens=False)[0])
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])


def contamination_of(args: argparse.Namespace) -> tuple[ContaminationIndex | None, dict[str, Any]]:
    """The index, and what the manifest says of it."""
    if args.benchmarks is None:
        return None, {"checked": False, "why_not": "--benchmarks was not given"}
    files = BenchmarkFiles.of(args.benchmarks)
    benchmarks = files.load()
    said = {name: {**file_record(files.found[name]), "problems": len(benchmarks[name])} for name in benchmarks}
    index = ContaminationIndex(benchmarks, args.ngram, args.overlap)
    return index, {
        "checked": True,
        "ngram": args.ngram,
        "overlap": args.overlap,
        "benchmarks": said,
        "missing": list(files.missing),
    }


def run_prepare(args: argparse.Namespace) -> int:
    """Prepare a training file."""
    out: Path = args.out
    if out.suffix != ".parquet":
        raise ValueError(f"--out {out}: the name must end in .parquet")
    if out.exists() and not out.with_name(out.name + ".parts").exists():
        raise ValueError(f"--out {out} exists already; delete it or choose another name")
    out.parent.mkdir(parents=True, exist_ok=True)
    limit = getattr(args, "max_trace_tokens", None) or None
    if limit and not args.tokenizer:
        raise ValueError(
            "--max-trace-tokens needs --tokenizer, a model's name or folder (0 keeps traces of any length)"
        )
    begin = time.perf_counter()
    source, adapt, files = source_of(args)
    index, contamination = contamination_of(args)
    settings = {
        "source": source.describe(),
        "inputs": [file_record(file) for file in files],
        "settings": {k: v for k, v in sorted(vars(args).items()) if k not in ("out", "benchmarks", "run")}
        | {"chunk": CHUNK},
        "contamination": contamination,
        "versions": versions(),
    }
    checks = Checks(
        load_verifier(args.verifier),
        index,
        limit,
        token_counter(args.tokenizer) if limit else None,
        getattr(args, "recheck_traces", False),
    )
    with tqdm(total=source.total, unit="row", mininterval=1.0) as bar:
        kept = 0

        def progress(read: int, more: int) -> None:
            nonlocal kept
            kept += more
            bar.set_postfix(kept=kept, refresh=False)
            bar.update(read)

        outcome = prepare(
            source, adapt, checks, out, settings, args.system_prompt, args.sample, args.seed, progress
        )  # fmt: skip
    skipped = [] if index else [Reason.CONTAMINATED]
    print(count_table(outcome.read, outcome.dropped, skipped))
    print(f"{outcome.without_solution} of the kept rows have no solution and can never get a hint")
    print(what_was_compared(contamination))
    print(f"{time.perf_counter() - begin:.0f} s -> {out}, {dropped_path(out)}, {manifest_path(out)}")
    if not outcome.kept:
        print(f"error: no row was kept; {dropped_path(out)} says why", file=sys.stderr)
        return 1
    check_training_files([str(out)], needs_solutions=False)
    return 0


def what_was_compared(contamination: dict[str, Any]) -> str:
    """The extent of the contamination check in words."""
    if not contamination["checked"]:
        return "CONTAMINATION WAS NOT CHECKED: give the folder of the benchmark files with --benchmarks"
    found = ", ".join(f"{name} ({said['problems']})" for name, said in contamination["benchmarks"].items())
    missing = f"; NOT with {', '.join(contamination['missing'])}: no such file" if contamination["missing"] else ""
    return f"compared with {found}{missing}"


def run_benchmarks(args: argparse.Namespace) -> int:
    """Write the benchmarks as a validation file."""
    files = BenchmarkFiles.of(args.folder)
    wanted = args.names or [name for name in files.found if name not in PRIVATE]
    if wrong := [name for name in wanted if name in PRIVATE]:
        raise ValueError(f"{wrong[0]}: its authors ask that it is not copied, and training would log its questions")
    if absent := [name for name in wanted if name not in files.found]:
        raise ValueError(f"{args.folder} has no file of {', '.join(absent)}; it has {', '.join(files.found)}")
    benchmarks = files.load(wanted)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    rows = write_benchmarks(benchmarks, args.out, args.system_prompt)
    print("  ".join(f"{name} {len(problems)}" for name, problems in benchmarks.items()), f"= {rows} rows -> {args.out}")
    return 0


def run_validate(args: argparse.Namespace) -> int:
    """Check an existing file."""
    index, contamination = contamination_of(args)
    found = validate(args.file, Checks(load_verifier(args.verifier), index))
    for fault in found.faults[:20]:
        print(fault)
    if len(found.faults) > 20:
        print(f"... and {len(found.faults) - 20} more")
    print(count_table(found.rows, finding_counts(found.findings), [] if index else [Reason.CONTAMINATED]))
    print(f"{len(found.faults)} rows would keep training from starting")
    print(f"{found.without_solution} rows have no solution and can never get a hint")
    print(what_was_compared(contamination))
    print(found.manifest)
    if args.list:
        lines = [json.dumps(finding.to_json(), ensure_ascii=False) + "\n" for finding in found.findings]
        args.list.write_text("".join(lines), encoding="utf-8")
    return 0 if found.good else 1


def add_checks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--benchmarks", type=Path, help="folder with the benchmark files, for the contamination check")
    parser.add_argument("--ngram", type=int, default=NGRAM, help="words of an n-gram")
    parser.add_argument("--overlap", type=float, default=SHARE, help="share of a benchmark problem's words that shared "
                        "n-grams must not cover; 0: no shared n-gram at all")  # fmt: skip
    parser.add_argument("--verifier", default="math", help="math, exact, or package.module:name, as in sage.verifier")


def add_prompt(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--system-prompt", default=SYSTEM_PROMPT, help='system turn of the prompts; "" for none')
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")


def add_prepare(parser: argparse.ArgumentParser, sample: int | None) -> None:
    add_checks(parser)
    add_prompt(parser)
    parser.add_argument("--sample", type=int, default=sample, help=f"rows to keep at most (default {sample or 'all'})")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.set_defaults(run=run_prepare)


def add_hub(parser: argparse.ArgumentParser, name: str, config: str | None, revision: str) -> None:
    parser.add_argument(
        "--local", nargs="+", metavar="PATH", help="downloaded Parquet files or their folder, not the hub"
    )
    parser.add_argument("--name", default=name, help="data set on the hub")
    parser.add_argument("--config", default=config)
    parser.add_argument("--split", default="train")
    parser.add_argument("--revision", default=revision)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    openr1 = commands.add_parser("openr1", help="OpenR1-Math-220k with the paper's filters")
    add_hub(openr1, adapters.OPENR1, "default", adapters.OPENR1_REVISION)
    openr1.add_argument("--tokenizer", help="model whose tokens count")
    openr1.add_argument("--max-trace-tokens", type=int, default=8192, help="an accepted trace must have fewer; 0: any")
    openr1.add_argument("--recheck-traces", action="store_true", help="accept traces by --verifier, not by their flags")
    add_prepare(openr1, sample=15000)

    released = commands.add_parser("sage_train", help="the training set released with the paper")
    add_hub(released, adapters.SAGE_TRAIN, None, "main")
    add_prepare(released, sample=None)

    table = commands.add_parser("table", help="your own JSONL, Parquet or CSV files")
    table.add_argument("files", nargs="+")
    table.add_argument("--problem-column", default="problem")
    table.add_argument("--solution-column", default="solution")
    table.add_argument(
        "--answer-column", help=r"default: answer if there is one, else the \boxed{} or #### of the solution"
    )
    table.add_argument("--id-column", help="default: an id from the problem's text")
    table.add_argument("--data-source", help="splits the metrics; default: the file's name")
    table.add_argument("--data-source-column", help="the same, row by row")
    table.add_argument("--allow-missing-solution", action="store_true", help="keep such rows: they never get a hint")
    add_prepare(table, sample=None)

    benchmarks = commands.add_parser("benchmarks", help="the benchmarks as a validation file for training")
    benchmarks.add_argument("--folder", type=Path, required=True, help="folder with the benchmark files")
    benchmarks.add_argument("--names", nargs="+", choices=BENCHMARKS, help="default: all that are there")
    add_prompt(benchmarks)
    benchmarks.set_defaults(run=run_benchmarks)

    existing = commands.add_parser("validate", help="check an existing training file")
    existing.add_argument("file", type=Path)
    existing.add_argument("--list", type=Path, help="JSONL file for the rows that were found wanting")
    add_checks(existing)
    existing.set_defaults(run=run_validate)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    try:
        return args.run(args)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
