r"""Reading hints: LaTeX survives every sloppy way of writing JSON, and no text is slow or fatal."""

import json
import statistics
import string
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage.hints.parsing import parse_hint, parse_hints

LEVELS = (1, 2, 3)
NAMES = r"""
\frac{1}{2} \theta \nu_1 \sqrt{x} \xi \beta \rho \tau \binom{n}{k} \right) \left( \underline{x} \nabla \neq \times
\text{if} \tan \rangle \boxed{} \mathbb{R} \{1,2\} \, \% \begin{pmatrix} \end{pmatrix} \\ \notin \therefore \to
"""
COMMANDS = NAMES.split()


@pytest.mark.parametrize(
    "written",
    [
        r'{"level_1": "\frac", "level_2": "a\nThen \theta"}',
        r'{"level_1": "\\frac", "level_2": "a\nThen \\theta"}',
        '{"level_1": "\\frac", "level_2": "a\nThen \\theta",}',
        r"{'level_1': '\frac', 'level_2': 'a\nThen \theta'}",
        r'Sure! ```json {"Level 1": "\frac", "LEVEL-2": "a\nThen \\theta"}``` I hope it helps {with} this.',
        r'<think>{"level_1": "no"}</think>{"level1": "\frac" "level2": "a\nThen \theta"}',
        r'{"level_1": "draft", "level_2": "draft"} or better {"level_1": "\frac", "level_2": "a\nThen \theta"}',
        r'{"level_1": "old", "level_1": "\frac", "note": {"level_1": "inner"}, "level_2": "a\nThen \theta"}',
        r'{"level_1": "\frac"}{"level_2": "a\nThen \theta"}',
        r'{"hints": {"level_1": "\frac", "level_2": "a\nThen \theta"}, "n": [1, "x", {"y": 2}], "ok": true}',
        r'{"level_1": "\frac", "level_2": "a\nThen \theta", "level_3": "trunc',
        r'{"level_1": "\frac", "level_2": "a\nThen \theta", "lev',
        r'{"level_1": "\frac", "level_2": "a\nThen \theta"',
        r'A set {x: x > 0}. {level_1: "\frac", level_2: "a\nThen \theta"}',
        r'\[ \{ "level_1": "\frac", "level_2": "a\nThen \theta" \} \]',
        r'\{"level_1": "\frac", "level_2": "a\nThen \theta"\}',
        r'｛"level_1"："\frac"，"level_2"："a\nThen \theta"｝',
        r'<|channel|>final <|constrain|>json<|message|>{"level_1": "\frac", "level_2": "a\nThen \theta"}',
    ],
)
def test_sloppy_objects_give_the_same_hints(written: str) -> None:
    assert parse_hints(written, LEVELS) == {1: r"\frac", 2: "a\nThen \\theta"}


def test_ambiguous_escapes_follow_the_style_of_the_string() -> None:
    assert parse_hints(r'{"level_1": "\nu and \neq"}', [1]) == {1: r"\nu and \neq"}
    assert parse_hints(r'{"level_1": "\\alpha\nu is free"}', [1]) == {1: "\\alpha\nu is free"}
    assert parse_hints(r'{"level_1": "a\nuse\ttabs"}', [1]) == {1: "a\nuse\ttabs"}
    assert parse_hints(r'{"level_1": "\alpha \\ \beta"}', [1]) == {1: r"\alpha \\ \beta"}
    assert parse_hints(r'{"level_1": "\\alpha \\\\ \\beta"}', [1]) == {1: r"\alpha \\ \beta"}
    assert parse_hints(r'{"level_1": "caf\u00e9 \ud83d\ude00 \ud83d \underline{x}"}', [1]) == {
        1: "caf\u00e9 \U0001f600 \ufffd \\underline{x}"
    }


def test_inner_quotes_stay() -> None:
    assert parse_hints('{"level_1": "use "AM-GM", then: "x" and so on", "level_2": "b"}', LEVELS) == {
        1: 'use "AM-GM", then: "x" and so on',
        2: "b",
    }
    assert parse_hints(r'{"level_1": "say \"hi\""}', LEVELS) == {1: 'say "hi"'}
    assert parse_hints(r'{"level_1": "in \{"a", "b"\} it", "level_2": "b"}', [1]) == {1: r'in \{"a", "b"\} it'}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no object",
        "{",
        '{"level_1": "...", "level_2": "..."}',
        '{"level_1": "cut',
        '{"level_1": ""}',
        '{"level_1": 3}',
        '<think>{"level_1": "a"}',
        "{}",
    ],
)
def test_nothing_usable_is_an_empty_dict(text: str) -> None:
    assert parse_hints(text, LEVELS) == {}


