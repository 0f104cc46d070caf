"""Pace: when the bytes of a serial line arrive. A pty moves bytes at once; a real line of 9,600 baud does not.

    request n bytes      turnaround      reply m bytes
    ├── n characters ──┤├── t3.5 + ──┤├── m characters ──┤  free from here on

Source: MODBUS over Serial Line V1.02, 2.5.1.1: a frame ends with 3.5 character times of silence; above 19,200 baud
that is fixed at 1.750 ms.
"""

from __future__ import annotations

from device_model.clock import SECOND_US

_FIXED_T35_US = 1750
# A reply is handed on in pieces of about this long, so that a master sees it grow.
_PIECE_US = 4000


class LinePace:
    """One half-duplex line: nobody speaks while another does."""

    def __init__(self, baud: int, bits_per_character: int, turnaround_s: float) -> None:
        self.character_us = bits_per_character * SECOND_US / baud
        self.t35_us = _FIXED_T35_US if baud > 19200 else round(3.5 * self.character_us)
        self._turnaround_us = max(round(turnaround_s * SECOND_US), self.t35_us)
        self._free_us = 0

    def heard(self, count: int, at_us: int) -> None:
        """`count` bytes of a master came in at once at `at_us`; on the wire they last from then on."""
        self._free_us = max(self._free_us, at_us) + round(count * self.character_us)

    def reply(self, octets: bytes, at_us: int, extra_us: int = 0) -> list[tuple[int, bytes]]:
        """When which piece of the reply has fully arrived; µs of the same clock."""
        begin_us = max(self._free_us, at_us) + self._turnaround_us + extra_us
        size = max(1, int(_PIECE_US / self.character_us))
        pieces = []
        for first in range(0, len(octets), size):
            piece = octets[first:first + size]
            pieces.append((begin_us + round((first + len(piece)) * self.character_us), piece))
        self._free_us = pieces[-1][0] if pieces else self._free_us
        return pieces
