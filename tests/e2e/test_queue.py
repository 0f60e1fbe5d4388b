"""Publishing groups and leaving out dead ones through a real TransferQueue, and requests through verl's load balancer.

The gradient of verl's own loss is compared with and without the dead groups.
"""

import asyncio
import time

import pytest
import ray
import torch
import transfer_queue as tq
from omegaconf import OmegaConf
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.utils.tensordict_utils import assign_non_tensor, list_of_dict_to_tensordict
from verl.workers.config import FSDPActorConfig
from verl.workers.rollout.llm_server import LLMServerClient
from verl.workers.rollout.router import GlobalRequestLoadBalancer
from verl.workers.utils.losses import ppo_loss

from recipe.sage import channel
from recipe.sage.dead_groups import DeadGroups
from recipe.sage.rollout import make_cancellable
from sage.method.records import Skip, SkipReason

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
G, VOCABULARY = 4, 11
REWARDS = {"dead0": [0, 0, 0, 0], "mixed": [1, 0, 0, 1], "dead1": [1, 1, 1, 1], "rare": [0, 0, 0, 1]}
MODES = ("token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm")


@pytest.fixture(scope="module")
def queue():
    ray.init("local", num_cpus=4, include_dashboard=False, object_store_memory=200_000_000)
    tq.init()
    yield
    ray.shutdown()


def put_batch(uids):
    """Rows as the rollout worker publishes them, of random lengths."""
    generator = torch.Generator().manual_seed(0)
    keys, rows, tags = [], [], []
    for uid in uids:
        for i, reward in enumerate(REWARDS[uid]):
            n = int(torch.randint(1, 9, (), generator=generator))
            prompts, responses = torch.randint(1, VOCABULARY, (3,)), torch.randint(1, VOCABULARY, (n,))
            ones = torch.ones(n, dtype=torch.int64)
            mean = sum(REWARDS[uid]) / G
            rows.append(
                {
                    "uid": uid,
                    "prompts": prompts,
                    "responses": responses,
                    "input_ids": torch.cat([prompts, responses]),
                    "position_ids": torch.arange(3 + n),
                    "response_mask": ones,
                    "loss_mask": ones,
                    "rm_scores": torch.cat([torch.zeros(n - 1), torch.tensor([float(reward)])]),
                    "rollout_log_probs": torch.zeros(n),
                    "advantages": torch.full((n,), reward - mean),
                    "old_log_probs": torch.full((n,), -2.0),
                }
            )
            keys.append(f"{uid}_{i}_0")
            tags.append({"status": "success", "prompt_len": 3, "response_len": n, "seq_len": 3 + n})
    tq.kv_batch_put(keys=keys, partition_id="train", fields=list_of_dict_to_tensordict(rows), tags=tags)
    return KVBatchMeta(keys=keys, tags=tags, partition_id="train")


def gradient(batch, mode, rows, micro_batch):
    """Gradient of verl's PPO loss of a small model, accumulated over micro-batches as verl's engine does it."""
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Embedding(VOCABULARY, 8), torch.nn.Linear(8, VOCABULARY))
    config = FSDPActorConfig(
        strategy="fsdp2", rollout_n=G, ppo_micro_batch_size_per_gpu=1, loss_agg_mode=mode, loss_scale_factor=16
    )
    fields = ["prompts", "responses", "input_ids", "response_mask", "loss_mask", "advantages", "old_log_probs"]
    tokens = int(tq.kv_batch_get(batch.keys, "train", select_fields=["loss_mask"])["loss_mask"].values().sum())
    for start in range(0, len(batch), micro_batch):
        data = tq.kv_batch_get(batch.keys[start : start + micro_batch], "train", select_fields=fields)
        assign_non_tensor(data, dp_size=1, batch_num_tokens=tokens, global_batch_size=rows)
        ids = data["input_ids"]
        log_probs = model(ids.values()).log_softmax(-1)
        chosen = log_probs.gather(-1, torch.roll(ids.values(), -1).unsqueeze(-1)).squeeze(-1)
        nested = torch.nested.nested_tensor_from_jagged(chosen, ids.offsets())
        loss, _ = ppo_loss(config, {"log_probs": nested}, data)
        loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def mini_batches(batch):
    """Of two groups each."""
    for start in range(0, len(batch), 2 * G):
        part = slice(start, start + 2 * G)
        yield KVBatchMeta(keys=batch.keys[part], tags=batch.tags[part], partition_id="train")


@pytest.mark.parametrize("mode", MODES)
def test_the_gradient_of_each_mini_batch_is_the_same_for_every_loss_aggregation(queue, mode):
    batch = put_batch(REWARDS)
    dead = DeadGroups(batch, {"dead0", "dead1"}, multiple=8, pad_token_id=0)
    lengths = torch.tensor([tag["response_len"] for tag in batch.tags])
    live = torch.tensor([tag["response_len"] for tag in dead.live.tags])
    assert len(dead.live) == len(batch) == 16 and live.sum() < lengths.sum()
    advantages = TensorDict({"advantages": torch.zeros(8, 1), "old_log_probs": torch.zeros(8, 1)}, batch_size=8)
    pads = [key for key, tag in zip(dead.live.keys, dead.live.tags, strict=True) if tag.get("is_padding")]
    tq.kv_batch_put(keys=pads, partition_id="train", fields=advantages)  # as verl does after log-probs
    for whole, skipped in zip(mini_batches(batch), mini_batches(dead.live), strict=True):
        full, short = (gradient(b, mode, rows=2 * G, micro_batch=G) for b in (whole, skipped))
        assert full.abs().max() > 1e-4
        assert torch.allclose(full, short, rtol=1e-5, atol=1e-7)
    tq.kv_clear(keys=[*batch.keys, *pads], partition_id="train")