@pytest.mark.parametrize(
    ("text", "hints"),
    [
        ('{"level_1": "a,\n "level_2": "b",\n "level_3": "c"}', {3: "c"}),
        ('{"level_1": "a", "level_2: "b", "level_3": "c"}', {3: "c"}),
        ("Level 1: a Level 2: b Level 3: c", {}),
        ('{"level_0": "a", "level_1": "b", "level_2": "c"}', {1: "a", 2: "b", 3: "c"}),
        ('{"level_1": "a", "level_2": "b"} in the form {"level_1": "...", "level_2": "..."}', {1: "a", 2: "b"}),
        ('level_1 = "a"\nlevel_2 = "b"', {1: "a", 2: "b"}),
        ("第一级提示：a\n第二级提示：b", {1: "a", 2: "b"}),
        ("level_1 => a\nlevel_2 -> b", {1: "a", 2: "b"}),
        ("Here are the hints:\n\n1. a\n2. b\n3. c", {1: "a", 2: "b", 3: "c"}),
        ("1) a\n2) b\n3) c", {1: "a", 2: "b", 3: "c"}),
        ("1. a\n2. b", {}),
        ("(Level 1) a\n(Level 2) b", {1: "a", 2: "b"}),
        ("[Level 1] a\n[Level 2] b", {1: "a", 2: "b"}),
        ("**Level 1** a\n**Level 2** b", {1: "a", 2: "b"}),
        ("* Level 1: a\n* Level 2: b", {1: "a", 2: "b"}),
        ("🔹 Level 1 → a\n🔹 Level 2 → b", {1: "a", 2: "b"}),
        ("<hints><hint1>a</hint1><hint2>b</hint2></hints>", {1: "a", 2: "b"}),
        ("<hint level=1>a</hint><hint level=2>b</hint>", {1: "a", 2: "b"}),
        ("<hint level=1>a <hint level=2>b", {}),
        ("{”level_1”: ”a”, ”level_2”: ”b”}", {1: "a", 2: "b"}),
        ("Level 1: a\nLevel 2: b\n\nI hope this helps!", {1: "a", 2: "b"}),
        ("First solve for x:\n1. a\n2. b\n3. c", {}),
    ],
)
def test_no_hint_holds_that_of_another_level(text: str, hints: dict[int, str]) -> None:
    assert parse_hints(text, LEVELS) == hints


@pytest.mark.parametrize(
    ("text", "level", "hint"),
    [
        ('{"level_3": "c"}', 1, ""),
        ('{"level_1": "a"}', 2, "a"),
        ("Level 3: c", 1, ""),
        ("Level 2: b\nLevel 3: c", 1, ""),
        ('[{"level": 1, "hint": "a"}, {"level": 2, "hint": "b"}]', 2, "b"),
        ('["a", "b", "c"]', 2, "b"),
        ("Consider the parity. Level 2: b", 1, ""),
    ],
)
def test_one_hint_is_never_a_stronger_one(text: str, level: int, hint: str) -> None:
    assert parse_hint(text, level) == hint


def test_only_requested_levels_are_returned_in_their_order() -> None:
    text = '{"level_1": "a", "level_2": "b", "level_3": "c", "level_4": "d"}'
    assert list(parse_hints(text, [3, 1]).items()) == [(3, "c"), (1, "a")]


words = st.text(string.ascii_letters + string.digits + " .,:;()+=_^$é∑'", min_size=1, max_size=12)
pieces = st.one_of(words, st.sampled_from([command + " " for command in COMMANDS]), st.just("\nThen "))
hints = st.lists(pieces, min_size=1, max_size=12).map(lambda parts: "".join(parts).strip()).filter(bool)
tables = st.dictionaries(st.sampled_from(LEVELS), hints, min_size=1)


def _object(table: dict[int, str], write: object, key: str, last: str) -> str:
    members = [f'"{key.format(level)}": "{write(value)}"' for level, value in table.items()]  # type: ignore[operator]
    return "{" + ",\n  ".join(members) + last + "}"


@settings(max_examples=100)
@given(
    tables,
    st.sampled_from(["level_{}", "Level {}", "level{}", "LEVEL-{}", "hint_level_{}"]),
    st.sampled_from(["", ",", " , "]),
    st.sampled_from([("", ""), ("<think>{hm}</think>\n```json\n", "\n```\nDone."), ("For {x} I say ", " (end) {")]),
)
def test_round_trip_of_escaped_latex(table: dict[int, str], key: str, last: str, around: tuple[str, str]) -> None:
    text = around[0] + _object(table, lambda value: json.dumps(value)[1:-1], key, last) + around[1]
    assert parse_hints(text, LEVELS) == {level: table[level] for level in LEVELS if level in table}


@settings(max_examples=100)
@given(tables, st.booleans())
def test_round_trip_of_latex_that_was_not_escaped(table: dict[int, str], raw_newlines: bool) -> None:
    # A plain command in every string, as in real hints: `\\` alone may be an escaped backslash or a row break.
    table = {level: r"\alpha " + hint for level, hint in table.items()}
    text = _object(table, lambda value: value if raw_newlines else value.replace("\n", r"\n"), "level_{}", "")
    assert parse_hints(text, LEVELS) == {level: table[level] for level in LEVELS if level in table}


