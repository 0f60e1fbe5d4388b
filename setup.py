"""Packaging of the project: the method (`sage`), its verl adapter (`recipe.sage`) and the benchmarks."""

import re
from pathlib import Path

from setuptools import find_namespace_packages, setup

# Read, not imported: importing sage here would need its dependencies before they are installed.
VERSION = re.search(r'^__version__ = "(.+)"$', (Path(__file__).parent / "sage/__init__.py").read_text(), re.M)[1]

setup(
    name="sage-verl",
    version=VERSION,
    description="SAGE, self-hint aligned GRPO, as a recipe on verl",
    python_requires=">=3.10",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=["benchmarks", *find_namespace_packages(include=["sage", "sage.*", "recipe", "recipe.*"])],
    package_data={"": ["*.yaml", "*.html", "*.css", "*.js"]},
    # Empty on purpose: a CPU and a GPU machine need different builds of torch and vLLM, which one list cannot express.
    # The files in requirements/ install everything, scripts/check_env.py says whether they did.
    install_requires=[],
    entry_points={
        # Loaded at the start of verl and of every vLLM process; they do nothing unless VERL_PLATFORM=cpu.
        "verl.plugins": ["sage_cpu = recipe.sage.cpu"],
        "vllm.general_plugins": ["sage_cpu = recipe.sage.cpu.vllm_plugin:register"],
    },
)
