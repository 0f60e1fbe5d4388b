"""What a launch script's arguments become."""

import subprocess
import sys

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from recipe.sage.command_line import check, main, whole
from tests.recipe.launching import ROOT

ODD = [
    "/a=b/c",
    "/a,b/c",
    "/a[b]/c",
    "/a (b)/{c}",
    "/é/中",
    "/it's",
    "/a\\'b",
    "/ends\\",
    " /blank ",
    "http://h:1/v1#m",
    "~/x",
]


@pytest.mark.parametrize("value", ODD)
def test_a_text_is_read_as_it_was_written(value):
    assert OverridesParser.create().parse_override(whole(f"data.x={value}")).value() == value


@pytest.mark.parametrize("value", [*ODD, "a,b", "{a}_sage", "'q'_sage", "null", "12", "[a]", "plain", ""])
def test_a_text_of_a_script_stays_one(value):
    assert OverridesParser.create().parse_override(whole(f"text:data.x={value}")).value() == value
    assert whole("text:data.x=plain") == "data.x=plain"
    assert whole("text:data.x=${y}") == r"data.x='\${y}'"


def test_a_list_of_odd_paths_stays_a_list():
    read = OverridesParser.create().parse_override(whole("data.x=[/a=b.parquet,/c d.parquet,/é]"))
    assert read.value() == ["/a=b.parquet", "/c d.parquet", "/é"]


@pytest.mark.parametrize(
    "argument", ["x=1e-6", "x=[a,b]", "x='a,b'", "+x={a: 1}", "x=null", "~x", "--full", "x=1,2", "x=${y}"]
)
def test_what_hydra_reads_is_left_alone(argument):
    assert whole(argument) == argument


@pytest.mark.parametrize(
    "argument, message",
    [
        ("actor_rollout_ref.actor.optim.lrs=1", "did you mean actor_rollout_ref.actor.optim.lr"),
        ("mehtod=sage", r"; did you mean method\?$"),
        ("method=Sage", r"; did you mean sage\?$"),
        ("zzz=1", r"a new one is written \+zzz=.."),
        ("method=ppo", "method=ppo must be one of adaprefix, bha, dapo, .*, sage-calibrated"),
        ("trainer.logger=console,file", r"use key=\[value1,value2\]"),
        ("data={a", "no viable alternative"),
        ("sage.prompts={% for", "sage.prompts={% for cannot be read .*: put its value in quotes"),
        ("sage", "write key=value"),
        ("=5", "'=5' is no argument: write key=value"),
        ("data=5", "data=5: Config group override must be"),
        ("--method=sage", "--method is no option; a key is written key=value"),
        ("--hlep", r"--hlep is no option; did you mean --help\?"),
        ("data.train_files=${DATA}/train.parquet", "Interpolation key 'DATA' not found"),
    ],
)
def test_a_mistake_is_one_sentence(argument, message, capsys):
    with pytest.raises(ValueError, match=message):
        check("sage_trainer", [argument])
    assert main(["sage_trainer", argument]) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1


def test_options_pass_and_loading_is_light():
    check("sage_trainer", ["--gpu-memory", "141", "--full", "+data.new=1", "~algorithm.filter_groups"])
    check("sft_trainer_engine", ["engine=megatron", "optim=megatron", "engine.tensor_model_parallel_size=2"])


def test_an_interpreter_of_another_environment_is_named():
    command = [sys.executable, "-S", "-m", "recipe.sage.command_line", "sage_trainer"]
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, timeout=60, env={"PATH": "/usr/bin:/bin"}
    )
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert "hydra is not installed for " in result.stderr and "activate the environment of" in result.stderr
