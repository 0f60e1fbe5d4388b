"""Seconds and memory of a launch script's steps on real GPUs, with a model of the paper's size and random weights.

    python benchmarks/real_size.py --out FOLDER --methods grpo sage --steps 3 --json FILE [Hydra overrides]

Nothing is downloaded and nothing is learned. The model is built here; its tokenizer knows as many words as the model
has ids, so that what it writes can be read back, hints included. It never stops by itself: every rollout has the
longest length, the worst case. A coin, which falls by the text of the response, decides whether it is correct; at
--success .08 half of the groups of 8 fail. Each method runs as `examples/run_MODEL.sh method=METHOD` does, the
overrides given here last.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import statistics
import subprocess
from pathlib import Path
from typing import Any

from sage.data.preparation.rows import SCHEMA, Record, training_row
from sage.planning.budget import KNOWN_SHAPES
from sage.report.tables.collect import read_metrics
from sage.support.arguments import at_least, output_file, share
from sage.support.files import write_json
from sage.support.rows import write_parquet

ROOT = Path(__file__).resolve().parents[1]
SHAPES = {
    "llama-3.2-3b": ("LlamaConfig", "Llama-3.2-3B-Instruct"),
    "qwen2.5-7b": ("Qwen2Config", "Qwen2.5-7B-Instruct"),
    "qwen3-4b": ("Qwen3Config", "Qwen3-4B-Instruct-2507"),
}
TIMES = {
    "step": "timing_s/step",
    "gen": "timing_s/gen",
    "old_log_prob": "timing_s/old_log_prob",
    "update_actor": "timing_s/update_actor",
    "update_weights": "timing_s/update_weights",
}
MEMORY = {"allocated": "actor/perf/max_memory_allocated_gb", "reserved": "actor/perf/max_memory_reserved_gb"}
SPECIAL = ("<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|unknown|>")
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|> {{ m['content'] }} <|end|> {% endfor %}"
    "{% if add_generation_prompt %}<|assistant|> {% endif %}"
)


class Coin:
    """A verifier whose verdict is a hash of the response, below the probability that stands as the answer."""

    def is_correct(self, response: str, answer: str) -> bool:
        draw = int.from_bytes(hashlib.blake2b(response.encode(), digest_size=4).digest(), "big") / 2**32
        return draw < float(answer)

    def same_answer(self, candidate: str, answer: str) -> bool:
        return candidate == answer


def write_model(folder: Path, model: str) -> None:
    """Configuration, random bfloat16 weights and tokenizer of a model of this shape."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    kind, name = SHAPES[model]
    shape = KNOWN_SHAPES[name]
    config = getattr(transformers, kind)(**shape.to_config(), pad_token_id=0, bos_token_id=None, eos_token_id=1)
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        weights = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    weights.generation_config = transformers.GenerationConfig(eos_token_id=1, pad_token_id=0)
    weights.save_pretrained(folder)
    words = {word: i for i, word in enumerate((*SPECIAL, *(f"w{i}" for i in range(len(SPECIAL), shape.vocabulary))))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=SPECIAL[-1]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=SPECIAL[0], eos_token=SPECIAL[1], chat_template=TEMPLATE
    ).save_pretrained(folder)


def write_data(file: Path, rows: int, success: float, vocabulary: int) -> None:
    """Problems of 100 words and solutions of 300, in the project's data format."""
    rng = random.Random(0)

    def text(count: int) -> str:
        return " ".join(f"w{rng.randrange(len(SPECIAL), vocabulary)}" for _ in range(count))

    records = (Record(i, f"random/{i}", text(100), text(300), str(success), "random") for i in range(rows))
    write_parquet(file, [training_row(record, system="") for record in records], SCHEMA)


def measure(out: Path, model: str, method: str, steps: int, overrides: list[str]) -> dict[str, Any]:
    """Run some steps of a launch script and read its metrics; the first step is left out of the times, it warms up."""
    folder = out / method
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier call
    settings = [
        "sage.verifier=benchmarks.real_size:Coin",
        "sage.hint_request=level",
        "sage.hint_max_tokens=256",
        "trainer.val_before_train=False",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
        f"trainer.total_training_steps={steps}",
    ]
    environment = os.environ | {
        "MODEL_PATH": str(out / model),
        "TRAIN_FILE": str(out / "train.parquet"),
        "VAL_FILE": str(out / "train.parquet"),
        "OUTPUT_DIR": str(folder),
        "LOGGER": "[console,file]",
    }
    script = ROOT / "examples" / f"run_{model}.sh"
    subprocess.run(["bash", str(script), f"method={method}", *settings, *overrides], env=environment, check=True)
    lines = [data for data in read_metrics(folder).values() if TIMES["step"] in data]
    return {
        "method": method,
        "steps": len(lines),
        "seconds_a_step": {
            name: round(statistics.mean(line[key] for line in lines[1:] or lines), 1)
            for name, key in TIMES.items()
            if key in lines[-1]
        },
        "memory_gib": {name: round(max(line[key] for line in lines), 1) for name, key in MEMORY.items()},
        "metrics": lines,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="model, data and runs")
    parser.add_argument("--model", choices=SHAPES, default="llama-3.2-3b")
    parser.add_argument("--methods", nargs="+", default=["grpo", "sage"])
    parser.add_argument("--steps", type=at_least(1), default=3)
    parser.add_argument("--success", type=share, default=0.08, help="probability that a response is correct")
    parser.add_argument("--rows", type=at_least(1), default=1024, help="prompts in the data")
    parser.add_argument("--json", type=output_file, help="write the figures here too")
    args, overrides = parser.parse_known_args()
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    model = out / args.model
    if not model.exists():
        partial = out / f"partial-{args.model}"
        builder = multiprocessing.get_context("spawn").Process(target=write_model, args=(partial, args.model))
        builder.start()  # a process of its own, which gives the GPU's memory back
        builder.join()
        if builder.exitcode:
            raise SystemExit(f"the model could not be written to {partial}")
        partial.rename(model)
    vocabulary = json.loads((model / "config.json").read_text())["vocab_size"]
    write_data(out / "train.parquet", args.rows, args.success, vocabulary)
    results = []
    for method in args.methods:
        result = measure(out, args.model, method, args.steps, overrides)
        results.append(result)
        times = "  ".join(f"{name} {value}" for name, value in result["seconds_a_step"].items())
        print(f"{method:16} {result['steps']} steps  s/step: {times}  GiB: {result['memory_gib']}", flush=True)
        if args.json:
            report = {"model": args.model, "overrides": overrides, "success": args.success, "runs": results}
            write_json(args.json, report)


if __name__ == "__main__":
    main()
