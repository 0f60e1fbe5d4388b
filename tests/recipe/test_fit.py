"""What is chosen for the sizes of a model and of its GPUs: it fits by the estimate, and a key of the caller stays."""

import json

import pytest

from recipe.sage import dry_run, fit
from recipe.sage.preflight import check_run
from sage.planning.budget import ModelShape
from tests.recipe.launching import composed, launch, overrides

LARGE = ModelShape(64, 5120, 27648, 40, 8, 128, 152064, False, 4096)
"""Of 32 B parameters."""


@pytest.mark.parametrize("model", ["Qwen/Qwen2.5-1.5B-Instruct", "Qwen/Qwen3-1.7B"])
@pytest.mark.parametrize("memory, lora", [(24, 32), (40, 0), (80, 0)])
def test_the_first_run_fits_its_gpu(model, memory, lora, data):
    run = composed(overrides(f"run_one_gpu.sh gpu={memory}g method=sage", data, MODEL_PATH=model))
    check_run(run)
    assert run.trainer.n_gpus_per_node == 1 and run.actor_rollout_ref.model.lora_rank == lora
    assert run.actor_rollout_ref.actor.optim.lr == (1e-5 if lora else 1e-6)
    assert not dry_run.describe_memory(run, dry_run.load_shape(model), memory)[1]


def test_a_dry_run_knows_the_memory_that_was_named(data, capsys):
    started, _ = launch("run_one_gpu.sh gpu=40g method=sage", data, DRY_RUN="1")
    assert started[-2:] == ["--gpu-memory", "40"]
    assert dry_run.main(started[2:]) == 0
    assert "each of 1 GPUs with 40 GB" in (text := capsys.readouterr().out) and "on 1 a100-40," in text


def test_a_model_of_any_size_gets_what_it_needs_and_callers_win(data, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LARGE.to_config()))
    run = composed(overrides(f"run.sh {tmp_path} method=sage gpu=80g", data, NNODES="2"))
    rollout = run.actor_rollout_ref.rollout
    assert (rollout.max_model_len, rollout.response_length) == (4096, 2048), "it takes no more"
    assert rollout.tensor_model_parallel_size > 1 and not run.actor_rollout_ref.model.lora_rank
    assert not dry_run.describe_memory(run, LARGE, 80)[1]
    given = ("actor_rollout_ref.rollout.tensor_model_parallel_size=8", "data.max_response_length=1024")
    run = composed(overrides(f"run.sh {tmp_path} method=sage gpu=80g", data, *given, NNODES="2"))
    assert run.actor_rollout_ref.rollout.tensor_model_parallel_size == 8 and run.data.max_response_length == 1024
    run = composed(overrides(f"run.sh {tmp_path} backend=megatron gpu=80g", data, NNODES="2"))
    assert run.actor_rollout_ref.actor.megatron.tensor_model_parallel_size == 8
    assert not dry_run.describe_memory(run, LARGE, 80)[1]


def test_what_cannot_be_chosen_is_said(data, tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps(LARGE.to_config()))
    arguments = overrides("run_qwen2.5-7b.sh", data, MODEL_PATH=str(tmp_path), N_GPUS="1")
    assert fit.main(["24g", *arguments, "--"]) == 0
    assert "nothing fits" in capsys.readouterr().err
    (tmp_path / "config.json").write_text("{}")
    assert fit.main(["24g", *arguments, "--"]) == 0
    shown = capsys.readouterr()
    assert "its config.json has no num_attention_heads" in shown.err and not shown.out
    assert fit.main(["small", *arguments, "--"]) == 2
    assert "gpu=small must be the memory of a GPU in GB, such as gpu=24g" in capsys.readouterr().err
