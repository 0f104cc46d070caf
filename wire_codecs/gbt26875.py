"""GB/T 26875.3-2011 frames: user information transmission device (UITD) ↔ monitoring centre. Pure, both roles.

    4040 | serial 2 | version 2 | time 6 | source 6 | destination 6 | length 2 | command | unit | sum | 2323
           └──────────────── summed, mod 256; integers little endian, times one byte each ──┘

There is no byte stuffing, so frames are found by their length field. What stands in the application data unit is
read by `gbt26875_objects.py`. Source: reference gbt26875.md, grades there; here only:

- The version bytes are not checked: field devices send 10 00 (samples T to X). [INFER]
- Nothing says how long a frame may take to arrive; who owns the clock calls `give_up` when one does not end.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import IntEnum

import msgspec

from device_model.errors import PeerGarbled
from wire_codecs.buffer import ReceiveBuffer

START, END = b"@@", b"##"
HEADER_BYTES, TAIL_BYTES = 27, 3
FRAME_MIN = HEADER_BYTES + TAIL_BYTES
UNIT_MAX = 1024
FRAME_MAX = FRAME_MIN + UNIT_MAX
VERSION = (1, 0)  # what we send: protocol 1, user version 0
ADDRESS_MAX = 2**48 - 1


class Command(IntEnum):
    """The command byte; 7 to 127 are reserved, 128 to 255 the user's."""

    CONTROL = 1  # centre to UITD
    SEND = 2  # UITD to centre
    CONFIRM = 3
    REQUEST = 4  # centre to UITD
    REPLY = 5  # UITD to centre
    DENY = 6


