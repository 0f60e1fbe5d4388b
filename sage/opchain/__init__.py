"""`opchain`: the embedded world, a verifiable chain-of-operations task for a 0.7M-parameter Llama.

`task` generates problems and references and checks answers, `corpus` writes the pre-training text,
`tokenizer` and `build_base` make the base model, `build_data` writes the parquet files of a run.
"""
