"""Values of a run against each other and the model: a table of rules, each a key, a condition and advice."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, POLICY_LOSS_REGISTRY
from verl.utils.tracking import Tracking

from recipe.sage.preflight.values import full
from sage.config import SageConfig
from sage.planning.budget import ModelShape, known_shape


def read_config(config: DictConfig) -> SageConfig:
    """The ``sage:`` block of a composed configuration.

    Raises:
        ValueError: it is missing, unknown keys, bad values.
    """
    block = OmegaConf.select(config, "sage")
    if block is None:
        raise ValueError("the configuration has no sage: block; start with python -m recipe.sage.main_sage")
    if not isinstance(block, DictConfig):
        raise ValueError(f"sage={block} is no block of keys: set sage.KEY=VALUE")
    values = OmegaConf.to_container(block, resolve=True)
    assert isinstance(values, dict)
    return SageConfig.from_mapping({str(key): value for key, value in values.items()})


class AtFault(Exception):
    """A rule asks for a value that has been refused already."""


class Run:
    """A configuration as rules read it: values by key, and what follows from several of them.

    Args:
        sage: the ``sage:`` block; None where that was refused.
        faulty: keys whose values were refused; asking for one raises `AtFault`.
    """

    def __init__(self, config: DictConfig, sage: SageConfig | None = None, faulty: Collection[str] = ()) -> None:
        self.config, self._sage, self._faulty = config, sage, faulty

    def __getitem__(self, key: str) -> Any:
        if full(key) in self._faulty:
            raise AtFault
        return OmegaConf.select(self.config, full(key))

    @property
    def sage(self) -> SageConfig:
        if self._sage is None:
            raise AtFault
        return self._sage

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return self["rollout.prompt_length"] + self["rollout.response_length"]

    @property
    def model_length(self) -> int:
        """Tokens that the engine takes: prompt and response, or a hint request with its answer."""
        return self["rollout.max_model_len"] or self.longest

    @property
    def gpus(self) -> int:
        return self["trainer.nnodes"] * self["trainer.n_gpus_per_node"]

    @property
    def where(self) -> str:
        """The GPUs of the training, and the keys that say so."""
        return f"the {self.gpus} GPUs of " + self.show("<trainer.nnodes> x <trainer.n_gpus_per_node>")

    @property
    def engine(self) -> tuple[int, str]:
        """GPUs on which vLLM runs, and the keys that say so."""
        if self["actor_rollout_ref.hybrid_engine"]:
            return self.gpus, self.where
        gpus = self["rollout.nnodes"] * self["rollout.n_gpus_per_node"]
        return gpus, f"the {gpus} GPUs of " + self.show("<rollout.nnodes> x <rollout.n_gpus_per_node>")

    @property
    def engine_where(self) -> str:
        return self.engine[1]

    @property
    def sharing(self) -> tuple[int, int]:
        """GPUs that share the training of a row, and among how many of them its tokens are divided."""
        if self["actor.strategy"] != "megatron":
            return (self["actor.ulysses_sequence_parallel_size"] or 1,) * 2
        if self["model_engine"] != "megatron":
            raise AtFault  # there are no sizes of Megatron's
        context = self["actor.megatron.context_parallel_size"]
        tensor = self["actor.megatron.tensor_model_parallel_size"]
        return tensor * self["actor.megatron.pipeline_model_parallel_size"] * context, context

    @property
    def shared(self) -> int:
        return self.sharing[0]

    @property
    def sizes(self) -> str:
        return "tensor, pipeline and context" if self["actor.strategy"] == "megatron" else "ulysses_sequence"

    @property
    def ranks(self) -> int:
        """Data-parallel ranks."""
        return self.gpus // self.shared

    @property
    def rows(self) -> int:
        """Rollouts of a mini-batch."""
        return self["actor.ppo_mini_batch_size"] * self["rollout.n"]

    @property
    def needed(self) -> int:
        """Tokens of the longest row on one GPU."""
        return -(-self.longest // self.sharing[1])

    @cached_property
    def shape(self) -> ModelShape | None:
        """The model's sizes, where they can be known without a download."""
        try:
            return known_shape(str(self["model.path"]))
        except ValueError:
            return None  # a kind of model that we cannot measure

    @property
    def embedding(self) -> int:
        """Bytes of the model's largest tensor in float32; 0 where its sizes are not known."""
        return self.shape.vocabulary * self.shape.hidden * 4 if self.shape else 0

    @property
    def heads(self) -> int:
        return self.shape.heads if self.shape else 0

    @property
    def most(self) -> int:
        return self.shape.max_length if self.shape else 0

    @property
    def model(self) -> str:
        return str(self["model.path"])

    @property
    def megabytes(self) -> int:
        return -(-self.embedding // (1 << 20))

    @property
    def estimators(self) -> str:
        return ", ".join(sorted(map(str, ADV_ESTIMATOR_REGISTRY)))

    @property
    def losses(self) -> str:
        return ", ".join(sorted(map(str, POLICY_LOSS_REGISTRY)))

    @property
    def loggers(self) -> list[str]:
        given = self["trainer.logger"]
        return [given] if isinstance(given, str) else list(given or ())

    @property
    def backends(self) -> str:
        return ", ".join(Tracking.supported_backend)

    def show(self, text: str) -> str:
        """A sentence with ``<key>`` as key=value, and ``<name>`` as what `Run` knows under it."""

        def shown(match: re.Match[str]) -> str:
            name = match[1]
            return f"{full(name)}={self[name]}" if "." in name or name == "model_engine" else str(getattr(self, name))

        return re.sub(r"<(\w[\w.]*)>", shown, text)


class Rule(NamedTuple):
    """What a run is refused for unless ``holds``; ``advice`` ends the sentence that begins with key=value."""

    key: str
    holds: Callable[[Run], Any]
    advice: str


def _divides(size: str) -> Callable[[Run], Any]:
    return lambda r: r.shape is None or r[size] is None or r.shape.heads % r[size] == 0


def _holds_a_row(used: str, limit: str) -> Callable[[Run], Any]:
    return lambda r: not r[used] or r[limit] >= r.needed


ENGINE_TP = "rollout.tensor_model_parallel_size"
MEGATRON_TP = "actor.megatron.tensor_model_parallel_size"
ULYSSES = "actor.ulysses_sequence_parallel_size"
BUCKET = "rollout.checkpoint_engine.update_weights_bucket_megabytes"
SHORT = (
    "is shorter than the longest row of <longest> tokens (data.max_prompt_length + data.max_response_length): set it "
)
SHORT += "to at least <needed>"

RULES = (
    # Groups and hints
    Rule("rollout.n", lambda r: r["rollout.n"] > 1, ": a group needs at least 2 rollouts (paper: 8)"),
    Rule(
        "sage.solved_threshold",
        lambda r: r["reward.custom_reward_function.path"] != "pkg://recipe.sage.reward" or r.sage.solved_threshold <= 1,
        "is more than the reward of a correct answer, so no group would be solved: set it to at most 1",
    ),
    Rule(
        "sage.hint_max_tokens",
        lambda r: not r.sage.uses_hints or r.sage.hint_max_tokens < r["data.max_prompt_length"],
        "leaves no room for the problem in <data.max_prompt_length>: raise data.max_prompt_length or lower "
        "sage.hint_max_tokens",
    ),
    Rule(
        "sage.hint_max_tokens",
        lambda r: not r.sage.uses_hints or r.sage.hint_max_tokens < r.model_length,
        "leaves no room for problem and solution in the model length of <model_length>: raise "
        "actor_rollout_ref.rollout.max_model_len or lower sage.hint_max_tokens",
    ),
    Rule(
        "sage.hint_thinking_tokens",
        lambda r: (
            not r.sage.uses_hints
            or not r.sage.hint_thinking_tokens
            or r.sage.hint_answer_tokens < r.model_length
            or r.sage.hint_max_tokens >= r.model_length  # said above
        ),
        "and <sage.hint_max_tokens> leave no room for problem and solution in the model length of <model_length>: "
        "raise actor_rollout_ref.rollout.max_model_len or lower sage.hint_thinking_tokens",
    ),
    Rule(
        "sage.schedule",
        lambda r: (r.sage.make_schedule().references > 0) == (r["actor.policy_loss.loss_mode"] == "luffy"),
        "does not go with <actor.policy_loss.loss_mode>: use luffy in both or neither",
    ),
    Rule(
        "sage.distill_weight",
        lambda r: not r.sage.distill_weight or (r["rollout.temperature"], r["rollout.top_p"]) == (1, 1),
        "compares probabilities at temperature 1: set <rollout.temperature> and <rollout.top_p> to 1",
    ),
    # Names that verl would look up only after the models are loaded, and choices that the recipe cannot honour
    Rule(
        "algorithm.adv_estimator",
        lambda r: r["algorithm.adv_estimator"] != "gae",
        "has no groups: use sage (Eq. 2) or grpo",
    ),
    Rule(
        "algorithm.adv_estimator",
        lambda r: r["algorithm.adv_estimator"] in ADV_ESTIMATOR_REGISTRY,
        "is unknown: use one of <estimators>",
    ),
    Rule(
        "actor.policy_loss.loss_mode",
        lambda r: r["actor.policy_loss.loss_mode"] in POLICY_LOSS_REGISTRY,
        "is unknown: use one of <losses>",
    ),
    Rule(
        "trainer.logger",
        lambda r: r.loggers and set(r.loggers) <= {*Tracking.supported_backend, "tracking"},
        "must hold some of <backends>",
    ),
    Rule(
        "actor.strategy",
        lambda r: (r["actor.strategy"] == "megatron") == (r["model_engine"] == "megatron"),
        "does not go with <model_engine>: choose Megatron by model_engine=megatron alone (backend=megatron in the "
        "launch scripts)",
    ),
    Rule("rollout.name", lambda r: r["rollout.name"] == "vllm", ": hint requests are written for vLLM, use vllm"),
    Rule(
        "reward.reward_model.enable",
        lambda r: not r["reward.reward_model.enable"] or r["reward.reward_model.enable_resource_pool"],
        ": verl would score a rollout only after its visit, set reward.reward_model.enable_resource_pool=true",
    ),
    Rule(
        "trainer.critic_warmup",
        lambda r: r["trainer.critic_warmup"] == 0,
        ": the actor would wait for a critic that is not there, set it to 0",
    ),
    Rule(
        "rollout.val_kwargs.n",
        lambda r: (
            r["rollout.val_kwargs.n"] == 1
            or (r["rollout.val_kwargs.do_sample"] and r["rollout.val_kwargs.temperature"] > 0)
        ),
        "would give as many equal answers, with <rollout.val_kwargs.do_sample> and <rollout.val_kwargs.temperature>: "
        "set do_sample=true and a temperature above 0, or n=1",
    ),
    # Batches
    Rule(
        "actor.ppo_mini_batch_size",
        lambda r: r["data.train_batch_size"] % r["actor.ppo_mini_batch_size"] == 0,
        "must divide <data.train_batch_size>; both count prompts, not rollouts",
    ),
    Rule(
        "data.gen_batch_size",
        lambda r: r["data.train_batch_size"] % (r["data.gen_batch_size"] or 1) == 0,
        "must divide <data.train_batch_size>, or prompts are left over in each step: set it to null",
    ),
    Rule(
        "trainer.v1.separate_async.parameter_sync_step",
        lambda r: (
            r["trainer.v1.trainer_mode"] != "sage_separate_async"
            or r["data.train_batch_size"] % r["trainer.v1.separate_async.parameter_sync_step"] == 0
        ),
        "must divide <data.train_batch_size>",
    ),
    # GPUs
    Rule(ENGINE_TP, _divides(ENGINE_TP), "must divide the <heads> attention heads of <model>"),
    Rule(MEGATRON_TP, _divides(MEGATRON_TP), "must divide the <heads> attention heads of <model>"),
    Rule(ULYSSES, _divides(ULYSSES), "must divide the <heads> attention heads of <model>"),
    Rule(ENGINE_TP, lambda r: r.engine[0] and r.engine[0] % r[ENGINE_TP] == 0, "must divide <engine_where>"),
    Rule(
        "actor.strategy",
        lambda r: r.gpus % r.shared == 0,
        ": the <sizes> parallel sizes of actor_rollout_ref.actor, <shared> GPUs, must divide <where>",
    ),
    Rule(
        "actor.ppo_mini_batch_size",
        lambda r: r.gpus % r.shared != 0 or r.rows % r.ranks == 0,
        "x <rollout.n> are <rows> rollouts of a mini-batch, which cannot be shared by <ranks> data-parallel ranks: "
        "make them a multiple of the ranks",
    ),
    # Lengths
    Rule(
        "rollout.max_num_batched_tokens",
        lambda r: r["rollout.max_num_batched_tokens"] >= r["rollout.max_num_seqs"],
        "must be at least <rollout.max_num_seqs>: vLLM takes a token of each sequence in a step",
    ),
    Rule(
        "rollout.max_model_len",
        lambda r: not r["rollout.max_model_len"] or r["rollout.max_model_len"] >= r.longest,
        "cuts responses off, since <data.max_prompt_length> + <data.max_response_length> = <longest>: raise "
        "actor_rollout_ref.rollout.max_model_len, or lower one of them",
    ),
    Rule(
        "actor.ppo_max_token_len_per_gpu",
        _holds_a_row("actor.use_dynamic_bsz", "actor.ppo_max_token_len_per_gpu"),
        SHORT,
    ),
    Rule(
        "rollout.log_prob_max_token_len_per_gpu",
        _holds_a_row("rollout.log_prob_use_dynamic_bsz", "rollout.log_prob_max_token_len_per_gpu"),
        SHORT,
    ),
    Rule(
        "model.path",
        lambda r: not r.model.startswith(("/", ".", "~")) or Path(r.model).is_dir(),
        "does not exist: give a folder or a name on the hub",
    ),
    Rule(
        "model.path",
        lambda r: not r.shape or r.model_length <= r.shape.max_length,
        ": prompts and responses of <model_length> tokens exceed the <most> that <model> takes: lower "
        "data.max_response_length, data.max_prompt_length or actor_rollout_ref.rollout.max_model_len",
    ),
    Rule(
        BUCKET,  # on GPUs verl sends a tensor that exceeds it by itself
        lambda r: r["trainer.device"] != "cpu" or r.embedding <= r[BUCKET] << 20,
        "cannot hold the embedding of <model>: set it to at least <megabytes>",
    ),
)


def broken_rules(run: Run) -> Iterator[str]:
    """A sentence for each rule that a run breaks; a rule is passed over where a value that it needs was refused."""
    for rule in RULES:
        try:
            if not rule.holds(run):
                space = "" if rule.advice.startswith(":") else " "
                yield run.show(f"<{rule.key}>{space}{rule.advice}")
        except AtFault:
            continue
