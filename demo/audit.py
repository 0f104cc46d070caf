"""The demo's independent judge: reads the stored stream itself, not what the programs say of it.

For each stream (gateway, epoch, lane) the sequence numbers must run from 1 to the last that the gateway ever named,
each stored once, or be declared lost with a reason.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from community_os.envelopes import UpEnvelope
from device_model.messages import HeartbeatRecord, LossRecord, is_memory_epoch
from device_model.ranges import RangeSet

StreamName = tuple[str, str, str]  # site path and gateway, epoch, lane


class StreamAudit(msgspec.Struct, frozen=True):
    """What the stored stream shows."""

    sent: int  # records that the gateways have assigned a number to
    received: int  # records stored, each counted once
    duplicates: int  # records stored more than once
    unexplained_gaps: int  # numbers neither stored nor declared lost
    declared_lost: int


def audit_stream(envelopes: Iterable[UpEnvelope], *, judged_until_us: int) -> StreamAudit:
    """Judge all batches of a stream, in any order.

    What a gateway named (in a heartbeat, or by a record's number) up to `judged_until_us` (arrival, µs since 1970)
    must be there or be declared lost; what it named later may still be on its way.
    """
    stored: dict[StreamName, RangeSet] = {}
    declared: dict[StreamName, RangeSet] = {}
    last: dict[StreamName, int] = {}
    duplicates = 0
    for envelope in envelopes:
        batch = envelope.batch
        judged = envelope.arrived_us <= judged_until_us
        owner = f"{envelope.path}/{batch.gateway}"
        for record in batch.records:
            body = record.body
            if isinstance(body, HeartbeatRecord) and judged:
                for lane, (epoch, sequence) in body.last.items():
                    key = (owner, epoch, lane)
                    last[key] = max(last.get(key, 0), sequence)
            if isinstance(body, LossRecord):
                lost = declared.setdefault((owner, body.epoch, str(body.lane)), RangeSet())
                for first, end in body.ranges:
                    lost.add(first, end)
            if record.sequence == 0:
                continue
            key = (owner, batch.epoch, str(batch.lane))
            numbers = stored.setdefault(key, RangeSet())
            if record.sequence in numbers:
                duplicates += 1
            numbers.add(record.sequence, record.sequence)
            if judged:
                last[key] = max(last.get(key, 0), record.sequence)
    gaps = lost_count = 0
    for key, end in last.items():
        if is_memory_epoch(key[1]) or end == 0:
            continue
        missing = stored.get(key, RangeSet()).missing(1, end)
        explained = declared.get(key, RangeSet())
        for first, final in missing:
            unexplained = explained.missing(first, final)
            gaps += sum(b - a + 1 for a, b in unexplained)
            lost_count += final - first + 1 - sum(b - a + 1 for a, b in unexplained)
    received = sum(
        end - sum(b - a + 1 for a, b in stored.get(key, RangeSet()).missing(1, end))
        for key, end in last.items() if end
    )
    return StreamAudit(sum(last.values()), received, duplicates, gaps, lost_count)


