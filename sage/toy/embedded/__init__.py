"""What the embedded tasks have in common: a world on which the whole recipe runs and learns on a CPU.

`tasks` loads one of them (`sage.toy.opchain`, `sage.toy.wheels`), `tokenizer` and `build_base` make its base model,
`build_data` writes the parquet files of a run, `series` makes the runs that are recorded (`store`, `summary`).
"""
