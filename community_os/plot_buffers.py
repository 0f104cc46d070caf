"""The latest values of every numeric point of a site, for the plots of incidents (pure).

    readings ──► per point: the last 240 samples, in order of source time ──► plots of the incident's zone

Bounded by the inventory × SAMPLES_KEPT. The checkpoint holds only points of zones with an open incident; after
a restart other zones begin anew, which a plot shows as a shorter line, never as a wrong one.
"""

from __future__ import annotations

from bisect import bisect_left

from community_os.live_values import ABOUT_THE_DEVICE, LiveValues
from device_model.inventory import Inventory, Point
from device_model.quantities import QUANTITIES
from device_model.read_models import Plot, PlotPoint
from device_model.reading import Quality, Reading
from device_model.site import Text
from rules_engine.incident_record import Incident

# 240 samples are 40 minutes at the usual 10 s; a page shows the last 120 (about 5 kB a plot).
SAMPLES_KEPT = 240
SAMPLES_SHOWN = 120
PLOTS_SHOWN = 6

Sample = tuple[int, float | None]


class PlotBuffers:
    """Samples by point. Owned by one site worker."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self.live = LiveValues(inventory)
        self._numeric = {
            name for name, point in inventory.points.items()
            if not (QUANTITIES[point.quantity].boolean or QUANTITIES[point.quantity].text)
            and point.quantity not in ABOUT_THE_DEVICE
        }
        self._samples: dict[str, list[Sample]] = {}

    def add(self, reading: Reading) -> frozenset[str]:
        """Keep one value (a break where it is bad); returns the zones whose incidents look different now."""
        zones = self.live.add(reading)
        if reading.point not in self._numeric:
            return frozenset(zones)
        value: float | None = None
        if reading.quality is not Quality.BAD and isinstance(reading.value, int | float):
            value = float(reading.value)
        samples = self._samples.setdefault(reading.point, [])
        at_us = reading.source_time_us
        index = len(samples)
        if samples and samples[-1][0] >= at_us:  # backlog arrives after live values
            index = bisect_left(samples, at_us, key=lambda sample: sample[0])
        if index < len(samples) and samples[index][0] == at_us:
            samples[index] = (at_us, value)
        else:
            samples.insert(index, (at_us, value))
            if len(samples) > SAMPLES_KEPT:
                del samples[0]
        return frozenset((self._inventory.points[reading.point].zone, *zones))

    def plots(self, incident: Incident) -> tuple[Plot, ...]:
        """The points that decided first, then those of the same devices, then the rest of the zones."""
        wanted: dict[str, None] = {}
        for entry in incident.alarms.values():
            wanted.update(dict.fromkeys(entry.points))
        for entry in incident.alarms.values():
            wanted.update((point.name, None) for point in self._inventory.of_device(entry.device))
        for zone in incident.zones:
            wanted.update((point.name, None) for point in self._inventory.in_zone(zone))
        shown = [name for name in wanted if self._samples.get(name)][:PLOTS_SHOWN]
        return tuple(self._plot(self._inventory.points[name]) for name in shown)

    def _plot(self, point: Point) -> Plot:
        place = point.device.place
        name = Text(f"{place.en} {point.spec.en}".strip(), f"{place.zh} {point.spec.zh}".strip())
        samples = self._samples[point.name][-SAMPLES_SHOWN:]
        return Plot(point.name, name, point.quantity, point.unit,
                    tuple(PlotPoint(at_us, value) for at_us, value in samples))

    def kept(self, zones: set[str]) -> dict[str, list[Sample]]:
        """For the checkpoint: the samples of these zones."""
        return {name: samples[-SAMPLES_SHOWN:] for name, samples in self._samples.items()
                if self._inventory.points[name].zone in zones}

    def resume(self, kept: dict[str, list[Sample]]) -> None:
        """From a checkpoint; points that the site file no longer has are left out."""
        self._samples = {name: list(samples) for name, samples in kept.items() if name in self._numeric}
