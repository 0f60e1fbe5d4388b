"""The worked example of another domain, as its README has it."""

import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hydra import compose, initialize_config_dir
from transformers import AutoTokenizer

from examples.countdown import make_data
from examples.countdown.verifier import CountdownVerifier
from recipe.sage import preview
from recipe.sage.encoding import encode_messages
from sage.hints.leak import find_leaks
from sage.method.schedule import Outlook, load_schedule

ROOT = Path(__file__).parents[2]
VERIFIER = CountdownVerifier()


@pytest.mark.parametrize("text", ["(4 + 2) * 8 / 2", "4*(8-2)", "1/0", "__import__('os')", "4**2+8", "", "(" * 500])
def test_other_expressions_are_wrong(text):
    assert not VERIFIER.same_answer(text, "24: 4 6 8 2")


def test_any_right_expression_is_correct():
    for text in ("(4 + 6 + 2) * (8 / 4)", "4 * 6 * (8 / (2 * 4))"):
        assert not VERIFIER.same_answer(text, "24: 4 6 8 2"), "4 is used twice"
    assert VERIFIER.is_correct("Try 6 * 8. <answer>6 * 8 / (4 - 2)</answer>", "24: 4 6 8 2")
    assert VERIFIER.is_correct("<answer>1</answer> no: <answer>(8 - 4) * 6 * 1</answer>", "24: 4 6 8 1")


def test_the_leak_guard_asks_this_verifier():
    for hint in ("The answer is 6*8/(4-2).", "Look at $8*6/(4-2)$ again"):
        assert find_leaks(hint, "24: 4 6 8 2", VERIFIER)
    assert not find_leaks("The first operation is 6*8.", "24: 4 6 8 2", VERIFIER)


def test_the_schedule_is_found_by_its_path():
    schedule = load_schedule("examples.countdown.schedule:ZeroThenTop")(max_level=3)
    assert schedule.plan(None, Outlook()) == (0, 3)


def test_the_preview_shows_what_the_model_reads(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["make_data", "--out", str(tmp_path), "--rows", "20"])
    make_data.main()
    arguments = [f"data.train_files={tmp_path}/train.parquet", f"data.val_files={tmp_path}/val.parquet"]
    arguments += ["sage.verifier=examples.countdown.verifier:CountdownVerifier"]
    arguments += ["sage.prompts=examples/countdown/prompts.yaml"]
    arguments += ["actor_rollout_ref.rollout.max_model_len=256", "data.train_batch_size=16"]
    with initialize_config_dir(str(ROOT / "recipe/sage/config"), version_base=None):
        preview.main(compose("tiny_cpu", [*arguments, "sage.schedule=examples.countdown.schedule:ZeroThenTop"]))
        text = capsys.readouterr().out
        preview.main(compose("tiny_cpu", [*arguments, "method=luffy"]))
        luffy = capsys.readouterr().out
    assert "-- reference: 20 rows" in luffy and "-- reference" not in text and "hinted" not in luffy
    assert text.count("== countdown/train/") == 2 and text.count("-- plain:") == 3
    assert "<|user|>Use " in text and "A hint: (the hint)<|end|><|assistant|>" in text and "strength 1" in text
    plain = text.split("-- plain: ")[1].split("\n-- hint request")[0]
    length, rendered = plain.split("\n", 1)
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "examples/opchain_base")
    row = pq.read_table(tmp_path / "train.parquet").to_pylist()[0]
    ids = encode_messages(tokenizer, row["prompt"], {})
    assert tokenizer.decode(ids) == rendered and int(length.split()[0]) == len(ids), "as the rollout worker encodes it"
    assert (
        "== all 20 rows" in text
        and "20 too long, which data.filter_overlong_prompts=true leaves out; else the run is refused" in text
    )
