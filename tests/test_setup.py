"""The set-up of an environment from the locks; everything comes from an index on this machine."""

import base64
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import script

ROOT = Path(__file__).resolve().parent.parent


package_index = script("package_index")


# ---- which index ----


class Index(ThreadingHTTPServer):
    """Serves a folder as package indexes and notes what was asked for."""

    def __init__(self, folder: Path):
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), partial(self.Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server_port}"

    class Handler(SimpleHTTPRequestHandler):
        server: "Index"

        def log_message(self, *_: object) -> None:
            self.server.asked.append(self.path)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Two indexes, as on a machine that reaches all: /default with torch's CUDA build, /cpu with its CPU build."""
    folder = tmp_path_factory.mktemp("index")
    default, cpu = folder / "default", folder / "cpu"
    wheel(default, "torch", "2.11.0", {"torch.py": ""}, requires=["nvidia-cublas==13.1", "sympy>=1"], tag="cp311-none")
    wheel(cpu, "torch", "2.11.0+cpu", {"torch.py": ""}, tag="cp311-none")
    wheel(default, "nvidia-cublas", "13.1", {"nvidia_cublas.py": ""})
    wheel(default, "setuptools", "77.0.3", {"setuptools/__init__.py": ""})
    wheel(default, "left-pad", "1.0", {"left_pad.py": ""})
    wheel(default, "left-pad", "2.0", {"left_pad.py": ""})
    wheel(default, "gguf", "0.1", {"gguf.py": ""})
    real = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    script = f'#!/bin/sh\nexec {real} "$@"\n'
    wheel(default, "uv", "0.13.9", {"uv-0.13.9.data/scripts/uv": script})
    server = Index(folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def wheel(
    index: Path,
    name: str,
    version: str,
    files: dict[str, str],
    requires: list[str] | None = None,
    tag: str = "py3-none",
) -> None:
    """Put a wheel with these files into a package index."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
    metadata += [f"Requires-Dist: {line}\n" for line in requires or []]
    files = files | {
        f"{info}/METADATA": "".join(metadata),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}-any\n",
    }
    record = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},{len(text)}\n"
        for path, text in files.items()
    ]
    (index / name).mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(index / name / f"{module}-{version}-{tag}-any.whl", "w") as archive:
        for path, text in (files | {f"{info}/RECORD": f"{''.join(record)}{info}/RECORD,,\n"}).items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = 0o100755 << 16  # scripts must be executable
            archive.writestr(entry, text)


@pytest.fixture
def nobody() -> Iterator[str]:
    """The URL of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_pytorchs_own_index_is_taken_where_it_has_the_wheel(index: Index):
    assert package_index.torch_index("2.11.0", {}, f"{index.url}/cpu") == f"{index.url}/cpu"
    assert package_index.torch_index("2.11.0", {}, f"{index.url}/cpu/") == f"{index.url}/cpu/"


def test_the_default_index_is_taken_elsewhere(index: Index, nobody: str):
    assert package_index.torch_index("2.12.0", {}, f"{index.url}/cpu") == "", "another version"
    assert package_index.torch_index("2.11.0", {}, f"{index.url}/default") == "", "no CPU build"
    assert package_index.torch_index("2.11.0", {}, f"{index.url}/nothing") == "", "404"
    assert package_index.torch_index("2.11.0", {}, nobody, timeout=0.2) == "", "no answer"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert package_index.torch_index("2.11.0", {}, f"http://127.0.0.1:{port}") == "", "nobody there"


def test_the_index_that_the_user_names_wins_and_no_other_is_asked(index: Index):
    index.asked.clear()
    assert (
        package_index.torch_index("2.11.0", {"TORCH_CPU_INDEX": "https://mirror/cpu"}, f"{index.url}/cpu")
        == "https://mirror/cpu"
    )
    assert index.asked == []


def test_cuda_libraries_are_wanted_where_the_metadata_asks_for_them():
    assert package_index.asks_for_cuda(["filelock", 'cuda-toolkit[cublas]==13.0.2; platform_system == "Linux"'])
    assert package_index.asks_for_cuda(["nvidia-nccl-cu13==2.28.9"])
    assert not package_index.asks_for_cuda(["filelock", 'nvidia-mathdx; extra == "megatron"'])
    assert not package_index.asks_for_cuda(None)


# ---- pip's settings ----


def test_a_later_section_of_pips_configuration_wins():
    listing = (
        "global.index-url='https://a'\n:env:.index-url='https://c'\ninstall.index-url='https://b'\nlist.format='json'\n"
    )
    assert package_index.pip_options(listing) == {"index-url": "https://c"}


def test_uv_gets_the_settings_of_pip():
    pip = {
        "index-url": "https://mirror/simple",
        "extra-index-url": "\nhttps://one/simple\nhttps://two/simple",
        "find-links": "/wheels /more",
        "trusted-host": "mirror",
        "default-timeout": "60",
        "cert": "/etc/company.pem",
        "proxy": "http://proxy:8080",
    }
    assert package_index.uv_settings(pip, {}) == {
        "UV_DEFAULT_INDEX": "https://mirror/simple",
        "UV_INDEX": "https://one/simple https://two/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/wheels,/more",
        "UV_INSECURE_HOST": "mirror",
        "UV_HTTP_TIMEOUT": "60",
        "SSL_CERT_FILE": "/etc/company.pem",
        "HTTP_PROXY": "http://proxy:8080",
        "HTTPS_PROXY": "http://proxy:8080",
        "UV_SYSTEM_CERTS": "true",
    }


def test_what_is_set_for_uv_already_stays():
    pip = {"index-url": "https://mirror/simple", "cert": "/etc/company.pem", "proxy": "http://proxy:8080"}
    mine = {
        "UV_INDEX_URL": "https://mine",
        "SSL_CERT_FILE": "/mine.pem",
        "https_proxy": "http://mine",
        "HTTP_PROXY": "x",
    }
    assert package_index.uv_settings(pip, mine) == {"UV_SYSTEM_CERTS": "true"}


def test_pips_files_and_variables_are_read(tmp_path: Path):
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://it's.a/mirror\ncert = /etc/company.pem\n")
    environ = clean_environ() | {"PIP_CONFIG_FILE": str(config), "PIP_CERT": "/etc/other.pem"}
    run = subprocess.run(
        [sys.executable, ROOT / "scripts/package_index.py", "settings"],
        env=environ,
        text=True,
        capture_output=True,
        check=True,
    )
    shell = f'{run.stdout}\nprintf \'%s %s\' "$UV_DEFAULT_INDEX" "$SSL_CERT_FILE"'
    seen = subprocess.run(
        ["bash", "-euc", shell], env=clean_environ(), text=True, capture_output=True, check=True
    ).stdout
    assert seen == "https://it's.a/mirror /etc/other.pem"


# ---- the script ----


def clean_environ(**more: str) -> dict[str, str]:
    """The environment without what changes where packages come from; nothing outside this machine can be reached."""
    unwanted = r"(PIP|UV|DEVICE|PYTHON|TORCH_CPU_INDEX|VIRTUAL_ENV|SSL_CERT).*|(https?|all|no)_proxy"
    kept = {key: value for key, value in os.environ.items() if not re.fullmatch(unwanted, key, re.I)}
    return kept | {"PIP_CONFIG_FILE": os.devnull, "HTTPS_PROXY": "http://127.0.0.1:9", "PYTHON": sys.executable} | more


class Checkout:
    """A folder with the scripts of this one and tiny locks."""

    def __init__(self, folder: Path):
        self.folder = folder
        (folder / "scripts").mkdir()
        (folder / "requirements").mkdir()
        for name in ("setup_env.sh", "package_index.py", "test.sh"):
            shutil.copy(ROOT / "scripts" / name, folder / "scripts")
        self.lock("left-pad==1.0")
        (folder / "requirements/cpu-cuda.lock").write_text("# CUDA\nnvidia-cublas==13.1\n")
        (folder / "requirements/real-model.txt").write_text("gguf==0.1\n")
        (folder / "setup.py").write_text("")
        (folder / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            '[project]\nname = "this-project"\nversion = "1"\n'
        )
        (folder / "backend.py").write_text(
            "import zipfile\n"
            "def build_editable(folder, config_settings=None, metadata_directory=None):\n"
            "    name, info = 'this_project-1-py3-none-any.whl', 'this_project-1.dist-info'\n"
            "    with zipfile.ZipFile(f'{folder}/{name}', 'w') as wheel:\n"
            "        wheel.writestr(f'{info}/METADATA', 'Metadata-Version: 2.1\\nName: this-project\\nVersion: 1\\n')\n"
            "        wheel.writestr(f'{info}/WHEEL', 'Wheel-Version: 1.0\\nTag: py3-none-any\\n')\n"
            "        wheel.writestr(f'{info}/RECORD', '')\n"
            "    return name\n"
        )

    def lock(self, *lines: str) -> None:
        text = "\n".join(["# a remark", "setuptools==77.0.3", "torch==2.11.0", "uv==0.13.9", *lines, ""])
        (self.folder / "requirements/cpu.lock").write_text(text)

    def set_up(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", "scripts/setup_env.sh", *arguments]
        return subprocess.run(command, cwd=self.folder, env=clean_environ(**environ), text=True, capture_output=True)

    def installed(self) -> dict[str, str]:
        listing = "from importlib.metadata import *; [print(d.name, d.version) for d in distributions()]"
        python = self.folder / ".venv/bin/python"
        lines = subprocess.run([python, "-c", listing], text=True, capture_output=True, check=True).stdout.splitlines()
        return dict(line.split() for line in lines)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


needs_uv = pytest.mark.skipif(
    not shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"), reason="uv is not installed"
)
needs_311 = pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the locks are for Python 3.11")


@needs_uv
@needs_311
@pytest.mark.timeout(300)
def test_an_environment_is_made_brought_up_to_date_and_left_alone(checkout: Checkout, index: Index, tmp_path: Path):
    environ = {"PIP_INDEX_URL": f"{index.url}/default", "UV_CACHE_DIR": str(tmp_path / "cache")}

    first = checkout.set_up(**environ)
    assert first.returncode == 0, first.stderr
    assert "torch comes from the default package index" in first.stderr
    assert "(2 GB to download, 3.4 GB on disk): nvidia-cublas" in first.stderr
    expected = {"torch": "2.11.0", "nvidia-cublas": "13.1", "left-pad": "1.0", "this-project": "1", "uv": "0.13.9"}
    assert expected.items() <= checkout.installed().items()
    assert "gguf" not in checkout.installed()
    site = checkout.folder / ".venv/lib/python3.11/site-packages"
    assert (site / "__pycache__/left_pad.cpython-311.pyc").exists(), "compiled"

    index.asked.clear()
    again = checkout.set_up()
    assert (again.returncode, again.stderr, index.asked) == (0, "", [])

    sourced = subprocess.run(
        ["bash", "-euc", 'source scripts/setup_env.sh; echo "$VIRTUAL_ENV"; command -v python', "-", "an argument"],
        cwd=checkout.folder,
        env=clean_environ(),
        text=True,
        capture_output=True,
    )
    assert sourced.stdout.split() == [f"{tmp_path}/.venv", f"{tmp_path}/.venv/bin/python"], sourced.stderr

    checkout.lock("left-pad==2.0")
    (checkout.folder / ".venv/mine").touch()
    newer = checkout.set_up(TORCH_CPU_INDEX=f"{index.url}/cpu", **environ)
    assert newer.returncode == 0, newer.stderr
    assert f"torch's CPU build comes from {index.url}/cpu" in newer.stderr
    assert {"torch": "2.11.0+cpu", "left-pad": "2.0"}.items() <= checkout.installed().items()
    assert (checkout.folder / ".venv/mine").exists(), "not made anew"

    model = checkout.set_up("--with-smollm2", **environ)
    assert model.returncode == 0, model.stderr
    assert checkout.installed()["gguf"] == "0.1"

    checkout.lock("left-pad==3.0")
    missing = checkout.set_up(**environ)
    assert missing.returncode == 1
    assert "left-pad" in missing.stderr and "run this again" in missing.stderr
    checkout.lock("left-pad==2.0")
    repaired = checkout.set_up(**environ)
    assert repaired.returncode == 0, repaired.stderr
    assert checkout.installed()["torch"] == "2.11.0+cpu", "a build that is there is not replaced"

    other = checkout.set_up(DEVICE="cuda", **environ)
    assert other.returncode == 1
    assert ".venv was made for DEVICE=cpu" in other.stderr


@needs_311
def test_an_environment_behind_a_link_is_used_and_never_changed(checkout: Checkout, tmp_path: Path):
    other = tmp_path / "other"
    (other / "bin").mkdir(parents=True)
    (other / "bin/python").symlink_to(sys.executable)
    (other / "pyvenv.cfg").touch()
    (checkout.folder / ".venv").symlink_to(other)
    before = sorted(other.rglob("*"))
    run = checkout.set_up()
    assert run.returncode == 0
    assert run.stderr.count("\n") == 1 and "used as it is" in run.stderr
    (other / "bin/python").unlink()
    broken = checkout.set_up()
    assert broken.returncode == 1
    assert "Remove the link" in broken.stderr
    (other / "bin/python").symlink_to(sys.executable)
    assert sorted(other.rglob("*")) == before


@needs_311
def test_a_folder_that_the_script_did_not_make_is_not_emptied(checkout: Checkout):
    mine = checkout.folder / ".venv/notes.txt"
    mine.parent.mkdir()
    mine.write_text("keep")
    run = checkout.set_up()
    assert run.returncode == 1
    assert "was not made by this script" in run.stderr
    assert mine.read_text() == "keep"


def test_an_environment_for_the_other_device_is_not_mixed_with(checkout: Checkout):
    stamp = checkout.folder / ".venv/sage-setup.stamp"
    stamp.parent.mkdir()
    stamp.write_text("cuda unfinished\n")
    run = checkout.set_up(DEVICE="cpu")
    assert run.returncode == 1
    assert ".venv was made for DEVICE=cuda" in run.stderr
    assert checkout.set_up(DEVICE="tpu").stderr == "setup: DEVICE=tpu must be cpu or cuda\n"


@pytest.mark.parametrize("script", ["setup_env.sh", "test.sh"])
def test_help_answers_without_installing_anything(checkout: Checkout, script: str):
    for option in ("--help", "-h"):
        command = ["bash", f"scripts/{script}", option]
        run = subprocess.run(command, cwd=checkout.folder, env=clean_environ(), text=True, capture_output=True)
        assert run.returncode == 0, run.stderr
        assert f"bash scripts/{script}" in run.stdout and "set -" not in run.stdout
    assert not (checkout.folder / ".venv").exists()


def test_an_unknown_argument_is_named(checkout: Checkout):
    run = checkout.set_up("--cuda")
    assert run.returncode == 1
    assert run.stderr == "setup: '--cuda' is no argument of this script; --help shows them.\n"
