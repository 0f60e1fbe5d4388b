"""What ``benchmarks/rollout_schedule.py`` measured, to calibrate the simulator with and to test it against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Annotated, Any

from annotated_types import MinLen
from pydantic import with_config
from typing_extensions import TypedDict

from sage.planning.simulator.engine import StepTimes
from sage.planning.simulator.simulate import Machine, simulate
from sage.planning.simulator.strategies import STRATEGIES
from sage.planning.simulator.world import World
from sage.support.documents import read_json
from sage.support.values import Count, Share


def middle(times: Sequence[StepTimes]) -> StepTimes:
    """The median of several measurements of one engine, point by point."""
    sizes = [size for size, _ in times[0].decode]
    decode = tuple((size, median(t.decode[i][1] for t in times)) for i, size in enumerate(sizes))
    return StepTimes(decode, median(t.prefill_token for t in times), median(t.request for t in times))


@dataclass(frozen=True)
class _Setting:
    world: World
    slots: Count


@with_config(extra="allow")
class _Record(TypedDict):
    repetition: int
    collapse: Share
    step_times: StepTimes


@dataclass(frozen=True)
class _File:
    setting: _Setting
    records: Annotated[tuple[_Record, ...], MinLen(1)]


@dataclass(frozen=True)
class Measured:
    """The measurements of one run of the benchmark."""

    world: World
    slots: int
    records: tuple[dict[str, Any], ...]
    """One for each repetition and collapse rate: step times, and figures by strategy."""

    @classmethod
    def load(cls, path: str | Path) -> Measured:
        """Read the benchmark's file.

        Raises:
            ValueError: it is missing or was not written by the benchmark; names the file.
        """
        found: _File = read_json(_File, Path(path), "write it with benchmarks/rollout_schedule.py --json")
        if len({len(record["step_times"].decode) for record in found.records}) > 1:
            raise ValueError(f"{path}: its step times are at different points; take records of one engine")
        return cls(found.setting.world, found.setting.slots, tuple(map(dict, found.records)))

    @property
    def machine(self) -> Machine:
        """The engine, with the median of its step times."""
        return Machine(middle([record["step_times"] for record in self.records]), 1, self.slots)

    @property
    def collapses(self) -> list[float]:
        """The collapse rates, highest first."""
        return sorted({record["collapse"] for record in self.records}, reverse=True)

    def at(self, collapse: float) -> list[tuple[World, dict[str, Any]]]:
        """The batch and the record of every repetition at a collapse rate."""
        records = [record for record in self.records if record["collapse"] == collapse]
        return [(replace(self.world, collapse=collapse, seed=record["repetition"]), record) for record in records]

    def simulated(self, collapse: float, name: str) -> float:
        """Median makespan of a strategy in the simulator, over the batches that were measured."""
        return median(simulate(world, STRATEGIES[name], self.machine).makespan for world, _ in self.at(collapse))
