"""The launch scripts: run with an interpreter that prints its arguments, then composed as Hydra would compose them."""

import copy
import json
import re
import subprocess
from functools import cache
from itertools import product
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from hydra import compose, initialize_config_dir, initialize_config_module
from hydra.errors import MissingConfigException
from omegaconf import OmegaConf
from verl.trainer.ppo.core_algos import get_policy_loss_fn
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.config import FSDPActorConfig, McoreActorConfig, PolicyLossConfig

from recipe.sage import algorithm, dry_run  # noqa: F401  (registers the luffy loss)
from recipe.sage.checks import check_machine, model_parallel
from recipe.sage.main_sage import forward_environment, make_paths_absolute, name_metrics_file, write_setup
from recipe.sage.settings import check_run, why_not_skip
from sage.budget import KNOWN_SHAPES
from sage.embedded.build_data import build

ROOT = Path(__file__).parents[2]
MODELS = {"llama-3.2-3b": 8, "qwen2.5-7b": 8, "qwen3-4b": 4}
"""G of each model."""
METHODS = sorted(path.stem for path in (ROOT / "recipe/sage/config/method").glob("*.yaml"))
ENGINES = {"": "fsdp2", "_megatron": "megatron"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    build(folder, seed=0, train={"easy": 48, "medium": 48, "hard": 64}, test=4)
    return folder


def launch(script, data, *arguments, **environ):
    """Arguments and environment with which a script starts Python."""
    fake = data / "python"
    fake.write_text('#!/bin/sh\nfor a in "$@"; do printf "%s\\n" "$a"; done\necho "--environment"\nenv\n')
    fake.chmod(0o755)
    result = subprocess.run(
        ["bash", str(ROOT / "examples" / script), *arguments],
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHON": str(fake),
            "TRAIN_FILE": f"{data}/train.parquet",
            "VAL_FILE": f"{data}/test.parquet",
            "OUTPUT_DIR": f"{data}/out",
            **environ,
        },
        capture_output=True,
        text=True,
    )
    lines = result.stdout.splitlines()
    if result.returncode:
        return result.returncode, result.stderr
    cut = lines.index("--environment")
    return lines[:cut], dict(line.split("=", 1) for line in lines[cut + 1 :] if "=" in line)


def overrides(script, data, *arguments, **environ):
    started, _ = launch(script, data, *arguments, **environ)
    assert started[:2] == ["-m", "recipe.sage.main_sage"], started
    return [argument for argument in started[2:] if not argument.startswith("hydra.")]


def composed(arguments, name="sage_trainer"):
    with initialize_config_dir(str(ROOT / "recipe/sage/config"), version_base=None):
        return compose(name, arguments)


def run_of(data, *arguments, script="qwen2.5-7b/run_sage.sh"):
    return composed(overrides(script, data, *arguments))


@cache
def base(data, script):
    return run_of(data, script=script)


def changed(data, *arguments, script="qwen2.5-7b/run_sage.sh"):
    """The run of a script with values changed after composing, which is the slow part."""
    run = copy.deepcopy(base(data, script))
    run.merge_with_dotlist(list(arguments))
    return run


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
    assert actor.optim.lr == 1e-6
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
    assert converted == ["-m", "sage.sft_data", "--data", f"{data}/train.parquet", "--out", f"{data}/out/sft.parquet"]


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


MISTAKES = [
    ("actor_rollout_ref.actor.ppo_mini_batch_size=48", "must divide data.train_batch_size=128; both count prompts"),
    ("actor_rollout_ref.rollout.n=1", "a group needs at least 2 rollouts"),
    ("data.max_prompt_length=1024", "raise data.max_prompt_length or lower sage.hint_max_tokens"),
    ("data.train_files=nowhere.parquet", "nowhere.parquet does not exist; give the path of the training file"),
    ("data.val_files=nowhere.parquet", "data.val_files: nowhere.parquet does not exist"),
    ("data.val_files=examples/opchain_base/config.json", "is not a Parquet file"),
    ("data.train_batch_size=1024", "exceeds the 160 training rows: lower it"),
    ("trainer.total_epochs=1", "raise total_epochs"),
    ("sage.schedule=sagelight", "must be one of grpo"),
    ("sage.max_level=4", "must be 1, 2 or 3"),
    ("algorithm.adv_estimator=gae", "has no groups"),
    ("algorithm.adv_estimator=sages", "adv_estimator=sages is unknown: use one of .*grpo.* sage"),
    ("actor_rollout_ref.actor.policy_loss.loss_mode=ppo", "loss_mode=ppo is unknown: use one of .*luffy.* vanilla"),
    ("actor_rollout_ref.rollout.tensor_model_parallel_size=3", "=3 must divide the 28 attention heads"),
    ("actor_rollout_ref.rollout.tensor_model_parallel_size=7", "=7 must divide the 8 GPUs of trainer.nnodes=1 x"),
    ("actor_rollout_ref.hybrid_engine=false", "must divide the 0 GPUs of actor_rollout_ref.rollout.nnodes=0"),
    ("trainer.n_gpus_per_node=0", "set both to at least 1"),
    ("trainer.n_gpus_per_node=5", "rollouts .* cannot be shared by 5 data-parallel ranks"),
    (
        "actor_rollout_ref.actor.ulysses_sequence_parallel_size=3",
        "ulysses_sequence parallel sizes .* 3 GPUs, must divide the 8",
    ),
    ("actor_rollout_ref.rollout.max_model_len=8192", "8192 cuts responses off, since data.max_prompt_length=2048"),
    ("data.max_response_length=40000", "cuts responses off"),
    ("actor_rollout_ref.rollout.max_model_len=40000", "exceed the 32768 that Qwen/Qwen2.5-7B-Instruct takes"),
    ("actor_rollout_ref.actor.ppo_max_token_len_per_gpu=8192", "set it to at least 10240"),
    ("actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu=9000", "log_prob.*=9000 is shorter .* at least 10240"),
    (
        "actor_rollout_ref.model.path=/models/qwen",
        "path=/models/qwen does not exist: give a folder or a name on the hub",
    ),
    ("actor_rollout_ref.actor.strategy=megatron", "model_engine=megatron alone"),
]


