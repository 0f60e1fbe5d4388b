"""Hint requests to the policy: the format that its engine is held to, and why it is not."""

import asyncio
import re
from types import SimpleNamespace

import pytest
from verl.workers.rollout.llm_server import FullyAsyncLLMServerClient, LLMServerClient

from recipe.sage import hint_requests
from recipe.sage.encoding import request_options, rollout_options
from recipe.sage.hint_requests import Policy, why_free_text
from recipe.sage.preflight import check_run, read_config
from recipe.sage.preflight.describe import describe_run
from sage.hints.parsing import parse_hints
from sage.method.records import HintFailure
from sage.toy.embedded.build_base import build_tokenizer
from tests.recipe.launching import tiny

BACKEND = "actor_rollout_ref.rollout.engine_kwargs.vllm.structured_outputs_config.backend"
ANSWER = '{"level_1":"b8","level_2":"d7","level_3":"f6"}'
JSON = ("sage.hint_request=json", "sage.hint_max_tokens=60")
SIZES = ("data.max_prompt_length=96", "actor_rollout_ref.rollout.max_model_len=160")


@pytest.fixture
def config(data):
    files = [f"data.train_files={data}/train.parquet", f"data.val_files={data}/test.parquet"]
    return lambda *overrides: tiny(*files, *SIZES, *overrides)


@pytest.mark.parametrize(
    "overrides, reason",
    [
        (JSON, None),
        (("sage.hint_request=level",), "sage.hint_request=level"),
        ((*JSON, "sage.hint_schema=false"), "sage.hint_schema=false"),
        ((*JSON, f"{BACKEND}=xgrammar"), f"{BACKEND}=xgrammar, where guidance is needed"),
        ((*JSON, "sage.hint_max_tokens=8"), "sage.hint_max_tokens=8 leaves no room for 3 hints in JSON"),
    ],
)
def test_the_start_says_how_answers_are_read_and_why(config, overrides, reason):
    run = config(*overrides)
    assert why_free_text(run, read_config(run)) == reason
    text = f"read as free text ({reason})" if reason else "the engine held to the answers' format"
    assert f"hints  online, {'answers ' * bool(reason)}{text}" in describe_run(run, *check_run(run))


class Client:
    """Answers from a list; an answer that ends in "..." was interrupted."""

    def __init__(self, *answers):
        self.answers, self.seen = list(answers), []

    async def generate(self, *, request_id, prompt_ids, sampling_params, **options):
        self.seen.append((request_id, sampling_params, options))
        text = self.answers.pop(0)
        ids = build_tokenizer().encode(text.removesuffix("..."), add_special_tokens=False)
        return SimpleNamespace(token_ids=ids, stop_reason="aborted" if text.endswith("...") else "completed")


def ask(run, client):
    pytest.importorskip("vllm", reason="needs vLLM")
    tokenizer = build_tokenizer()

    def encode(messages):
        return tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)

    policy = Policy(run, read_config(run), client, tokenizer, encode, 160, {"detokenize": False})
    return asyncio.run(policy.ask([{"role": "user", "content": "513aSbS?b511d111~*"}], 7, priority=-1))


def test_the_engine_is_held_to_a_format_that_the_answer_has(config):
    client = Client(ANSWER)
    reply = ask(config(*JSON), client)
    assert parse_hints(reply.text, [1, 2, 3]) == {1: "b8", 2: "d7", 3: "f6"} and reply.tokens == len(ANSWER)
    ((_, params, options),) = client.seen
    assert re.fullmatch(params["structured_outputs"].regex, ANSWER) and options == {"priority": -1}
    assert (params["seed"], params["max_tokens"], params["detokenize"]) == (7, 60, False)
    client = Client(ANSWER)
    ask(config(*JSON, "sage.hint_schema=false"), client)
    assert "structured_outputs" not in client.seen[0][1]


def test_reasoning_before_the_answer_has_tokens_of_its_own(config):
    client = Client(ANSWER)
    thinking = (*JSON, "sage.hint_thinking_tokens=40")
    assert not ask(config(*thinking), client).cut, "its 44 tokens are more than one part of the limit, not all of it"
    assert client.seen[0][1]["max_tokens"] == 100
    limit = len(build_tokenizer().encode(ANSWER, add_special_tokens=False))
    assert ask(config(*JSON, f"sage.hint_max_tokens={limit}"), Client(ANSWER)).cut
    run = config(*thinking)
    assert "40 tokens for reasoning before 60 of answer" in describe_run(run, *check_run(run))
    assert ask(config(*JSON, "sage.hint_thinking_tokens=90"), Client()) is HintFailure.SOLUTION_TOO_LONG
    check_run(config(*JSON, "data.max_prompt_length=90", "sage.hint_thinking_tokens=80"))  # it never enters a prompt
    with pytest.raises(ValueError, match=r"hint_thinking_tokens=100 and sage.hint_max_tokens=60 leave no room"):
        check_run(config(*JSON, "sage.hint_thinking_tokens=100"))


def test_hint_requests_have_switches_of_their_own(config):
    rollouts = [f"+data.apply_chat_template_kwargs.{switch}" for switch in ("a=1", "b=2")]
    run = config(*rollouts, "+sage.hint_template_kwargs.b=3")
    assert request_options(run, read_config(run)) == {"a": 1, "b": 3} and rollout_options(run) == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match="whose hints the policy does not write: leave it out"):
        check_run(config("+sage.hint_template_kwargs.b=3", "sage.hint_source=prefix"))
    with pytest.raises(ValueError, match="hint_template_kwargs='on' must be a mapping of names to values"):
        check_run(config("sage.hint_template_kwargs=on"))


def test_an_interrupted_answer_is_asked_for_anew_where_the_client_would_go_on_with_it(config, monkeypatch):
    class Resuming(Client, FullyAsyncLLMServerClient):
        async def generate(self, **request):
            raise AssertionError("it would begin the format anew in the middle of the answer")

    monkeypatch.setattr(LLMServerClient, "generate", Client.generate)
    monkeypatch.setattr(hint_requests, "_PAUSE", 0.0)
    client = Resuming('{"level_1":"b...', ANSWER)
    assert parse_hints(ask(config(*JSON), client).text, [1]) == {1: "b8"}
    assert len({request_id for request_id, *_ in client.seen}) == 2
