"""Listeners (I/O): lines whose devices connect to us, or speak by themselves: fire panels and stations.

    TCP server   bounded connections, one task each ┐
    TCP client   one connection, growing pauses     ├─► reader (frames) ─► FirePanels / Stations ─► emit, then answer
    UDP          one frame a datagram               ┘

All judgement is in fire_panel.py and station.py. An answer goes out only after every event of its frame was taken by
`emit`: a confirm says that the alarm is in the gateway's memory. One bad peer never stops others: each has its own
reader and bounds, and what it does wrong ends at most its own connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

import structlog

from device_drivers.driver import DriverEvent, Emit, LineDevice, LineState
from device_drivers.fire_panel import FirePanels
from device_drivers.station import Stations
from device_model.clock import Clock, Now
from device_model.errors import LocalFault, PeerGarbled
from device_model.site import Line, LineKind
from wire_codecs.gbt26875 import Frame, FrameReader, RefusedFrame, decode_frame, encode_frame
from wire_codecs.hj212 import Packet, PacketReader, RefusedPacket, encode_packet
from wire_codecs.hj212_cipher import KEY_BYTES, decrypt_with, encrypt_with

_log = structlog.get_logger(__name__)
CONNECTIONS_MAX = 64  # more devices than any site has; a port scanner must not take the memory
PIECE_BYTES = 4096
LOOK_EVERY_S = 0.25
UNFINISHED_S = 2.0  # a frame that has begun is there within this, or its beginning is dropped
WRITE_LIMIT_BYTES = 64 * 1024  # a peer that does not read its answers is cut off
DATAGRAMS_MAX = 256  # waiting to be judged; what comes on top is dropped, and sent again by its device
RECONNECT_FIRST_S = 1.0
_F = TypeVar("_F")


class _Peer:
    """One connection or one UDP sender."""

    def __init__(self, number: int, name: str, write: Callable[[bytes], None]) -> None:
        self.number, self.name, self.write = number, name, write


class _Listener(ABC, Generic[_F]):
    """What all lines of this kind share. Subclasses say what a frame is and who judges it."""

    def __init__(self, line: Line, clock: Clock, emit: Emit) -> None:
        self._line, self._clock, self._emit = line, clock, emit
        self._peers: dict[int, _Peer] = {}
        self._next_peer = 0
        self._up: bool | None = None
        self.port = 0  # where we listen, once we do
        self.turned_away = 0  # connections past the bound

    # -- for subclasses ----------------------------------------------------------------------------------------

    @abstractmethod
    def _feed(self, reader: object, received: bytes) -> tuple[_F, ...]:
        """Frames that are whole now."""

    @abstractmethod
    def _give_up(self, reader: object) -> tuple[_F, ...]:
        """What can still be read after silence in the middle of a frame."""

    @abstractmethod
    def _new_reader(self) -> object:
        """A reader for one peer."""

    @abstractmethod
    def _judge(self, peer: int, frame: _F, now: Now) -> tuple[Sequence[DriverEvent], Sequence[tuple[int, bytes]]]:
        """What a frame means, and the answers to send."""

    @abstractmethod
    def _time_passes(self, now: Now) -> tuple[Sequence[DriverEvent], Sequence[tuple[int, bytes]]]:
        """Silence, retries and duties that are due."""

    def _gone(self, peer: int, now: Now) -> None:
        """A connection ended."""

    @abstractmethod
    def _forget(self) -> None:
        """All peers are gone."""

    @abstractmethod
    def _down(self, detail: str, now: Now) -> Sequence[DriverEvent]:
        """The line itself cannot be had."""

    # -- running -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        watcher = asyncio.ensure_future(self._watch())
        try:
            if self._line.kind is LineKind.GBT26875_TCP_CLIENT:
                await self._call()
            elif self._line.kind is LineKind.GBT26875_UDP:
                await self._hear_datagrams()
            else:
                await self._serve()
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)

    async def write(self, device: str, point: str, value: bool | float) -> None:
        """Raises LocalFault: nothing on these lines is switched (law 5)."""
        raise LocalFault(f"{device}.{point} is on line {self._line.id}, which is monitor-only")

    async def _serve(self) -> None:
        """Listen; a port that cannot be had is said, and tried again."""
        pause_s = RECONNECT_FIRST_S
        while True:
            tasks: set[asyncio.Task[None]] = set()

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
                       tasks: set[asyncio.Task[None]] = tasks) -> None:
                if len(tasks) >= CONNECTIONS_MAX:
                    self.turned_away += 1
                    writer.transport.abort()
                    return
                task = asyncio.ensure_future(self._converse(reader, writer))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

            try:
                server = await asyncio.start_server(accept, self._line.host, self._line.port, limit=PIECE_BYTES)
            except OSError as problem:
                self._say_down(f"port {self._line.port} cannot be had: {problem.strerror or problem}")
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, self._line.reconnect_max_s)
                continue
            self.port = server.sockets[0].getsockname()[1]
            self._say_up()
            try:
                async with contextlib.AsyncExitStack() as stack:
                    stack.callback(server.close)
                    await server.serve_forever()
            finally:
                for task in tuple(tasks):
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _call(self) -> None:
        """Connect to the one device of the line, for ever."""
        pause_s = RECONNECT_FIRST_S
        while True:
            try:
                reader, writer = await asyncio.open_connection(self._line.host, self._line.port, limit=PIECE_BYTES)
            except OSError as problem:
                where = f"{self._line.host}:{self._line.port}"
                self._say_down(f"{where} cannot be reached: {problem.strerror or problem}")
            else:
                pause_s = RECONNECT_FIRST_S
                self._say_up()
                await self._converse(reader, writer)
                self._say_down("the connection ended", devices=False)  # devices have their own limit of silence
            await self._clock.sleep(pause_s)
            pause_s = min(2 * pause_s, self._line.reconnect_max_s)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection until it ends. Nothing that the peer does leaves it."""

        def write(octets: bytes) -> None:
            if writer.transport.get_write_buffer_size() > WRITE_LIMIT_BYTES:
                writer.transport.abort()
            elif not writer.is_closing():
                writer.write(octets)

        peer = self._enter(str((writer.get_extra_info("peername") or ("?",))[0]), write)
        frames = self._new_reader()
        try:
            while True:
                received = await self._read(reader, frames, peer)
                if not received:
                    break
                for frame in self._feed(frames, received):
                    self._take(peer, frame)
        except OSError as problem:
            _log.info("connection_lost", line=self._line.id, peer=peer.name, problem=str(problem))
        finally:
            self._peers.pop(peer.number, None)
            self._gone(peer.number, self._clock.now())
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, frames: object, peer: _Peer) -> bytes:
        """The next bytes; while a frame is unfinished its time runs."""
        reading = asyncio.ensure_future(reader.read(PIECE_BYTES))
        try:
            while not reading.done():
                if not len(frames):  # type: ignore[arg-type]  # both readers know how much they hold
                    await asyncio.wait((reading,))
                    continue
                limit = asyncio.ensure_future(self._clock.sleep(UNFINISHED_S))
                try:
                    await asyncio.wait((reading, limit), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    limit.cancel()
                if not reading.done():
                    for frame in self._give_up(frames):
                        self._take(peer, frame)
            return reading.result()
        finally:
            reading.cancel()

    async def _hear_datagrams(self) -> None:
        waiting: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue(DATAGRAMS_MAX)
        loop = asyncio.get_running_loop()
        pause_s = RECONNECT_FIRST_S
        while True:
            try:
                transport, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(waiting), local_addr=(self._line.host, self._line.port))
                break
            except OSError as problem:
                self._say_down(f"port {self._line.port} cannot be had: {problem.strerror or problem}")
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, self._line.reconnect_max_s)
        self.port = transport.get_extra_info("sockname")[1]
        self._say_up()
        senders: dict[tuple[str, int], _Peer] = {}
        try:
            while True:
                octets, address = await waiting.get()
                peer = senders.get(address)
                if peer is None:
                    if len(senders) >= CONNECTIONS_MAX:  # the longest known goes; it is entered anew when it speaks
                        old = senders.pop(next(iter(senders)))
                        self._peers.pop(old.number, None)
                        self._gone(old.number, self._clock.now())
                    peer = senders[address] = self._enter(address[0], partial(_send_to, transport, address))
                for frame in self._feed(None, octets):
                    self._take(peer, frame)
        finally:
            transport.close()

    # -- in and out --------------------------------------------------------------------------------------------

    def _enter(self, name: str, write: Callable[[bytes], None]) -> _Peer:
        self._next_peer += 1
        peer = self._peers[self._next_peer] = _Peer(self._next_peer, name, write)
        return peer

    def _take(self, peer: _Peer, frame: _F) -> None:
        """Judge one frame, hand its events on, then answer."""
        try:
            self._do(*self._judge(peer.number, frame, self._clock.now()))
        except Exception as problem:  # noqa: BLE001
            # Task boundary: a frame that trips a fault of ours must not deafen the line; unanswered, it comes again.
            _log.exception("frame_failed", line=self._line.id, peer=peer.name, problem=str(problem))

    def _do(self, events: Sequence[DriverEvent], answers: Sequence[tuple[int, bytes]]) -> None:
        try:
            for event in events:
                self._emit(event)
        except BaseException:
            self._forget()  # or what was not taken would count as said, and a fire would not be said again
            raise
        for number, octets in answers:
            peer = self._peers.get(number)
            if peer is not None:
                peer.write(octets)

    async def _watch(self) -> None:
        while True:
            try:
                self._do(*self._time_passes(self._clock.now()))
            except Exception as problem:  # noqa: BLE001
                # Task boundary: the watch for silence must itself never fall silent.
                _log.exception("silence_watch_failed", line=self._line.id, problem=str(problem))
            await self._clock.sleep(LOOK_EVERY_S)

    def _say_up(self) -> None:
        if self._up is not True:
            self._up = True
            self._emit(LineState(self._line.id, True, "", self._clock.now()))

    def _say_down(self, detail: str, *, devices: bool = True) -> None:
        now = self._clock.now()
        if self._up is not False:
            self._up = False
            self._emit(LineState(self._line.id, False, detail, now))
        if devices:
            for event in self._down(detail, now):
                self._emit(event)


