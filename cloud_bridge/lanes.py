"""Outbox: what is to be stored, what is to be sent, and what the far end has. Pure; a view of the journal.

    assign ──► pending ──to_commit──► store.commit~ ──committed──► stored ──to_send──► uplink~ ──► ingest
                  │                        │ fails, or takes more than 0.2 s                        │
                  └────────────────────────┴──► memory copy (epoch "m-…", journaled=False) ──►──────┤
                                                     acknowledged ◄──── BatchAck ◄──────────────────┘

The scheme (law 4, and "no gap unexplained"):

1. A record gets the next number of the journal epoch when it is assigned. It keeps the number and its content
   for ever. It is sent under the journal epoch only when it is committed, so that after a power cut no number
   that anybody has seen stands for other content. Heartbeats speak of committed numbers only.
2. When the commit fails, or an alarm-lane record is not committed within 0.2 s (telemetry: 10 s), a copy is sent
   from memory: under the memory epoch of this life of the process, with a number of its own, and alarms marked
   journaled=False. The original stays pending and is offered to the store again; when the disk takes it, it
   travels too. Alarm ids are deterministic, so the two make one incident. (A LossRecord is never copied: it
   speaks of numbers that the disk may yet give to others.)
3. Pending originals are bounded. When the disk refuses for so long that they overflow, the oldest are given up
   and a LossRecord with a *higher* number in the *same lane* declares theirs ("disk refused"). Either the
   LossRecord gets committed and explains them, or nothing behind them was ever committed or seen.
4. The ring of memory copies is bounded in the same way, telemetry far sooner than alarms.
5. Damage found by the journal is declared by a LossRecord in the same lane. When a LossRecord is committed the
   numbers that it names are settled, as if acknowledged.

How the runtime uses it, with one commit at a time:

    record = outbox.assign(lane, body, now)         # for each record effect
    batch = outbox.to_commit(500)                   # everything pending, oldest first; () when nothing is
    try: await store.commit(batch, checkpoint)
    except LocalFault: outbox.commit_failed(batch, clock.now())     # try again later: batch stays pending
    else: for lane, ranges in outbox.committed(batch): await store.acknowledge(lane, ranges)

Uplink does the rest: to_send, records_of, sent, acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

from cloud_bridge.flights import SendOrder
from cloud_bridge.journal_lane import JournalLane
from cloud_bridge.memory_lane import MemoryLane
from device_model.clock import SECOND_US, Now
from device_model.messages import BatchAck, Body, GatewayAddress, Lane, LossRecord, Record
from device_model.ports import JournalState
from device_model.ranges import Range

# How long a record may wait for the disk before a copy goes out from memory: law 4 for alarms; for telemetry
# long enough that a slow SD card does not double the traffic; evidence waits for the disk.
PATIENCE_US: dict[Lane, int] = {Lane.ALARM: 200_000, Lane.TELEMETRY: 10 * SECOND_US}
# What is younger than this travels as live.
LIVE_US = 10 * SECOND_US


class Outbox:
    """All lanes of one gateway. Not thread-safe; owned by one event loop."""

    def __init__(
        self, address: GatewayAddress, state: JournalState | None, now: Now,
        jitter: Callable[[], float] = lambda: 0.5, *, patience_scale: float = 1.0,
    ) -> None:
        """state: what the journal knows; None while it cannot be opened: then all travels from memory.

        jitter: gives numbers 0 ≤ x < 1 (random.Random(seed).random); retries are spread by ±20 %.
        patience_scale: the clock's speed. A disk is not faster when the demo's time is, so that the patience
        with it is stretched by as much.
        """
        self.address = address
        self.memory_epoch = f"m-{now.boot}-{now.mono_us:x}"
        self._jitter = jitter
        self._patience_us = {lane: round(limit * patience_scale) for lane, limit in PATIENCE_US.items()}
        self._memory = {lane: MemoryLane(lane, self.memory_epoch, jitter) for lane in Lane}
        self._journal: dict[Lane, JournalLane] = {}
        self._epoch = ""
        self._disk_ok = state is not None
        if state is not None:
            self.journal_opened(state, now)

    def journal_opened(self, state: JournalState, now: Now) -> None:
        """A journal that could not be opened at the start takes records now: new ones are assigned to it."""
        if self._journal:
            raise ValueError("the outbox has a journal already")
        known = {lane_state.lane: lane_state for lane_state in state.lanes}
        self._epoch = state.epoch
        self._journal = {
            lane: JournalLane(lane, state.epoch, known.get(lane), self._jitter) for lane in Lane
        }
        self._disk_ok = True
        for lane, (first, last), reason in state.damage:
            self._journal[lane].declare([(first, last)], reason, now)
        for epoch, lane, lost, reason in state.replaced:
            self._journal[lane].assign(LossRecord(epoch, lane, (lost,), reason, now.wall_us), now)

    def assign(self, lane: Lane, body: Body, now: Now) -> Record:
        """The next record of a lane, pending until committed (without a journal: sent from memory at once)."""
        if not self._journal:
            return self._memory[lane].add(body, now)
        return self._journal[lane].assign(body, now)

    def to_commit(self, limit: int = 500) -> tuple[tuple[Lane, Record], ...]:
        """The oldest uncommitted records, the alarm lane first; the same again until committed."""
        oldest = ((lane, p.record) for lane, journal in self._journal.items() for p in journal.pending.values())
        return tuple(islice(oldest, limit))

    def committed(self, records: Sequence[tuple[Lane, Record]]) -> tuple[tuple[Lane, tuple[Range, ...]], ...]:
        """They are durable: they may be sent. Returns what to tell `store.acknowledge` (numbers declared lost)."""
        self._disk_ok = True
        tell: list[tuple[Lane, tuple[Range, ...]]] = []
        for lane, journal in self._journal.items():
            settled = journal.commit([record for which, record in records if which is lane])
            if settled:
                tell.append((lane, settled))
        return tuple(tell)

    def commit_failed(self, records: Sequence[tuple[Lane, Record]], now: Now) -> tuple[Record, ...]:
        """The disk did not take them: copies go out from memory at once (returned); the originals stay pending."""
        self._disk_ok = False
        copies: list[Record] = []
        for lane, record in records:
            pending = self._journal[lane].uncopied.pop(record.sequence, None) if lane in self._patience_us else None
            if pending is not None:
                copies.append(self._memory[lane].add(pending.record.body, now))
        return tuple(copies)

    def _copy_overdue(self, now: Now) -> None:
        """Patience is over for what has waited too long: the disk hangs, or nobody asks it."""
        for lane, patience_us in self._patience_us.items():
            if lane not in self._journal:
                continue
            uncopied = self._journal[lane].uncopied
            for number, pending in list(uncopied.items()):
                if now.mono_us - pending.since_us < patience_us:
                    break
                self._disk_ok = False
                del uncopied[number]
                self._memory[lane].add(pending.record.body, now)

    @property
    def journal_epoch(self) -> str:
        """The epoch of the journal's numbers; empty while it is not open."""
        return self._epoch

    @property
    def journal_ok(self) -> bool:
        """Whether the disk takes records: False from a failed or overdue commit until the next good one."""
        return self._disk_ok

    def declare_lost(self, lane: Lane, ranges: Sequence[Range], reason: str, now: Now) -> Record | None:
        """Assign a LossRecord for numbers of the journal epoch (quota, unreadable rows); None when all of them
        are acknowledged or declared already. The store may forget the rows once `committed` returned them."""
        return self._journal[lane].declare(ranges, reason, now) if self._journal else None

    def oldest_waiting(self, lane: Lane, count: int, leave_newest: int) -> Range | None:
        """The first numbers on the disk, at most `count` in a row, that the far end does not have, not counting the
        newest; None when there are none. For a quota."""
        return self._journal[lane].oldest_waiting(count, leave_newest) if self._journal else None

    def waits(self, lane: Lane, span: Range) -> bool:
        """Whether some of these numbers are neither delivered nor durably declared lost."""
        return bool(self._journal) and bool(self._journal[lane].settled.missing(*span))

    def to_send(self, now: Now, lanes: Sequence[Lane] = tuple(Lane)) -> tuple[SendOrder, ...]:
        """What to send now, in this order: alarm lane first, live before backlog, within each lane's window.

        What is returned counts as in flight, and comes again when its retry time is over.
        """
        self._copy_overdue(now)
        orders: list[SendOrder] = []
        for lane in lanes:
            orders += self._memory[lane].orders(LIVE_US, now.mono_us)
            if lane in self._journal:
                orders += self._journal[lane].orders(LIVE_US, now.mono_us)
        rank = {lane: place for place, lane in enumerate(Lane)}
        orders.sort(key=lambda order: (order.lane is not Lane.ALARM, order.backlog, rank[order.lane]))
        return tuple(orders)

    def records_of(self, order: SendOrder) -> tuple[Record, ...] | None:
        """The records of an order that are still wanted, from memory; None when they must be read from the store."""
        if order.epoch == self.memory_epoch:
            return self._memory[order.lane].records(order.first, order.last)
        if order.epoch != self._epoch:
            return ()
        return self._journal[order.lane].records(order.first, order.last)

    def wanted(self, order: SendOrder) -> tuple[Range, ...]:
        """The numbers of a journal order that the far end does not have yet: what to read from the store."""
        if order.epoch != self._epoch or not self._journal:
            return ()
        return tuple(self._journal[order.lane].settled.missing(order.first, order.last))

    def sent(self, order: SendOrder, now: Now) -> None:
        """The broker took it: the time to the next try runs from now."""
        if order.epoch == self.memory_epoch:
            self._memory[order.lane].flights.sent(order, now.mono_us)
        elif order.epoch == self._epoch and self._journal:
            self._journal[order.lane].flights.sent(order, now.mono_us)

    def reconnected(self, now: Now) -> None:
        """The link is back: everything in flight is due at once, with its retry times from the start."""
        for lane in Lane:
            self._memory[lane].flights.all_due(now.mono_us)
            if lane in self._journal:
                self._journal[lane].flights.all_due(now.mono_us)

    def acknowledged(self, ack: BatchAck, now: Now) -> tuple[tuple[Lane, tuple[Range, ...]], ...]:
        """The far end has these. Returns what is new, to tell `store.acknowledge`. Numbers never stored and
        streams not ours are ignored."""
        if ack.epoch == self.memory_epoch:
            self._memory[ack.lane].acknowledge(ack.ranges)
            return ()
        if ack.epoch != self._epoch or not self._journal:
            return ()
        new = self._journal[ack.lane].acknowledge(r for r in ack.ranges if r[0] <= r[1])
        return ((ack.lane, new),) if new else ()

    def heartbeat_last(self) -> dict[str, tuple[str, int]]:
        """lane → (epoch, last committed number), for the HeartbeatRecord."""
        if not self._journal:
            return {str(lane): (self.memory_epoch, memory.last) for lane, memory in self._memory.items()}
        return {str(lane): (self._epoch, journal.stored.highest() or 0) for lane, journal in self._journal.items()}

    def backlog(self) -> int:
        """How many committed or memory records the far end has not acknowledged yet."""
        return sum(len(memory) for memory in self._memory.values()) + sum(
            journal.waiting() for journal in self._journal.values())

    def due_us(self, lanes: Sequence[Lane] = tuple(Lane)) -> int | None:
        """Monotonic time (µs) at which `to_send` of these lanes may have more to say by itself; None: never."""
        times = [memory.flights.due_us() for lane, memory in self._memory.items() if lane in lanes]
        times += [journal.flights.due_us() for lane, journal in self._journal.items() if lane in lanes]
        for lane, patience_us in self._patience_us.items():
            if lane in self._journal and lane in lanes:
                times.append(next((p.since_us + patience_us for p in self._journal[lane].uncopied.values()), None))
        return min((time for time in times if time is not None), default=None)
