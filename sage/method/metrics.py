"""Metrics of one step, from the records alone. The keys of `visit_metrics` are present in every step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import torch

from sage.method.gate import advantage_energy
from sage.method.records import Group, HintFailure, RequestOutcome, SkipReason, Visit


def _spend(visits: Collection[Visit], unit: str) -> dict[str, float]:
    """Tokens or seconds by kind: plain and hinted rollouts, each accepted or discarded, and hint requests."""
    spent = Counter(
        {f"{kind}_{fate}": 0.0 for kind in ("plain", "hinted") for fate in ("accepted", "discarded")} | {"hint": 0.0}
    )
    for visit in visits:
        for group in visit.groups:
            kind = "hinted" if group.hint is not None else "plain"
            fate = "accepted" if group is visit.main else "discarded"
            spent[f"{kind}_{fate}"] += getattr(group, unit)
        spent["hint"] += sum(getattr(request, unit) for request in visit.requests)
    return {f"sage/{unit}/{name}": float(value) for name, value in spent.items()}


def step_metrics(visits: Collection[Visit], skips: Sequence[SkipReason], max_level: int, step: int) -> dict[str, float]:
    """All that is logged of the visits of a step."""
    found = visit_metrics(visits, skips, max_level) | cost_metrics(visits) | policy_metrics(visits)
    return found | reliance_metrics(visits) | staleness_metrics(visits, step)


def visit_metrics(visits: Collection[Visit], skips: Sequence[SkipReason], max_level: int) -> dict[str, float]:
    """Metrics of the visits of one step.

    Args:
        visits: the visits, those included whose groups verl filtered out (DAPO) or dropped as too old.
        skips: why each further prompt that was dispatched has no group.
        max_level: L.

    Returns:
        Counts of prompts by final level, of groups without signal before and after hinting, of hint requests and
        failures by reason, of skipped prompts and of rollouts that could not be graded; the mean advantage energy
        (Eq. 6) of the accepted groups; tokens and seconds by kind. Seconds are summed over prompts that run side by
        side: they exceed the wall time.
    """
    accepted: list[Group] = [v.accepted for v in visits]
    plain = [v.groups[0] for v in visits if v.groups[0].level == 0]
    levels = Counter(g.level for g in accepted)
    outcomes = Counter(r.outcome for v in visits for r in v.requests)
    failures = Counter(f for v in visits for f in v.failures)
    skipped = Counter(skips)
    rollouts = [r for v in visits for g in v.groups for r in g.rollouts]
    ungraded = Counter(r.grading_failure for r in rollouts)
    count = max(1, len(accepted))
    return {
        "sage/prompts": float(len(accepted)),
        **{f"sage/prompts/level_{level}": float(levels[level]) for level in range(max_level + 1)},
        "sage/hint_usage": sum(g.hint is not None for g in accepted) / count,
        "sage/groups/all_fail_before": float(sum(g.all_fail for g in plain)),
        "sage/groups/all_correct_before": float(sum(g.all_correct for g in plain)),
        "sage/groups/all_fail_after": float(sum(g.all_fail for g in accepted)),
        "sage/groups/all_correct_after": float(sum(g.all_correct for g in accepted)),
        "sage/groups/dead": float(sum(g.dead for g in accepted)),
        "sage/groups/accuracy": sum(g.accuracy for g in accepted) / count,
        "sage/groups/energy": sum(advantage_energy([r.reward for r in g.rollouts]) for g in accepted) / count,
        **{f"sage/hint_requests/{o}": float(outcomes[o]) for o in RequestOutcome},
        **{f"sage/hint_missing/{f}": float(failures[f]) for f in HintFailure},
        **{f"sage/skipped/{s}": float(skipped[s]) for s in SkipReason},
        "sage/grading/rollouts": float(len(rollouts)),
        "sage/grading/timeouts": float(ungraded["timeout"]),
        "sage/grading/crashes": float(ungraded["crash"]),
        **_spend(visits, "tokens"),
        "sage/tokens/abandoned": float(sum(v.abandoned_tokens for v in visits)),
        "sage/levels_begun_early": float(sum(v.begun_early for v in visits)),
        "sage/rollouts_aborted": float(sum(v.aborted_rollouts for v in visits)),
        **_spend(visits, "seconds"),
    }


SPENT = ("sage/tokens/", "sage/beyond_grpo/", "timing_s/step")
"""Beginnings of the metrics that `cost_line` sums up."""


def cost_metrics(visits: Collection[Visit]) -> dict[str, float]:
    """What the visits of a step took beyond GRPO's part of it, the groups without a hint.

    Returns:
        Tokens of hints, hinted rollouts and rollouts that were begun early and lost (of the finished ones); seconds by
        which the longest visit outlasted the longest group without a hint, which shared the engines with the rest; and
        these as a share of the longest visit. All are 0 where no visit has a group without a hint.
    """
    plain = [v.groups[0] for v in visits if v.groups[0].level == 0]
    longest = max((v.seconds for v in visits), default=0.0)
    hints = sum(request.tokens for v in visits for request in v.requests)
    spent = sum(group.tokens for v in visits for group in v.groups) + hints + sum(v.abandoned_tokens for v in visits)
    tokens = spent - sum(group.tokens for group in plain)
    seconds = max(0.0, longest - max((group.seconds for group in plain), default=longest))
    values = {"tokens": float(tokens), "seconds": seconds, "share": seconds / longest if longest else 0.0}
    return {f"sage/beyond_grpo/{name}": value if plain else 0.0 for name, value in values.items()}


def cost_line(steps: Collection[Mapping[str, float]]) -> str:
    """What a run took beyond GRPO's part of its steps, in one line, from the metrics of its steps."""

    def total(key: str) -> float:
        return sum(step.get(key, 0.0) for step in steps)

    kinds = ("plain_accepted", "plain_discarded", "hinted_accepted", "hinted_discarded", "hint", "abandoned")
    tokens = sum(total(f"sage/tokens/{kind}") for kind in kinds)
    beyond, lost = total("sage/beyond_grpo/tokens"), total("sage/tokens/abandoned")
    seconds, all_seconds = total("sage/beyond_grpo/seconds"), total("timing_s/step")
    return (
        f"beyond the groups without a hint, {len(steps)} steps took {beyond:,.0f} of {tokens:,.0f} tokens "
        f"({beyond / max(1.0, tokens):.0%}), {lost:,.0f} of them begun early and lost, and {seconds:,.0f} of "
        f"{all_seconds:,.0f} seconds ({seconds / max(1e-9, all_seconds):.0%})"
    )


