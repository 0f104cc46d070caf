"""ClockBook: what a gateway's clock truly was, per boot; its records are corrected before anything judges them.

    record: wall 1970-01-01 00:01:05, 65 s after boot 4f     ┐ live messages tell the latest that boot 4f can
    live message: 90 s after boot 4f, arrived 12:00:01 here  ┘ have been ─► record: 11:59:36, ±10 s

A gateway has no battery clock: it boots in 1970, is set by a server that lies, or steps by an hour. Its monotonic
time is always right within one boot (DESIGN, "Time"). What is wrong for sure: a year before 2025; a time in the
future; a lag that live messages keep showing. Whatever is merely late is believed: a broker may have held it. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from device_model.clock import MINUTE_US, SECOND_US
from device_model.messages import (
    AlarmRecord,
    Batch,
    Body,
    CommandResultRecord,
    HeartbeatRecord,
    ImpairmentRecord,
    LossRecord,
    OutputRecord,
    ReadingsRecord,
    Record,
)
from device_model.reading import Reading

BEFORE_TOCSIN_US = 1_735_689_600_000_000  # 2025-01-01: a clock that shows less was never set
TOLERANCE_US = 2 * MINUTE_US  # less than this is left as the gateway said it
LIVE_AGE_US = 10 * SECOND_US  # a live message is at most so old when it leaves
LAG_MESSAGES, LAG_SPAN_US = 10, 5 * MINUTE_US  # so many live messages over so long: a lag, and no delay on the way
BOOTS_MAX = 64  # of one site; the longest unheard is forgotten
T = TypeVar("T", bound=msgspec.Struct)


class BootClock(msgspec.Struct):
    """One boot of one gateway. Offsets: wall minus monotonic, µs. claimed: what the gateway says, latest; arrival:
    the least that live messages allow; error_us: the gateway's own bound, -1 when it knows none."""

    claimed_us: int | None = None
    claimed_mono_us: int = -1
    error_us: int = -1
    arrival_us: int | None = None
    live: int = 0
    first_us: int = 0
    last_us: int = 0

    def true_offset(self) -> tuple[int, int] | None:
        """(offset, error bound) in µs; None while nothing sound is known. Error -1: no bound can be given."""
        claimed, arrival = self.claimed_us, self.arrival_us
        if claimed is not None and self._plausible(claimed):
            return claimed, self.error_us
        return None if arrival is None else (arrival, LIVE_AGE_US)

    def _plausible(self, claimed: int) -> bool:
        if claimed + self.claimed_mono_us < BEFORE_TOCSIN_US:
            return False
        if self.arrival_us is None:
            return True
        ahead = claimed - self.arrival_us
        lags = self.live >= LAG_MESSAGES and self.last_us - self.first_us >= LAG_SPAN_US
        return ahead <= TOLERANCE_US and not (lags and ahead < -TOLERANCE_US)


class ClockBook:
    """All boots of the gateways of one site. `boots` is its whole state, for the checkpoint."""

    def __init__(self, boots: dict[str, BootClock] | None = None) -> None:
        self.boots = dict(boots or {})
        self.corrected = 0

    def correct(self, batch: Batch, records: Sequence[Record], arrived_us: int) -> tuple[Record, ...]:
        """Learn from the new records of a batch, then give them the times at which they truly happened."""
        for record in records:
            self._learn(record, arrived_us, live=not batch.backlog, gateway=batch.gateway)
        return tuple(self._corrected(record, records, batch.gateway, arrived_us) for record in records)

    def _learn(self, record: Record, arrived_us: int, *, live: bool, gateway: str) -> None:
        if not record.boot:
            return
        key = f"{gateway}|{record.boot}"
        clock = self.boots.pop(key, None) or BootClock(first_us=arrived_us)
        self.boots[key] = clock  # the latest heard stands last
        while len(self.boots) > BOOTS_MAX:
            del self.boots[next(iter(self.boots))]
        if record.mono_us >= clock.claimed_mono_us:
            clock.claimed_us, clock.claimed_mono_us = record.at_us - record.mono_us, record.mono_us
            if isinstance(record.body, HeartbeatRecord):
                clock.error_us = record.body.wall_error_us
        if live:
            offset = arrived_us - record.mono_us
            clock.arrival_us = offset if clock.arrival_us is None else min(clock.arrival_us, offset)
            clock.live, clock.last_us = min(clock.live + 1, LAG_MESSAGES), arrived_us

    def _corrected(self, record: Record, beside: Sequence[Record], gateway: str, arrived_us: int) -> Record:
        clock = self.boots.get(f"{gateway}|{record.boot}")
        if clock is None:
            return record
        known = clock.true_offset()
        if known is None:  # a boot that is over and whose clock was never set: when we first heard of it
            known = arrived_us - max(r.mono_us for r in beside if r.boot == record.boot), -1
        shift_us = record.mono_us + known[0] - record.at_us
        if abs(shift_us) <= TOLERANCE_US:
            return record
        self.corrected += 1
        return _shifted(record, shift_us, known[1])


def _shifted(record: Record, by_us: int, error_us: int) -> Record:
    return msgspec.structs.replace(record, at_us=record.at_us + by_us, body=_body(record.body, by_us, error_us))


def _body(body: Body, by_us: int, error_us: int) -> Body:
    if isinstance(body, ReadingsRecord):
        return ReadingsRecord(tuple(_reading(reading, by_us) for reading in body.readings))
    if isinstance(body, AlarmRecord):
        step = body.transition
        note = f"gateway clock corrected by {by_us / 1e6:+.0f} s, " + (
            f"known to {error_us / 1e6:.0f} s" if error_us >= 0 else "no bound known")
        step = msgspec.structs.replace(step, at_us=step.at_us + by_us, onset_us=step.onset_us + by_us,
                                       detail=f"{step.detail}; {note}" if step.detail else note)
        return AlarmRecord(step, tuple(_reading(reading, by_us) for reading in body.readings))
    if isinstance(body, ImpairmentRecord):
        change, lack = body.change, body.change.impairment
        lack = msgspec.structs.replace(lack, since_us=lack.since_us + by_us,
                                       expires_us=lack.expires_us + by_us if lack.expires_us else 0)
        return ImpairmentRecord(msgspec.structs.replace(
            change, impairment=lack, ended_us=change.ended_us + by_us if change.ended_us else 0))
    if isinstance(body, CommandResultRecord):
        return CommandResultRecord(_moved(body.result, by_us))
    if isinstance(body, OutputRecord | LossRecord | HeartbeatRecord):
        return _moved(body, by_us)
    return body


def _moved(one: T, by_us: int) -> T:
    return msgspec.structs.replace(one, at_us=getattr(one, "at_us") + by_us)  # noqa: B009  T has no such field for mypy


def _reading(reading: Reading, by_us: int) -> Reading:
    """The gateway's own times move; a device that has a clock of its own is believed as before."""
    own = abs(reading.source_time_us - reading.receive_time_us) > TOLERANCE_US
    return msgspec.structs.replace(
        reading, receive_time_us=reading.receive_time_us + by_us,
        source_time_us=reading.source_time_us if own else reading.source_time_us + by_us)
