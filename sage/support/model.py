"""What a model is, whatever it is called, and how its chat template turns messages into tokens."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from sage.support.plugins import first_line

WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")
"""In the order of preference of vLLM, which loads files of one kind."""
NO_WEIGHTS = ("training_args", "optimizer", "scheduler", "rng_state", "random_states")
"""Beginnings of the names of other files that a trainer leaves beside them."""
CONFIG = ("config.json", "generation_config.json", "*.py")
TOKENIZER = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "*.tiktoken",
    "tekken*",
)
ARGUMENTS = ("chat_template", "continue_final_message", "documents", "tools")
"""Options of transformers, which need not be in a template."""
LFS_POINTER = b"version https://git-lfs"
CLOCK = "strftime_now"
"""What a template that depends on the date calls, such as that of Llama 3."""

logger = logging.getLogger(__name__)


def digest(data: bytes) -> str:
    """A short SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]


def find_model(model: str, revision: str | None = None) -> str | None:
    """Look a model up: its commit on the hub, or without a network of its copy in the cache; None for a folder or file.

    Args:
        model: a folder, a GGUF file, or a name on the hub.
        revision: branch, tag or commit on the hub.

    Raises:
        ValueError: there is no such model, it is not complete, or it cannot be reached.
    """
    if Path(model).is_dir():
        _weights(Path(model))
    if Path(model).exists():
        return None
    if model.startswith(("/", ".", "~")) or model.count("/") > 1:
        raise ValueError(f"{model}: there is no such folder")
    import httpx
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(hf_hub_download(model, "config.json", revision=revision)).parent.name
    except (OSError, ValueError, httpx.HTTPError, HfHubHTTPError) as error:
        raise ValueError(
            f"{model} is neither a folder here nor a model of the hub that can be reached ({first_line(error)})"
        ) from error


def identify(model: str, commit: str | None) -> dict[str, str]:
    """What a model is: digests of its weights, configuration and tokenizer, or the commit of one from the hub.

    All bytes of the files count, and nothing else: neither the folder's name nor the times of its files.

    Args:
        model: a folder, a GGUF file, or a name on the hub.
        commit: what `find_model` says.

    Returns:
        ``weights``, ``config`` and ``tokenizer``.

    Raises:
        ValueError: the model is not complete.
    """
    if commit is not None:
        return dict.fromkeys(("weights", "config", "tokenizer"), f"{model}@{commit}")
    path = Path(model)
    if not path.is_dir():
        return {"weights": _digests([path]), "config": _digests([]), "tokenizer": _digests([])}
    weights = _weights(path)
    config, tokenizer = (sorted({f for name in names for f in path.glob(name)}) for names in (CONFIG, TOKENIZER))
    return {"weights": _digests(weights), "config": _digests(config), "tokenizer": _digests(tokenizer)}


def _weights(folder: Path) -> list[Path]:
    """The files of the weights.

    Raises:
        ValueError: there are none, or one is missing.
    """
    if not (folder / "config.json").is_file():
        adapter = (folder / "adapter_config.json").is_file()
        why = "an adapter: merge it into its base model first" if adapter else "not a model: it has no config.json"
        raise ValueError(f"{folder} is {why}")
    kinds = ([f for f in sorted(folder.glob(kind)) if not f.name.startswith(NO_WEIGHTS)] for kind in WEIGHTS)
    found = next((files for files in kinds if files), [])
    if not found:
        raise ValueError(f"{folder} holds no weights ({', '.join(WEIGHTS)})")
    for index in folder.glob("*.index.json"):
        try:
            named = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{index} does not name the files of the weights; download the model again") from error
        if missing := sorted({name for name in named if not (folder / name).is_file()}):
            raise ValueError(f"{folder}: {missing[0]} is missing, which {index.name} names; download the model again")
    return found


def _digests(files: Sequence[Path]) -> str:
    """One digest of the names and contents of files, which are read side by side.

    Raises:
        ValueError: one stands for a file that was not downloaded.
    """

    def one(path: Path) -> str:
        sha = hashlib.sha256()
        with open(path, "rb") as file:
            while block := file.read(1 << 24):
                if block.startswith(LFS_POINTER):
                    raise ValueError(f"{path} is only a pointer to a file; run `git lfs pull` in its folder")
                sha.update(block)
        return f"{path.name} {sha.hexdigest()}\n"

    with ThreadPoolExecutor(8) as pool:
        return digest("".join(pool.map(one, files)).encode())


def unused_options(template: str, options: Iterable[str]) -> list[str]:
    """Those options that a chat template does not use."""
    return [name for name in options if name not in ARGUMENTS and not re.search(rf"\b{re.escape(name)}\b", template)]


@dataclass(frozen=True)
class ChatTemplate:
    """A tokenizer with its chat template, the options that it gets, and the date that it sees."""

    tokenizer: Any
    options: Mapping[str, Any]
    """``data.apply_chat_template_kwargs`` of training."""
    today: date

    @classmethod
    def open(
        cls,
        model: str,
        options: Mapping[str, Any],
        today: date | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> ChatTemplate:
        """Load the tokenizer of a model.

        Raises:
            ValueError: it has none, or no chat template.
        """
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(model, revision=revision, trust_remote_code=trust_remote_code)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise ValueError(f"{model}: its tokenizer cannot be loaded ({first_line(error)})") from error
        template = cls(tokenizer, options, today or date.today())
        try:
            _ = template.text
        except (ValueError, NotImplementedError) as error:
            raise ValueError(f"{model}: its tokenizer has no chat template; use a chat model") from error
        if unused := unused_options(template.text, options):
            logger.warning("%s: its chat template does not use %s", model, ", ".join(unused))
        return template

    @cached_property
    def text(self) -> str:
        return self.tokenizer.get_chat_template(self.options.get("chat_template"))

    def identity(self) -> dict[str, Any]:
        """What prompts depend on, beside messages and tokenizer."""
        return {
            "template": digest(self.text.encode()),
            "template_date": self.today.isoformat() if CLOCK in self.text else None,
            "apply_chat_template_kwargs": dict(self.options),
        }

    def encode(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The token ids of a prompt, up to where the answer begins.

        Raises:
            ValueError: the template does not take such messages.
        """
        from jinja2 import TemplateError

        now = datetime.combine(self.today, datetime.min.time())
        try:
            ids: list[int] = self.tokenizer.apply_chat_template(
                list(messages),
                add_generation_prompt=True,
                tokenize=True,
                return_dict=False,
                **{CLOCK: now.strftime, **self.options},
            )
        except (TemplateError, TypeError) as error:
            roles = ", ".join(message["role"] for message in messages)
            raise ValueError(f"the chat template does not take messages of {roles}: {first_line(error)}") from error
        return ids
