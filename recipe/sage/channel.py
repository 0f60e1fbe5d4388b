"""What passes through the TransferQueue besides verl's own: visits from the rollout workers, and fields of rows.

A visit travels under the prompt's uid, in a partition of its own. The rows of a group carry tensors; what happened
around them (levels, discarded groups, hint requests, or why there is no group at all) belongs to the prompt, so it is
stored once per uid and joined by uid.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Mapping, Sequence

import torch
import transfer_queue as tq
from tensordict import TensorDict
from transfer_queue import KVBatchMeta

from sage.method.records import Skip, SkipReason, Visit

PARTITION = "sage"


async def publish(uid: str, outcome: Visit | Skip, rows: Mapping[str, Awaitable[object]]) -> None:
    """Store the outcome of one prompt and the rows of its group, all or nothing (called by a rollout worker).

    Args:
        uid: the prompt's.
        outcome: its visit, or why there is none.
        rows: what stores each row, by key in the training partition; none for a skipped prompt.

    Raises:
        whatever the first of them raised, when all have ended: verl would train on the rows of half a group.
    """
    text = f"skip:{outcome.reason.value}:{outcome.error}" if isinstance(outcome, Skip) else outcome.to_json()
    field = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
    visit = tq.async_kv_put(key=uid, partition_id=PARTITION, fields={"visit": field}, tag={"status": "success"})
    results = await asyncio.gather(*rows.values(), visit, return_exceptions=True)
    for error in results:
        if isinstance(error, BaseException):
            await tq.async_kv_clear(keys=list(rows), partition_id="train")
            await tq.async_kv_clear(keys=[uid], partition_id=PARTITION)
            raise error


def collect(uids: Collection[str]) -> dict[str, Visit | Skip]:
    """Take the outcomes of these prompts out of the queue (called by the driver); absent ones are left out."""
    stored = tq.kv_list(PARTITION).get(PARTITION, {})
    keys = [uid for uid in uids if uid in stored]
    if not keys:
        return {}
    data = tq.kv_batch_get(keys=keys, partition_id=PARTITION, select_fields=["visit"])["visit"]
    outcomes = {uid: _decode(bytes(row.tolist()).decode()) for uid, row in zip(keys, data.unbind(), strict=True)}
    tq.kv_clear(keys=keys, partition_id=PARTITION)
    return outcomes


def real_keys(batch: KVBatchMeta) -> list[str]:
    """Keys of a batch's rows without verl's padding, in their order."""
    return [key for key, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding", False)]


def put_rows(batch: KVBatchMeta, keys: Sequence[str], **fields: Sequence[torch.Tensor]) -> None:
    """Write fields of some rows of a batch: for each field a tensor (tokens,) a key."""
    nested = {name: torch.nested.as_nested_tensor(list(rows), layout=torch.jagged) for name, rows in fields.items()}
    tq.kv_batch_put(keys=keys, partition_id=batch.partition_id, fields=TensorDict(nested, batch_size=len(keys)))


def _decode(text: str) -> Visit | Skip:
    if not text.startswith("skip:"):
        return Visit.from_json(text)
    _, reason, error = text.split(":", 2)
    return Skip(SkipReason(reason), error)
