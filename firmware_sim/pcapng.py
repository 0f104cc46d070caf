"""A recorded line as a pcapng file that Wireshark and tshark read. Pure: LineFile in, bytes out.

    TCP and UDP lines   ─► raw IPv4 packets with right checksums: SYN, data in order, FIN (LINKTYPE_RAW 101)
    serial lines        ─► RTAC serial records (LINKTYPE_RTAC_SERIAL 250): decoded as Modbus RTU by
                           `tshark -d rtacser.data,mbrtu`
    MQTT messages       ─► MQTT 3.1.1 PUBLISH packets on port 1883

Addresses are stand-ins: the client is 10.0.0.1, the server 10.0.0.2. Source: IETF draft-ietf-opsawg-pcapng (SHB, IDB,
EPB), tcpdump.org LINKTYPE_RTAC_SERIAL.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from firmware_sim.line_recording import LineFile, Piece

CLIENT, SERVER = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
RAW, RTAC_SERIAL = 101, 250
FIRST_PORT = 40_000
SEGMENT_MAX = 1460
_SYN, _ACK, _PSH, _FIN = 0x02, 0x10, 0x08, 0x01


def as_pcapng(recording: LineFile, port: int = 502) -> bytes:
    """The whole file. port: the server's, which tells Wireshark the protocol (502 Modbus, 1883 MQTT …)."""
    kind = recording.head.kind
    link = RTAC_SERIAL if kind == "serial" else RAW
    began_us = recording.head.began_wall_us
    out = [_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)), _block(1, struct.pack("<HHI", link, 0, 0))]
    make = _serial if kind == "serial" else _udp if kind == "udp" else _mqtt if kind == "mqtt" else _tcp
    for at_us, packet in make(recording, port):
        stamp = began_us + at_us
        head = struct.pack("<IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(packet), len(packet))
        out.append(_block(6, head + packet + bytes(-len(packet) % 4)))
    return b"".join(out)


def _block(kind: int, body: bytes) -> bytes:
    total = 12 + len(body)
    return struct.pack("<II", kind, total) + body + struct.pack("<I", total)


def _tcp(recording: LineFile, port: int) -> Iterator[tuple[int, bytes]]:
    flows: dict[int, _Flow] = {}
    for piece in recording.pieces:
        if piece.topic:
            continue
        flow = flows.get(piece.c)
        if flow is None:
            flow = flows[piece.c] = _Flow(FIRST_PORT + piece.c % 20_000, port)
            yield from ((piece.t_us, packet) for packet in flow.begin())
        if piece.event == "close":
            yield from ((piece.t_us, packet) for packet in flow.end())
            del flows[piece.c]
        elif piece.hex:
            yield from ((piece.t_us, packet) for packet in flow.say(piece.speaker != "server", piece.octets))


def _udp(recording: LineFile, port: int) -> Iterator[tuple[int, bytes]]:
    for piece in recording.pieces:
        if piece.hex:
            near = FIRST_PORT + piece.c % 20_000
            ours = piece.speaker != "server"
            ports = (near, port) if ours else (port, near)
            body = struct.pack(">HHHH", *ports, 8 + len(piece.octets), 0) + piece.octets
            yield piece.t_us, _ip(17, ours, body)


def _serial(recording: LineFile, _port: int) -> Iterator[tuple[int, bytes]]:
    for piece in recording.pieces:
        if piece.hex:
            stamp = recording.head.began_wall_us + piece.t_us
            kind = 2 if piece.speaker == "server" else 1  # data received by, sent by the master's end
            yield piece.t_us, struct.pack(">IIBBH", stamp // 1_000_000, stamp % 1_000_000, kind, 0, 0) + piece.octets


def _mqtt(recording: LineFile, _port: int) -> Iterator[tuple[int, bytes]]:
    flow = _Flow(FIRST_PORT, 1883)
    yield from ((0, packet) for packet in flow.begin())
    for piece in recording.pieces:
        if piece.topic:
            yield from ((piece.t_us, packet) for packet in flow.say(False, publish_packet(piece)))


def publish_packet(piece: Piece) -> bytes:
    """A message as MQTT 3.1.1 PUBLISH with QoS 0, as a subscriber would get it."""
    topic = piece.topic.encode()
    body = struct.pack(">H", len(topic)) + topic + piece.octets
    length, octets = len(body), bytearray()
    while True:
        length, low = divmod(length, 128)
        octets.append(low | (0x80 if length else 0))
        if not length:
            return bytes((0x30 | piece.retain,)) + bytes(octets) + body


class _Flow:
    """One TCP connection with running sequence numbers."""

    def __init__(self, near: int, far: int) -> None:
        self._ports = (near, far)
        self._next = [1000, 5000]

    def begin(self) -> list[bytes]:
        packets = [self._segment(True, _SYN), self._segment(False, _SYN | _ACK, other=1)]
        self._next = [1001, 5001]
        return [*packets, self._segment(True, _ACK)]

    def say(self, ours: bool, octets: bytes) -> list[bytes]:
        packets = []
        for at in range(0, len(octets), SEGMENT_MAX):
            part = octets[at:at + SEGMENT_MAX]
            packets.append(self._segment(ours, _PSH | _ACK, part))
            self._next[not ours] += len(part)
        return packets

    def end(self) -> list[bytes]:
        first = self._segment(True, _FIN | _ACK)
        self._next[0] += 1
        second = self._segment(False, _FIN | _ACK)
        self._next[1] += 1
        return [first, second, self._segment(True, _ACK)]

    def _segment(self, ours: bool, flags: int, octets: bytes = b"", *, other: int = 0) -> bytes:
        near, far = self._ports if ours else self._ports[::-1]
        mine, yours = self._next if ours else self._next[::-1]
        ack = yours + other if flags & _ACK else 0
        head = struct.pack(">HHIIBBHHH", near, far, mine, ack, 5 << 4, flags, 65_535, 0, 0)
        source, target = (CLIENT, SERVER) if ours else (SERVER, CLIENT)
        pseudo = source + target + struct.pack(">BBH", 0, 6, len(head) + len(octets))
        total = _sum(pseudo + head + octets)
        return _ip(6, ours, head[:16] + struct.pack(">H", total) + head[18:] + octets)


def _ip(protocol: int, ours: bool, body: bytes) -> bytes:
    source, target = (CLIENT, SERVER) if ours else (SERVER, CLIENT)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, 64, protocol, 0) + source + target
    return head[:10] + struct.pack(">H", _sum(head)) + head[12:] + body


def _sum(octets: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    octets += bytes(len(octets) % 2)
    total: int = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
