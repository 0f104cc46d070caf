"""HJ 212-2005, -2017 and -2025 packets: environment station ↔ host. Pure, both roles.

    ## | length 4 digits | QN=…;ST=…;CN=…;PW=…;MN=…;Flag=…;PNUM=…;PNO=…;CP=&& area && | CRC 4 hex | CR LF
                         └────────────── data segment, counted and summed ──────────────┘

Lenient in, strict out: the deviations of section 8 of the reference (no Flag, 14-digit QN, trailing `;`, lower-case
CRC, typos of field names) are taken; a wrong CRC never. Framed by the length alone, because cipher text of the 2025
edition may hold CR LF and `&&`.

Uncertain facts and how they are treated:
- The length counts bytes also where UTF-8 text stands inside. [INFER]
- 2025: SM4-ECB over the whole 16-byte blocks of the area, sent as raw bytes; length and CRC belong to the plain text
  (annex A.2). One public codec sends the cipher's printed form instead: such packets are refused. [INFER]
- With a key set, plain packets are still taken; CRC and field names tell which it is.

The CRC of this standard drops half of its register at every byte: it keeps 8 bits and misses one garbled packet in
about 256, where Modbus' misses one in 65,536. So control characters are refused too, and who reads numbers from a
packet must be strict about what a number is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import IntEnum

import msgspec

from device_model.errors import PeerGarbled
from wire_codecs.buffer import ReceiveBuffer
from wire_codecs.checksums import crc16_hj212

START, TAIL = b"##", b"\r\n"
AREA_START, AREA_END = b"CP=&&", b"&&"
SEGMENT_MAX, AREA_MAX = 1024, 950  # what we send
SEGMENT_TAKEN_MAX = 9999  # what four digits can say; stations exceed the standard's 1024
PACKET_MAX = 2 + 4 + SEGMENT_TAKEN_MAX + 4 + 2
ANSWER_SYSTEM = "91"
_HEX4 = re.compile(rb"[0-9A-Fa-f]{4}")
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*")
Cipher = Callable[[bytes], bytes]  # whole 16-byte blocks in, as many out


class Edition(IntEnum):
    """The version bits of Flag."""

    HJ_2005 = 0
    HJ_2017 = 1
    HJ_2025 = 2


class Packet(msgspec.Struct, frozen=True):
    """One packet whose length and CRC are right. Empty or None where the station left a field out.

    qn: 17 digits, ms, by the clock of who asks; st, cn: system and command code; flag: bit 0 an answer is wanted,
    bit 1 pnum and pno are there, bits 2 to 7 the edition. area: groups (between `;`) of name and text (between `,`).
    """

    qn: str
    st: str
    cn: str
    pw: str
    mn: str
    flag: int | None = None
    pnum: int | None = None
    pno: int | None = None
    area: tuple[tuple[tuple[str, str], ...], ...] = ()

    @property
    def edition(self) -> int:
        """The edition by its Flag; a packet without one is of 2005."""
        return (self.flag or 0) >> 2

    @property
    def wants_answer(self) -> bool:
        """Whether the sender waits for 9011, 9013 or 9014."""
        return bool((self.flag or 0) & 1)

    def field(self, name: str) -> str:
        """The text of an area field that stands for itself (DataTime, QnRtn …), "" where there is none."""
        return next((text for group in self.area for key, text in group if key == name), "")

    def answer(self, cn: str, *area: tuple[tuple[str, str], ...]) -> Packet:
        """9011 to 9014 for this packet: ST 91, QN, PW and MN echoed, no answer wanted."""
        return Packet(self.qn, ANSWER_SYSTEM, cn, self.pw, self.mn, self.edition << 2, area=area)


class RefusedPacket(msgspec.Struct, frozen=True):
    """Bytes that began like a packet and are none. Nothing is answered: the standard stops at a wrong CRC."""

    reason: str
    octets: bytes


class Factor(msgspec.Struct, frozen=True):
    """All values of one factor in a packet. `values`: suffix (Rtd, Min, Avg, Max, Cou, Data …) to text; `flag`: N
    normal, F stopped, M maintenance, S set by hand, D fault, C calibrating, T over range, B no link, "" unsaid."""

    code: str
    values: dict[str, str]
    flag: str = ""


def factors_of(packet: Packet) -> tuple[Factor, ...]:
    """The factors of an upload, typos of the field mended: `LA-td`, `LA-Rtd-Rtd` are Rtd, `LA-Rtd-Flag` is Flag."""
    values: dict[str, dict[str, str]] = {}
    flags: dict[str, str] = {}
    for group in packet.area:
        for name, text in group:
            code, dash, suffix = name.partition("-")
            if not dash:
                continue
            suffix = suffix.rpartition("-")[2]
            if suffix == "Flag":
                flags[code] = text
                values.setdefault(code, {})
            else:
                values.setdefault(code, {})["Rtd" if suffix == "td" else suffix] = text
    return tuple(Factor(code, found, flags.get(code, "")) for code, found in values.items())


def instant_us(text: str, utc_offset_h: float = 8.0) -> int | None:
    """µs since 1970 UTC of YYYYMMDDhhmmss or …zzz in the station's local time; None where it is no date."""
    if len(text) not in (14, 17) or not (text.isascii() and text.isdigit()):
        return None
    try:
        local = datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    milliseconds = int(text[14:] or "0")
    return round((local - timedelta(hours=utc_offset_h)).timestamp()) * 1_000_000 + milliseconds * 1000


