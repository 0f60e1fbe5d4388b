"""What the scripts that start a vLLM engine have in common."""

from __future__ import annotations

import argparse
from typing import Any

import yaml

CPU_DEFAULTS = {"enable_chunked_prefill": False}
"""Of the engine on a CPU: vLLM rewinds the random state of a request whose prompt it cut in two, which no CPU generator
can do."""


def engine_option(text: str) -> tuple[str, Any]:
    """``key=value`` with the value read as YAML, for argparse."""
    key, mark, value = text.partition("=")
    if not mark:
        raise argparse.ArgumentTypeError(f"{text!r} must be KEY=VALUE, an argument of vLLM's engine")
    return key, yaml.safe_load(value)
