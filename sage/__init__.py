"""SAGE: self-hint aligned GRPO (Liao et al., arXiv 2602.03143), free of verl and Ray.

The engine of an evaluation, `sage.evaluation.generate`, is the only module that imports vLLM.
"""

__version__ = "0.2.0"
