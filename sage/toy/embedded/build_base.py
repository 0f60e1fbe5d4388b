"""Pre-train the base model of an embedded task: a Llama of 0.7M parameters, 4 to 10 minutes on two cores.

    python -m sage.toy.embedded.build_base --out examples/opchain_base
    python -m sage.toy.embedded.build_base --task wheels --out examples/wheels_base

The result is stored in bfloat16 (1.4 MB). A rerun gives the same weights up to the floating-point order of the machine.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from sage.support.arguments import at_least
from sage.toy.embedded.tasks import TASKS, load_task

STEPS, BATCH, LEARNING_RATE, WARMUP = 1800, 64, 3e-3, 50
PAD, END, USER, ASSISTANT, SYSTEM = "<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer of the embedded tasks: 256 bytes and five special tokens, no merges."""
    specials = [PAD, END, USER, ASSISTANT, SYSTEM]
    vocabulary = {token: i for i, token in enumerate(specials + sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, chat_template=CHAT_TEMPLATE, model_max_length=256
    )


def encode(documents: list[tuple[str, str]], tokenizer: PreTrainedTokenizerFast) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded token ids and labels, both (documents, tokens); labels are -100 outside the assistant turn."""
    rows = []
    for user, assistant in documents:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": user}], add_generation_prompt=True, tokenize=True, return_dict=False
        )
        rows.append((prompt, tokenizer(assistant, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]))
    width = max(len(p) + len(r) for p, r in rows)
    ids = torch.full((len(rows), width), tokenizer.pad_token_id)
    labels = torch.full((len(rows), width), -100)
    for i, (prompt, response) in enumerate(rows):
        ids[i, : len(prompt) + len(response)] = torch.tensor(prompt + response)
        labels[i, len(prompt) : len(prompt) + len(response)] = torch.tensor(response)
    return ids, labels


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        initializer_range=0.05,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config)


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then flat, then linear decay over the last 40%."""
    return LEARNING_RATE * min(1.0, (step + 1) / WARMUP) * min(1.0, max(0.02, (steps - step) / (0.4 * steps)))


def train(task: str, steps: int, seed: int) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Pre-train for ``steps`` batches of documents of similar length, of a task's corpus."""
    sample_document = load_task(task).sample_document
    torch.manual_seed(seed)
    rng = random.Random(seed)
    tokenizer = build_tokenizer()
    model = new_model(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    batches: list[list[tuple[str, str]]] = []
    start = time.time()
    for step in range(steps):
        if not batches:
            pool = sorted((sample_document(rng) for _ in range(BATCH * 16)), key=lambda d: len(d[0]) + len(d[1]))
            batches = [pool[i : i + BATCH] for i in range(0, len(pool), BATCH)]
            rng.shuffle(batches)
        ids, labels = encode(batches.pop(), tokenizer)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step:5d}  loss {loss.item():.3f}  {time.time() - start:.0f} s", flush=True)
    return model, tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and the tokenizer")
    parser.add_argument("--task", choices=TASKS, default=TASKS[0])
    parser.add_argument("--steps", type=at_least(1), default=STEPS)
    parser.add_argument("--seed", type=at_least(0), default=0)
    args = parser.parse_args()
    model, tokenizer = train(args.task, args.steps, args.seed)
    model.to(torch.bfloat16).save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)
    print(f"{sum(p.numel() for p in model.parameters())} parameters saved to {args.out}")


if __name__ == "__main__":
    main()
