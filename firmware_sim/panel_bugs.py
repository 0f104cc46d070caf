"""Bugs that transmission devices in the field have, by name, so that a receiver can be shown each of them. Pure."""

from __future__ import annotations

from enum import StrEnum

from wire_codecs.gbt26875 import Command, Frame

_TIME = slice(6, 12)
_SUM_AT = -3


class PanelBug(StrEnum):
    """What the firmware does wrong, with the clause of GB/T 26875.3-2011 that it breaks."""

    SUM_WITH_START = "sum_with_start"  # 6.6: sums from the start characters on, not from byte 3
    BIG_ENDIAN_LENGTH = "big_endian_length"  # 6.6: integers go low byte first
    BCD_TIME = "bcd_time"  # 8.2.2: the time tag is binary, not BCD
    OWN_SERIAL = "own_serial"  # 6.6: an answer echoes the serial of what it answers
    NO_RETRY = "no_retry"  # 6.5: an upload without confirm is sent again, three times
    ANSWERS_DUTY_ITSELF = "answers_duty_itself"  # 8.3: a duty check is answered by a person
    SAME_SERIAL = "same_serial"  # 6.6: every new exchange has the next serial


def bent(octets: bytes, frame: Frame, bugs: frozenset[PanelBug]) -> bytes:
    """The frame as the faulty firmware sends it; sums stay right unless the bug is the sum."""
    if not bugs:
        return octets
    changed = bytearray(octets)
    answer = frame.command in (Command.CONFIRM, Command.REPLY, Command.DENY)
    if PanelBug.BIG_ENDIAN_LENGTH in bugs:
        changed[24], changed[25] = changed[25], changed[24]
    if PanelBug.BCD_TIME in bugs:
        changed[_TIME] = bytes((n // 10 << 4 | n % 10) & 0xFF for n in changed[_TIME])
    if PanelBug.OWN_SERIAL in bugs and answer:
        changed[2] = (changed[2] + 1) & 0xFF
    if PanelBug.SAME_SERIAL in bugs and not answer:
        changed[2] = changed[3] = 0
    first = 0 if PanelBug.SUM_WITH_START in bugs else 2
    changed[_SUM_AT] = sum(changed[first:_SUM_AT]) & 0xFF
    return bytes(changed)
