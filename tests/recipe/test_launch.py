"""The launch scripts: what they compose to."""

import os
import re
import subprocess
import sys
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
from recipe.sage.preflight import check_run
from recipe.sage.preflight.describe import why_not_skip
from recipe.sage.preflight.rules import Run
from sage.planning.budget import KNOWN_SHAPES
from tests.recipe.launching import ROOT, SAME_SCHEDULE, composed, launch, overrides, run_of

MODELS = {"llama-3.2-3b": 8, "qwen2.5-7b": 8, "qwen3-4b": 4}
"""G of each model."""
METHODS = sorted(path.stem for path in (ROOT / "recipe/sage/config/method").glob("*.yaml"))
ENGINES = {"": "fsdp2", "_megatron": "megatron"}


BACKEND = {"": "", "_megatron": " backend=megatron"}
"""The argument that chooses an engine."""


def test_every_script_is_known():
    """One a model, no links, and all say the same settings but what belongs to a model."""
    names = {path.name for path in (ROOT / "examples").glob("run_*.sh")}
    assert {f"run_{model}.sh" for model in MODELS} < names
    assert not [path for path in (ROOT / "examples").rglob("*") if path.is_symlink()]
    lines = [set((ROOT / f"examples/run_{model}.sh").read_text().splitlines()) for model in MODELS]
    shared = set.intersection(*lines)
    for model, own in zip(MODELS, lines, strict=True):
        stated = [line.split("#")[0].strip() for line in own - shared if "=" in line.split("#")[0]]
        keys = {line.split("=")[0] for line in stated if not line.startswith("HARD_PROMPTS")}
        study = {
            "actor_rollout_ref.actor.ppo_mini_batch_size",
            "data.max_response_length",
            "trainer.total_training_steps",
        }
        assert keys - (study if model == "qwen3-4b" else set()) == {
            "MODEL",
            "actor_rollout_ref.rollout.n",
            "tensor_model_parallel_size",
        }


@pytest.mark.parametrize(
    "model, method, engine",
    [
        (model, method, engine)
        for model, method, engine in product(MODELS, METHODS, ENGINES)
        if model == "qwen2.5-7b" or method == "sage"
    ],
)
def test_a_script_composes_with_the_papers_settings(model, method, engine, data):
    run = run_of(data, script=f"run_{model}.sh method={method}{BACKEND[engine]}")
    sage, _ = check_run(run)
    actor, rollout = run.actor_rollout_ref.actor, run.actor_rollout_ref.rollout
    assert sage.schedule == SAME_SCHEDULE.get(method, method)
    assert sage.train_on == ("plain" if method in ("off-policy", "guide") else "hinted")
    assert run.algorithm.adv_estimator == "sage"
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
    learns = "sage.distill_weight=1.0" if method == "opsd" else None  # from groups of equal rewards too
    assert why_not_skip(run) == learns, "other dead groups are skipped under either engine"
    assert run.trainer.experiment_name == f"{model}_{method}{engine}"
    _, shortages = dry_run.describe_memory(run, dry_run.load_shape(run.actor_rollout_ref.model.path), 80)
    assert not shortages


@pytest.mark.parametrize("method", ["sage", "off-policy", "fixed-2", "grpo"])
def test_the_study_of_hard_prompts(method, data):
    run = run_of(
        data, "study=hard-prompts", "trainer.total_training_steps=400", script=f"run_qwen3-4b.sh method={method}"
    )
    sage, _ = check_run(run)
    rollout = run.actor_rollout_ref.rollout
    assert sage.schedule == {"off-policy": "sage"}.get(method, method)
    assert sage.train_on == ("plain" if method == "off-policy" else "hinted")
    assert (rollout.n, run.actor_rollout_ref.actor.ppo_mini_batch_size, rollout.response_length) == (32, 32, 2048)
    assert run.trainer.total_training_steps == 400, "arguments of the caller win"
    assert run.trainer.experiment_name == f"qwen3-4b_hard-prompts_{method}"


