"""Hint requests to the policy: the engine that rolls out, with sampling and a format of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from omegaconf import DictConfig, OmegaConf
from verl.workers.rollout.llm_server import FullyAsyncLLMServerClient, LLMServerClient
from verl.workers.rollout.replica import TokenOutput

from sage.config import SageConfig
from sage.hints.reply import TEMPLATE_END, opened_thoughts
from sage.hints.sources import Reply
from sage.hints.structure import BACKEND, AnswerFormat, answer_pattern
from sage.method.records import HintFailure

_PAUSE = 1.0
"""Seconds before a request that was interrupted is sent again."""
_LONGEST_TOKENS = 6.0
"""Characters a token with which a format that does not fit never will."""


def engine_options(config: DictConfig) -> dict[str, Any]:
    """Arguments of the vLLM engine beyond verl's own."""
    options = OmegaConf.select(config, "actor_rollout_ref.rollout.engine_kwargs.vllm")
    values = OmegaConf.to_container(options, resolve=True) if options else {}
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def why_free_text(config: DictConfig, sage: SageConfig) -> str | None:
    """Why the engine is not held to the format of its answers, which are then read as they come; None where it is."""
    if sage.hint_request != "json":
        return f"sage.hint_request={sage.hint_request}"
    if not sage.hint_schema:
        return "sage.hint_schema=false"
    rollout = config.actor_rollout_ref.rollout
    backend = (engine_options(config).get("structured_outputs_config") or {}).get("backend")
    if rollout.name != "vllm":
        return f"actor_rollout_ref.rollout.name={rollout.name}"
    if backend != BACKEND:
        key = "actor_rollout_ref.rollout.engine_kwargs.vllm.structured_outputs_config.backend"
        return f"{key}={backend}, where {BACKEND} is needed"
    if answer_pattern(sage.max_level, sage.hint_max_tokens, _LONGEST_TOKENS) is None:
        return f"sage.hint_max_tokens={sage.hint_max_tokens} leaves no room for {sage.max_level} hints in JSON"
    return None


class Policy:
    """Asks the current policy for hints.

    Args:
        client: verl's, of the engines.
        encode: token ids of a request's messages.
        model_length: longest prompt and answer together, in tokens.
        engine_params: sampling parameters of all requests to this engine.
    """

    def __init__(
        self,
        config: DictConfig,
        sage: SageConfig,
        client: LLMServerClient,
        tokenizer: Any,
        encode: Callable[[Sequence[dict[str, str]]], list[int]],
        model_length: int,
        engine_params: dict[str, Any],
    ) -> None:
        self.sage, self.client, self.tokenizer, self.encode = sage, client, tokenizer, encode
        self.model_length, self.engine_params = model_length, engine_params
        self.format: AnswerFormat | None = None
        if why_free_text(config, sage) is None:
            tokens, options = sage.hint_max_tokens, engine_options(config)
            vocabulary = tokenizer.get_vocab()
            self.format = AnswerFormat.of(sage.max_level, tokens, vocabulary, options, sage.hint_thinking_tokens)

    async def ask(self, messages: Sequence[dict[str, str]], seed: int, **options: Any) -> Reply | HintFailure:
        """The answer to one request; ``options`` go to the engine's server."""
        sage, ids = self.sage, self.encode(messages)
        limit = sage.hint_answer_tokens
        if len(ids) + limit > self.model_length:
            return HintFailure.SOLUTION_TOO_LONG
        opened = opened_thoughts(self.tokenizer.decode(ids[-TEMPLATE_END:]))
        params = {
            "temperature": sage.hint_temperature,
            "top_p": sage.hint_top_p,
            "top_k": -1,
            "repetition_penalty": 1.0,
            "max_tokens": limit,
            "seed": seed,
            "logprobs": False,
            **self.engine_params,
        }
        if self.format and (pattern := self.format.pattern(messages, len(ids), opened)):
            from vllm.sampling_params import StructuredOutputsParams

            params["structured_outputs"] = StructuredOutputsParams(regex=pattern)
        begin = time.perf_counter()
        output = await self._generate(ids, params, options)
        written = output.token_ids
        # verl's vLLM server calls both ends of an answer "completed"
        cut = len(written) >= limit and written[-1] != self.tokenizer.eos_token_id
        text = opened + self.tokenizer.decode(written, skip_special_tokens=True)
        return Reply(text, len(written), time.perf_counter() - begin, cut)

    async def _generate(self, ids: list[int], params: dict[str, Any], options: dict[str, Any]) -> TokenOutput:
        if "structured_outputs" not in params or not isinstance(self.client, FullyAsyncLLMServerClient):
            return await self.client.generate(request_id=uuid4().hex, prompt_ids=ids, sampling_params=params, **options)
        # This client goes on with an interrupted answer, where the format would begin anew: ask again instead.
        while True:
            output: TokenOutput = await LLMServerClient.generate(
                self.client, request_id=uuid4().hex, prompt_ids=ids, sampling_params=dict(params), **options
            )
            if output.stop_reason not in ("aborted", "abort"):
                return output
            await asyncio.sleep(_PAUSE)