def instant_text(wall_us: int, utc_offset_h: float = 8.0, *, milliseconds: bool = False) -> str:
    """An instant as DataTime and SystemTime (14 digits) or QN (17 digits) write it."""
    local = datetime.fromtimestamp(wall_us // 1_000_000, UTC) + timedelta(hours=utc_offset_h)
    return local.strftime("%Y%m%d%H%M%S") + (f"{wall_us // 1000 % 1000:03d}" if milliseconds else "")


# -- decoding ----------------------------------------------------------------------------------------------------


def decode_segment(segment: bytes) -> Packet:
    """The fields of a data segment. PeerGarbled where it has no area or no command."""
    at = segment.find(AREA_START)
    if at < 0:
        raise PeerGarbled("no data area CP=&&")
    if any(byte < 0x20 or byte == 0x7F for byte in segment):
        raise PeerGarbled("control characters in the data segment")
    head = _pairs(segment[:at].decode("utf-8", "replace").replace(",", ";").split(";"))
    body = segment[at + len(AREA_START):]
    end = body.rfind(AREA_END)
    if end < 0:
        raise PeerGarbled("the data area does not end with &&")
    groups = body[:end].decode("utf-8", "replace").split(";")
    area = tuple(group for text in groups if (group := _pairs(text.split(","))))
    fields = dict(head)
    inner = {name: text for group in area for name, text in group}

    def text_of(name: str) -> str:
        return fields.get(name) or inner.get(name, "")  # 2005 stations put QN into the area

    if not text_of("CN"):
        raise PeerGarbled("no command CN")
    return Packet(
        text_of("QN"), text_of("ST"), text_of("CN"), text_of("PW"), text_of("MN"), _number("Flag", fields, 255),
        _number("PNUM", fields, 9999), _number("PNO", fields, 9999), area)


def _pairs(pieces: list[str]) -> tuple[tuple[str, str], ...]:
    """name=text each; what has no `=` is kept as a name without text, so that nothing vanishes."""
    return tuple((name.strip(), text.strip()) for piece in pieces if piece.strip()
                 for name, _, text in (piece.partition("="),))


def _number(name: str, fields: dict[str, str], most: int) -> int | None:
    text = fields.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 5) or int(text) > most:
        raise PeerGarbled(f"{name}={text[:20]} is no number up to {most}")
    return int(text)


def decode_packet(octets: bytes, decrypt: Cipher | None = None) -> Packet:
    """Exactly one packet, with or without its CR LF. PeerGarbled says what is wrong with it."""
    if octets[:2] != START or not (octets[2:6].isdigit() and len(octets) >= 6):
        raise PeerGarbled("no ## and four digits at the beginning")
    end = 6 + int(octets[2:6])
    if octets[end + 4:] not in (b"", TAIL):
        raise PeerGarbled(f"{len(octets)} bytes where the length makes {end + 6}")
    segment, sum_text = octets[6:end], octets[end:end + 4]
    if not _HEX4.fullmatch(sum_text):
        raise PeerGarbled("no four hex digits of CRC where the length says")
    given = int(sum_text, 16)
    right = crc16_hj212(segment)
    if decrypt is not None and not (right == given and _reads_plain(segment)):
        segment = cover_area(segment, decrypt)
        right = crc16_hj212(segment)
    if right != given:
        raise PeerGarbled(f"CRC {given:04X}, should be {right:04X}")
    return decode_segment(segment)


def _reads_plain(segment: bytes) -> bool:
    """Whether the area is made of names: with this CRC cipher text passes for plain text once in 256 times."""
    try:
        packet = decode_segment(segment)
    except PeerGarbled:
        return False
    return all(_FIELD.fullmatch(name) for group in packet.area for name, _ in group)


def cover_area(segment: bytes, cipher: Cipher) -> bytes:
    """Run the whole 16-byte blocks between `CP=&&` and the closing `&&` through the cipher; the rest stays."""
    at = segment.find(AREA_START)
    if at < 0 or not segment.endswith(AREA_END) or len(segment) < at + len(AREA_START) + len(AREA_END):
        return segment
    start, end = at + len(AREA_START), len(segment) - len(AREA_END)
    whole = start + (end - start) // 16 * 16
    return segment[:start] + cipher(segment[start:whole]) + segment[whole:]


