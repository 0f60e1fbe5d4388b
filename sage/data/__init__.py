"""Rows in: checks of training files, their preparation from sources (`preparation`), and their form for SFT."""
