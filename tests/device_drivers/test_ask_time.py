"""A read of a scan or diagnosis says how long the line had it, not how long it waited for its turn."""

from __future__ import annotations

import asyncio

from device_drivers.poller import LinePoller
from device_model.clock import Clock
from device_model.ports import LineReply, LineRequest
from tests.device_drivers.rig import TCP, entry, point, profile
from trial.virtual_time import VirtualClock, VirtualLoop


class SlowLink:
    """Every exchange takes 0.3 s."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def exchange(self, request: LineRequest, *, timeout_s: float) -> LineReply:
        await self._clock.sleep(0.3)
        return LineReply(request.unit, request.function, bytes(2 * request.count))

    async def drain(self, hold_s: float) -> None:
        """TCP."""

    async def close(self) -> None:
        """Nothing is open."""


def test_the_wait_behind_polls_is_no_slow_answer() -> None:
    loop = VirtualLoop()
    clock = VirtualClock(loop, "boot", wall_us=1_700_000_000_000_000)
    took: list[int] = []

    async def run() -> int:
        poller = LinePoller(TCP, [entry("d", profile(point("a", poll_interval_s=1.0)))], SlowLink(clock), clock,
                            lambda _: None)
        polling = asyncio.create_task(poller.run())
        await clock.sleep(0.1)  # the first poll has the line
        began_us = clock.now().mono_us
        await poller.ask(LineRequest(1, 3, 0, 1), timeout_s=1.0, took=took.append)
        waited_us = clock.now().mono_us - began_us
        polling.cancel()
        await asyncio.wait([polling])
        return waited_us

    waited_us = loop.run_until_complete(run())
    assert took == [300_000] and waited_us > 400_000
