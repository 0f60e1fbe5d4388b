"""Whether a run resumes, from where, and on which prompts."""

import json

import pytest
import torch
from omegaconf import OmegaConf

from recipe.sage.preflight.resume import check_resume, data_digest
from sage.method.schedule import Sage
from sage.method.state import HISTORY_FILE, SETUP_FILE, STATE_FILE, StateStore


def run(folder, mode="auto", path=None, gpus=2):
    trainer = {"resume_mode": mode, "resume_from_path": path, "default_local_dir": str(folder)}
    trainer |= {"nnodes": 1, "n_gpus_per_node": gpus}
    return OmegaConf.create({"trainer": trainer})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "global_step_4/actor").mkdir(parents=True)
    torch.save([0.0] * 9, tmp_path / "global_step_4/actor/model_world_size_2_rank_0.pt")
    StateStore(Sage(3)).save(tmp_path / "global_step_4" / STATE_FILE, {"step": 4, "history_bytes": 5})
    (tmp_path / HISTORY_FILE).write_text("12345")
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("4")
    (tmp_path / SETUP_FILE).write_text(json.dumps({"prompts": data_digest(["a", "b"])}))
    return tmp_path


def test_a_run_says_where_it_begins(folder, tmp_path):
    assert "from scratch" in check_resume(run(tmp_path / "new"), ["a"])
    assert "from scratch" in check_resume(run(folder, "disable"), ["a"])
    assert check_resume(run(folder), ["b", "a"]).endswith(f"resumes from {folder}/global_step_4")


def test_other_training_prompts_are_refused_or_announced(folder):
    with pytest.raises(ValueError, match=r"other prompts than .*global_step_4 .*default_local_dir"):
        check_resume(run(folder), ["a", "c"])
    assert "OTHER training prompts" in check_resume(run(folder, "resume_path", f"{folder}/global_step_4"), ["c"])


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


def test_a_damaged_setup_is_named(folder):
    (folder / SETUP_FILE).write_text("{")
    with pytest.raises(ValueError, match=r"sage_setup\.json cannot be read"):
        check_resume(run(folder), ["a", "b"])


@pytest.mark.parametrize("name", [STATE_FILE, "actor/model_world_size_2_rank_0.pt"])
def test_a_damaged_file_of_a_checkpoint_is_named_with_a_way_out(folder, name):
    (folder / "global_step_2").mkdir()
    file = folder / "global_step_4" / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"{name} is damaged.* trainer.resume_from_path=.*global_step_2"):
        check_resume(run(folder), ["a", "b"])


def test_a_history_that_is_shorter_than_at_the_checkpoint_is_refused(folder):
    (folder / HISTORY_FILE).write_text("1234")
    with pytest.raises(ValueError, match=r"has 4 bytes, and had 5 .* restore it"):
        check_resume(run(folder), ["a", "b"])
