"""Field lines: the drivers of one gateway, each running by itself, opened, closed and changed one by one.

    site file ─► FieldLines ─► line 1: LinePoller~   devices put and dropped while it runs
                              line 2: MqttSensors~   opened anew when its own devices change: its broker and its
                              line 3: PanelListener~ panels say again what holds; the core keeps what it knows

A line whose devices did not change is never touched by a change of the site file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping

from device_drivers.driver import DeviceFailed, DeviceRead, Driver, DriverEvent, Emit, LineState, devices_on_line
from device_drivers.poller import LinePoller
from device_drivers.sensors import MqttSensors
from device_model.clock import Clock
from device_model.inventory import Inventory
from device_model.ports import LineExchange, MessageLink
from device_model.reading import Reason
from device_model.site import Line, LineKind
from edge_agent.site_diff import SiteChange


class LinePorts:
    """Open ports, by line id; one of the three kinds per line. A line without one is left out."""

    def __init__(
        self, lines: Mapping[str, LineExchange] | None = None, mqtt_lines: Mapping[str, MessageLink] | None = None,
        listening: Mapping[str, Callable[[Emit], Driver]] | None = None,
    ) -> None:
        """listening: what makes the driver of a line whose devices connect to us (panels, stations)."""
        self.lines, self.mqtt_lines, self.listening = dict(lines or {}), dict(mqtt_lines or {}), dict(listening or {})


_ERRORS = frozenset({Reason.SILENT, Reason.REFUSED, Reason.GARBLED, Reason.LINE_DOWN})
OpenPorts = Callable[[Inventory, Collection[str]], LinePorts]  # opens the ports of these lines of that site


class FieldLines:
    """All drivers. Owned by one runtime, which gives each a supervised task."""

    def __init__(self, inventory: Inventory, clock_of: Callable[[str], Clock], *, emit: Emit, emit_taken: Emit,
                 learnt: Mapping[str, bytes]) -> None:
        """clock_of: the watched clock of a part, by its name. emit_taken: for drivers that confirm to their device.
        learnt: line id → what it taught before a restart."""
        self._inventory, self._clock_of = inventory, clock_of
        self._emit, self._emit_taken = emit, emit_taken
        self.errors: dict[str, int] = {}  # line → failed polls, bad answers and outages since the start
        self._learnt = dict(learnt)
        self.drivers: dict[str, Driver] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._line_of = {device.id: device.line for device in inventory.site.devices}

    def add(self, ports: LinePorts) -> None:
        """Make the drivers of these ports; the runtime starts them."""
        for line, exchange in ports.lines.items():
            self.drivers[line] = self._poller(line, exchange)
        for line, link in ports.mqtt_lines.items():
            self.drivers[line] = self._sensors(line, link)
        for line, make in ports.listening.items():
            self.drivers[line] = make(self._emit_taken)

    def tally(self, event: DriverEvent) -> None:
        """Count what went wrong on a line: for health, not for judgement."""
        if isinstance(event, DeviceFailed):
            line = self._line_of.get(event.device, "")
        elif isinstance(event, LineState) and not event.up:
            line = event.line
        elif isinstance(event, DeviceRead) and any(r.reason in _ERRORS for r in event.readings):
            line = self._line_of.get(event.device, "")
        else:
            return
        self.errors[line] = self.errors.get(line, 0) + 1

    def of_device(self, device: str) -> Driver | None:
        """The driver that reaches a device, or None."""
        return self.drivers.get(self._line_of.get(device, ""))

    def learnt(self) -> dict[str, bytes]:
        """Line id → what its devices taught and counted so far, to be kept over a restart; safe to lose."""
        return {line: driver.learnt() for line, driver in self.drivers.items() if isinstance(driver, LinePoller)}

    def change(self, inventory: Inventory, change: SiteChange) -> tuple[str, ...]:
        """Put and drop devices of running Modbus lines at once. Returns the lines to be opened, or opened anew; until
        `close` has ended their old drivers these go on."""
        before, self._inventory = self._inventory, inventory
        line_before, self._line_of = self._line_of, {device.id: device.line for device in inventory.site.devices}
        reopened = {*change.lines_added, *change.lines_changed}
        for device in (*change.removed, *change.anew):
            line = line_before.get(device, "")
            driver = self.drivers.get(line)
            if isinstance(driver, LinePoller) and line not in reopened:
                driver.drop_device(device)
            elif line in {known.id for known in before.site.lines} and line not in change.lines_removed:
                reopened.add(line)
        for device in change.anew:
            line = self._line_of[device]
            driver = self.drivers.get(line)
            if isinstance(driver, LinePoller) and line not in reopened:
                driver.put_device(next(one for one in devices_on_line(inventory, line) if one.device.id == device))
            else:
                reopened.add(line)
        return tuple(line.id for line in inventory.site.lines if line.id in reopened)

    async def close(self, lines: Collection[str]) -> None:
        """End the drivers of these lines, and wait until their ports are free."""
        for line, octets in self.learnt().items():
            if line in lines:
                self._learnt[line] = octets
        ending = [task for line in lines if (task := self.tasks.pop(line, None)) is not None]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        for line in lines:
            self.drivers.pop(line, None)

    def _line(self, name: str) -> Line:
        return next(known for known in self._inventory.site.lines if known.id == name)

    def _poller(self, line: str, exchange: LineExchange) -> LinePoller:
        return LinePoller(self._line(line), devices_on_line(self._inventory, line), exchange,
                          self._clock_of(f"line {line}"), self._emit, learnt=self._learnt.get(line, b""))

    def _sensors(self, line: str, link: MessageLink) -> MqttSensors:
        of_site = self._line(line)
        if of_site.kind is not LineKind.MQTT:
            raise ValueError(f"line {line} is not an MQTT line")
        return MqttSensors(of_site, devices_on_line(self._inventory, line), link, self._clock_of(f"line {line}"),
                           self._emit)
