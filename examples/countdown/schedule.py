"""A schedule of one's own: a failed prompt gets the strongest hint at once, and two groups a visit are the most."""

from __future__ import annotations

from dataclasses import dataclass

from sage.method.records import PromptState
from sage.method.schedule import Outlook, Plan, Schedule


@dataclass(frozen=True)
class ZeroThenTop(Schedule):
    """Level 0, then L."""

    def plan(self, state: PromptState | None, outlook: Outlook) -> Plan:
        return (0, self.max_level)
