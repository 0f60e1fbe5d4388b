"""The series of recorded runs of the embedded tasks: what each row changes, and how a missing run is made.

Every run is ``examples/run_tiny_cpu.sh`` (or ``run_tiny_sft.sh``) with the overrides of `METHODS`: real verl, Ray and
vLLM. Its last weights are tested with `sage.toy.embedded.held_out`. A run is recorded when it has ended; an interrupted
one is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sage.method.methods import METHODS
from sage.method.state import SETUP_FILE
from sage.support.processes import GRACE, end_group, end_with_parent
from sage.support.versions import installed
from sage.toy.embedded import store
from sage.toy.embedded.build_data import TEST, TRAIN, build, final_test, write
from sage.toy.embedded.held_out import read_scores
from sage.toy.embedded.summary import PACKAGES, summarize
from sage.toy.embedded.tasks import ENGINE_OPTIONS, ROOT, Problem, base_model, task_config

RESULTS = ROOT / "results"
"""Records by task and method."""
TUNING = ROOT / "benchmarks/results/learning_rate"
"""Records of runs with a learning rate that was asked for, by rate, task and method."""
WORK = ROOT / "outputs/compare"
"""Folder of the runs themselves."""
STEPS = 45
LONGER = {"grpo-longer": {"opchain": 80, "wheels": 110}}
"""Rows with other than `STEPS` steps, by task: GRPO with about the tokens that SAGE generates in `STEPS`."""
TESTED = {"opchain": (1000, 1), "wheels": (200, 5)}
"""Test problems of each kind, and answers to each. wheels has 663 hard problems in all, of which 256 are trained on."""

UNTIMED = ("busy", "pairs")
"""Series made while other work ran on the machine: their times are not compared."""


def records(task: str, rate: float | None = None) -> Path:
    """The folder of a task's records: those of the series, or those with a learning rate that was asked for."""
    return RESULTS / task if rate is None else TUNING / f"{rate:g}" / task


def code_version() -> str:
    """The commit, with ``-dirty`` where the code differs from it; SAGE_COMMIT names it in a copy without git."""
    if commit := os.environ.get("SAGE_COMMIT"):
        return commit

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--", "recipe", "sage", "examples", "scripts", "requirements")
    return git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")


