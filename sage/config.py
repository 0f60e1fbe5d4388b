"""The ``sage:`` block of the config, read once into a model that rejects what it does not know or cannot hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel, ValidationError, ValidationInfo, field_validator, model_validator

from sage.grading.verifier import load_verifier
from sage.hints.catalogue import load_hint_source
from sage.hints.endpoint import is_endpoint
from sage.hints.prompts import PromptTemplates
from sage.hints.sources import HintSettings, HintSource
from sage.hints.writer import HintRules
from sage.method.schedule import Schedule, load_schedule
from sage.support.values import STRICT, Count, NotNegative, PartOfOne, Positive, Whole, faults


class SageConfig(BaseModel):
    """Settings of the method."""

    model_config = STRICT

    schedule: str
    """A name in `sage.method.schedule.SCHEDULES`, ``package.module:Class`` or ``path/to/file.py:Class``."""
    max_level: Annotated[int, Ge(1), Le(3), "for no hints use sage.schedule=grpo"]
    """L, the strongest hint level."""
    alpha: Annotated[float, Gt(0), Lt(1), "the paper uses 0.35"]
    """Success rate below which ``sage-light`` raises the level (Eq. 12)."""
    hint_source: str
    """``online``, ``prefix``, a file, the URL of an endpoint, or ``path/to/file.py:Class`` (`sage.hints.catalogue`)."""
    hint_request: Literal["json", "level"]
    """``json``: all levels in one answer; ``level``: one level a request."""
    hint_schema: bool
    """Hold answers of ``json`` requests to their format, where engine or endpoint can (`sage.hints.structure`)."""
    hint_temperature: NotNegative
    hint_top_p: PartOfOne
    hint_max_tokens: Count
    """Longest answer to a hint request, in tokens, reasoning aside."""
    hint_thinking_tokens: Whole
    """Room for reasoning before that answer, in tokens."""
    hint_template_kwargs: dict[str, Any]
    """Switches of the chat template for requests to the policy, laid over those of its rollouts."""
    hint_retries: Whole
    """Further requests in a visit, when a hint cannot be used; each is a new draw."""
    leak: Literal["refuse", "redact"]
    """What happens to a hint that states the final answer."""
    verifier: str
    """``math``, ``exact``, ``package.module:name`` or ``path/to/file.py:name``: a `sage.grading.verifier.Verifier`."""
    prompts: str
    """``math`` or the path of a YAML file (see `sage.hints.prompts.PromptTemplates`)."""
    solved_key: Annotated[str, MinLen(1), "a key of the reward function's result"]
    """Key of the reward function's result that holds the verifier's accuracy."""
    solved_threshold: Annotated[float, Gt(0), "at 0 every rollout would be correct"]
    """A rollout is correct when that accuracy is at least this."""
    train_on: Literal["hinted", "plain"]
    """``hinted``: the loss sees the prompt with the hint, as the rollout did; ``plain``: without (ablation, Fig. 5)."""
    patience: Literal["auto"] | Annotated[float, Gt(0), Le(1), "1 waits for the whole group"]
    """When the next level begins (`sage.method.eagerness`): ``auto``, when it is likely enough to be needed; a number,
    when that part of the group has failed."""
    measure_reliance: bool
    """Score each correct hinted rollout without its hint too (`sage.method.records.Rollout.reliance`)."""
    reliance_scale: NotNegative
    """How fast the advantage of a correct hinted rollout falls with its reliance; 0: not at all, and not measured."""
    distill_weight: NotNegative
    """Weight of self-distillation beside the advantages (`sage.method.advantage.distilled_advantages`); 0: none."""
    reward_weight: NotNegative
    """Weight of the advantages of rows that self-distillation teaches; 0 leaves these to it alone."""
    skip_dead_groups: bool
    """Leave groups of equal rewards out of log-probs and update, where this does not change the update."""
    stall_limit: Positive
    """Seconds without progress in any phase after which the run ends (`recipe.sage.watch`)."""
    max_lost: Annotated[float, Ge(0), Lt(1)]
    """Share of a step's prompts that may be lost to errors; with more the run ends untrained."""

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> SageConfig:
        """Parse and check.

        Raises:
            ValueError: unknown or missing keys, values of the wrong type or range, or values that contradict each
                other; a line each, which says what to change.
        """
        given = {key: value for key, value in values.items() if value is not None}
        try:
            return cls(**given)
        except ValidationError as error:
            where = "see recipe/sage/config/sage.yaml for its default"
            raise ValueError("\n".join(faults(error, cls, "sage.", where))) from error

    @field_validator("schedule", "hint_source", "verifier", "prompts")
    @classmethod
    def _can_be_loaded(cls, value: str, field: ValidationInfo) -> str:
        loaders: dict[str | None, Callable[[str], object]] = {
            "schedule": load_schedule,
            "hint_source": load_hint_source,
            "verifier": load_verifier,
            "prompts": PromptTemplates.load,
        }
        try:
            loaders[field.field_name](value)
        except ValueError as error:
            key = f"sage.{field.field_name}={value}"
            raise ValueError(str(error) if str(error).startswith(key) else f"{key} {error}") from error
        return value

    @model_validator(mode="after")
    def _goes_together(self) -> SageConfig:
        schedule, hinted_only = self.make_schedule(), "whose helped rollout is trained on (x, h): use hinted"
        contradictions = {
            f"sage.reliance_scale={self.reliance_scale:g} has no effect on sage.schedule={self.schedule}, which has no "
            "hints: leave it at 0": self.reliance_scale > 0 and not schedule.uses_hints,
            "sage.reward_weight is read only where sage.distill_weight is above 0; leave it at 1": self.reward_weight
            != 1
            and self.distill_weight == 0,
            f"sage.schedule={self.schedule} needs sage.max_level above {self.max_level}": getattr(schedule, "level", 0)
            > self.max_level,
            f"sage.hint_retries={self.hint_retries} cannot help at sage.hint_temperature=0, where every retry repeats "
            "the first answer; raise the temperature or set sage.hint_retries=0": not self.hint_temperature
            and self.hint_retries > 0,
            f"sage.hint_template_kwargs has no effect on sage.hint_source={self.hint_source}, whose hints the policy "
            "does not write: leave it out": self.hint_template_kwargs
            and self.uses_hints
            and (load_hint_source(self.hint_source).verbatim or is_endpoint(self.hint_source)),
            f"sage.train_on=plain does not go with sage.schedule={self.schedule}, {hinted_only}": schedule.scaffolds
            and self.train_on == "plain",
        }
        if found := [sentence for sentence, holds in contradictions.items() if holds]:
            raise ValueError("\n".join(found))
        return self

    @property
    def measures_reliance(self) -> bool:
        return self.measure_reliance or self.reliance_scale > 0

    @property
    def uses_hints(self) -> bool:
        return self.make_schedule().uses_hints

    @property
    def hint_answer_tokens(self) -> int:
        """Longest answer to a hint request, in tokens, with its reasoning."""
        return self.hint_thinking_tokens + self.hint_max_tokens

    @property
    def needs_solutions(self) -> bool:
        """Whether the training data must hold reference solutions."""
        schedule = self.make_schedule()
        hints = schedule.uses_hints and load_hint_source(self.hint_source).needs_solution
        return schedule.references > 0 or self.distill_weight > 0 or hints

    def make_schedule(self, group_size: int = 8) -> Schedule:
        return load_schedule(self.schedule)(max_level=self.max_level, group_size=group_size, alpha=self.alpha)

    def hint_settings(self) -> HintSettings:
        """How the source is to be asked."""
        return HintSettings(
            max_level=self.max_level,
            request=self.hint_request,
            schema=self.hint_schema,
            temperature=self.hint_temperature,
            top_p=self.hint_top_p,
            max_tokens=self.hint_answer_tokens,
            prompts=PromptTemplates.load(self.prompts),
            timeout=min(300.0, self.stall_limit / 6),  # four tries end before the run would for want of progress
        )

    def open_hint_source(self) -> HintSource | None:
        """Where hints come from; None for a schedule without hints.

        Raises:
            ValueError: it is missing or damaged.
        """
        if not self.uses_hints:
            return None
        return load_hint_source(self.hint_source).open(self.hint_source, self.hint_settings())

    def hint_rules(self) -> HintRules:
        request = "verbatim" if load_hint_source(self.hint_source).verbatim else self.hint_request
        return HintRules(self.max_level, request, self.hint_retries, self.leak)
