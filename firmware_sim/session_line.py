"""SessionLine (I/O): panels, stations and recorded lines on TCP or UDP sockets, as client or as server.

    LineSession (pure) ──bytes──► faults ──► socket           one connection a session; a client tries again every 3 s
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine

import structlog

from device_model.clock import SECOND_US, Clock
from device_model.errors import LocalFault
from firmware_sim.faults import FaultKind, LineFaults, Outgoing
from firmware_sim.line_session import LineSession
from firmware_sim.scenario_lines import LineKind, Role, SimLine, Transport
from firmware_sim.sessions import through_faults

RECONNECT_S = 3.0
_READ_CHUNK = 4096

_log = structlog.get_logger("sim.session")


class SessionLine:
    """All sessions of one line. `note`: told every piece of bytes, for traces: (connection, from us, bytes).
    `wall_of`: (device, scenario seconds, true wall time) to what the device's own clock shows."""

    def __init__(
        self, line: SimLine, sessions: list[LineSession], faults: LineFaults, clock: Clock, at_s: Callable[[], float],
        note: Callable[[int, bool, bytes], None] | None = None,
        wall_of: Callable[[str, float, int], int] | None = None,
    ) -> None:
        self._wall_of = wall_of
        self._line, self._faults, self._clock, self._at_s = line, faults, clock, at_s
        self._note = note
        self._ends = [_End(number, session, self) for number, session in enumerate(sessions)]
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def start(self) -> str:
        """Listen, or begin to connect. Raises LocalFault for a port that cannot be had."""
        line = self._line
        if line.role is Role.SERVER or line.kind is LineKind.LLS_TCP:
            try:
                self._server = await asyncio.start_server(self._accept, line.host, line.port)
            except OSError as error:
                raise LocalFault(f"line {line.id}: cannot listen on {line.host}:{line.port} ({error.strerror}): "
                                 "another program has the port; end it, or write port: 0") from error
            host, port = self._server.sockets[0].getsockname()[:2]
            return f"{host}:{port}"
        for end in self._ends:
            self.spawn(end.keep_connected() if line.transport is Transport.TCP else end.keep_datagrams())
        return f"{line.transport}://{line.host}:{line.port}"

    def spawn(self, what: Coroutine[None, None, None]) -> None:
        """Run a coroutine until the line closes."""
        task = asyncio.get_running_loop().create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def turn(self, _at_s: float) -> None:
        """Time passed."""
        for end in self._ends:
            end.turn()

    async def close(self) -> None:
        """End all connections."""
        self._closing = True
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        for end in self._ends:
            end.drop()
        await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # One centre a device: the first device without a connection takes it.
        end = next((end for end in self._ends if not end.open and end.session.wants_link), None)
        if end is None:
            writer.close()
            return
        # The end of the simulation: asyncio's stream server would print a traceback (see proxy.py).
        with contextlib.suppress(asyncio.CancelledError):
            await end.converse(reader, writer)

    # -- for the ends ----------------------------------------------------------------------------------------------

    @property
    def address(self) -> tuple[str, int]:
        """Where a client connects to."""
        return self._line.host, self._line.port

    def now(self, session: LineSession) -> tuple[int, int]:
        """(scenario µs, wall µs by that device's clock)."""
        at_s, wall_us = self._at_s(), self._clock.now().wall_us
        return round(at_s * SECOND_US), wall_us if self._wall_of is None else self._wall_of(session.id, at_s, wall_us)

    def dead(self) -> bool:
        """Whether bytes vanish both ways while connections stay."""
        return self._faults.lasts(FaultKind.HALF_OPEN, self._at_s())

    def bent(self, session: LineSession, pieces: list[bytes]) -> list[Outgoing]:
        """The pieces through the line's faults."""
        return through_faults(self._faults, session, pieces, self._at_s())

    def noted(self, connection: int, ours: bool, octets: bytes) -> None:
        """For a trace."""
        if self._note is not None:
            self._note(connection, ours, octets)

    async def pause(self, seconds: float) -> None:
        """Shown seconds."""
        await self._clock.sleep(seconds)


class _End:
    """One session's end of its connection."""

    def __init__(self, number: int, session: LineSession, line: SessionLine) -> None:
        self.session = session
        self.open = False
        self._number, self._line = number, line
        self._put: Callable[[bytes], None] | None = None
        self._drop: Callable[[], None] | None = None

    async def keep_connected(self) -> None:
        said = False
        while True:
            if self.session.wants_link:
                try:
                    reader, writer = await asyncio.open_connection(*self._line.address)
                except OSError as error:
                    if not said:
                        _log.warning("nobody answers; trying on", session=self.session.id, why=error.strerror)
                    said = True
                else:
                    said = False
                    await self.converse(reader, writer)
            await self._line.pause(RECONNECT_S)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection until it ends."""
        self._begin(writer.write, writer.transport.abort)
        try:
            while octets := await reader.read(_READ_CHUNK):
                self._heard(octets)
        except OSError as error:
            _log.info("connection ended", session=self.session.id, why=type(error).__name__)
        finally:
            self._end()
            writer.close()

    async def keep_datagrams(self) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self._heard), remote_addr=self._line.address)
        self._begin(transport.sendto, transport.abort)
        await asyncio.Event().wait()

    def _begin(self, put: Callable[[bytes], None], drop: Callable[[], None]) -> None:
        self.open, self._put, self._drop = True, put, drop
        self._say(self.session.opened(*self._line.now(self.session)))

    def _end(self) -> None:
        self.open, self._put, self._drop = False, None, None
        self.session.closed(self._line.now(self.session)[0])

    def _heard(self, octets: bytes) -> None:
        if self._line.dead() or not self.session.wants_link:
            return
        self._line.noted(self._number, False, octets)
        self._say(self.session.take(octets, *self._line.now(self.session)))

    def turn(self) -> None:
        if self.open and not self.session.wants_link:
            self.drop()
            return
        self._say(self.session.due(*self._line.now(self.session)))

    def drop(self) -> None:
        if self._drop is not None:
            self._drop()

    def _say(self, pieces: list[bytes]) -> None:
        for out in self._line.bent(self.session, pieces):
            if out.delay_s > 0:
                self._line.spawn(self._later(out))
            else:
                self._write(out.octets)

    async def _later(self, out: Outgoing) -> None:
        await self._line.pause(out.delay_s)
        self._write(out.octets)

    def _write(self, octets: bytes) -> None:
        if self._put is None or self._line.dead():
            return
        self._line.noted(self._number, True, octets)
        self._put(octets)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, heard: Callable[[bytes], None]) -> None:
        self._heard = heard

    def datagram_received(self, octets: bytes, _peer: object) -> None:
        self._heard(octets)

    def error_received(self, error: Exception) -> None:
        # A port that nobody has answers so; the session's own retries go on.
        _log.info("datagram refused", why=type(error).__name__)
