"""What is refused before Ray starts, and what it says."""

import re

import pyarrow.parquet as pq
import pytest
from hydra.errors import MissingConfigException

from recipe.sage.preflight import check_machine, check_run
from recipe.sage.preflight.rules import Run
from tests.recipe.launching import changed, composed

MISTAKES = [
    ("actor_rollout_ref.actor.ppo_mini_batch_size=48", "must divide data.train_batch_size=128; both count prompts"),
    ("sage.solved_threshold=2", "is more than the reward of a correct answer"),
    (
        "actor_rollout_ref.rollout.max_num_batched_tokens=1",
        r"max_num_batched_tokens=1 must be at least actor_rollout_ref.rollout.max_num_seqs=\d+",
    ),
    ("actor_rollout_ref.rollout.n=1", "a group needs at least 2 rollouts"),
    ("data.max_prompt_length=1024", "raise data.max_prompt_length or lower sage.hint_max_tokens"),
    ("data.train_files=nowhere.parquet", "nowhere.parquet does not exist; give the path of the training file"),
    ("data.val_files=nowhere.parquet", "data.val_files: nowhere.parquet does not exist"),
    ("data.val_files=examples/opchain_base/config.json", "is not a Parquet file"),
    ("data.train_batch_size=1024", "exceeds the 160 training rows: lower it"),
    ("trainer.total_epochs=1", "raise total_epochs"),
    ("sage.schedule=sagelight", "must be one of grpo"),
    ("sage.max_level=4", "must be a whole number of at least 1 and of at most 3"),
    ("algorithm.adv_estimator=gae", "has no groups"),
    ("algorithm.adv_estimator=sages", "adv_estimator=sages is unknown: use one of .*grpo.* sage"),
    ("actor_rollout_ref.actor.policy_loss.loss_mode=ppo", "loss_mode=ppo is unknown: use one of .*luffy.* vanilla"),
    ("actor_rollout_ref.rollout.tensor_model_parallel_size=3", "=3 must divide the 28 attention heads"),
    ("actor_rollout_ref.rollout.tensor_model_parallel_size=7", "=7 must divide the 8 GPUs of trainer.nnodes=1 x"),
    ("actor_rollout_ref.hybrid_engine=false", "must divide the 0 GPUs of actor_rollout_ref.rollout.nnodes=0"),
    ("trainer.n_gpus_per_node=0", "must be a whole number of at least 1"),
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
    ("actor_rollout_ref.rollout.name=sglang", "written for vLLM"),
    ("reward.reward_model.enable=true", "set reward.reward_model.enable_resource_pool=true"),
    ("trainer.critic_warmup=5", "set it to 0"),
    ("data.prompt_key=question", "data.prompt_key=question must be prompt"),
    ("data.reward_fn_key=source", "data.reward_fn_key=source must be data_source"),
    ("data.custom_cls.path=nowhere.py", "data.custom_cls.path=nowhere.py cannot be loaded"),
    ("actor_rollout_ref.model.path=", "model.path=None must be a text; a folder or a name on the hub"),
    ("actor_rollout_ref.actor.optim.betas=[0.9]", "betas=.* must be a list, .*; two of them"),
    ("actor_rollout_ref.actor.optim.lr_scheduler_type=cosin", "lr_scheduler_type=cosin must be constant or cosine"),
    ("actor_rollout_ref.actor.optim.optimizer=Adamm", "optim.optimizer=Adamm cannot be imported"),
    ("actor_rollout_ref.actor.kl_loss_type=kll", "kl_loss_type=kll must be kl, k1"),
    ("actor_rollout_ref.actor.checkpoint.save_contents=[modell]", "save_contents=.* must be a list, each item model"),
    ("actor_rollout_ref.actor.fsdp_config.model_dtype=fp31", "model_dtype=fp31 must be fp32"),
    ("actor_rollout_ref.rollout.load_format=dumy", "load_format=dumy must be dummy"),
]


@pytest.mark.parametrize("override, message", MISTAKES)
def test_a_typical_mistake_gives_a_sentence_that_says_what_to_change(override, message, data):
    with pytest.raises(ValueError, match=message):
        check_run(changed(data, override))


