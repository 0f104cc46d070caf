"""Ways: which of several links to the cloud is used. Pure.

    ethernet ── up ──────────── down ─10 s─┐                    ┌─ up 120 s ── used again (fail-back)
    4g       ── up, watched ───────────────┴─ used (fail-over) ─┘

A way that is down is given up only after a while, and one that comes back must stay before it is trusted, so that a
cable with a loose contact does not throw the uplink to and fro. Every way is kept connected: a spare that nobody
watches is found dead on the day it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from device_model.clock import SECOND_US


class WayState(msgspec.Struct, frozen=True):
    """One way to the cloud. used: records go over it now."""

    name: str
    up: bool
    used: bool


class WayChoice:
    """The choice among ways, best first. Times are monotonic µs."""

    def __init__(self, names: Sequence[str], *, fail_over_s: float, fail_back_s: float) -> None:
        """names: at least one, the preferred one first."""
        self.names = tuple(names)
        self._over_us, self._back_us = round(fail_over_s * SECOND_US), round(fail_back_s * SECOND_US)
        self._up: list[bool | None] = [None] * len(self.names)
        self._since_us = [0] * len(self.names)
        self.used = 0
        self.switches = 0

    def look(self, up: Sequence[bool], now_us: int) -> int:
        """Which ways are up now; returns the index of the one to use."""
        for index, is_up in enumerate(up):
            if self._up[index] is not is_up:
                # What was never seen up does not count as up for long before this moment.
                self._up[index], self._since_us[index] = is_up, now_us
        wanted = self._wanted(now_us)
        if wanted != self.used:
            self.used, self.switches = wanted, self.switches + 1
        return self.used

    def _wanted(self, now_us: int) -> int:
        if not self._up[self.used]:
            if now_us - self._since_us[self.used] < self._over_us:
                return self.used
            return next((index for index, up in enumerate(self._up) if up), self.used)
        better = (index for index in range(self.used)
                  if self._up[index] and now_us - self._since_us[index] >= self._back_us)
        return next(better, self.used)

    def states(self) -> tuple[WayState, ...]:
        """All ways as they are."""
        return tuple(WayState(name, bool(self._up[index]), index == self.used)
                     for index, name in enumerate(self.names))