@pytest.mark.parametrize("override, message", MISTAKES)
def test_a_typical_mistake_gives_a_sentence_that_says_what_to_change(override, message, data):
    with pytest.raises(ValueError, match=message):
        check_run(changed(data, override))


@pytest.mark.parametrize(
    "override, message",
    [
        ("tensor_model_parallel_size=8", "megatron.tensor_model_parallel_size=8 must divide the 28 attention heads"),
        (
            "pipeline_model_parallel_size=3",
            "tensor, pipeline and context parallel sizes .* 12 GPUs, must divide the 8 GPUs",
        ),
    ],
)
def test_a_mistake_in_megatrons_sizes(override, message, data):
    with pytest.raises(ValueError, match=message):
        check_run(
            changed(data, f"actor_rollout_ref.actor.megatron.{override}", script="qwen2.5-7b/run_sage_megatron.sh")
        )


def test_sequence_parallelism_shares_a_row(data):
    run = changed(
        data,
        "actor_rollout_ref.actor.ulysses_sequence_parallel_size=2",
        "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=5120",
    )
    check_run(run)
    assert model_parallel(run) == (2, 2)


def test_an_unknown_method_is_named_with_those_that_exist(data):
    with pytest.raises(MissingConfigException, match="sage-calibrated"):
        run_of(data, "method=ppo")


def test_a_validation_file_lacks_a_column(data, tmp_path):
    rows = pq.read_table(data / "test.parquet")
    pq.write_table(rows.drop_columns(["data_source"]), tmp_path / "val.parquet")
    with pytest.raises(ValueError, match="has no column 'data_source'"):
        check_run(changed(data, f"data.val_files={tmp_path}/val.parquet"))


