"""LineSession: one conversation of a simulated device over a stream of bytes, whoever carries the bytes. Pure.

    opened ─► take(bytes), due(time) ─► bytes to send ─► closed ─► opened …

Panels, stations and replayed recordings are sessions. `session_line.py` puts them onto sockets; a run in virtual time
calls them itself. Times are µs of the scenario's own clock; wall times µs since 1970 UTC.
"""

from __future__ import annotations

from typing import Protocol


class LineSession(Protocol):
    """What carries one conversation. All bytes that come back are to be sent in order, each piece as one unit
    (one datagram on UDP)."""

    @property
    def id(self) -> str:
        """The id that faults name; unique in its line."""
        ...

    @property
    def wants_link(self) -> bool:
        """Whether the device is on: without power it neither connects nor answers."""
        ...

    def opened(self, at_us: int, wall_us: int) -> list[bytes]:
        """The connection stands."""
        ...

    def take(self, octets: bytes, at_us: int, wall_us: int) -> list[bytes]:
        """Bytes came. Never raises for what a peer sent."""
        ...

    def due(self, at_us: int, wall_us: int) -> list[bytes]:
        """Time passes, connected or not; without a connection nothing is to be sent."""
        ...

    def closed(self, at_us: int) -> None:
        """The connection is gone."""
        ...