def cpu_model() -> str:
    """The processor's name; empty where Linux does not tell."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")


def on_cpu() -> bool:
    """Whether runs are made on the CPU; ``DEVICE=cuda`` in the environment says otherwise."""
    return os.environ.get("DEVICE", "cpu") == "cpu"


def device() -> str:
    """``cpu``, or the name of the GPU."""
    if on_cpu():
        return "cpu"
    import torch

    return torch.cuda.get_device_name()


def write_teacher_hints(task: str, problems: Sequence[Problem], out: Path) -> None:
    """The hints of an ideal teacher: the checkpoint of each level."""
    lines = [
        {"prompt_id": f"{task}/{problem.text}", "level": level, "hint": problem.checkpoint(level)}
        for problem in problems
        for level in (1, 2, 3)
    ]
    out.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def write_offline_hints(task: str, data: Path, out: Path, draws: int) -> None:
    """Hints by the base model, written by ``scripts/write_hints.py``."""
    sage = task_config(task)["sage"]
    command = ["--model", base_model(task), "--data", data, "--out", out, "--draws", draws]
    command += ["--prompts", "sage/toy/embedded/prompts.yaml", "--request", "level"]
    command += ["--max-tokens", sage["hint_max_tokens"], "--verifier", sage["verifier"]]
    command += ENGINE_OPTIONS
    shell([sys.executable, "scripts/write_hints.py", *map(str, command)], limit=1800)


def shell(command: list[str], limit: int, **environment: str) -> None:
    """Run a command with the CPU environment of the examples, or on a GPU in the environment of this process.

    It is stopped, with what it started, after ``limit`` seconds and when this process ends.

    Raises:
        subprocess.CalledProcessError: it failed.
        subprocess.TimeoutExpired: it was stopped.
    """
    if on_cpu():
        line = ["bash", "-c", 'source scripts/setup_env.sh && source scripts/cpu_env.sh && exec "$@"', "bash", *command]
    else:
        line, environment = command, environment | {"PYTHON": sys.executable}
    process = subprocess.Popen(
        line, cwd=ROOT, env=os.environ | environment, start_new_session=True, preexec_fn=end_with_parent
    )
    try:
        status = process.wait(limit)
    finally:
        end_group(process, 2.5 * GRACE)  # scripts/watch_run.py, in it, ends the training in this way
    if status:
        raise subprocess.CalledProcessError(status, line)


def hint_file(name: str, task: str, problems: Sequence[Problem], inputs: Path) -> Path:
    """The hint file that an override names, made if need be; its name tells problems and base model apart."""
    made_from = (ROOT / base_model(task) / "model.safetensors").read_bytes() + (inputs / "train.parquet").read_bytes()
    path = inputs / f"{name}-{hashlib.sha256(made_from).hexdigest()[:8]}.jsonl"
    if not path.exists():
        partial = path.with_name("partial-" + path.name)
        if name == "teacher":
            write_teacher_hints(task, problems, partial)
        else:
            write_offline_hints(task, inputs / "train.parquet", partial, draws=int(name.removeprefix("offline")))
        partial.rename(path)
    return path


def run(task: str, method: str, seed: int, work: Path, series: str, rate: float | None = None) -> dict[str, Any]:
    """Make one run and return its record.

    Args:
        task: one of `sage.toy.embedded.tasks.TASKS`.
        method: a row of `METHODS`.
        seed: of the training problems, their order and the sampling.
        work: folder for the runs themselves; that of this run is written anew.
        series: name of runs whose times are comparable.
        rate: the learning rate, where it is not the task's own.

    Raises:
        subprocess.CalledProcessError: the run failed; its output says why.
        subprocess.TimeoutExpired: it took more than an hour.
        ValueError: it ended without its evaluations.
    """
    commit = code_version()
    folder = work / task / (f"seed{seed}" if rate is None else f"seed{seed}-lr{rate:g}") / method
    inputs = work / task / f"seed{seed}" / "inputs"
    problems = build(inputs, seed, TRAIN, TEST, task)
    write(task, final_test(task, TESTED[task][0]), "final", inputs)
    names = ("teacher", "offline1", "offline10")
    used = {name for name in names if any(f"{{{name}}}" in part for part in METHODS[method].overrides)}
    files = {name: str(hint_file(name, task, problems, inputs)) for name in used}
    overrides = [part.format(**files) for part in METHODS[method].overrides]
    tuned = [] if rate is None else [f"{'' if method == 'sft' else 'actor_rollout_ref.actor.'}optim.lr={rate}"]
    steps = LONGER.get(method, {}).get(task, STEPS)
    shutil.rmtree(folder, ignore_errors=True)
    environment = {"TASK": task, "OUTPUT": str(folder), "STEPS": str(steps), "SEED": str(seed)}
    if method == "sft":
        shell(["bash", "examples/run_tiny_sft.sh", *tuned], limit=3600, **environment)
        found = {"steps": steps, "wall_seconds": int((folder / "sft/wall_seconds").read_text()), "curves": {}}
        trained = folder / f"sft/checkpoints/global_step_{steps}/huggingface"
    else:
        name = overrides[0].removeprefix("method=")
        untested = ["trainer.val_before_train=false", "trainer.test_freq=-1"]
        saved = [f"trainer.save_freq={steps}", "actor_rollout_ref.actor.checkpoint.save_contents=[hf_model]"]
        command = ["bash", "examples/run_tiny_cpu.sh", *overrides[1:], *tuned, *untested, *saved]
        shell(command, limit=3600, METHODS=name, **environment)
        found = read_run(folder / name, seed)
        trained = folder / f"{name}/global_step_{steps}/actor/huggingface"
    return {
        "method": method,
        "overrides": [*METHODS[method].overrides, *tuned],
        **found,
        "base": held_out(task, Path(base_model(task)), inputs / "final.parquet", work / task / "base"),
        "final": held_out(task, trained, inputs / "final.parquet", folder / "test"),
        "tested": TESTED[task],
        "seed": seed,
        "series": series,
        "commit": commit,
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu_model(),
        "device": device(),
        "python": platform.python_version(),
        "versions": installed(PACKAGES),
    }


def held_out(task: str, model: Path, data: Path, out: Path) -> dict[str, float]:
    """Accuracy by kind on the test problems, without hints; what was drawn before is kept."""
    command = [sys.executable, "-m", "sage.toy.embedded.held_out", "--task", task, "--model", str(model)]
    command += ["--data", str(data), "--out", str(out), "--samples", str(TESTED[task][1])]
    shell(command, limit=1800)
    return read_scores(out)


def read_run(folder: Path, seed: int) -> dict[str, Any]:
    """What is recorded of a run: summary, learning rate and courses of metrics."""
    config = json.loads((folder / SETUP_FILE).read_text(encoding="utf-8"))["config"]
    return summarize(folder / "metrics.jsonl", seed) | {
        "learning_rate": config["actor_rollout_ref"]["actor"]["optim"]["lr"],
        "curves": store.curves(folder / "metrics.jsonl"),
    }


def make_missing(wanted: Iterable[tuple[str, str, int]], work: Path, series: str, rate: float | None = None) -> bool:
    """Make and record those runs (task, method, seed) that are missing, printing progress and the time left.

    Returns:
        Whether a run failed; the others are made all the same.
    """
    todo = [(task, m, seed) for task, m, seed in wanted if not store.path_of(records(task, rate), m, seed).exists()]
    began, failed = time.monotonic(), []
    for number, (task, method, seed) in enumerate(todo):
        each = (time.monotonic() - began) / number if number else None
        left = f", about {each * (len(todo) - number) / 60:.0f} min left" if each else ""
        print(f"== run {number + 1}/{len(todo)}: {task}, {method}, seed {seed}{left}", flush=True)
        try:
            path = store.save(records(task, rate), run(task, method, seed, work, series, rate))
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired, ValueError) as error:
            failed.append(f"{task}, {method}, seed {seed}")
            print(f"== not recorded: {error}", flush=True)
        else:
            print(f"== recorded in {path}", flush=True)
    if failed:
        print(f"== failed: {'; '.join(failed)}", flush=True)
    return bool(failed)


def name_missing(task: str, wanted: Mapping[str, Iterable[int]], rate: float | None = None) -> None:
    """Say on stderr which seeds of which methods are not recorded."""
    for method, seeds in wanted.items():
        if missing := [str(seed) for seed in seeds if not store.path_of(records(task, rate), method, seed).exists()]:
            print(f"missing: {task}, {method}, seeds {', '.join(missing)}", file=sys.stderr)
