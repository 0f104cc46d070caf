"""FieldLine: one Modbus line of a SimWorld as the gateway's port, in whatever time its clock keeps.

    LinePoller ─LineRequest─► FieldLine ─bytes─► SimWorld.exchange (faults included) ─bytes─► LineReply | PeerError

The frames are really built and cut open, so that a garbled byte is found where a real link would find it. A serial
line takes the time that its baud rate asks for.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from device_model.clock import Clock
from device_model.errors import PeerGarbled, PeerRefused, PeerSilent
from device_model.ports import LineReply, LineRequest
from firmware_sim.faults import FaultKind
from firmware_sim.modbus_device import Framing, Request, frame
from firmware_sim.scenario_lines import LineKind, SimLine
from firmware_sim.world import SimWorld

TCP_LATENCY_S = 0.003  # there and back on a local network


class FieldLine:
    """One master's handle; implements device_model.ports.LineExchange."""

    def __init__(
        self, line: SimLine, world: SimWorld, clock: Clock, at_s: Callable[[], float],
        note: Callable[[str, bytes], None],
    ) -> None:
        """at_s: scenario seconds now. note: told of all bytes that cross the line."""
        self._line, self._world, self._clock, self._at_s, self._note = line, world, clock, at_s, note
        self._framing = Framing.RTU if line.kind is LineKind.PTY else Framing.TCP
        self._transaction = 0

    async def exchange(self, request: LineRequest, *, timeout_s: float) -> LineReply:
        """See the port."""
        self._transaction = (self._transaction + 1) & 0xFFFF
        transaction = self._transaction if self._framing is Framing.TCP else 0
        pdu = request_pdu(request)
        way_s = self._way_s(len(pdu) + 4)
        await self._clock.sleep(way_s)
        at_s = self._at_s()
        silent = self._world.faults[self._line.id].lasts(FaultKind.HALF_OPEN, at_s)
        sent = [] if silent else self._world.exchange(
            self._line.id, Request(request.unit, pdu, transaction), self._framing, at_s)
        first = sent[0] if sent else None
        if first is None or way_s + first.delay_s >= timeout_s:
            await self._clock.sleep(max(0.0, timeout_s - way_s))
            raise PeerSilent(f"unit {request.unit} did not answer within {timeout_s:g} s")
        await self._clock.sleep(first.delay_s + self._way_s(len(first.octets)))
        self._note(self._line.id, first.octets)
        return self._opened(first.octets, transaction)

    def _way_s(self, octets: int) -> float:
        if self._framing is Framing.TCP:
            return TCP_LATENCY_S / 2
        return octets * self._line.bits_per_character / self._line.baud + self._line.turnaround_s / 2

    def _opened(self, octets: bytes, transaction: int) -> LineReply:
        if self._framing is Framing.TCP:
            if len(octets) < 9:
                raise PeerGarbled("the frame is too short")
            number, protocol, length, unit = struct.unpack_from(">HHHB", octets)
            pdu = octets[7:]
            if protocol != 0 or number != transaction or length != len(pdu) + 1:
                raise PeerGarbled("the header does not fit the request")
        else:
            if len(octets) < 5 or frame(Framing.RTU, octets[0], octets[1:-2])[-2:] != octets[-2:]:
                raise PeerGarbled("the checksum does not fit")
            unit, pdu = octets[0], octets[1:-2]
        if pdu[0] & 0x80:
            raise PeerRefused(f"exception {pdu[1]}", pdu[1])
        return LineReply(unit, pdu[0], pdu[2:] if pdu[0] in (1, 2, 3, 4) else pdu[1:])

    async def drain(self, hold_s: float) -> None:
        """See the port."""
        if self._framing is Framing.RTU:
            await self._clock.sleep(hold_s)

    async def close(self) -> None:
        """See the port."""


def request_pdu(request: LineRequest) -> bytes:
    """The bytes of a request, function code first, as the standard writes them."""
    values = request.values
    match request.function:
        case 1 | 2 | 3 | 4:
            return struct.pack(">BHH", request.function, request.address, request.count)
        case 5:
            return struct.pack(">BHH", 5, request.address, 0xFF00 if values[0] else 0)
        case 6:
            return struct.pack(">BHH", 6, request.address, values[0])
        case 16:
            return struct.pack(f">BHHB{len(values)}H", 16, request.address, len(values), 2 * len(values), *values)
        case 15:
            octets = sum(1 << i for i, value in enumerate(values) if value).to_bytes((len(values) + 7) // 8, "little")
            return struct.pack(">BHHB", 15, request.address, len(values), len(octets)) + octets
    raise ValueError(f"function {request.function} is not spoken here")
