"""Health of devices and lines: lost once, back once, and what that makes of their readings.

    DeviceFailed, LineState down,          ┌─ bad readings (SILENT, LINE_DOWN, …) of each point
    or nothing fresh within the limit ──►──┤  so that rules see "unknown", never a number (law 7)
                                           └─ one impairment per device or line, shown first
    DeviceRead ──► back: the impairment ends; the image gives readings again

A device that stays lost is not reported again, however often its polls fail; a device that was never heard since
the start is neither alive nor lost until the limit of its points is over.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from device_model.clock import Now
from device_model.impairment import Impairment, ImpairmentChange, ImpairmentKind, ImpairmentRegister, real_changes
from device_model.inventory import Inventory
from device_model.reading import Reading, Reason
from edge_agent.image import ProcessImage


class HealthStep(msgspec.Struct, frozen=True):
    """What one event changed: readings that became bad, impairments that began or ended, devices lost or back."""

    readings: tuple[Reading, ...] = ()
    changes: tuple[ImpairmentChange, ...] = ()
    lost: tuple[str, ...] = ()
    back: tuple[str, ...] = ()


class HealthMemory(msgspec.Struct, frozen=True):
    """What survives a restart: who is lost and why, which lines are down."""

    lost: dict[str, Reason] = {}
    lines_down: tuple[str, ...] = ()


class DeviceHealth:
    """Who is alive. Owned by one core; shares its image and impairment register."""

    def __init__(self, inventory: Inventory, image: ProcessImage, register: ImpairmentRegister) -> None:
        self._inventory = inventory
        self._image = image
        self._register = register
        self._heard: set[str] = set()
        self._lost: dict[str, Reason] = {}
        self._lines_down: set[str] = set()
        self._points = {device: tuple(point.name for point in inventory.of_device(device))
                        for device in inventory.devices}

    def rebind(self, inventory: Inventory, anew: Collection[str]) -> None:
        """The site file changed: devices that are gone are forgotten, those that stand elsewhere now (`anew`) must be
        heard before they are alive; what is lost stays lost until then."""
        self._inventory = inventory
        self._points = {device: tuple(point.name for point in inventory.of_device(device))
                        for device in inventory.devices}
        self._heard = {device for device in self._heard if device in self._points and device not in anew}
        self._lost = {device: why for device, why in self._lost.items() if device in self._points}
        self._lines_down &= {line.id for line in inventory.site.lines}

    @property
    def expected(self) -> int:
        """How many devices the site file names."""
        return len(self._inventory.devices)

    @property
    def alive(self) -> int:
        """How many of them were heard and are not lost."""
        return len(self._heard)

    def heard(self, device: str, readings: Sequence[Reading], fresh: Sequence[str], at: Now) -> HealthStep:
        """A driver spoke of the device. What proves that it lives ends its silence; a point that the driver calls
        silent is one lack, and ends when it is read again."""
        if device not in self._inventory.devices:
            return HealthStep()
        changes: list[ImpairmentChange | None] = []
        for reading in readings:
            if reading.reason is Reason.SILENT:
                changes.append(self._register.begin(self._silent_point(reading.point, at)))
            elif reading.reason is not Reason.NOT_YET_READ:
                changes.append(self._register.end(ImpairmentKind.SILENT, reading.point, at.wall_us))
        if not _proves_life(readings, fresh):
            return HealthStep(changes=real_changes(changes))
        self._heard.add(device)
        back = self._lost.pop(device, None) is not None
        if back:
            changes.append(self._register.end(ImpairmentKind.SILENT, device, at.wall_us))
        return HealthStep(changes=real_changes(changes), back=(device,) if back else ())

    def failed(self, device: str, reason: Reason, detail: str, at: Now) -> HealthStep:
        """The driver gave the device up for now: all its points become bad, once."""
        if device not in self._inventory.devices or self._lost.get(device) is reason:
            return HealthStep()
        first = device not in self._lost
        self._lost[device] = reason
        self._heard.discard(device)
        readings = self._image.impose(self._points[device], reason, at)
        change = self._register.begin(Impairment(
            ImpairmentKind.SILENT, device, at.wall_us, self._inventory.devices[device].zone,
            why=f"{reason.value}: {detail}" if detail else reason.value))
        return HealthStep(readings, real_changes([change]), (device,) if first else ())

    def line(self, line: str, up: bool, detail: str, at: Now) -> HealthStep:
        """A line or broker went or came. Devices come back one by one, as each is heard."""
        if up:
            self._lines_down.discard(line)
            return HealthStep(changes=real_changes([self._register.end(ImpairmentKind.LINE_DOWN, line, at.wall_us)]))
        self._lines_down.add(line)
        changes = [self._register.begin(Impairment(ImpairmentKind.LINE_DOWN, line, at.wall_us, why=detail))]
        readings: list[Reading] = []
        lost: list[str] = []
        for device in self._inventory.site.devices:
            if device.line == line and device.id not in self._lost:
                step = self.failed(device.id, Reason.LINE_DOWN, detail, at)
                readings += step.readings
                changes += step.changes
                lost += step.lost
        return HealthStep(tuple(readings), real_changes(changes), tuple(lost))

    def check(self, now: Now) -> HealthStep:
        """Find what was not proven fresh within its limit: whole devices, or single points of live ones."""
        overdue: dict[str, list[str]] = {}
        for point in self._image.overdue(now):
            overdue.setdefault(self._inventory.points[point].device.id, []).append(point)
        readings: list[Reading] = []
        changes: list[ImpairmentChange | None] = []
        lost: list[str] = []
        for device, points in overdue.items():
            if device in self._lost:
                # Given up before a restart or by the driver: its points are bad already or become so silently.
                readings += self._image.impose(points, self._lost[device], now)
            elif self._all_quiet(device, points):
                step = self.failed(device, Reason.SILENT, "nothing fresh within the limit of its points", now)
                readings += step.readings
                changes += step.changes
                lost += step.lost
            else:
                readings += self._image.impose(points, Reason.SILENT, now)
                changes += [self._register.begin(self._silent_point(point, now)) for point in points]
        return HealthStep(tuple(readings), real_changes(changes), tuple(lost))

    def _all_quiet(self, device: str, points: list[str]) -> bool:
        return all(point in points or self._image.is_silent(point) for point in self._points[device])

    def _silent_point(self, point: str, now: Now) -> Impairment:
        place = self._inventory.points[point]
        return Impairment(ImpairmentKind.SILENT, point, now.wall_us, place.zone,
                          why=f"no fresh value for {place.spec.stale_after_s:g} s")

    def memory(self) -> HealthMemory:
        """What the checkpoint keeps."""
        return HealthMemory(dict(self._lost), tuple(sorted(self._lines_down)))

    def resume(self, memory: HealthMemory, now: Now) -> HealthStep:
        """After a restart: what was lost stays lost until it is heard (reported once, not once per boot)."""
        self._lines_down = set(memory.lines_down)
        readings: list[Reading] = []
        for device, reason in memory.lost.items():
            if device in self._inventory.devices:
                self._lost[device] = reason
                readings += self._image.impose(self._points[device], reason, now)
        return HealthStep(tuple(readings))


def _proves_life(readings: Sequence[Reading], fresh: Sequence[str]) -> bool:
    """Freshness does; so does an answer that is no value (refused, garbled), and a driver's bare "it is back". What
    a broker remembers does not, and that a point fell silent does not."""
    return bool(fresh) or not readings or any(
        reading.reason not in (Reason.SILENT, Reason.NOT_YET_READ) for reading in readings)
