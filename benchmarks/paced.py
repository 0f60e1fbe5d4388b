"""A vLLM scheduler whose steps take a given time, for ``benchmarks/rollout_schedule.py --paced``.

A CPU engine pays for every sequence, a GPU's step hardly grows with them. So the same engine and scheduler run with
each step padded to the step time of a GPU; steps that take longer by themselves are counted.
"""

from __future__ import annotations

import time
from typing import Any

from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler

from sage.planning.simulator.engine import ASSUMED


class PacedScheduler(Scheduler):
    """Begins a step only when the last one has taken its time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._due = 0.0
        self._late = self._steps = 0

    def schedule(self, *args: Any, **kwargs: Any) -> SchedulerOutput:
        """vLLM's decision, when the last step is due."""
        now = time.perf_counter()
        if self._due and now > self._due + 0.001:
            self._late += 1
        time.sleep(max(0.0, self._due - now))
        output = super().schedule(*args, **kwargs)
        running = len(output.num_scheduled_tokens)
        read = output.total_num_scheduled_tokens - running
        begin = max(self._due, now)
        self._due = begin + ASSUMED.step(running) + ASSUMED.prefill_token * read if running else 0.0
        self._steps += 1
        if self._steps % 5000 == 0:
            print(f"paced: {self._late} of {self._steps} steps took longer by themselves", flush=True)
        return output
