"""Hints by a model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sage.hints.sources import HintQuery, HintSettings, Policy, Reply, Written
from sage.hints.structure import json_schema
from sage.method.records import HintFailure

logger = logging.getLogger(__name__)
_SHOWN = 200
_FORMAT = re.compile(r"response_?format|schema|structured|guided|grammar", re.IGNORECASE)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        complete = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        complete = False
    if not complete:
        raise ValueError("is not a complete URL: write it as http://host:port/v1, with #model where it serves several")


def is_endpoint(source: str) -> bool:
    """Whether it is the URL of an endpoint."""
    return source.startswith(("http://", "https://"))


class BadAnswer(ValueError):
    """An endpoint answered, but not with a chat completion that has a text."""


def read_completion(body: str) -> tuple[str, int, bool]:
    """Text, number of tokens (0 where it is not told) and whether the token limit ended it, of a chat completion.

    The text is empty only where the limit ended the answer, as in the reasoning that a server keeps to itself.

    Raises:
        BadAnswer: it is an error, a web page, or a completion without a text; says which.
    """
    data = _object(body)
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise BadAnswer(f"its answer has no choices: {_shown(body)}")
    message, reason = choice.get("message"), choice.get("finish_reason")
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):  # of parts
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    cut = reason == "length"
    if not isinstance(content, str) or not content.strip():
        if not cut:
            raise BadAnswer(f"its answer has no text (finish_reason {reason}): {_shown(body)}")
        content = ""
    content = content.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair cannot be written to a file
    usage = data.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return content, tokens if isinstance(tokens, int) else 0, cut


def _first_model(body: str) -> str:
    """The first model of a list of models."""
    models = _object(body).get("data")
    model = models[0] if isinstance(models, list) and models else None
    if not isinstance(model, dict) or not isinstance(model.get("id"), str):
        raise BadAnswer(f"it names no model, give one as URL#model: {_shown(body)}")
    return model["id"]


def _object(body: str) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        page = "<html" in body[:2000].lower() or "<!doctype" in body[:2000].lower()
        what = "a web page, is the URL the one that ends in /v1?" if page else "what is not JSON"
        raise BadAnswer(f"it answered with {what}: {_shown(body)}") from error
    if not isinstance(data, dict):
        raise BadAnswer(f"it answered with what is no JSON object: {_shown(body)}")
    if fault := data.get("error") or (data.get("object") == "error" and data.get("message")):
        raise BadAnswer(
            f"it answered with an error: {_shown(fault.get('message') if isinstance(fault, dict) else fault)}"
        )
    return data


def _shown(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


@dataclass(frozen=True)
class Sampling:
    """How an endpoint is asked to sample its answers."""

    temperature: float
    top_p: float
    max_tokens: int
    schema: Mapping[str, Any] | None = None
    """The JSON schema of the answers; it is asked for as long as the endpoint takes it."""


class Endpoint:
    """An OpenAI-compatible chat endpoint: ``http://host:port/v1``, or with ``#model`` where it serves several.

    The key, where one is needed, is read from the environment variable ``SAGE_HINT_API_KEY``. The first error of each
    kind is logged.

    Args:
        url: as above.
        sampling: of all requests.
        timeout: seconds for each of four tries to reach it.

    Raises:
        ValueError: the URL is not complete.
    """

    tries = 3
    """Requests for one hint, where an answer has no text; what is no answer at all is tried again by the client."""
    without_format = 0
    """Answers to requests for a format that had to be sent without it, since the endpoint had refused one."""
    pause = 1.0
    """Seconds before the second try, twice as many before each further one."""

    def __init__(self, url: str, sampling: Sampling, timeout: float = 300.0) -> None:
        from openai import AsyncOpenAI

        _check_url(url)
        base, _, self.model = url.partition("#")
        key = os.environ.get("SAGE_HINT_API_KEY", "none")
        self.client = AsyncOpenAI(base_url=base, api_key=key, max_retries=3, timeout=timeout)
        self.sampling = sampling
        self.limit = "max_tokens"
        self.takes_format = True
        self.logged: set[str] = set()

    def why_not(self) -> str | None:
        """Why a short trial request fails; None when it is answered. Not to be called in a running event loop.

        Afterwards ``takes_format`` says whether it took the schema, where there is one.
        """
        from openai import OpenAIError

        async def ask() -> None:
            self.client = self.client.with_options(max_retries=1, timeout=60)
            await self._ask([{"role": "user", "content": "Say yes."}], 0, 16)

        try:
            asyncio.run(ask())
        except OpenAIError as error:
            return f"{type(error).__name__}: {error}"
        except BadAnswer as error:
            return str(error)
        return None

    async def ask(self, messages: Sequence[dict[str, str]], seed: int) -> Reply | HintFailure:
        """The answer to one request; `HintFailure.ENDPOINT` when there is still none, or none with a text."""
        from openai import OpenAIError

        for number in range(self.tries):
            try:
                return await self._ask(messages, seed + number, self.sampling.max_tokens)
            except OpenAIError as error:
                self._log(error)
                break
            except BadAnswer as error:
                self._log(error)
                await asyncio.sleep(self.pause * 2**number if number + 1 < self.tries else 0)
        return HintFailure.ENDPOINT

    def _log(self, error: Exception) -> None:
        if (kind := type(error).__name__) not in self.logged:
            self.logged.add(kind)
            logger.warning("%s gave no hint, counted as endpoint: %s: %s", self.client.base_url, kind, error)

    async def _ask(self, messages: Sequence[dict[str, str]], seed: int, max_tokens: int) -> Reply:
        from openai import BadRequestError, UnprocessableEntityError

        # Raw responses: what calls itself a completion may be anything.
        begin = time.perf_counter()
        if not self.model:
            self.model = _first_model((await self.client.models.with_raw_response.list()).text)
        schema = self.sampling.schema
        limit, takes_format = self.limit, self.takes_format
        body: dict[str, Any] = {limit: max_tokens}
        if schema and takes_format:
            json_schema = {"name": "hints", "strict": True, "schema": schema}
            body["response_format"] = {"type": "json_schema", "json_schema": json_schema}
        try:
            answer = await self.client.chat.completions.with_raw_response.create(
                model=self.model,
                messages=list(messages),  # type: ignore[arg-type]
                temperature=self.sampling.temperature,
                top_p=self.sampling.top_p,
                seed=seed,
                extra_body=body,
            )
        except (BadRequestError, UnprocessableEntityError) as error:
            if limit == "max_tokens" and "max_completion_tokens" in str(error):
                self.limit = "max_completion_tokens"  # what OpenAI's reasoning models take instead
            elif "response_format" in body and _FORMAT.search(str(error)):
                if self.takes_format:
                    logger.warning(
                        "%s takes no JSON schema, asked without from here on: %s", self.client.base_url, error
                    )
                self.takes_format = False
            else:
                raise
            return await self._ask(messages, seed, max_tokens)
        text, tokens, cut = read_completion(answer.text)
        self.without_format += bool(schema) and not takes_format
        return Reply(text, tokens, time.perf_counter() - begin, cut)


class EndpointSource(Written):
    """Hints by the model behind an endpoint."""

    def __init__(self, url: str, settings: HintSettings) -> None:
        super().__init__(settings)
        schema = json_schema(settings.max_level) if settings.schema and settings.request == "json" else None
        sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens, schema)
        self.endpoint = Endpoint(url, sampling, settings.timeout)

    @classmethod
    def takes(cls, spec: str) -> bool:
        if is_endpoint(spec):
            _check_url(spec)
            return True
        return False

    @classmethod
    def open(cls, spec: str, settings: HintSettings) -> EndpointSource:
        return cls(spec, settings)

    @classmethod
    def why_not(cls, spec: str, settings: HintSettings) -> str | None:
        reason = cls(spec, settings).endpoint.why_not()
        return f"a trial request: {reason}" if reason else None

    async def ask(self, query: HintQuery, policy: Policy) -> Reply | HintFailure:
        return await self.endpoint.ask(self.messages(query), query.seed)
