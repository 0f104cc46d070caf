"""The real clock (I/O): the only file of the product that reads the machine's time.

Two processes that are given the same `TimeScale` show the same time, because CLOCK_MONOTONIC is one for the
whole machine. The demo hands the scale to its children in `TOCSIN_TIME_SCALE`.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import msgspec

from device_model.clock import Now, TimeScale

SCALE_VARIABLE = "TOCSIN_TIME_SCALE"
_BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


class SystemClock:
    """The machine's clock, optionally scaled; implements `device_model.clock.Clock`."""

    def __init__(self, scale: TimeScale | None = None) -> None:
        self._scale = scale
        self._boot = _boot_id()

    def now(self) -> Now:
        """The present instant; with a scale both times run scaled."""
        mono_us = time.monotonic_ns() // 1000
        if self._scale is None:
            return Now(time.time_ns() // 1000, mono_us, self._boot)
        return Now(self._scale.shown(mono_us), round(mono_us * self._scale.speed), self._boot)

    async def sleep(self, delay_s: float) -> None:
        """Sleep `delay_s` seconds of shown time."""
        speed = self._scale.speed if self._scale else 1.0
        await asyncio.sleep(max(0.0, delay_s) / speed)

    @property
    def speed(self) -> float:
        """Shown seconds per real second."""
        return self._scale.speed if self._scale else 1.0


def clock_from_environment() -> SystemClock:
    """The clock of this process: scaled if the demo says so, else plain."""
    text = os.environ.get(SCALE_VARIABLE)
    return SystemClock(msgspec.json.decode(text, type=TimeScale) if text else None)


def new_time_scale(speed: float) -> TimeScale:
    """A scale that shows the true time now and runs `speed` times as fast from here on."""
    return TimeScale(speed, time.monotonic_ns() // 1000, time.time_ns() // 1000)


def real_mono_us() -> int:
    """Real microseconds since boot, never scaled: for measuring latency only."""
    return time.monotonic_ns() // 1000


def _boot_id() -> str:
    """A short name of this boot; random per process start where the kernel offers none."""
    if _BOOT_ID_FILE.exists():
        return _BOOT_ID_FILE.read_text(encoding="ascii").strip()[:8]
    return os.urandom(4).hex()