def test_a_validation_file_is_damaged_in_a_column_that_is_not_checked(data, tmp_path):
    whole = (data / "test.parquet").read_bytes()
    place = pq.ParquetFile(data / "test.parquet").metadata.row_group(0)
    column = next(c for c in map(place.column, range(place.num_columns)) if c.path_in_schema == "solution")
    start = column.dictionary_page_offset or column.data_page_offset
    (tmp_path / "val.parquet").write_bytes(whole[: start + 20] + b"\xff" * 8 + whole[start + 28 :])
    with pytest.raises(ValueError, match=r"data.val_files: .*val.parquet is damaged"):
        check_run(changed(data, f"data.val_files={tmp_path}/val.parquet"))


@pytest.mark.parametrize("key", ["default_local_dir", "rollout_data_dir", "validation_data_dir"])
def test_a_folder_that_a_file_has_the_name_of(key, data):
    said = check_machine(changed(data, f"trainer.{key}={data}/test.parquet"), {"RAY_ADDRESS": "auto"})
    assert f"trainer.{key}={data}/test.parquet cannot be a folder: a file has that name" in said


def test_a_reward_function_that_exits(data, tmp_path):
    (tmp_path / "reward.py").write_text("raise SystemExit(3)")
    with pytest.raises(ValueError, match=r"reward.py, name=.* cannot be loaded: SystemExit: 3"):
        check_run(changed(data, f"reward.custom_reward_function.path={tmp_path}/reward.py"))


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
            changed(
                data,
                f"actor_rollout_ref.actor.megatron.{override}",
                script="run_qwen2.5-7b.sh method=sage backend=megatron",
            )
        )


def test_sequence_parallelism_shares_a_row(data):
    run = changed(
        data,
        "actor_rollout_ref.actor.ulysses_sequence_parallel_size=2",
        "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=5120",
    )
    check_run(run)
    assert Run(run).sharing == (2, 2)


def test_an_unknown_method_is_named_with_those_that_exist():
    with pytest.raises(MissingConfigException, match="sage-calibrated"):
        composed(["method=ppo"])


def test_a_validation_file_lacks_a_column(data, tmp_path):
    rows = pq.read_table(data / "test.parquet")
    pq.write_table(rows.drop_columns(["data_source"]), tmp_path / "val.parquet")
    with pytest.raises(ValueError, match="has no column 'data_source'"):
        check_run(changed(data, f"data.val_files={tmp_path}/val.parquet"))


@pytest.mark.parametrize(
    "script, arguments, environ, message",
    [
        (
            "method=sage",
            ("trainer.logger=[console,wandb]",),
            {},
            "run wandb login, set WANDB_API_KEY or WANDB_MODE=offline",
        ),
        ("method=sage", ("trainer.nnodes=2",), {}, "needs a running Ray cluster: .* set RAY_ADDRESS"),
        ("method=sage", (), {}, "but this machine has 0 GPUs: set N_GPUS"),
        (
            "method=sage",
            ("ray_kwargs.ray_init.num_cpus=8",),
            {"RAY_ADDRESS": "auto"},
            "set ray_kwargs.ray_init.num_cpus to null",
        ),
        ("method=sage backend=megatron", (), {"RAY_ADDRESS": "auto"}, "megatron is not installed"),
    ],
)
def test_what_this_machine_lacks(script, arguments, environ, message, data, monkeypatch, tmp_path):
    run = changed(data, *arguments, script=f"run_qwen2.5-7b.sh {script}")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    problems = check_machine(run, {"HOME": str(tmp_path), **environ})
    assert any(re.search(message, problem) for problem in problems), problems


def test_an_endpoint_is_asked_before_the_run(data, tmp_path):
    run = changed(data, "sage.hint_source=http://127.0.0.1:9/v1#m")
    (problem,) = check_machine(run, {"HOME": str(tmp_path), "RAY_ADDRESS": "auto"})
    assert re.search(r"127.0.0.1:9/v1#m gives no hints, by a trial request: APIConnectionError", problem)


def test_a_machine_that_has_everything(data, monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    run = changed(data, "trainer.logger=[console,wandb]")
    for environ in ({"WANDB_API_KEY": "key"}, {"WANDB_MODE": "offline"}):
        assert check_machine(run, {"HOME": str(tmp_path), **environ}) == []
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password key\n")
    assert check_machine(run, {"HOME": str(tmp_path)}) == []
    two = changed(data, "trainer.nnodes=2")
    assert check_machine(two, {"HOME": str(tmp_path), "RAY_ADDRESS": "10.0.0.1:6379"}) == []
