"""The rollout worker without an engine: what a visit asks for, and what it makes of the answers."""

import asyncio
from types import SimpleNamespace

import pytest

from recipe.sage import rollout
from recipe.sage.encoding import encode_reference
from sage.hints.endpoint import EndpointSource
from sage.hints.sources import Online, Reply
from sage.method.records import HintFailure, SkipReason, VisitPlan
from sage.toy.embedded.build_base import build_tokenizer
from tests.recipe.launching import tiny

VERLS_WORKER = rollout.SageRolloutWorker.__mro__[1]
ROW = {
    "uid": "u",
    "prompt_id": "p",
    "problem": "887aR",
    "solution": "b806",
    "reward_model": {"ground_truth": "806"},
    "raw_prompt": [{"role": "user", "content": "887aR="}],
}


class Worker(rollout.SageRolloutWorker):
    """Rollouts fail unless ``correct`` says otherwise; hint requests are answered from a list."""

    async def _run_agent_loop(self, params, trajectory, *, session_id, raw_prompt, **row):
        value = float(self.correct(raw_prompt[-1]["content"], session_id))
        output = SimpleNamespace(
            prompt_ids=[0],
            response_mask=[1],
            response_logprobs=None,
            reward_score=value,
            extra_fields={"reward_extra_info": {"acc": value}},
        )
        return [output], {"session_id": session_id, **row}

    async def _acquire_server(self, request_id):
        """What verl's client of the engines has and `make_cancellable` wraps."""

    async def generate(self, *, prompt_ids, sampling_params, **_):
        self.requests.append((self.tokenizer.decode(prompt_ids), sampling_params))
        return SimpleNamespace(token_ids=self.tokenizer.encode(self.answers.pop(0), add_special_tokens=False))

    def visit(self, levels=(0, 1), step=1, **more):
        row = ROW | {rollout.PLAN: VisitPlan(levels, 0, step).to_json()} | more
        visit, rows = asyncio.run(self._visit(row, {}, {"step": step, "validate": False}, False))
        for put in rows.values():  # what would publish them
            put.close()
        return visit


@pytest.fixture
def make(data, monkeypatch):
    def build(*overrides, answers=(), correct=lambda text, session: False):
        files = [f"data.train_files={data}/train.parquet", f"data.val_files={data}/test.parquet"]
        # a name that is not vllm's, which then need not be imported
        run = tiny(*files, "actor_rollout_ref.rollout.name=none", *overrides)

        def begin(self):
            self.config, self.rollout_config = run, run.actor_rollout_ref.rollout
            self.tokenizer, self.llm_client = build_tokenizer(), self
            self.requests, self.answers, self.correct = [], list(answers), correct

        monkeypatch.setattr(VERLS_WORKER, "__init__", begin)
        monkeypatch.setattr("ray.get_runtime_context", lambda: SimpleNamespace(get_actor_id=lambda: None))
        return Worker()

    return build


def test_hints_are_in_the_context_of_the_next_group(make):
    seen = []
    worker = make(answers=["a111"], correct=lambda text, session: seen.append(text) or "!" in text)
    visit = worker.visit()
    assert [g.level for g in visit.groups] == [0, 1] and visit.accepted.hint == "a111" and visit.accepted.all_correct
    assert seen == ["887aR="] * 8 + ["887aR!a111="] * 8, "one context a group"
    ((request, _),) = worker.requests
    assert "887aR?b806~1" in request


@pytest.mark.parametrize(
    "overrides, failure",
    [
        ((), HintFailure.LEAK),
        (("data.max_prompt_length=16",), HintFailure.PROMPT_TOO_LONG),
        (("actor_rollout_ref.rollout.max_model_len=24",), HintFailure.SOLUTION_TOO_LONG),
    ],
)
def test_hints_that_leak_or_do_not_fit_are_not_used(make, overrides, failure):
    hint = "a806" if failure is HintFailure.LEAK else "a1112131"
    visit = make("sage.hint_retries=0", *overrides, answers=[hint]).visit()
    assert visit.failures == (failure,) and visit.accepted.hint is None


