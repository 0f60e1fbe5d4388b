"""Preparation of training files (SAGE Section 4, "Data"; entry point: ``scripts/prepare_data.py``).

source -> row -> Record or Dropped -> checks -> part files -> one Parquet file, the list of dropped rows, a manifest
"""