def test_rows_come_back_with_zero_advantages(queue):
    batch = put_batch(REWARDS)
    dead = DeadGroups(batch, {"dead0"}, multiple=16, pad_token_id=0)
    back = dead.put_back(dead.live)
    assert set(batch.keys) < set(back.keys) and sum(tag.get("is_padding", False) for tag in back.tags) == 4
    data = tq.kv_batch_get(dead.keys, "train", select_fields=["advantages", "returns", "responses"])
    assert data["advantages"].offsets().tolist() == data["responses"].offsets().tolist()
    assert not data["advantages"].values().any() and not data["returns"].values().any()
    tq.kv_clear(keys=back.keys, partition_id="train")


def test_padding_stands_in_the_places_of_the_rows_and_fills_the_last_mini_batch(queue):
    batch = put_batch(["dead0", "mixed", "rare"])
    live = DeadGroups(batch, {"dead0"}, multiple=2 * G, pad_token_id=0).live
    assert [bool(tag.get("is_padding")) for tag in live.tags] == [True] * G + [False] * 2 * G + [True] * G
    assert live.keys[G : 3 * G] == batch.keys[G:]
    masks = tq.kv_batch_get(live.keys[:G], "train", select_fields=["loss_mask"])["loss_mask"]
    assert [int(mask.sum()) for mask in masks.unbind()] == [tag["response_len"] for tag in batch.tags[:G]]
    tq.kv_clear(keys=list({*batch.keys, *live.keys}), partition_id="train")


def test_one_group_stays_when_all_are_dead_and_nothing_happens_when_none_is(queue):
    batch = put_batch(["dead0", "dead1"])
    dead = DeadGroups(batch, {"dead0", "dead1"}, multiple=8, pad_token_id=0)
    assert dead.uids == {"dead1"} and len(dead.live) == 8
    tq.kv_clear(keys=list({*batch.keys, *dead.live.keys}), partition_id="train")
    batch = put_batch(["mixed", "rare"])
    none = DeadGroups(batch, set(), multiple=8, pad_token_id=0)
    assert none.live.keys == batch.keys and none.put_back(none.live) is none.live
    tq.kv_clear(keys=batch.keys, partition_id="train")


async def put_row(key, turns, error=None):
    for _ in range(turns):
        await asyncio.sleep(0.01)
    row = list_of_dict_to_tensordict([{"responses": torch.ones(2)}])
    await tq.async_kv_batch_put(keys=[key], partition_id="train", fields=row, tags=[{"status": "success"}])
    if error:
        raise error


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_group_of_which_a_row_cannot_be_stored_leaves_nothing_in_the_queue(queue, failing):
    skip = Skip(SkipReason.ROLLOUT_ERROR, "ActorDiedError: a: b")

    async def publish(error):
        rows = {f"u_{i}_0": put_row(f"u_{i}_0", 3 * i, error if i == failing else None) for i in range(3)}
        await channel.publish("u", skip, rows)

    with pytest.raises(ConnectionError, match="storage unit"):
        asyncio.run(publish(ConnectionError("storage unit gone")))
    assert not tq.kv_list("train").get("train") and channel.collect(["u"]) == {}
    asyncio.run(publish(None))
    assert set(tq.kv_list("train")["train"]) == {"u_0_0", "u_1_0", "u_2_0"}
    assert channel.collect(["u", "v"]) == {"u": skip} and channel.collect(["u"]) == {}
    tq.kv_clear(keys=["u_0_0", "u_1_0", "u_2_0"], partition_id="train")


@ray.remote
class Engine:
    """Generates until it is told to stop."""

    async def generate(self, **kwargs):
        await asyncio.sleep(3600)


class SlowBalancer(GlobalRequestLoadBalancer):
    def acquire_server(self, request_id):
        picked = super().acquire_server(request_id)
        time.sleep(1)
        return picked


@pytest.mark.parametrize("seconds", [0.0, 0.4, 2.5])
def test_a_cancelled_request_leaves_no_load_behind(queue, seconds):
    balancer = ray.remote(SlowBalancer).remote({"a": Engine.remote()})
    assert ray.get(balancer.get_total_inflight.remote()) == 0
    config = OmegaConf.create({"actor_rollout_ref": {"rollout": {"name": "vllm"}}})
    client = LLMServerClient(config, balancer)
    make_cancellable(client)

    async def cancelled():
        request = asyncio.ensure_future(client.generate("r", prompt_ids=[1], sampling_params={}))
        await asyncio.sleep(seconds)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        for _ in range(50):
            if (load := await balancer.get_total_inflight.remote()) == 0:
                break
            await asyncio.sleep(0.1)
        return load

    assert asyncio.run(cancelled()) == 0
