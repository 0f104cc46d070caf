"""ProfileDesk (I/O): the profile editor's work: looks at texts in a thread, keeps one edited profile running.

    text ─► look (one at a time, in a thread: a slow text never holds up the simulator) ─► ProfileLook
         ─► start ─► ProfileRun, one at a time ─► view, set, stop          save ─► ProfileShelf
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path

from device_model.clock import Clock
from device_model.errors import LocalFault
from device_model.reading import Value
from trial.profile_look import ProfileLook, look_at, read_draft
from trial.profile_run import ProfileRun, RunView
from trial.profile_shelf import ProfileShelf

WAITING_MAX = 8  # looks that wait for their turn: each open page has at most one that matters


class ProfileDesk:
    """shelf: what may be opened and kept; folder: for what a run needs; broker: for runs of MQTT profiles, "": one of
    their own."""

    def __init__(self, clock: Clock, shelf: ProfileShelf, folder: Path, broker: str = "") -> None:
        self.shelf = shelf
        self._clock, self._folder, self._broker = clock, folder, broker
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._run: ProfileRun | None = None
        self._task: asyncio.Task[None] | None = None

    async def look(self, text: str, samples: Mapping[str, str]) -> ProfileLook:
        """What there is to say of a text. Raises LocalFault where too many wait."""
        if self._waiting >= WAITING_MAX:
            raise LocalFault("too many pages ask at once; wait a moment")
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(look_at, text, samples)
        finally:
            self._waiting -= 1

    async def start(self, text: str) -> str:
        """Bring an edited profile to life instead of the one before; its id. Raises ConfigError, LocalFault."""
        profile = await asyncio.to_thread(read_draft, text)
        run = ProfileRun(profile, self._clock, self._folder, self._broker)
        await self.stop()
        self._run, self._task = run, asyncio.create_task(run.run())
        return profile.id

    async def stop(self) -> None:
        """End the run, and give its port back."""
        task, self._task, self._run = self._task, None, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def view(self) -> RunView | None:
        """How the run stands; None where there is none."""
        return self._run.view() if self._run is not None else None

    def set(self, point: str, value: Value | str) -> None:
        """The running device shows this. Raises ConfigError, LocalFault."""
        if self._run is None:
            raise LocalFault("no edited profile runs: press Run it")
        self._run.set(point, value)
