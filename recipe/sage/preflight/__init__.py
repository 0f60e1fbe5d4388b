"""What is checked before Ray, verl or any model is started; all that is wrong is said at once.

values    what each value may be: type and range, by key
rules     values against each other: key, condition, advice
opening   what verl opens first: data, reward function, configuration classes, model, chat template
resume    where the run begins
machine   what this machine lacks
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from omegaconf import DictConfig

from recipe.sage.preflight import opening
from recipe.sage.preflight.machine import check_machine
from recipe.sage.preflight.resume import check_resume
from recipe.sage.preflight.rules import Run, broken_rules, read_config
from recipe.sage.preflight.values import missing_keys, wrong_values
from sage.config import SageConfig
from sage.data.training import DataReport

P = ParamSpec("P")
T = TypeVar("T")
VERL_VERSION = "0.9.1"
"""The verl whose V1 trainer, agent loop and TransferQueue formats this adapter knows."""


class Refused(ValueError):
    """A run that cannot start; its lines are the reasons."""

    def __str__(self) -> str:
        first, *others = self.args
        return "\n- ".join(["", first, *others]) if others else str(first)


class Problems(list[str]):
    """Reasons to refuse a run, as far as they are known."""

    def attempt(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What a call returns; None where it raises ValueError, whose lines are kept."""
        try:
            return call(*args, **kwargs)
        except ValueError as error:
            self.extend(error.args if isinstance(error, Refused) else str(error).splitlines())
            return None

    def refuse(self) -> None:
        """Raise `Refused` if there are any."""
        if self:
            raise Refused(*dict.fromkeys(self))


def check_run(config: DictConfig) -> tuple[SageConfig, DataReport]:
    """Check everything that can be checked from configuration and data files alone.

    Raises:
        Refused: with every key, file or row at fault, and what to change.
    """
    version = importlib.metadata.version("verl")
    if version != VERL_VERSION:
        raise Refused(f"verl {version} is installed, this recipe is written for {VERL_VERSION}: install a lock file")
    problems = Problems(missing_keys(config))
    problems.refuse()
    faulty = wrong_values(config)
    problems.extend(faulty.values())
    sage = problems.attempt(read_config, config)
    problems.attempt(opening.register, config)
    problems.extend(broken_rules(Run(config, sage, faulty)))
    problems.attempt(opening.open_validation_data, config)
    report = None
    if sage is not None and not faulty:
        report = problems.attempt(opening.open_training_data, config, sage)
    if sage is not None and report is not None:
        problems.attempt(opening.open_reward, config, sage, opening.data_files(config, "train_files")[0])
    if not problems:
        problems.attempt(opening.open_configuration, config)
    problems.refuse()
    assert sage is not None and report is not None
    return sage, report


def preflight(config: DictConfig, environ: Mapping[str, str]) -> tuple[SageConfig, DataReport, str]:
    """Everything of `check_run`, and whether this machine, its model and its checkpoints are as the run needs them.

    Returns:
        The settings of the method, what the training files hold, and where the run begins, in words.

    Raises:
        Refused: with every reason.
    """
    problems = Problems(missing_keys(config))
    problems.refuse()
    checked = problems.attempt(check_run, config)
    problems.extend(problems.attempt(check_machine, config, environ) or ())
    named = any("actor_rollout_ref.model.path" in problem for problem in problems)
    tokenizer: Any = None if named else problems.attempt(opening.open_model, config)
    begin = None
    if checked is not None:
        begin = problems.attempt(check_resume, config, checked[1].prompt_ids)
        if tokenizer is not None:
            problems.attempt(opening.open_prompts, config, tokenizer)
    problems.refuse()
    assert checked is not None and begin is not None
    return *checked, begin
