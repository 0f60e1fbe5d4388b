"""What ``benchmarks/rollout_schedule.py`` measured, to calibrate the simulator with and to test it against."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from sage.planning.simulator.engine import StepTimes
from sage.planning.simulator.simulate import Machine, simulate
from sage.planning.simulator.strategies import STRATEGIES
from sage.planning.simulator.world import Lengths, World


def middle(times: Sequence[StepTimes]) -> StepTimes:
    """The median of several measurements of one engine, point by point."""
    sizes = [size for size, _ in times[0].decode]
    decode = tuple((size, median(t.decode[i][1] for t in times)) for i, size in enumerate(sizes))
    return StepTimes(decode, median(t.prefill_token for t in times), median(t.request for t in times))


def step_times(data: Mapping[str, Any]) -> StepTimes:
    """Inverse of `dataclasses.asdict`, from JSON."""
    return StepTimes(tuple((size, seconds) for size, seconds in data["decode"]), data["prefill_token"], data["request"])


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
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            world = data["setting"]["world"]
            lengths, hints = Lengths(**world.pop("lengths")), Lengths(**world.pop("hint_lengths"))
            records = tuple(data["records"])
            return cls(World(**world, lengths=lengths, hint_lengths=hints), data["setting"]["slots"], records)
        except FileNotFoundError as error:
            raise ValueError(f"{path}: no such file; write it with benchmarks/rollout_schedule.py --json") from error
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}: not written by benchmarks/rollout_schedule.py --json ({error!r})") from error

    @property
    def machine(self) -> Machine:
        """The engine, with the median of its step times."""
        return Machine(middle([step_times(record["step_times"]) for record in self.records]), 1, self.slots)

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

    def measured(self, collapse: float, value: Callable[[dict[str, Any]], float]) -> float:
        """Median of a value of the records."""
        return median(value(record) for _, record in self.at(collapse))
