"""OutputWriter (I/O by its drivers): writes outputs at once, one write per output at a time, none beyond its limit.

    DriveOutput ─► a task of its own ─► driver.write ─► OutputWritten │ OutputWriteFailed, back to the core
                   of several wishes meanwhile the last counts
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from device_model.clock import Clock
from device_model.errors import TocsinError
from edge_agent.events import OutputWriteFailed, OutputWritten
from edge_agent.field_lines import FieldLines
from edge_agent.outputs import Drive

WRITE_LIMIT_S = 5.0  # a write that has not come back by then failed, whatever its line is doing


class OutputWriter:
    """The hands of one gateway's outputs."""

    def __init__(self, field: FieldLines, clock: Clock, told: Callable[[OutputWritten | OutputWriteFailed], object],
                 *, speed: float = 1.0) -> None:
        """told: the core, of what became of each write. speed: how fast the clock runs against the machine's."""
        self._field, self._clock, self._told, self._speed = field, clock, told, speed
        self._writing: dict[str, asyncio.Task[None]] = {}
        self._next: dict[str, Drive] = {}

    def drive(self, drive: Drive, tasks: asyncio.TaskGroup) -> None:
        """Start the write at once. One write per output at a time; of several wishes meanwhile the last counts."""
        running = self._writing.get(drive.output)
        if running is not None and not running.done():
            self._next[drive.output] = drive
            return
        self._writing[drive.output] = tasks.create_task(self._write(drive), name=f"write {drive.output}")

    async def _write(self, drive: Drive) -> None:
        wish: Drive | None = drive
        while wish is not None:
            failure = await self._write_once(wish)
            self._told(OutputWritten(wish.output, wish.on) if failure is None
                       else OutputWriteFailed(wish.output, wish.on, failure))
            wish = self._next.pop(drive.output, None)

    async def _write_once(self, drive: Drive) -> str | None:
        """None when the device took it, else why not."""
        driver = self._field.of_device(drive.device)
        if driver is None:
            return f"the line of {drive.device} has no port"
        write = asyncio.ensure_future(driver.write(drive.device, drive.point, drive.value))
        limit = asyncio.ensure_future(self._clock.sleep(WRITE_LIMIT_S * self._speed))
        try:
            await asyncio.wait({write, limit}, return_when=asyncio.FIRST_COMPLETED)
            if not write.done():
                return f"not written within {WRITE_LIMIT_S:g} s"
            await write
        except TocsinError as error:
            return str(error) or type(error).__name__
        except Exception as error:  # noqa: BLE001  whatever a line does, the output is tried again
            return f"{type(error).__name__}: {error}"
        finally:
            write.cancel()
            limit.cancel()
        return None
