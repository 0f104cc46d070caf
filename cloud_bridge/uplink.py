"""Uplink (I/O): carries the outbox to the cloud, and what the cloud says back.

    outbox.to_send ──► one task per order ──► memory, or store.read~ ──► Batches ──► link.publish~
    link.messages~ ──► acknowledgement ──► outbox ──► store.acknowledge~ (gathered for 2 s: spares the SD card)
                  └──► command ──► the callback

Each order has a task of its own, so that neither a hung disk nor a slow PUBACK of telemetry holds an alarm. Live
alarms go at once; all else one batch at a time, paced (pace.py). The outbox's windows bound how many there are.
Nothing here is state: a restart begins with what the journal knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

import msgspec
import structlog

from cloud_bridge.budget import DayBudget
from cloud_bridge.downlink import read_down
from cloud_bridge.flights import SendOrder
from cloud_bridge.lanes import Outbox
from cloud_bridge.pace import Pace
from device_model.clock import SECOND_US, Clock
from device_model.command import Command
from device_model.errors import LocalFault, PeerError
from device_model.messages import (
    BATCH_BYTES_MAX,
    WIRE_VERSION,
    Batch,
    BatchAck,
    GatewayAddress,
    HeartbeatRecord,
    Lane,
    Record,
    encode,
)
from device_model.packing import packed
from device_model.ports import MessageLink, Store
from device_model.ranges import RangeSet

log = structlog.get_logger(__name__)

# How often it is looked whether the link is there: a cut uplink resumes within a second.
LINK_LOOK_S = 0.5
# Acknowledgements are gathered so long before the journal hears of them; a crash costs a repetition only.
ACKNOWLEDGE_GATHER_S = 2.0
# Room for the Batch's own fields around its records.
ENVELOPE_BYTES = 1024
# A batch is cut before it is packed, so that it is guessed how small it will be; no telemetry packs better.
GAIN_MAX = 12.0
# A send loop that finds itself due again at once still lets others run.
TURN_MIN_S = 0.01


class Uplink:
    """The outward side of one gateway."""

    def __init__(
        self, outbox: Outbox, store: Store, link: MessageLink, clock: Clock, address: GatewayAddress, *,
        heartbeat: Callable[[], HeartbeatRecord], command: Callable[[Command], None], heartbeat_s: float = 30.0,
        bytes_per_day: int = 0,
    ) -> None:
        """heartbeat: what to say of ourselves. command: takes each well-formed command, repeated ones too.
        bytes_per_day: what a metered link may carry; 0: it is not metered."""
        self._outbox, self._store, self._link, self._clock, self._address = outbox, store, link, clock, address
        self._heartbeat, self._command, self._heartbeat_s = heartbeat, command, heartbeat_s
        self._wake = asyncio.Event()
        self._orders: set[tuple[Lane, str, int, int]] = set()  # under way right now
        self._gathered: dict[Lane, RangeSet] = {}
        self._gathered_event = asyncio.Event()
        self._was_connected = False
        self._link_up = asyncio.Event()  # so that who has nothing to do without a link does not look by itself
        self._road = asyncio.Lock()  # bulk goes one batch at a time
        self._pace = Pace()
        self._reads: tuple[str, ...] = ()  # how the far end says that it can be sent batches packed
        self.budget = DayBudget(bytes_per_day, clock.now().mono_us)
        self._held_until_us = 0
        self._gain = 1.0  # what packing gave last
        self.garbled = 0  # messages from above that made no sense
        self.published = 0  # batches that the broker took

    def wake(self) -> None:
        """There may be something new to send."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        self._orders.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_link(), name="uplink watch")
            tasks.create_task(self._send_loop(tasks), name="uplink send")
            tasks.create_task(self._receive_loop(), name="uplink receive")
            tasks.create_task(self._acknowledge_loop(), name="uplink acknowledge")
            tasks.create_task(self._heartbeat_loop(), name="uplink heartbeat")

    # -- upward --------------------------------------------------------------------------------------------------

    async def _watch_link(self) -> None:
        while True:
            connected = self._link.connected
            self._link_up.set() if connected else self._link_up.clear()
            if connected and not self._was_connected:
                self._reads = ()  # perhaps an older ingest is behind it now; its first acknowledgement says
                self._outbox.reconnected(self._clock.now())
                self.wake()
            self._was_connected = connected
            await self._clock.sleep(LINK_LOOK_S)

    async def _send_loop(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            self._wake.clear()
            if self._link.connected:
                lanes = self._lanes()
                for order in self._outbox.to_send(self._clock.now(), lanes):
                    key = (order.lane, order.epoch, order.first, order.last)
                    # A repetition of an order that still waits for disk or broker would only wait beside it.
                    if key not in self._orders:
                        self._orders.add(key)
                        tasks.create_task(self._carry(order, key))
                due_us = min((at for at in (self._outbox.due_us(lanes), self._held_until_us) if at), default=None)
                await self._woken(None if due_us is None else (due_us - self._clock.now().mono_us) / SECOND_US)
            else:
                self._was_connected = False
                await self._woken(None)  # by the watch, when the link is back

    def _lanes(self) -> tuple[Lane, ...]:
        """What may go now: all, or alarms alone while the day's bytes are spent. What is postponed is said."""
        mono_us = self._clock.now().mono_us
        if self._held_until_us > mono_us:
            return (Lane.ALARM,)
        if self.budget.holds(mono_us):
            wait_s = self.budget.wait_s(mono_us)
            if not self._held_until_us:
                log.warning("metered link: the day's bytes are spent, all but alarms is postponed",
                            records=self._outbox.backlog(), wait_s=round(wait_s))
            self._held_until_us = mono_us + max(SECOND_US, round(wait_s * SECOND_US))
            return (Lane.ALARM,)
        if self._held_until_us:
            self._held_until_us = 0
            log.info("metered link: what was postponed goes on", records=self._outbox.backlog())
        return tuple(Lane)

    @property
    def postponed(self) -> int:
        """How many records wait because the day's bytes are spent."""
        return self._outbox.backlog() if self._held_until_us else 0

    async def _woken(self, within_s: float | None) -> None:
        """Return when somebody wakes us, or after that time."""
        waiting: list[asyncio.Future[object]] = [asyncio.ensure_future(self._wake.wait())]
        if within_s is not None:
            waiting.append(asyncio.ensure_future(self._clock.sleep(max(TURN_MIN_S, within_s))))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def _carry(self, order: SendOrder, key: tuple[Lane, str, int, int]) -> None:
        try:
            records = self._outbox.records_of(order)
            if records is None:
                records = await self._read(order)
            if order.lane is Lane.ALARM and not order.backlog:
                for batch in self._batches(order, records, BATCH_BYTES_MAX):
                    await self._publish(order.lane, encode(batch))
            else:
                await self._carry_bulk(order, records)
            self._outbox.sent(order, self._clock.now())
        except PeerError as error:
            log.debug("batch not taken", lane=str(order.lane), first=order.first, error=str(error))
            self._pace.lost()
            # A cut may be shorter than the time between two looks: then all that was under way goes again, too.
            self._was_connected = False
        except LocalFault as fault:
            log.warning("journal not read", lane=str(order.lane), first=order.first, error=str(fault))
        finally:
            self._orders.discard(key)

    async def _carry_bulk(self, order: SendOrder, records: Sequence[Record]) -> None:
        """One batch at a time, as large as the link takes in a moment, so that an alarm need not wait behind it."""
        at = 0
        while at < len(records):
            async with self._road:
                if order.lane is not Lane.ALARM and self.budget.holds(self._clock.now().mono_us):
                    return  # its turn comes again when there are bytes for it
                limit = round(self._pace.limit * (self._gain if self._reads else 1.0))
                batch = next(iter(self._batches(order, records[at:], limit)), None)
                if batch is None:
                    return  # what is left is too large for the wire, and declared
                await self._publish(order.lane, encode(batch))
            last = batch.records[-1].sequence
            at = next((place for place in range(at, len(records)) if records[place].sequence > last), len(records))

    async def _publish(self, lane: Lane, payload: bytes) -> None:
        """As small as the far end can read it."""
        if "deflate" in self._reads:
            small = packed(payload)
            self._gain = min(GAIN_MAX, len(payload) / len(small))
            payload = small
        began_us = self._clock.now().mono_us
        self.budget.spend(len(payload), began_us)  # also what is cut on its way is paid for
        await self._link.publish(self._address.up(lane), payload)
        self._pace.took(len(payload), (self._clock.now().mono_us - began_us) / SECOND_US)
        self.published += 1

    async def _read(self, order: SendOrder) -> tuple[Record, ...]:
        """From the disk; what the disk no longer has is declared lost, once."""
        records: list[Record] = []
        for first, last in self._outbox.wanted(order):
            rows = await self._store.read(order.lane, first, last, last - first + 1)
            records += rows
            found = RangeSet((row.sequence, row.sequence) for row in rows)
            missing = found.missing(first, last)
            if missing:
                self._outbox.declare_lost(order.lane, missing, "the journal does not give it back",
                                          self._clock.now())
        return tuple(records)

    def _batches(self, order: SendOrder, records: Sequence[Record], limit: int) -> Iterator[Batch]:
        """As few as that many bytes allow, one record at least (that of records is the order's already)."""
        group: list[Record] = []
        size = 0
        for record in records:
            bytes_more = len(encode(record)) + 1
            if bytes_more > BATCH_BYTES_MAX - ENVELOPE_BYTES:
                log.error("record too large for the wire", lane=str(order.lane), sequence=record.sequence)
                if order.epoch != self._outbox.memory_epoch:
                    self._outbox.declare_lost(order.lane, [(record.sequence,) * 2], "too large for the wire",
                                              self._clock.now())
                continue
            if group and size + bytes_more > min(limit, BATCH_BYTES_MAX) - ENVELOPE_BYTES:
                yield self._batch(order, group)
                group, size = [], 0
            group.append(record)
            size += bytes_more
        if group:
            yield self._batch(order, group)

    def _batch(self, order: SendOrder, records: Sequence[Record]) -> Batch:
        return Batch(WIRE_VERSION, self._address.gateway, order.epoch, order.lane, tuple(records), order.backlog)

    async def _heartbeat_loop(self) -> None:
        while True:
            await self._link_up.wait()
            if not self._link.connected:
                await self._clock.sleep(LINK_LOOK_S)  # cut since the watch looked
                continue
            body = msgspec.structs.replace(self._heartbeat(), postponed=self.postponed)
            now = self._clock.now()
            # The memory epoch names this life of the process: from it the ledger knows that an earlier life is over,
            # and that what only that one's memory held is lost.
            batch = Batch(WIRE_VERSION, self._address.gateway, self._outbox.memory_epoch, Lane.ALARM,
                          (Record(0, now.wall_us, now.mono_us, now.boot, body),))
            try:
                await self._publish(Lane.ALARM, encode(batch))
            except PeerError as error:
                log.debug("heartbeat not taken", error=str(error))
                await self._clock.sleep(LINK_LOOK_S)
                continue
            await self._clock.sleep(self._heartbeat_s)

    # -- downward ------------------------------------------------------------------------------------------------

    async def _receive_loop(self) -> None:
        async for message in self._link.messages():
            try:
                what = read_down(message, self._address)
            except ValueError as error:
                self.garbled += 1
                log.warning("message from above not understood", topic=message.topic, error=str(error))
                continue
            if isinstance(what, BatchAck):
                self._take_ack(what)
            else:
                self._command(what)

    def _take_ack(self, ack: BatchAck) -> None:
        self._reads = ack.reads
        for lane, ranges in self._outbox.acknowledged(ack, self._clock.now()):
            gathered = self._gathered.setdefault(lane, RangeSet())
            for first, last in ranges:
                gathered.add(first, last)
            self._gathered_event.set()
        # The window has room again.
        self.wake()

    async def _acknowledge_loop(self) -> None:
        while True:
            await self._gathered_event.wait()
            await self._clock.sleep(ACKNOWLEDGE_GATHER_S)
            self._gathered_event.clear()
            gathered, self._gathered = self._gathered, {}
            for lane, ranges in gathered.items():
                try:
                    await self._store.acknowledge(lane, tuple(ranges))
                except LocalFault as fault:
                    log.warning("acknowledgement not journaled yet", lane=str(lane), error=str(fault))
                    again = self._gathered.setdefault(lane, RangeSet())
                    for first, last in ranges:
                        again.add(first, last)
                    self._gathered_event.set()
