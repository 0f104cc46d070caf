"""Smoke detectors for measuring: a Modbus TCP server that notes when the reply with the alarm left.

Only discrete inputs (FC 2) and the two registers of the profile (FC 3): what the gateway reads of a UG-3. The moment
that counts is when the changed bit went onto the line, so that the poll interval is not part of the figure.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct

from device_model.system_clock import real_mono_us

_HEADER = struct.Struct(">HHHB")
_HEAD_PRESENT, _SMOKE = 0, 2


class Detectors:
    """Units 1…n on one port; `alarm(unit)` sets the smoke bit."""

    def __init__(self) -> None:
        self._smoke: set[int] = set()
        self._served_us: dict[int, int] = {}
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def alarm(self, unit: int) -> None:
        """From now on that unit's smoke bit is set."""
        self._smoke.add(unit)

    def served_us(self, unit: int) -> int | None:
        """Real µs at which the reply with the alarm left, or None while it has not."""
        return self._served_us.get(unit)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                transaction, _, length, unit = _HEADER.unpack(await reader.readexactly(_HEADER.size))
                function, address, count = struct.unpack(">BHH", await reader.readexactly(length - 1))
                writer.write(self._reply(transaction, unit, function, address, count))
        writer.close()

    def _reply(self, transaction: int, unit: int, function: int, address: int, count: int) -> bytes:
        if function == 2:
            bits = {_HEAD_PRESENT} | ({_SMOKE} if unit in self._smoke else set())
            value = sum(1 << (bit - address) for bit in bits if address <= bit < address + count)
            body = value.to_bytes((count + 7) // 8, "little")
            if unit in self._smoke and address <= _SMOKE < address + count:
                self._served_us.setdefault(unit, real_mono_us())
        else:
            body = bytes(2 * count)
        pdu = bytes((function, len(body))) + body
        return _HEADER.pack(transaction, 0, len(pdu) + 1, unit) + pdu

    async def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.close()