def _send_to(transport: asyncio.DatagramTransport, address: tuple[str, int], octets: bytes) -> None:
    transport.sendto(octets, address)


class _Datagrams(asyncio.DatagramProtocol):
    """Puts datagrams into a bounded queue."""

    def __init__(self, waiting: asyncio.Queue[tuple[bytes, tuple[str, int]]]) -> None:
        self._waiting = waiting
        self.dropped = 0

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """One datagram; dropped, counted, when too many wait: its device sends it again."""
        if self._waiting.full():
            self.dropped += 1
            if self.dropped & (self.dropped - 1) == 0:  # at 1, 2, 4 …: said without flooding the log
                _log.warning("datagrams_dropped", count=self.dropped)
            return
        self._waiting.put_nowait((data, (addr[0], addr[1])))


class PanelListener(_Listener[Frame | RefusedFrame]):
    """A line of fire panels' transmission devices: TCP server, TCP client or UDP."""

    def __init__(self, line: Line, devices: Sequence[LineDevice], clock: Clock, emit: Emit) -> None:
        super().__init__(line, clock, emit)
        self.panels = FirePanels(line.id, devices, clock.now())

    def ask_duty(self, device: str, answer_within_min: int) -> bool:
        """A person asks whether somebody is at that transmission device. False: not connected."""
        return self.panels.ask_duty(device, answer_within_min, self._clock.now())

    def answer_duty(self, check: str) -> str:
        """A person answered a duty check: "" when the answer is on its way to its asker, else why not."""
        return self.panels.answer_duty(check, self._clock.now())

    def _new_reader(self) -> object:
        return FrameReader()

    def _feed(self, reader: object, received: bytes) -> tuple[Frame | RefusedFrame, ...]:
        if isinstance(reader, FrameReader):
            return reader.feed(received)
        try:
            return (decode_frame(received),)
        except PeerGarbled as problem:
            return (RefusedFrame(str(problem), received),)

    def _give_up(self, reader: object) -> tuple[Frame | RefusedFrame, ...]:
        return reader.give_up() if isinstance(reader, FrameReader) else ()

    def _judge(self, peer: int, frame: Frame | RefusedFrame, now: Now) \
            -> tuple[Sequence[DriverEvent], Sequence[tuple[int, bytes]]]:
        turn = self.panels.take(peer, frame, now)
        return turn.events, [(to, encode_frame(answer)) for to, answer in turn.frames]

    def _time_passes(self, now: Now) -> tuple[Sequence[DriverEvent], Sequence[tuple[int, bytes]]]:
        turn = self.panels.look(now)
        return turn.events, [(to, encode_frame(answer)) for to, answer in turn.frames]

    def _gone(self, peer: int, now: Now) -> None:
        self.panels.closed(peer, now)

    def _forget(self) -> None:
        self.panels.forget()

    def _down(self, detail: str, now: Now) -> Sequence[DriverEvent]:
        return self.panels.line_down(detail, now).events


