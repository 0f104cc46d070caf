"""Modbus lines (I/O): TCP and TLS ports, pseudo terminals paced like a serial line, and real serial ports.

    master ──bytes──► Framing ──Request──► line_answers (world, faults, bugs) ──► bytes, delayed or paced
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import tty
from collections import deque
from collections.abc import Callable
from pathlib import Path

import serial
import structlog

from device_model.clock import SECOND_US, Clock
from device_model.errors import LocalFault
from firmware_sim.faults import FaultKind, Outgoing
from firmware_sim.line_tls import LineKeys
from firmware_sim.modbus_device import Framing, NotModbus, RtuFrames, TcpFrames
from firmware_sim.modbus_line import line_answers
from firmware_sim.pace import LinePace
from firmware_sim.scenario_lines import Parity, SimLine
from firmware_sim.world import SimWorld

# A device server bears a handful of masters.
CONNECTIONS_MAX = 32
# Replies that wait behind a delayed one, a connection; a master that sends more gets no answer for it.
WAITING_MAX = 64
_READ_CHUNK = 4096
# A pty hands bytes over in jittering chunks, so a pause must be well beyond t3.5 to mean the end of a frame.
_PAUSE_MIN_US = 300_000

_log = structlog.get_logger("sim")
Note = Callable[[int, bool, bytes], None]


class TcpLine:
    """One Modbus TCP port. Plain protocol objects, no streams: a thousand of these share one core."""

    def __init__(
        self, line: SimLine, world: SimWorld, clock: Clock, at_s: Callable[[], float], note: Note | None = None,
    ) -> None:
        self.line, self.world, self.clock, self.at_s, self.note = line, world, clock, at_s, note
        self.open: set[_Connection] = set()
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._was_half_open = False
        self._turned_s = 0.0

    async def start(self) -> str:
        """Listen. Raises LocalFault when the port is taken."""
        line = self.line
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: _Connection(self), line.host, line.port, ssl=self._secure())
        except OSError as error:
            raise LocalFault(
                f"line {line.id}: cannot listen on {line.host}:{line.port} ({error.strerror}): "
                "another program has the port; end it, or write port: 0 for any free one") from error
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    def _secure(self) -> ssl.SSLContext | None:
        """What encrypts the line, if anything does."""
        return None

    def turn(self, at_s: float) -> None:
        """Time passed: half-open connections, babble."""
        faults = self.world.faults[self.line.id]
        half_open = faults.lasts(FaultKind.HALF_OPEN, at_s)
        if half_open and not self._was_half_open:
            for connection in self.open:
                connection.dead = True  # stays so even when the fault is over; a reconnect helps
        self._was_half_open = half_open
        babble = faults.babble(at_s, at_s - self._turned_s)
        self._turned_s = at_s
        for connection in self.open if babble else ():
            connection.put(babble)

    async def close(self) -> None:
        """Stop listening and drop all connections."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self.open):
            connection.drop()
        await asyncio.sleep(0)


class TlsLine(TcpLine):
    """Modbus/TCP Security: the same frames inside TLS. The fault `certificate_expired` ends all connections, and
    every new handshake shows a certificate that ended yesterday."""

    def _secure(self) -> ssl.SSLContext:
        self._keys = LineKeys(Path(self.line.ca_file), self.line.host)
        self._expired = False
        return self._keys.show(expired=False)

    def turn(self, at_s: float) -> None:
        """Time passed: the certificate ends, or there is a new one."""
        super().turn(at_s)
        expired = self.world.faults[self.line.id].lasts(FaultKind.CERTIFICATE_EXPIRED, at_s)
        if expired != self._expired:
            self._expired = expired
            self._keys.show(expired=expired)
            for connection in tuple(self.open):
                connection.drop()

    async def close(self) -> None:
        """Stop listening, drop all connections, forget the keys."""
        await super().close()
        self._keys.forget()


