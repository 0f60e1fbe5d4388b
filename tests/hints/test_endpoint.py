"""Answers of endpoints that are none: one sentence in the trial, a counted failure in training, never a traceback."""

import asyncio
import json

import pytest

from sage.hints.endpoint import BadAnswer, Endpoint, EndpointSource, read_completion
from sage.hints.prompts import PromptTemplates
from sage.hints.sources import HintQuery, HintSettings
from sage.method.records import HintFailure, Prompt


def completion(content, reason="stop", **more):
    return json.dumps({"choices": [{"message": {"content": content}, "finish_reason": reason}], **more})


BAD = [
    ("null", "what is no JSON object"),
    ("[]", "what is no JSON object"),
    ("", "what is not JSON"),
    ("<!DOCTYPE html><html>Not found</html>", "a web page, is the URL the one that ends in /v1?"),
    ('{"error": {"message": "model overloaded", "code": 503}}', "an error: model overloaded"),
    ('{"error": "no such model"}', "an error: no such model"),
    ('{"object": "error", "message": "max_tokens too large", "code": 400}', "an error: max_tokens too large"),
    ("{}", "no choices"),
    ('{"choices": []}', "no choices"),
    ('{"choices": null}', "no choices"),
    ('{"choices": [null]}', "no choices"),
    ('{"choices": [{"finish_reason": "stop"}]}', "no text (finish_reason stop)"),
    ('{"choices": [{"message": null}]}', "no text (finish_reason None)"),
    (completion(None, "content_filter"), "no text (finish_reason content_filter)"),
    (completion(" \n"), "no text (finish_reason stop)"),
    (completion([{"type": "text"}]), "no text (finish_reason stop)"),
]


@pytest.mark.parametrize("body, message", BAD)
def test_an_answer_that_is_no_completion_is_named(body, message):
    with pytest.raises(BadAnswer) as error:
        read_completion(body)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_what_a_completion_says_is_read():
    assert read_completion(completion("a hint", usage={"completion_tokens": 7})) == ("a hint", 7, False)
    assert read_completion(completion("a hi", "length")) == ("a hi", 0, True)
    assert read_completion(completion(None, "length")) == ("", 0, True), "the limit came in its reasoning"
    parts = [{"type": "text", "text": "a "}, {"type": "text", "text": "hint"}]
    assert read_completion(completion(parts, usage=None))[0] == "a hint"
    assert read_completion(completion("half \ud83d"))[0] == "half ?", "which no file can hold"


SETTINGS = HintSettings(3, "json", True, 1.0, 1.0, 64, PromptTemplates.load("math"))
QUERY = HintQuery(Prompt("p", "x", "1", "s"), 1, 0, 0, 0)


class Raw:
    """Stands for the client of a server that answers every request with 200 and the same body."""

    def __init__(self, body):
        self.body, self.sent, self.base_url = body, [], "http://h/v1"
        self.chat = self.completions = self.with_raw_response = self.models = self

    def with_options(self, **options):
        return self

    async def create(self, **request):
        self.sent.append(request)
        return self

    @property
    def text(self):
        return self.body


@pytest.fixture
def serving(monkeypatch):
    monkeypatch.setattr(Endpoint, "pause", 0.0)

    def make(body):
        source = EndpointSource("http://h/v1#m", SETTINGS)
        source.endpoint.client = Raw(body)
        return source

    return make


@pytest.mark.parametrize("body, message", BAD)
def test_a_bad_answer_is_a_counted_failure_in_training_and_a_sentence_in_the_trial(serving, body, message, caplog):
    source = serving(body)
    assert asyncio.run(source.ask(QUERY, None)) is HintFailure.ENDPOINT
    sent = source.endpoint.client.sent
    assert len(sent) == Endpoint.tries and len({request["seed"] for request in sent}) == Endpoint.tries
    assert message in caplog.text and len(caplog.records) == 1
    assert message in source.endpoint.why_not()


def test_requests_for_one_level_have_no_schema(serving):
    source = serving(completion("a hint"))
    assert asyncio.run(source.ask(QUERY, None)).text == "a hint"
    assert "response_format" in source.endpoint.client.sent[0]["extra_body"] and source.endpoint.sampling.schema
    for other in ({"request": "level"}, {"schema": False}):
        assert EndpointSource("http://h/v1", HintSettings(**(vars(SETTINGS) | other))).endpoint.sampling.schema is None
