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
   travels too. Alarm ids are deterministic, so the two make one incident.
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

import msgspec

from device_model.clock import Now
from device_model.messages import BatchAck, Body, GatewayAddress, Lane, Record
from device_model.ports import JournalState
from device_model.ranges import Range


class SendOrder(msgspec.Struct, frozen=True):
    """Send the records first..last of the stream (epoch, lane); those already acknowledged may be left out.

    backlog: after the fact; the Batch says so. attempt: 0 for the first time.
    """

    lane: Lane
    epoch: str
    first: int
    last: int
    backlog: bool
    attempt: int = 0


class Outbox:
    """All lanes of one gateway. Not thread-safe; owned by one event loop."""

    def __init__(
        self, address: GatewayAddress, state: JournalState | None, now: Now,
        jitter: Callable[[], float] = lambda: 0.5,
    ) -> None:
        """state: what the journal knows; None while it cannot be opened: then all travels from memory.

        jitter: gives numbers 0 ≤ x < 1 (random.Random(seed).random); retries are spread by ±20 %.
        """
        raise NotImplementedError

    def journal_opened(self, state: JournalState, now: Now) -> None:
        """A journal that could not be opened at the start takes records now: new ones are assigned to it."""
        raise NotImplementedError

    def assign(self, lane: Lane, body: Body, now: Now) -> Record:
        """The next record of a lane, pending until committed (without a journal: sent from memory at once)."""
        raise NotImplementedError

    def to_commit(self, limit: int = 500) -> tuple[tuple[Lane, Record], ...]:
        """The oldest uncommitted records, the alarm lane first; the same again until committed."""
        raise NotImplementedError

    def committed(self, records: Sequence[tuple[Lane, Record]]) -> tuple[tuple[Lane, tuple[Range, ...]], ...]:
        """They are durable: they may be sent. Returns what to tell `store.acknowledge` (numbers declared lost)."""
        raise NotImplementedError

    def commit_failed(self, records: Sequence[tuple[Lane, Record]], now: Now) -> tuple[Record, ...]:
        """The disk did not take them: copies go out from memory at once (returned); the originals stay pending."""
        raise NotImplementedError

    @property
    def journal_ok(self) -> bool:
        """Whether the disk takes records: False from a failed or overdue commit until the next good one."""
        raise NotImplementedError

    def declare_lost(self, lane: Lane, ranges: Sequence[Range], reason: str, now: Now) -> Record | None:
        """Assign a LossRecord for numbers of the journal epoch (quota, unreadable rows); None when all of them
        are acknowledged or declared already. The store may forget the rows once `committed` returned them."""
        raise NotImplementedError

    def to_send(self, now: Now, lanes: Sequence[Lane] = tuple(Lane)) -> tuple[SendOrder, ...]:
        """What to send now, in this order: alarm lane first, live before backlog, within each lane's window.

        What is returned counts as in flight, and comes again when its retry time is over.
        """
        raise NotImplementedError

    def records_of(self, order: SendOrder) -> tuple[Record, ...] | None:
        """The records of an order that are still wanted, from memory; None when they must be read from the store."""
        raise NotImplementedError

    def sent(self, order: SendOrder, now: Now) -> None:
        """The broker took it: the time to the next try runs from now."""
        raise NotImplementedError

    def reconnected(self, now: Now) -> None:
        """The link is back: everything in flight is due at once, with its retry times from the start."""
        raise NotImplementedError

    def acknowledged(self, ack: BatchAck, now: Now) -> tuple[tuple[Lane, tuple[Range, ...]], ...]:
        """The far end has these. Returns what is new, to tell `store.acknowledge`. Numbers never stored and
        streams not ours are ignored."""
        raise NotImplementedError

    def heartbeat_last(self) -> dict[str, tuple[str, int]]:
        """lane → (epoch, last committed number), for the HeartbeatRecord."""
        raise NotImplementedError

    def backlog(self) -> int:
        """How many committed or memory records the far end has not acknowledged yet."""
        raise NotImplementedError

    def due_us(self) -> int | None:
        """Monotonic time (µs) at which `to_send` may have more to say without any call; None: never."""
        raise NotImplementedError