class _Connection(asyncio.Protocol):
    """One master's connection. Replies keep their order, delayed ones too."""

    def __init__(self, line: TcpLine) -> None:
        self.dead = False
        self._line = line
        self._frames = TcpFrames()
        self._transport: asyncio.Transport | None = None
        self._late: deque[Outgoing] = deque()
        self._speaking: asyncio.Task[None] | None = None
        self._number = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if len(self._line.open) >= CONNECTIONS_MAX:
            transport.abort()
            return
        self._transport = transport
        self._number = self._line.connections
        self._line.connections += 1
        self._line.open.add(self)

    def data_received(self, octets: bytes) -> None:
        line = self._line
        if line.note is not None:
            line.note(self._number, False, octets)
        try:
            requests = self._frames.feed(octets)
        except NotModbus:
            _log.info("connection ended", line=line.line.id, why="NotModbus")
            self.drop()
            return
        for request in requests if not self.dead else ():
            for out in line_answers(line.world, line.line, request, Framing.TCP, line.at_s()):
                self._send(out)

    def _send(self, out: Outgoing) -> None:
        if out.delay_s <= 0.0 and self._speaking is None:
            self.put(out.octets)
        elif len(self._late) < WAITING_MAX:
            self._late.append(out)
            if self._speaking is None:
                self._speaking = asyncio.get_running_loop().create_task(self._speak())

    async def _speak(self) -> None:
        while self._late:
            out = self._late.popleft()
            if out.delay_s > 0.0:
                await self._line.clock.sleep(out.delay_s)
            self.put(out.octets)
        self._speaking = None

    def put(self, octets: bytes) -> None:
        """Send now, whatever waits."""
        if self._transport is not None:
            if self._line.note is not None:
                self._line.note(self._number, True, octets)
            self._transport.write(octets)

    def drop(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        self._line.open.discard(self)
        self._transport = None
        if self._speaking is not None:
            self._speaking.cancel()


class PtyLine:
    """One RTU line on a pseudo terminal."""

    def __init__(
        self, line: SimLine, world: SimWorld, clock: Clock, at_s: Callable[[], float], note: Note | None = None,
    ) -> None:
        self._line, self._world, self._clock, self._at_s, self._note = line, world, clock, at_s, note
        self._pace = LinePace(line.baud, line.bits_per_character, line.turnaround_s)
        self._frames = RtuFrames()
        self._master, self._slave = -1, -1
        self._heard_us = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._turned_s = 0.0

    async def start(self) -> str:
        """Open the port. Raises LocalFault when it cannot be had."""
        self._open()
        asyncio.get_running_loop().add_reader(self._master, self._hear)
        return self._line.path

    def _open(self) -> None:
        path = Path(self._line.path)
        if path.is_symlink():
            path.unlink()
        elif path.exists():
            raise LocalFault(f"line {self._line.id}: {path} exists and is no link; choose another path")
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        try:
            path.symlink_to(os.ttyname(self._slave))
        except OSError as error:
            raise LocalFault(f"line {self._line.id}: cannot make {path} ({error.strerror})") from error

    def _hear(self) -> None:
        try:
            octets = os.read(self._master, _READ_CHUNK)
        except OSError:
            return
        if not octets:
            return
        if self._note is not None:
            self._note(0, False, octets)
        now_us = self._clock.now().mono_us
        if now_us - self._heard_us > max(self._pace.t35_us, _PAUSE_MIN_US):
            self._frames.pause()
        self._heard_us = now_us
        self._pace.heard(len(octets), now_us)
        for request in self._frames.feed(octets):
            for out in line_answers(self._world, self._line, request, Framing.RTU, self._at_s()):
                pieces = self._pieces(out, now_us)
                task = asyncio.get_running_loop().create_task(self._say(pieces))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _pieces(self, out: Outgoing, now_us: int) -> list[tuple[int, bytes]]:
        return self._pace.reply(out.octets, now_us, round(out.delay_s * SECOND_US))

    async def _say(self, pieces: list[tuple[int, bytes]]) -> None:
        for due_us, octets in pieces:
            wait_us = due_us - self._clock.now().mono_us
            if wait_us > 0:
                await self._clock.sleep(wait_us / SECOND_US)
            self._put(octets)

    def _put(self, octets: bytes) -> None:
        if self._note is not None:
            self._note(0, True, octets)
        # A full pty means that nobody reads: a real line loses such bytes too.
        with contextlib.suppress(BlockingIOError):
            os.write(self._master, octets)

    def turn(self, at_s: float) -> None:
        """Time passed: babble."""
        babble = self._world.faults[self._line.id].babble(at_s, at_s - self._turned_s)
        self._turned_s = at_s
        if babble:
            self._put(babble)

    async def close(self) -> None:
        """Give the port back."""
        if self._master < 0:
            return
        asyncio.get_running_loop().remove_reader(self._master)
        for task in self._tasks:
            task.cancel()
        self._shut()

    def _shut(self) -> None:
        os.close(self._master)
        os.close(self._slave)
        Path(self._line.path).unlink(missing_ok=True)


class SerialLine(PtyLine):
    """One RTU line on a real serial port, such as an RS-485 adapter: the hardware paces the bytes, we keep only the
    turnaround (at least t3.5) and half duplex."""

    def _open(self) -> None:
        line = self._line
        parity = {Parity.NONE: serial.PARITY_NONE, Parity.EVEN: serial.PARITY_EVEN, Parity.ODD: serial.PARITY_ODD}
        try:
            self._port = serial.Serial(line.path, line.baud, bytesize=8, parity=parity[line.parity],
                                       stopbits=line.stop_bits, timeout=0, write_timeout=0, exclusive=True)
        except (OSError, ValueError) as error:  # pyserial's own error is an OSError
            raise LocalFault(f"line {line.id}: the serial port {line.path} cannot be had ({error}): check the cable, "
                             "that no other program has it, and that you may use it (group dialout)") from error
        self._master = self._port.fileno()

    def _pieces(self, out: Outgoing, now_us: int) -> list[tuple[int, bytes]]:
        wait_us = max(round(self._line.turnaround_s * SECOND_US), self._pace.t35_us)
        return [(now_us + wait_us + round(out.delay_s * SECOND_US), out.octets)]

    def _shut(self) -> None:
        self._port.close()
