"""What a value may be, as a type that pydantic checks, and in words for one that it does not take."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)
"""No text for a number, no number for a text, and neither inf nor nan."""

Count = Annotated[int, Ge(1)]
Whole = Annotated[int, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
PartOfOne = Annotated[float, Gt(0), Le(1)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]

_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", NoneType: "null"}
_BOUNDS = {Gt: ("gt", "above"), Ge: ("ge", "of at least"), Lt: ("lt", "below"), Le: ("le", "of at most")}


def wanted(kind: Any) -> str:
    """A type in words, such as *a number above 0 and below 1*; a text in `Annotated` follows as advice."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        bounds = " and ".join(
            f"{words} {getattr(mark, name)}"
            for mark in arguments[1:]
            for name, words in [_BOUNDS.get(type(mark), ("", ""))]
            if name
        )
        advice = [mark for mark in arguments[1:] if isinstance(mark, str)]
        return "; ".join([f"{wanted(arguments[0])} {bounds}".rstrip(), *advice])
    if origin is Literal:
        return one_of(map(str, arguments))
    if origin in (Union, UnionType):
        return " or ".join(map(wanted, arguments))
    if origin is list:
        return f"a list, each item {wanted(*arguments)}"
    if origin is dict:
        return "a mapping of names to values"
    return _KINDS[kind]


def one_of(names: Iterable[str]) -> str:
    """Names with "or" before the last."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


_TAKEN = re.compile(
    r"[\x07\x08\x0b](?=[a-z])|\x0c(?=rac|orall|box|lat\b)|\n(?=abla\b)|\r(?=(?:ight|ho)\b)"
    r"|\t(?=(?:imes|heta|riangle)\b|(?:ext|frac) ?[{\d])"
)
"""A control character that a single backslash has become, and the rest of the command."""


def why_damaged(text: str) -> str | None:
    r"""What to say of LaTeX that was written into JSON with single backslashes, so that ``\frac`` is a form feed."""
    found = _TAKEN.search(text)
    return found and (
        f"the control character U+{ord(found[0]):04X} before {text[found.end() : found.end() + 8]!r}, which a LaTeX "
        "command becomes where JSON is written with single backslashes: double them"
    )


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings, under dotted keys."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from flat(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def closest(name: str, names: Iterable[str]) -> str:
    """ "; did you mean ..?" where one of the names is near, else nothing."""
    near = difflib.get_close_matches(name, list(names), 1)
    return f"; did you mean {near[0]}?" if near else ""


def why_not(kind: Any, value: Any) -> str | None:
    """Why a value is not of a type, as the end of a sentence; None where it is."""
    try:
        TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False)).validate_python(value)
    except ValidationError:
        return f"must be {wanted(kind)}"
    return None


def faults(error: ValidationError, model: type[BaseModel], prefix: str, advice: str) -> Iterator[str]:
    """One sentence for each field at fault.

    Args:
        model: what raised it; knows what each field may be.
        prefix: what stands before a field's name, such as ``sage.``.
        advice: where a missing value is found.
    """
    kinds, seen = get_type_hints(model, include_extras=True), set()
    for fault in error.errors():
        name = ".".join(map(str, fault["loc"][:1]))
        if name in seen:  # a union reports each of its types
            continue
        seen.add(name)
        own = fault.get("ctx", {}).get("error")  # of a validator
        if own is not None:
            yield str(own)
        elif fault["type"] == "extra_forbidden":
            yield f"{prefix}{name} is unknown{closest(name, kinds)}; the keys are {', '.join(model.model_fields)}"
        elif fault["type"] == "missing":
            yield f"{prefix}{name} is missing; {advice}"
        else:
            yield f"{prefix}{name}={fault['input']!r} must be {wanted(kinds[name])}"
