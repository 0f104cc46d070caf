"""Flood control of a channel of people (pure): how many messages, and which go as one.

    what law 1 names ──► at once; many that wait together go in one message that names each place
    the rest ──► per_minute single ones; then all that wait as one, when the minute allows

Nobody reads two hundred messages, and a gateway of short messages refuses them; a fire is never among what waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

from device_model.clock import MINUTE_US

N = TypeVar("N")

# So many of the class of law 1 go singly when they wait together; the others follow in one message, at once.
URGENT_SINGLE = 3


class Turn(msgspec.Struct, Generic[N], frozen=True):
    """What goes now, one message a group, and what waits until next_us."""

    groups: tuple[tuple[N, ...], ...]
    later: tuple[N, ...] = ()
    next_us: int = 0


class Flood:
    """One channel's."""

    def __init__(self, per_minute: int) -> None:
        """per_minute: messages, counted in a bucket that fills evenly."""
        self._most = max(1, per_minute)
        self._left = float(self._most)
        self._at_us = 0

    @staticmethod
    def urgent(waiting: Sequence[N]) -> tuple[tuple[N, ...], ...]:
        """Those of law 1: none waits."""
        if len(waiting) <= URGENT_SINGLE + 1:
            return tuple((notice,) for notice in waiting)
        return (*((notice,) for notice in waiting[:URGENT_SINGLE]), tuple(waiting[URGENT_SINGLE:]))

    def others(self, waiting: Sequence[N], now_us: int) -> Turn[N]:
        """The rest, and how many messages that costs."""
        if self._at_us:
            gained = max(0, now_us - self._at_us) / MINUTE_US * self._most
            self._left = min(float(self._most), self._left + gained)
        self._at_us = now_us
        allowed = int(self._left)
        if not waiting:
            return Turn(())
        if allowed == 0:
            return Turn((), tuple(waiting), now_us + round((1.0 - self._left) * MINUTE_US / self._most) + 1)
        if len(waiting) <= allowed:
            groups: tuple[tuple[N, ...], ...] = tuple((notice,) for notice in waiting)
        else:
            groups = (*((notice,) for notice in waiting[:allowed - 1]), tuple(waiting[allowed - 1:]))
        self._left -= len(groups)
        return Turn(groups)
