"""The ``sage:`` block of the config, read once into a dataclass that rejects what it does not know or cannot hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from sage.grading.verifier import load_verifier
from sage.hints.prompts import PromptTemplates
from sage.hints.sources import Endpoint, HintFile, kind_of
from sage.hints.writer import HintRules
from sage.method.schedule import ScafGrpo, Schedule, load_schedule


@dataclass(frozen=True)
class SageConfig:
    """Settings of the method."""

    schedule: str
    """A name in `sage.method.schedule.SCHEDULES`, ``package.module:Class`` or ``path/to/file.py:Class``."""
    max_level: int
    """L, the strongest hint level, 1 to 3."""
    alpha: float
    """Success rate below which ``sage-light`` raises the level (Eq. 12), in (0, 1)."""
    hint_source: str
    """``online``, a file of hints, or the URL of an endpoint (`sage.hints.sources`)."""
    hint_request: str
    """``json``: all levels in one answer; ``level``: one level a request."""
    hint_temperature: float
    hint_top_p: float
    hint_max_tokens: int
    """Longest answer to a hint request, in tokens."""
    hint_retries: int
    """Further requests when a hint cannot be used; each is a new draw."""
    leak: str
    """``refuse`` or ``redact`` a hint that states the final answer."""
    verifier: str
    """``math``, ``exact``, ``package.module:name`` or ``path/to/file.py:name``: a `sage.grading.verifier.Verifier`."""
    prompts: str
    """``math`` or the path of a YAML file (see `sage.hints.prompts.PromptTemplates`)."""
    solved_key: str
    """Key of the reward function's result that holds the verifier's accuracy."""
    solved_threshold: float
    """A rollout is correct when that accuracy is at least this."""
    train_on: str
    """``hinted``: the loss sees the prompt with the hint, as the rollout did; ``plain``: without (ablation, Fig. 5)."""
    patience: float
    """Part of a group that must have failed before the next level is begun, in (0, 1] (`sage.method.visit`)."""
    skip_dead_groups: bool
    """Leave groups of equal rewards out of log-probs and update, where this does not change the update."""
    stall_limit: float
    """Seconds without progress in any phase after which the run ends (`recipe.sage.watch`)."""
    max_lost: float
    """Share of a step's prompts that may be lost to errors, in [0, 1); with more the run ends untrained."""

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> SageConfig:
        """Parse and check.

        Raises:
            ValueError: an unknown or missing key, a value of the wrong type or range, or values that contradict each
                other; the message says which and what to change.
        """
        known = {f.name: f.type for f in fields(cls)}
        for key in values:
            if key not in known:
                raise ValueError(f"sage.{key} is unknown; the keys are {', '.join(known)}")
        for key in known:
            if key not in values or values[key] is None:
                raise ValueError(f"sage.{key} is missing; see recipe/sage/config/sage.yaml for its default")
        kinds: dict[Any, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}
        for key, kind in known.items():
            if not isinstance(values[key], kinds[kind]) or (isinstance(values[key], bool) and kind != "bool"):
                raise ValueError(f"sage.{key}={values[key]!r} must be of type {kind}")
        config = cls(**values)
        config._check()
        return config

    def _check(self) -> None:
        def require(ok: bool, key: str, rule: str) -> None:
            if not ok:
                raise ValueError(f"sage.{key}={getattr(self, key)!r} {rule}")

        for key, parse in (("schedule", load_schedule), ("hint_source", kind_of)):
            try:
                parse(getattr(self, key))
            except ValueError as error:
                raise ValueError(f"sage.{key}={getattr(self, key)!r} {error}") from error
        require(1 <= self.max_level <= 3, "max_level", "must be 1, 2 or 3; for no hints use sage.schedule=grpo")
        require(
            getattr(self.make_schedule(), "level", 0) <= self.max_level,
            "schedule",
            f"needs sage.max_level above {self.max_level}",
        )
        require(0.0 < self.alpha < 1.0, "alpha", "must lie strictly between 0 and 1; the paper uses 0.35")
        require(self.hint_request in ("json", "level"), "hint_request", "must be json or level")
        require(self.hint_temperature >= 0.0, "hint_temperature", "must not be negative")
        require(0.0 < self.hint_top_p <= 1.0, "hint_top_p", "must lie in (0, 1]")
        require(self.hint_max_tokens >= 1, "hint_max_tokens", "must be at least 1")
        require(self.hint_retries >= 0, "hint_retries", "must not be negative")
        require(
            self.hint_temperature > 0.0 or self.hint_retries == 0,
            "hint_retries",
            "cannot help at sage.hint_temperature=0, where every retry repeats the first answer; raise the "
            "temperature or set sage.hint_retries=0",
        )
        require(self.train_on in ("hinted", "plain"), "train_on", "must be hinted or plain")
        require(
            self.train_on == "hinted" or not isinstance(self.make_schedule(), ScafGrpo),
            "train_on",
            "does not go with sage.schedule=scaf-grpo, whose helped rollout is trained on (x, h): use hinted",
        )
        require(self.leak in ("refuse", "redact"), "leak", "must be refuse or redact")
        require(0.0 < self.patience <= 1.0, "patience", "must lie in (0, 1]; 1 waits for the whole group")
        require(self.stall_limit > 0.0, "stall_limit", "must be above 0 seconds")
        require(0.0 <= self.max_lost < 1.0, "max_lost", "must lie in [0, 1)")
        require(bool(self.solved_key), "solved_key", "must name a key of the reward function's result")
        load_verifier(self.verifier)
        PromptTemplates.load(self.prompts)

    @property
    def uses_hints(self) -> bool:
        return self.make_schedule().uses_hints

    @property
    def needs_solutions(self) -> bool:
        """Whether the training data must hold reference solutions."""
        schedule = self.make_schedule()
        return schedule.references > 0 or (schedule.uses_hints and kind_of(self.hint_source) != "file")

    def make_schedule(self, group_size: int = 8) -> Schedule:
        return load_schedule(self.schedule)(max_level=self.max_level, group_size=group_size, alpha=self.alpha)

    def open_hint_source(self) -> HintFile | Endpoint | None:
        """The hint file, read; the endpoint's client; or None for the policy itself.

        Raises:
            ValueError: the file is missing or damaged.
        """
        kind = kind_of(self.hint_source)
        if not self.uses_hints or kind == "online":
            return None
        return HintFile.load(self.hint_source, self.max_level) if kind == "file" else Endpoint(self.hint_source)

    def hint_rules(self) -> HintRules:
        request = "verbatim" if kind_of(self.hint_source) == "file" else self.hint_request
        return HintRules(self.max_level, request, self.hint_retries, self.leak)


def check_budget(config: SageConfig, group_size: int, prompt_length: int, model_length: int) -> None:
    """Check the method against verl's lengths, in tokens, before any model is loaded.

    Raises:
        ValueError: the group cannot carry a signal, or no hint could ever fit.
    """
    if group_size < 2:
        raise ValueError(f"actor_rollout_ref.rollout.n={group_size}: a group needs at least 2 rollouts (paper: 8)")
    if not config.uses_hints:
        return
    if config.hint_max_tokens >= prompt_length:
        raise ValueError(
            f"sage.hint_max_tokens={config.hint_max_tokens} leaves no room for the problem in "
            f"data.max_prompt_length={prompt_length}: raise data.max_prompt_length or lower sage.hint_max_tokens"
        )
    if config.hint_max_tokens >= model_length:
        raise ValueError(
            f"sage.hint_max_tokens={config.hint_max_tokens} leaves no room for problem and solution in the model "
            f"length of {model_length}: raise actor_rollout_ref.rollout.max_model_len or lower sage.hint_max_tokens"
        )
