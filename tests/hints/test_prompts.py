import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sage.hints.prompts import PromptTemplates
from sage.toy.embedded.tasks import PROMPTS

MATH = PromptTemplates.load("math")
MESSAGES = [
    {"role": "system", "content": "Reason step by step."},
    {"role": "user", "content": "What is $\\frac{1}{2}$?"},
]


def test_the_hinted_turn_keeps_everything_before_it():
    hinted = MATH.hinted_messages(MESSAGES, "ignored", "Use {problem} and \\frac{a}{b}.")
    assert hinted[0] == MESSAGES[0]
    assert hinted[1]["content"].startswith(MESSAGES[1]["content"])
    assert hinted[1]["content"].rstrip().endswith("Use {problem} and \\frac{a}{b}.")
    assert MESSAGES[1]["content"] == "What is $\\frac{1}{2}$?", "the plain messages are not touched"


@given(st.text(max_size=50), st.text(max_size=50))
def test_braces_in_values_are_never_filled(problem, solution):
    text = MATH.hint_request_text(problem + "{solution}{level}", solution + "{problem}", 2)
    assert problem + "{solution}{level}" in text and solution + "{problem}" in text


def test_a_hint_request_shows_the_solution_and_a_hinted_prompt_never_does():
    request = MATH.hint_request("P?", "the secret steps", None)
    assert "the secret steps" in request[-1]["content"] and request[0]["role"] == "system"
    for level in (1, 2, 3):
        assert "level_" in request[-1]["content"] and str(level) in request[-1]["content"]
    assert "the secret steps" not in MATH.hinted_messages(MESSAGES, "P?", "h")[-1]["content"]


def test_the_embedded_world_has_no_system_turn():
    assert [m["role"] for m in PROMPTS.hint_request("887aR", "b806", 1)] == ["user"]
    assert PROMPTS.hinted_text("887aR=", "887aR", "a807") == "887aR!a807="


def test_a_hint_needs_a_user_turn():
    with pytest.raises(ValueError, match="must be the user's"):
        MATH.hinted_messages([{"role": "assistant", "content": "x"}], "p", "h")


@pytest.mark.parametrize(
    "text, message",
    [
        ("hinted: '{hint}'", "the keys must be"),
        ("[1, 2]", "the keys must be"),
        ("hint_request_level: x\nhint_request_json: x\nhinted: x\nother: y", "the keys must be"),
        (
            "hint_request_level: '{problem}{solution}'\nhint_request_json: '{problem}{solution}'\n"
            "hinted: '{prompt}{hint}'",
            "hint_request_level lacks the placeholder {level}",
        ),
        (
            "hint_request_level: '{problem}{solution}{level}'\nhint_request_json: '{problem}{solution}'\n"
            "hinted: '{hint}'",
            "hinted needs {prompt}",
        ),
    ],
)
def test_a_bad_prompt_file_is_named_with_its_fault(tmp_path, text, message):
    path = tmp_path / "prompts.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"prompts\.yaml") as error:
        PromptTemplates.load(path)
    assert message in str(error.value)


GOOD = {
    "hint_request_level": "{problem} {solution} {level}",
    "hint_request_json": "{problem} {solution}",
    "hinted": "{prompt} {hint}",
}


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"hint_request_level": "{problem} {solution} {level} {problme}"},
            "hint_request_level has {problme}, which",
        ),
        (
            {"hint_request_json": "{problem} {solution} {level}"},
            "has {level}, which is not filled in; its",
        ),
        ({"hinted": "{prompt} {hint} {solution}"}, "hinted has {solution}, which is not filled in"),
        ({"hinted": "{prompt} {hint} { problem }"}, "hinted has { problem }, which is not filled in"),
        ({"hinted": "{Prompt} {hint} {problem}"}, "hinted has {Prompt}, which is not filled in"),
        (
            {"hint_system": "For {problem}"},
            "hint_system has {problem}, which is not filled in; its",
        ),
        ({"solution_step": "a{99999999999}"}, "solution_step is no regular expression"),
    ],
)
def test_what_would_stay_a_placeholder_is_refused(tmp_path, change, message):
    path = tmp_path / "prompts.yaml"
    path.write_text(yaml.safe_dump(GOOD | change))
    with pytest.raises(ValueError, match=r"prompts\.yaml") as error:
        PromptTemplates.load(path)
    assert message in str(error.value)


def test_braces_of_latex_and_of_other_words_stay(tmp_path):
    path = tmp_path / "prompts.yaml"
    hinted = r"{prompt} {hint} \frac{1}{2} \boxed{answer} \text{hints} \{problems\} {name} {{problem}}"
    path.write_text(yaml.safe_dump(GOOD | {"hinted": hinted}))
    assert PromptTemplates.load(path).hinted == hinted


@pytest.mark.parametrize(
    "more, message",
    [
        ("hinted: other", "line 4: hinted is there twice; take one out"),
        ("hint_system: 2020-13-41", "not YAML (month must be"),
        ("hint_system: !!int abc", "not YAML (invalid literal"),
        ("hint_system: " + "[" * 3000, "not YAML ("),
    ],
)
def test_what_yaml_does_not_say_is_named(tmp_path, more, message):
    path = tmp_path / "prompts.yaml"
    path.write_text(yaml.safe_dump(GOOD) + more)
    with pytest.raises(ValueError, match=r"prompts\.yaml") as error:
        PromptTemplates.load(path)
    assert message in str(error.value)


def test_a_text_in_place_of_a_file_of_prompts_is_no_file():
    with pytest.raises(ValueError, match="no such file; give a YAML file"):
        PromptTemplates.load("Give a hint for {problem}. " * 20)
