"""Write hints before training, with vLLM or any OpenAI-compatible endpoint. If stopped, run the same command again.

    python scripts/write_hints.py --model Qwen/Qwen2.5-7B-Instruct --data train.parquet --out hints.jsonl
    python scripts/write_hints.py --model https://host/v1#name --data train.parquet --out hints.jsonl --draws 10
    ... then train with sage.hint_source=hints.jsonl

Hints by the model that training starts from are the paper's offline hints; those by a stronger model are its teacher
hints.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import uuid4

import pyarrow.parquet as pq
from tqdm import tqdm

from sage.data.training import check_training_files
from sage.grading.verifier import Verifier, load_verifier
from sage.hints.endpoint import Endpoint, Sampling, is_endpoint
from sage.hints.files import AskAny, already_done, check_settings, noted_settings, write_hints
from sage.hints.prompts import PromptTemplates
from sage.hints.reply import TEMPLATE_END, opened_thoughts
from sage.hints.sources import Reply
from sage.hints.structure import BACKEND, AnswerFormat, json_schema
from sage.hints.writer import HintRules
from sage.method.records import HintFailure, Prompt
from sage.support.arguments import at_least, not_negative, output_file, part
from sage.support.engine import CPU_DEFAULTS, add_template_options, engine_option, of_the_model, template_options
from sage.support.model import ChatTemplate, find_model, identify

FIXED = (
    "request", "free_text", "prompts", "temperature", "top_p", "max_tokens", "thinking_tokens", "retries", "leak",
    "verifier", "seed",
)  # fmt: skip
"""Options on which the hints of a file depend, beside the model; it may get more prompts, draws and levels."""


def read_prompts(path: str, limit: int | None) -> list[Prompt]:
    check_training_files([path], needs_solutions=True)
    columns = ["prompt_id", "problem", "reward_model", "solution"]
    rows = pq.read_table(path, columns=columns).slice(0, limit).to_pylist()
    return [Prompt(r["prompt_id"], r["problem"], str(r["reward_model"]["ground_truth"]), r["solution"]) for r in rows]


@dataclass(frozen=True)
class LocalModel:
    name: str
    commit: str | None
    template: ChatTemplate

    @classmethod
    def open(cls, args: argparse.Namespace) -> LocalModel:
        """The model of the options.

        Raises:
            ValueError: there is none of that name, or it has no chat template.
        """
        engine = dict(args.engine)
        commit = find_model(args.model, engine.get("revision"))
        noted = noted_settings(args.out).get("template_date")
        template = ChatTemplate.open(
            str(engine.get("tokenizer", args.model)),
            template_options(args.template_kwargs),
            date.fromisoformat(noted) if noted else None,
            None if "tokenizer" in engine else commit,
            bool(engine.get("trust_remote_code", False)),
        )
        return cls(args.model, commit, template)

    def identity(self, engine: dict[str, Any]) -> dict[str, Any]:
        """What the hints depend on."""
        return {**identify(self.name, self.commit), **self.template.identity(), "engine": of_the_model(engine)}


def ask_vllm(args: argparse.Namespace, templates: PromptTemplates, model: LocalModel) -> AskAny:
    from vllm import AsyncEngineArgs, SamplingParams
    from vllm.inputs import TokensPrompt
    from vllm.platforms import current_platform
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
    from vllm.v1.engine.async_llm import AsyncLLM

    options: dict[str, Any] = {"structured_outputs_config": {"backend": BACKEND}}
    options |= (CPU_DEFAULTS if current_platform.is_cpu() else {}) | dict(args.engine)
    if model.commit:
        options |= {"revision": model.commit, "tokenizer_revision": model.commit}
    engine = AsyncLLM.from_engine_args(AsyncEngineArgs(model=args.model, **options))
    limit, longest = engine.model_config.max_model_len, args.max_tokens + args.thinking_tokens
    form = None
    if args.request == "json" and not args.free_text and options["structured_outputs_config"].get("backend") == BACKEND:
        vocabulary = model.template.tokenizer.get_vocab()
        form = AnswerFormat.of(args.max_level, args.max_tokens, vocabulary, options, args.thinking_tokens)
    print("The engine is held to the format of the answers." if form else "Answers are read as free text.")

    async def ask(prompt: Prompt, level: int | None, seed: int) -> Reply | HintFailure:
        messages = templates.hint_request(prompt.problem, prompt.solution or "", level)
        ids = model.template.encode(messages)
        if len(ids) + longest > limit:
            return HintFailure.SOLUTION_TOO_LONG
        opened = opened_thoughts(model.template.tokenizer.decode(ids[-TEMPLATE_END:]))
        pattern = form.pattern(messages, len(ids), opened) if form else None
        sampling = SamplingParams(
            temperature=args.temperature,
            top_p=args.top_p,
            max_tokens=longest,
            seed=seed,
            output_kind=RequestOutputKind.FINAL_ONLY,
            structured_outputs=StructuredOutputsParams(regex=pattern) if pattern else None,
        )
        begin = time.perf_counter()
        async for output in engine.generate(TokensPrompt(prompt_token_ids=ids), sampling, uuid4().hex):
            final = output.outputs[0]
        text = opened + final.text
        return Reply(text, len(final.token_ids), time.perf_counter() - begin, final.finish_reason == "length")

    return ask


def open_endpoint(args: argparse.Namespace) -> Endpoint:
    """The endpoint of the options.

    Raises:
        ValueError: its URL is not complete.
    """
    schema = json_schema(args.max_level) if args.request == "json" and not args.free_text else None
    return Endpoint(args.model, Sampling(args.temperature, args.top_p, args.max_tokens + args.thinking_tokens, schema))


def ask_endpoint(args: argparse.Namespace, templates: PromptTemplates) -> AskAny:
    endpoint = open_endpoint(args)

    async def ask(prompt: Prompt, level: int | None, seed: int) -> Reply | HintFailure:
        return await endpoint.ask(templates.hint_request(prompt.problem, prompt.solution or "", level), seed)

    return ask


async def run(
    args: argparse.Namespace,
    prompts: list[Prompt],
    templates: PromptTemplates,
    verifier: Verifier,
    model: LocalModel | None,
) -> int:
    inner = ask_vllm(args, templates, model) if model else ask_endpoint(args, templates)

    async def ask(prompt: Prompt, level: int | None, seed: int) -> Reply | HintFailure:
        return await inner(prompt, level, seed) if (prompt.solution or "").strip() else HintFailure.NO_SOLUTION

    rules = HintRules(args.max_level, args.request, args.retries, args.leak)
    with tqdm(total=len(prompts) * args.draws, unit="prompt", mininterval=1.0) as bar:
        counts = await write_hints(
            prompts,
            args.out,
            ask,
            rules,
            verifier,
            draws=args.draws,
            seed=args.seed,
            concurrency=args.concurrency,
            progress=bar.update,
        )
    print("  ".join(f"{name} {count}" for name, count in counts.items()), f"-> {args.out}")
    if unanswered := counts[HintFailure.ENDPOINT.value]:
        print(f"{args.model} did not answer for {unanswered} hints (why: above): run the same command again for those")
    return int(unanswered > 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a model for vLLM, or the URL of an endpoint (URL#model)")
    parser.add_argument("--data", required=True, help="training file (Parquet)")
    parser.add_argument("--out", required=True, type=output_file, help="JSONL file; an existing one is continued")
    parser.add_argument(
        "--draws", type=at_least(1), default=1, help="hints for each prompt and level (paper: 1 and 10)"
    )
    parser.add_argument("--limit", type=at_least(1), help="only the first so many prompts")
    parser.add_argument("--prompts", default="math", help="math, or a YAML file of prompt texts")
    parser.add_argument("--max-level", type=int, choices=[1, 2, 3], default=3)
    parser.add_argument("--request", choices=["json", "level"], default="json")
    parser.add_argument("--free-text", action="store_true", help="do not force answers into the JSON format")
    parser.add_argument("--temperature", type=not_negative, default=1.0)
    parser.add_argument("--top-p", type=part, default=1.0)
    parser.add_argument("--max-tokens", type=at_least(1), default=1024)
    parser.add_argument(
        "--thinking-tokens", type=at_least(0), default=0, help="for reasoning before the answer, beyond --max-tokens"
    )
    add_template_options(parser)
    parser.add_argument(
        "--retries",
        type=at_least(0),
        default=1,
        help="further requests for a prompt and draw, when a hint cannot be used",
    )
    parser.add_argument("--leak", choices=["refuse", "redact"], default="refuse")
    parser.add_argument("--verifier", default="math", help="math, exact, package.module:name or path/to/file.py:name")
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument("--concurrency", type=at_least(1), default=256, help="prompts in flight")
    parser.add_argument("--engine", type=engine_option, action="append", default=[], metavar="KEY=VALUE",
                        help="argument of vLLM's engine, for instance tensor_parallel_size=4")  # fmt: skip
    args = parser.parse_args()
    if args.out.suffix != ".jsonl":
        parser.error("--out must end in .jsonl")
    try:
        prompts = read_prompts(args.data, args.limit)
        templates = PromptTemplates.load(args.prompts)
        verifier = load_verifier(args.verifier)
        already_done(args.out)
        if is_endpoint(args.model):
            if args.template_kwargs:
                raise ValueError(
                    "--template-kwargs: an endpoint applies its own template; set them where it is started"
                )
            if reason := open_endpoint(args).why_not():
                raise ValueError(f"--model {args.model} gives no hints, by a trial request: {reason}")
        model = None if is_endpoint(args.model) else LocalModel.open(args)
        identity = model.identity(dict(args.engine)) if model else {"model": args.model}
        check_settings(args.out, identity | {key: getattr(args, key) for key in FIXED})
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return asyncio.run(run(args, prompts, templates, verifier, model))


if __name__ == "__main__":
    raise SystemExit(main())