class StationListener(_Listener[Packet | RefusedPacket]):
    """A line of environment stations that connect to us."""

    def __init__(self, line: Line, devices: Sequence[LineDevice], clock: Clock, emit: Emit, *,
                 password: str = "", key: bytes = b"", fault: str = "") -> None:
        """key: SM4 key of HJ 212-2025, 16 bytes, b"" for plain text; it stands in no log and in no error.

        fault: why this line is not to be opened at all.
        """
        super().__init__(line, clock, emit)
        if key and len(key) != KEY_BYTES:
            raise LocalFault(f"line {line.id}: its SM4 key must have {KEY_BYTES} bytes, this one has {len(key)}")
        self.stations = Stations(line.id, devices, clock.now(), password=password)
        self._fault = fault
        self._encrypt = partial(encrypt_with, key) if key else None
        self._decrypt = partial(decrypt_with, key) if key else None

    async def run(self) -> None:
        """Until cancelled. A line whose secrets cannot be read stays down."""
        while self._fault:
            self._say_down(self._fault)
            await self._clock.sleep(self._line.reconnect_max_s)
        await super().run()

    def _new_reader(self) -> object:
        return PacketReader(self._decrypt)

    def _feed(self, reader: object, received: bytes) -> tuple[Packet | RefusedPacket, ...]:
        return reader.feed(received) if isinstance(reader, PacketReader) else ()

    def _give_up(self, reader: object) -> tuple[Packet | RefusedPacket, ...]:
        return reader.give_up() if isinstance(reader, PacketReader) else ()

    def _judge(self, peer: int, frame: Packet | RefusedPacket, now: Now) \
            -> tuple[Sequence[DriverEvent], Sequence[tuple[int, bytes]]]:
        turn = self.stations.take(peer, frame, now)
        return turn.events, self._encoded(turn.packets)

    def _encoded(self, packets: Sequence[tuple[int, Packet]]) -> list[tuple[int, bytes]]:
        answers = []
        for to, answer in packets:
            with contextlib.suppress(ValueError):  # it sent a QN, PW or MN that cannot be echoed: it gets no answer
                answers.append((to, encode_packet(answer, self._encrypt)))
        return answers

    def _time_passes(self, now: Now) -> tuple[Sequence[DriverEvent], Sequence[tuple[int, bytes]]]:
        turn = self.stations.look(now)
        return turn.events, self._encoded(turn.packets)

    def _gone(self, peer: int, now: Now) -> None:
        self.stations.closed(peer)

    def _forget(self) -> None:
        self.stations.forget()

    def _down(self, detail: str, now: Now) -> Sequence[DriverEvent]:
        return self.stations.line_down(detail, now).events


