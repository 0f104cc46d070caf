"""CentreLink (I/O): one site's connection to the brigade's monitoring centre over GB/T 26875.3 on TCP.

    store ──waiting notices, fires first──► frame ──► centre ──confirm──► sent (committed)
             no confirm: the same frame again, 3 times, at most 10 s apart; then a new connection, then again
    centre ──duty check, clock, initialise──► stream (committed) ──► confirm        a person answers the check
           ──query──► reply from the incident store

A frame that is not confirmed stays in the store: over kills, cuts and days. What the centre orders never clears an
alarm and never sets our clock; it is written down. Nothing but a person's click answers a duty check.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools

import msgspec
import structlog

from community_os.centre_words import CentreSettings, CentreWords, StateBody, decode_body, endpoint_of
from community_os.envelopes import PARTITIONS, CentreAskedEnvelope, encode_envelope, subject_of
from community_os.notice_store import Notice, NoticeStatus, NoticeStore
from community_os.store import IncidentStore, StoreCalls
from device_model.clock import SECOND_US, Clock
from device_model.errors import LocalFault, PeerError
from device_model.inventory import Inventory
from device_model.ports import Stream
from wire_codecs.gbt26875 import Command, Frame, FrameReader, RefusedFrame, Stamp, encode_frame
from wire_codecs.gbt26875_exchange import RETRIES, TIMEOUT_S, Finished
from wire_codecs.gbt26875_objects import UitdState, encode_unit
from wire_codecs.gbt26875_uitd import Asked, ClockGiven, DutyAsked, Uitd

TURN_S = 0.05
LOOK_EVERY_S = 0.25
HEARTBEAT_S = 25.0  # found practice: an empty send every 20 to 30 s
CONNECT_AGAIN_S = (1.0, 2.0, 5.0, 10.0)
READ_BYTES = 4096
LOOK_AT = 200  # waiting notices among which a fire is looked for
UTC_OFFSET_H = 8.0
_log = structlog.get_logger("tocsin.centre")


class CentreLink:
    """One site towards one centre."""

    def __init__(
        self, centre: CentreSettings, inventory: Inventory, store: IncidentStore, calls: StoreCalls, stream: Stream,
        clock: Clock, *, partitions: int = PARTITIONS, timeout_s: float = TIMEOUT_S, retries: int = RETRIES,
    ) -> None:
        self._centre, self._site, self._partitions = centre, inventory.site, partitions
        self._path = inventory.site.tenancy.path
        self._address = centre.sites[self._path]
        self._words = CentreWords(inventory)
        self._store, self._notices, self._calls = store, NoticeStore(store), calls
        self._stream, self._clock = stream, clock
        self._timeout_s, self._retries = timeout_s, retries
        self._endpoint = endpoint_of(centre.name)
        self.connected = False

    async def run(self) -> None:
        """Work until cancelled: connect, and again whenever the connection is lost."""
        failures = 0
        while True:
            try:
                reader, writer = await asyncio.open_connection(self._centre.host, self._centre.port)
            except OSError as error:
                _log.warning("the centre cannot be reached", centre=self._centre.name, reason=str(error))
            else:
                self.connected, failures = True, 0
                try:
                    await _Talk(self, reader, writer).run()
                except (OSError, PeerError, LocalFault) as error:
                    _log.warning("connection to the centre ended", centre=self._centre.name, reason=str(error))
                finally:
                    self.connected = False
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()
            await self._clock.sleep(CONNECT_AGAIN_S[min(failures, len(CONNECT_AGAIN_S) - 1)])
            failures += 1

    # --- what a talk uses ---------------------------------------------------------------------------------

    def uitd(self) -> Uitd:
        """A fresh session."""
        return Uitd(self._address, self._centre.centre, timeout_s=self._timeout_s, retries=self._retries)

    def stamp(self) -> Stamp:
        """Our time, local."""
        return Stamp.at(self._clock.now().wall_us, UTC_OFFSET_H)

    async def next_notice(self) -> tuple[Notice, bytes] | None:
        """The next one to send with its data unit: a fire before all else, but never before what its own detector
        said earlier. Those that cannot be said any more end as dead letters."""
        now_us = self._clock.now().wall_us
        due = await self._calls(lambda: self._notices.due(now_us, LOOK_AT, endpoint=self._endpoint, path=self._path))
        for notice in fires_first(due):
            try:
                return notice, encode_unit(self._words.objects(decode_body(notice.body), UTC_OFFSET_H))
            except ValueError as error:
                dead = msgspec.structs.replace(notice, status=NoticeStatus.DEAD, reason=str(error))
                await self._calls(functools.partial(self._notices.settle, dead, now_us))
        return None

    async def settle(self, notice: Notice, reason: str) -> None:
        """How it ended: confirmed, or to be sent again on a new connection."""
        now_us = self._clock.now().wall_us
        status = NoticeStatus.WAITING if reason else NoticeStatus.SENT
        ended = msgspec.structs.replace(notice, attempts=notice.attempts + 1, reason=reason, status=status)
        await self._calls(lambda: self._notices.settle(ended, now_us, next_us=now_us if reason else 0))

    async def asked(self, what: str, serial: int, minutes: int = 0, detail: str = "") -> None:
        """What the centre wants of people, into the stream: durable before it is confirmed."""
        now_us = self._clock.now().wall_us
        name = f"{self._centre.name}-{now_us // SECOND_US}-{serial}"
        envelope = CentreAskedEnvelope(self._path, self._centre.name, what, name, now_us, minutes, detail)
        await self._stream.publish(subject_of(self._site.tenancy, "centre", self._partitions),
                                   encode_envelope(envelope), message_id=f"centre-{self._path}-{name}-{what}")

    async def reply(self, asked: Asked) -> Frame:
        """The answer to a query, from what is stored now."""
        now_us = self._clock.now().wall_us
        view = await self._calls(lambda: self._store.snapshot(self._path, now_us))
        objects = self._words.answers(asked.objects, view.incidents, now_us, UTC_OFFSET_H)
        return Uitd.reply(asked, objects, self.stamp())

    def mono_us(self) -> int:
        """For time-outs."""
        return self._clock.now().mono_us

    async def pause(self, seconds: float) -> None:
        """Of the clock."""
        await self._clock.sleep(seconds)


def fires_first(due: list[Notice]) -> list[Notice]:
    """In the order of what happened, but a fire goes before the words of other detectors (GB 26875.1, 4.1.2.3)."""
    seen: set[str] = set()
    first: list[Notice] = []
    rest: list[Notice] = []
    for notice in due:
        try:
            body = decode_body(notice.body)
        except ValueError:
            return [notice, *(other for other in due if other is not notice)]  # its error is said by whoever reads it
        device = body.device if isinstance(body, StateBody) else ""
        (first if notice.urgent and device not in seen else rest).append(notice)
        if not notice.urgent:
            seen.add(device)
    return first + rest


class _Talk:
    """One connection."""

    def __init__(self, link: CentreLink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._link, self._reader, self._writer = link, reader, writer
        self._uitd = link.uitd()
        self._frames = FrameReader()
        self._flying: tuple[Notice, bytes] | None = None
        self._looked_us = self._said_us = 0

    async def run(self) -> None:
        """Talk until the connection ends or an exchange fails."""
        self._say_state()
        tasks = [asyncio.ensure_future(self._listen()), asyncio.ensure_future(self._turn())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _say_state(self) -> None:
        """A transmitter that connects says that it watches."""
        self._uitd.send([UitdState(1, self._link.stamp())])

    async def _listen(self) -> None:
        while octets := await self._reader.read(READ_BYTES):
            for frame in self._frames.feed(octets):
                if isinstance(frame, RefusedFrame):
                    denial = frame.denial(self._link.stamp())
                    if denial is not None:
                        await self._write(denial)
                else:
                    await self._take(frame)

    async def _take(self, frame: Frame) -> None:
        events, answers = self._uitd.take(frame, self._link.mono_us(), self._link.stamp())
        for event in events:
            if isinstance(event, DutyAsked):
                await self._link.asked("duty", frame.serial, event.answer_within_min)
            elif isinstance(event, ClockGiven):
                # Written down, never followed: our journal's time is not the centre's to step.
                await self._link.asked("clock", frame.serial, detail=str(event.at.wall_us(UTC_OFFSET_H)))
            elif isinstance(event, Asked) and frame.command == Command.REQUEST:
                answers = (*answers, await self._link.reply(event))
            elif isinstance(event, Asked):
                await self._link.asked("initialise", frame.serial)  # clears nothing
            elif isinstance(event, Finished):
                await self._finished(event)
        for answer in answers:  # after the commit: what is confirmed is stored
            await self._write(answer)

    async def _finished(self, event: Finished) -> None:
        flying = self._flying
        if flying is not None and event.unit == flying[1]:
            self._flying = None
            await self._link.settle(flying[0], event.reason if event.reply is None else "")
        if event.reply is None:
            raise PeerError(f"the centre does not confirm: {event.reason}")

    async def _turn(self) -> None:
        while True:
            now_us = self._link.mono_us()
            if not len(self._uitd.exchange):
                await self._feed(now_us)
            for one in self._uitd.exchange.due(self._link.mono_us(), self._link.stamp()):
                if isinstance(one, Finished):
                    await self._finished(one)
                else:
                    await self._write(one)
            await self._link.pause(TURN_S)

    async def _feed(self, now_us: int) -> None:
        """The next notice, or a sign of life."""
        if now_us - self._looked_us >= LOOK_EVERY_S * SECOND_US:
            self._looked_us = now_us
            self._flying = await self._link.next_notice()
            if self._flying is not None:
                self._uitd.exchange.ask(Command.SEND, self._flying[1], first=True)
                self._looked_us = 0
        if self._flying is None and now_us - self._said_us >= HEARTBEAT_S * SECOND_US:
            self._uitd.exchange.ask(Command.SEND, b"")
            self._said_us = now_us

    async def _write(self, frame: Frame) -> None:
        self._said_us = self._link.mono_us()
        self._writer.write(encode_frame(frame))
        await self._writer.drain()
