"""Ingest (I/O shell): from the broker into the stream, each record once, and only then acknowledged.

    link ─► read_message ─► queue of its site ─► ledger: what is fresh? ─► stream.publish ─► ledger ─► BatchAck
              │ refused: counted, kept as dead letter, never acknowledged     │ unknown outcome: ask the stream,
              ▼                                                               ▼ try again with the same id

A site's batches are handled one after another, sites side by side. What does not fit into the bounded queues is
dropped and counted: nobody acknowledged it, so the gateway sends it again. All waiting goes through the Clock,
so that the simulation runs this very file.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
import structlog

from community_os.envelopes import PARTITIONS, UpEnvelope, encode_envelope, subject_of
from community_os.intake import DeadLetters, Intake, acknowledged_ranges, message_id, read_message
from community_os.ledger import GapState
from community_os.ledger_keeper import LedgerKeeper, SiteLedger
from device_model.errors import PeerRefused, PeerSilent
from device_model.messages import WIRE_VERSION, Batch, BatchAck, Record, encode
from device_model.packing import PACKINGS
from device_model.ports import Clock, Message, MessageLink, StaleRevision, Stream, StreamMessage

CHECKPOINT_EVERY_S = 5.0
TRY_AGAIN_S = (0.1, 0.2, 0.5, 1.0, 2.0)
# Half a second of one site at full speed. A gateway has some dozens of batches on the way, so that more waiting
# than this means a stream that is down or a site that floods.
SITE_QUEUE_MAX = 1024
# All that waits, together: then the link itself is no longer read, and its own bounded queue fills.
QUEUE_BYTES_MAX = 64 * 1024 * 1024
# Reading the link gives way to the sites' tasks this often, or a burst would overflow queues that could drain.
YIELD_EVERY = 16
# Messages older than the stream's limits are gone; a replay that hears nothing for so long goes on without them.
REPLAY_SILENCE_S = 30.0

_log = structlog.get_logger("tocsin.ingest")
T = TypeVar("T")


class IngestFigures(msgspec.Struct):
    """Counters since the start. overflowed and refused messages were not acknowledged."""

    received: int = 0
    refused: int = 0
    overflowed: int = 0
    batches_stored: int = 0
    records_stored: int = 0
    duplicates: int = 0
    acknowledged: int = 0
    acknowledgements_lost: int = 0
    unknown_outcomes: int = 0
    gaps_opened: int = 0
    replayed: int = 0


class Ingest:
    """Runs until its link is closed or its task cancelled. Raises StaleRevision when another ingest took over.

    writer: names this very process life; two ingests never share one.
    """

    def __init__(
        self, link: MessageLink, stream: Stream, clock: Clock, *, writer: str, partitions: int = PARTITIONS,
    ) -> None:
        self._link = link
        self._stream = stream
        self._clock = clock
        self._partitions = partitions
        self._keeper = LedgerKeeper(stream, self._replay, writer)
        self._queues: dict[str, deque[tuple[Message, Intake]]] = {}
        self._waiting_bytes = 0
        self._room = asyncio.Event()
        self._catching_up = asyncio.Lock()
        self._looks_begun = 0
        self._look_done = 0
        self.figures = IngestFigures()
        self.dead_letters = DeadLetters()
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Take over the ledger, then serve."""
        self.figures.replayed = await self._patiently(self._keeper.open)
        _log.info("ingest ready", replayed=self.figures.replayed)
        self.ready.set()
        try:
            async with asyncio.TaskGroup() as group:
                saver = group.create_task(self._save_regularly())
                await self._receive(group)
                saver.cancel()
        except BaseExceptionGroup as failures:
            # One cause is the news; a group of one hides its type from callers that wait for StaleRevision.
            raise failures.exceptions[0] from failures
        await self._patiently(self._keeper.save)

    async def _receive(self, group: asyncio.TaskGroup) -> None:
        async with _closed_after(self._link.messages()) as messages:
            async for message in messages:
                self.figures.received += 1
                try:
                    intake = read_message(message)
                except ValueError as error:
                    self._refuse(message, str(error))
                else:
                    self._queue(message, intake, group)
                if self.figures.received % YIELD_EVERY == 0:
                    await self._clock.sleep(0)
                while self._waiting_bytes > QUEUE_BYTES_MAX:
                    self._room.clear()
                    await self._room.wait()

    def _queue(self, message: Message, intake: Intake, group: asyncio.TaskGroup) -> None:
        """Let it wait its turn among its site's messages."""
        queue = self._queues.get(intake.path)
        if queue is None:
            queue = self._queues[intake.path] = deque()
            group.create_task(self._drain(intake.path, queue))
        if len(queue) >= SITE_QUEUE_MAX:
            self._overflow(intake)
            return
        queue.append((message, intake))
        self._waiting_bytes += intake.size

    async def _drain(self, path: str, queue: deque[tuple[Message, Intake]]) -> None:
        """Handle what waits for one site, in order; the task ends with the queue."""
        while queue:
            message, intake = queue.popleft()
            try:
                await self._enter(message, intake)
            except StaleRevision:
                raise
            except Exception:  # noqa: BLE001 - the boundary of one site: its fault must not stop the others
                _log.exception("a batch could not be handled", site=path)
                self._refuse(message, "internal error")
            self._waiting_bytes -= intake.size
            self._room.set()
        del self._queues[path]

    async def _enter(self, message: Message, intake: Intake) -> None:
        """Store what is fresh of a batch, however often it takes, and acknowledge what is known."""
        arrived_us = self._clock.now().wall_us
        attempt = 0
        while True:
            site = await self._patiently(lambda: self._keeper.site(intake.path))
            try:
                fresh = site.ledger.fresh(intake.batch)
                if not fresh:
                    self.figures.duplicates += len(intake.batch.records)
                    break
                sequence_known = await self._publish(site, intake, fresh_batch(intake.batch, fresh), arrived_us)
            except (ValueError, PeerRefused) as error:
                self._keeper.end(site)
                self._refuse(message, str(error))
                return
            if sequence_known:
                self.figures.duplicates += len(intake.batch.records) - len(fresh)
                break
            self.figures.unknown_outcomes += 1
            begun = self._looks_begun
            await self._clock.sleep(TRY_AGAIN_S[min(attempt, len(TRY_AGAIN_S) - 1)])
            attempt += 1
            await self._catch_up(begun)
        await self._acknowledge(site, intake)

    async def _publish(self, site: SiteLedger, intake: Intake, batch: Batch, arrived_us: int) -> bool:
        """Publish and enter; False where the outcome is unknown."""
        envelope = UpEnvelope(intake.path, arrived_us, batch)
        self._keeper.begin(site)
        try:
            sequence = await self._stream.publish(
                subject_of(intake.address.tenancy, "up", self._partitions), encode_envelope(envelope),
                message_id=message_id(intake.address, batch, batch.records),
            )
        except PeerSilent as error:
            _log.warning("the stream does not answer; trying again", site=intake.path, reason=str(error))
            return False
        applied = self._keeper.stored(site, batch, sequence, arrived_us)
        self.figures.batches_stored += 1
        self.figures.records_stored += len(applied.fresh)
        self.figures.gaps_opened += sum(change.state is GapState.OPENED for change in applied.changes)
        return True

    async def _acknowledge(self, site: SiteLedger, intake: Intake) -> None:
        """Tell the gateway what is stored, the duplicates included. A lost one heals by the next."""
        batch = intake.batch
        known = site.ledger.known(batch.gateway, batch.epoch, batch.lane)
        ranges = acknowledged_ranges(batch, known)
        if not ranges or not any(record.sequence for record in batch.records):
            return  # heartbeats are not in a stream: there is nothing to forget
        ack = BatchAck(WIRE_VERSION, batch.epoch, batch.lane, ranges, PACKINGS)
        try:
            await self._link.publish(intake.address.down("ack"), encode(ack))
            self.figures.acknowledged += 1
        except PeerSilent:
            self.figures.acknowledgements_lost += 1

    async def _catch_up(self, begun: int) -> None:
        """Ask the stream what it holds. Sites that failed share a look; only one that began after the failure
        (when `begun` looks had begun) is worth anything to it."""
        async with self._catching_up:
            if self._look_done > begun:
                return
            self._looks_begun += 1
            look = self._looks_begun
            await self._patiently(self._keeper.catch_up)
            self._look_done = look

    async def _save_regularly(self) -> None:
        while True:
            await self._clock.sleep(CHECKPOINT_EVERY_S)
            await self._patiently(self._keeper.save)

    async def _replay(self, after: int, until: int) -> AsyncGenerator[StreamMessage, None]:
        """The stream's messages in after..until; ends also where the last of them are gone by age."""
        async with _closed_after(self._stream.read(after, "site.>")) as messages:
            while True:
                message = await self._within(REPLAY_SILENCE_S, anext(messages))
                if message is None:
                    _log.error("the stream no longer holds what a replay needs", after=after, until=until)
                    return
                if message.sequence <= until:
                    yield message
                if message.sequence >= until:
                    return

    async def _within(self, limit_s: float, wanted: Awaitable[T]) -> T | None:
        """What is awaited, or None when the clock says that it took too long."""
        asked = asyncio.ensure_future(wanted)
        timer = asyncio.ensure_future(self._clock.sleep(limit_s))
        try:
            await asyncio.wait((asked, timer), return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                return asked.result()
            return None
        finally:
            for task in (asked, timer):
                task.cancel()
            await asyncio.gather(asked, timer, return_exceptions=True)

    async def _patiently(self, action: Callable[[], Awaitable[T]]) -> T:
        """Repeat until the stream answers."""
        attempt = 0
        while True:
            try:
                return await action()
            except PeerSilent as error:
                if attempt == 0:
                    _log.warning("the stream does not answer; waiting for it", reason=str(error))
                await self._clock.sleep(TRY_AGAIN_S[min(attempt, len(TRY_AGAIN_S) - 1)])
                attempt += 1

    def _refuse(self, message: Message, reason: str) -> None:
        self.figures.refused += 1
        count = self.dead_letters.add(message, reason, self._clock.now().wall_us)
        if count & (count - 1) == 0:  # 1, 2, 4, 8 … : the first is said, a flood is not
            _log.warning("message refused", topic=message.topic[:200], reason=reason[:200], times=count)

    def _overflow(self, intake: Intake) -> None:
        self.figures.overflowed += 1
        count = self.figures.overflowed
        if count & (count - 1) == 0:
            _log.warning("a site's queue is full; the gateway will send again", site=intake.path, times=count)


@asynccontextmanager
async def _closed_after(iterator: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """A port's iterator, closed in this task and not some time later by the garbage collector."""
    try:
        yield iterator
    finally:
        if isinstance(iterator, AsyncGenerator):
            await iterator.aclose()


def fresh_batch(batch: Batch, fresh: tuple[Record, ...]) -> Batch:
    """The batch with only its fresh records."""
    return batch if len(fresh) == len(batch.records) else msgspec.structs.replace(batch, records=fresh)
