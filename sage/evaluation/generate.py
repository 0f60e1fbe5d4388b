"""Sampling with vLLM: one engine in a process of its own for each replica, requests to whichever has the fewest.

A sample's seed depends on the problem and its number alone, so neither the replica nor the order matters. A replica
ends itself when the process that started it is gone, killed or not, so that nothing keeps a GPU.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NoReturn

from sage.support.engine import CPU_DEFAULTS

WINDOW = 2048
"""Requests that a replica has at once: more than an engine runs together, few enough to hold in memory."""


class EngineError(RuntimeError):
    """A replica, or the merger of a checkpoint, ended before its work was done."""


@dataclass(frozen=True)
class Decoding:
    temperature: float
    top_p: float
    max_tokens: int


@dataclass(frozen=True)
class Request:
    key: tuple[str, str, int]
    """Benchmark, problem id, number of the sample."""
    prompt: list[int]
    """Token ids."""
    seed: int


@dataclass(frozen=True)
class Generation:
    key: tuple[str, str, int]
    text: str
    tokens: int
    finish: str
    """``stop`` or ``length``."""


def replica_devices(engine: dict[str, Any], wanted: int | None) -> list[str | None]:
    """The GPUs of each replica, as a value of CUDA_VISIBLE_DEVICES; None for a replica on a CPU.

    Args:
        engine: arguments of the engine; tensor and pipeline parallelism give a replica several GPUs.
        wanted: how many replicas; None for as many as the visible GPUs allow, or one on a CPU.

    Raises:
        ValueError: there are too few GPUs, or the numbers of an engine's GPUs are none.
    """
    sizes = {key: engine.get(key, 1) for key in ("tensor_parallel_size", "pipeline_parallel_size")}
    for key, value in sizes.items():
        if type(value) is not int or value < 1:
            raise ValueError(f"--engine {key}={value} must be a whole number of at least 1")
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        import torch

        devices = [str(n) for n in range(torch.cuda.device_count())]
    else:
        devices = [name.strip() for name in named.split(",") if name.strip()]
    if not devices:
        return [None] * (wanted or 1)
    size = math.prod(sizes.values())
    most = len(devices) // size
    if not 1 <= (wanted or most) <= most:
        raise ValueError(
            f"{len(devices)} visible GPUs hold {most} replicas of {size} GPU(s); lower --replicas or "
            "--engine tensor_parallel_size, or make more GPUs visible"
        )
    return [",".join(devices[n * size : (n + 1) * size]) for n in range(wanted or most)]


class Replicas:
    """Engines with the same model, used in a ``with`` block.

    Args:
        model: path or name for vLLM.
        engine: further arguments of its engine.
        decoding: how responses are drawn.
        devices: the GPUs of each replica (`replica_devices`).
        logs: folder for ``replica<n>.log``, what the engines print.

    Attributes:
        context_length: longest prompt and response together, in tokens.
    """

    def __init__(
        self, model: str, engine: dict[str, Any], decoding: Decoding, devices: Sequence[str | None], logs: Path
    ) -> None:
        context = get_context("spawn")
        self._processes: dict[Connection, BaseProcess] = {}
        self._logs: dict[Connection, Path] = {}
        logs.mkdir(parents=True, exist_ok=True)
        for number, device in enumerate(devices):
            ours, theirs = context.Pipe()
            log = logs / f"replica{number}.log"
            # Not a daemon: an engine with tensor parallelism has children.
            process = context.Process(target=_serve, args=(theirs, model, engine, decoding, device, str(log)))
            process.start()
            theirs.close()
            self._processes[ours], self._logs[ours] = process, log

    def __enter__(self) -> Replicas:
        try:
            self.context_length = min(self._started(connection) for connection in self._processes)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._processes:
            connection.close()
        for process in self._processes.values():
            process.join()

    def run(self, groups: Iterable[list[Request]]) -> Iterator[Generation]:
        """Responses, in the order in which they finish.

        Args:
            groups: requests that go to one replica together, such as those with the same prompt.

        Raises:
            EngineError: a replica ended; the message holds the end of its log.
        """
        waiting = iter(groups)
        running = dict.fromkeys(self._processes, 0)
        while True:
            while min(running.values()) < WINDOW and (group := next(waiting, None)) is not None:
                connection = min(running, key=running.__getitem__)
                try:
                    connection.send(group)
                except ConnectionError:
                    self._fail(connection)
                running[connection] += len(group)
            if not any(running.values()):
                return
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                finished = self._receive(ready)
                running[ready] -= len(finished)
                yield from finished

    def _started(self, connection: Connection) -> int:
        """The length of an engine's context, or why it did not start."""
        said = self._receive(connection)
        if isinstance(said, int):
            return said
        raise EngineError(f"vLLM does not start: {said}; its log is {self._logs[connection]}")

    def _receive(self, connection: Connection) -> Any:
        try:
            return connection.recv()
        except (EOFError, ConnectionError):
            self._fail(connection)

    def _fail(self, connection: Connection) -> NoReturn:
        process = self._processes[connection]
        process.join()
        log = self._logs[connection]
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-25:]
        tail = "\n".join(line[:200] for line in lines)
        raise EngineError(f"{tail}\na replica ended with status {process.exitcode}; its log is {log}") from None


def _serve(
    connection: Connection, model: str, engine: dict[str, Any], decoding: Decoding, device: str | None, log: str
) -> None:
    """A replica: says how long its context is, or why there is no engine; then answers groups of requests until the
    connection is closed."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, sys.stdout.fileno())
    os.dup2(output, sys.stderr.fileno())
    if device is None:
        engine = {**CPU_DEFAULTS, **engine}
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    # Engine and scheduler in this process: one of their own would outlive it.
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    inbox: SimpleQueue[list[Request]] = SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()

    from vllm import EngineArgs, LLMEngine, SamplingParams
    from vllm.inputs import TokensPrompt
    from vllm.sampling_params import RequestOutputKind

    try:
        llm = LLMEngine.from_engine_args(EngineArgs(model=model, **engine))
    except (TypeError, ValueError) as error:  # what vLLM raises for arguments that it does not take
        traceback.print_exc()
        connection.send(" ".join(str(error).split())[:500])
        return
    connection.send(llm.model_config.max_model_len)
    keys: dict[str, tuple[str, str, int]] = {}
    names = map(str, itertools.count())
    while True:
        while not inbox.empty() or not llm.has_unfinished_requests():
            for request in inbox.get():
                sampling = SamplingParams(
                    temperature=decoding.temperature,
                    top_p=decoding.top_p,
                    max_tokens=decoding.max_tokens,
                    seed=request.seed,
                    output_kind=RequestOutputKind.FINAL_ONLY,
                )
                name = next(names)
                keys[name] = request.key
                llm.add_request(name, TokensPrompt(prompt_token_ids=request.prompt), sampling)
        finished = []
        for output in llm.step():
            final = output.outputs[0]
            finished.append(
                Generation(keys.pop(output.request_id), final.text, len(final.token_ids), final.finish_reason or "")
            )
        if finished:
            connection.send(finished)


def _listen(connection: Connection, inbox: SimpleQueue[list[Request]]) -> None:
    """Take in requests while the engine computes; end this process when the other side is gone."""
    while True:
        try:
            inbox.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)
