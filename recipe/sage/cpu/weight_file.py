"""Weights from actor to a separate engine through a file, for verl's ``separate_async`` mode without a GPU.

verl's own transports (nccl, nixl, ..) need devices. Named by ``checkpoint_engine.custom_backend_module``.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from verl.checkpoint_engine import CheckpointEngine, CheckpointEngineRegistry

POLL_SECONDS = 0.02


@CheckpointEngineRegistry.register("file")
class FileCheckpointEngine(CheckpointEngine):
    """One file for each update, in a folder of the actor's; engine and actor share a machine."""

    def __init__(self, bucket_size: int, is_master: bool = False) -> None:
        self.folder = tempfile.mkdtemp(prefix="sage_weights_") if is_master else ""
        self.is_master = is_master

    def prepare(self) -> dict[str, Any]:
        return {"folder": self.folder}

    @classmethod
    def build_topology(
        cls, actor_wg_world_size: int, rollout_world_size: int, metadata: list[dict[str, Any]]
    ) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        folder = metadata[0]["folder"]  # actor rank 0 is the master
        return {"folder": [folder] * actor_wg_world_size}, {"folder": [folder] * rollout_world_size}

    def init_process_group(self, folder: str) -> None:
        self.folder = folder

    def finalize(self) -> None:
        if self.is_master:
            for file in Path(self.folder).iterdir():
                file.unlink()

    def _path(self, global_steps: int | None) -> Path:
        return Path(self.folder) / f"{global_steps}.safetensors"

    async def send_weights(
        self, weights: Iterator[tuple[str, torch.Tensor]], global_steps: int | None = None
    ) -> dict[str, float]:
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in weights}  # gathering is collective
        if self.is_master:
            path = self._path(global_steps)
            save_file(tensors, path.with_suffix(".tmp"))
            os.replace(path.with_suffix(".tmp"), path)
        return {}

    async def receive_weights(self, global_steps: int | None = None) -> AsyncIterator[tuple[str, torch.Tensor]]:
        path = self._path(global_steps)
        while not path.exists():
            await asyncio.sleep(POLL_SECONDS)
        for item in load_file(path).items():
            yield item
