"""PartWatch: which part of the gateway has given no sign of life. A part shows life by looking at its clock.

    part ─now(), sleep(30)─► WatchedClock ─► "alive at 12 s, resting until 42 s" ─► PartWatch.hung(now)

A part that sleeps is expected when its sleep is over, not before; one that waits for something that never comes, with
no clock beside it, is overdue after the limit. Parts that may wait for ever by right (the disk's) are not watched.
"""

from __future__ import annotations

from device_model.clock import SECOND_US, Clock, Now


class PartWatch:
    """Signs of life by part. Times are monotonic microseconds of one boot."""

    def __init__(self, limit_s: float) -> None:
        """limit_s: a part is hung that should have moved so long ago."""
        self._limit_us = round(limit_s * SECOND_US)
        self._expected: dict[str, int] = {}

    def alive(self, part: str, at_us: int) -> None:
        """The part moved."""
        self._expected[part] = max(at_us, self._expected.get(part, at_us))

    def resting(self, part: str, until_us: int) -> None:
        """The part sleeps until then: it is not missed before."""
        self._expected[part] = max(until_us, self._expected.get(part, until_us))

    def forget(self, part: str) -> None:
        """The part is no more."""
        self._expected.pop(part, None)

    def hung(self, now_us: int, limits: float = 1.0) -> tuple[str, ...]:
        """Parts that should have moved more than `limits` times the limit ago."""
        return tuple(part for part, at in self._expected.items() if now_us - at > limits * self._limit_us)


class WatchedClock:
    """A part's clock: the same time, and a sign of life each time that the part looks at it."""

    def __init__(self, part: str, clock: Clock, watch: PartWatch) -> None:
        self._part, self._clock, self._watch = part, clock, watch

    def now(self) -> Now:
        """The present instant."""
        now = self._clock.now()
        self._watch.alive(self._part, now.mono_us)
        return now

    async def sleep(self, delay_s: float) -> None:
        """As the clock's; the part is not missed meanwhile."""
        self._watch.resting(self._part, self._clock.now().mono_us + round(max(0.0, delay_s) * SECOND_US))
        await self._clock.sleep(delay_s)
