r"""Answers that keep to the format: every one is read, and every LaTeX command in it survives."""

import json
import re
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sage.hints.parsing import parse_hints
from sage.hints.reply import without_labels
from sage.hints.structure import AnswerFormat, answer_pattern, json_schema, read_exactly
from sage.toy.embedded.build_base import build_tokenizer
from tests.hints.test_parsing import COMMANDS

LEVELS = (1, 2, 3)
PATTERN = answer_pattern(3, 600, 1.0)
ODD = r"""
    word x 7 . , { } [ ] < > \" \"level_2\":\ \"x\" ', // # /*c*/ <think> </think> <|im_end|> $ \\\\ \\{1,2\\} Level\ 1:
    ``` null é ∑ 😀 \n- \n\n \nThen \n\\nu \\nu \\n \\t \\u0041 & : ; \u2028 \u00a0
""".replace("\\ ", "\0").split()
odd = st.sampled_from([piece.replace("\0", " ") for piece in ODD] + [c.replace("\\", r"\\") + " " for c in COMMANDS])
texts = st.lists(odd, min_size=1, max_size=8).map("".join)


def meant(text: str) -> dict[int, str]:
    hints = {int(key[-1]): without_labels(value.strip()) for key, value in json.loads(text).items()}
    return {level: hint for level, hint in hints.items() if hint}


@settings(max_examples=100)
@given(st.from_regex(PATTERN, fullmatch=True))
def test_every_answer_in_the_format_is_read_as_json_means_it(text):
    assert parse_hints(text, LEVELS) == meant(text)


@settings(max_examples=300)
@given(st.lists(texts, min_size=3, max_size=3))
def test_nothing_in_a_text_of_the_format_is_taken_for_something_else(hints):
    text = "{" + ", ".join(f'"level_{level}": "{hint}"' for level, hint in enumerate(hints, 1)) + "}"
    assume(re.fullmatch(PATTERN, text))
    assert parse_hints(text, LEVELS) == meant(text)
    assert parse_hints("<think>\nFirst {a} < b, then\n</think>\n\n" + text, LEVELS) == meant(text)


ESCAPES = dict(zip('"\\/bfnrtu', ('"', "\\", "/", "\b", "\f", "\n", "\r", "\t", ""), strict=True))
json_pieces = st.one_of(
    st.sampled_from([c for c in COMMANDS if c[1] in "bfnrt"]).map(lambda c: (c + " ", c + " ")),  # a valid escape
    st.sampled_from([c for c in COMMANDS if c[1].isalpha()]).map(lambda c: ("\\" + c + " ", c + " ")),
    st.sampled_from(["$x_1$ ", "Let it be 3. ", "é ", "a = b, "]).map(lambda t: (t, t)),
    st.sampled_from([(r"\nThen ", "\nThen "), (r"\n\n- ", "\n\n- "), (r"\"all\" ", '"all" '), (r"\u00e9 ", "é ")]),
)


@settings(max_examples=300)
@given(st.lists(json_pieces, min_size=1, max_size=10))
def test_latex_that_json_takes_for_an_escape_survives(pieces):
    r"""A JSON grammar lets ``\frac`` and ``\theta`` pass with one backslash, and makes a model double ``\\sqrt``."""
    written, wanted = ("Take " + "".join(part) for part in zip(*pieces, strict=True))
    text = json.dumps({"level_1": "a", "level_2": "b"})[:-1] + f', "level_3": "{written}"' + "}"
    json.loads(text)
    assert parse_hints(text, LEVELS)[3] == wanted.strip()


@pytest.mark.parametrize(
    "command", [r"\frac", r"\nu", r"\ne", r"\theta", r"\begin", r"\rho", r"\times", r"\neq", r"\beta"]
)
@pytest.mark.parametrize(
    "text", ["$\\\\alpha {}$ is \\\\sqrt{{2}}", "let {}_1 = 3", "{}", "\\\\sum {} \\\\frac{{1}}{{2}}"]
)
def test_a_command_with_one_backslash_is_no_escape_of_json(command, text):
    answer = '{"level_1": "' + text.format(command) + '"}'
    assert parse_hints(answer, [1]) == {1: text.format(command).replace(r"\\", "\\")}


def test_a_text_cannot_end_in_the_middle_of_an_escape_nor_hide_a_command_in_one():
    def allows(hint: str) -> bool:
        return re.fullmatch(PATTERN, f'{{"level_1":"{hint}","level_2":"b","level_3":"c"}}') is not None

    assert allows(r"\\nu") and allows(r"a\nThen") and allows(r"\"a\"") and allows("a{1: x}") and allows(r"a\n\\nu")
    for hint in ("", " ", r"\nu", r"\frac", r"\theta", "a\\", "a\n", "a\\\\\\", r"\u0041", r"a\n", "\t"):
        assert not allows(hint), hint


def test_the_longest_answer_fits_where_a_token_is_a_character():
    for levels, limit in ((1, 40), (2, 60), (3, 60), (3, 1024)):
        pattern = answer_pattern(levels, limit, 1.0)
        lengths = [1 + int(n) for n in re.findall(r"\{0,(\d+)\}\"(?!level)", pattern)]
        texts = {f"level_{level}": "x" * n for level, n in enumerate(lengths, 1)}
        answer = json.dumps(texts, separators=(",", ":"))
        assert len(lengths) == levels and lengths == sorted(lengths) and re.fullmatch(pattern, answer)
        assert limit - 6 <= len(answer) + 1 <= limit
    assert answer_pattern(3, 40, 1.0) is None, "no room for three texts"


