"""Bugs that Modbus servers in the field have, by name, so that a driver can be shown each of them. Pure.

    request, right answers ──bent_answers──► what the faulty firmware sends
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import StrEnum

from wire_codecs.checksums import modbus_frame


class ModbusBug(StrEnum):
    """What the firmware does wrong, with the clause that it breaks: AP = Application Protocol V1.1b3, TCP =
    Messaging on TCP/IP V1.0b, SL = Serial Line V1.02."""

    ZERO_TRANSACTION = "zero_transaction"  # TCP 3.1.3: the transaction identifier is echoed
    WRONG_UNIT_ECHO = "wrong_unit_echo"  # TCP 3.1.3: the unit identifier is echoed
    LONG_LENGTH = "long_length"  # TCP 3.1.3: length counts what follows it
    SILENT_EXCEPTIONS = "silent_exceptions"  # AP 7: what cannot be done is answered by an exception
    WRONG_EXCEPTION = "wrong_exception"  # AP 7: which code for what (here always 4)
    EXCEPTION_WITHOUT_BIT = "exception_without_bit"  # AP 7: function + 0x80
    ANSWERS_BROADCAST = "answers_broadcast"  # SL 2.1: unit 0 is never answered
    UNKNOWN_ADDRESS_ZERO = "unknown_address_zero"  # AP 6.3: addresses that are not there read as 0
    COUNT_UNCHECKED = "count_unchecked"  # AP 6.3: more than 125 registers are refused with 3


def bent_answers(
    bugs: frozenset[ModbusBug], unit: int, request: bytes, octets: bytes | None, *, tcp: bool, transaction: int = 0,
) -> bytes | None:
    """The answer of the faulty firmware. `octets`: the right answer as sent, or None for silence."""
    if not bugs:
        return octets
    if octets is None:
        if unit == 0 and ModbusBug.ANSWERS_BROADCAST in bugs:
            return _framed(unit, bytes((request[0], 2, 0, 0)), tcp, transaction)
        return None
    pdu = octets[7:] if tcp else octets[1:-2]
    bent = _bent_pdu(bugs, request, pdu)
    if bent is None:
        return None
    answer = _framed(unit, bent, tcp, transaction) if bent != pdu else octets
    return _bent_header(bugs, answer) if tcp else answer


def _bent_pdu(bugs: frozenset[ModbusBug], request: bytes, pdu: bytes) -> bytes | None:
    if not pdu or not pdu[0] & 0x80:
        return pdu
    if request[0] in (3, 4) and len(request) == 5:
        count = int.from_bytes(request[3:5], "big")
        if pdu[1] == 2 and ModbusBug.UNKNOWN_ADDRESS_ZERO in bugs and 1 <= count <= 125:
            return bytes((request[0], 2 * count)) + bytes(2 * count)
        if pdu[1] == 3 and ModbusBug.COUNT_UNCHECKED in bugs and count:
            return bytes((request[0], 2 * count & 0xFF)) + bytes(2 * min(count, 125))
    if ModbusBug.SILENT_EXCEPTIONS in bugs:
        return None
    if ModbusBug.WRONG_EXCEPTION in bugs:
        pdu = bytes((pdu[0], 4))
    return bytes((pdu[0] & 0x7F, pdu[1])) if ModbusBug.EXCEPTION_WITHOUT_BIT in bugs else pdu


def _bent_header(bugs: frozenset[ModbusBug], octets: bytes) -> bytes:
    steps: list[tuple[ModbusBug, Callable[[bytes], bytes]]] = [
        (ModbusBug.ZERO_TRANSACTION, lambda o: b"\0\0" + o[2:]),
        (ModbusBug.WRONG_UNIT_ECHO, lambda o: o[:6] + bytes((o[6] ^ 0xFF,)) + o[7:]),
        (ModbusBug.LONG_LENGTH, lambda o: o[:4] + struct.pack(">H", len(o)) + o[6:]),
    ]
    for bug, bend in steps:
        octets = bend(octets) if bug in bugs else octets
    return octets


def _framed(unit: int, pdu: bytes, tcp: bool, transaction: int) -> bytes:
    if tcp:
        return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu
    return modbus_frame(bytes((unit,)) + pdu)
