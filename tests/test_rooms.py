"""The rooms of sage/: which may import which, and that none but those named here imports a framework."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("support", "method", "grading", "hints", "config", "evaluation", "data", "report", "planning", "toy")
"""In order: each imports itself and those before it. ``config`` is sage/config.py, the ``sage:`` block of a run."""
FRAMEWORKS = {"verl", "vllm", "ray"}
USES = {"sage/evaluation/generate.py": {"vllm"}}
"""What imports one: the engine of an evaluation. Besides, sage/evaluation/checkpoints.py starts verl's model
merger as a command, ``python -m verl.model_merger``, and imports nothing of it."""
MODULES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "sage").rglob("*.py") if path.parent != ROOT / "sage")
MODULES.append("sage/config.py")


def imported(path: str) -> Iterator[str]:
    """Every module that a file imports, at its top or in a function, and what it takes from one as if a module."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively: write the module's whole name"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(path: str) -> str:
    return Path(path).with_suffix("").parts[1]


def test_every_room_has_its_place_and_says_what_it_is_for():
    folders = {path.parent.name for path in (ROOT / "sage").glob("*/*.py")}
    assert folders | {"config"} == set(ROOMS)
    for folder in folders:
        text = ast.get_docstring(ast.parse((ROOT / "sage" / folder / "__init__.py").read_text(encoding="utf-8")))
        assert text and text.splitlines()[0].endswith("."), f"sage/{folder}/__init__.py"


@pytest.mark.parametrize("path", MODULES)
def test_no_room_imports_one_above_it(path):
    allowed = ROOMS[: ROOMS.index(room(path)) + 1]
    names = {name for name in imported(path) if name.partition(".")[0] == "sage"}
    used = {name.split(".")[1] for name in names - {"sage"}}
    assert used <= set(allowed), f"{path} imports {used - set(allowed)}"
    assert "sage" not in names, f"{path} imports sage as a whole: name the module"


def test_no_module_imports_itself_through_others():
    names = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in MODULES}
    after = {name: {found for found in imported(path) if found in names} - {name} for name, path in names.items()}
    while free := {name for name, found in after.items() if not found}:
        after = {name: found - free for name, found in after.items() if name not in free}
    assert not after, f"a circle among {', '.join(sorted(after))}"


def test_only_the_modules_named_import_a_framework():
    found = {path: {name.partition(".")[0] for name in imported(path)} & FRAMEWORKS for path in MODULES}
    assert {path: names for path, names in found.items() if names} == USES
