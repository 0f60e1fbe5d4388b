"""The arithmetic of a run: parameters against transformers' own, memory by scaling, tokens against the schedules."""

import json
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

from recipe.sage.preflight import read_config
from sage.planning.budget import (
    GB,
    KNOWN_SHAPES,
    Layout,
    ModelShape,
    checkpoint_bytes,
    checkpoints,
    estimate_memory,
    known_shape,
    step_tokens,
)
from tests.recipe.test_settings import ROOT, config

QWEN = KNOWN_SHAPES["Qwen2.5-7B-Instruct"]
FSDP = Layout(8, 80 * GB, False, 1, 1, 20480, True, False, False, 1, 0.6)


@pytest.mark.parametrize(
    "name, kind",
    [
        ("Llama-3.2-3B-Instruct", LlamaConfig),
        ("Qwen2.5-7B-Instruct", Qwen2Config),
        ("Qwen3-4B-Instruct-2507", Qwen3Config),
        ("Qwen2.5-1.5B-Instruct", Qwen2Config),
        ("Qwen3-1.7B", Qwen3Config),
    ],
)
def test_parameters_are_those_of_transformers(name, kind):
    hf = kind(**KNOWN_SHAPES[name].to_config())
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(hf)
    assert KNOWN_SHAPES[name].parameters == pytest.approx(sum(p.numel() for p in model.parameters()), rel=1e-4)
    assert ModelShape.from_config(hf.to_dict()) == KNOWN_SHAPES[name]


def test_a_folder_is_measured_by_its_own_config(tmp_path):
    assert known_shape(str(ROOT / "examples/opchain_base")).layers == 4
    assert known_shape("meta-llama/Llama-3.2-3B-Instruct") == KNOWN_SHAPES["Llama-3.2-3B-Instruct"]
    assert known_shape("someone/else") is None
    (tmp_path / "config.json").write_text(json.dumps({"num_attention_heads": 4}))
    with pytest.raises(ValueError, match="no num_hidden_layers"):
        known_shape(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"num_experts": 128}))
    with pytest.raises(ValueError, match="mixture of experts"):
        known_shape(str(tmp_path))


def test_memory_scales_as_it_should():
    one, two = estimate_memory(QWEN, FSDP), estimate_memory(QWEN, replace(FSDP, shards=16))
    assert (one.weights, one.gradients, one.optimizer) == (2 * two.weights, 2 * two.gradients, 2 * two.optimizer)
    assert one.logits == two.logits == 2 * estimate_memory(QWEN, replace(FSDP, micro_batch_tokens=10240)).logits
    plain = estimate_memory(QWEN, replace(FSDP, checkpointing=False))
    assert plain.activations > 10 * one.activations
    assert estimate_memory(QWEN, replace(FSDP, parameters_offloaded=True, optimizer_offloaded=True)).resident == 0
    wide = estimate_memory(QWEN, replace(FSDP, engine_parallel=2))
    assert wide.cache_tokens > 2 * one.cache_tokens and wide.engine == one.engine
    assert estimate_memory(QWEN, replace(FSDP, engine_share=0.1)).cache_tokens == 0


def test_megatron_divides_by_its_parallel_ranks():
    four = replace(FSDP, megatron=True, model_parallel=4, tensor_parallel=4)
    two = replace(four, model_parallel=2, tensor_parallel=2)
    memory = estimate_memory(QWEN, four)
    assert memory.weights + memory.gradients == 6 * QWEN.parameters // 4
    assert memory.optimizer == 12 * QWEN.parameters // 8 == estimate_memory(QWEN, two).optimizer
    # why examples/run_qwen2.5-7b.sh asks for 4
    assert memory.rollout_peak < FSDP.gpu_bytes < estimate_memory(QWEN, two).rollout_peak


@pytest.mark.parametrize(
    "schedule, groups, requests",
    [
        ("grpo", 1, 0),
        ("luffy", 7 / 8, 0),
        ("fixed-2", 1, 2),
        ("sage-light", 1, 2),
        ("sage", 4, 4),
        ("sage-calibrated", 4, 4),
    ],
)
def test_tokens_follow_the_schedule(schedule, groups, requests, tmp_path):
    sage = read_config(config(tmp_path, f"sage.schedule={schedule}"))
    tokens = step_tokens(sage, prompts=16, group=8, response_length=100)
    assert tokens.trained == 16 * 8 * 100
    assert tokens.generated == groups * tokens.trained
    assert tokens.hints == 16 * requests * sage.hint_max_tokens
    assert step_tokens(sage.model_copy(update={"hint_source": "hints.jsonl"}), 16, 8, 100).hints == 0


def test_an_adapter_is_as_large_as_pefts():
    from peft import LoraConfig, get_peft_model

    shape = ModelShape(2, 64, 96, 4, 2, 16, 100, False, 64)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(LlamaConfig(**shape.to_config()))
    adapted = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear"))
    assert shape.adapter_parameters(8) == adapted.get_nb_trainable_parameters()[0]


def test_lora_keeps_gradients_moments_and_checkpoints_small():
    full, lora = estimate_memory(QWEN, FSDP), estimate_memory(QWEN, replace(FSDP, lora_rank=32))
    assert lora.gradients < full.gradients / 50 and lora.optimizer == 2 * lora.gradients
    assert full.weights < lora.weights < 1.02 * full.weights
    assert checkpoint_bytes(QWEN, FSDP) == 12 * QWEN.parameters
    assert checkpoint_bytes(QWEN, replace(FSDP, lora_rank=32)) < 4.2 * QWEN.parameters


def test_checkpoints_count_the_last_step():
    assert [checkpoints(500, 50), checkpoints(501, 50), checkpoints(500, -1)] == [10, 11, 0]


@pytest.mark.parametrize(
    "text, message",
    [
        ("[]", r"config\.json: .*; download the model again"),
        ("{", "not JSON"),
        ('{"num_attention_heads": "8"}', "its config.json has no num_attention_heads above 0"),
        ('{"num_attention_heads": 0}', "its config.json has no num_attention_heads above 0"),
    ],
)
def test_a_damaged_config_of_a_model_is_named(text, message, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        known_shape(str(tmp_path))
