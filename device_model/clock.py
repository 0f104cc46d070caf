"""Time as a value: `Now`, and the clock that gives it.

All times are integers of microseconds. Microseconds since 1970 stay below 2**53 until the year 2255, so a
reader in any language that has only doubles keeps them exactly.

A gateway has no battery clock. `Now` therefore carries two times: the monotonic one, which is always right
within one boot, and the wall time, which is an estimate with a stated error and may be corrected later. Order
and durations come from the monotonic time; people and other machines are shown the wall time.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US


class Now(msgspec.Struct, frozen=True):
    """One instant, as one machine sees it.

    wall_us: microseconds since 1970-01-01 UTC, this machine's best estimate.
    mono_us: microseconds since this boot; never steps back, comparable only under the same `boot`.
    boot: names the boot (or, in a simulation, the machine's life) that `mono_us` belongs to.
    wall_error_us: the true UTC time lies within this distance of `wall_us`; -1 while nothing is known.
    """

    wall_us: int
    mono_us: int
    boot: str
    wall_error_us: int = 0

    def later(self, delay_us: int) -> Now:
        """The same machine, `delay_us` microseconds later."""
        return Now(self.wall_us + delay_us, self.mono_us + delay_us, self.boot, self.wall_error_us)


class Clock(Protocol):
    """One of the five ports of the simulation (see `ports.py`)."""

    def now(self) -> Now:
        """The present instant."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds of this clock (a scaled clock sleeps less)."""
        ...


class TimeScale(msgspec.Struct, frozen=True):
    """How shown time runs against real time: `shown = anchor_wall + (real - anchor_mono) * speed`.

    The demo and accelerated scenarios run all their processes with one scale, so that every part agrees on
    what time it is. `speed` 1 with the anchors at zero means plain time.
    """

    speed: float = 1.0
    anchor_mono_us: int = 0
    anchor_wall_us: int = 0

    def shown(self, real_mono_us: int) -> int:
        """The wall time (µs since 1970) shown at a real monotonic time (µs since boot)."""
        return self.anchor_wall_us + round((real_mono_us - self.anchor_mono_us) * self.speed)

    def real_delay_s(self, shown_delay_s: float) -> float:
        """Real seconds that pass while `shown_delay_s` shown seconds pass."""
        return shown_delay_s / self.speed
