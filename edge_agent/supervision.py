"""Supervisor (I/O): runs the parts of the gateway for ever, each alone.

    part ends, dies ──► said, started again after 1, 2, 4 … 30 s
    part hangs 10 s ──► said, cancelled, started again        (PartWatch: no sign of life)
    does not even end: 20 s ──► `lost_parts`: the systemd watchdog is no longer fed, systemd restarts the gateway

A part that blocks the whole process cannot be found from inside: then nobody feeds the watchdog.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from device_model.clock import SECOND_US, Clock
from edge_agent.part_watch import PartWatch, WatchedClock

RETRY_FIRST_S, RETRY_MAX_S = 1.0, 30.0
HUNG_AFTER_S = 10.0
LOOK_EVERY_S = 1.0
LOST_AFTER_LIMITS = 2.0  # it was told to end and did not


class Supervisor:
    """Owned by one runtime."""

    def __init__(self, clock: Clock, *, speed: float = 1.0) -> None:
        """speed: shown seconds per real one; parts hang in real time."""
        self._clock = clock
        self.failed: Callable[[str, str], None] = lambda part, detail: None  # told each time, by whom the owner sets
        self._watch = PartWatch(HUNG_AFTER_S * speed)
        self._running: dict[str, asyncio.Future[None]] = {}
        self._hung: set[str] = set()
        self.failures: dict[str, int] = {}  # part → how often it was started again

    def clock_of(self, part: str) -> Clock:
        """The clock to give to a part that shall be watched."""
        return WatchedClock(part, self._clock, self._watch)

    def alive(self, part: str) -> None:
        """A sign of life of a part that has no clock of its own."""
        self._watch.alive(part, self._clock.now().mono_us)

    def lost_parts(self) -> tuple[str, ...]:
        """Parts that hang and could not be ended: only a new process helps."""
        return self._hanging(LOST_AFTER_LIMITS)

    def _hanging(self, limits: float) -> tuple[str, ...]:
        """Only what runs can hang: a driver that was made and not started yet has a clock, too."""
        return tuple(part for part in self._watch.hung(self._clock.now().mono_us, limits)
                     if part in self._running and not self._running[part].done())

    async def keep(self, part: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run a part until cancelled."""
        pause_s = RETRY_FIRST_S
        try:
            while True:
                began = self._clock.now().mono_us
                detail = await self._once(part, run)
                self.failures[part] = self.failures.get(part, 0) + 1
                self.failed(part, detail)
                if self._clock.now().mono_us - began > RETRY_MAX_S * SECOND_US:
                    pause_s = RETRY_FIRST_S
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_MAX_S)
        finally:
            self._watch.forget(part)
            self._running.pop(part, None)

    async def _once(self, part: str, run: Callable[[], Awaitable[None]]) -> str:
        """One life of a part; returns how it ended."""
        running = self._running[part] = asyncio.ensure_future(run())
        self._watch.forget(part)
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError:
            running.cancel()
            await asyncio.wait({running})
            raise
        finally:
            self._watch.forget(part)  # between its lives nobody misses it
        if part in self._hung:
            self._hung.discard(part)
            return f"no sign of life for {HUNG_AFTER_S:g} s"
        if running.cancelled():
            return "it was cancelled"
        error = running.exception()
        return "it ended" if error is None else f"{type(error).__name__}: {error}"

    async def watch(self) -> None:
        """Find hung parts and end them; `keep` starts them again. Until cancelled."""
        while True:
            for part in self._hanging(1.0):
                if part not in self._hung:
                    self._hung.add(part)
                    self._running[part].cancel()
            await self._clock.sleep(LOOK_EVERY_S)
