"""Modbus server side: bytes in, requests out; requests in, answers out. TCP (MBAP) and RTU, several units a port.

    bytes ──TcpFrames.feed / RtuFrames.feed──► Request ──ModbusUnits.answer──► pdu ──frame──► bytes

Source: MODBUS Application Protocol V1.1b3 (function codes, exceptions), MODBUS Messaging on TCP/IP V1.0b (MBAP),
MODBUS over Serial Line V1.02 (RTU).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from device_model.profile import Table
from firmware_sim.device import Refused, VirtualDevice
from firmware_sim.image import NoSuchAddress
from wire_codecs.checksums import modbus_frame

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE, TARGET_SILENT = 1, 2, 3, 4, 11
PDU_MAX = 253
FRAME_MAX = 256  # of RTU
# One whole TCP frame is at most 260 bytes; sixteen pipelined ones are more than any master sends.
BUFFER_MAX = 16 * 260
BROADCAST = 0

_READS = {1: Table.COIL, 2: Table.DISCRETE_INPUT, 3: Table.HOLDING, 4: Table.INPUT}


class Framing(StrEnum):
    """How a PDU is wrapped."""

    TCP = "tcp"
    RTU = "rtu"


class Request(msgspec.Struct, frozen=True):
    """One request as it came. transaction: MBAP's, 0 on RTU."""

    unit: int
    pdu: bytes
    transaction: int = 0


def frame(framing: Framing, unit: int, pdu: bytes, transaction: int = 0) -> bytes:
    """A PDU as it goes onto the wire."""
    if framing is Framing.TCP:
        return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit & 0xFF) + pdu
    return modbus_frame(bytes([unit & 0xFF]) + pdu)


class NotModbus(Exception):
    """The peer does not speak Modbus/TCP; the connection is of no use any more."""


class TcpFrames:
    """Cuts a TCP stream into requests, in order, however it was split."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, octets: bytes) -> list[Request]:
        """Take what arrived. Raises NotModbus when the header cannot be one, or on a flood."""
        self._buffer += octets
        requests = []
        while len(self._buffer) >= 7:
            transaction, protocol, length, unit = struct.unpack_from(">HHHB", self._buffer)
            if protocol != 0 or not 2 <= length <= PDU_MAX + 1:
                raise NotModbus
            if len(self._buffer) < 6 + length:
                break
            requests.append(Request(unit, bytes(self._buffer[7:6 + length]), transaction))
            del self._buffer[:6 + length]
        if len(self._buffer) > BUFFER_MAX:
            raise NotModbus
        return requests


class RtuFrames:
    """Cuts a serial stream into requests: by the length that the function implies, checked by CRC.

    A pause longer than t3.5 empties the buffer, as the standard asks; the caller says when.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.refused = 0  # frames whose CRC was wrong; a real device says nothing to them

    def pause(self) -> None:
        """The line was quiet for more than 3.5 characters."""
        if self._buffer:
            self.refused += 1
            self._buffer.clear()

    def feed(self, octets: bytes) -> list[Request]:
        """Take what arrived; requests come out whole."""
        self._buffer += octets
        requests = []
        while len(self._buffer) >= 4:
            length = _rtu_request_length(self._buffer)
            if len(self._buffer) > BUFFER_MAX:
                self.pause()
                break
            if length and len(self._buffer) < length:
                break
            whole = bytes(self._buffer[:length])
            if not length or modbus_frame(whole[:-2]) != whole:
                # Nothing but the pause and the CRC bounds a function that we do not know, or a count that lies.
                whole = bytes(self._buffer)
                if modbus_frame(whole[:-2]) != whole:
                    if length or len(whole) > FRAME_MAX:
                        self.pause()
                    break
            del self._buffer[:len(whole)]
            requests.append(Request(whole[0], whole[1:-2]))
        return requests


def _rtu_request_length(buffer: bytearray) -> int:
    """Bytes of the request at the buffer's start with CRC; 0 unknown function; large while still unknown."""
    function = buffer[1]
    if function in (1, 2, 3, 4, 5, 6):
        return 8
    if function in (15, 16):
        return 9 + buffer[6] if len(buffer) > 6 else BUFFER_MAX
    if function == 22:
        return 10
    if function == 23:
        return 13 + buffer[10] if len(buffer) > 10 else BUFFER_MAX
    if function == 43:
        return 7
    return 0


class ModbusUnits:
    """The devices that answer on one port, by unit id."""

    def __init__(self, units: Mapping[int, VirtualDevice]) -> None:
        self.units = dict(units)

    def answer(self, request: Request, framing: Framing) -> bytes | None:
        """The reply's PDU; None for no reply (RTU: another unit, broadcast; or the device does not run)."""
        if framing is Framing.RTU and request.unit == BROADCAST:
            for device in self.units.values():
                if device.answers and request.pdu[0] in (5, 6, 15, 16):
                    _execute(device, request.pdu)
            return None
        device_or_none = self.units.get(request.unit)
        if device_or_none is None:
            # A TCP gateway says that nobody answered behind it; on a serial line there is just silence.
            return None if framing is Framing.RTU else exception(request.pdu[0], TARGET_SILENT)
        return _execute(device_or_none, request.pdu) if device_or_none.answers else None


