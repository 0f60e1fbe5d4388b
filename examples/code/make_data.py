"""Write the problems as a table that scripts/prepare_data.py reads: python -m examples.code.make_data --out FOLDER"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

from sage.support.arguments import output_folder

PROBLEMS = Path(__file__).with_name("problems.yaml")
ASK = "Write a Python function. {ask}\nEnd with the whole function in one block ```python ... ```."


def make_row(problem: dict[str, Any]) -> dict[str, str]:
    """A row of the table. The tests are the calls with the results that the reference gives now."""
    code = problem["code"]
    entry = problem["ask"].partition("(")[0]
    space: dict[str, Any] = {}
    exec(code, space)  # our own
    tests = []
    for call in problem["calls"]:
        try:
            result = eval(f"{entry}({call})", space)
        except ValueError:
            tests.append(f"try:\n    {entry}({call})\nexcept ValueError:\n    pass\nelse:\n    raise AssertionError")
        else:
            tests.append(f"assert {entry}({call}) == {result!r}")
    solution = f"{problem['how']}\n\n```python\n{code}```"
    return {
        "prompt_id": f"code/{entry}",
        "problem": ASK.format(ask=problem["ask"]),
        "solution": solution,
        "reference_response": solution,
        "answer": json.dumps({"entry": entry, "tests": "\n".join(tests), "reference": code}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=output_folder, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = [make_row(problem) for problem in yaml.safe_load(PROBLEMS.read_text(encoding="utf-8"))]
    parts = {
        "test": [row for place, row in enumerate(rows) if place % 5 == 4],  # easy and hard ones in both
        "train": [row for place, row in enumerate(rows) if place % 5 != 4],
    }
    for name, part in parts.items():
        text = "".join(json.dumps(row) + "\n" for row in part)
        (args.out / f"{name}.jsonl").write_text(text, encoding="utf-8")
        print(f"wrote {args.out}/{name}.jsonl, {len(part)} problems")


if __name__ == "__main__":
    main()
