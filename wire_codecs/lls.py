"""LLS: capacitive liquid level probes on RS-485 and RS-232 (Omnicomm LLS, Epsilon ES, AoooG AG). Pure.

    ask      31 | address | 06 | crc8
    answer   3E | address | 06 | temperature s8 | level u16 | raw u16 | crc8       low byte first
    unasked  3E | address | 07 | the same                                          where the probe is set to speak

Level is what the probe is set to give: a code from 0 (empty) to 1023 or 4095 (full), or tenths of mm, of litres or of
a percent. raw is the maker's own measure (a frequency or capacitance).

Sources: RCS Epsilon ES2/ES4 service manual, A2.3 (frames, low byte first, CRC of Dallas application note 27); AoooG
"Serial communication protocol" (a frame with its meaning). CRC-8/MAXIM: polynomial 0x8C reflected, start 0.
"""

from __future__ import annotations

import msgspec

REQUEST, ANSWER = 0x31, 0x3E
READ, UNASKED = 0x06, 0x07
READING_LENGTH = 9
ADDRESS_MAX = 0xFE  # 0xFF reaches every probe: answers would collide


class LevelReading(msgspec.Struct, frozen=True):
    """What a probe says. temperature: °C; level, raw: 0 to 65535 as set, see above. asked: False where unasked."""

    address: int
    temperature: int
    level: int
    raw: int
    asked: bool = True


def crc8_dallas(content: bytes) -> int:
    """CRC-8/MAXIM, as on 1-Wire."""
    register = 0
    for octet in content:
        register ^= octet
        for _ in range(8):
            register = register >> 1 ^ 0x8C if register & 1 else register >> 1
    return register


def read_request(address: int) -> bytes:
    """Ask a probe for its reading. ValueError for an address that is not one probe's."""
    if not 0 <= address <= ADDRESS_MAX:
        raise ValueError(f"address {address} is not within 0..{ADDRESS_MAX}")
    head = bytes((REQUEST, address, READ))
    return head + bytes((crc8_dallas(head),))


def parse_request(frame: bytes) -> int:
    """The address that is asked for its reading: the probe's side. ValueError when it is no such request."""
    if len(frame) != 4 or frame[0] != REQUEST or frame[2] != READ or crc8_dallas(frame[:-1]) != frame[-1]:
        raise ValueError(f"no request for a reading: {frame.hex(' ')}")
    return frame[1]


def reading_frame(reading: LevelReading) -> bytes:
    """A probe's answer."""
    head = (bytes((ANSWER, reading.address, READ if reading.asked else UNASKED, reading.temperature & 0xFF))
            + reading.level.to_bytes(2, "little") + reading.raw.to_bytes(2, "little"))
    return head + bytes((crc8_dallas(head),))


def parse_reading(frame: bytes) -> LevelReading:
    """A whole frame of a probe. ValueError, with what is wrong, when it is none."""
    if len(frame) != READING_LENGTH:
        raise ValueError(f"{len(frame)} bytes, a reading has {READING_LENGTH}")
    if frame[0] != ANSWER or frame[2] not in (READ, UNASKED):
        raise ValueError(f"no reading: {frame[:3].hex(' ')}")
    if crc8_dallas(frame[:-1]) != frame[-1]:
        raise ValueError(f"checksum {frame[-1]:02x}, the content has {crc8_dallas(frame[:-1]):02x}")
    return LevelReading(
        frame[1], int.from_bytes(frame[3:4], "big", signed=True), int.from_bytes(frame[4:6], "little"),
        int.from_bytes(frame[6:8], "little"), frame[2] == READ,
    )


def cut_reading(buffer: bytes) -> tuple[LevelReading | None, bytes]:
    """The first whole reading in what arrived, and what follows it. Noise before it is passed over; without a reading
    the rest is what may still become one."""
    at = buffer.find(ANSWER)
    while at >= 0:
        frame = buffer[at:at + READING_LENGTH]
        if len(frame) < READING_LENGTH:
            return None, bytes(frame)
        try:
            return parse_reading(frame), bytes(buffer[at + READING_LENGTH:])
        except ValueError:
            at = buffer.find(ANSWER, at + 1)
    return None, b""
