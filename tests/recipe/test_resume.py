"""Whether a run resumes, from where, and on which prompts."""

import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import torch
from omegaconf import OmegaConf

from recipe.sage.preflight.resume import check_resume, data_digest
from sage.evaluation.checkpoints import find_checkpoints
from sage.method.schedule import Sage
from sage.method.state import HISTORY_FILE, SETUP_FILE, STATE_FILE, VERSION, StateStore
from sage.planning.budget import KNOWN_SHAPES

SETTINGS = OmegaConf.load("recipe/sage/config/sage.yaml").sage
MODEL = KNOWN_SHAPES["Qwen2.5-7B-Instruct"]


def run(folder, mode="auto", path=None, gpus=2, **sage):
    trainer = {"resume_mode": mode, "resume_from_path": path, "default_local_dir": str(folder)}
    trainer |= {"nnodes": 1, "n_gpus_per_node": gpus}
    actor = {"strategy": "fsdp2", "checkpoint": {"load_contents": ["model", "extra"]}}
    actor = {"actor": actor, "rollout": {"n": 4}, "model": {"path": "Qwen/Qwen2.5-7B-Instruct"}}
    return OmegaConf.create({"trainer": trainer, "actor_rollout_ref": actor, "sage": {**SETTINGS, **sage}})


@pytest.fixture
def folder(tmp_path):
    actor = tmp_path / "global_step_4/actor"
    (actor / "huggingface").mkdir(parents=True)
    (actor / "huggingface/config.json").write_text(json.dumps(MODEL.to_config()))
    for part in ("../data", *(f"{k}_world_size_2_rank_{r}" for k in ("model", "extra_state") for r in (0, 1))):
        torch.save([0.0] * 9, actor / f"{part}.pt")
    StateStore(Sage(3)).save(tmp_path / "global_step_4" / STATE_FILE, {"step": 4, "history_bytes": 5})
    (tmp_path / HISTORY_FILE).write_text("12345")
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("4")
    setup = {"prompts": data_digest(["a", "b"]), "config": {"sage": OmegaConf.to_container(SETTINGS)}}
    (tmp_path / SETUP_FILE).write_text(json.dumps(setup))
    return tmp_path


def test_a_run_says_where_it_begins(folder, tmp_path):
    assert "from scratch" in check_resume(run(tmp_path / "new"), ["a"])
    assert "from scratch" in check_resume(run(folder, "disable"), ["a"])
    assert check_resume(run(folder), ["b", "a"]).endswith(f"resumes from {folder}/global_step_4")


def test_other_training_prompts_are_refused_or_announced(folder):
    with pytest.raises(ValueError, match=r"global_step_4 .* OTHER training prompts .*default_local_dir"):
        check_resume(run(folder), ["a", "c"])
    assert "OTHER training prompts" in check_resume(run(folder, "resume_path", f"{folder}/global_step_4"), ["c"])


def kept(folder, **values):
    """Let the checkpoint's run have had these values, with __ for a dot."""
    config = OmegaConf.create(json.loads((folder / SETUP_FILE).read_text())["config"])
    for key, value in values.items():
        OmegaConf.update(config, key.replace("__", "."), value)
    setup = {"prompts": data_digest(["a", "b"]), "config": OmegaConf.to_container(config)}
    (folder / SETUP_FILE).write_text(json.dumps(setup))


def test_another_length_or_rate_is_announced(folder):
    kept(folder, data__max_response_length=8192, actor_rollout_ref__rollout__n=8, sage__max_level=3)
    config = run(folder)
    config.data = {"max_response_length": 2048}
    said = check_resume(config, ["a", "b"])
    assert "global_step_4, from here on with data.max_response_length=2048, which was 8192" in said
    assert "rollout.n=4, which was 8" in said and "max_level" not in said


def test_another_lora_rank_cannot_be_loaded(folder):
    kept(folder, actor_rollout_ref__model__lora_rank=0)
    config = run(folder)
    config.actor_rollout_ref.model.lora_rank = 32
    with pytest.raises(ValueError, match=r"global_step_4 cannot be resumed .*lora_rank=32, which was 0: set"):
        check_resume(config, ["a", "b"])


@pytest.mark.parametrize(
    "mode, path, message",
    [
        ("auto", "x/global_step_1", "has no effect without trainer.resume_mode=resume_path"),
        ("resume_path", None, "name an existing folder"),
        ("resume_path", "nowhere/global_step_1", "name an existing folder"),
    ],
)
def test_half_a_wish_to_resume_is_refused(folder, mode, path, message):
    with pytest.raises(ValueError, match=message):
        check_resume(run(folder, mode, path), ["a"])


def test_a_missing_checkpoint_is_named(folder):
    (folder / "latest_checkpointed_iteration.txt").write_text("6")
    with pytest.raises(ValueError, match=r"names step 6, but .* has no such checkpoint"):
        check_resume(run(folder), ["a", "b"])


def test_a_checkpoint_that_is_not_whole_or_of_other_gpus_is_refused(folder):
    with pytest.raises(ValueError, match=r"was written by 2 GPUs, .* not on 4"):
        check_resume(run(folder, gpus=4), ["a", "b"])
    (folder / "global_step_4" / STATE_FILE).unlink()
    with pytest.raises(ValueError, match=r"lacks sage_state\.parquet"):
        check_resume(run(folder), ["a", "b"])
    (folder / "latest_checkpointed_iteration.txt").write_text("four")
    with pytest.raises(ValueError, match="names step four, but"):
        check_resume(run(folder), ["a", "b"])


