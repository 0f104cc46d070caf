"""Counters: a number that only grows, in a register that is too narrow for it. Pure.

    raw      4294967200  4294967290          12        40            3
    turns              0           0          1         1    reset:  0
    value    4294967200  4294967290  4294967308  …           3

A fall is a roll-over when going on through the end of the range is a believable step, and a reset when it is not:
the meter was exchanged, or lost what it had counted. A reset is told to people and counting begins anew; nothing is
made up for it. A fall by a few counts is a meter that corrects itself, on both sides of the end.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from device_model.clock import Now

BACKWARD_COUNTS = 8  # meters round or correct by so many counts; a reset from so low loses no more than that
# Without a rate a step of up to a quarter of the range is believed: a wider one reads as a reset, said to people.
STEP_SHARE = 4


class Turn(StrEnum):
    """What a new raw number meant."""

    ON = ""
    ROLLED = "rolled"
    RESET = "reset"


class Counter(msgspec.Struct):
    """What is known of one counter. turns: how often it rolled over; last: its last raw number, -1 before the first;
    wall_us, mono_us, boot: when that was read."""

    turns: int = 0
    last: int = -1
    wall_us: int = 0
    mono_us: int = 0
    boot: str = ""

    def take(self, number: int, maximum: int, rate_max: float, now: Now) -> Turn:
        """A new raw number of a counter that runs from 0 to `maximum`, by at most `rate_max` counts a second
        (0: not known)."""
        last, span = self.last, maximum + 1
        step, elapsed_s = span // STEP_SHARE, self._elapsed_s(now)
        if rate_max and elapsed_s is not None:
            step = min(step, round(rate_max * elapsed_s) + 1)
        self.last, self.wall_us, self.mono_us, self.boot = number, now.wall_us, now.mono_us, now.boot
        if last < 0 or number == last:
            return Turn.ON
        if (number - last) % span <= step:
            if number > last:
                return Turn.ON
            self.turns += 1
            return Turn.ROLLED
        if (last - number) % span <= BACKWARD_COUNTS:
            if number > last and self.turns:
                self.turns -= 1  # it stepped back over its end
            return Turn.ON
        if number > last:  # more than believed, but no fall: a long silence
            return Turn.ON
        self.turns = 0
        return Turn.RESET

    def _elapsed_s(self, now: Now) -> float | None:
        """Since the last number: by the monotonic clock, over a restart by the wall clock; None where that says
        nothing, because it was set back."""
        since_us = now.mono_us - self.mono_us if now.boot == self.boot else now.wall_us - self.wall_us
        return since_us / 1e6 if since_us >= 0 else None
