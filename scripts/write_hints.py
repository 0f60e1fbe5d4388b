"""Write hints ahead of training, with vLLM on this machine or any OpenAI-compatible endpoint; stop and go on at will.

    python scripts/write_hints.py --model Qwen/Qwen2.5-7B-Instruct --data train.parquet --out hints.jsonl
    python scripts/write_hints.py --model https://host/v1#name --data train.parquet --out hints.jsonl --draws 10
    ... then train with sage.hint_source=hints.jsonl

Hints by the policy that training starts from are the paper's offline hints, those by a stronger model its teacher
hints.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from uuid import uuid4

import pyarrow.parquet as pq
from tqdm import tqdm

from sage.data.training import check_training_files
from sage.grading.verifier import load_verifier
from sage.hints.files import AskAny, check_settings, write_hints
from sage.hints.prompts import PromptTemplates
from sage.hints.sources import Endpoint, Reply, is_endpoint
from sage.hints.writer import HintRules
from sage.method.records import HintFailure, Prompt
from sage.support.engine import CPU_DEFAULTS, engine_option

FIXED = ("model", "request", "prompts", "temperature", "top_p", "max_tokens", "retries", "leak", "verifier", "seed")
"""Options on which the hints of a file depend; it may get more prompts, draws and levels."""


def read_prompts(path: str, limit: int | None) -> list[Prompt]:
    """The rows of a training file."""
    check_training_files([path], needs_solutions=True)
    columns = ["prompt_id", "problem", "reward_model", "solution"]
    rows = pq.read_table(path, columns=columns).slice(0, limit).to_pylist()
    return [Prompt(r["prompt_id"], r["problem"], str(r["reward_model"]["ground_truth"]), r["solution"]) for r in rows]


def ask_vllm(args: argparse.Namespace, templates: PromptTemplates) -> AskAny:
    """Requests to a vLLM engine of our own."""
    from transformers import AutoTokenizer
    from vllm import AsyncEngineArgs, SamplingParams
    from vllm.inputs import TokensPrompt
    from vllm.platforms import current_platform
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.engine.async_llm import AsyncLLM

    options = (CPU_DEFAULTS if current_platform.is_cpu() else {}) | dict(args.engine)
    engine = AsyncLLM.from_engine_args(AsyncEngineArgs(model=args.model, **options))
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    limit = engine.model_config.max_model_len

    async def ask(prompt: Prompt, level: int | None, seed: int) -> Reply | HintFailure:
        messages = templates.hint_request(prompt.problem, prompt.solution or "", level)
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
        if len(ids) + args.max_tokens > limit:
            return HintFailure.SOLUTION_TOO_LONG
        sampling = SamplingParams(
            temperature=args.temperature,
            top_p=args.top_p,
            max_tokens=args.max_tokens,
            seed=seed,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        begin = time.perf_counter()
        async for output in engine.generate(TokensPrompt(prompt_token_ids=ids), sampling, uuid4().hex):
            final = output.outputs[0]
        return Reply(final.text, len(final.token_ids), time.perf_counter() - begin)

    return ask


def ask_endpoint(args: argparse.Namespace, templates: PromptTemplates) -> AskAny:
    """Requests to an OpenAI-compatible endpoint."""
    endpoint = Endpoint(args.model)

    async def ask(prompt: Prompt, level: int | None, seed: int) -> Reply | HintFailure:
        messages = templates.hint_request(prompt.problem, prompt.solution or "", level)
        return await endpoint.ask(messages, args.temperature, args.top_p, args.max_tokens, seed)

    return ask


async def run(args: argparse.Namespace, prompts: list[Prompt]) -> int:
    templates = PromptTemplates.load(args.prompts)
    inner = (ask_endpoint if is_endpoint(args.model) else ask_vllm)(args, templates)

    async def ask(prompt: Prompt, level: int | None, seed: int) -> Reply | HintFailure:
        return await inner(prompt, level, seed) if (prompt.solution or "").strip() else HintFailure.NO_SOLUTION

    rules = HintRules(args.max_level, args.request, args.retries, args.leak)
    with tqdm(total=len(prompts) * args.draws, unit="prompt", mininterval=1.0) as bar:
        counts = await write_hints(
            prompts,
            args.out,
            ask,
            rules,
            load_verifier(args.verifier),
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
    parser.add_argument("--out", required=True, type=Path, help="JSONL file; an existing one is gone on with")
    parser.add_argument("--draws", type=int, default=1, help="hints for each prompt and level (paper: 1 and 10)")
    parser.add_argument("--limit", type=int, help="only the first so many prompts")
    parser.add_argument("--prompts", default="math", help="math, or a YAML file of prompt texts")
    parser.add_argument("--max-level", type=int, default=3)
    parser.add_argument("--request", choices=["json", "level"], default="json")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--max-tokens", type=int, default=1024)
    parser.add_argument("--retries", type=int, default=1, help="further requests when a hint cannot be used")
    parser.add_argument("--leak", choices=["refuse", "redact"], default="refuse")
    parser.add_argument("--verifier", default="math", help="math, exact, or package.module:name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=256, help="prompts in flight")
    parser.add_argument("--engine", type=engine_option, action="append", default=[], metavar="KEY=VALUE",
                        help="argument of vLLM's engine, for instance tensor_parallel_size=4")  # fmt: skip
    args = parser.parse_args()
    if args.out.suffix != ".jsonl":
        parser.error("--out must end in .jsonl")
    prompts = read_prompts(args.data, args.limit)
    if is_endpoint(args.model) and (reason := Endpoint(args.model).why_not(args.temperature, args.top_p)):
        parser.error(f"--model {args.model} gives no hints, by a trial request: {reason}")
    try:
        check_settings(args.out, {key: getattr(args, key) for key in FIXED})
    except ValueError as error:
        parser.error(str(error))
    return asyncio.run(run(args, prompts))


if __name__ == "__main__":
    raise SystemExit(main())
