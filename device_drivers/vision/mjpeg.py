"""Cuts JPEG pictures out of a stream of bytes: what an MJPEG camera sends, whatever it writes between the
pictures."""

from __future__ import annotations

_BEGIN, _END = b"\xff\xd8\xff", b"\xff\xd9"
PICTURE_BYTES_MAX = 16 * 1024 * 1024  # more without an end is no picture; it is dropped and counted


class JpegCutter:
    """Feed bytes, get whole pictures. dropped: how many bytes were thrown away as no part of a picture."""

    def __init__(self) -> None:
        self._held = bytearray()
        self.dropped = 0

    def feed(self, octets: bytes) -> list[bytes]:
        """Pictures that are now complete, in order."""
        self._held += octets
        pictures: list[bytes] = []
        while True:
            begin = self._held.find(_BEGIN)
            if begin < 0:
                self._drop(max(0, len(self._held) - 2))
                return pictures
            self._drop(begin)
            end = self._held.find(_END, 3)
            if end < 0:
                if len(self._held) > PICTURE_BYTES_MAX:
                    self._drop(len(self._held))
                return pictures
            pictures.append(bytes(self._held[: end + 2]))
            del self._held[: end + 2]

    def _drop(self, count: int) -> None:
        self.dropped += count
        del self._held[:count]
