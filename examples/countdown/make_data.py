"""Write training and validation files of the numbers game: python -m examples.countdown.make_data --out FOLDER"""

from __future__ import annotations

import argparse
import random
from typing import Any

from sage.support.arguments import at_least, output_folder
from sage.support.rows import write_parquet

ASK = "Use {numbers}, each exactly once, with + - * / and parentheses, to make {target}. End with <answer>...</answer>."


def make_row(rng: random.Random, index: int, split: str) -> dict[str, Any]:
    """One solvable problem with a reference solution."""
    while True:
        numbers = [rng.randint(1, 20) for _ in range(4)]
        text, value = str(numbers[0]), numbers[0]
        for number in numbers[1:]:
            sign = rng.choice("+-*")
            text = f"({text} {sign} {number})"
            value = {"+": value + number, "-": value - number, "*": value * number}[sign]
        if 0 < value <= 200:
            break
    problem = ASK.format(numbers=", ".join(map(str, sorted(numbers))), target=value)
    return {
        "prompt_id": f"countdown/{split}/{index}",
        "data_source": "countdown",
        "prompt": [{"role": "user", "content": problem}],
        "problem": problem,
        "solution": text[1:-1],
        "reference_response": f"<answer>{text[1:-1]}</answer>",
        "reward_model": {"style": "rule", "ground_truth": f"{value}: {' '.join(map(str, numbers))}"},
        "extra_info": {"split": split, "index": index},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=output_folder, required=True)
    parser.add_argument("--rows", type=at_least(1), default=2000)
    args = parser.parse_args()
    for split, count in (("train", args.rows), ("val", 200)):
        rng = random.Random(split)
        write_parquet(args.out / f"{split}.parquet", [make_row(rng, i, split) for i in range(count)])
    print(f"wrote {args.out}/train.parquet and {args.out}/val.parquet")


if __name__ == "__main__":
    main()
