"""Checksums of the wire protocols, each by its own name, because they look alike and are not.

All run the reflected polynomial 0xA001 over 16 bits, and none gives another's value:

    crc16_modbus   start FFFF                                  Modbus RTU, sent low byte first
    crc16_hj212    start FFFF, register >> 8 before the XOR    HJ 212-2017 annex A: its own algorithm, not Modbus
    crc16_dc09     start 0000 (CRC-16/ARC)                     SIA DC-09, four upper-case hex digits

Sources: Modbus over Serial Line V1.02, 6.2.2; HJ 212-2017 annex A ("1C80" is right, its prose once prints 1C08);
SIA DC-09 as in the reference's recomputed frames.
"""

from __future__ import annotations


def _table() -> tuple[int, ...]:
    entries = []
    for byte in range(256):
        register = byte
        for _ in range(8):
            register = register >> 1 ^ 0xA001 if register & 1 else register >> 1
        entries.append(register)
    return tuple(entries)


_TABLE = _table()


def crc16_modbus(content: bytes) -> int:
    """CRC of a Modbus RTU frame without its last two bytes."""
    register = 0xFFFF
    for byte in content:
        register = register >> 8 ^ _TABLE[(register ^ byte) & 0xFF]
    return register


def modbus_frame(content: bytes) -> bytes:
    """The frame with its CRC, low byte first, as it goes on the bus."""
    return content + crc16_modbus(content).to_bytes(2, "little")


def crc16_hj212(segment: bytes) -> int:
    """CRC of an HJ 212 data segment (without ##, length, CRC and CR LF); written as four hex digits.

    The annex shifts the register right by 8 before the XOR, so that its low half is dropped at every byte.
    """
    register = 0xFFFF
    for byte in segment:
        register = register >> 8 ^ byte
        for _ in range(8):
            register = register >> 1 ^ 0xA001 if register & 1 else register >> 1
    return register


def crc16_dc09(content: bytes) -> int:
    """CRC of a DC-09 frame from the first quote up to, not including, CR."""
    register = 0
    for byte in content:
        register = register >> 8 ^ _TABLE[(register ^ byte) & 0xFF]
    return register