class Stamp(msgspec.Struct, frozen=True):
    """A time tag as sent: six plain binary bytes, local time of the sender, year 0..99 from 2000. May be nonsense."""

    second: int = 0
    minute: int = 0
    hour: int = 0
    day: int = 0
    month: int = 0
    year: int = 0

    @staticmethod
    def of(octets: bytes) -> Stamp:
        """From exactly six bytes."""
        second, minute, hour, day, month, year = octets
        return Stamp(second, minute, hour, day, month, year)

    @staticmethod
    def at(wall_us: int, utc_offset_h: float = 8.0) -> Stamp:
        """The stamp of an instant, µs since 1970 UTC, in the local time of the sender."""
        local = datetime.fromtimestamp(wall_us // 1_000_000, UTC) + timedelta(hours=utc_offset_h)
        return Stamp(local.second, local.minute, local.hour, local.day, local.month, local.year % 100)

    def wall_us(self, utc_offset_h: float = 8.0) -> int | None:
        """µs since 1970 UTC, or None where the bytes are no date (some devices send BCD or swap the fields)."""
        try:
            local = datetime(2000 + self.year, self.month, self.day, self.hour, self.minute, self.second, tzinfo=UTC)
        except ValueError:
            return None
        return round((local - timedelta(hours=utc_offset_h)).timestamp()) * 1_000_000

    def octets(self) -> bytes:
        """As sent."""
        return bytes((self.second, self.minute, self.hour, self.day, self.month, self.year))


class Frame(msgspec.Struct, frozen=True):
    """One whole frame whose sum and end are right. `unit`: the application data unit, see gbt26875_objects."""

    serial: int
    sent: Stamp
    source: int
    destination: int
    command: int
    unit: bytes = b""
    version: tuple[int, int] = VERSION

    def answer(self, command: Command, sent: Stamp, unit: bytes = b"") -> Frame:
        """Confirm, deny or reply to this frame: serial and version echoed, addresses exchanged."""
        return Frame(self.serial, sent, self.destination, self.source, int(command), unit, self.version)


class RefusedFrame(msgspec.Struct, frozen=True):
    """Bytes that began like a frame and are none. The standard wants a deny for it: `denial` gives one where the
    header may be believed at all (its own bytes are inside the failed sum, so it is a guess)."""

    reason: str
    octets: bytes

    def denial(self, sent: Stamp) -> Frame | None:
        """The deny to send back, or None where not even a header came."""
        if len(self.octets) < HEADER_BYTES:
            return None
        return _header(self.octets).answer(Command.DENY, sent)


def encode_frame(frame: Frame) -> bytes:
    """The bytes of a frame. ValueError where a field does not fit: that is our own mistake, never the peer's."""
    if len(frame.unit) > UNIT_MAX:
        raise ValueError(f"data unit of {len(frame.unit)} bytes, at most {UNIT_MAX}")
    if not 0 <= frame.serial <= 0xFFFF or not 0 <= frame.command <= 0xFF:
        raise ValueError(f"serial {frame.serial} or command {frame.command} does not fit")
    if not (0 <= frame.source <= ADDRESS_MAX and 0 <= frame.destination <= ADDRESS_MAX):
        raise ValueError("addresses have 48 bits")
    body = b"".join((
        frame.serial.to_bytes(2, "little"), bytes(frame.version), frame.sent.octets(),
        frame.source.to_bytes(6, "little"), frame.destination.to_bytes(6, "little"),
        len(frame.unit).to_bytes(2, "little"), bytes((frame.command,)), frame.unit,
    ))
    return START + body + bytes((sum(body) & 0xFF,)) + END


def decode_frame(octets: bytes) -> Frame:
    """Exactly one frame, as a datagram holds it. PeerGarbled says by which of the standard's checks it fell."""
    if octets[:2] != START:
        raise PeerGarbled("wrong start characters")
    if len(octets) < FRAME_MIN:
        raise PeerGarbled(f"{len(octets)} bytes, a frame has at least {FRAME_MIN}")
    length = _length(octets)
    if length > UNIT_MAX:
        raise PeerGarbled(f"data unit of {length} bytes, at most {UNIT_MAX}")
    if len(octets) != FRAME_MIN + length:
        raise PeerGarbled(f"{len(octets)} bytes where the length field makes {FRAME_MIN + length}")
    if octets[-2:] != END:
        raise PeerGarbled("wrong end characters")
    right = sum(octets[2:-3]) & 0xFF
    if octets[-3] != right:
        raise PeerGarbled(f"checksum {octets[-3]:02X}, should be {right:02X}")
    frame = _header(octets)
    return msgspec.structs.replace(frame, unit=octets[HEADER_BYTES:HEADER_BYTES + length])


def _length(octets: bytes) -> int:
    return int.from_bytes(octets[24:26], "little")


def _header(octets: bytes) -> Frame:
    return Frame(
        serial=int.from_bytes(octets[2:4], "little"), version=(octets[4], octets[5]), sent=Stamp.of(octets[6:12]),
        source=int.from_bytes(octets[12:18], "little"), destination=int.from_bytes(octets[18:24], "little"),
        command=octets[26],
    )


class FrameReader:
    """Frames out of a stream. Feed bytes, then ask `next_frame` until it says None (need more)."""

    def __init__(self) -> None:
        # Twice the largest frame: one being read and one that waits behind it.
        self._held = ReceiveBuffer(2 * FRAME_MAX)

    @property
    def dropped(self) -> int:
        """Bytes that belonged to no frame."""
        return self._held.dropped

    def __len__(self) -> int:
        return len(self._held)

    def feed(self, received: bytes) -> tuple[Frame | RefusedFrame, ...]:
        """All frames that these bytes complete, whatever the size of the piece: it is taken in bounded steps."""
        found: list[Frame | RefusedFrame] = []
        for at in range(0, len(received), FRAME_MAX):
            self._held.feed(received[at:at + FRAME_MAX])
            while (frame := self.next_frame()) is not None:
                found.append(frame)
        return tuple(found)

    def next_frame(self) -> Frame | RefusedFrame | None:
        """The next frame, or what began like one and is none, or None: need more."""
        if not self._held.skip_to(START) or len(self._held) < HEADER_BYTES:
            return None
        octets = self._held.peek()
        whole = FRAME_MIN + _length(octets)
        if whole > FRAME_MAX:
            return self._refuse(f"data unit of {whole - FRAME_MIN} bytes, at most {UNIT_MAX}", octets[:HEADER_BYTES])
        if len(octets) < whole:
            return None
        try:
            frame = decode_frame(octets[:whole])
        except PeerGarbled as problem:
            return self._refuse(str(problem), octets[:whole])
        self._held.take(whole)
        return frame

    def give_up(self) -> tuple[Frame | RefusedFrame, ...]:
        """The frame that began first does not end: drop its beginning and look at what stands behind it. A damaged
        length must not keep the fire that follows waiting for a thousand bytes."""
        found: list[Frame | RefusedFrame] = []
        while len(self._held) and not found:
            octets = self._held.peek()
            self._held.skip(1)
            if octets.startswith(START):
                found.append(RefusedFrame("the frame did not end in time", octets[:HEADER_BYTES]))
            while (frame := self.next_frame()) is not None:
                found.append(frame)
        return tuple(found)

    def _refuse(self, reason: str, octets: bytes) -> RefusedFrame:
        """Only the start mark's first byte is dropped: a real frame may stand inside what was taken for one."""
        self._held.skip(1)
        return RefusedFrame(reason, octets)
