"""Parts of evidence in the outbox: behind alarms, held by a metered link, within one message, sent again."""

from __future__ import annotations

import os

from cloud_bridge.lanes import Outbox
from device_model.clock import Now
from device_model.messages import (
    BATCH_BYTES_MAX,
    Batch,
    BatchAck,
    EvidenceChunkRecord,
    GatewayAddress,
    HeartbeatRecord,
    Lane,
    decode_batch,
    encode,
)
from device_model.ports import JournalState
from device_model.site import Tenancy

S = 1_000_000
CHUNK = EvidenceChunkRecord("yard-1-1", "yard-1", "flame", "bay", S, "a1", "clip", "yard-1-1.mp4", 8 << 20, "0" * 64,
                            0, os.urandom(48 * 1024))


def outbox() -> Outbox:
    return Outbox(GatewayAddress(Tenancy("a", "b", "c", "d"), "gw-1"), JournalState("e1", (), None), Now(S, S, "b"))


def test_evidence_goes_behind_alarms_and_waits_where_the_days_bytes_are_spent() -> None:
    box, now = outbox(), Now(S, S, "b")
    part = box.assign(Lane.EVIDENCE, CHUNK, now)
    box.assign(Lane.TELEMETRY, HeartbeatRecord(S, {}), now)
    box.assign(Lane.ALARM, HeartbeatRecord(S, {}), now)
    assert box.waits(Lane.EVIDENCE, (part.sequence, part.sequence))
    box.committed(box.to_commit())
    assert [order.lane for order in box.to_send(now, (Lane.ALARM,))] == [Lane.ALARM]
    assert [order.lane for order in box.to_send(now)] == [Lane.TELEMETRY, Lane.EVIDENCE]
    later = Now(S + 60 * S, S + 60 * S, "b")
    assert Lane.EVIDENCE in [order.lane for order in box.to_send(later)], "again, until it is acknowledged"
    box.acknowledged(BatchAck(1, "e1", Lane.EVIDENCE, ((1, 1),)), later)
    assert not box.waits(Lane.EVIDENCE, (1, 1))


def test_a_part_fits_a_message_and_survives_the_wire() -> None:
    record = outbox().assign(Lane.EVIDENCE, CHUNK, Now(S, S, "b"))
    payload = encode(Batch(1, "gw-1", "e1", Lane.EVIDENCE, (record, record.__class__(2, S, S, "b", CHUNK))))
    assert len(payload) < BATCH_BYTES_MAX and decode_batch(payload).records[0].body == CHUNK


def test_evidence_waits_for_the_disk_and_never_goes_from_memory() -> None:
    box = outbox()
    box.assign(Lane.EVIDENCE, CHUNK, Now(S, S, "b"))
    batch = box.to_commit()
    assert box.commit_failed(batch, Now(S, 100 * S, "b")) == () and box.to_send(Now(S, 100 * S, "b")) == ()
