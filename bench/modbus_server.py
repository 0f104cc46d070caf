"""Modbus servers to measure against: many ports, many units, holding registers that change by a known share.

    unit ── two images of its registers ──► the share that "moves" flips between them once a period
    a reply is a slice of the image: the server costs little, so that the gateway is what is measured

Run as a process of its own (`python -m bench.modbus_server …`): it prints its ports as one JSON line, then one line
a second with the counts so far. Dead units never answer.
"""

from __future__ import annotations

import argparse
import asyncio
import struct
from collections.abc import Collection
from typing import cast

import msgspec
import uvloop

_HEAD = struct.Struct(">HHHBBHH")
REQUEST_BYTES = _HEAD.size
LENGTH_BYTES = 6  # the length field counts what follows it
EXCEPTION_ADDRESS = 2


class Counts(msgspec.Struct):
    """What was served since the start; `at_s` on the machine's monotonic clock, when this was said."""

    at_s: float = 0.0
    requests: int = 0
    values: int = 0
    changed: int = 0


class UnitImage:
    """The registers of one unit as bytes, and which of them move."""

    def __init__(self, registers: int, *, seed: int) -> None:
        self.registers = registers
        # Between 20.0 and 27.9 in tenths: plausible room temperatures, so that no rule has anything to say.
        self._words = [200 + (seed * 7 + n) % 80 for n in range(registers)]
        self.image = bytearray(struct.pack(f">{registers}H", *self._words))
        self._turn = 0

    def move(self, share: float) -> int:
        """Let a share (0 to 1) of the registers move by one degree there or back, spread evenly; how many did."""
        count = round(self.registers * share)
        if not count:
            return 0
        self._turn += 1
        step = self.registers // count
        for n in range(count):
            at = (n * step + ((self._turn - 1) // 2 if step > 1 else 0)) % self.registers
            value = self._words[at] + (10 if self._turn % 2 else 0)
            self.image[2 * at:2 * at + 2] = value.to_bytes(2, "big")
        return count


class _Port(asyncio.Protocol):
    """One connection; requests are answered in order, whole frames only."""

    def __init__(self, units: dict[int, UnitImage], dead: Collection[int], counts: Counts) -> None:
        self._units, self._dead, self._counts = units, dead, counts
        self._waiting = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class, only by its methods

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        data = self._waiting + data
        at = 0
        while len(data) - at >= LENGTH_BYTES and self._transport is not None:
            size = LENGTH_BYTES + int.from_bytes(data[at + 4:at + 6], "big")
            if len(data) - at < size:
                break
            # Shorter than a read of registers: a question of a scan (function 43), which no unit here knows.
            reply = (self._reply(*_HEAD.unpack_from(data, at)) if size == REQUEST_BYTES
                     else struct.pack(">4sHBBB", data[at:at + 4], 3, data[at + 6], data[at + 7] | 0x80, 1))
            at += size
            if reply:
                self._transport.write(reply)
        self._waiting = data[at:]

    def _reply(self, transaction: int, _protocol: int, _length: int, unit: int, function: int, address: int,
               count: int) -> bytes:
        known = self._units.get(unit)
        if known is None or unit in self._dead:
            return b""
        if function not in (3, 4) or address + count > known.registers:
            return struct.pack(">HHHBBB", transaction, 0, 3, unit, function | 0x80, EXCEPTION_ADDRESS)
        self._counts.requests += 1
        self._counts.values += count
        body = known.image[2 * address:2 * (address + count)]
        return struct.pack(">HHHBBB", transaction, 0, 3 + len(body), unit, function, len(body)) + body


class ModbusServers:
    """Ports with units 1…n each; starts, moves and counts."""

    def __init__(self, lines: int, units: int, registers: int, dead: Collection[int] = ()) -> None:
        self.counts = Counts()
        self._lines = [{unit: UnitImage(registers, seed=line * units + unit) for unit in range(1, units + 1)}
                       for line in range(lines)]
        self._dead = frozenset(dead)
        self.ports: list[int] = []
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        """Listen on free ports of loopback."""
        loop = asyncio.get_running_loop()
        for units in self._lines:
            server = await loop.create_server(
                lambda units=units: _Port(units, self._dead, self.counts), "127.0.0.1", 0)  # type: ignore[misc]
            self._servers.append(server)
            self.ports.append(server.sockets[0].getsockname()[1])

    def move(self, share: float) -> None:
        """One period passes: so many values are others now."""
        for units in self._lines:
            for unit in units.values():
                self.counts.changed += unit.move(share)

    async def stop(self) -> None:
        """Close the ports."""
        for server in self._servers:
            server.close()


async def _main(options: argparse.Namespace) -> None:
    servers = ModbusServers(options.lines, options.units, options.registers, range(1, options.dead + 1))
    await servers.start()
    print(msgspec.json.encode(servers.ports).decode(), flush=True)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    turn = 0
    while True:
        turn += 1
        await asyncio.sleep(max(0.0, begun + turn * options.period - loop.time()))
        servers.move(options.share)
        servers.counts.at_s = loop.time()
        try:
            print(msgspec.json.encode(servers.counts).decode(), flush=True)
        except BrokenPipeError:
            return  # who measures is gone


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, default=1)
    parser.add_argument("--units", type=int, default=1)
    parser.add_argument("--registers", type=int, default=100)
    parser.add_argument("--dead", type=int, default=0, help="the first so many units of each line never answer")
    parser.add_argument("--period", type=float, default=1.0)
    parser.add_argument("--share", type=float, default=0.0, help="of the values that move each period, 0 to 1")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
