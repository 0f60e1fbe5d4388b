"""The launch scripts: what they compose to."""

import re
from itertools import product
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from verl.trainer.ppo.core_algos import get_policy_loss_fn
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.config import FSDPActorConfig, McoreActorConfig, PolicyLossConfig

from recipe.sage import algorithm, dry_run  # noqa: F401  (registers the luffy loss)
from recipe.sage.main_sage import make_paths_absolute
from recipe.sage.settings import check_run, why_not_skip
from sage.planning.budget import KNOWN_SHAPES
from tests.recipe.launching import ROOT, composed, launch, overrides, run_of

MODELS = {"llama-3.2-3b": 8, "qwen2.5-7b": 8, "qwen3-4b": 4}
"""G of each model."""
METHODS = sorted(path.stem for path in (ROOT / "recipe/sage/config/method").glob("*.yaml"))
ENGINES = {"": "fsdp2", "_megatron": "megatron"}


def test_every_script_is_known():
    """3 models x every method x 2 engines, links to one script, and the study of hard prompts."""
    names = {f"run_{method}{engine}.sh" for method in (*METHODS, "sft") for engine in ENGINES}
    for model in MODELS:
        extra = {"run_hard_prompts.sh"} if model == "qwen3-4b" else set()
        assert {path.name for path in (ROOT / "examples" / model).glob("run_*.sh")} == names | extra


@pytest.mark.parametrize(
    "model, method, engine",
    [
        (model, method, engine)
        for model, method, engine in product(MODELS, METHODS, ENGINES)
        if model == "qwen2.5-7b" or method == "sage"
    ],
)
def test_a_script_composes_with_the_papers_settings(model, method, engine, data):
    run = run_of(data, script=f"{model}/run_{method}{engine}.sh")
    sage, _ = check_run(run)
    actor, rollout = run.actor_rollout_ref.actor, run.actor_rollout_ref.rollout
    assert sage.schedule == {"dapo": "grpo", "off-policy": "sage"}.get(method, method)
    assert sage.train_on == ("plain" if method == "off-policy" else "hinted") and run.algorithm.adv_estimator == "sage"
    assert run.algorithm.filter_groups.enable == (method == "dapo")
    assert Path(run.actor_rollout_ref.model.path).name in KNOWN_SHAPES
    assert (run.data.train_batch_size, actor.ppo_mini_batch_size, rollout.n) == (128, 64, MODELS[model])
    assert (run.data.max_prompt_length, run.data.max_response_length) == (2048, 8192)
    high = 0.2 if method == "scaf-grpo" else 0.28
    assert (actor.clip_ratio_low, actor.clip_ratio_high, actor.use_kl_loss) == (0.2, high, False)
    assert actor.optim.lr == 1e-6 and run.algorithm.norm_adv_by_std_in_grpo == (method != "luffy")
    assert actor.loss_agg_mode == ("seq-mean-token-sum-norm" if method == "luffy" else "token-mean")
    assert (run.trainer.total_training_steps, run.trainer.test_freq, run.trainer.save_freq) == (500, 50, 50)
    val = rollout.val_kwargs
    assert (val.do_sample, val.temperature, val.top_p, val.n) == (True, 0.6, 0.95, 16)
    assert actor.strategy == ENGINES[engine] == omega_conf_to_dataclass(actor).strategy
    assert omega_conf_to_dataclass(rollout).max_model_len == 10240  # verl's own classes know every key
    assert why_not_skip(run) is None, "dead groups are skipped under either engine"
    assert run.trainer.experiment_name == f"{model}_{method}{engine}"
    memory = dry_run.describe_memory(run, dry_run.load_shape(run.actor_rollout_ref.model.path), 80)
    assert "TOO" not in memory, memory


@pytest.mark.parametrize("method", ["sage", "off-policy", "fixed-2", "grpo"])
def test_the_study_of_hard_prompts(method, data):
    run = run_of(data, method, "trainer.total_training_steps=400", script="qwen3-4b/run_hard_prompts.sh")
    sage, _ = check_run(run)
    rollout = run.actor_rollout_ref.rollout
    assert sage.schedule == {"off-policy": "sage"}.get(method, method)
    assert sage.train_on == ("plain" if method == "off-policy" else "hinted")
    assert (rollout.n, run.actor_rollout_ref.actor.ppo_mini_batch_size, rollout.response_length) == (32, 32, 2048)
    assert run.trainer.total_training_steps == 400, "arguments of the caller win"
    assert run.trainer.experiment_name == f"qwen3-4b_hard-prompts_{method}"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", MODELS)
def test_sft_composes_in_verls_own_trainer(model, engine, data):
    started, _ = launch(f"{model}/run_sft{engine}.sh", data, DRY_RUN="1")
    assert started[:2] == ["-m", "verl.trainer.sft_trainer_ray"] and started[-2:] == ["--cfg", "job"]
    with initialize_config_module("verl.trainer.config", version_base=None):
        run = compose("sft_trainer_engine", started[2:-2])
    assert omega_conf_to_dataclass(run.engine).strategy == ENGINES[engine] and Path(run.model.path).name in KNOWN_SHAPES
    assert run.data.train_files == f"{data}/out/sft.parquet" and "hf_model" in run.checkpoint.save_contents
    assert run.data.max_token_len_per_gpu >= run.data.max_length
    converted, _ = launch(f"{model}/run_sft{engine}.sh", data)  # the first of the two calls
    assert converted == ["-m", "sage.data.sft", "--data", f"{data}/train.parquet", "--out", f"{data}/out/sft.parquet"]