@pytest.mark.parametrize(
    "script, arguments, environ, message",
    [
        (
            "run_sage.sh",
            ("trainer.logger=[console,wandb]",),
            {},
            "run wandb login, set WANDB_API_KEY or WANDB_MODE=offline",
        ),
        ("run_sage.sh", ("trainer.nnodes=2",), {}, "needs a running Ray cluster: .* set RAY_ADDRESS"),
        ("run_sage.sh", (), {}, "but this machine has 0 GPUs: set N_GPUS"),
        (
            "run_sage.sh",
            ("ray_kwargs.ray_init.num_cpus=8",),
            {"RAY_ADDRESS": "auto"},
            "set ray_kwargs.ray_init.num_cpus to null",
        ),
        ("run_sage_megatron.sh", (), {"RAY_ADDRESS": "auto"}, "megatron is not installed"),
    ],
)
def test_what_this_machine_lacks(script, arguments, environ, message, data, monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    problems = check_machine(
        changed(data, *arguments, script=f"qwen2.5-7b/{script}"), {"HOME": str(tmp_path), **environ}
    )
    assert any(re.search(message, problem) for problem in problems), problems


def test_a_machine_that_has_everything(data, monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    run = changed(data, "trainer.logger=[console,wandb]")
    for environ in ({"WANDB_API_KEY": "key"}, {"WANDB_MODE": "offline"}):
        assert check_machine(run, {"HOME": str(tmp_path), **environ}) == []
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password key\n")
    assert check_machine(run, {"HOME": str(tmp_path)}) == []
    two = changed(data, "trainer.nnodes=2")
    assert check_machine(two, {"HOME": str(tmp_path), "RAY_ADDRESS": "10.0.0.1:6379"}) == []


def test_workers_of_a_running_cluster_get_what_the_scripts_set(data):
    run = changed(data)
    forward_environment(
        run, {"PYTHONPATH": "/code", "VERL_FILE_LOGGER_PATH": "/out/m.jsonl", "WANDB_API_KEY": "secret"}
    )
    runtime = run.ray_kwargs.ray_init.runtime_env
    assert dict(runtime.env_vars) == {"PYTHONPATH": "/code", "VERL_FILE_LOGGER_PATH": "/out/m.jsonl"}
    assert OmegaConf.merge({"env_vars": {"NCCL_DEBUG": "WARN"}}, runtime).env_vars.NCCL_DEBUG == "WARN"  # as verl does


def test_metrics_go_to_the_folder_of_the_run_beside_those_of_the_run_that_is_resumed(data):
    def named(environ):
        run = changed(data, f"trainer.default_local_dir={data}/new", "trainer.logger=[console,file]")
        name_metrics_file(run, environ)
        return run.ray_kwargs.ray_init.get("runtime_env", {}).get("env_vars", {}).get("VERL_FILE_LOGGER_PATH")

    assert named({"VERL_FILE_LOGGER_PATH": "/out/m.jsonl"}) is None
    assert named({}) == f"{data}/new/metrics.jsonl"
    (data / "new/metrics.jsonl").write_text("{}\n")
    assert re.fullmatch(rf"{data}/new/metrics\.\d{{8}}-\d{{6}}\.jsonl", named({}))


def test_paths_that_exist_here_become_absolute_and_names_stay(data, monkeypatch):
    monkeypatch.chdir(data)
    files = ["data.train_files=[train.parquet]", "data.val_files=test.parquet", "sage.hint_source=test.parquet"]
    (data / "math").mkdir()  # not sage.prompts=math
    run = changed(data, *files, "trainer.default_local_dir=new")
    make_paths_absolute(run)
    assert run.data.train_files == [f"{data}/train.parquet"]
    assert run.data.val_files == run.sage.hint_source == f"{data}/test.parquet"
    assert run.trainer.default_local_dir == f"{data}/new"
    assert (run.actor_rollout_ref.model.path, run.sage.prompts) == ("Qwen/Qwen2.5-7B-Instruct", "math")


def test_a_dry_run_prints_configuration_and_arithmetic(data, capsys):
    assert dry_run.main(overrides("qwen2.5-7b/run_sage.sh", data)) == 0
    text = capsys.readouterr().out
    for line in (
        "actor_rollout_ref.actor.optim.lr=1e-06",
        "actor_rollout_ref.actor.clip_ratio_low=0.2",
        "128 prompts x 8 rollouts = 1024 rows, 2 updates of 64 prompts (512 rows)",
        "at most: 8,388,608 trained on, 33,554,432 generated by all groups of all visits, 786,432 of hints",
        "500 steps = 500.0 epochs of 1 steps; 10 checkpoints; 11 tests of 12 problems x 16 samples",
        "in 8 engines at least 416 of 1024 rollouts at once",
        "about 466 A100 hours: 25.3 h x 8 GPUs x 2.3",
    ):
        assert line in text, line
    assert "use_torch_compile" not in text and "TOO" not in text
    assert dry_run.main([*overrides("qwen2.5-7b/run_sage.sh", data), "--full"]) == 0
    assert "use_torch_compile" in capsys.readouterr().out


def test_a_dry_run_says_what_does_not_fit_or_is_wrong(data, capsys):
    arguments = overrides("qwen2.5-7b/run_sage.sh", data)
    assert dry_run.main(["--gpu-memory", "24", *arguments]) == 0
    text = capsys.readouterr().out
    assert "TOO MUCH in the update" in text and "TOO MUCH in rollouts" in text and "TOO LITTLE cache" in text
    assert dry_run.main([*arguments, "data.train_batch_size=100"]) == 1
    assert "This run would be refused: actor_rollout_ref.actor.ppo_mini_batch_size=64 must" in capsys.readouterr().out


def test_a_dry_run_of_a_model_that_cannot_be_measured(data, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert dry_run.main(overrides("qwen2.5-7b/run_dapo.sh", data, MODEL_PATH="nobody/nothing")) == 0
    text = capsys.readouterr().out
    assert (
        "memory not estimated for nobody/nothing: its config.json cannot be had" in text
        and "tokens of a step, at most" in text
    )


def test_the_launch_script_calls_the_dry_run(data, tmp_path):
    started, _ = launch("qwen3-4b/run_grpo.sh", data, "--full", DRY_RUN="1", OUTPUT_DIR=f"{tmp_path}/new")
    assert started[:2] == ["-m", "recipe.sage.dry_run"] and started[-1] == "--full"
    assert not (tmp_path / "new").exists(), "a dry run leaves nothing behind"


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


def test_the_setup_is_kept_without_environment_variables(data, tmp_path, capsys):
    run = changed(data, f"trainer.default_local_dir={tmp_path}/run")
    forward_environment(run, {"PYTHONPATH": "/secret"})
    write_setup(run)
    text = (tmp_path / "run/sage_setup.json").read_text()
    kept = json.loads(text)
    assert kept["config"]["sage"]["schedule"] == "sage" and "/secret" not in text
    assert kept["versions"]["verl"] == "0.9.1" and "torch" in kept["versions"]
    (tmp_path / "file").touch()
    run.trainer.default_local_dir = f"{tmp_path}/file/run"
    write_setup(run)
    assert "sage_setup.json is not kept" in capsys.readouterr().out
