"""A run in words, before it starts."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from recipe.sage.hint_requests import why_free_text
from recipe.sage.preflight.rules import Run
from sage.config import SageConfig
from sage.data.training import DataReport
from sage.hints.catalogue import load_hint_source


def why_not_skip(config: DictConfig) -> str | None:
    """Why leaving out dead groups would change the update; None when it does not."""
    actor, algorithm = config.actor_rollout_ref.actor, config.algorithm
    correction = algorithm.get("rollout_correction") or {}
    reasons = {
        "actor_rollout_ref.actor.use_kl_loss=true": actor.use_kl_loss,
        "algorithm.use_kl_in_reward=true": algorithm.use_kl_in_reward,
        f"actor_rollout_ref.actor.entropy_coeff={actor.entropy_coeff}": actor.entropy_coeff != 0,
        "actor_rollout_ref.actor.loss_scale_factor=null": actor.loss_agg_mode == "seq-mean-token-sum-norm"
        and actor.loss_scale_factor is None,  # verl then divides by the longest response of the micro-batch
        f"algorithm.adv_estimator={algorithm.adv_estimator}": algorithm.adv_estimator not in ("sage", "grpo"),
        f"actor_rollout_ref.actor.policy_loss.loss_mode={actor.policy_loss.loss_mode}": actor.policy_loss.loss_mode
        not in ("vanilla", "gspo", "luffy"),
        # trained on every token, whatever its advantage
        "actor_rollout_ref.model.mtp.enable_train=true": config.actor_rollout_ref.model.mtp.enable_train,
        "megatron.override_transformer_config.moe_router_load_balancing_type": OmegaConf.select(
            actor, "megatron.override_transformer_config.moe_router_load_balancing_type", default="none"
        )
        != "none",
        "distillation.enabled=true": config.distillation.enabled,
        f"sage.distill_weight={config.sage.distill_weight}": config.sage.distill_weight > 0,
        "algorithm.rollout_correction": bool(correction.get("rollout_is") or correction.get("rollout_rs")),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def describe_run(config: DictConfig, sage: SageConfig, report: DataReport) -> str:
    """The batch arithmetic in words."""
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    prompts = config.data.train_batch_size
    updates = prompts // actor.ppo_mini_batch_size * actor.ppo_epochs
    covered = ", ".join(f"level {level} for {count} prompts" for level, count in report.hinted.items())
    lines = [
        f"SAGE: schedule {sage.schedule}, levels 0..{sage.max_level if sage.uses_hints else 0}",
        f"  hints  {sage.hint_source if sage.uses_hints else 'none'}"
        + (f": {covered}" if covered else "")
        + _format(config, sage)
        + _thinking(sage),
        f"  data   {report.rows} prompts, {report.without_solution} of them without a solution (never hinted)",
        f"  step   {prompts} prompts x {rollout.n} rollouts = {prompts * rollout.n} rows, "
        f"{updates} updates of {actor.ppo_mini_batch_size} prompts ({actor.ppo_mini_batch_size * rollout.n} rows)",
        _dead_groups(config, sage),
        f"  limits prompt {rollout.prompt_length} tokens (hint included), response {rollout.response_length} tokens",
    ]
    return "\n".join(lines)


def _format(config: DictConfig, sage: SageConfig) -> str:
    """How answers of the policy are read."""
    if not sage.uses_hints or not load_hint_source(sage.hint_source).from_policy:
        return ""
    reason = why_free_text(config, sage)
    return f", answers read as free text ({reason})" if reason else ", the engine held to the answers' format"


def _thinking(sage: SageConfig) -> str:
    """Room for reasoning in hint requests."""
    if not sage.uses_hints or not sage.hint_thinking_tokens or load_hint_source(sage.hint_source).verbatim:
        return ""
    return f", {sage.hint_thinking_tokens} tokens for reasoning before {sage.hint_max_tokens} of answer"


def _dead_groups(config: DictConfig, sage: SageConfig) -> str:
    if not sage.skip_dead_groups:
        return "  dead   groups of equal rewards are trained on like others (sage.skip_dead_groups=false)"
    if reason := why_not_skip(config):
        return f"  dead   groups of equal rewards are trained on like others, since skipping would change {reason}"
    run = Run(config)
    several = run.gpus > run.shared
    effect = "the data-parallel ranks share the rows out anew" if several else "the others' gradients stay the same"
    return f"  dead   groups of equal rewards skip log-probs, forward and backward; {effect}"
