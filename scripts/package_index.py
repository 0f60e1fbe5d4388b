"""Find where the packages of an environment come from; used by scripts/setup_env.sh, with the standard library only.

``settings`` translates pip's configuration for uv, which does not read it, into ``export`` lines for a shell.
``torch VERSION`` prints the URL of the index for torch's CPU build, or nothing for the default index.
``asks-for-cuda`` exits with status 0 when the installed build of torch requires CUDA libraries.
"""

from __future__ import annotations

import ast
import http.client
import os
import shlex
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Mapping
from importlib import metadata

PYTORCH_CPU = "https://download.pytorch.org/whl/cpu"


def pip_options(listing: str) -> dict[str, str]:
    """The options that hold for ``pip install``, from what ``pip config list`` prints: later sections win."""
    found = {}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.partition(".")
        found[section, option] = str(ast.literal_eval(value))
    return {
        option: value
        for wanted in ("global", "install", ":env:")
        for (section, option), value in found.items()
        if section == wanted
    }


def uv_settings(pip: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that give uv the settings of pip; what is set in ``environ`` already stays as it is."""
    wanted = {
        "UV_DEFAULT_INDEX": pip.get("index-url", ""),
        "UV_INDEX": " ".join(pip.get("extra-index-url", "").split()),
        "UV_FIND_LINKS": ",".join(pip.get("find-links", "").split()),
        "UV_INSECURE_HOST": " ".join(pip.get("trusted-host", "").split()),
        "UV_HTTP_TIMEOUT": pip.get("timeout", pip.get("default-timeout", "")),
        "SSL_CERT_FILE": pip.get("cert", ""),
        "HTTP_PROXY": pip.get("proxy", ""),
        "HTTPS_PROXY": pip.get("proxy", ""),
    }
    if wanted["UV_INDEX"]:  # pip takes the best version of all indexes, uv by default that of the first one
        wanted["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    wanted["UV_SYSTEM_CERTS"] = "true"  # as pip
    older = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
    return {
        name: value
        for name, value in wanted.items()
        if value and not any(environ.get(key) for key in (name, name.lower(), older.get(name, name)))
    }


def has_wheel(index: str, wheel: str, timeout: float) -> bool:
    """Whether torch's page in the package index names a file that begins with ``wheel``; False without an answer."""
    try:
        with urllib.request.urlopen(f"{index.rstrip('/')}/torch/", timeout=timeout) as page:
            return wheel in urllib.parse.unquote(page.read().decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException):
        return False


def torch_index(version: str, environ: Mapping[str, str], pytorch: str = PYTORCH_CPU, timeout: float = 5) -> str:
    """The index to take torch's CPU build from; "" for the default index.

    ``TORCH_CPU_INDEX`` wins; else PyTorch's own index, where it answers within ``timeout`` seconds and has the version.
    """
    if environ.get("TORCH_CPU_INDEX"):
        return environ["TORCH_CPU_INDEX"]
    return pytorch if has_wheel(pytorch, f"torch-{version}+cpu-cp311-", timeout) else ""


def asks_for_cuda(requires: list[str] | None) -> bool:
    """Whether a package with these requirements needs NVIDIA's libraries."""
    return any(line.startswith(("nvidia-", "cuda-")) and "extra ==" not in line for line in requires or [])


def main(arguments: list[str]) -> int:
    match arguments:
        case ["settings"]:
            listing = subprocess.run(
                [sys.executable, "-m", "pip", "config", "list"], text=True, stdout=subprocess.PIPE, check=True
            )
            for name, value in uv_settings(pip_options(listing.stdout), os.environ).items():
                print(f"export {name}={shlex.quote(value)}")
        case ["torch", version]:
            print(torch_index(version, os.environ))
        case ["asks-for-cuda"]:
            return int(not asks_for_cuda(metadata.requires("torch")))
        case ["-h" | "--help"]:
            print(__doc__)
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
