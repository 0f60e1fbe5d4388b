"""``python -m recipe.sage.command_line CONFIG [arguments]``: checks a launch script's arguments, writes them for Hydra.

Prints them, each ended by NUL, with quotes around values that Hydra would not take as they are: paths with ``=``,
``,``, brackets, ``#`` or letters beyond ASCII. ``text:KEY=VALUE`` is a text whatever it looks like. An unknown key,
group, value or option ends in one sentence and status 2. It loads neither verl nor torch and takes about a second.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

ACTIVATE = "activate the environment of scripts/setup_env.sh, or name its interpreter by PYTHON"

try:
    from hydra import compose, initialize_config_dir
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Override
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from sage.support.values import closest
except ModuleNotFoundError as error:
    raise SystemExit(f"{error.name} is not installed for {sys.executable}: {ACTIVATE}") from None

CONFIGS = Path(__file__).parent / "config"
OPTIONS = (
    "-h", "--help", "--hydra-help", "--version", "-c", "--cfg", "--resolve", "-p", "--package", "-r", "--run", "-i",
    "--info", "-cp", "--config-path", "-cn", "--config-name", "-cd", "--config-dir",
    "--full", "--gpu", "--gpus", "--gpu-memory", "--response-tokens", "--history",
)  # fmt: skip
"""Hydra's, and those of `recipe.sage.dry_run`."""
TEXT = "text:"
REFUSED = (HydraException, OmegaConfBaseException, ValueError)
"""What Hydra raises for arguments that compose no run."""


def quoted(value: str) -> str:
    """A text as Hydra's grammar writes it."""
    inside = re.sub(r"(\\*)'", r"\1\1\\'", value)
    return "'" + re.sub(r"(\\+)$", r"\1\1", inside) + "'"


def whole(argument: str) -> str:
    """An override whose value Hydra reads as what was written; other arguments as they are."""
    key, equals, value = argument.removeprefix(TEXT).partition("=")
    if key != argument.partition("=")[0]:
        plain = _is_read(f"x={value}", value) and _parse(f"x={value}").value() == value and "${" not in value
        return f"{key}={value if plain else quoted(value.replace('${', chr(92) + '${'))}"
    if not equals or argument.startswith("-") or value.startswith(("'", '"', "{")) or _is_read(argument, value):
        return argument
    if value.startswith("[") and value.endswith("]"):
        items = (item if _is_read(f"x={item}", item) else quoted(item) for item in value[1:-1].split(","))
        return f"{key}=[{','.join(items)}]"
    if "," in value and "/" not in value and re.fullmatch(r"[\w.,+ -]+", value):
        return argument  # a list without brackets, more likely than a file: Hydra's complaint names both
    return f"{key}={quoted(value)}"


def _is_read(argument: str, value: str) -> bool:
    try:
        return not _parse(argument).is_sweep_override() and value == value.strip()
    except HydraException:
        return False


@cache
def _parse(override: str) -> Override:
    return OverridesParser.create().parse_override(override)


def accept_arguments() -> None:
    """Let a command of the recipe, before Hydra reads its arguments, end with one sentence where they are wrong.

    Values that Hydra would not take as they are get quotes.
    """
    rest, name = sys.argv[1:], "sage_trainer"
    for index, argument in enumerate(rest):
        option, equals, value = argument.partition("=")
        if option in ("--config-name", "-cn"):
            name = value if equals else rest[index + 1] if index + 1 < len(rest) else name
    try:
        sys.argv[1:] = accept(name.removesuffix(".yaml"), rest)
    except ValueError as error:
        raise SystemExit(str(error)) from None


def accept(name: str, arguments: Sequence[str]) -> list[str]:
    """The arguments as Hydra takes them.

    Raises:
        ValueError: they compose no run (`check`).
    """
    written = [whole(argument) for argument in arguments]
    check(name, written)
    return written


