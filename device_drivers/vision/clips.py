"""~ Clips without re-encoding: a ring of encoded packets a camera, remuxed into fragmented MP4 when something is
decided.

```
 packets ──► ring (bounded by seconds and bytes, cut at key frames) ──► clip.part ──fragments──► clip.mp4
```
A fragmented MP4 is readable up to its last whole fragment, so that a kill at any point leaves what was written. The
camera's thread only hands packets over; the one that keeps evidence writes them: a disk that hangs blinds nobody.
"""

from __future__ import annotations

import io
import os
import threading
from collections import deque
from fractions import Fraction
from pathlib import Path
from typing import Any

from device_drivers.vision.evidence import EvidenceGap
from device_drivers.vision.frames import Packet
from device_model.errors import LocalFault

FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
WAITING_BYTES_MAX = 64 * 1024 * 1024  # a ring at once and then half a minute of a disk that hangs
HEADER_BYTES_MAX = 4 * 1024 * 1024


class StreamHeader:
    """What a muxer must know of a stream (codec, size, parameter sets), kept as a tiny film in memory, so that a clip
    can be written after the camera's session has ended."""

    def __init__(self, stream: Any, first: Packet) -> None:
        import av

        buffer = io.BytesIO()
        with av.open(buffer, "w", format="matroska") as out:
            track = out.add_stream_from_template(stream)
            out.mux(_packet(av, first, track, 0))
        self.octets = buffer.getvalue()[:HEADER_BYTES_MAX]


def _packet(av: Any, packet: Packet, track: Any, shift: int) -> Any:
    made = av.Packet(packet.octets)
    made.time_base = Fraction(packet.time_base).limit_denominator(1_000_000)
    stamp = packet.dts if packet.dts is not None else packet.pts
    made.pts = None if packet.pts is None else packet.pts - shift
    made.dts = None if stamp is None else stamp - shift
    made.duration = packet.duration
    made.is_keyframe = packet.key
    made.stream = track
    return made


class PacketRing:
    """The last seconds of one camera. Bounded by seconds and by bytes; what goes, goes up to the next key frame, so
    that what remains can be decoded from its first packet on. Fed by the camera's thread, read by others."""

    def __init__(self, seconds: float, bytes_max: int) -> None:
        self._span_us, self._bytes_max = int(seconds * 1e6), bytes_max
        self._packets: deque[Packet] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._listeners: list[ClipWriter] = []
        self.header: StreamHeader | None = None
        self.cut_short = 0

    def add(self, packet: Packet) -> None:
        """A packet came."""
        with self._lock:
            self._packets.append(packet)
            self._bytes += len(packet.octets)
            limit = packet.arrived_us - self._span_us
            while self._bytes > self._bytes_max or self._second_key_us() < limit:
                self._drop_group(short=self._bytes > self._bytes_max)
            listeners = list(self._listeners)
        for listener in listeners:
            listener.add(packet)

    def _second_key_us(self) -> float:
        """When the second group begins: the first may go only when the second alone still reaches back far enough."""
        for index, packet in enumerate(self._packets):
            if index and packet.key:
                return packet.arrived_us
        return float("inf")

    def _drop_group(self, *, short: bool) -> None:
        self.cut_short += short
        while self._packets:
            self._bytes -= len(self._packets.popleft().octets)
            if not self._packets or self._packets[0].key:
                return

    def open(self, writer: ClipWriter, from_us: int) -> None:
        """Give a writer what is held from the key frame at or before from_us on, then everything that comes."""
        with self._lock:
            start = 0
            for index, packet in enumerate(self._packets):
                if packet.key and (packet.arrived_us <= from_us or index == 0):
                    start = index
            for packet in list(self._packets)[start:]:
                writer.add(packet)
            self._listeners.append(writer)

    def leave(self, writer: ClipWriter) -> None:
        """The writer has what it wants."""
        with self._lock:
            self._listeners = [w for w in self._listeners if w is not writer]

    @property
    def held_bytes(self) -> int:
        """Bytes in memory."""
        return self._bytes


