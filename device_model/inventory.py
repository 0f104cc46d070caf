"""Inventory: a site's devices × their profiles = its points, resolved once when configuration loads.

Edge and cloud make the same inventory from the same site file; rules bind to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from sys import intern

import msgspec

from device_model.profile import DeviceProfile, ProfilePoint
from device_model.quantities import QUANTITIES, to_canonical
from device_model.site import Device, Site


class Point(msgspec.Struct, frozen=True):
    """One point of the site. `unit` is the canonical unit of its quantity: readings are converted on entry."""

    name: str  # "<device id>.<point id>"
    device: Device
    profile: DeviceProfile
    spec: ProfilePoint
    zone: str

    @property
    def quantity(self) -> str:
        """Name in `quantities.QUANTITIES`."""
        return self.spec.quantity

    @property
    def unit(self) -> str:
        """The canonical unit that readings of this point carry."""
        return QUANTITIES[self.spec.quantity].canonical


class Inventory:
    """All points of one site, by name, device and zone. Immutable after construction."""

    def __init__(self, site: Site, profiles: Mapping[str, DeviceProfile]) -> None:
        """Resolve; KeyError names a device whose profile is missing (the site check reports it first)."""
        self.site = site
        self.profiles = profiles
        self.devices: dict[str, Device] = {device.id: device for device in site.devices}
        # Interned, because drivers make the same names again, and a site may have 100,000.
        self.points: dict[str, Point] = {
            name: Point(name, device, profiles[device.profile], spec, device.zone)
            for device in site.devices
            for spec in profiles[device.profile].points
            for name in (intern(f"{device.id}.{spec.id}"),)
        }
        self._by_device: dict[str, tuple[Point, ...]] = _grouped(self.points.values(), "device")
        self._by_zone: dict[str, tuple[Point, ...]] = _grouped(self.points.values(), "zone")

    def of_device(self, device: str) -> tuple[Point, ...]:
        """The points of one device, in profile order."""
        return self._by_device.get(device, ())

    def in_zone(self, zone: str) -> tuple[Point, ...]:
        """The points of all devices in one zone."""
        return self._by_zone.get(zone, ())

    def with_quantity(self, quantity: str) -> tuple[Point, ...]:
        """All points that carry one quantity."""
        return tuple(point for point in self.points.values() if point.spec.quantity == quantity)

    def canonical(self, point: str, unit: str, value: float) -> float:
        """A number of that point in its canonical unit."""
        return to_canonical(self.points[point].spec.quantity, unit, value)


def _grouped(points: Iterable[Point], by: str) -> dict[str, tuple[Point, ...]]:
    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(point.device.id if by == "device" else point.zone, []).append(point)
    return {key: tuple(group) for key, group in groups.items()}