def test_a_leak_is_taken_out_where_that_is_asked_for(make):
    visit = make("sage.leak=redact", answers=["a806"]).visit()
    assert visit.failures == () and visit.accepted.hint and "806" not in visit.accepted.hint


def test_every_request_is_another_draw_with_sampling_of_its_own(make):
    worker = make("sage.hint_temperature=0.7", "sage.hint_top_p=0.9", answers=[""] * 8)
    for step in (1, 2):
        assert worker.visit((0, 1, 2), step).failures == (HintFailure.PARSE,) * 2
    sampling = [params for _, params in worker.requests]
    assert len({params["seed"] for params in sampling}) == len(sampling) == 4
    assert {(params["temperature"], params["top_p"]) for params in sampling} == {(0.7, 0.9)}


def test_an_endpoint_writes_the_hints_where_one_is_named(make):
    worker = make('sage.hint_source="http://127.0.0.1:9/v1#m"', correct=lambda text, session: "!" in text)
    assert isinstance(worker.hints, EndpointSource)
    asked = []

    async def ask(messages, *sampling):
        asked.append(messages[-1]["content"])
        return Reply("a111", 4, 0.0)

    worker.hints.endpoint = SimpleNamespace(ask=ask)
    assert worker.visit().accepted.hint == "a111" and asked == ["887aR?b806~1"] and not worker.requests
    assert isinstance(make().hints, Online) and make("method=grpo").hints is None


def test_the_first_part_of_the_reference_is_a_hint_that_nobody_writes(make):
    worker = make("sage.hint_source=prefix", correct=lambda text, session: "!b111=" in text)
    visit = worker.visit(solution="b111d222f333h806")
    assert visit.accepted.hint == "b111" and visit.accepted.all_correct and visit.requests[0].tokens == 0
    visit = worker.visit(solution="h806")
    assert visit.failures == (HintFailure.NO_STEPS,) and visit.accepted.hint is None
    assert not worker.requests


def test_groups_have_the_runs_size(make):
    visit = make("actor_rollout_ref.rollout.n=4", answers=["a111"]).visit()
    assert {len(g.rollouts) for g in visit.groups} == {4} and len(visit.groups) > 1


def test_solved_is_the_accuracy_and_not_the_reward(make):
    worker = make()

    def outcome(reward, **info):
        fields = {"reward_extra_info": info}
        output = SimpleNamespace(extra_fields=fields, reward_score=reward, response_logprobs=None, response_mask=[1])
        return worker._outcome(output, reference=False)

    assert not outcome(0.5, acc=0.5).correct and outcome(0.0, acc=1.0).correct
    assert outcome(0.0, acc=0.0, grading_failure="timeout").grading_failure == "timeout"
    assert outcome(0.0, acc=0.0, grading_failure="").grading_failure is None
    with pytest.raises(rollout.VerifierError, match="has no key 'acc', only score: return it"):
        outcome(1.0, score=1.0)


def test_a_reward_function_that_raises_skips_the_prompt(make):
    worker = make()

    async def fail(*args, **more):
        raise rollout.VerifierError("it raised")

    worker._run_agent_loop = fail
    assert worker.visit().reason is SkipReason.VERIFIER_ERROR


def test_a_prompt_whose_visit_fails_is_not_waited_for(make, monkeypatch):
    worker, told = make(), []

    async def put(*, tag, **_):
        told.append(tag["status"])

    async def fail(*args):
        raise ConnectionError("the engine is gone")

    monkeypatch.setattr(rollout.tq, "async_kv_put", put)
    worker._visit = fail
    with pytest.raises(ConnectionError):
        asyncio.run(worker._run_prompt({"uid": "u"}, {}, {"validate": False}))
    assert told == ["running", "failure"]


def test_a_reference_ends_as_a_response_does_and_one_that_is_too_long_is_replaced(make):
    tokenizer = build_tokenizer()
    assert encode_reference(tokenizer, {"solution": "a1"})[-1] == tokenizer.eos_token_id
    visit = make("method=luffy").visit((0,), reference_response="a" * 99)
    assert visit.failures == (HintFailure.SOLUTION_TOO_LONG,) and len(visit.accepted.rollouts) == 8
