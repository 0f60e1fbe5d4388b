"""What a value may be, in words, and the sentences for values that are not."""

import json
from typing import Annotated, Literal

import pytest
from annotated_types import Gt, Lt

from sage.config import SageConfig
from sage.support.values import Count, PartOfOne, Share, closest, wanted, why_damaged, why_not


@pytest.mark.parametrize(
    "kind, words",
    [
        (Count, "a whole number of at least 1"),
        (Share, "a number of at least 0 and of at most 1"),
        (PartOfOne, "a number above 0 and of at most 1"),
        (Annotated[float, Gt(0), Lt(1), "the paper uses 0.35"], "a number above 0 and below 1; the paper uses 0.35"),
        (Literal["a", "b", "c"], "a, b or c"),
        (Literal[-1] | Count, "-1 or a whole number of at least 1"),
        (list[Share] | None, "a list, each item a number of at least 0 and of at most 1 or null"),
    ],
)
def test_a_type_in_words(kind, words):
    assert wanted(kind) == words


@pytest.mark.parametrize(
    "kind, good, bad",
    [
        (Count, [1, 7], [0, -1, "1", 1.5, True, None]),
        (Share, [0, 1, 0.5], [1.1, "0.5", float("nan"), False]),
        (float, [1], [float("inf"), float("nan"), "1"]),
        (bool, [True], [1, "true"]),
        (Literal["a"] | None, ["a", None], ["b", 1]),
    ],
)
def test_values_are_taken_as_they_are_or_not_at_all(kind, good, bad):
    assert [why_not(kind, value) for value in good] == [None] * len(good)
    assert [why_not(kind, value) for value in bad] == [f"must be {wanted(kind)}"] * len(bad)


def test_a_near_name_is_offered():
    assert closest("patiense", ["patience", "leak"]) == "; did you mean patience?"
    assert closest("zzz", ["patience"]) == ""


def test_every_fault_of_a_configuration_is_said_at_once():
    with pytest.raises(ValueError) as refused:
        SageConfig.from_mapping({"alpha": 2, "patiense": 1, "leak": "ask", "max_level": True})
    text = str(refused.value)
    for sentence in (
        "sage.alpha=2 must be a number above 0",
        "sage.patiense is unknown; did you mean patience?",
        "sage.leak='ask' must be refuse or redact",
        "sage.max_level=True must be a whole number of at least 1 and of at most 3; for no hints",
        "sage.schedule is missing; see",
    ):
        assert any(line.startswith(sentence) for line in text.splitlines()), sentence


@pytest.mark.parametrize("name", ["frac{1}{2}", "tfrac{1}{2}", "text{m}", "times 3", "boxed{1}", "right)", "nabla f"])
def test_a_command_whose_backslash_was_taken_is_seen(name):
    assert why_damaged(json.loads(rf'"2 \{name}"')) and not why_damaged(rf"2 \{name}")


@pytest.mark.parametrize("text", ["\text = 1", "\tfrac = 3", "page 1\fpage 2", "one\ntwo", "a\r\nb", "a\tb"])
def test_blanks_of_text_and_code_are_no_damage(text):
    assert why_damaged(text) is None
