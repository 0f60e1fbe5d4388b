"""Token ids of messages and references, the same for the rollout worker and the preview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from verl.utils.tokenizer import normalize_token_ids
from verl.utils.tokenizer.chat_template import apply_chat_template

from sage.config import SageConfig


def encode_messages(tokenizer: Any, messages: Sequence[dict[str, str]], options: Mapping[str, Any]) -> list[int]:
    """Messages as the model reads them, under a template with these options."""
    ids = apply_chat_template(tokenizer, list(messages), tokenize=True, add_generation_prompt=True, **options)
    return normalize_token_ids(ids)


def rollout_options(config: DictConfig) -> dict[str, Any]:
    """``data.apply_chat_template_kwargs``: what the chat template gets for rollouts."""
    options = OmegaConf.to_container(config.data.get("apply_chat_template_kwargs") or OmegaConf.create(), resolve=True)
    assert isinstance(options, dict)
    return {str(key): value for key, value in options.items()}


def request_options(config: DictConfig, sage: SageConfig) -> dict[str, Any]:
    """What it gets for hint requests to the policy."""
    return rollout_options(config) | sage.hint_template_kwargs


def encode_reference(tokenizer: Any, row: Mapping[str, Any]) -> list[int] | None:
    """A row's reference solution as a rollout (LUFFY); None where it has none."""
    text = row.get("reference_response") or row["solution"]
    return [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id] if text else None