def exception(function: int, code: int) -> bytes:
    """An exception reply's PDU."""
    return bytes([function | 0x80, code])


def _execute(device: VirtualDevice, pdu: bytes) -> bytes:
    function = pdu[0]
    try:
        if function in _READS:
            return _read(device, pdu)
        if function in (5, 6):
            return _write_one(device, pdu)
        if function in (15, 16):
            return _write_many(device, pdu)
        if function == 22:
            return _mask_write(device, pdu)
        if function == 23:
            return _read_write(device, pdu)
        if function == 43:
            return _identify(device, pdu)
    except NoSuchAddress:
        return exception(function, ILLEGAL_ADDRESS)
    except Refused as refusal:
        return exception(function, refusal.code)
    except struct.error:
        return exception(function, ILLEGAL_VALUE)
    return exception(function, ILLEGAL_FUNCTION)


def _read(device: VirtualDevice, pdu: bytes) -> bytes:
    function, address, count = struct.unpack(">BHH", pdu)
    table = _READS[function]
    bits = table in (Table.COIL, Table.DISCRETE_INPUT)
    traits = device.profile.modbus
    standard = 2000 if bits else 125
    own = (traits.max_bits if bits else traits.max_registers) if traits else standard
    if not 1 <= count <= min(standard, own):
        raise Refused(ILLEGAL_VALUE)
    values = device.image.read(table, address, count)
    if device.fails_at(table, address, count):
        raise Refused(DEVICE_FAILURE)
    octets = _pack_bits(values) if bits else struct.pack(f">{count}H", *values)
    return bytes([function, len(octets)]) + octets


def _write_one(device: VirtualDevice, pdu: bytes) -> bytes:
    function, address, value = struct.unpack(">BHH", pdu)
    if function == 5:
        if value not in (0x0000, 0xFF00):
            raise Refused(ILLEGAL_VALUE)
        device.write(Table.COIL, address, [value >> 15])
    else:
        device.write(Table.HOLDING, address, [value])
    return pdu


def _write_many(device: VirtualDevice, pdu: bytes) -> bytes:
    function, address, count, size = struct.unpack(">BHHB", pdu[:6])
    octets = pdu[6:]
    if function == 16:
        if not 1 <= count <= 123 or size != 2 * count or len(octets) != size:
            raise Refused(ILLEGAL_VALUE)
        device.write(Table.HOLDING, address, list(struct.unpack(f">{count}H", octets)))
    else:
        if not 1 <= count <= 1968 or size != (count + 7) // 8 or len(octets) != size:
            raise Refused(ILLEGAL_VALUE)
        device.write(Table.COIL, address, [octets[i // 8] >> (i % 8) & 1 for i in range(count)])
    return pdu[:5]


def _mask_write(device: VirtualDevice, pdu: bytes) -> bytes:
    _, address, keep, put = struct.unpack(">BHHH", pdu)
    (present,) = device.image.read(Table.HOLDING, address, 1)
    device.write(Table.HOLDING, address, [(present & keep) | (put & ~keep & 0xFFFF)])
    return pdu


def _read_write(device: VirtualDevice, pdu: bytes) -> bytes:
    _, read_at, read_count, write_at, count, size = struct.unpack(">BHHHHB", pdu[:10])
    if not 1 <= count <= 121 or size != 2 * count or len(pdu) != 10 + size:
        raise Refused(ILLEGAL_VALUE)
    device.write(Table.HOLDING, write_at, list(struct.unpack(f">{count}H", pdu[10:])))
    reply = _read(device, struct.pack(">BHH", 3, read_at, read_count))
    return bytes([23]) + reply[1:]


def _identify(device: VirtualDevice, pdu: bytes) -> bytes:
    function, mei, code, first = struct.unpack(">BBBB", pdu)
    if mei != 14:
        raise Refused(ILLEGAL_FUNCTION)
    objects = {0: device.profile.maker, 1: device.profile.model, 2: f"sim-{device.profile.version}"}
    if code not in (1, 4) or first not in objects:
        raise Refused(ILLEGAL_ADDRESS if code == 4 else ILLEGAL_VALUE)
    wanted = [first] if code == 4 else [number for number in objects if number >= first]
    listing = b"".join(bytes([n, len(text)]) + text
                       for n in wanted if (text := objects[n].encode("ascii", "replace")[:60]) is not None)
    return struct.pack(">BBBBBBB", function, 14, code, 0x81, 0, 0, len(wanted)) + listing


def _pack_bits(values: list[int]) -> bytes:
    octets = bytearray((len(values) + 7) // 8)
    for index, value in enumerate(values):
        octets[index // 8] |= (value & 1) << (index % 8)
    return bytes(octets)
