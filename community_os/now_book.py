"""Now book (pure): the newest hot work score, gas reading and head count of a site, as one row.

    reading of a watched quantity ──► newest by point ──► row: 2 s after a change, 30 s after a repetition

Bounded by the inventory. After a restart of the worker it begins anew: the row keeps what was stored until something
is heard, and each value carries its own time.
"""

from __future__ import annotations

import msgspec

from community_os.store_changes import NowRow, StoreChange
from device_model.clock import SECOND_US
from device_model.inventory import Inventory, Point
from device_model.place_now import WATCHED, PlaceNow, ZoneName
from device_model.quantities import QUANTITIES
from device_model.read_models import LiveValue
from device_model.reading import Quality, Reading, Reason
from device_model.site import Text

EVERY_US = 2 * SECOND_US
AGAIN_US = 30 * SECOND_US  # only the ages are new: no reason to write each telemetry batch
# What one row shows: an estate with more watched points than this is several sites.
POINTS_MAX = 400


class NowBook:
    """Owned by one site worker."""

    def __init__(self, inventory: Inventory) -> None:
        self._site = inventory.site
        points = [point for point in inventory.points.values() if point.quantity in WATCHED][:POINTS_MAX]
        self._values = {point.name: _unheard(point) for point in points}
        zones = {point.zone for point in points} | {zone.id for zone in self._site.zones if zone.people_limit}
        self._zones = tuple(ZoneName(zone.id, zone.name, zone.kind, round(zone.people_limit or 0))
                            for zone in self._site.zones if zone.id in zones)
        self._wait_us: int | None = None  # how long after the last row the next one is due; None: nothing new
        self._told_us = 0

    def add(self, reading: Reading) -> None:
        """Keep it where it is the newest of a watched point."""
        known = self._values.get(reading.point)
        if known is None or known.at_us > reading.source_time_us:
            return
        bad = reading.quality is Quality.BAD or isinstance(reading.value, str)
        self._values[reading.point] = msgspec.structs.replace(
            known, value=None if bad else reading.value, at_us=reading.source_time_us, quality=reading.quality,
            reason=reading.reason)
        new = self._values[reading.point]
        changed = (known.value, known.quality) != (new.value, new.quality)
        self._wait_us = EVERY_US if changed or self._wait_us == EVERY_US else AGAIN_US

    def rows(self, now_us: int) -> list[StoreChange]:
        """The row, where something was heard and the last one is old enough."""
        if self._wait_us is None or now_us < self._told_us + self._wait_us:
            return []
        self._wait_us, self._told_us = None, now_us
        values = tuple(self._values.values())
        return [NowRow(PlaceNow(self._site.tenancy, self._site.name, now_us, values, self._zones))]

    def due_us(self) -> int | None:
        """When `rows` will have something."""
        return None if self._wait_us is None else self._told_us + self._wait_us


def _unheard(point: Point) -> LiveValue:
    place, spec = point.device.place, point.spec
    name = Text(f"{place.en} {spec.en}".strip(), f"{place.zh} {spec.zh}".strip())
    unit = "" if QUANTITIES[point.quantity].text else point.unit
    return LiveValue(point.name, point.device.id, name, point.zone, point.quantity, unit, quality=Quality.BAD,
                     reason=Reason.NOT_YET_READ)
