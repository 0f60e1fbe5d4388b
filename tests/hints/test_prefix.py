"""The first part of the reference as a hint: whole steps, by fractions, never the last one."""

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.grading.verifier import ExactVerifier
from sage.hints.prefix import Prefix, prefix, step_ends
from sage.hints.prompts import PromptTemplates
from sage.hints.sources import HintQuery, HintSettings
from sage.hints.writer import HintRules, HintWriter
from sage.method.records import Hint, HintFailure, Prompt

SOLUTION = "Add the two. Call the sum $s$. Then square it. Last of all, halve it."


def steps(text, step=None):
    ends = [0, *step_ends(text, step)]
    return [text[a:b].strip() for a, b in itertools.pairwise(ends)]


def test_levels_are_fractions_of_the_solution_in_whole_steps():
    assert steps(SOLUTION) == ["Add the two.", "Call the sum $s$.", "Then square it.", "Last of all, halve it."]
    assert [prefix(SOLUTION, level, 3) for level in (1, 2, 3)] == [
        "Add the two.",
        "Add the two. Call the sum $s$.",
        "Add the two. Call the sum $s$. Then square it.",
    ]
    assert prefix(SOLUTION, 1, 1) == prefix(SOLUTION, 2, 3), "half of it"


def test_a_long_first_step_is_shown_and_the_last_step_never():
    long = "A first step that is longer than a quarter of it all. So 12."
    assert [prefix(long, level, 3) for level in (1, 3)] == [long.removesuffix(" So 12.")] * 2
    for text in ("Only one step.", "", "   \n"):
        assert prefix(text, 3, 3) is None
    assert [prefix(SOLUTION, 3, 3, fewer=n) for n in (1, 2, 3)] == [prefix(SOLUTION, n, 3) for n in (2, 1)] + [None]


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("Let $$\na. B\n$$\nbe so.\nThen.", ["Let $$\na. B\n$$", "be so.", "Then."]),
        ("We get\n\\begin{align}\nx &= 1\\\\\ny &= 2\n\\end{align}\nEnd.", None),
        ("See \\[\nx = 1\n\\]\nand \\$5.\nThen \\$6. Yes.", ["See \\[\nx = 1\n\\]", "and \\$5.", "Then \\$6.", "Yes."]),
        ("Run\n```\na = 1\nb = 2\n```\nand see.", ["Run", "```\na = 1\nb = 2\n```", "and see."]),
        ("e.g. x is 3.5 here. Now go.", ["e.g. x is 3.5 here.", "Now go."]),
        ("\u5148\u76f8\u52a0\u3002\u518d\u5e73\u65b9\u3002", ["\u5148\u76f8\u52a0\u3002", "\u518d\u5e73\u65b9\u3002"]),
        ("\n\n First.\n\n\nSecond.\n", ["First.", "Second."]),
    ],
)
def test_no_step_ends_in_a_formula_an_environment_or_code(text, wanted):
    wanted = wanted or ["We get", "\\begin{align}\nx &= 1\\\\\ny &= 2\n\\end{align}", "End."]
    assert steps(text.strip()) == wanted


def test_a_task_may_say_what_a_step_is():
    assert steps("b511d111f210", "[a-z]+[0-9]*,?") == ["b511", "d111", "f210"]
    assert prefix("bbb,bb,aa,dd", 2, 3, "[a-z]+[0-9]*,?") == "bbb,"


@settings(max_examples=100)
@given(st.text("aA. \n$\\[]{}`!?", max_size=60), st.integers(1, 3))
def test_a_prefix_is_a_part_of_the_solution_and_grows_with_the_level(text, level):
    found = prefix(text, level, 3)
    if found is not None:
        assert text.strip().startswith(found) and found and len(found) < len(text.strip())
        assert level == 3 or (prefix(text, level + 1, 3) or "").startswith(found)


def test_a_part_that_states_the_answer_is_tried_again_with_a_step_less():
    solution = "Add the two.\nThe answer is 12345.\nCheck it.\nDone."
    source = Prefix(HintSettings(3, "json", True, 1.0, 1.0, 64, PromptTemplates.load("math")))
    prompt = Prompt("p", "x", "12345", solution)

    async def ask(level, attempt):
        return await source.ask(HintQuery(prompt, level, attempt, 0, 0), None)

    def writer(retries):
        rules = HintRules(3, "verbatim", retries, "refuse")
        return HintWriter(prompt, rules, ExactVerifier(), ask, lambda text: True)

    assert asyncio.run(writer(1).write(3)) == Hint(3, "Add the two.")
    assert asyncio.run(writer(0).write(3)) == HintFailure.LEAK