def check(name: str, arguments: Sequence[str]) -> None:
    """Assert that Hydra composes a run from these arguments.

    Args:
        name: of a configuration of the recipe or of verl's trainer.
        arguments: overrides, and options with their values, which are passed over.

    Raises:
        ValueError: it does not; one sentence.
    """
    overrides = []
    for before, argument in zip(("", *arguments), arguments, strict=False):
        if argument.startswith("~") or ("=" in argument and not argument.startswith("-")):
            overrides.append(argument)
        elif argument.startswith("-") and (option := argument.partition("=")[0]) not in OPTIONS:
            raise ValueError(f"{option} is no option{closest(option, OPTIONS)}; a key is written key=value")
        elif not argument.startswith("-") and not before.startswith("-"):
            raise ValueError(f"{argument!r} is no argument: write key=value, such as method=sage")
    for override in overrides:
        try:
            key = _parse(override).key_or_group
        except HydraException as error:
            why = " ".join(str(error).split()).partition(" See https")[0]
            key, _, value = override.partition("=")
            example = f'{key}="{value}"'
            raise ValueError(f"{override} cannot be read ({why}): put its value in quotes, '{example}'") from error
        if not key:
            raise ValueError(f"{override!r} is no argument: write key=value, such as method=sage")
    _theirs()
    try:
        _compose(name, overrides)
    except REFUSED as error:
        text = " ".join(str(error).split())
        if unknown := re.match(r"Could not override '([^']+)'", text):
            raise ValueError(_advice(name, unknown[1], overrides)) from error
        sentence = re.split(r" (?:Config search path|3\. To sweep|See https)", text)[0]
        if missing := re.search(r"Could not find '([^/']+)/([^']+)' Available options in '[^']+': (.+)", sentence):
            raise ValueError(
                f"{missing[1]}={missing[2]} must be one of {', '.join(missing[3].split())}"
                + closest(missing[2], missing[3].split())
            ) from error
        named = any(_parse(override).key_or_group in sentence for override in overrides)
        raise ValueError(sentence if named else f"{_culprit(name, overrides)}{sentence}") from error


def _culprit(name: str, overrides: Sequence[str]) -> str:
    """The override that by itself gives no run, before a sentence that does not name it."""
    for override in overrides:
        try:
            _compose(name, [override])
        except REFUSED:
            return f"{override}: "
    return ""


def _advice(name: str, key: str, overrides: Sequence[str]) -> str:
    choices = [o for o in overrides if o.lstrip("+").partition("=")[0] in ("model_engine", "engine", "optim")]
    names = [*_keys(_compose(name, choices)), *(path.name for path in CONFIGS.iterdir() if path.is_dir())]
    return f"{key} is no key of a run (a new one is written +{key}=..){closest(key, names)}"


def _theirs() -> Path:
    """The folder of verl's configurations."""
    verl = importlib.util.find_spec("verl")
    if verl is None or not verl.submodule_search_locations:
        raise ValueError(f"verl is not installed for {sys.executable}: {ACTIVATE}")
    return Path(verl.submodule_search_locations[0]) / "trainer/config"


def _compose(name: str, overrides: Sequence[str]) -> Any:
    theirs = _theirs()
    ours = (CONFIGS / f"{name}.yaml").is_file()
    where = [f"hydra.searchpath=[{quoted(f'file://{theirs}')}]"] if ours else []  # pkg:// would import verl
    with initialize_config_dir(str(CONFIGS if ours else theirs), version_base=None):
        return OmegaConf.to_container(compose(name, [*overrides, *where]), resolve=True)


def _keys(value: object, prefix: str = "") -> Iterator[str]:
    if prefix:
        yield prefix
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _keys(item, f"{prefix}.{key}" if prefix else str(key))


def main(arguments: Sequence[str]) -> int:
    name, *rest = arguments
    try:
        written = accept(name, rest)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print("".join(f"{argument}\0" for argument in written), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