class ClipWriter:
    """Writes one clip; says the gaps in it. `add` from any thread, all else from one."""

    def __init__(self, part: Path, header: StreamHeader, gap_s: float = 2.0) -> None:
        try:
            import av
        except ImportError as error:
            raise LocalFault("PyAV is not installed: pip install 'tocsin[cameras]'") from error
        self._av: Any = av
        self.part = part
        self._gap_us = int(gap_s * 1e6)
        self._lock = threading.Lock()
        self._handing = threading.Lock()
        self._waiting: deque[Packet] = deque()
        self._waiting_bytes = 0
        self._left_out: tuple[int, int, int] | None = None  # first and last arrival, how many
        try:
            self._out: Any = av.open(str(part), "w", format="mp4", options=FRAGMENTS)
            with av.open(io.BytesIO(header.octets)) as source:
                self._track: Any = self._out.add_stream_from_template(source.streams.video[0])
        except (av.error.FFmpegError, OSError) as error:
            raise LocalFault(f"{part}: {error}") from error
        self._shift: int | None = None
        self._last_dts: int | None = None
        self.first_us = self.last_us = 0
        self.gaps: list[EvidenceGap] = []
        self.failed = ""

    def add(self, packet: Packet) -> None:
        """Hand a packet over; `write` puts it in. Never waits for the disk."""
        with self._handing:
            if self._waiting_bytes + len(packet.octets) > WAITING_BYTES_MAX:
                first_us, _, count = self._left_out or (packet.arrived_us, 0, 0)
                self._left_out = (first_us, packet.arrived_us, count + 1)
                return
            self._waiting.append(packet)
            self._waiting_bytes += len(packet.octets)

    def write(self) -> None:
        """Put in what was handed over. A disk that refuses ends the clip with a gap that says so; nothing is raised
        here."""
        with self._handing:
            waiting, self._waiting, self._waiting_bytes = self._waiting, deque(), 0
            left_out, self._left_out = self._left_out, None
        for packet in waiting:
            self._put(packet)
        if left_out is not None:
            why = f"the disk did not keep up: {left_out[2]} packets"
            self.gaps.append(EvidenceGap(left_out[0], left_out[1], why))

    def _put(self, packet: Packet) -> None:
        with self._lock:
            if self.failed or (self._shift is None and not packet.key):
                return
            stamp = packet.dts if packet.dts is not None else packet.pts
            if stamp is None:
                return
            if self._shift is None:
                self._shift, self.first_us = stamp, packet.arrived_us
            elif packet.arrived_us - self.last_us > self._gap_us:
                self.gaps.append(EvidenceGap(self.last_us, packet.arrived_us, "no packets came from the camera"))
            if self._last_dts is not None and stamp <= self._last_dts:
                # The camera began a new session, or its clock leapt back: carry on behind what is written.
                self._shift -= self._last_dts + max(1, packet.duration) - stamp
                stamp = self._last_dts + max(1, packet.duration)
            try:
                self._out.mux(_packet(self._av, packet, self._track, self._shift))
            except (self._av.error.FFmpegError, OSError, ValueError) as error:
                self.failed = str(error) or type(error).__name__
                self.gaps.append(
                    EvidenceGap(packet.arrived_us, packet.arrived_us, f"could not be written: {self.failed}")
                )
                return
            self.last_us = packet.arrived_us
            self._last_dts = packet.dts if packet.dts is not None else packet.pts or 0

    def close(self, final: Path) -> bool:
        """End the clip, bring it safely to disk under its name. False where nothing readable was written."""
        self.write()
        with self._lock:
            try:
                self._out.close()
            except (self._av.error.FFmpegError, OSError) as error:
                self.failed = self.failed or str(error)
            if self._shift is None or not self.part.exists() or self.part.stat().st_size == 0:
                self.part.unlink(missing_ok=True)
                return False
            with self.part.open("rb") as file:
                os.fsync(file.fileno())
            self.part.replace(final)
            return True


def readable_span(path: Path) -> tuple[int, float]:
    """Packets and seconds that can be read of a clip; (0, 0) of what is none."""
    import av

    try:
        with av.open(str(path)) as film:
            stream = film.streams.video[0]
            stamps = [float(p.pts * p.time_base) for p in film.demux(stream) if p.pts is not None and p.size]
    except (av.error.FFmpegError, OSError, IndexError):
        return 0, 0.0
    return len(stamps), (max(stamps) - min(stamps)) if stamps else 0.0
