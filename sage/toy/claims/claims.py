"""The paper's claims on the embedded tasks, each as inequalities between recorded runs; nothing is tuned per claim."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from sage.toy.claims.gate import gate_parts
from sage.toy.claims.judge import Claim, Measure, Part, Record, Runs, compare, difference
from sage.toy.embedded.series import UNTIMED

SETTINGS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("settings.yaml").read_text(encoding="utf-8"))
MARGIN: float = SETTINGS["margins"]["accuracy"]
EQUAL: float = SETTINGS["margins"]["equal"]
LEVELS = (1, 2, 3)
PLAIN = "sage/never_solved_plain"


def wanted_seeds() -> dict[str, range]:
    """Seeds of each method that the claims want."""
    return {method: range(count) for count, methods in SETTINGS["seeds"].items() for method in methods}


def accuracy(kind: str) -> Measure:
    return lambda record: record["final"][kind]


hard, easy = accuracy("hard"), accuracy("easy")


def tokens(record: Record) -> float:
    return record["tokens"]["total"]


def last_quarter(name: str) -> Measure:
    """Mean of a logged metric over the last quarter of the steps in which it was logged."""

    def measure(record: Record) -> float:
        values = [v for v in record["curves"][name] if v is not None]
        return fmean(values[-max(1, len(values) // 4) :])

    return measure


def logging(runs: Runs, name: str) -> Runs:
    """The runs that logged a metric; records of before it was there do not have it."""
    return {method: {s: r for s, r in seeds.items() if name in r["curves"]} for method, seeds in runs.items()}


def better(runs: Runs, above: str, below: str, threshold: float = 0.0) -> Part:
    small = None if threshold else EQUAL
    return difference(runs, f"hard accuracy, {above} - {below}", above, below, hard, threshold, small)


def timed(runs: Runs, above: str, below: str, threshold: float = 1.0) -> Part:
    """Seconds in steps, relative, of runs in the same series; times of others are not comparable."""
    series = {m: {s: r["series"] for s, r in runs.get(m, {}).items()} for m in (above, below)}
    seeds = {s for s, name in series[above].items() if series[below].get(s) == name not in UNTIMED}
    beside = {m: {s: runs[m][s] for s in seeds} for m in (above, below) if seeds}
    what = f"seconds in steps, {above} / {below}"
    return compare(beside, what, (above, below), lambda a, b: a["step_seconds"] / b["step_seconds"], threshold)


def best_fixed(runs: Runs) -> str | None:
    """The fixed level with the highest mean hard accuracy over its seeds; None until all levels have runs."""
    levels = [f"fixed-{level}" for level in LEVELS]
    if not all(runs.get(method) for method in levels):
        return None
    return max(levels, key=lambda method: fmean(map(hard, runs[method].values())))


def adaptive(runs: Runs) -> Part:
    """SAGE against the best fixed level."""
    if (best := best_fixed(runs)) is None:
        missing = tuple(f"fixed-{level}" for level in LEVELS if not runs.get(f"fixed-{level}"))
        return Part("hard accuracy, sage - the best fixed level", 0.0, {}, missing)
    return better(runs, "sage", best)


def closer_to_grpo(runs: Runs, what: str, name: str) -> Part:
    """How much further LUFFY's last quarter is from GRPO's than SAGE's is."""
    measure = last_quarter(name)

    def further(luffy: Record, sage: Record, grpo: Record) -> float:
        return abs(measure(luffy) - measure(grpo)) - abs(measure(sage) - measure(grpo))

    what = f"{what}, distance from grpo, luffy - sage"
    return compare(logging(runs, name), what, ("luffy", "sage", "grpo"), further)


def equal_tokens(runs: Runs) -> list[Part]:
    """SAGE against a longer GRPO, which must have generated about as many tokens."""
    longer = "grpo-longer"
    return [
        better(runs, "sage", longer),
        compare(
            runs,
            f"tokens, {longer} / sage",
            (longer, "sage"),
            lambda a, b: tokens(a) / tokens(b),
            SETTINGS["margins"]["equal_tokens"],
        ),
    ]


def online(runs: Runs) -> list[Part]:
    """Online above offline above none, at each fixed level."""
    pairs = [(f"fixed-{level}", f"fixed-{level}-offline") for level in LEVELS]
    return [part for pair in pairs for part in (better(runs, *pair), better(runs, pair[1], "grpo"))]


