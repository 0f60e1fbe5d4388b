"""Launch scripts run with an interpreter that prints its arguments, and composed as Hydra would compose them."""

import copy
import subprocess
import sys
from functools import cache
from pathlib import Path

from hydra import compose, initialize_config_dir

ROOT = Path(__file__).parents[2]
SAME_SCHEDULE = dict.fromkeys(("dapo", "opsd"), "grpo") | dict.fromkeys(
    ("off-policy", "guide", "sage-reliance"), "sage"
)
"""Methods whose schedule is that of another; the others' has their own name."""
CHECK = f'case "$2" in recipe.sage.command_line | recipe.sage.fit) exec {sys.executable} "$@" ;; esac\n'
"""The check of the arguments, and what is chosen for a GPU, are the real ones."""


def launch(script, data, *arguments, **environ):
    """Arguments and environment with which a script, named with its first arguments, starts Python."""
    script, *first = script.split()
    fake = data / "python"
    fake.write_text(f'#!/bin/sh\n{CHECK}for a in "$@"; do printf "%s\\n" "$a"; done\necho "--environment"\nenv\n')
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
