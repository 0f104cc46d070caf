"""MemoryLane: copies of records that the disk does not take, under the memory epoch (law 4). Pure, bounded.

Numbers run from 1 without holes, as in any stream. When the ring overflows, the oldest go and a LossRecord in
the same stream, with a higher number, declares theirs.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from cloud_bridge.flights import Flights, SendOrder
from device_model.clock import Now
from device_model.messages import AlarmRecord, Body, Lane, LossRecord, Record
from device_model.ranges import Range, RangeSet

# Unacknowledged copies kept. An alarm record is some 1 KiB: ten thousand are 10 MiB at the very worst, and a
# site makes fewer in a month. Telemetry is the first to go.
RING_MAX: dict[Lane, int] = {Lane.ALARM: 10_000, Lane.TELEMETRY: 1_000, Lane.EVIDENCE: 100}
OVERFLOW_REASON = "memory full while the disk takes nothing"


class MemoryLane:
    """The memory stream of one lane."""

    def __init__(self, lane: Lane, epoch: str, jitter: Callable[[], float]) -> None:
        self.lane = lane
        self.epoch = epoch
        self.last = 0
        self._records: dict[int, Record] = {}
        self._born: dict[int, int] = {}
        self.settled = RangeSet()
        self.flights = Flights(lane, epoch, jitter)

    def add(self, body: Body, now: Now) -> Record:
        """A copy of the body with the next number of this stream; alarms are marked."""
        if isinstance(body, AlarmRecord):
            body = msgspec.structs.replace(
                body, transition=msgspec.structs.replace(body.transition, journaled=False))
        if len(self._records) >= RING_MAX[self.lane]:
            self._overflow(now)
        return self._append(body, now)

    def _append(self, body: Body, now: Now) -> Record:
        self.last += 1
        record = Record(self.last, now.wall_us, now.mono_us, now.boot, body)
        self._records[self.last] = record
        self._born[self.last] = now.mono_us
        return record

    def _overflow(self, now: Now) -> None:
        """Give up a quarter: in the alarm lane what is not an alarm first. What losses said is said again."""
        ordered = sorted(self._records, key=lambda n: (isinstance(self._records[n].body, AlarmRecord), n))
        lost: RangeSet = RangeSet()
        for number in ordered[: max(1, len(ordered) // 4)]:
            body = self._records.pop(number).body
            self._born.pop(number)
            lost.add(number, number)
            if isinstance(body, LossRecord) and body.epoch == self.epoch:
                for first, last in body.ranges:
                    lost.add(first, last)
        for first, last in lost:
            self.settled.add(first, last)
        self.flights.settle(self.settled)
        self._append(LossRecord(self.epoch, self.lane, tuple(lost), OVERFLOW_REASON, now.wall_us), now)

    def orders(self, live_us: int, mono_us: int) -> list[SendOrder]:
        """What to send now."""
        if not self._records:
            return []
        live_from = self.last + 1
        for number in reversed(self._born):  # newest first, so that a long ring costs nothing
            if mono_us - self._born[number] > live_us:
                break
            live_from = number
        return self.flights.orders([(1, self.last)], self.settled, live_from, mono_us)

    def records(self, first: int, last: int) -> tuple[Record, ...]:
        """Those of first..last that are still wanted."""
        return tuple(self._records[n] for n in range(first, last + 1) if n in self._records)

    def acknowledge(self, ranges: tuple[Range, ...]) -> None:
        """The far end has these."""
        for first, last in ranges:
            if 1 <= first <= last <= self.last:
                self.settled.add(first, last)
                for number in [n for n in range(first, last + 1) if n in self._records]:
                    del self._records[number]
                    del self._born[number]
        self.flights.settle(self.settled)

    def __len__(self) -> int:
        """How many are unacknowledged."""
        return len(self._records)
