"""SAGE: self-hint aligned GRPO (Liao et al., arXiv 2602.03143), free of verl, Ray and vLLM."""

__version__ = "0.1.0"