def policy_metrics(visits: Collection[Visit]) -> dict[str, float]:
    """Entropy in nats a token and length in tokens of all rollouts without a hint, trained on or not.

    Methods that begin every visit without a hint are so compared on the same prompts (Fig. 4). The entropy is
    estimated as minus the mean log-probability of the sampled tokens, which is unbiased at temperature 1.
    """
    rollouts = [r for v in visits if v.groups[0].level == 0 for r in v.groups[0].rollouts if not r.reference]
    metrics = {"sage/policy/response_length": sum(r.tokens for r in rollouts) / len(rollouts)} if rollouts else {}
    if scored := [(r.logprob, r.tokens) for r in rollouts if r.logprob is not None]:
        metrics["sage/policy/entropy"] = -sum(logprob for logprob, _ in scored) / max(1, sum(n for _, n in scored))
    return metrics


def reliance_metrics(visits: Collection[Visit]) -> dict[str, float]:
    """``sage/reliance/level_l``: mean `Rollout.reliance` of the correct hinted rollouts that are trained on."""
    found: dict[int, list[float]] = {}
    for group in (group for visit in visits for group in visit.groups):
        for r in group.rollouts:
            if r.reliance is not None:
                found.setdefault(group.level, []).append(r.reliance)
    return {f"sage/reliance/level_{level}": sum(each) / len(each) for level, each in sorted(found.items())}


def staleness_metrics(visits: Collection[Visit], step: int) -> dict[str, float]:
    """Steps between a visit's dispatch and the step that trains on it: mean and maximum, by plain or hinted group."""
    metrics: dict[str, float] = {}
    for kind, hinted in (("plain", False), ("hinted", True)):
        ages = [v.age(step) for v in visits if (v.accepted.hint is not None) == hinted]
        if ages:
            metrics[f"sage/staleness_mean/{kind}"] = sum(ages) / len(ages)
            metrics[f"sage/staleness_max/{kind}"] = float(max(ages))
    return metrics


def token_metrics(
    kinds_N: Sequence[str],
    response_mask_NT: torch.Tensor,
    entropy_NT: torch.Tensor | None,
    probs_diff_NT: torch.Tensor | None,
) -> dict[str, float]:
    """Entropy, length and drift of the trained rows, split by hinted or plain.

    Shape suffixes: N rows, T response tokens (right-padded).

    Args:
        kinds_N: ``plain`` or ``hinted``, by whether the row's prompt holds a hint; rows of another kind are left out.
        response_mask_NT: 1 on response tokens.
        entropy_NT: entropy of the policy at each token, in nats; None when the actor was not asked.
        probs_diff_NT: |p_rollout - p_actor| of each sampled token; None when the engine gave no log-probs.

    Returns:
        For ``plain`` and ``hinted``, where there are such rows: mean entropy, mean length in tokens, and the mean and
        maximum of the probability difference. It is as small on hinted rows as on plain ones when the actor saw the
        context that the engine saw.
    """
    metrics: dict[str, float] = {}
    for kind in ("plain", "hinted"):
        rows = torch.tensor([each == kind for each in kinds_N])
        mask = response_mask_NT[rows].bool()
        if not mask.any():
            continue
        if entropy_NT is not None:
            metrics[f"sage/entropy/{kind}"] = entropy_NT[rows][mask].mean().item()
        metrics[f"sage/response_length/{kind}"] = mask.sum(1).float().mean().item()
        if probs_diff_NT is not None:
            difference = probs_diff_NT[rows][mask]
            metrics[f"sage/rollout_probs_diff_mean/{kind}"] = difference.mean().item()
            metrics[f"sage/rollout_probs_diff_max/{kind}"] = difference.max().item()
    return metrics
