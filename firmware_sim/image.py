"""Register image: what the memory of a Modbus device holds. The exact inverse of how a gateway decodes it.

    value in the point's unit ──► (value - offset) / scale ──► raw integer or IEEE float ──► 16-bit words
                                   × 10^decimals                saturated, as real firmware does

Written from the profile's words alone (device_model/profile.py), not from the driver's code: the two meet only
in tests and on the wire, so that a mistake in one is not hidden by the same mistake in the other.
"""

from __future__ import annotations

import math
import struct

from device_model.profile import REGISTER_COUNT, RegisterSource, RegisterType, Table, WordOrder

# (bits, signed) of whole-number types.
_WHOLE: dict[RegisterType, tuple[int, bool]] = {
    RegisterType.U8_LOW: (8, False), RegisterType.U8_HIGH: (8, False), RegisterType.S8_LOW: (8, True),
    RegisterType.U16: (16, False), RegisterType.S16: (16, True), RegisterType.U32: (32, False),
    RegisterType.S32: (32, True), RegisterType.U64: (64, False), RegisterType.S64: (64, True),
}
ADDRESS_MAX = 0xFFFF


class NoSuchAddress(Exception):
    """The block touches an address that the device does not have (Modbus exception 2)."""


def raw_limits(source: RegisterSource) -> tuple[int, int]:
    """Smallest and largest raw whole number that the source can hold (mask and shift included)."""
    if source.type is RegisterType.BIT or source.bit is not None:
        return 0, 1
    bits, signed = _WHOLE[source.type]
    if source.mask is not None:
        return 0, source.mask >> source.shift
    if signed:
        return -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return 0, ((1 << bits) - 1) >> source.shift


def raw_of_value(source: RegisterSource, value: float, decimals: int = 0) -> int | float:
    """What firmware puts into the register for a value in the wire's unit; saturates at the type's ends."""
    raw = (value * 10.0**decimals - source.offset) / source.scale
    if source.type in (RegisterType.F32, RegisterType.F64):
        return raw
    low, high = raw_limits(source)
    return min(high, max(low, math.floor(raw + 0.5)))


def words_of_raw(source: RegisterSource, raw: int | float) -> tuple[int, ...]:
    """The 16-bit words of a raw value, before it is merged with its neighbours in the same word."""
    count = REGISTER_COUNT[source.type]
    if source.type is RegisterType.F32:
        octets = struct.pack(">f", _f32(raw))
    elif source.type is RegisterType.F64:
        octets = struct.pack(">d", raw)
    else:
        whole = int(raw)
        if source.bit is not None:
            whole <<= source.bit
        elif source.type is RegisterType.U8_HIGH:
            whole <<= 8
        elif source.type is RegisterType.S8_LOW:
            whole &= 0xFF
        elif source.shift:
            whole <<= source.shift
        octets = (whole & ((1 << (16 * count)) - 1)).to_bytes(2 * count, "big")
    words = list(struct.unpack(f">{count}H", octets))
    if source.word_order is WordOrder.LOW_FIRST:
        words.reverse()
    if source.byte_swap:
        words = [(word >> 8) | ((word & 0xFF) << 8) for word in words]
    return tuple(words)


def bits_of_source(source: RegisterSource) -> int:
    """Which bits of a single word belong to the source; neighbours in the same word keep theirs."""
    if source.bit is not None:
        own = 1 << source.bit
    elif source.type in (RegisterType.U8_LOW, RegisterType.S8_LOW):
        own = 0x00FF if source.mask is None else source.mask
    elif source.type is RegisterType.U8_HIGH:
        own = 0xFF00 if source.mask is None else source.mask << 8
    elif source.mask is not None and REGISTER_COUNT[source.type] == 1:
        own = source.mask
    else:
        return 0xFFFF
    return ((own >> 8) | ((own & 0xFF) << 8)) if source.byte_swap else own


def raw_of_words(source: RegisterSource, words: list[int]) -> int | float:
    """What a master wrote, as the firmware takes it: the inverse of `words_of_raw`."""
    if source.byte_swap:
        words = [(word >> 8) | ((word & 0xFF) << 8) for word in words]
    if source.word_order is WordOrder.LOW_FIRST:
        words = words[::-1]
    octets = struct.pack(f">{len(words)}H", *words)
    if source.type is RegisterType.F32:
        return float(struct.unpack(">f", octets)[0])
    if source.type is RegisterType.F64:
        return float(struct.unpack(">d", octets)[0])
    whole = int.from_bytes(octets, "big")
    if source.bit is not None or source.type is RegisterType.BIT:
        return whole >> (source.bit or 0) & 1
    bits, signed = _WHOLE[source.type]
    whole = whole >> 8 if source.type is RegisterType.U8_HIGH else whole & ((1 << bits) - 1)
    if source.mask is not None:
        return (whole & source.mask) >> source.shift
    whole >>= source.shift
    return whole - (1 << bits) if signed and whole >> (bits - 1) else whole


def _f32(raw: float) -> float:
    """Clamped to what single precision holds, so that packing cannot overflow."""
    limit = 3.4028234663852886e38
    return raw if math.isnan(raw) or math.isinf(raw) else min(limit, max(-limit, raw))


class RegisterImage:
    """The four tables of one device."""

    def __init__(self, *, holes_readable: bool) -> None:
        self._tables: dict[Table, dict[int, int]] = {table: {} for table in Table}
        self._holes_readable = holes_readable

    def define(self, source: RegisterSource) -> None:
        """The device has these addresses."""
        for offset in range(REGISTER_COUNT[source.type]):
            self._tables[source.table].setdefault(source.address + offset, 0)

    def put(self, source: RegisterSource, raw: int | float) -> None:
        """Write a raw value where the source stands."""
        table = self._tables[source.table]
        if source.table in (Table.COIL, Table.DISCRETE_INPUT):
            table[source.address] = int(raw) & 1
            return
        own = bits_of_source(source)
        for offset, word in enumerate(words_of_raw(source, raw)):
            address = source.address + offset
            table[address] = (table.get(address, 0) & ~own & 0xFFFF) | (word & own)

    def has(self, table: Table, address: int) -> bool:
        """Whether the device has that address."""
        return address in self._tables[table]

    def read(self, table: Table, address: int, count: int) -> list[int]:
        """`count` words or bits. Raises NoSuchAddress.

        Where the profile says that holes may be read along they read as 0; else every address must exist.
        """
        cells = self._tables[table]
        if address + count > ADDRESS_MAX + 1 or not cells:
            raise NoSuchAddress
        if self._holes_readable:
            # Firmware of this kind has one flat array: between its first and last register all is readable.
            if address < min(cells) or address + count - 1 > max(cells):
                raise NoSuchAddress
            return [cells.get(at, 0) for at in range(address, address + count)]
        try:
            return [cells[at] for at in range(address, address + count)]
        except KeyError:
            raise NoSuchAddress from None

    def write(self, table: Table, address: int, values: list[int]) -> None:
        """Store what a master wrote. Raises NoSuchAddress, with nothing written."""
        cells = self._tables[table]
        if any(at not in cells for at in range(address, address + len(values))):
            raise NoSuchAddress
        for at, value in enumerate(values, address):
            cells[at] = value