class PacketReader:
    """Packets out of a stream. Feed bytes; what they complete comes back."""

    def __init__(self, decrypt: Cipher | None = None) -> None:
        # Twice the largest packet: one being read and one that waits behind it.
        self._held = ReceiveBuffer(2 * PACKET_MAX)
        self._decrypt = decrypt

    @property
    def dropped(self) -> int:
        """Bytes that belonged to no packet (CR and LF between packets are not counted)."""
        return self._held.dropped

    def __len__(self) -> int:
        return len(self._held)

    def feed(self, received: bytes) -> tuple[Packet | RefusedPacket, ...]:
        """All packets that these bytes complete, whatever the size of the piece."""
        found: list[Packet | RefusedPacket] = []
        for at in range(0, len(received), PACKET_MAX):
            self._held.feed(received[at:at + PACKET_MAX])
            while (packet := self.next_packet()) is not None:
                found.append(packet)
        return tuple(found)

    def next_packet(self) -> Packet | RefusedPacket | None:
        """The next packet, or what began like one and is none, or None: need more."""
        held = self._held.peek()
        self._held.take(len(held) - len(held.lstrip(TAIL)))
        if not self._held.skip_to(START) or len(self._held) < 6:
            return None
        octets = self._held.peek()
        if not octets[2:6].isdigit():
            return self._refuse("no four digits of length after ##", octets[:6])
        whole = 10 + int(octets[2:6])
        if len(octets) < whole:
            return None
        try:
            packet = decode_packet(octets[:whole], self._decrypt)
        except PeerGarbled as problem:
            return self._refuse(str(problem), octets[:whole])
        self._held.take(whole)
        return packet

    def give_up(self) -> tuple[Packet | RefusedPacket, ...]:
        """The packet that began first does not end: drop its beginning, look at what stands behind it."""
        found: list[Packet | RefusedPacket] = []
        while len(self._held) and not found:
            octets = self._held.peek()
            self._held.skip(1)
            if octets.startswith(START):
                found.append(RefusedPacket("the packet did not end in time", octets[:64]))
            while (packet := self.next_packet()) is not None:
                found.append(packet)
        return tuple(found)

    def _refuse(self, reason: str, octets: bytes) -> RefusedPacket:
        self._held.skip(1)  # a real packet may stand inside what was taken for one
        return RefusedPacket(reason, octets)


# -- encoding ----------------------------------------------------------------------------------------------------


def encode_segment(packet: Packet) -> bytes:
    """The plain data segment, fields in the standard's order. ValueError for what the standard does not allow."""
    if packet.flag is not None and bool(packet.flag & 2) != (packet.pnum is not None and packet.pno is not None):
        raise ValueError("Flag bit 1 says whether PNUM and PNO are there")
    fields: list[tuple[str, str]] = [("QN", packet.qn), ("ST", packet.st), ("CN", packet.cn), ("PW", packet.pw),
                                     ("MN", packet.mn)]
    fields += [(name, str(number)) for name, number in
               (("Flag", packet.flag), ("PNUM", packet.pnum), ("PNO", packet.pno)) if number is not None]
    for name, text in (*fields, *(pair for group in packet.area for pair in group)):
        if not _FIELD.fullmatch(name) or any(sign in text for sign in ";,=&\r\n"):
            raise ValueError(f"{name}={text!r} cannot be written")
    head = ";".join(f"{name}={text}" for name, text in fields if text)
    area = ";".join(",".join(f"{name}={text}" for name, text in group) for group in packet.area).encode()
    if len(area) > AREA_MAX:
        raise ValueError(f"data area of {len(area)} bytes, at most {AREA_MAX}: split it")
    segment = head.encode() + b";" + AREA_START + area + AREA_END
    if len(segment) > SEGMENT_MAX:
        raise ValueError(f"data segment of {len(segment)} bytes, at most {SEGMENT_MAX}: split it")
    return segment


def encode_packet(packet: Packet, encrypt: Cipher | None = None) -> bytes:
    """The bytes of a packet; length and CRC are of the plain text. ValueError as `encode_segment`."""
    segment = encode_segment(packet)
    sent = segment if encrypt is None else cover_area(segment, encrypt)
    return START + b"%04d" % len(segment) + sent + b"%04X" % crc16_hj212(segment) + TAIL


def split(packet: Packet) -> tuple[Packet, ...]:
    """The packets that carry a long area: Flag bit 1, PNUM, PNO, and DataTime repeated in each.

    ValueError where one group alone is too long. QN is the caller's to change: each is acknowledged by its own.
    """
    repeated = tuple(group for group in packet.area if group[0][0] == "DataTime")
    used = size = len(_area_text(repeated))
    parts: list[list[tuple[tuple[str, str], ...]]] = [[]]
    for group in packet.area:
        if group in repeated:
            continue
        length = len(_area_text((group,))) + 1
        if used + length > AREA_MAX:
            raise ValueError(f"group {group[0][0]} is too long for one packet")
        if size + length > AREA_MAX:
            parts.append([])
            size = used
        parts[-1].append(group)
        size += length
    if len(parts) == 1:
        return (packet,)
    return tuple(
        msgspec.structs.replace(packet, flag=(packet.flag or 0) | 2, pnum=len(parts), pno=number,
                                area=(*repeated, *part))
        for number, part in enumerate(parts, 1))


def _area_text(groups: tuple[tuple[tuple[str, str], ...], ...]) -> bytes:
    return ";".join(",".join(f"{name}={text}" for name, text in group) for group in groups).encode()