@pytest.mark.parametrize("length, response, model_length, shared", [("16k", 16384, 18432, 1), ("32k", 30720, 32768, 2)])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", MODELS)
def test_long_responses_are_one_switch(model, engine, length, response, model_length, shared, data):
    run = run_of(data, f"length={length}", script=f"run_{model}.sh method=sage{BACKEND[engine]}")
    check_run(run)
    rollout = omega_conf_to_dataclass(run.actor_rollout_ref.rollout)
    assert (rollout.response_length, rollout.max_model_len) == (response, model_length)
    assert Run(run).sharing[1] == shared and model_length <= shared * rollout.log_prob_max_token_len_per_gpu
    assert run.trainer.experiment_name == f"{model}_{length}_sage{engine}"
    _, shortages = dry_run.describe_memory(run, dry_run.load_shape(run.actor_rollout_ref.model.path), 80)
    assert not shortages


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", MODELS)
def test_sft_composes_in_verls_own_trainer(model, engine, data):
    started, _ = launch(f"run_{model}.sh method=sft{BACKEND[engine]}", data, DRY_RUN="1")
    assert started[:2] == ["-m", "verl.trainer.sft_trainer_ray"] and started[-2:] == ["--cfg", "job"]
    with initialize_config_module("verl.trainer.config", version_base=None):
        run = compose("sft_trainer_engine", started[2:-2])
    assert omega_conf_to_dataclass(run.engine).strategy == ENGINES[engine] and Path(run.model.path).name in KNOWN_SHAPES
    assert run.data.train_files == f"{data}/out/sft.parquet" and "hf_model" in run.checkpoint.save_contents
    assert run.data.max_token_len_per_gpu >= run.data.max_length
    converted, _ = launch(f"run_{model}.sh method=sft{BACKEND[engine]}", data)  # the first of the two calls
    assert converted == ["-m", "sage.data.sft", "--data", f"{data}/train.parquet", "--out", f"{data}/out/sft.parquet"]


@pytest.mark.parametrize(
    "script, arguments",
    [
        ("run_llama-3.2-3b.sh", ()),
        ("run_qwen2.5-7b.sh", ("method=dapo", "backend=megatron", "sage.prompts=a=b")),
        ("run_qwen3-4b.sh", ("study=hard-prompts",)),
        ("run_qwen3-4b.sh", ("data.train_batch_sizes=64",)),
        ("run_one_gpu.sh", ("gpu=24g",)),
        ("run.sh Qwen/Qwen3-1.7B", ("method=sft",)),
    ],
)
def test_what_a_script_starts_itself_says_what_it_says_here(script, arguments, data):
    """Of the tests of the launch scripts, these start the check and the choice for a GPU as processes."""
    started, here = (launch(script, data, *arguments, as_a_user=own, DRY_RUN="1") for own in (True, False))
    assert started[0] == here[0] and (started[0] != 2 or started[1] == here[1])


def test_callers_win_and_their_environment_stays(data):
    keys = {"WANDB_API_KEY": "mine", "HF_HOME": "/mine", "TENSORBOARD_DIR": "/mine/tb", "PYTHONPATH": "/mine/code"}
    started, environ = launch(
        "run_qwen2.5-7b.sh method=sage",
        data,
        "data.train_batch_size=64",
        NNODES="2",
        N_GPUS="4",
        LOGGER="[console]",
        **keys,
    )
    run = composed([argument for argument in started[2:] if not argument.startswith("hydra.")])
    assert (run.data.train_batch_size, run.trainer.nnodes, run.trainer.n_gpus_per_node) == (64, 2, 4)
    assert run.trainer.logger == ["console"]
    assert environ["PYTHONPATH"] == f"{ROOT}:/mine/code"
    assert {key: environ[key] for key in keys if key != "PYTHONPATH"} == {
        k: v for k, v in keys.items() if k != "PYTHONPATH"
    }
    _, environ = launch("run_qwen2.5-7b.sh method=sage", data)
    ours = {"PYTHONPATH", "TENSORBOARD_DIR", "VERL_FILE_LOGGER_PATH"}
    given = {"PATH", "PYTHON", "TRAIN_FILE", "VAL_FILE", "OUTPUT_DIR", "PWD", "SHLVL", "OLDPWD", "_"}
    assert set(environ) - given == ours, "nothing else is set, least of all an empty key"


def test_relative_paths_become_absolute(data, monkeypatch):
    """Ray's workers need not run where the script was started."""
    monkeypatch.chdir(data)
    run = run_of(data, script="run_qwen2.5-7b.sh method=grpo")
    relative = composed(overrides("run_qwen2.5-7b.sh method=grpo", data, TRAIN_FILE="train.parquet", OUTPUT_DIR="out"))
    assert relative.data.train_files == run.data.train_files == f"{data}/train.parquet"
    assert relative.trainer.default_local_dir == f"{data}/out/checkpoints"
    (data / "mine.py").touch()
    relative = composed(
        overrides("run_qwen2.5-7b.sh method=grpo", data, "sage.verifier=mine.py:V", "sage.schedule=sage")
    )
    make_paths_absolute(relative)
    assert (relative.sage.verifier, relative.sage.schedule) == (f"{data}/mine.py:V", "sage")
    several = composed(overrides("run_qwen2.5-7b.sh method=grpo", data, TRAIN_FILE="[/a.parquet,/b.parquet]"))
    assert several.data.train_files == ["/a.parquet", "/b.parquet"]


