"""LlsLink (I/O): a line of LLS level probes as a LineExchange, so that the one schedule polls them like the rest.

    RegisterLine ─"input registers 0 to 2 of unit 5"─► LlsLink ─31 05 06 crc─► probe
                 ◄──────────── three words ──────────         ◄─3E 05 06 …──

    register 0   temperature, °C, s16        1   level, u16        2   the maker's raw measure, u16

A probe answers one question only, so any part of the three registers costs one exchange. Everything else is refused
here, as a Modbus device would refuse it. What arrived before the question is thrown away; after doubt a TCP
connection is closed, and a serial line is held by the driver.
"""

from __future__ import annotations

import asyncio
import contextlib
import termios

import serial

from device_drivers.driver import LineUnreachable
from device_model.errors import PeerGarbled, PeerRefused, PeerSilent
from device_model.ports import LineReply, LineRequest
from device_model.site import Line, LineKind
from wire_codecs.lls import cut_reading, read_request

CONNECT_TIMEOUT_S = 3.0
REGISTERS = 3
READ_INPUT = 4
_BUFFER_MAX = 1024  # a reading has nine bytes; more in one exchange is a babbling line
_PIECES_MAX = 16  # what a port holds at most; one that gives more for ever must not hold us
_PARITY = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}


class LlsLink:
    """One line of probes; implements `ports.LineExchange`. Requests must not overlap: one master per line."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._port: serial.Serial | None = None
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._arrived = asyncio.Event()
        self._buffer = b""

    async def exchange(self, request: LineRequest, *, timeout_s: float) -> LineReply:
        """One question, one reading. Raises LineUnreachable, PeerSilent, PeerRefused, PeerGarbled."""
        if request.function != READ_INPUT:
            raise PeerRefused(f"a level probe has no function {request.function}", 1)
        if request.address + request.count > REGISTERS:
            raise PeerRefused(f"a level probe has {REGISTERS} registers", 2)
        try:
            question = read_request(request.unit)
        except ValueError as problem:
            raise PeerRefused(str(problem), 3) from problem
        await self._open()
        try:
            async with asyncio.timeout(timeout_s):
                return await self._ask(request, question)
        except TimeoutError:
            heard, self._buffer = len(self._buffer), b""
            self._doubt()
            if heard:
                raise PeerGarbled(f"unit {request.unit}: {heard} bytes came, no reading") from None
            raise PeerSilent(f"unit {request.unit}: no answer within {timeout_s:g} s") from None
        except (OSError, EOFError) as problem:
            await self.close()
            raise LineUnreachable(f"{self._line.id}: {problem}") from problem
        except asyncio.CancelledError:
            self._doubt()  # its answer may still come
            raise

    async def _ask(self, request: LineRequest, question: bytes) -> LineReply:
        self._forget()
        if self._port is not None:
            self._port.write(question)
        elif self._stream is not None:
            self._stream[1].write(question)
            await self._stream[1].drain()
        while True:
            self._buffer = (self._buffer + await self._read())[-_BUFFER_MAX:]
            reading, rest = cut_reading(self._buffer)
            if reading is None or not reading.asked:  # what a probe says unasked is no answer
                self._buffer = self._buffer if reading is None else rest
                continue
            self._buffer = rest
            if reading.address != request.unit:
                self._doubt()
                raise PeerGarbled(f"unit {reading.address} answered for unit {request.unit}")
            words = (reading.temperature & 0xFFFF, reading.level, reading.raw)
            asked = words[request.address:request.address + request.count]
            return LineReply(reading.address, READ_INPUT, b"".join(word.to_bytes(2, "big") for word in asked))

    async def _read(self) -> bytes:
        if self._stream is not None:
            octets = await self._stream[0].read(256)
            if not octets:
                raise EOFError("closed by the other end")
            return octets
        while self._port is not None:
            octets = bytes(self._port.read(256))
            if octets:
                return octets
            await self._more(self._port.fileno())
        raise EOFError("the port is closed")

    async def _more(self, descriptor: int) -> None:
        """Watched while somebody waits only: a line that babbles between two questions must not wake us for ever."""
        loop = asyncio.get_running_loop()
        self._arrived.clear()
        loop.add_reader(descriptor, self._arrived.set)
        try:
            await self._arrived.wait()
        finally:
            loop.remove_reader(descriptor)

    def _forget(self) -> None:
        self._buffer = b""
        for _ in range(_PIECES_MAX):
            if self._port is None or not self._port.read(_BUFFER_MAX):
                break

    def _doubt(self) -> None:
        """An answer may still be under way: on TCP it dies with its connection, on serial the driver drains."""
        if self._stream is not None:
            self._stream[1].close()
            self._stream = None

    async def _open(self) -> None:
        if self._port is not None or self._stream is not None:
            return
        line = self._line
        try:
            if line.kind is LineKind.LLS_SERIAL:
                self._port = serial.Serial(
                    line.port_path, line.baud, parity=_PARITY[line.parity], stopbits=line.stop_bits, timeout=0,
                    write_timeout=1.0, exclusive=True)
                return
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                self._stream = await asyncio.open_connection(line.host, line.port)
        except (OSError, ValueError, TimeoutError, termios.error) as problem:  # SerialException is an OSError
            where = line.port_path or f"{line.host}:{line.port}"
            raise LineUnreachable(f"{line.id} ({where}): {problem}") from problem

    async def drain(self, hold_s: float) -> None:
        """Wait `hold_s` on a bus, also behind a serial server; what arrives is thrown away at the next question."""
        await asyncio.sleep(hold_s)

    async def close(self) -> None:
        """Let the line go; idempotent."""
        self._doubt()
        port, self._port = self._port, None
        if port is not None:
            with contextlib.suppress(OSError, termios.error):
                port.close()
