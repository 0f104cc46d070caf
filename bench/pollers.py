"""Line pollers in this process, and server processes for them: what `rtu` and `isolation` share."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence

from device_drivers.driver import DeviceFailed, DeviceRead, DriverEvent, LineDevice
from device_drivers.links import open_modbus_line
from device_drivers.poller import LinePoller
from device_model.clock import Clock
from device_model.errors import LocalFault
from device_model.profile import (
    Certainty,
    DeviceClass,
    DeviceProfile,
    ModbusTraits,
    ProfilePoint,
    RegisterSource,
    Table,
)
from device_model.site import Device, Line, Text

READY_S = 30.0


def measuring_profile(registers: int, period_s: float) -> DeviceProfile:
    """One block of currents, nothing of fire class, default time-outs."""
    points = tuple(ProfilePoint(f"r{n}", "current", "A", "current", "电流", RegisterSource(Table.HOLDING, n),
                                poll_interval_s=period_s, stale_after_s=max(30.0, 10 * period_s))
                   for n in range(registers))
    return DeviceProfile("bench", 1, "Tocsin", "bench", "bench", "基准", DeviceClass.POWER_METER, Certainty.B,
                         "made for bench", points, modbus=ModbusTraits())


class WatchedLine:
    """A poller of units 1…n, and when each device was read or lost."""

    def __init__(self, line: Line, units: int, profile: DeviceProfile, clock: Clock) -> None:
        self.read_us: dict[str, list[int]] = {}
        self.lost: set[str] = set()
        devices = [LineDevice(Device(f"d{unit}", profile.id, line.id, "z", Text("", ""), unit=unit), profile)
                   for unit in range(1, units + 1)]
        self.poller = LinePoller(line, devices, open_modbus_line(line), clock, self._heard)

    def _heard(self, event: DriverEvent) -> None:
        if isinstance(event, DeviceRead) and event.fresh:
            self.read_us.setdefault(event.device, []).append(event.at.mono_us)
        elif isinstance(event, DeviceFailed):
            self.lost.add(event.device)


class ServerProcess:
    """A server module as a process; `said` is its first line."""

    def __init__(self, process: asyncio.subprocess.Process, said: str) -> None:
        self._process, self.said = process, said
        self._rest = asyncio.create_task(self._drain())

    @staticmethod
    async def start(module: str, *arguments: str) -> ServerProcess:
        """Start it; LocalFault when it says nothing."""
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, *arguments,
                                                       stdout=asyncio.subprocess.PIPE)
        said = await asyncio.wait_for(process.stdout.readline(), READY_S) if process.stdout else b""
        if not said:
            raise LocalFault(f"{module} did not start")
        return ServerProcess(process, said.decode().strip())

    async def _drain(self) -> None:
        if self._process.stdout is not None:
            async for _ in self._process.stdout:
                pass

    async def stop(self) -> None:
        """End it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        self._rest.cancel()
        await asyncio.gather(self._rest, return_exceptions=True)


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel, and wait until they are gone."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