@settings(max_examples=100)
@given(tables, st.data())
def test_a_truncated_object_gives_only_finished_hints(table: dict[int, str], data: st.DataObject) -> None:
    text = json.dumps({f"level_{level}": hint for level, hint in table.items()})
    cut = data.draw(st.integers(0, len(text)))
    parsed = parse_hints(text[:cut], LEVELS)
    assert parsed.items() <= table.items()
    done = [level for level, hint in table.items() if text.index(json.dumps(hint)) + len(json.dumps(hint)) < cut]
    assert len(table) != len(set(table.values())) or set(done) <= set(parsed)


noise = st.text("{}[]\"'\\:,nutbrf level_123`<>/thik\n ", max_size=300)


@settings(max_examples=200)
@given(st.one_of(st.text(max_size=200), noise))
def test_any_text_is_read_without_error(text: str) -> None:
    for value in [*parse_hints(text, LEVELS).values(), parse_hint(text)]:
        assert value == value.strip()


@pytest.mark.parametrize(
    "unit",
    [
        '{"a":"',
        "{",
        '"',
        "\\",
        "{'a':",
        '["',
        '{"level_1": "a", ',
        '", ' + " " * 50,
        '{"a' + " " * 60,
        "{" + " " * 2000,
        '{"level_1": "x"' + " " * 2000,
        '{"level_1": "x",' + " " * 2000 + '"',
        "Hint" + " " * 2000,
        "# " + " " * 2000,
        "\\t" + "a" * 100,
        "</think>",
        "<hint level=1>",
        "<think>",
        "```\n",
        '"a',
        '{"a": {',
        "hint ",
    ],
)
def test_hostile_texts_take_linear_time(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    start = time.process_time()
    parse_hints(text, LEVELS)
    parse_hints('{"level_1": "' + text, LEVELS)
    parse_hints('{"level_1": "' + " " * 50_000 + text, LEVELS)
    parse_hint(text)
    assert time.process_time() - start < 3


def test_a_usual_hint_takes_well_under_a_millisecond() -> None:
    hint = r"Set $u = \frac{a}{b}$ and use \theta \in [0, 2\pi], so that \sqrt{u^2 + \nu} \le \rho.\nExpand it. "
    members = ", ".join(f'"level_{level}": "{hint * level * 2}"' for level in LEVELS)
    text = f"```json\n{{{members}}}\n```"
    assert 1200 < len(text) < 2000
    times = []
    for _ in range(50):
        start = time.thread_time()
        assert len(parse_hints(text, LEVELS)) == 3
        times.append(time.thread_time() - start)
    assert statistics.median(times) < 1e-3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("d085", "d085"),
        ("  Use \\frac{1}{2}.\n", "Use \\frac{1}{2}."),
        ("<think>long</think>\nHint: try it", "try it"),
        ("**Hint (level 2):** try it", "try it"),
        ("Here is the level 2 hint:\n\ntry it", "try it"),
        ("Here's a hint: try it", "try it"),
        ("Level 3: try it", "try it"),
        ("[Hint] try it", "try it"),
        ("【提示】 try it", "try it"),
        ("[1, 2] is the interval", "[1, 2] is the interval"),
        (r'\{"hint": "try it"\}', "try it"),
        ("```text\ntry it\n```", "try it"),
        ("Hint:\n```\ntry it\n```", "try it"),
        ('"try it"', "try it"),
        ("\u201ctry it\u201d", "try it"),
        ('"A" beats "B"', '"A" beats "B"'),
        ('{"hint": "try \\frac{1}{2}"}', "try \\frac{1}{2}"),
        ('```json\n{"level_2": "try it"}\n```', "try it"),
        ("{1, 2} is the set", "{1, 2} is the set"),
        ("Hinting at symmetry: x = y", "Hinting at symmetry: x = y"),
        ("Hint (Level 2) - try it", "try it"),
        ("Okay, here's the hint:\n\n> try it", "try it"),
        ("> 5 is needed", "> 5 is needed"),
        ("好的，这是提示：try it", "try it"),
        ("---\n**Level 2 Hint (moderate):** try it\n---", "try it"),
        ("try it\n\nLet me know if you need another hint!", "try it"),
        ("Let me know n: it is odd.", "Let me know n: it is odd."),
        ("<hint>In İzmir, try it</HINT>", "In İzmir, try it"),  # İ is two characters in lower case
        ('{"hint": "cut', ""),
        ('{"a": "x", "b": "y"}', ""),
        ("<think>never closed", ""),
        ("Hint:", ""),
        ('""', ""),
        ("", ""),
    ],
)
def test_one_hint_as_plain_text(text: str, expected: str) -> None:
    assert parse_hint(text) == expected


def test_the_requested_level_decides_among_several() -> None:
    text = '{"level_1": "a", "level_2": "b"}'
    assert (parse_hint(text, 2), parse_hint(text, 3), parse_hint(text)) == ("b", "", "a")