def judge_all(runs: Runs, gate: Path) -> Sequence[Claim]:
    """All claims.

    Args:
        runs: records by method and seed.
        gate: the measured gate (`sage.toy.claims.gate`); it need not exist.
    """
    return [
        Claim("C1a", "SAGE beats GRPO without hints on held-out hard problems, at equal steps", "Table 1",
              [better(runs, "sage", "grpo")]),
        Claim("C1b", "SAGE beats a GRPO that generates as many tokens", "", equal_tokens(runs)),
        Claim("C1c", "SAGE beats a GRPO that takes as many seconds", "",
              [better(runs, "sage", "grpo-longer"),
               timed(runs, "grpo-longer", "sage", SETTINGS["margins"]["equal_tokens"])]),
        Claim("C2a", "Fewer prompts are never solved", "Table 2",
              [difference(runs, "never solved, grpo - sage", "grpo", "sage", lambda r: r["never_solved"])],
              "solved with a hint or without"),
        Claim("C2b", "Fewer prompts are never solved without a hint", "",
              [difference(logging(runs, PLAIN), "never solved without a hint, grpo - sage", "grpo", "sage",
                          lambda r: r["curves"][PLAIN][-1])],
              "as often tried: both begin every visit without one"),
        Claim("C3", "Online hints beat offline hints beat none, at each level", "Fig. 3, Table C.1", online(runs),
              "the right hint of opchain is a copy, so there online and offline hints hardly differ"),
        Claim("C4", "Many offline hints beat one and do not reach online hints", "Fig. 5",
              [better(runs, "offline-10", "offline"), better(runs, "sage", "offline-10")], "as for C3"),
        Claim("C5", "Training without the hint in the context hurts", "Fig. 5", [better(runs, "sage", "off-policy")],
              "partly by construction: hinted responses leave out what the hint says"),
        Claim("C6", "The adaptive level beats the best fixed level", "Fig. 5",
              [adaptive(runs)]),
        Claim("C7", "Hint usage falls while accuracy without hints rises", "Fig. 6",
              [compare(runs, "sage: hinted prompts, first - last quarter", ("sage",),
                       lambda r: r["hint_usage_first_quarter"] - r["hint_usage_last_quarter"]),
               compare(runs, "sage: hard accuracy, last - base", ("sage",), lambda r: hard(r) - r["base"]["hard"])]),
        Claim("C8", "Entropy and length stay closer to GRPO's than LUFFY's do", "Fig. 4",
              [closer_to_grpo(runs, "entropy", "sage/policy/entropy"),
               closer_to_grpo(runs, "response length", "sage/policy/response_length")],
              "of all rollouts without a hint, trained on or not"),
        Claim("C9", "Cost: GRPO < SAGE-light < SAGE", "Table 3",
              [timed(runs, "sage-light", "grpo"), timed(runs, "sage", "sage-light")]),
        Claim("C10", "Groups are mixed as often as u(p) says and carry the energy of Eq. 17", "Eq. 7, 17",
              gate_parts(gate, SETTINGS["margins"]["gate"]),
              "of the base model, whose policy stands still, with the corpus' hints"),
        Claim("C11", "Ours: sage-calibrated keeps SAGE's accuracy in GRPO's time, within a quarter of it", "ours",
              [better(runs, "sage-calibrated", "sage", -MARGIN),
               timed(runs, "grpo", "sage-calibrated", 1 / SETTINGS["margins"]["seconds"])]),
        Claim("C12a", "No regression on easy problems against GRPO", "",
              [difference(runs, "easy accuracy, sage - grpo", "sage", "grpo", easy, -MARGIN)]),
        Claim("C12b", "No regression on easy problems against the base model", "",
              [compare(runs, "easy accuracy, sage - base", ("sage",), lambda r: easy(r) - r["base"]["easy"], -MARGIN)]),
        Claim("C13", "A first part of the reference as the hint beats GRPO", "POPE, QuestA, AdaPrefix-GRPO",
              [better(runs, name, "grpo") for name in ("pope", "questa", "adaprefix")]),
        Claim("C14a", "Hinted rollouts in a failed group beat GRPO", "NuRL", [better(runs, "nurl", "grpo")]),
        Claim("C14b", "Hints that are withdrawn beat GRPO", "BHA", [better(runs, "bha", "grpo")]),
        Claim("C15a", "A loss that leaves the hint out needs the corrected ratio", "Guide-GRPO",
              [better(runs, "guide", "off-policy")]),
        Claim("C15b", "With it, such a loss beats GRPO", "Guide-GRPO", [better(runs, "guide", "grpo")]),
        Claim("C15c", "and beats SAGE's loss, which sees the hint", "", [better(runs, "guide", "sage")]),
        Claim("C16", "Successes count less the more they depend on the hint: better than SAGE", "HiLL",
              [better(runs, "sage-reliance", "sage")]),
    ]  # fmt: skip
