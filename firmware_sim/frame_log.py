"""FrameLog: the last bytes of every line of a running simulator, bounded; exported for Wireshark or a spreadsheet.

    ports ──add──► ring of FRAMES_MAX ──► after(number)  the page's live list
                                     ├──► line_file ─► pcapng (a network)
                                     └──► as_csv (a serial line)
"""

from __future__ import annotations

import csv
import io
from collections import deque

import msgspec

from firmware_sim.line_recording import FORMAT, LineFile, LineHead, Piece
from firmware_sim.scenario_lines import LINE_PROTOCOLS, LineKind, SimLine, Transport

# Two hours of one busy serial line, some 20 MB; older ones are left out and counted.
FRAMES_MAX = 50_000
_SERIAL = frozenset({LineKind.PTY, LineKind.SERIAL})


class Frame(msgspec.Struct, frozen=True):
    """One piece of bytes, or a message. at_us: since the simulator began; ours: the device spoke."""

    number: int
    at_us: int
    line: str
    connection: int
    ours: bool
    octets: bytes
    topic: str = ""
    device: str = ""


class FrameLog:
    """What was said. dropped: frames that are no longer held."""

    def __init__(self, began_wall_us: int, most: int = FRAMES_MAX) -> None:
        self.dropped = 0
        self.count = 0
        self._began_wall_us = began_wall_us
        self._frames: deque[Frame] = deque(maxlen=most)

    def add(
        self, at_us: int, line: str, octets: bytes, *, ours: bool, connection: int = 0, topic: str = "",
        device: str = "",
    ) -> None:
        """One more."""
        self.count += 1
        self.dropped += len(self._frames) == self._frames.maxlen
        self._frames.append(Frame(self.count, at_us, line, connection, ours, octets, topic, device))

    def after(self, number: int, line: str, most: int, device: str = "") -> list[Frame]:
        """The newest frames of a line beyond a number, in order, at most so many. device: of an MQTT line."""
        found: list[Frame] = []
        for frame in reversed(self._frames):
            if frame.number <= number or len(found) >= most:
                break
            if frame.line == line and (not frame.device or not device or frame.device == device):
                found.append(frame)
        return found[::-1]

    def line_file(self, line: SimLine) -> LineFile:
        """A line's frames as a recorded line: to replay, or as pcapng."""
        kind = ("serial" if line.kind in _SERIAL else "mqtt" if line.kind is LineKind.MQTT
                else "udp" if line.transport is Transport.UDP else "tcp")
        ours = "server" if LINE_PROTOCOLS[line.kind] == "modbus" or line.role.value == "server" else "client"
        theirs = "client" if ours == "server" else "server"
        pieces, opened, last_us = [], set(), 0
        for frame in self._frames:
            if frame.line != line.id:
                continue
            last_us = max(last_us, frame.at_us)
            if kind == "tcp" and frame.connection not in opened:
                opened.add(frame.connection)
                pieces.append(Piece(last_us, frame.connection, event="open"))
            if frame.topic:
                pieces.append(Piece(last_us, topic=frame.topic, hex=frame.octets.hex(), qos=1))
            else:
                pieces.append(Piece(last_us, frame.connection, ours if frame.ours else theirs, frame.octets.hex()))
        return LineFile(LineHead(FORMAT, kind, line.id, self._began_wall_us, line.baud if kind == "serial" else 0),
                        tuple(pieces))

    def as_csv(self, line: SimLine) -> str:
        """A line's frames: seconds, who spoke, bytes in hex, topic."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(("seconds", "connection", "from", "topic", "hex"))
        for frame in self._frames:
            if frame.line == line.id:
                writer.writerow((f"{frame.at_us / 1e6:.6f}", frame.connection, "device" if frame.ours else "peer",
                                 frame.topic, frame.octets.hex(" ").upper()))
        return out.getvalue()
