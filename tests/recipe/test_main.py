"""What the entry point does with a configuration before it hands it to verl."""

import json
import re

from omegaconf import OmegaConf

from recipe.sage.main_sage import forward_environment, make_paths_absolute, name_metrics_file, write_setup
from tests.recipe.launching import changed


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


def test_the_setup_is_kept_without_environment_variables(data, tmp_path, capsys):
    run = changed(data, f"trainer.default_local_dir={tmp_path}/run")
    forward_environment(run, {"PYTHONPATH": "/secret"})
    write_setup(run, "digest")
    text = (tmp_path / "run/sage_setup.json").read_text()
    kept = json.loads(text)
    assert kept["config"]["sage"]["schedule"] == "sage" and "/secret" not in text
    assert kept["versions"]["verl"] == "0.9.1" and "torch" in kept["versions"]
    (tmp_path / "file").touch()
    run.trainer.default_local_dir = f"{tmp_path}/file/run"
    write_setup(run, "digest")
    assert "sage_setup.json is not kept" in capsys.readouterr().out
