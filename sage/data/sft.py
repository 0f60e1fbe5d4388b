"""Turn a training file into one for verl's SFT trainer: the prompt and the reference solution as chat messages.

    python -m sage.data.sft --data train.parquet --out sft.parquet

The answer is the row's ``reference_response`` where it has one, else its ``solution``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from sage.data.training import check_training_files


def convert(data: Sequence[str], out: str) -> tuple[int, int]:
    """Write the SFT file.

    Args:
        data: training files (Parquet).
        out: the SFT file.

    Returns:
        Rows written, and rows left out because they have no solution.

    Raises:
        ValueError: a training file is bad (see `check_training_files`), or has no solution at all.
    """
    report = check_training_files(data, needs_solutions=True)
    rows = [
        {"prompt_id": row["prompt_id"], "messages": [*row["prompt"], {"role": "assistant", "content": answer}]}
        for file in data
        for row in pq.read_table(file).to_pylist()
        if (answer := row.get("reference_response") or row["solution"])
    ]
    pq.write_table(pa.Table.from_pylist(rows), out)
    return len(rows), report.rows - len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", required=True, help="training file (Parquet), or a list of them: [a.parquet,b.parquet]"
    )
    parser.add_argument("--out", required=True, help="SFT file to write (Parquet)")
    args = parser.parse_args()
    files = args.data[1:-1].split(",") if args.data.startswith("[") and args.data.endswith("]") else [args.data]
    written, left_out = convert([file.strip() for file in files], args.out)
    print(f"wrote {written} rows to {args.out}; {left_out} without a solution left out")


if __name__ == "__main__":
    main()
