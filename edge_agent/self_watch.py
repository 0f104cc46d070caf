"""SelfWatch (I/O): the running gateway looks at itself: at its machine in a thread, at its parts directly.

    machine.py~ ──look, one at a time──┐
    GatewayRuntime ────────────────────┼─► report() ─► local control (`tocsin doctor`), metrics
    cameras (who watches them says) ───┘─► inside() ─► GatewayDevice, where the site file has a line for it
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from device_drivers.driver import Emit, LineDevice
from device_model.clock import Clock, Now
from device_model.impairment import ImpairmentKind
from device_model.reading import Value
from device_model.site import Site
from edge_agent.gateway_device import GatewayDevice
from edge_agent.gateway_report import GatewayReport, LineReport, LinkReport, inside
from edge_agent.machine import look_at_machine
from edge_agent.machine_look import MachineLook, machine_values
from edge_agent.runtime import GatewayRuntime

LOOK_WITHIN_S = 3.0  # real time: a disk that hangs may keep a look for minutes; the last one stands meanwhile


class SelfWatch:
    """Owned by one composition."""

    def __init__(self, site: Site, clock: Clock, version: str) -> None:
        cloud = site.gateway.cloud
        self._folder = Path(site.gateway.journal_path).parent
        self._certificate = cloud.certificate_file if cloud is not None else ""
        self._gateway, self._cloud, self._clock, self._version = site.gateway.id, cloud is not None, clock, version
        self._looking: asyncio.Future[MachineLook] | None = None
        self._last = MachineLook()
        self._before: MachineLook | None = None
        self._started_us = clock.now().wall_us
        self.runtime: GatewayRuntime | None = None
        self.cameras: Callable[[], Mapping[str, bool]] = dict  # name → has a picture; set by who watches cameras
        self.links: Callable[[], Sequence[LinkReport]] = tuple
        self.clock_source: Callable[[], str] = str

    async def look(self) -> MachineLook:
        """One look, or the last one where the disk keeps it."""
        if self._looking is None:
            self._looking = asyncio.ensure_future(asyncio.to_thread(
                look_at_machine, self._folder, self._certificate))
        done, _ = await asyncio.wait({self._looking}, timeout=LOOK_WITHIN_S)
        if done:
            self._before, self._last, self._looking = self._last, self._looking.result(), None
        return self._last

    def device(self, line: str, devices: Sequence[LineDevice], clock: Clock, emit: Emit) -> GatewayDevice:
        """The driver of a line of kind `gateway`."""
        return GatewayDevice(line, devices, clock, emit, look=self.look, inside=self._inside)

    def _inside(self, now: Now) -> dict[str, Value | None]:
        runtime = self.runtime
        if runtime is None or not runtime.started.is_set():
            return {}
        return inside(now, links=tuple(self.links()), impairments=runtime.core.impairments(),
                      errors=runtime.field.errors, cameras=self.cameras(), backlog=runtime.core.outbox.backlog(),
                      failures=runtime.failures)

    async def report(self) -> GatewayReport | None:
        """What to tell the doctor; None while the gateway starts."""
        runtime = self.runtime
        if runtime is None or not runtime.started.is_set():
            return None
        look = await self.look()
        core, now = runtime.core, self._clock.now()
        down = {i.subject for i in core.impairments() if i.kind is ImpairmentKind.LINE_DOWN}
        cpu = machine_values(look, self._before, now.wall_us)["cpu"]
        return GatewayReport(
            self._gateway, self._version, now.wall_us, now.boot, now.wall_error_us, self._started_us, look,
            cpu if isinstance(cpu, float) else None, self._cloud, tuple(self.links()),
            tuple(LineReport(line.id, line.id in runtime.field.drivers and line.id not in down,
                             runtime.field.errors.get(line.id, 0)) for line in core.inventory.site.lines),
            dict(self.cameras()), core.outbox.backlog(), core.journal_ok, core.health.expected, core.health.alive,
            len(core.open_alarms()), core.impairments(), dict(runtime.failures), runtime.supervisor.lost_parts(),
            dict(core.counts), self.clock_source())