def listens(line: Line) -> bool:
    """Whether a line is of a kind that this file runs."""
    return line.kind.protocol in ("gbt26875", "hj212")


def station_secrets(line: str, text: str) -> tuple[str, bytes]:
    """What a station line's `password_file` holds: PW in its first line, and where its stations encrypt (HJ 212-2025)
    the SM4 key in a second one, `sm4 ` and 32 hex digits. LocalFault names the line and never the secret."""
    word, _, rest = text.partition("\n") if not text.startswith("sm4 ") else ("", "", text)  # no PW, only a key
    if not rest.strip():
        return word.strip(), b""
    mark, _, digits = rest.strip().partition(" ")
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if mark != "sm4" or len(key) != KEY_BYTES:
        raise LocalFault(f"line {line}: the second line of its password_file must be `sm4 ` and 32 hex digits")
    return word.strip(), key


def listener_for(
    line: Line, devices: Sequence[LineDevice], clock: Clock, emit: Emit, *, password: str = "", key: bytes = b"",
) -> PanelListener | StationListener:
    """The driver of a listening line. `password`: what stations must send as PW, "" for any; `key`: their
    SM4 key (2025), b"" where they send plain text. LocalFault: a key of another length."""
    if line.kind.protocol == "gbt26875":
        return PanelListener(line, devices, clock, emit)
    try:
        word, found = station_secrets(line.id, password)
    except LocalFault as fault:  # said as a line that is down: the others go on, and none opens without its key
        return StationListener(line, devices, clock, emit, fault=str(fault))
    return StationListener(line, devices, clock, emit, password=word, key=key or found)
