"""Turn a training file into one for verl's SFT trainer: the prompt and the reference solution as chat messages.

    python -m sage.data.sft --data train.parquet --out sft.parquet

The answer is the row's ``reference_response`` where it has one, else its ``solution``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sage.data.preparation.rows import MESSAGE
from sage.data.training import check_training_files, records
from sage.support.rows import write_parquet

SCHEMA = pa.schema([("prompt_id", pa.string()), ("messages", pa.list_(MESSAGE))])


def convert(data: Sequence[str], out: str) -> tuple[int, int]:
    """Write the SFT file, as a whole or not at all; one that was written before is replaced.

    Args:
        data: training files (Parquet).
        out: the SFT file.

    Returns:
        Rows written, and rows left out because they have no solution.

    Raises:
        ValueError: a training file is bad (see `check_training_files`), there is no solution at all, or ``out`` is some
            other file.
    """
    report = check_training_files(data, needs_solutions=False)
    _check_out(Path(out))
    rows = [row for file in data for row in _rows(file)]
    if not rows:
        raise ValueError(f"{', '.join(data)}: no row has a reference_response or a solution to learn from")
    write_parquet(Path(out), rows, SCHEMA)
    return len(rows), report.rows - len(rows)


def _rows(file: str) -> Iterator[dict[str, Any]]:
    for row in records(file, ("prompt_id", "prompt", "solution", "reference_response")):
        answer = next((a for a in (row.get("reference_response"), row["solution"]) if a and a.strip()), None)
        if answer:
            turns = [{"role": turn["role"], "content": turn["content"]} for turn in row["prompt"]]
            yield {"prompt_id": row["prompt_id"], "messages": [*turns, {"role": "assistant", "content": answer}]}


def _check_out(out: Path) -> None:
    """Refuse to replace anything but an SFT file: the training file, for instance."""
    if not out.exists():
        return
    try:
        made_here = out.is_file() and pq.read_schema(out).names == SCHEMA.names
    except (pa.ArrowException, OSError):
        made_here = False
    if not made_here:
        raise ValueError(f"--out {out} exists already and is no SFT file; delete it or choose another name")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", required=True, help="training file (Parquet), or a list of them: [a.parquet,b.parquet]"
    )
    parser.add_argument("--out", required=True, help="SFT file to write (Parquet)")
    args = parser.parse_args()
    files = args.data[1:-1].split(",") if args.data.startswith("[") and args.data.endswith("]") else [args.data]
    try:
        written, left_out = convert([file.strip() for file in files], args.out)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {written} rows to {args.out}; {left_out} without a solution left out")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