def test_callers_win_and_their_environment_stays(data):
    keys = {"WANDB_API_KEY": "mine", "HF_HOME": "/mine", "TENSORBOARD_DIR": "/mine/tb", "PYTHONPATH": "/mine/code"}
    started, environ = launch(
        "qwen2.5-7b/run_sage.sh", data, "data.train_batch_size=64", NNODES="2", N_GPUS="4", LOGGER="[console]", **keys
    )
    run = composed([argument for argument in started[2:] if not argument.startswith("hydra.")])
    assert (run.data.train_batch_size, run.trainer.nnodes, run.trainer.n_gpus_per_node) == (64, 2, 4)
    assert run.trainer.logger == ["console"]
    assert environ["PYTHONPATH"] == f"{ROOT}:/mine/code"
    assert {key: environ[key] for key in keys if key != "PYTHONPATH"} == {
        k: v for k, v in keys.items() if k != "PYTHONPATH"
    }
    _, environ = launch("qwen2.5-7b/run_sage.sh", data)
    ours = {"PYTHONPATH", "TENSORBOARD_DIR", "VERL_FILE_LOGGER_PATH"}
    given = {"PATH", "PYTHON", "TRAIN_FILE", "VAL_FILE", "OUTPUT_DIR", "PWD", "SHLVL", "OLDPWD", "_"}
    assert set(environ) - given == ours, "nothing else is set, least of all an empty key"


def test_relative_paths_become_absolute(data, monkeypatch):
    """Ray's workers need not run where the script was started."""
    monkeypatch.chdir(data)
    run = run_of(data, script="qwen2.5-7b/run_grpo.sh")
    relative = composed(overrides("qwen2.5-7b/run_grpo.sh", data, TRAIN_FILE="train.parquet", OUTPUT_DIR="out"))
    assert relative.data.train_files == run.data.train_files == f"{data}/train.parquet"
    assert relative.trainer.default_local_dir == f"{data}/out/checkpoints"
    (data / "mine.py").touch()
    relative = composed(overrides("qwen2.5-7b/run_grpo.sh", data, "sage.verifier=mine.py:V", "sage.schedule=sage"))
    make_paths_absolute(relative)
    assert (relative.sage.verifier, relative.sage.schedule) == (f"{data}/mine.py:V", "sage")
    several = composed(overrides("qwen2.5-7b/run_grpo.sh", data, TRAIN_FILE="[/a.parquet,/b.parquet]"))
    assert several.data.train_files == ["/a.parquet", "/b.parquet"]


def test_a_resumed_run_keeps_the_metrics_so_far(data, tmp_path):
    _, first = launch("qwen2.5-7b/run_grpo.sh", data, OUTPUT_DIR=str(tmp_path))
    assert first["VERL_FILE_LOGGER_PATH"] == f"{tmp_path}/metrics.jsonl"
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    _, second = launch("qwen2.5-7b/run_grpo.sh", data, OUTPUT_DIR=str(tmp_path))
    assert second["VERL_FILE_LOGGER_PATH"] not in ("", first["VERL_FILE_LOGGER_PATH"])


@pytest.mark.parametrize(
    "script, arguments, environ, message",
    [
        ("qwen2.5-7b/run_sage.sh", (), {"ENGINE": "deepspeed"}, "must be fsdp or megatron"),
        ("launch.sh", (), {}, "run a link in a model's folder"),
        ("qwen3-4b/run_hard_prompts.sh", (), {}, "usage: .* METHOD"),
        ("qwen3-4b/run_hard_prompts.sh", ("data.seed=1",), {}, "usage: .* METHOD"),
    ],
)
def test_a_wrong_call_of_a_script_is_named(script, arguments, environ, message, data):
    status, text = launch(script, data, *arguments, **environ)
    assert status != 0
    assert re.search(message, text), text


@pytest.mark.parametrize("mode", ["vanilla", "luffy"])
def test_the_loss_is_the_same_under_megatron(mode):
    """verl computes it from the same fields in both engines, so that padding rows stand for dead groups in both."""
    actors = [
        kind(rollout_n=2, use_dynamic_bsz=True, policy_loss=PolicyLossConfig(loss_mode=mode), **strategy)
        for kind, strategy in ((FSDPActorConfig, {"strategy": "fsdp2"}), (McoreActorConfig, {}))
    ]
    generator = torch.Generator().manual_seed(0)
    fields = {name: torch.randn(4, 6, generator=generator) for name in ("old_log_prob", "log_prob", "advantages")}
    fields["response_mask"] = torch.rand(4, 6, generator=generator) > 0.3
    info = {"dp_size": 2, "batch_num_tokens": 40, "global_batch_size": 8, "loss_scale_factor": None}
    losses = []
    for actor in actors:
        actor.global_batch_info.update(info)
        losses.append(get_policy_loss_fn(mode)(**fields, loss_agg_mode="token-mean", config=actor)[0])
    assert losses[0] == losses[1]


def test_the_embedded_world_on_a_gpu_differs_in_its_devices_only():
    cpu, gpu = (OmegaConf.to_container(composed(more, "tiny_cpu")) for more in ([], ["+device=cuda"]))
    assert (cpu["trainer"].pop("device"), gpu["trainer"].pop("device")) == ("cpu", "cuda")
    engines = [run["actor_rollout_ref"]["rollout"].pop("engine_kwargs")["vllm"] for run in (cpu, gpu)]
    assert [engine["distributed_executor_backend"] for engine in engines] == ["uni", "mp"]
    memory = [run["actor_rollout_ref"]["rollout"].pop("gpu_memory_utilization") for run in (cpu, gpu)]
    assert memory[1] < 0.1 and cpu == gpu
