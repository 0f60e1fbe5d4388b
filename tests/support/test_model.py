"""What a model is: its files and its template's text, whatever the folder is called."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from datetime import date
from pathlib import Path

import pytest

from sage.evaluation.store import check_settings
from sage.support.engine import template_option, template_options
from sage.support.model import ChatTemplate, find_model, identify


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    for part in (1, 2):
        (folder / f"model-{part}.safetensors").write_bytes(bytes([part]) * 100)
    names = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    return folder


def test_a_folder_is_the_same_model_under_every_spelling_and_as_a_copy(tmp_path, model, monkeypatch):
    known = identify(str(model), find_model(str(model)))
    (tmp_path / "link").symlink_to(model)
    shutil.copytree(model, tmp_path / "copy")
    os.utime(tmp_path / "copy/model-1.safetensors", (1, 1))
    (tmp_path / "copy/training_args.bin").write_bytes(b"of the trainer")
    monkeypatch.chdir(tmp_path)
    for spelling in ("model", "./model/", f"{tmp_path}/copy/../model", "link", "copy"):
        assert identify(spelling, find_model(spelling)) == known


@pytest.mark.parametrize(
    ("file", "part"),
    [("model-2.safetensors", "weights"), ("config.json", "config"), ("tokenizer.json", "tokenizer")],
)
def test_other_contents_under_the_same_name_are_another_model(tmp_path, model, file, part):
    known = identify(str(model), None)
    content = (model / file).read_bytes()
    (model / file).write_bytes(bytes(len(content)))  # of the same size
    now = identify(str(model), None)
    assert {name for name in known if known[name] != now[name]} == {part}
    (tmp_path / "aime24.jsonl").write_text("")
    (tmp_path / "settings.json").write_text(json.dumps({"settings": known, "benchmarks": {}}))
    with pytest.raises(ValueError, match=f"{part} was .* and is .* now, so the samples there cannot be continued"):
        check_settings(tmp_path / "settings.json", now, {})
    check_settings(tmp_path / "settings.json", known, {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "config.json").unlink(), "it has no config.json"),
        (lambda folder: (folder / "model-2.safetensors").unlink(), r"model-2\.safetensors is missing"),
        (lambda folder: [file.unlink() for file in folder.glob("*.safetensors")], "holds no weights"),
        (lambda folder: (folder / "config.json").rename(folder / "adapter_config.json"), "an adapter: merge it"),
        (lambda folder: shutil.rmtree(folder), "there is no such folder"),
    ],
)
def test_a_folder_that_is_no_model_is_refused(model, change, said):
    change(model)
    with pytest.raises(ValueError, match=said):
        find_model(str(model))


def test_a_pointer_in_place_of_weights_is_refused(model):
    (model / "model-1.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\n")
    with pytest.raises(ValueError, match="git lfs pull"):
        identify(str(model), None)


class Tokenizer:
    """One with a template, which shows what it gets."""

    def __init__(self, template: str) -> None:
        self.template = template
        self.given: dict[str, object] = {}

    def get_chat_template(self, chosen: str | None) -> str:
        return chosen or self.template

    def apply_chat_template(self, messages: list[dict[str, str]], **given: object) -> list[int]:
        self.given = given
        return [len(messages)]


def test_a_template_is_its_text_and_its_options():
    plain = ChatTemplate(Tokenizer("{{ messages }}"), {}, date(2026, 1, 1))
    others = [
        ChatTemplate(Tokenizer("{{ messages }} "), {}, date(2026, 1, 1)),
        ChatTemplate(Tokenizer("{{ messages }}"), {"enable_thinking": False}, date(2026, 1, 1)),
        ChatTemplate(Tokenizer("{{ strftime_now('%d') }}"), {}, date(2026, 1, 1)),
        ChatTemplate(Tokenizer("{{ strftime_now('%d') }}"), {}, date(2026, 1, 2)),
    ]
    identities = [json.dumps(template.identity()) for template in (plain, *others)]
    assert len(set(identities)) == len(identities)
    assert plain.identity() == ChatTemplate(Tokenizer("{{ messages }}"), {}, date(2026, 5, 5)).identity(), (
        "no date in it"
    )


def test_prompts_get_the_options_of_training_and_a_fixed_date():
    template = ChatTemplate(Tokenizer("x"), {"enable_thinking": False}, date(2026, 1, 2))
    assert template.encode([{"role": "user", "content": "a"}]) == [1]
    given = template.tokenizer.given
    assert given["enable_thinking"] is False and given["add_generation_prompt"] is True
    assert given["strftime_now"]("%Y-%m-%d") == "2026-01-02"


def test_options_of_the_template_are_read_as_in_a_run():
    given = [template_option(text) for text in ("enable_thinking=false", '{"documents": []}', "n=2", "n=3")]
    assert template_options(given) == {"enable_thinking": False, "documents": [], "n": 3}
    for text in ("enable_thinking", "=1", "[1]", "tokenize=true"):
        with pytest.raises(argparse.ArgumentTypeError, match=r"must be KEY=VALUE|cannot be chosen"):
            template_option(text)
