import sys

import pytest

from recipe.sage.dry_run import compose_run
from sage.toy import smollm2


def test_missing_packages_are_named_with_what_to_do(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(smollm2, "PACKAGES", ("json", "no_such_package"))
    monkeypatch.setattr(sys, "argv", ["smollm2", "--out", str(tmp_path / "model")])
    with pytest.raises(SystemExit) as ended:
        smollm2.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and not (tmp_path / "model").exists()
    assert "needs the package no-such-package:" in said and "setup_env.sh --with-smollm2" in said


def test_the_world_replaces_the_embedded_one():
    config = compose_run("tiny_cpu", ["+world=smollm2", "sage.hint_max_tokens=99"])
    assert config.sage.prompts == config.sage.verifier == "math" and config.sage.hint_max_tokens == 99
    assert "opchain" not in str(config.actor_rollout_ref.model.path) + str(config.data.train_files)
    embedding = 49152 * 576 * 4
    bucket = config.actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes << 20
    assert embedding <= bucket < 135e6 * 4 / 3, "the weights go in several buckets"
