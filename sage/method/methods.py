"""The methods that are compared: what each changes in a run of the recipe, and how it is shown.

A method is a row here and, where a run names it by ``method=NAME``, a file in recipe/sage/config/method. What decides
its hint levels is a schedule (`sage.method.schedule`).
"""

from __future__ import annotations

from typing import NamedTuple


class Method(NamedTuple):
    """A row of tables and figures."""

    overrides: tuple[str, ...]
    """Of a run; ``{offline1}`` and the like stand for hint files."""
    label: str | None = None
    """None: its own name."""
    color: str | None = None
    """In figures; Okabe and Ito's, safe for the colour-blind."""


METHODS = {
    "grpo": Method(("method=grpo",), "GRPO", "#5a5a5a"),
    "dapo": Method(("method=dapo",), "DAPO", "#cc79a7"),
    "sft": Method((), "SFT"),
    "luffy": Method(("method=luffy",), "LUFFY", "#e69f00"),
    "scaf-grpo": Method(("method=scaf-grpo", "sage.hint_source={teacher}"), "Scaf-GRPO", "#56b4e9"),
    "fixed-1": Method(("method=fixed-1",)),
    "fixed-2": Method(("method=fixed-2",)),
    "fixed-3": Method(("method=fixed-3",)),
    "sage": Method(("method=sage",), "SAGE", "#d55e00"),
    "sage-from-last": Method(("method=sage-from-last",), "SAGE-from-last"),
    "sage-light": Method(("method=sage-light",), "SAGE-light", "#009e73"),
    "sage-light-released": Method(("method=sage-light-released",), "SAGE-light as released"),
    "sage-calibrated": Method(("method=sage-calibrated",), "SAGE-calibrated", "#0072b2"),
    "offline": Method(("method=sage", "sage.hint_source={offline1}"), "SAGE with offline hint"),
    "offline-10": Method(("method=sage", "sage.hint_source={offline10}"), "SAGE with 10 offline hints"),
    "teacher": Method(("method=sage", "sage.hint_source={teacher}"), "SAGE with teacher hints"),
    "off-policy": Method(("method=off-policy",), "SAGE off-policy"),
    "guide": Method(("method=guide",), "Guide-GRPO", "#332288"),
    "sage-reliance": Method(("method=sage-reliance",), "SAGE, weighted by reliance"),
    "nurl": Method(("method=nurl",), "NuRL"),
    "bha": Method(("method=bha",), "BHA"),
    "pope": Method(("method=pope",), "POPE"),
    "questa": Method(("method=questa",), "QuestA"),
    "adaprefix": Method(("method=adaprefix",), "AdaPrefix-GRPO"),
    "opsd": Method(("method=opsd",), "OPSD"),
    "grpo-opsd": Method(("method=opsd", "sage.distill_weight=0.1", "sage.reward_weight=1"), "GRPO + OPSD"),
    "dr-grpo": Method(("method=grpo", "algorithm.norm_adv_by_std_in_grpo=false"), "Dr. GRPO"),
    "grpo-verl": Method(("method=grpo", "algorithm.adv_estimator=grpo"), "GRPO with verl's std"),
    "sage-async": Method(("method=sage", "+asynchronous=colocate"), "SAGE, asynchronous"),
    "grpo-longer": Method(("method=grpo",), "GRPO, as many tokens as SAGE"),
    "fixed-1-offline": Method(("method=fixed-1", "sage.hint_source={offline1}")),
    "fixed-2-offline": Method(("method=fixed-2", "sage.hint_source={offline1}")),
    "fixed-3-offline": Method(("method=fixed-3", "sage.hint_source={offline1}")),
}
"""In the order of rows and legends. Results of others are shown behind these, under the names of their folders."""
