"""A run with wandb, offline: it is finished there, and nothing complains at its end."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1300)]
BLOCK = 32768
HEAD = 7
"""Bytes before the file's first record, and before each part of one."""


def records(file: Path) -> Iterator[object]:
    """What wandb wrote: records in the format of LevelDB's log."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, parts = file.read_bytes(), HEAD, b""
    while place + HEAD <= len(data):
        if (left := BLOCK - place % BLOCK) < HEAD:
            place += left
            continue
        _, size, kind = struct.unpack_from("<IHB", data, place)
        parts += data[place + HEAD : place + HEAD + size]
        place += HEAD + size
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def test_a_run_is_finished_in_wandb_and_has_a_table_of_hints(tmp_path, small_data):
    pytest.importorskip("wandb")
    options = ("trainer.total_training_steps=2", "trainer.logger=[console,file,wandb]")
    train(tmp_path / "run", small_data, *options, WANDB_MODE="offline", WANDB_DIR=str(tmp_path))
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    found = list(records(file))
    # offline, wandb 0.31 writes config and summary here only, and config.yaml and wandb-summary.json when it is synced
    (ended,) = [record.exit for record in found if record.HasField("exit")]
    assert ended.exit_code == 0
    (begun,) = [record.run for record in found if record.HasField("run")]
    assert "sage" in {update.key for update in begun.config.update}
    steps = [{item.key or item.nested_key[0] for item in r.history.item} for r in found if r.HasField("history")]
    assert len(steps) == 2 and all("sage/hints" in keys and "critic/rewards/mean" in keys for keys in steps)
    assert list(file.parent.glob("files/media/table/sage/hints_*.table.json"))
    log = (tmp_path / "run/train.log").read_text(errors="replace")
    assert "ConnectionResetError" not in log and "BrokenPipe" not in log
