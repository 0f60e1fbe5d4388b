"""``python -m recipe.sage.preview [the overrides of a run]``: what the model will read, before anything is trained.

Prints, for a few rows of the training file, the plain prompt, the hint request and the hinted prompt exactly as the
model's chat template renders them, with their lengths against the run's limits; then counts over all rows. Loads the
tokenizer, no model. ``+preview.rows=N`` sets how many rows are shown (default 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hydra
import pyarrow.parquet as pq
from omegaconf import DictConfig, OmegaConf
from transformers import AutoConfig

from recipe.sage.command_line import accept_arguments
from recipe.sage.encoding import encode_messages, encode_reference, request_options, rollout_options
from recipe.sage.preflight import check_run
from recipe.sage.preflight.opening import data_files, open_model
from sage.hints.prompts import PromptTemplates
from sage.hints.reply import opened_thoughts
from sage.method.records import Prompt

SWITCH = "enable_thinking"
"""Of the templates of hybrid models, which reason unless it is false."""
EXAMPLE = "(the hint)"
"""Stands for a hint that is not known before the run; of a hint file, a prompt's longest one is shown."""


class Preview:
    """Renders rows and measures them against the limits of a run."""

    def __init__(self, config: DictConfig) -> None:
        self.sage, _ = check_run(config)
        self.tokenizer = open_model(config)
        self.templates = PromptTemplates.load(self.sage.prompts)
        rollouts, requests = rollout_options(config), request_options(config, self.sage)
        self.options = {"plain": rollouts, "hinted": rollouts, "hint request": requests}
        rollout = config.actor_rollout_ref.rollout
        self.prompt_length, self.response_length = rollout.prompt_length, rollout.response_length
        self.references = self.sage.make_schedule(rollout.n).references
        # as the rollout worker has it
        self.model_length = (
            rollout.max_model_len
            or AutoConfig.from_pretrained(config.actor_rollout_ref.model.path).max_position_embeddings
        )
        self.hints = self.sage.open_hint_source()

    def render(self, kind: str, messages: Sequence[dict[str, str]]) -> str:
        """The text that the model reads in a context of this kind."""
        text = self.tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=True, tokenize=False, **self.options[kind]
        )
        assert isinstance(text, str)
        return text

    def length(self, kind: str, messages: Sequence[dict[str, str]]) -> int:
        """Tokens of the rendered messages."""
        return len(encode_messages(self.tokenizer, messages, self.options[kind]))

    def templates_in_words(self, row: dict[str, Any]) -> str:
        """What the chat template gets for rollouts and for hint requests, and whether it opens a reasoning block."""
        contexts, lines = self.contexts(row), ["== chat template"]
        room = self.sage.hint_thinking_tokens
        advice = {
            "plain": "that counts to the response, within data.max_response_length",
            "hint request": f"there is room for {room} tokens of it (sage.hint_thinking_tokens)"
            if room
            else "it shares sage.hint_max_tokens with the answer: set sage.hint_thinking_tokens, or switch it off by "
            "sage.hint_template_kwargs",
        }
        for kind, name in (("plain", "rollouts"), ("hint request", "hint requests")):
            if kind not in contexts:
                continue
            switches = ", ".join(f"{key}={value}" for key, value in self.options[kind].items()) or "no switches"
            lines.append(f"-- {name}: {switches}")
            template = self.tokenizer.get_chat_template(self.options[kind].get("chat_template"))
            if opened := opened_thoughts(self.render(kind, contexts[kind])):
                lines.append(f"   WARNING: it opens a reasoning block ({opened}): {advice[kind]}")
            elif SWITCH in template and SWITCH not in self.options[kind]:
                lines.append(f"   WARNING: {SWITCH} is not set, so the model may reason: {advice[kind]}")
        return "\n".join(lines)

    def lengths(self, row: dict[str, Any]) -> dict[str, int]:
        """Tokens of each context of a row, and of its reference solution where the method trains on it."""
        found = {kind: self.length(kind, messages) for kind, messages in self.contexts(row).items()}
        if self.references and (ids := encode_reference(self.tokenizer, row)) is not None:
            found["reference"] = len(ids)
        return found

    def contexts(self, row: dict[str, Any]) -> dict[str, list[dict[str, str]]]:
        """The messages of each context of a row."""
        contexts = {"plain": list(row["prompt"])}
        source = self.hints
        if source and (row["solution"] or not source.needs_solution):
            prompt = Prompt(row["prompt_id"], row["problem"], "", row["solution"])
            if request := source.request(prompt):
                contexts["hint request"] = request
            hint = source.example(prompt) or EXAMPLE
            contexts["hinted"] = self.templates.hinted_messages(list(row["prompt"]), row["problem"], hint)
        return contexts

    def limit(self, kind: str) -> int:
        """Longest context of a kind, in tokens."""
        limits = {"hint request": self.model_length - self.sage.hint_answer_tokens, "reference": self.response_length}
        return limits.get(kind, self.prompt_length)

    def show(self, row: dict[str, Any]) -> str:
        """A row's contexts as text."""
        parts = [f"== {row['prompt_id']}"]
        for kind, messages in self.contexts(row).items():
            parts.append(f"-- {kind}: {self.length(kind, messages)} of at most {self.limit(kind)} tokens")
            parts.append(self.render(kind, messages))
        return "\n".join(parts)

    def count(self, rows: Sequence[dict[str, Any]]) -> str:
        """How many rows exceed a limit, by kind of context."""
        lengths: dict[str, list[int]] = {}
        for row in rows:
            for kind, length in self.lengths(row).items():
                lengths.setdefault(kind, []).append(length)
        effect = {
            "hint request": "get no hint (counted as solution_too_long)",
            "hinted": "leave no room for a hint",
            "reference": "get a rollout in its place (counted as solution_too_long)",
        }
        lines = [f"== all {len(rows)} rows"]
        for kind, values in lengths.items():
            over = sum(value > self.limit(kind) for value in values)
            what = effect.get(kind, "data.filter_overlong_prompts=true leaves out; else the run is refused")
            lines.append(
                f"-- {kind}: {len(values)} rows, median {sorted(values)[len(values) // 2]}, longest {max(values)} of "
                f"at most {self.limit(kind)} tokens; {over} too long{f', which {what}' if over else ''}"
            )
        return "\n".join(lines)


@hydra.main(config_path="config", config_name="sage_trainer", version_base=None)
def main(config: DictConfig) -> None:
    try:
        preview = Preview(config)
    except ValueError as error:
        raise SystemExit(f"This run would be refused: {error}") from None
    wanted = {"prompt_id", "problem", "solution", "prompt", "reference_response"}
    rows = []
    for file in data_files(config, "train_files"):
        columns = [name for name in pq.read_schema(file).names if name in wanted]
        rows += pq.read_table(file, columns=columns).to_pylist()
    print(preview.templates_in_words(next((row for row in rows if row["solution"]), rows[0])))
    for row in rows[: OmegaConf.select(config, "preview.rows", default=2)]:
        print(preview.show(row))
    print(preview.count(rows))


if __name__ == "__main__":
    accept_arguments()
    main()
