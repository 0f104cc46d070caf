"""Receive buffer: bytes from a stream wait here until a codec finds a whole frame. Bounded; counts what it drops.

    feed(bytes) ─► [ … held … ] ─► peek() ─► codec finds a frame ─► take(n)
                        └─ no frame starts here ─► skip(n)   counted in `dropped`

A peer that never completes a frame cannot make us grow: what does not fit pushes out the oldest, counted.
"""

from __future__ import annotations


class ReceiveBuffer:
    """At most `limit` bytes. Choose the limit as twice the protocol's largest frame."""

    __slots__ = ("_held", "_limit", "dropped")

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"a buffer of {limit} bytes holds nothing")
        self._held = bytearray()
        self._limit = limit
        self.dropped = 0  # bytes that were lost because no frame could be made of them

    def __len__(self) -> int:
        return len(self._held)

    def feed(self, received: bytes) -> int:
        """Append; returns how many of the oldest bytes had to go (0 is the rule)."""
        held = self._held
        held += received
        over = len(held) - self._limit
        if over <= 0:
            return 0
        del held[:over]
        self.dropped += over
        return over

    def peek(self) -> bytes:
        """All that is held, oldest first."""
        return bytes(self._held)

    def take(self, count: int) -> bytes:
        """Remove and return the first `count` bytes; ValueError when fewer are held."""
        if not 0 <= count <= len(self._held):
            raise ValueError(f"{count} bytes asked, {len(self._held)} held")
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken

    def skip(self, count: int) -> None:
        """Drop the first `count` bytes (at most all) as garbage."""
        count = min(max(0, count), len(self._held))
        del self._held[:count]
        self.dropped += count

    def skip_to(self, mark: bytes) -> bool:
        """Drop what stands before `mark`. True when the mark is now at the front; else a possible beginning of it
        at the end is kept."""
        at = self._held.find(mark)
        if at >= 0:
            self.skip(at)
            return True
        keep = next((n for n in range(min(len(mark) - 1, len(self._held)), 0, -1)
                     if self._held.endswith(mark[:n])), 0)
        self.skip(len(self._held) - keep)
        return False

    def clear(self) -> None:
        """Drop everything (a new connection); not counted as garbage."""
        self._held.clear()
