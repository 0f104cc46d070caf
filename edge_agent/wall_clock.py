"""WallTrust: how far the gateway's wall clock may be wrong, from what the machine says of it. Pure.

    adjtimex, chronyc, RTC ──clock_look.py~──► ClockLook ─┐
    wall and monotonic time of each moment ───────────────┴─► error bound, -1 while the clock was never set

    year before 2025                        never set                            -1
    a time server holds the clock           its own bound, growing until the next look
    it did in this boot, and does no more   the last bound, growing by 100 ppm
    an RTC with a battery                   5 min
    none of these                           one day: shown as a doubt
    the wall stepped against the monotonic  at least the step, for 10 min: a corrected clock, or a time server
                                            that lies; nobody can tell which of the two times was right

Order and durations never come from here: they are monotonic (DESIGN, "Time").
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from device_model.clock import DAY_US, MINUTE_US, SECOND_US, Clock, Now

BEFORE_TOCSIN_US = 1_735_689_600_000_000  # 2025-01-01
DRIFT_PPM = 100  # of a crystal without a time server; boards are within 50
RTC_ERROR_US = 5 * MINUTE_US
UNKNOWN_ERROR_US = DAY_US
STEP_US = 2 * SECOND_US  # slewing and a leap second stay below
DOUBT_FOR_US = 10 * MINUTE_US


class _RawClock(Clock, Protocol):
    """What the machine shows, without a bound."""

    @property
    def speed(self) -> float: ...


class ClockLook(msgspec.Struct, frozen=True):
    """What the machine says of its clock. error_us: of the time server's bound, when `synced`. source: chrony, ntp,
    rtc or ""."""

    synced: bool = False
    error_us: int = 0
    rtc: bool = False
    source: str = ""


class WallTrust:
    """One boot's clock. Not thread-safe."""

    def __init__(self) -> None:
        self._look = ClockLook()
        self._held: tuple[int, int] | None = None  # monotonic time and bound of the last look with a time server
        self._offset: int | None = None
        self._doubt: tuple[int, int] | None = None  # until when (monotonic), and how far
        self.steps = 0

    @property
    def look(self) -> ClockLook:
        """The latest look."""
        return self._look

    def looked(self, look: ClockLook, mono_us: int) -> None:
        """The machine was asked."""
        self._look = look
        if look.synced:
            self._held = mono_us, look.error_us

    def error_us(self, wall_us: int, mono_us: int) -> int:
        """The bound at a moment; -1: never set."""
        self._follow(wall_us, mono_us)
        if wall_us < BEFORE_TOCSIN_US:
            return -1
        bound = self._bound(mono_us)
        if self._doubt is not None:
            until_us, far_us = self._doubt
            if mono_us < until_us:
                return max(bound, far_us)
            self._doubt = None
        return bound

    def _bound(self, mono_us: int) -> int:
        if self._held is not None:
            at_us, bound = self._held
            return bound + max(0, mono_us - at_us) * DRIFT_PPM // 1_000_000
        return RTC_ERROR_US if self._look.rtc else UNKNOWN_ERROR_US

    def _follow(self, wall_us: int, mono_us: int) -> None:
        """Notice a step. The first setting of a clock that was never set is none."""
        offset, before = wall_us - mono_us, self._offset
        self._offset = offset
        if before is None or abs(offset - before) < STEP_US:
            return
        self.steps += 1
        if before + mono_us >= BEFORE_TOCSIN_US:
            self._doubt = mono_us + DOUBT_FOR_US, abs(offset - before)


class TrustedClock:
    """`device_model.clock.Clock` with an error bound in each `Now`."""

    def __init__(self, clock: _RawClock, trust: WallTrust) -> None:
        self._clock, self.trust = clock, trust

    def now(self) -> Now:
        """The present instant and how far its wall time may be wrong."""
        now = self._clock.now()
        return msgspec.structs.replace(now, wall_error_us=self.trust.error_us(now.wall_us, now.mono_us))

    async def sleep(self, delay_s: float) -> None:
        """As the clock's."""
        await self._clock.sleep(delay_s)

    @property
    def speed(self) -> float:
        """Shown seconds per real one."""
        return self._clock.speed


def chrony_look(csv: str) -> ClockLook | None:
    """`chronyc -c tracking`: one line of values (chronyc(1): system time is field 5, root delay 11, root dispersion
    12, leap status 14). None where it is none; not synchronised is a look of its own."""
    fields = csv.strip().split(",")
    if len(fields) < 14:
        return None
    try:
        offset, delay, dispersion = float(fields[4]), float(fields[10]), float(fields[11])
    except ValueError:
        return None
    if not (abs(offset) < 1e9 and 0 <= delay < 1e6 and 0 <= dispersion < 1e9):
        return None
    synced = fields[13].strip() != "Not synchronised"
    return ClockLook(synced, round((abs(offset) + delay / 2 + dispersion) * 1e6), source="chrony" if synced else "")
