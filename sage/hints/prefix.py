r"""The first part of the reference solution as a hint (POPE, arXiv 2601.18779; QuestA, 2507.13266): nothing is written.

At level l of L the hint is the longest part of whole steps that has at most l / (L + 1) of the solution's characters,
but at least one step, and never the last one. A step ends with a line or a sentence, outside of formulas, LaTeX
environments and code; or it is what ``solution_step`` of the prompt texts matches. A hint that the leak guard refuses
is tried again with one step less. As every hint it is a part of the prompt, so there is no loss on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sage.hints.sources import HintQuery, HintSettings, HintSource, Policy, Reply
from sage.method.records import HintFailure, Prompt

_END = re.compile(r"\n+|(?<=[.!?])[ \t]+(?=[A-Z\\$(])|(?<=[\u3002\uff01\uff1f])")
_MARKS = re.compile(
    r"\\\\|\\[$`]|(?P<dollars>\$\$?)|(?P<code>```)|(?P<open>\\begin\{|\\\[|\\\()|(?P<close>\\end\{|\\\]|\\\))"
)


def step_ends(solution: str, step: str | None = None) -> list[int]:
    """Where the steps of a solution end, in characters, in order; the last one ends with it.

    Args:
        solution: the reference solution.
        step: a regular expression that matches a step; None: lines and sentences.
    """
    solution = solution.rstrip()
    if not solution:
        return []
    found = (match.end() for match in re.finditer(step, solution)) if step else _outside(solution)
    return sorted({end for end in found if 0 < end < len(solution)} | {len(solution)})


def _outside(solution: str) -> Iterator[int]:
    """Ends of lines and sentences that are in no formula, environment or code."""
    depth, inside = 0, ""
    marks = list(_MARKS.finditer(solution))
    place = 0
    for end in _END.finditer(solution):
        while place < len(marks) and marks[place].start() < end.start():
            mark = marks[place]
            toggle = mark["dollars"] or mark["code"]
            if toggle and inside in ("", toggle):
                inside = "" if inside else toggle
            depth = max(0, depth + bool(mark["open"]) - bool(mark["close"]))
            place += 1
        if not inside and depth == 0 and solution[: end.start()].strip():
            yield end.start()


def prefix(solution: str, level: int, levels: int, step: str | None = None, fewer: int = 0) -> str | None:
    """The first part of a solution as the hint of a level; None where no part of whole steps is left.

    Args:
        solution: the reference solution.
        level: 1 to ``levels``.
        levels: L.
        step: as `step_ends` has it.
        fewer: steps that are left off besides.
    """
    solution = solution.strip()
    ends = step_ends(solution, step)[:-1]
    count = sum(end <= len(solution) * level / (levels + 1) for end in ends)
    count = max(count, min(1, len(ends))) - fewer
    return solution[: ends[count - 1]].strip() if count > 0 else None


class Prefix(HintSource):
    """``sage.hint_source=prefix``."""

    verbatim = True

    def __init__(self, settings: HintSettings) -> None:
        self.levels, self.step = settings.max_level, settings.prompts.solution_step

    @classmethod
    def takes(cls, spec: str) -> bool:
        return spec == "prefix"

    @classmethod
    def open(cls, spec: str, settings: HintSettings) -> Prefix:
        return cls(settings)

    async def ask(self, query: HintQuery, policy: Policy) -> Reply | HintFailure:
        text = prefix(query.prompt.solution or "", query.level, self.levels, self.step, query.attempt)
        return Reply(text, 0, 0.0) if text else HintFailure.NO_STEPS

    def example(self, prompt: Prompt) -> str | None:
        return prefix(prompt.solution or "", self.levels, self.levels, self.step)
