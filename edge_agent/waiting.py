"""Waiting for an event, but not for ever (I/O: tasks), by the clock given."""

from __future__ import annotations

import asyncio

from device_model.clock import Clock


async def either(event: asyncio.Event, clock: Clock, limit_s: float) -> None:
    """Return when the event is set, or after `limit_s` seconds of the clock."""
    if event.is_set():
        return
    waits = {asyncio.ensure_future(event.wait()), asyncio.ensure_future(clock.sleep(limit_s))}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
