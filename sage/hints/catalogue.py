"""The hint sources that ``sage.hint_source`` can name."""

from __future__ import annotations

from sage.hints.endpoint import EndpointSource
from sage.hints.hint_file import HintFile
from sage.hints.prefix import Prefix
from sage.hints.sources import HintSource, Online
from sage.support.plugins import load_object

SOURCES: tuple[type[HintSource], ...] = (Online, Prefix, EndpointSource, HintFile)


def load_hint_source(spec: str) -> type[HintSource]:
    """The class of a hint source; its ``open(spec, settings)`` makes one.

    Raises:
        ValueError: there is no such source, or its name is not complete.
    """
    for source in SOURCES:
        if source.takes(spec):
            return source
    if "://" in spec or ":" not in spec or not spec.rpartition(":")[2].isidentifier():
        raise ValueError(
            "must be online, the path of a .jsonl or .parquet file of hints, the http(s) URL of an endpoint, prefix, "
            "or path/to/file.py:Class or package.module:Class of your own"
        )
    found = load_object(spec)
    if not (isinstance(found, type) and issubclass(found, HintSource)):
        raise ValueError("is not a subclass of sage.hints.sources.HintSource")
    return found