def test_reasoning_comes_first_where_a_model_reasons_and_leaves_room():
    answer = '{"level_1": "a", "level_2": "b", "level_3": "c"}'
    opened, optional = (answer_pattern(3, 300, 1.0, "<think>", opened) for opened in (True, False))
    assert re.fullmatch(opened, "\nx < 3\n</think>\n\n" + answer) and not re.fullmatch(opened, answer)
    assert re.fullmatch(optional, answer) and re.fullmatch(optional, "<think>hm</think>" + answer)
    assert not re.fullmatch(opened, "x" * 200 + "</think>" + answer) and not re.fullmatch(optional, "hm" + answer)
    bracket = answer_pattern(3, 300, 1.0, "[THINK]", opened=True)
    assert re.fullmatch(bracket, "x [1]</a>[/THINK]" + answer)
    assert parse_hints("<think>" + "\nx < 3\n</think>\n\n" + answer, LEVELS) == {1: "a", 2: "b", 3: "c"}


def test_other_answers_are_left_to_the_reader():
    for text in ('{"level_1": "a",}', 'Sure: {"level_1": "a"}', r'{"level_1": "\sqrt{2}"}', '{"level_1": "a', ""):
        assert read_exactly(text) is None
    assert read_exactly('{"level_2": "b", "level_1": " "}') == {2: "b"}


def test_reading_takes_linear_time():
    begin = time.process_time()
    for text in (
        '{"level_1": "' + r"\n" * 100_000,
        '{"level_1": "' + r"\\" * 100_000 + '"} x',
        '{"level_1": "a", ' * 20_000,
    ):
        assert read_exactly(text) is None
    parse_hints('{"level_1": "' + r"\\a $\nu is " * 20_000 + '"}', [1])
    assert time.process_time() - begin < 5


def test_the_schema_of_endpoints_has_the_levels_and_nothing_that_servers_choke_on():
    schema = json_schema(2)
    assert schema["required"] == ["level_1", "level_2"] == list(schema["properties"])
    assert "maxLength" not in json.dumps(schema) and schema["additionalProperties"] is False


def test_the_engine_is_told_what_the_model_and_the_prompt_ask_for():
    request = [{"role": "user", "content": "x" * 120}]
    plain = AnswerFormat.of(3, 200, ["a", "b"], {})
    assert plain.pattern(request, 40, "") == answer_pattern(3, 200, 3.0)
    assert plain.pattern(request, 40, "[THINK]") == answer_pattern(3, 200, 3.0, "[THINK]", opened=True)
    thinking = AnswerFormat.of(3, 200, ["a", "<think>"], {})
    assert thinking.pattern(request, 120, "") == answer_pattern(3, 200, 1.0, "<think>")
    for engine in ({"reasoning_parser": "qwen3"}, {"structured_outputs_config": {"reasoning_parser": "qwen3"}}):
        waits = AnswerFormat.of(3, 200, ["<think>"], engine)
        assert waits.pattern(request, 40, "<think>") == answer_pattern(3, 200, 3.0)
    roomy = AnswerFormat.of(3, 200, ["<think>"], {}, thinking=4000).pattern(request, 40, "<think>")
    answer = "{" + ", ".join(f'"level_{level}": "Take the factors."' for level in LEVELS) + "}"
    assert roomy.endswith(answer_pattern(3, 200, 3.0)), "reasoning takes nothing of the texts' room"
    assert re.fullmatch(roomy, "a < b, then " * 800 + "</think>\n\n" + answer) and not re.fullmatch(roomy, answer)


@pytest.mark.parametrize("thoughts, opened", [("", False), ("<think>", False), ("<think>", True), ("[THINK]", True)])
def test_vllms_back_end_takes_the_format_and_stops_at_its_bounds(thoughts, opened):
    llguidance = pytest.importorskip("llguidance", reason="needs vLLM")
    from llguidance.hf import from_tokenizer

    tokenizer = build_tokenizer()
    pattern = answer_pattern(2, 160, 1.0, thoughts, opened)
    lengths = [1 + int(n) for n in re.findall(r"\{0,(\d+)\}\"(?!level)", pattern)]
    hints = [r"\\frac \"a\" é" + "b" * (n - 11) for n in lengths]
    answer = f'{{"level_1": "{hints[0]}",\n  "level_2":"{hints[1]}"}}'
    if thoughts:
        answer = ("" if opened else thoughts) + f"\nx + [1]{thoughts[0]}/{thoughts[1:]}\n\n" + answer
    assert re.fullmatch(pattern, answer)
    matcher = llguidance.LLMatcher(from_tokenizer(tokenizer), llguidance.grammar_from("regex", pattern), log_level=0)
    ids = tokenizer.encode(answer, add_special_tokens=False)
    assert matcher.validate_tokens(ids) == len(ids) and matcher.consume_tokens(ids) and matcher.is_accepting()
    longer = answer[:-2] + "x" + answer[-2:]
    matcher.reset()
    assert matcher.validate_tokens(tokenizer.encode(longer, add_special_tokens=False)) == len(ids) - 2
