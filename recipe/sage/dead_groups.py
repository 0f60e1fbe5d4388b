"""Groups of equal rewards have zero advantages: leave them out of log-probs and update without changing the update.

Each of their rows is replaced, in its place, by one of verl's own synthetic padding rows of a few tokens, so that every
per-row normalisation stays as it is, and on one data-parallel rank the mini-batches do; on more, verl balances all rows
by length afterwards. What token-mean divides by is the sum of ``loss_mask``; the padding rows carry the token counts of
the rows that they stand for.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
import transfer_queue as tq
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.padding_utils import upsample_batch_to_divisible_size

from recipe.sage.channel import put_rows


class DeadGroups:
    """The dead groups of one batch, taken out of it.

    Args:
        batch: one row a rollout, all of them real; keys are ``{uid}_{session}_{index}``.
        uids: the groups to take out; if that is all of them, one stays.
        multiple: verl's batch multiple; the batch with padding has as many rows as it would have had.
        pad_token_id: fills padding rows.
    """

    def __init__(self, batch: KVBatchMeta, uids: Collection[str], multiple: int, pad_token_id: int) -> None:
        groups = [key.split("_")[0] for key in batch.keys]
        self.uids = set(uids)
        if self.uids.issuperset(groups):
            self.uids.discard(groups[0])
        dead = [group in self.uids for group in groups]
        taken = batch.select_keys([key for key, out in zip(batch.keys, dead, strict=True) if out])
        self.keys, self.tags = taken.keys, taken.tags
        self.live = batch.select_keys([key for key, out in zip(batch.keys, dead, strict=True) if not out])
        if not self.keys:
            return
        live = len(self.live)
        rows = math.ceil(len(batch) / multiple) * multiple
        self.live = upsample_batch_to_divisible_size(self.live, rows, pad_token_id)
        masks = tq.kv_batch_get(keys=self.keys, partition_id=batch.partition_id, select_fields=["loss_mask"])
        tokens = [int(mask.sum()) for mask in masks["loss_mask"].unbind()]
        pads = self.live.keys[live : live + len(tokens)]
        counts = TensorDict({"loss_mask": torch.tensor(tokens).unsqueeze(1)}, batch_size=len(pads))
        tq.kv_batch_put(keys=pads, partition_id=batch.partition_id, fields=counts)
        alive, padding = iter(range(live)), iter(range(live, len(self.live)))
        self.live.reorder([next(padding if out else alive) for out in dead] + list(padding))

    def put_back(self, batch: KVBatchMeta) -> KVBatchMeta:
        """The batch after the update with the dead rows again, for verl's metrics and dumps; their advantages are 0."""
        if not self.keys:
            return batch
        lengths = [tag["response_len"] for tag in self.tags]
        zeros = [torch.zeros(n) for n in lengths]
        put_rows(batch, self.keys, advantages=zeros, returns=zeros)
        return KVBatchMeta(
            keys=[*batch.keys, *self.keys],
            tags=[*batch.tags, *self.tags],
            partition_id=batch.partition_id,
            fields=batch.fields,
            extra_info=batch.extra_info,
        )
