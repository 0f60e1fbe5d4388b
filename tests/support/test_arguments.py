"""Options of command lines: numbers have bounds, and a file that is to be written can be."""

import argparse
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sage.support.arguments import at_least, output_file

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "nan", "inf", "1e3", "1_0", "٣", "9" * 10, "9" * 5000, "+-5"])
def test_what_is_no_count_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"must be a (whole )?number"):
        at_least(1)(text)
    assert at_least(1)("+12") == 12


def test_every_number_of_an_entry_point_has_bounds():
    files = [
        path
        for room in ("scripts", "recipe", "sage", "benchmarks", "examples/countdown", "examples/code")
        for path in (ROOT / room).rglob("*.py")
    ]
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    assert not [line for line in lines if re.search(r"type=(int|float)\b(?!, choices)", line)]


def test_a_file_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file/x.json"):
        with pytest.raises(argparse.ArgumentTypeError, match=r"is a folder|cannot be written"):
            output_file(str(path))


@pytest.mark.parametrize(
    "command, message",
    [
        ("scripts/reproduce_claims.py --json FOLDER", "--json: .* is a folder: name a file in it"),
        ("scripts/report.py FOLDER --out FOLDER/metrics.jsonl", "the name must end in .html"),
        ("scripts/report.py FOLDER --out FOLDER/r.html --data nowhere.parquet", "--data nowhere.parquet: no such file"),
        ("scripts/make_tables.py --out=", "--out: the name is empty"),
        ("scripts/simulate.py --lengths 1e308 1 1e308", "must be from 1 to"),
        ("scripts/simulate.py --slots 99999999999999999999", "at most 9 digits"),
        (
            "scripts/prepare_data.py table x.jsonl --out y.parquet --seed -1",
            "'-1' must be a whole number of at least 0",
        ),
        (
            "scripts/write_hints.py --model m --data x.parquet --out FOLDER/metrics.jsonl/h.jsonl",
            "a file has that name",
        ),
        ("-m benchmarks.driver --repetitions 0", "'0' must be a whole number of at least 1"),
        ("-m benchmarks.rollout_schedule --show FOLDER/metrics.jsonl", "--show .*metrics.jsonl: "),
        ("-m examples.countdown.make_data --out FOLDER/metrics.jsonl", "a file has that name"),
        ("-m examples.countdown.make_data --out FOLDER/data --rows -5", "'-5' must be a whole number of at least 1"),
        ("-m recipe.sage.dry_run --gpu-memory nan", "'nan' must be a number above 0"),
    ],
)
def test_a_wrong_option_is_one_sentence(command, message, tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "data": {}}\n')
    arguments = command.replace("FOLDER", str(tmp_path)).split()
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert re.search(message, done.stderr.splitlines()[-1]), done.stderr
    assert (tmp_path / "metrics.jsonl").read_text().startswith("{")
