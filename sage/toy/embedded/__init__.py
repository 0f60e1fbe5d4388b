"""What the embedded tasks have in common: a world on which the whole recipe runs and learns on a CPU.

`tasks` loads one of them (`sage.toy.opchain`, `sage.toy.wheels`), `build_base` makes its base model and tokenizer,
`build_data` writes the parquet files of a run, `series` makes the runs that are recorded (`store`, `summary`).
"""
