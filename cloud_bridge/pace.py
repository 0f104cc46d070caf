"""Pace: how many bytes of bulk may be under way on a link whose rate nobody knows. Pure.

    bulk goes one batch at a time; a new alarm goes at once ──► it waits for at most the one batch before it

    time to PUBACK = round trip + bytes ÷ rate     what is small (heartbeats, live alarms) shows the round trip
    the rest < 0.1 s: twice as many bytes          > 0.3 s: half as many

So an alarm overtakes a backlog of any length on any link (a cellular one carries 100 kB/s on a bad day), and a link
with a long round trip is not mistaken for a slow one.
"""

from __future__ import annotations

from device_model.messages import BATCH_BYTES_MAX

FIRST_BYTES = 16 * 1024
# Below this a batch is hardly more than its envelope; slower links than 8 KiB/s are slow for alarms, too.
LEAST_BYTES = 2 * 1024
FAST_S, SLOW_S = 0.1, 0.3
# The shortest of so many is believed: one small message may have waited behind a batch; and routes change.
SMALL_ONES = 8


class Pace:
    """The pace of one link. limit: bytes that the next bulk batch may have."""

    def __init__(self) -> None:
        self.limit = FIRST_BYTES
        self._small_s: list[float] = []

    def took(self, size: int, seconds: float) -> None:
        """The broker took a message of that many bytes after so long."""
        if size <= LEAST_BYTES:
            self._small_s = [*self._small_s[-SMALL_ONES + 1:], seconds]
        # Before any small one was seen a long way looks slow: the safe side, and the first heartbeat ends it.
        on_the_road_s = seconds - min(self._small_s, default=0.0)
        if on_the_road_s > SLOW_S:
            self.limit = max(LEAST_BYTES, self.limit // 2)
        elif on_the_road_s < FAST_S and size > self.limit // 2:
            self.limit = min(BATCH_BYTES_MAX, self.limit * 2)

    def lost(self) -> None:
        """The link was cut with a batch under way: the next link may be another one."""
        self.limit = min(self.limit, FIRST_BYTES)
        self._small_s.clear()
