"""What the scripts that start a vLLM engine have in common."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from sage.support.documents import RepeatedKey, load_json

CPU_DEFAULTS = {"enable_chunked_prefill": False}
"""Of the engine on a CPU: vLLM rewinds the random state of a request whose prompt it cut in two, which no CPU generator
can do."""
OF_THE_MODEL = (
    "dtype", "generation_config", "hf_overrides", "kv_cache_dtype", "load_format", "override_generation_config",
    "quantization", "tokenizer",
)  # fmt: skip
"""Arguments of an engine that change what a model answers; the others change its speed."""
RESERVED = ("add_generation_prompt", "conversation", "messages", "return_dict", "return_tensors", "tokenize")
"""Arguments of ``apply_chat_template`` that are not a user's to choose."""


def engine_option(text: str) -> tuple[str, Any]:
    """``key=value`` with the value read as YAML, for argparse."""
    key, mark, value = text.partition("=")
    if not key or not mark:
        raise argparse.ArgumentTypeError(f"{text!r} must be KEY=VALUE, an argument of vLLM's engine")
    if key == "model":
        raise argparse.ArgumentTypeError(f"{text!r}: the model is set already and cannot be chosen")
    return key, _read(value)


def of_the_model(engine: Mapping[str, Any]) -> dict[str, Any]:
    """Those of an engine's arguments on which its answers depend."""
    return {key: value for key, value in sorted(engine.items()) if key in OF_THE_MODEL}


def template_option(text: str) -> dict[str, Any]:
    """``key=value``, or an object in JSON or YAML: ``data.apply_chat_template_kwargs`` of a run, for argparse."""
    key, mark, value = text.partition("=")
    options = _read(text) if text.lstrip().startswith("{") else {key: _read(value)} if key and mark else None
    if not isinstance(options, dict) or not all(isinstance(name, str) for name in options):
        raise argparse.ArgumentTypeError(f"{text!r} must be KEY=VALUE or a JSON object, such as enable_thinking=false")
    if taken := [name for name in options if name in RESERVED]:
        raise argparse.ArgumentTypeError(f"{taken[0]} is set already and cannot be chosen")
    return options


def add_template_options(parser: argparse.ArgumentParser) -> None:
    """``--template-kwargs``, for scripts that render prompts; `template_options` puts its values together."""
    parser.add_argument(
        "--template-kwargs", type=template_option, nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="what the chat template gets, as data.apply_chat_template_kwargs in training: KEY=VALUE or JSON, for "
        "instance enable_thinking=false",
    )  # fmt: skip


def template_options(given: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """All values of ``--template-kwargs`` in one, the later ones first in rank."""
    return {key: value for options in given for key, value in options.items()}


def _read(text: str) -> Any:
    """A value in JSON or YAML; the text itself where YAML makes of it what JSON does not have, such as a date."""
    try:
        return load_json(text)
    except RepeatedKey as error:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be read: {error}") from error
    except ValueError:
        pass
    try:
        value = yaml.safe_load(text)
        json.dumps(value)
    except yaml.YAMLError as error:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be read: {getattr(error, 'problem', error)}") from error
    except TypeError:
        return text
    return value
