"""Evaluation without hints: benchmarks, sampling, scores (SAGE Section 4; entry point: ``scripts/evaluate.py``)."""
