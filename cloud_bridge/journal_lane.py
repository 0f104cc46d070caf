"""JournalLane: one lane of the journal epoch: pending, stored, settled. Pure.

    pending  assigned, not known to be on the disk
    stored   committed: may be sent; never assigned again, whatever happens
    settled  acknowledged by the far end, or named by a committed LossRecord
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from cloud_bridge.flights import Flights, SendOrder
from device_model.clock import Now
from device_model.messages import Body, Lane, LossRecord, Record
from device_model.ports import LaneState
from device_model.ranges import Range, RangeSet

# Uncommitted originals kept while the disk refuses (scheme, 3): hours of alarms, minutes of telemetry.
PENDING_MAX: dict[Lane, int] = {Lane.ALARM: 10_000, Lane.TELEMETRY: 2_000, Lane.EVIDENCE: 100}
# Committed records kept in memory so that sending live needs no read of the disk.
RECENT_MAX: dict[Lane, int] = {Lane.ALARM: 2_000, Lane.TELEMETRY: 1_000, Lane.EVIDENCE: 20}
REFUSED_REASON = "the disk refused"


class Pending(msgspec.Struct, frozen=True):
    """An uncommitted record, and since when (monotonic µs)."""

    record: Record
    since_us: int


class JournalLane:
    """The journal stream of one lane."""

    def __init__(self, lane: Lane, epoch: str, state: LaneState | None, jitter: Callable[[], float]) -> None:
        self.lane = lane
        self.epoch = epoch
        self.last_assigned = state.last_sequence if state else 0
        self.stored = RangeSet([(1, self.last_assigned)] if self.last_assigned else [])
        self.settled = RangeSet(state.acknowledged if state else ())
        self.pending: dict[int, Pending] = {}
        self.uncopied: dict[int, Pending] = {}  # pending, and no copy went out from memory
        self.recent: dict[int, Record] = {}
        self._declared = RangeSet()  # named by a LossRecord that is not committed yet
        self.flights = Flights(lane, epoch, jitter)

    def assign(self, body: Body, now: Now) -> Record:
        """The next record, pending."""
        if len(self.pending) >= PENDING_MAX[self.lane]:
            self._give_up(now)
        return self._append(body, now)

    def _append(self, body: Body, now: Now) -> Record:
        self.last_assigned += 1
        record = Record(self.last_assigned, now.wall_us, now.mono_us, now.boot, body)
        pending = Pending(record, now.mono_us)
        self.pending[self.last_assigned] = pending
        if not isinstance(body, LossRecord):
            self.uncopied[self.last_assigned] = pending
        return record

    def _give_up(self, now: Now) -> None:
        """Half of the pending originals, the oldest; what losses among them said is said again."""
        lost = RangeSet()
        for number in list(self.pending)[: len(self.pending) // 2]:
            body = self.pending.pop(number).record.body
            self.uncopied.pop(number, None)
            lost.add(number, number)
            if isinstance(body, LossRecord) and body.epoch == self.epoch:
                for first, last in body.ranges:
                    lost.add(first, last)
        self._append(LossRecord(self.epoch, self.lane, tuple(lost), REFUSED_REASON, now.wall_us), now)

    def declare(self, ranges: Iterable[Range], reason: str, now: Now) -> Record | None:
        """A LossRecord for numbers assigned before; None when all of them are settled or declared."""
        fresh = RangeSet()
        for first, last in ranges:
            for a, b in self.settled.missing(max(1, first), min(last, self.last_assigned)):
                for c, d in self._declared.missing(a, b):
                    fresh.add(c, d)
        if not fresh:
            return None
        for first, last in fresh:
            self._declared.add(first, last)
        return self.assign(LossRecord(self.epoch, self.lane, tuple(fresh), reason, now.wall_us), now)

    def commit(self, records: Sequence[Record]) -> tuple[Range, ...]:
        """They are durable. Returns ranges that are settled by it: named by LossRecords among them."""
        settled = RangeSet()
        for record in records:
            self.pending.pop(record.sequence, None)
            self.uncopied.pop(record.sequence, None)
            self.stored.add(record.sequence, record.sequence)
            self.recent[record.sequence] = record
            body = record.body
            if isinstance(body, LossRecord) and body.epoch == self.epoch and body.lane is self.lane:
                for first, last in body.ranges:
                    settled.add(first, last)
                    # A number that was given up was never used for anything else, and never will be.
                    self.stored.add(first, last)
        while len(self.recent) > RECENT_MAX[self.lane]:
            del self.recent[next(iter(self.recent))]
        self._settle(settled)
        return tuple(settled)

    def acknowledge(self, ranges: Iterable[Range]) -> tuple[Range, ...]:
        """The far end has these; returns what of it is new. Numbers never stored are not believed."""
        new = RangeSet()
        for first, last in ranges:
            for a, b in self.stored:
                low, high = max(a, first), min(b, last)
                if low <= high:
                    for c, d in self.settled.missing(low, high):
                        new.add(c, d)
        self._settle(new)
        return tuple(new)

    def _settle(self, ranges: RangeSet) -> None:
        for first, last in ranges:
            self.settled.add(first, last)
        if ranges:
            if ranges.count() < len(self.recent):
                for number in [n for first, last in ranges for n in range(first, last + 1)]:
                    self.recent.pop(number, None)
            else:
                self.recent = {n: record for n, record in self.recent.items() if n not in ranges}
            self.flights.settle(self.settled)

    def orders(self, live_us: int, mono_us: int) -> list[SendOrder]:
        """What to send now. Live is what was recorded in this life, less than `live_us` ago."""
        live_from = self.last_assigned + 1
        for number in reversed(self.recent):  # newest first; what left `recent` is backlog
            if mono_us - self.recent[number].mono_us > live_us:
                break
            live_from = min(live_from, number)
        return self.flights.orders(self.stored, self.settled, live_from, mono_us)

    def records(self, first: int, last: int) -> tuple[Record, ...] | None:
        """Those of first..last still wanted, from memory; None when one of them is on the disk only."""
        wanted = [n for a, b in self.settled.missing(first, last) for n in range(a, b + 1)]
        if not all(n in self.recent for n in wanted):
            return None
        return tuple(self.recent[n] for n in wanted)

    def oldest_waiting(self, count: int, leave_newest: int) -> Range | None:
        """As Outbox.oldest_waiting."""
        top = self.last_assigned - leave_newest
        for first, last in self.stored:
            for low, high in self.settled.missing(first, min(last, top)):
                for a, b in self._declared.missing(low, high):
                    return a, min(b, a + count - 1)
        return None

    def waiting(self) -> int:
        """How many stored numbers are not settled."""
        return sum(d - c + 1 for a, b in self.stored for c, d in self.settled.missing(a, b))