def test_a_resumed_run_keeps_the_metrics_so_far(data, tmp_path):
    _, first = launch("run_qwen2.5-7b.sh method=grpo", data, OUTPUT_DIR=str(tmp_path))
    assert first["VERL_FILE_LOGGER_PATH"] == f"{tmp_path}/metrics.jsonl"
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    _, second = launch("run_qwen2.5-7b.sh method=grpo", data, OUTPUT_DIR=str(tmp_path))
    assert second["VERL_FILE_LOGGER_PATH"] not in ("", first["VERL_FILE_LOGGER_PATH"])


@pytest.mark.parametrize(
    "script, arguments, environ, message",
    [
        ("run_qwen2.5-7b.sh", ("backend=deepspeed",), {}, "must be fsdp or megatron"),
        ("run_qwen2.5-7b.sh", ("method=sages",), {}, "method=sages must be one of: .*sage-reliance.* sft"),
        ("run_qwen2.5-7b.sh", ("method=",), {}, "method= must be one of"),
        ("run_qwen2.5-7b.sh", ("study=hard-prompts",), {}, "in run_qwen3-4b.sh only"),
        ("run_qwen3-4b.sh", ("study=hard",), {}, "study=hard must be hard-prompts"),
        ("run_qwen3-4b.sh", ("length=64k",), {}, "length=64k must be 16k or 32k"),
        ("run_qwen3-4b.sh", ("length=16k", "method=sft"), {}, "any method but sft"),
        ("run_qwen3-4b.sh", ("study=hard-prompts", "method=sft"), {}, "any method but sft"),
        ("run_qwen3-4b.sh", ("gpu=24g", "method=sft"), {}, "gpu=24g takes any method but sft"),
        ("run_qwen3-4b.sh", (), {"N_GPUS": "abc"}, "N_GPUS=abc must be a whole number"),
        ("run_qwen3-4b.sh", (), {"NNODES": "0"}, "NNODES=0 must be a whole number"),
        ("run_qwen3-4b.sh", (), {"N_GPUS": "9" * 20}, "N_GPUS=9+ must be a whole number .* at most 6 digits"),
        ("run_qwen3-4b.sh", (), {"DRY_RUN": "dry"}, "DRY_RUN=dry must be 1 or 0"),
        ("run_qwen3-4b.sh", (), {"PREVIEW": "maybe"}, "PREVIEW=maybe must be 1 or 0"),
        ("run_qwen3-4b.sh", (), {"OUTPUT_DIR": "/dev/null/x"}, "OUTPUT_DIR=/dev/null/x: no such folder can be written"),
        ("run_qwen3-4b.sh", ("--method", "sage"), {}, "--method is no option"),
        ("run_qwen3-4b.sh", ("gpu=24gb",), {}, "gpu=24gb must be the memory of a GPU in GB, such as gpu=24g, or auto"),
        ("run_qwen3-4b.sh", (), {"PYTHON": "nowhere"}, "PYTHON=nowhere: there is no such command"),
        ("run_qwen3-4b.sh", ("data.train_batch_sizes=64",), {}, "did you mean data.train_batch_size?"),
        ("run_qwen3-4b.sh", ("sage",), {}, "'sage' is no argument: write key=value"),
        ("run_qwen3-4b.sh", ("method=sft", "optim.lrr=1"), {}, "did you mean optim.lr?"),
        ("run_one_gpu.sh", ("method=sft",), {}, "method=sft has no settings in this script"),
        ("run_one_gpu.sh", ("backend=megatron",), {}, "backend=megatron has no settings in this script"),
        ("run.sh", (), {}, "usage: .* MODEL"),
        ("run.sh", ("method=sage",), {}, "usage: .* MODEL"),
    ],
)
def test_a_wrong_call_of_a_script_is_named(script, arguments, environ, message, data, tmp_path):
    status, text = launch(script, data, *arguments, **{"OUTPUT_DIR": f"{tmp_path}/new", **environ})
    assert status != 0
    assert re.search(message, text), text
    assert len(text.splitlines()) == 1 and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "value, module",
    [(no, "main_sage") for no in ("", "0", "false", "No", "off")] + [(yes, "dry_run") for yes in ("1", "true", "YES")],
)
def test_a_switch_that_is_off_is_off(value, module, data):
    started, _ = launch("run_qwen2.5-7b.sh", data, DRY_RUN=value)
    assert started[1] == f"recipe.sage.{module}"


