"""Numbers of the paper (arXiv 2602.03143), as data, in percent: to stand beside ours, never mixed with them."""

from __future__ import annotations

from sage.method import methods

IN_DISTRIBUTION = {
    "aime24": "AIME24",
    "aime25": "AIME25",
    "amc23": "AMC23",
    "math500": "MATH-500",
    "minerva": "Minerva",
    "olympiadbench": "Olympiad",
}
OUT_OF_DISTRIBUTION = {"gpqa": "GPQA", "mmlu_pro": "MMLU-Pro"}
BENCHMARKS = IN_DISTRIBUTION | OUT_OF_DISTRIBUTION
"""The eight benchmarks and their column heads, in the order of Table 1."""

PROBLEMS = {
    "aime24": 30,
    "aime25": 30,
    "amc23": 40,
    "math500": 500,
    "minerva": 272,
    "olympiadbench": 675,
    "gpqa": 198,
    "mmlu_pro": 12032,
}
SAMPLES = 16
"""A whole evaluation: problems of each benchmark, samples a problem."""

MODELS = {"llama-3.2-3b": "Llama-3.2-3B", "qwen2.5-7b": "Qwen2.5-7B", "qwen3-4b": "Qwen3-4B"}
"""Models of Table 1: folder in a results tree, name."""

HARD_STUDY = "qwen3-4b-hard"
"""Folder of the study on the 4.5k hardest prompts (Table C.1, Figs. 3 and 5): other training data, so other runs."""

METHODS = {"base": "Base"} | {
    name: methods.METHODS[name].label or name for name in ("sft", "grpo", "luffy", "scaf-grpo", "sage-light", "sage")
}
"""Rows of Table 1: folder in a results tree, name."""

TABLE_1: dict[str, dict[str, tuple[float, ...]]] = {
    "llama-3.2-3b": {
        "base": (6.5, 0.6, 22.8, 44.7, 17.8, 14.2, 17.9, 27.0, 17.8, 22.5),
        "sft": (0.4, 0.6, 9.5, 26.9, 5.1, 6.5, 11.6, 18.8, 8.2, 15.2),
        "grpo": (6.7, 0.8, 29.5, 52.1, 20.5, 21.8, 26.3, 39.8, 21.9, 33.1),
        "luffy": (4.4, 0.4, 18.6, 38.9, 14.3, 11.9, 16.0, 26.7, 14.7, 21.4),
        "scaf-grpo": (7.7, 2.3, 28.8, 51.7, 19.4, 19.5, 24.1, 38.0, 21.5, 31.0),
        "sage-light": (8.8, 1.9, 32.2, 54.1, 20.8, 20.1, 26.8, 39.6, 23.0, 33.2),
        "sage": (9.2, 0.8, 34.7, 56.3, 20.1, 22.0, 27.3, 40.7, 23.9, 34.0),
    },
    "qwen2.5-7b": {
        "base": (13.8, 6.7, 53.4, 75.7, 38.1, 39.2, 37.1, 56.4, 37.8, 46.7),
        "sft": (3.5, 7.1, 30.9, 56.2, 20.0, 21.7, 9.5, 35.6, 23.2, 22.2),
        "grpo": (15.0, 13.5, 55.5, 79.2, 39.1, 44.5, 37.2, 57.6, 41.1, 47.4),
        "luffy": (17.1, 13.5, 55.2, 81.3, 39.0, 44.2, 38.1, 59.1, 41.7, 48.6),
        "scaf-grpo": (14.6, 12.7, 58.8, 78.0, 39.8, 42.0, 36.6, 58.4, 41.0, 47.5),
        "sage-light": (17.1, 11.7, 58.1, 79.9, 38.6, 46.1, 36.6, 58.8, 41.9, 47.7),
        "sage": (16.0, 12.5, 60.3, 80.0, 39.3, 45.9, 38.0, 59.3, 42.3, 48.6),
    },
    "qwen3-4b": {
        "base": (52.1, 43.1, 92.2, 93.6, 46.1, 67.7, 57.6, 70.9, 65.8, 64.3),
        "sft": (14.4, 22.1, 55.2, 78.9, 38.1, 40.2, 29.4, 52.6, 41.5, 41.0),
        "grpo": (55.8, 45.0, 95.0, 96.0, 50.1, 70.4, 57.0, 72.0, 68.7, 64.5),
        "luffy": (42.3, 36.0, 86.4, 91.1, 48.2, 59.4, 31.9, 46.6, 60.6, 39.3),
        "scaf-grpo": (59.8, 45.2, 92.2, 95.1, 48.9, 69.8, 54.3, 72.1, 68.5, 63.2),
        "sage-light": (59.2, 47.1, 92.2, 95.1, 49.5, 70.5, 57.1, 72.0, 68.9, 64.5),
        "sage": (58.1, 52.1, 94.2, 95.4, 49.2, 71.2, 57.8, 72.5, 70.0, 65.2),
    },
}
"""Accuracy on each of `BENCHMARKS`, then the averages that are printed: in distribution (six), out of it (two)."""