def test_a_note_of_the_last_checkpoint_that_cannot_be_read_is_named(folder):
    (folder / "latest_checkpointed_iteration.txt").unlink()
    (folder / "latest_checkpointed_iteration.txt").mkdir()
    for read in (lambda: check_resume(run(folder), ["a", "b"]), lambda: find_checkpoints(folder)):
        with pytest.raises(ValueError, match=r"latest_checkpointed_iteration.txt must be a file .*Is a directory"):
            read()


def test_a_damaged_setup_is_named(folder):
    for text in ("{", "[]", '{"prompts": 5}'):
        (folder / SETUP_FILE).write_text(text)
        with pytest.raises(ValueError, match=r"sage_setup\.json: .*; restore the file, or remove it"):
            check_resume(run(folder), ["a", "b"])


@pytest.mark.parametrize("name", [STATE_FILE, "actor/model_world_size_2_rank_0.pt"])
def test_a_damaged_file_of_a_checkpoint_is_named_with_a_way_out(folder, name):
    (folder / "global_step_2").mkdir()
    file = folder / "global_step_4" / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    remedy = r"restore it, or start with trainer.resume_mode=.* trainer.resume_from_path=.*global_step_2"
    with pytest.raises(ValueError, match=rf"{name} is damaged.*: {remedy}"):
        check_resume(run(folder), ["a", "b"])


def test_a_history_that_is_shorter_than_at_the_checkpoint_is_refused(folder):
    (folder / HISTORY_FILE).write_text("1234")
    with pytest.raises(ValueError, match=r"has 4 bytes, and had 5 .* restore it"):
        check_resume(run(folder), ["a", "b"])


def test_another_method_is_refused_or_announced(folder):
    with pytest.raises(ValueError, match=r"resumed with sage.schedule=grpo, which was sage, .*default_local_dir"):
        check_resume(run(folder, schedule="grpo"), ["a", "b"])
    words = check_resume(run(folder, "resume_path", f"{folder}/global_step_4", schedule="grpo"), ["a", "b"])
    assert "with sage.schedule=grpo, which was sage: old and new visits mix" in words


def test_a_checkpoint_of_another_model_is_refused(folder):
    config = replace(MODEL, hidden=512).to_config()
    (folder / "global_step_4/actor/huggingface/config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"another model, whose hidden is 512, not 3584: set .*model.path"):
        check_resume(run(folder), ["a", "b"])


@pytest.mark.parametrize(
    "name", ["actor/model_world_size_2_rank_1.pt", "actor/extra_state_world_size_2_rank_0.pt", "data.pt"]
)
def test_a_missing_file_of_verl_is_named(folder, name):
    (folder / "global_step_4" / name).unlink()
    with pytest.raises(ValueError, match=rf"{name} is missing: restore it, or start with a new folder"):
        check_resume(run(folder), ["a", "b"])


def test_a_file_in_place_of_a_folder_is_no_checkpoint(folder):
    (folder / "global_step_4/actor").rename(folder / "elsewhere")
    (folder / "global_step_4/actor").touch()
    with pytest.raises(ValueError, match="it lacks actor"):
        check_resume(run(folder), ["a", "b"])
    with pytest.raises(ValueError, match="name an existing folder"):
        check_resume(run(folder, "resume_path", "global_step_" + "9" * 300), ["a", "b"])


@pytest.mark.parametrize(
    "meta, message",
    [
        ({}, r"'version' is missing; restore the file"),
        ([], r"restore the file"),
        ({"version": 1, "max_level": 3, "extra": {}}, "state version 1"),
        ({"version": VERSION, "max_level": 2, "extra": {}}, r"saved with sage.max_level=2, now 3: set it as it was"),
        ({"version": VERSION, "max_level": 3, "extra": None}, r"extra=None .*; restore the file"),
        ({"version": VERSION, "max_level": 3, "extra": {}}, r"does not say how long .* was: restore it"),
        ({"version": VERSION, "max_level": 3, "extra": {}, "failures": "x"}, r"failures='x' .*; restore the file"),
    ],
)
def test_a_state_that_says_something_else_of_itself_is_named(folder, meta, message):
    file = folder / "global_step_4" / STATE_FILE
    pq.write_table(pq.read_table(file).replace_schema_metadata({"sage": json.dumps(meta)}), file)
    with pytest.raises(ValueError, match=rf"sage_state\.parquet.*{message}"):
        check_resume(run(folder), ["a", "b"])


def test_a_state_without_a_column_is_named(folder):
    file = folder / "global_step_4" / STATE_FILE
    pq.write_table(pq.read_table(file).drop_columns(["visits"]), file)
    with pytest.raises(ValueError, match=r"sage_state\.parquet: column visits must be int32, not None"):
        check_resume(run(folder), ["a", "b"])


def test_a_state_of_a_schedule_without_forecasts_is_refused_before_the_run(folder):
    with pytest.raises(ValueError, match="saved by a schedule without forecasts"):
        check_resume(run(folder, schedule="sage-calibrated"), ["a", "b"])
