"""Rows of files: what JSON says twice is listed, never one of both in silence."""

import argparse

import pytest

from sage.evaluation.choices import parsed
from sage.support.engine import engine_option, template_option
from sage.support.rows import Unreadable, read_lines, read_rows

GOOD = '{"problem": "a", "answer": "1"}'
TWICE = '{"problem": "a", "answer": "1", "answer": "2"}'
INSIDE = '{"problem": "a", "reward_model": {"ground_truth": "1", "ground_truth": "2"}}'


@pytest.mark.parametrize("bad, key", [(TWICE, "answer"), (INSIDE, "ground_truth")])
@pytest.mark.parametrize(
    "text",
    ["GOOD\nBAD\nGOOD\n", "[GOOD, BAD, GOOD]", "[\n  GOOD,\n  BAD,\n  GOOD\n]"],
    ids=["lines", "array", "pretty"],
)
def test_a_key_that_is_there_twice_makes_one_row_unreadable(tmp_path, text, bad, key):
    (tmp_path / "a.json").write_text(text.replace("GOOD", GOOD).replace("BAD", bad))
    first, wrong, last = read_rows(tmp_path / "a.json")
    assert first == last == {"problem": "a", "answer": "1"}
    assert isinstance(wrong, Unreadable) and f"the key {key!r} is there twice, take one out" in wrong.why
    assert "line" in wrong.why


def test_it_is_found_in_hint_files_and_first_lines_too(tmp_path):
    (tmp_path / "a.jsonl").write_text(TWICE + "\n" + GOOD + "\n")
    (_, first), (_, second) = read_lines(tmp_path / "a.jsonl")
    assert isinstance(first, Unreadable) and not isinstance(second, Unreadable)
    assert [isinstance(row, Unreadable) for row in read_rows(tmp_path / "a.jsonl")] == [True, False]


def test_it_is_found_in_options_and_in_cells():
    for read, text in ((engine_option, 'x={"a": 1, "a": 2}'), (template_option, '{"a": 1, "a": 2}')):
        with pytest.raises(argparse.ArgumentTypeError, match="'a' is there twice"):
            read(text)
    assert parsed('{"A": "one", "A": "two"}') == '{"A": "one", "A": "two"}', "a text, which is no set of options"