def test_names_and_folders_may_look_like_anything(data, tmp_path):
    keys = {"MODEL_PATH": "{a},'b'", "OUTPUT_DIR": "~/${x}", "HOME": str(tmp_path)}
    run = composed(launch("run_qwen2.5-7b.sh", data, DRY_RUN="1", **keys)[0][2:])
    assert (run.trainer.experiment_name, run.actor_rollout_ref.model.path) == ("{a},'b'_sage", "{a},'b'")
    assert run.trainer.default_local_dir == f"{tmp_path}/${{x}}/checkpoints"


@pytest.mark.parametrize(
    "environ, message",
    [
        ({"METHODS": "../.."}, "is no method"),
        ({"METHODS": "ppo"}, "method=ppo must"),
        ({"STEPS": "abc"}, "STEPS=abc must be a whole number"),
    ],
)
def test_a_mistake_leaves_the_results_of_an_earlier_run(environ, message, tmp_path):
    (tmp_path / "deep/out/sage").mkdir(parents=True)
    (tmp_path / "kept").touch()
    command = ["bash", str(ROOT / "examples/run_tiny_cpu.sh")]
    environ = {
        **os.environ,
        "OUTPUT": str(tmp_path / "deep/out"),
        "DEVICE": "cuda",
        "PYTHON": sys.executable,
        **environ,
    }
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert (tmp_path / "kept").exists() and (tmp_path / "deep/out/sage").exists()


@pytest.mark.parametrize("method", ["sage", "sft"])
def test_odd_paths_arrive_whole(method, data, tmp_path):
    folder = tmp_path / "a=b, [c] (d) 'e' é#"
    keys = {name: str(folder / name) for name in ("TRAIN_FILE", "VAL_FILE", "OUTPUT_DIR")}
    (folder / "model").mkdir(parents=True)
    given = f"trainer.project_name={folder}"
    script = f"run_qwen2.5-7b.sh method={method}"
    started, _ = launch(script, data, given, DRY_RUN="1", MODEL_PATH=str(folder / "model"), **keys)
    arguments = started[2:-2] if method == "sft" else started[2:]
    if method == "sft":
        with initialize_config_module("verl.trainer.config", version_base=None):
            run = compose("sft_trainer_engine", arguments)
        assert (run.data.train_files, run.model.path) == (f"{folder}/OUTPUT_DIR/sft.parquet", f"{folder}/model")
    else:
        run = composed(arguments)
        assert (run.data.train_files, run.data.val_files) == (f"{folder}/TRAIN_FILE", f"{folder}/VAL_FILE")
        assert run.actor_rollout_ref.model.path == f"{folder}/model"
    assert run.trainer.default_local_dir == f"{folder}/OUTPUT_DIR/checkpoints"
    assert run.trainer.project_name == str(folder)
    assert run.trainer.experiment_name == f"model_{method}"


def test_results_are_named_after_the_model(data):
    run = run_of(data, script="run.sh Qwen/Qwen3-1.7B method=dapo backend=megatron")
    assert run.trainer.experiment_name == "Qwen3-1.7B_dapo_megatron"
    assert run.actor_rollout_ref.model.path == "Qwen/Qwen3-1.7B"
    started, _ = launch("run.sh /hub/models--me--mine/snapshots/12ab/ method=grpo", data, OUTPUT_DIR="", DRY_RUN="1")
    assert f"trainer.default_local_dir={ROOT}/outputs/mine_grpo/checkpoints" in started


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


def test_the_check_of_a_gpu_machine_reports_parts_that_did_not_run(tmp_path):
    command = ["bash", str(ROOT / "examples/check_gpu.sh"), str(tmp_path / "out")]
    without = subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert without.returncode == 2 and "no NVIDIA driver" in without.stderr and not (tmp_path / "out").exists()
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 81559\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CHECK_LIMIT": "5"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    report = (tmp_path / "out/report.txt").read_text()
    assert done.returncode == 1 and report.count("\nstopped  ") == report.count("== ") - 1 == 8
