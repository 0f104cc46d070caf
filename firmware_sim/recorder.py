"""Recorder (I/O): writes a real line down as it speaks, into a LineFile (line_recording.py).

    client ──► listen │ TcpRecorder │ to ──► server        a man in the middle
    bus ══════════════ SerialRecorder ══► file             a tap that only listens, or a bridge between two ports
    broker ──subscribe─ MqttRecorder ───► file
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TextIO

import paho.mqtt.client as paho
import serial
from paho.mqtt.enums import CallbackAPIVersion

from device_model.clock import Clock
from device_model.errors import LocalFault
from firmware_sim.line_recording import FORMAT, LineFile, LineHead, Piece, line_text, parse_line_file

CONNECTIONS_MAX = 256
_CHUNK = 16_384
_POLL_S = 0.002  # of a serial port: finer than a frame's pause at 19,200 baud


def read_line_file(path: Path) -> LineFile:
    """A recorded line from a file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LocalFault(f"{path}: cannot be read ({error}): name a file that `tocsin sim record` wrote") from error
    return parse_line_file(text, str(path))


class LineWriter:
    """Appends pieces to a file; every piece is flushed, so that a kill costs at most a torn line."""

    def __init__(self, path: Path, kind: str, about: str, clock: Clock, baud: int = 0) -> None:
        self.pieces = 0
        self._clock = clock
        self._start_us = clock.now().mono_us
        try:
            self._file: TextIO = path.open("w", encoding="utf-8")
        except OSError as error:
            raise LocalFault(f"{path}: cannot be written ({error.strerror}): choose another file") from error
        self._put(LineHead(FORMAT, kind, about, clock.now().wall_us, baud))

    def note(self, connection: int, speaker: str, octets: bytes) -> None:
        """A piece of bytes."""
        self._put(Piece(self._at_us(), connection, speaker, octets.hex()))

    def event(self, connection: int, event: str) -> None:
        """A connection opens or closes."""
        self._put(Piece(self._at_us(), connection, event=event))

    def message(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """An MQTT message."""
        self._put(Piece(self._at_us(), topic=topic, hex=payload.hex(), qos=qos, retain=retain))

    def close(self) -> None:
        """End of the file."""
        self._file.close()

    def _at_us(self) -> int:
        return self._clock.now().mono_us - self._start_us

    def _put(self, item: LineHead | Piece) -> None:
        self._file.write(line_text(item))
        self._file.flush()
        self.pieces += isinstance(item, Piece)


class TcpRecorder:
    """Passes a TCP link on and writes both directions down. Addresses "host:port"."""

    def __init__(self, listen: str, to: str, writer: LineWriter) -> None:
        self.address = ("", 0)
        self._listen, self._to, self._writer = listen, to, writer
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._connections = 0

    async def start(self) -> None:
        """Listen. Raises LocalFault when the port is taken."""
        host, _, port = self._listen.rpartition(":")
        try:
            self._server = await asyncio.start_server(self._serve, host, int(port))
        except OSError as error:
            raise LocalFault(f"cannot listen on {self._listen} ({error.strerror}): choose another port") from error
        self.address = self._server.sockets[0].getsockname()[:2]

    async def close(self) -> None:
        """Drop all connections."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._open):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._to.rpartition(":")
        try:
            if len(self._open) >= 2 * CONNECTIONS_MAX:
                raise OSError("too many connections")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()  # the client sees what it would see without us
            return
        number = self._connections
        self._connections += 1
        self._open |= {writer, far_writer}
        self._writer.event(number, "open")
        pumps = [asyncio.create_task(self._pump(reader, far_writer, number, "client")),
                 asyncio.create_task(self._pump(far_reader, writer, number, "server"))]
        # The end of the program: asyncio's stream server would print a traceback (see proxy.py).
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            # What the server still says to a half-closed client belongs to the recording.
            await asyncio.wait(pumps, timeout=1.0)
        self._writer.event(number, "close")
        for pump in pumps:
            pump.cancel()
        for end in (writer, far_writer):
            self._open.discard(end)
            end.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int, speaker: str
    ) -> None:
        with contextlib.suppress(OSError):
            while octets := await reader.read(_CHUNK):
                self._writer.note(number, speaker, octets)
                writer.write(octets)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()


class SerialRecorder:
    """Listens on a serial port (a tap); with `to`, stands between two ports and passes bytes on."""

    def __init__(self, path: str, baud: int, writer: LineWriter, clock: Clock, to: str = "") -> None:
        self._writer, self._clock = writer, clock
        self._ports: list[serial.Serial] = []
        for name in [path, to] if to else [path]:
            try:
                self._ports.append(serial.Serial(name, baud, timeout=0, write_timeout=0))
            except (OSError, ValueError) as error:
                raise LocalFault(f"the serial port {name} cannot be had ({error}): check cable and rights") from error

    async def run(self) -> None:
        """Until cancelled."""
        speakers = ("client", "server") if len(self._ports) == 2 else ("bus",)
        while True:
            for index, port in enumerate(self._ports):
                octets = port.read(_CHUNK)
                if octets:
                    self._writer.note(0, speakers[index], octets)
                    if len(self._ports) == 2:
                        self._ports[1 - index].write(octets)
            await self._clock.sleep(_POLL_S)

    def close(self) -> None:
        """Give the ports back."""
        for port in self._ports:
            port.close()


class MqttRecorder:
    """Writes down what a broker carries under a topic filter."""

    def __init__(self, host: str, port: int, topic: str, writer: LineWriter) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        # paho's one network thread is the only one that writes into the file.
        self._client.on_message = lambda _c, _u, m: writer.message(m.topic, bytes(m.payload), m.qos, m.retain)
        try:
            self._client.connect(host, port)
        except OSError as error:
            raise LocalFault(f"no broker at {host}:{port} ({error}): start it, or name another") from error
        self._client.loop_start()

    def close(self) -> None:
        """End the subscription."""
        self._client.disconnect()
        self._client.loop_stop()
