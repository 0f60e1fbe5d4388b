"""Make training files in the project's format, and check them. If stopped, run the same command again.

    python scripts/prepare_data.py openr1 --tokenizer Qwen/Qwen2.5-7B-Instruct --benchmarks DIR --out train.parquet
    python scripts/prepare_data.py sage_train --benchmarks DIR --out train.parquet
    python scripts/prepare_data.py table my.jsonl --problem-column question --benchmarks DIR --out train.parquet
    python scripts/prepare_data.py fetch-benchmarks --folder DIR
    python scripts/prepare_data.py benchmarks --folder DIR --out val.parquet
    python scripts/prepare_data.py validate train.parquet --benchmarks DIR

Also writes OUT.dropped.jsonl, with every row that was left out and why, and OUT.manifest.json, with source, settings,
counts and hashes. See docs/data.md.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sage.data.preparation import adapters
from sage.data.preparation.benchmarks import write_benchmarks
from sage.data.preparation.checks import Checks, CountTokens
from sage.data.preparation.contamination import NGRAM, SHARE, ContaminationIndex
from sage.data.preparation.fetch import fetch_benchmark
from sage.data.preparation.manifest import (
    count_table,
    dropped_path,
    file_record,
    held_out_path,
    manifest_path,
    versions,
)
from sage.data.preparation.pipeline import CHUNK, Selection, parts_folder, prepare
from sage.data.preparation.rows import SYSTEM_PROMPT, Reason
from sage.data.preparation.sources import Files, Hub, Source, expand
from sage.data.preparation.validation import finding_counts, validate
from sage.data.training import check_training_files
from sage.evaluation.benchmarks import BENCHMARKS, PRIVATE, choose_files, load_benchmark
from sage.evaluation.choices import is_option_column
from sage.evaluation.problems import is_part_of_question
from sage.evaluation.references import check_references
from sage.grading.verifier import load_verifier
from sage.support.arguments import at_least, filled, named_path, output_file, share, utf8
from sage.support.files import why_no_file, why_no_folder, write_text
from sage.support.rows import open_parquet


def source_of(args: argparse.Namespace) -> tuple[Source, adapters.Adapter, list[Path]]:
    """Source, adapter and local files of a command."""
    local = args.files if args.command == "table" else args.local
    files = expand(local or [])
    if args.command == "openr1":
        adapt, needed = adapters.openr1, adapters.OPENR1_COLUMNS
        required: list[tuple[str, ...]] = [(column,) for column in needed]
        advice = f"give the Parquet files of {adapters.OPENR1}"
    else:
        columns, name = adapters.Columns(), "sage_train"
        advice = (
            "add --allow-missing-solution to keep rows without a solution, or use `table`, which lets you name columns"
        )
        if args.command == "table":
            source_column = args.data_source_column or ("" if args.data_source else None)
            columns = adapters.Columns(
                args.problem_column, args.solution_column, args.answer_column, args.id_column, source_column
            )
            name = args.data_source or files[0].stem
            advice = (
                "name the columns with --problem-column, --solution-column and so on, or add --allow-missing-solution"
            )
        adapt = adapters.table_adapter(columns, name, args.allow_missing_solution, args.verifier == "math")
        needed, required = columns.read(), columns.required(with_solution=not args.allow_missing_solution)
    if local:
        tables = [open_parquet(file).schema_arrow.names for file in files if file.suffix.lower() == ".parquet"]
        more = [name for names in tables for name in names if is_option_column(name) or is_part_of_question(name)]
        source = Files(files, [*needed, *more] if args.command != "openr1" else needed)
        source.require(required, advice)
        return source, adapt, files
    config = "default" if args.command == "openr1" else None
    return Hub(args.name, config, "train", args.revision, needed), adapt, []


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
    files, missing = choose_files(None, args.benchmarks)
    benchmarks = {name: load_benchmark(name, path) for name, path in files.items()}
    said = {name: {**file_record(path), "problems": len(benchmarks[name])} for name, path in files.items()}
    index = ContaminationIndex(benchmarks, args.ngram, args.overlap)
    return index, {
        "checked": True,
        "ngram": args.ngram,
        "overlap": args.overlap,
        "benchmarks": said,
        "missing": missing,
    }


def check_new(files: Sequence[Path]) -> None:
    """Make the folders of Parquet files that are to be written.

    Raises:
        ValueError: a file is there already, or its name does not end in .parquet.
    """
    for file in files:
        if file.suffix != ".parquet":
            raise ValueError(f"--out {file}: the name must end in .parquet")
        if file.exists():
            raise ValueError(f"--out {file} exists already; delete it or choose another name")
        if why := why_no_file(file):
            raise ValueError(f"--out: {why}")
        file.parent.mkdir(parents=True, exist_ok=True)


def run_prepare(args: argparse.Namespace) -> int:
    out: Path = args.out
    made = [out, held_out_path(out)] if args.hold_out else [out]
    check_new(made if not parts_folder(out).exists() else [])
    limit = getattr(args, "max_trace_tokens", None) or None
    if limit and not args.tokenizer:
        raise ValueError(
            "--max-trace-tokens needs --tokenizer, a model's name or folder (0 keeps traces of any length)"
        )
    if args.system_prompt is None:
        args.system_prompt = SYSTEM_PROMPT if args.verifier in ("math", "exact") else ""
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
            source, adapt, checks, out, settings, args.system_prompt,
            Selection(args.sample, args.hold_out, args.seed), progress,
        )  # fmt: skip
    skipped = [] if index else [Reason.CONTAMINATED]
    print(count_table(outcome.read, outcome.dropped, skipped))
    if not outcome.kept:
        print(f"error: no row was kept; {dropped_path(out)} says why", file=sys.stderr)
        return 1
    print(f"{outcome.without_solution} of the kept rows have no solution and can never get a hint")
    print(what_was_compared(contamination))
    written = [*made, dropped_path(out), manifest_path(out)]
    print(f"{time.perf_counter() - begin:.0f} s -> {', '.join(map(str, written))}")
    check_training_files([str(file) for file in made], needs_solutions=False)
    return 0


def what_was_compared(contamination: dict[str, Any]) -> str:
    """The extent of the contamination check in words."""
    if not contamination["checked"]:
        return "CONTAMINATION WAS NOT CHECKED: give the folder of the benchmark files with --benchmarks"
    found = ", ".join(f"{name} ({said['problems']})" for name, said in contamination["benchmarks"].items())
    missing = f"; NOT with {', '.join(contamination['missing'])}: no such file" if contamination["missing"] else ""
    return f"compared with {found}{missing}"


def run_benchmarks(args: argparse.Namespace) -> int:
    check_new([args.out])
    files, _ = choose_files(args.names, args.folder)
    if args.names is None:
        files = {name: path for name, path in files.items() if name not in PRIVATE}
    if wrong := [name for name in files if name in PRIVATE]:
        raise ValueError(f"{wrong[0]}: its authors ask that it is not copied, and training would log its questions")
    if not files:
        raise ValueError(f"{args.folder} has only {', '.join(PRIVATE)}, which is not copied; name a file by NAME=FILE")
    verifier = load_verifier(args.verifier)
    benchmarks = {name: load_benchmark(name, path) for name, path in files.items()}
    for name, problems in benchmarks.items():
        if remark := check_references(str(files[name]), problems, verifier):
            print(remark)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    system = SYSTEM_PROMPT if args.system_prompt is None else args.system_prompt
    rows = write_benchmarks(benchmarks, args.out, system)
    print("  ".join(f"{name} {len(problems)}" for name, problems in benchmarks.items()), f"= {rows} rows -> {args.out}")
    return 0


def run_fetch(args: argparse.Namespace) -> int:
    from huggingface_hub import HfApi

    if why := why_no_folder(args.folder):
        raise ValueError(f"--folder {args.folder}: {why}")
    args.folder.mkdir(parents=True, exist_ok=True)
    api, missing = HfApi(), 0
    for name in args.names or BENCHMARKS:
        try:
            print(f"{name}: {fetch_benchmark(name, args.folder, api)}", flush=True)
        except ValueError as error:
            missing += 1
            print(f"{name}: NOT THERE: {error}", file=sys.stderr)
    return int(missing > 0)


def run_validate(args: argparse.Namespace) -> int:
    if args.list and args.list.exists():
        raise ValueError(f"--list {args.list} exists already; delete it or choose another name")
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
        write_text(args.list, "".join(finding.to_line() for finding in found.findings))
    return 0 if found.good else 1


def benchmark(text: str) -> str:
    """``NAME`` of a benchmark, or ``NAME=FILE``, for argparse."""
    if "=" not in text and text not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(BENCHMARKS)}; give a file by {text}=FILE")
    return text


def add_checks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--benchmarks", type=named_path, help="folder with the benchmark files, for the contamination check"
    )
    parser.add_argument("--ngram", type=at_least(1), default=NGRAM, help="words of an n-gram")
    parser.add_argument("--overlap", type=share, default=SHARE, help="share of a benchmark problem's words that shared "
                        "n-grams must not cover; 0: no shared n-gram at all")  # fmt: skip
    parser.add_argument("--verifier", default="math", help="math, exact, package.module:name or path/to/file.py:name")


def add_prompt(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--system-prompt", type=utf8, help='system turn of the prompts; "" for none. Default: asks for '
                        "steps and a boxed answer, none with a verifier of your own")  # fmt: skip
    parser.add_argument("--out", type=named_path, required=True, help="Parquet file to write")


def add_prepare(parser: argparse.ArgumentParser, sample: int | None) -> None:
    add_checks(parser)
    add_prompt(parser)
    parser.add_argument("--sample", type=at_least(1), default=sample,
                        help=f"rows to train on at most (default {sample or 'all'})")  # fmt: skip
    parser.add_argument("--hold-out", type=at_least(0), default=0, metavar="N",
                        help="rows to split off, drawn by the seed, as a validation file OUT.val.parquet")  # fmt: skip
    parser.add_argument("--seed", type=at_least(0), default=0, help="seed of the sample and the validation file")
    parser.set_defaults(run=run_prepare)


def add_missing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--allow-missing-solution", action="store_true", help="keep these rows; they never get a hint")


def add_hub(parser: argparse.ArgumentParser, name: str, revision: str) -> None:
    parser.add_argument(
        "--local",
        nargs="+",
        action="extend",
        metavar="PATH",
        help="downloaded Parquet files or their folder, instead of the hub",
    )
    parser.add_argument("--name", default=name, help="data set on the hub")
    parser.add_argument("--revision", default=revision)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    openr1 = commands.add_parser("openr1", help="OpenR1-Math-220k with the paper's filters")
    add_hub(openr1, adapters.OPENR1, adapters.OPENR1_REVISION)
    openr1.add_argument("--tokenizer", help="model whose tokens count")
    openr1.add_argument(
        "--max-trace-tokens", type=at_least(0), default=8192, help="an accepted trace must have fewer; 0: any"
    )
    openr1.add_argument("--recheck-traces", action="store_true", help="accept traces by --verifier, not by their flags")
    add_prepare(openr1, sample=15000)

    released = commands.add_parser("sage_train", help="the training set released with the paper")
    add_hub(released, adapters.SAGE_TRAIN, "main")
    add_missing(released)
    add_prepare(released, sample=None)

    table = commands.add_parser("table", help="your own JSON, Parquet or CSV files, verl's, DAPO's or LUFFY's")
    table.add_argument("files", nargs="+")
    for option, names in (("problem", adapters.PROBLEM), ("solution", adapters.SOLUTION)):
        table.add_argument(
            f"--{option}-column",
            type=filled,
            help=f"a.b for b inside a; default: the first there of {', '.join(names)}",
        )
    table.add_argument("--answer-column", type=filled, help="default: the first there of "
                       f"{', '.join(adapters.ANSWER)}, else the \\boxed{{}} or #### of the solution")  # fmt: skip
    table.add_argument(
        "--id-column", type=filled, help=f"default: {' or '.join(adapters.PROMPT_ID)}, else an id from the text"
    )
    table.add_argument("--data-source", type=filled, help="name in the metrics; default: the file's name")
    table.add_argument(
        "--data-source-column", type=filled, help="the same, row by row; default: data_source, if there is one"
    )
    add_missing(table)
    add_prepare(table, sample=None)

    benchmarks = commands.add_parser("benchmarks", help="the benchmarks as a validation file for training")
    benchmarks.add_argument("--folder", type=named_path, help="folder with the benchmark files")
    benchmarks.add_argument(
        "--names",
        nargs="+",
        action="extend",
        type=benchmark,
        metavar="NAME[=FILE]",
        help="which ones, or files of your own, as in evaluate.py --benchmarks; default: all of the folder",
    )
    benchmarks.add_argument(
        "--verifier", default="math", help="math, exact, package.module:name or path/to/file.py:name"
    )
    add_prompt(benchmarks)
    benchmarks.set_defaults(run=run_benchmarks)

    fetch = commands.add_parser(
        "fetch-benchmarks", help="download the eight benchmarks from the hub, at fixed revisions"
    )
    fetch.add_argument("--folder", type=named_path, required=True, help="folder for the files; existing ones are kept")
    fetch.add_argument("--names", nargs="+", action="extend", choices=BENCHMARKS, help="default: all eight")
    fetch.set_defaults(run=run_fetch)

    existing = commands.add_parser("validate", help="check an existing training file")
    existing.add_argument("file", type=Path)
    existing.add_argument("--list", type=output_file, help="JSONL file for the rows that fail a check")
    add_checks(existing)
    existing.set_defaults(run=run_validate)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # halves of characters in data
    try:
        return args.run(args)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command continues from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
