"""The demo's judge finds what is missing, doubled and declared: a judge that cannot fail proves nothing."""

from __future__ import annotations

from community_os.envelopes import UpEnvelope
from demo.audit import audit_stream
from device_model.messages import Batch, HeartbeatRecord, Lane, LossRecord, OutputRecord, Record

LATE = 10**9


def records(*numbers: int) -> tuple[Record, ...]:
    return tuple(Record(n, n, n, "b", OutputRecord("sounder", True, "a", n)) for n in numbers)


def stored(*batches: tuple[Record, ...], at: int = 1, epoch: str = "e1") -> list[UpEnvelope]:
    return [UpEnvelope("a/b/c/d", at, Batch(1, "gw", epoch, Lane.ALARM, batch)) for batch in batches]


def heartbeat(last: int, at: int = 1) -> UpEnvelope:
    body = HeartbeatRecord(at, {"alarm": ("e1", last)})
    return UpEnvelope("a/b/c/d", at, Batch(1, "gw", "e1", Lane.TELEMETRY, (Record(0, at, at, "b", body),)))


def test_a_whole_stream_is_clean() -> None:
    audit = audit_stream([*stored(records(1, 2), records(3)), heartbeat(3)], judged_until_us=LATE)
    assert (audit.sent, audit.received, audit.duplicates, audit.unexplained_gaps) == (3, 3, 0, 0)


def test_a_hole_a_lost_tail_and_a_double_are_found() -> None:
    audit = audit_stream([*stored(records(1, 3), records(3)), heartbeat(5)], judged_until_us=LATE)
    assert (audit.sent, audit.received, audit.duplicates, audit.unexplained_gaps) == (5, 2, 1, 3)


def test_declared_losses_are_explained() -> None:
    loss = (Record(4, 4, 4, "b", LossRecord("e1", Lane.ALARM, ((2, 3),), "disk", 4)),)
    audit = audit_stream([*stored(records(1), loss)], judged_until_us=LATE)
    assert (audit.unexplained_gaps, audit.declared_lost) == (0, 2)


def test_what_is_named_after_the_judged_time_may_be_on_its_way() -> None:
    audit = audit_stream([*stored(records(1, 2)), heartbeat(9, at=50)], judged_until_us=10)
    assert (audit.sent, audit.unexplained_gaps) == (2, 0)


def test_memory_epochs_have_no_holes_to_explain() -> None:
    audit = audit_stream(stored(records(3), epoch="m-boot"), judged_until_us=LATE)
    assert audit.unexplained_gaps == 0
