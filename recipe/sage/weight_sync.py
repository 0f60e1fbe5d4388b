"""Weight sync that fails when the engine does.

verl's sender waits without a limit for the engine's acknowledgement of each bucket of weights. Where the engine has
raised instead, that wait never ends. The engine's error is there, in the answer to the call that began the transfer:
while it waits, our sender looks whether that call has ended.
"""

from __future__ import annotations

from typing import Any

import ray
from verl.workers.rollout.vllm_rollout import vllm_rollout
from verl.workers.rollout.vllm_rollout.bucketed_weight_transfer import BucketedWeightSender

POLL_MILLISECONDS = 500


class _Socket:
    """The sender's socket; a message that will not come raises the engine's error.

    Args:
        socket: ZMQ's.
        call: the engine's part of the transfer.
    """

    def __init__(self, socket: Any, call: ray.ObjectRef) -> None:
        self._socket, self._call = socket, call

    def recv(self) -> bytes:
        while not self._socket.poll(POLL_MILLISECONDS):
            ended, _ = ray.wait([self._call], timeout=0)
            if ended and not self._socket.poll(POLL_MILLISECONDS):
                ray.get(self._call)
                raise RuntimeError("the engine has ended the transfer of weights without having taken them all")
        return self._socket.recv()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class Sender(BucketedWeightSender):
    """verl's sender with the engine's call at hand."""

    socket: Any
    call: ray.ObjectRef | None = None
    """Of the transfer that is under way in this process; None on ranks that did not make the call."""

    def _init_socket(self) -> None:
        super()._init_socket()
        if Sender.call is not None:
            self.socket = _Socket(self.socket, Sender.call)


class SageServerAdapter(vllm_rollout.ServerAdapter):
    """verl's adapter of the engine, found by `recipe.sage.algorithm` under the name ``vllm``."""

    async def _execute_method(self, method: str, non_block: bool = False, **kwargs: Any) -> Any:
        result = await super()._execute_method(method, non_block, **kwargs)
        Sender.call = result if non_block else None
        return result


vllm_rollout.BucketedWeightSender = Sender
