"""The latest value of every point of a site, for the plan of an incident's floor (pure).

    reading ──► newest by point ──► live(zones): the floors concerned, and the site's fire water, each with age and
                                    quality; a point that was never heard says so

Bounded by the inventory. The checkpoint holds only the floors of open incidents and the water; after a restart the
others begin anew and say that they were not heard yet, which is true of this cloud.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import msgspec

from device_model.clock import SECOND_US
from device_model.inventory import Inventory, Point
from device_model.quantities import QUANTITIES
from device_model.read_models import LiveValue
from device_model.reading import Quality, Reading, Reason
from device_model.site import Text

# What a screen shows; a floor with more devices shows those of the incident's own zones first.
DEVICES_SHOWN = 40
POINTS_OF_DEVICE = 3
WATER_SHOWN = 12
# A floor's plan is redrawn this often for its quiet neighbours; the incident's own zones are redrawn every second.
NEIGHBOURS_EVERY_US = 5 * SECOND_US
WATER = frozenset({"pressure", "level", "flow"})
# What says how the device is, not how the place is.
ABOUT_THE_DEVICE = frozenset({"state_code", "count", "uptime", "age", "battery", "signal", "link_quality"})
TEXT_MAX = 40
# In the checkpoint, which is one key of less than 1 MiB: about 170 kB.
KEPT_MAX = 2000
# The list of quantities begins with alarms, goes on with what is measured, and ends with the device itself.
# Temperature stands behind gases: most gas detectors measure theirs beside what they are there for.
_RANK = {**{name: float(rank) for rank, name in enumerate(QUANTITIES)},
         "temperature": list(QUANTITIES).index("oxygen") + 0.5}


class Heard(msgspec.Struct, frozen=True, array_like=True):
    """The newest of one point. told_us: when a plan was last drawn again because of it."""

    at_us: int
    value: bool | int | float | str | None
    quality: Quality
    reason: Reason
    told_us: int = 0


class LiveValues:
    """Owned by one site worker."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._heard: dict[str, Heard] = {}
        floors: dict[tuple[str, str], list[str]] = {}
        for zone in inventory.site.zones:
            floors.setdefault((zone.building, zone.floor), []).append(zone.id)
        self._floor_of = {zone: tuple(zones) for zones in floors.values() for zone in zones}
        self._names = {point.name: Text(f"{point.device.place.en} {point.spec.en}".strip(),
                                        f"{point.device.place.zh} {point.spec.zh}".strip())
                       for point in inventory.points.values()}
        self._water = [point for point in inventory.points.values() if point.quantity in WATER][:WATER_SHOWN]
        self._is_water = {point.name for point in self._water}
        self._every_zone = tuple(zone.id for zone in inventory.site.zones)

    def add(self, reading: Reading) -> tuple[str, ...]:
        """Keep it where it is the newest; returns the zones whose plans should be drawn again because of it."""
        point = self._inventory.points.get(reading.point)
        if point is None:
            return ()
        known = self._heard.get(point.name)
        if known is not None and known.at_us > reading.source_time_us:
            return ()  # backlog
        value = reading.value[:TEXT_MAX] if isinstance(reading.value, str) else reading.value
        changed = known is None or (known.value, known.quality) != (value, reading.quality)
        told_us = known.told_us if known is not None else 0
        told = changed or reading.source_time_us - told_us >= NEIGHBOURS_EVERY_US
        self._heard[point.name] = Heard(reading.source_time_us, value, reading.quality, reading.reason,
                                        reading.source_time_us if told else told_us)
        if not told:
            return ()
        return self._every_zone if point.name in self._is_water else self._floor_of.get(point.zone, ())

    def live(self, zones: Iterable[str]) -> tuple[LiveValue, ...]:
        """The floors of these zones, their own devices first, and the water of the site."""
        points = [point for device in self._devices(list(zones)) for point in self._of(device)]
        names = {point.name for point in points}
        return tuple(self._view(point) for point in (*points, *(p for p in self._water if p.name not in names)))

    def _devices(self, zones: list[str]) -> list[str]:
        wanted = [*zones, *(zone for one in zones for zone in self._floor_of.get(one, ()))]
        devices = dict.fromkeys(point.device.id for zone in dict.fromkeys(wanted)
                                for point in self._inventory.in_zone(zone))
        return list(devices)[:DEVICES_SHOWN]

    def _of(self, device: str) -> list[Point]:
        """What says most of the place: alarms and measurements before what is about the device itself."""
        points = [point for point in self._inventory.of_device(device) if point.quantity not in ABOUT_THE_DEVICE]
        return sorted(points, key=lambda point: _RANK[point.quantity])[:POINTS_OF_DEVICE]

    def _view(self, point: Point) -> LiveValue:
        heard, spec = self._heard.get(point.name), self._names[point.name]
        unit = "" if QUANTITIES[point.quantity].text else point.unit
        if heard is None:
            return LiveValue(point.name, point.device.id, spec, point.zone, point.quantity, unit, quality=Quality.BAD,
                             reason=Reason.NOT_YET_READ)
        return LiveValue(point.name, point.device.id, spec, point.zone, point.quantity, unit, heard.value,
                         heard.at_us, heard.quality, heard.reason)

    def kept(self, zones: Iterable[str]) -> dict[str, Heard]:
        """For the checkpoint."""
        wanted = {floor_mate for zone in zones for floor_mate in self._floor_of.get(zone, ())}
        kept = (name for name in self._heard
                if self._inventory.points[name].zone in wanted or (wanted and name in self._is_water))
        return {name: self._heard[name] for name in islice(sorted(kept), KEPT_MAX)}

    def resume(self, kept: dict[str, Heard]) -> None:
        """From a checkpoint; points that the site file no longer has are left out."""
        self._heard = {name: heard for name, heard in kept.items() if name in self._inventory.points}