TABLE_2: dict[str, dict[str, float]] = {
    "llama-3.2-3b": {"base": 56.9, "grpo": 40.2, "sage": 30.0},
    "qwen2.5-7b": {"base": 29.8, "grpo": 10.3, "sage": 8.2},
    "qwen3-4b": {"base": 21.8, "grpo": 1.3, "sage": 1.0},
}
"""Training prompts never solved."""

TABLE_3 = {"qwen2.5-7b": {"grpo": 1.0, "luffy": 1.2, "scaf-grpo": 1.5, "sage-light": 1.2, "sage": 2.3}}
"""Training time relative to GRPO."""

TABLE_3_GRPO_HOURS = {"qwen2.5-7b": 25.3}

STUDY: dict[str, tuple[str, int | None, int | None]] = {
    "base": ("Base", None, None),
    "grpo": ("No hint", 0, 200),
    "fixed-1-teacher": ("GPT-5", 1, 200),
    "fixed-1-offline": ("Offline", 1, 200),
    "fixed-1": ("Online", 1, 200),
    "fixed-2-teacher": ("GPT-5", 2, 200),
    "fixed-2-offline": ("Offline", 2, 200),
    "fixed-2": ("Online", 2, 200),
    "fixed-2-offline-400": ("Offline", 2, 400),
    "fixed-2-400": ("Online", 2, 400),
    "fixed-3-teacher": ("GPT-5", 3, 200),
    "fixed-3-offline": ("Offline", 3, 200),
    "fixed-3": ("Online", 3, 200),
}
"""Rows of Table C.1: folder in a results tree, then hint source, level and the paper's steps."""

TABLE_C1: dict[str, tuple[float, ...]] = {
    "base": (30.8, 28.5, 75.5, 87.8, 42.8, 54.3, 53.3),
    "grpo": (34.0, 29.2, 78.8, 88.6, 40.7, 53.1, 54.1),
    "fixed-1-teacher": (34.0, 29.8, 83.0, 89.6, 42.2, 56.9, 55.9),
    "fixed-1-offline": (35.8, 28.3, 80.2, 89.9, 42.4, 56.9, 55.6),
    "fixed-1": (35.0, 28.5, 82.7, 90.0, 42.7, 61.0, 56.7),
    "fixed-2-teacher": (34.8, 29.6, 81.1, 89.6, 42.9, 60.9, 56.5),
    "fixed-2-offline": (33.1, 27.3, 78.1, 89.0, 42.5, 59.2, 54.9),
    "fixed-2": (34.2, 27.7, 81.7, 89.2, 43.5, 61.8, 56.4),
    "fixed-2-offline-400": (34.0, 26.0, 79.8, 88.5, 43.7, 60.4, 55.4),
    "fixed-2-400": (38.5, 30.8, 82.7, 90.3, 44.4, 62.9, 58.3),
    "fixed-3-teacher": (37.9, 26.9, 78.3, 89.2, 43.1, 62.1, 56.3),
    "fixed-3-offline": (36.7, 27.5, 83.1, 89.6, 43.3, 61.5, 57.0),
    "fixed-3": (36.7, 27.2, 83.1, 89.9, 43.2, 62.6, 57.1),
}
"""Accuracy on each of `IN_DISTRIBUTION`, then their average, of Qwen3-4B trained on the 4.5k hardest prompts."""

STUDY_AVERAGES = {name: values[-1] for name, values in TABLE_C1.items()} | {
    "fixed-2-offline-10": 56.3,
    "off-policy": 56.5,
    "sage": 59.2,
}
"""Six-benchmark averages of Table C.1; the last three of Fig. 5."""

FIGURE_6 = {"llama-3.2-3b": (40 / 128 * 100, 10 / 128 * 100)}
"""Prompts of a batch that use a hint at the start and at the end, read off Fig. 6 (about 40 and 10 of 128)."""

INCONSISTENT = {
    ("qwen2.5-7b", "sft"): "The paper prints 22.2 as Qwen2.5-7B SFT's average of 9.5 and 35.6, which is 22.55.",
}
"""Printed averages that rounding does not explain, kept as printed."""
