"""A poller ends when it is cancelled, also where its link swallows the cancellation (wait_for on Python 3.11)."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from device_drivers.poller import LinePoller
from device_model.ports import LineReply, LineRequest
from device_model.system_clock import SystemClock
from tests.device_drivers.rig import TCP, entry, point, profile


class SwallowingLink:
    """Answers; a cancellation that meets the answer is lost, as in asyncio.wait_for before Python 3.12."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.swallowed = 0
        self.closed = False

    async def exchange(self, request: LineRequest, *, timeout_s: float) -> LineReply:
        self.asked.set()
        try:
            await asyncio.sleep(3600 if not self.swallowed else 0)
        except asyncio.CancelledError:
            self.swallowed += 1
        return LineReply(request.unit, request.function, bytes(2 * request.count))

    async def drain(self, hold_s: float) -> None:
        """TCP."""

    async def close(self) -> None:
        self.closed = True


async def test_a_swallowed_cancellation_still_ends_the_poller() -> None:
    link = SwallowingLink()
    device = entry("d", profile(point("a", poll_interval_s=0.001)))
    poller = LinePoller(TCP, [device], link, SystemClock(), lambda _: None)
    task = asyncio.create_task(poller.run())
    await link.asked.wait()
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=60)
    assert task in done and link.swallowed == 1 and link.closed
    with suppress(asyncio.CancelledError):
        await task
