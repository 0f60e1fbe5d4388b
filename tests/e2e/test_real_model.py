"""A real language model, SmolLM2-135M-Instruct: tied embeddings, weights in several buckets, in full and with LoRA."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path

import llguidance.hf
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

from sage.grading.verifier import MathVerifier
from sage.toy import smollm2
from tests.e2e.conftest import ROOT, Run, train, visits_of

REASON = smollm2.why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(1300),
    pytest.mark.skipif(REASON is not None, reason=REASON or ""),
]


class OneInThree(MathVerifier):
    """One response in three is correct: both steps have a signal, whatever the model can do."""

    def is_correct(self, response: str, answer: str) -> bool:
        return zlib.crc32(response.encode()) % 3 == 0


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("smollm2")
    smollm2.build(folder)
    return folder


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    for part in ("train", "test"):
        command = [sys.executable, "scripts/prepare_data.py", "table", f"examples/smollm2/{part}.jsonl"]
        command += ["--problem-column", "question", "--solution-column", "answer", "--data-source", "words"]
        subprocess.run([*command, "--out", str(folder / f"{part}.parquet")], cwd=ROOT, check=True)
    return folder


def test_the_format_of_answers_sees_each_token_as_its_bytes(model):
    """Else it takes a line end for a letter, and answers that are no JSON pass."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    text = "One half, \u00bd:\n\n    then 12\t\u4e2d"
    ids = tokenizer.encode(text)
    seen = llguidance.hf.from_tokenizer(tokenizer)
    assert b"".join(seen.decode_bytes([one]) for one in ids).decode() == tokenizer.decode(ids) == text


@pytest.fixture(scope="module", params=["full", "lora"])
def run(request, tmp_path_factory, model, words) -> Run:
    lora = ["actor_rollout_ref.model.lora_rank=8"] if request.param == "lora" else []
    return train(  # fails unless the run ends with status 0
        tmp_path_factory.mktemp(request.param),
        words,
        "+world=smollm2",
        f"actor_rollout_ref.model.path={model}",
        "sage.verifier=tests.e2e.test_real_model:OneInThree",
        "data.max_response_length=48",
        "sage.hint_max_tokens=96",
        "trainer.test_freq=-1",
        *lora,
    )


def test_the_folder_holds_the_model_and_its_turns(model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, loaded = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    assert tokenizer.eos_token == "<|im_end|>" and loaded.generation_config.eos_token_id == tokenizer.eos_token_id
    assert tokenizer.tokenize("\n\n25") == ["ĊĊ", "2", "5"], "digits are cut out first"
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    tokens = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = loaded.generate(**tokens, max_new_tokens=40, do_sample=False)[0, tokens["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer) and answer[-1] == tokenizer.eos_token_id


def test_both_steps_are_trained(run, words):
    known = {row["prompt_id"] for row in pq.read_table(words / "train.parquet").to_pylist()}
    assert set(run.metrics) == {1, 2}
    for step, data in run.metrics.items():
        assert data["actor/grad_norm"] > 0
        visits = visits_of(run, step).values()
        assert len(visits) == 4 and {visit.prompt_id for visit in visits} <= known
        assert not any(visit.failures and not visit.groups for visit in visits)


def test_the_engine_has_the_actors_weights(run):
    """In float32; in step 2 the engine has the weights of an update, which came in several buckets."""
    for step, data in run.metrics.items():
        seen = [value for key, value in data.items() if key.startswith("sage/rollout_probs_diff_max/")]
        assert seen and max(seen) < 1e-3, step
