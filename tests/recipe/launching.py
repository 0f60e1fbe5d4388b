"""Launch scripts run with an interpreter that prints its arguments, and composed as Hydra would compose them."""

import copy
import importlib
import io
import re
import socketserver
import subprocess
import sys
import threading
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

ROOT = Path(__file__).parents[2]
SAME_SCHEDULE = dict.fromkeys(("dapo", "opsd"), "grpo") | dict.fromkeys(
    ("off-policy", "guide", "sage-reliance"), "sage"
)
"""Methods whose schedule is that of another; the others' has their own name."""
LIGHT = "recipe.sage.command_line | recipe.sage.fit"
"""What a script starts before the run itself: the check of its arguments, and what is chosen for a GPU."""
STUB = """#!/bin/bash
case $2 in {light})
  [[ {port} != 0 ]] || exec {python} "$@"
  exec 3<>/dev/tcp/127.0.0.1/{port}
  printf '%s\\0' "$#" "$@" >&3
  IFS= read -r -d '' status <&3
  IFS= read -r -d '' said <&3
  printf %s "$said" >&2
  cat <&3
  exit "${{status:-70}}" ;;
esac
printf '%s\\n' "$@" --environment
exec env
"""


class Answers(socketserver.StreamRequestHandler):
    """The light modules, run in the process of the tests, which has imported already what takes them seconds."""

    def handle(self):
        words = iter(self._word, None)
        _, module, *arguments = (next(words) for _ in range(int(next(words))))
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            status = importlib.import_module(module).main(arguments)
        self.wfile.write(f"{status}\0{err.getvalue()}\0{out.getvalue()}".encode())

    def _word(self):
        word = bytearray()
        while (byte := self.rfile.read(1)) != b"\0":
            word += byte
        return word.decode()


@cache
def answering() -> int:
    """The port where the modules answer."""
    server = socketserver.TCPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def launch(script, data, *arguments, as_a_user=False, **environ):
    """Arguments and environment with which a script, named with its first arguments, starts Python for the run.

    What it starts before that is real: by ``as_a_user`` started as the script says, otherwise answered from here.
    """
    script, *first = script.split()
    fake = data / "python"
    fake.write_text(STUB.format(light=LIGHT, python=sys.executable, port=0 if as_a_user else answering()))
    fake.chmod(0o755)
    result = subprocess.run(
        ["bash", str(ROOT / "examples" / script), *first, *arguments],
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


def run_of(data, *arguments, script="run_qwen2.5-7b.sh method=sage"):
    return composed(overrides(script, data, *arguments))


@cache
def base(data, script):
    return run_of(data, script=script)


def changed(data, *arguments, script="run_qwen2.5-7b.sh method=sage"):
    """The run of a script with values changed after composing, which is the slow part."""
    run = copy.deepcopy(base(data, script))
    run.merge_with_dotlist(list(arguments))
    return run


VALUE = re.compile(r"[a-z_]+\.[\w.]+=")
"""An override of a value, not of a group."""


@cache
def chosen(groups):
    """The embedded world with these groups chosen, keys added or taken away."""
    return composed(list(groups), "tiny_cpu")


def tiny(*overrides):
    """A run of the embedded world; values are changed after composing, likewise."""
    run = copy.deepcopy(chosen(tuple(override for override in overrides if not VALUE.match(override))))
    values = [override for override in overrides if VALUE.match(override)]
    for value in OverridesParser.create().parse_overrides(values):
        OmegaConf.update(run, value.key_or_group, value.value())  # as Hydra does
    return run
