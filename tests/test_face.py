"""What a newcomer meets first: help that answers at once, links that lead somewhere, commands that exist."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHELL = [
    *(path for path in sorted((ROOT / "examples").glob("*.sh")) if not path.name.startswith("common_")),
    ROOT / "requirements/lock.sh",
    ROOT / "scripts/setup_env.sh",
    ROOT / "scripts/test.sh",
]
PYTHON = [
    path
    for path in sorted([*ROOT.glob("scripts/*.py"), *ROOT.glob("benchmarks/*.py")])
    if "__main__" in path.read_text()
]
HEAVY = ("torch", "ray", "vllm", "verl", "transformers")
"""What takes seconds to import, which help need not wait for."""


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("script", SHELL, ids=relative)
def test_a_shell_script_shows_its_head_and_does_nothing_else(script, tmp_path):
    """Run from another folder, with a PATH on which an installation could not even begin."""
    for option in ("--help", "-h"):
        command = ["bash", os.path.relpath(script, tmp_path), option]
        run = subprocess.run(
            command, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=30
        )
        assert run.returncode == 0 and not run.stderr, run.stderr
        assert "bash " in run.stdout and "set -euo" not in run.stdout and "#!" not in run.stdout


HELPS = """
import json, os, runpy, subprocess, sys
import argparse, asyncio, numpy, pyarrow.parquet, pydantic, yaml  # for all, so that it is done once
heavy, *scripts = json.loads(sys.argv[1])
for script in scripts:
    read, write = os.pipe()
    if not os.fork():
        os.dup2(write, 1)
        sys.argv, code = [script, "--help"], 0
        sys.path[0] = os.path.dirname(script)
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            code = end.code
        print("heavy:", *sorted(set(heavy) & set(sys.modules)), flush=True)
        os._exit(bool(code))
    os.close(write)
    text = open(read).read()
    print(json.dumps([script, text, os.waitstatus_to_exitcode(os.wait()[1])]))
"""
"""Prints what each script answers to --help, in a process of its own, and what it has imported of what is heavy."""


@pytest.fixture(scope="module")
def helps() -> dict[str, tuple[str, int]]:
    asked = json.dumps([HEAVY, *map(str, PYTHON)])
    command = [sys.executable, "-c", HELPS, asked]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=100, check=True)
    assert not run.stderr, run.stderr
    answers = map(json.loads, run.stdout.splitlines())
    return {script: (text, status) for script, text, status in answers}


@pytest.mark.parametrize("script", PYTHON, ids=relative)
def test_a_python_script_helps_without_a_framework(script, helps):
    text, status = helps[str(script)]
    assert status == 0, text
    shown, _, heavy = text.rpartition("heavy:")
    assert shown.strip() and not heavy.strip()


def test_a_started_script_helps():
    run = subprocess.run([sys.executable, "scripts/report.py", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout.startswith("usage: report.py") and not run.stderr


def test_the_version_is_the_same_everywhere():
    version = re.search(r'^__version__ = "(.+)"$', (ROOT / "sage/__init__.py").read_text(), re.M)[1]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version} (" in (ROOT / "CHANGELOG.md").read_text()


# ---- the pages ----

PAGES = sorted(
    path
    for folder in (".", "docs", "results", "recipe/sage", "examples/countdown", "examples/code")
    for path in (ROOT / folder).glob("*.md")
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(
    r"\b(?:python|bash|sbatch)\b[^\n|`#]*?\b((?:scripts|examples|benchmarks|requirements|\.ci)/[\w./-]+)([^\n|`]*)"
)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_link_leads_somewhere(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists() and target.is_relative_to(ROOT), f"{relative(page)}: {link}"
        assert not anchor or anchor in anchors(target), f"{relative(page)}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_command_is_there_with_its_options(page):
    text = re.sub(r"\\\n\s*", " ", page.read_text(encoding="utf-8"))
    for name, rest in COMMAND.findall(text):
        file = ROOT / name
        assert file.is_file() or "MODEL" in name or name.endswith("_"), name  # of run_<model>.sh
        if file.suffix == ".py":
            source = file.read_text(encoding="utf-8")
            for option in re.findall(r"(?<= )--[a-z][\w-]*", rest.partition(" -- ")[0]):
                assert option in source or option == "--help", f"{relative(page)}: {name} has no {option}"


def test_the_readme_is_short_and_the_index_is_whole():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
    index = LINK.findall((ROOT / "docs/README.md").read_text(encoding="utf-8"))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} <= set(index)


def test_pages_that_code_and_settings_name_are_there():
    folders = ("sage", "recipe", "scripts", "examples", "benchmarks", "requirements")
    files = [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".yaml", ".sh", ".in"}
    ]
    named = {
        (relative(path), page)
        for path in files
        for page in re.findall(r"\bdocs/[\w-]+\.md\b", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 5 and not [each for each in named if not (ROOT / each[1]).is_file()]
