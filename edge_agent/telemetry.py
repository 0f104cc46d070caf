"""Which readings are worth a record: changes beyond the deadband, heartbeats, and the plot of an open alarm.

    admitted readings ─► changed beyond deadband? ─┐
    oldest-sent points ─► heartbeat due? ──────────┼─► one ReadingsRecord per cycle (0.8 s)
    points of an open alarm ─► 2 s since the last? ┘

SD cards wear by bytes written: 20 devices × 20 registers that stand still cost one row per point and heartbeat,
not one per poll. What is not worth a record is not lost: its value is the last one sent, within the deadband.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence

from device_model.clock import MINUTE_US, SECOND_US, Now
from device_model.inventory import Inventory
from device_model.quantities import QUANTITIES
from device_model.reading import Reading
from edge_agent.image import ProcessImage

# A power cut costs at most a second of telemetry: this cycle, the company it waits for, and a sync of a slow card.
CYCLE_US = 800_000
PLOT_EVERY_US = 2 * SECOND_US
# After so long the board has seen the growth of the fire, and an alarm forgotten open must not wear the card.
PLOT_FOR_US = 30 * MINUTE_US
READINGS_PER_RECORD = 200  # one record stays well below one MQTT message
HEARTBEATS_PER_CYCLE = 400  # spreads the heartbeats of 100,000 points over the interval


class TelemetryFilter:
    """Collects what one cycle sends. Not thread-safe; owned by one core."""

    def __init__(self, inventory: Inventory, heartbeat_s: float) -> None:
        self._heartbeat_us = round(heartbeat_s * SECOND_US)
        self._bind(inventory)
        self._sent: OrderedDict[str, Reading] = OrderedDict()  # oldest sent first
        self._sent_mono: dict[str, int] = {}
        self._pending: dict[tuple[str, int], Reading] = {}
        self._plots: dict[str, tuple[tuple[str, ...], int]] = {}  # alarm → points, until mono
        self._flushed_us: int | None = None

    def _bind(self, inventory: Inventory) -> None:
        self._deadband = {name: _deadband(inventory, name) for name in inventory.points}
        self._numeric = {name for name, point in inventory.points.items()
                         if not (QUANTITIES[point.quantity].boolean or QUANTITIES[point.quantity].text)}
        self._inventory = inventory

    def rebind(self, inventory: Inventory, anew: Collection[str]) -> None:
        """The site file changed: of points that are gone, or whose device stands elsewhere now (`anew`), nothing was
        sent yet. What waits to be sent is still sent."""
        self._bind(inventory)
        for name in list(self._sent):
            point = inventory.points.get(name)
            if point is None or point.device.id in anew:
                del self._sent[name]
                self._sent_mono.pop(name, None)

    def offer(self, readings: Iterable[Reading]) -> None:
        """Keep those that changed beyond their deadband since they were last sent."""
        for reading in readings:
            if self._changed(reading):
                self._keep(reading)

    def _changed(self, reading: Reading) -> bool:
        last = self._sent.get(reading.point)
        if last is None or last.quality is not reading.quality or last.reason is not reading.reason:
            return True
        old, new = last.value, reading.value
        if isinstance(old, (int, float)) and isinstance(new, (int, float)) and not isinstance(new, bool):
            return abs(new - old) > self._deadband.get(reading.point, 0.0)
        return old != new

    def _keep(self, reading: Reading) -> None:
        self._pending[(reading.point, reading.source_time_us)] = reading
        self._sent[reading.point] = reading
        self._sent.move_to_end(reading.point)
        self._sent_mono[reading.point] = reading.mono_us

    def watch(self, alarm: str, points: Sequence[str], zone: str, now: Now) -> None:
        """From now on give the plot of this alarm: its points and its zone's numeric points each 2 s."""
        of_zone = {point.name for point in self._inventory.in_zone(zone)} if zone else set()
        chosen = sorted((of_zone | set(points)) & self._numeric)
        self._plots[alarm] = (tuple(chosen), now.mono_us + PLOT_FOR_US)

    def unwatch(self, alarm: str) -> None:
        """The alarm is over; no-op when it was not watched."""
        self._plots.pop(alarm, None)

    def watched(self) -> frozenset[str]:
        """All points under a plot."""
        return frozenset(point for points, _ in self._plots.values() for point in points)

    def flush(self, image: ProcessImage, now: Now) -> tuple[tuple[Reading, ...], ...]:
        """What this cycle sends, in chunks of one record each; empty while the cycle is not over."""
        if self._flushed_us is not None and 0 <= now.mono_us - self._flushed_us < CYCLE_US:
            return ()
        self._flushed_us = now.mono_us
        self._plot(image, now)
        self._heartbeat(image, now)
        readings = sorted(self._pending.values(), key=lambda r: (r.mono_us, r.point))
        self._pending.clear()
        return tuple(tuple(readings[at:at + READINGS_PER_RECORD])
                     for at in range(0, len(readings), READINGS_PER_RECORD))

    def due_us(self) -> int | None:
        """Monotonic time at which the present cycle is over; None when nothing waits."""
        if not self._pending or self._flushed_us is None:
            return None
        return self._flushed_us + CYCLE_US

    def _plot(self, image: ProcessImage, now: Now) -> None:
        for alarm in [a for a, (_, until) in self._plots.items() if until <= now.mono_us]:
            del self._plots[alarm]
        for point in sorted(self.watched()):
            reading = image.fresh_reading(point)
            if reading is not None and reading.mono_us - self._sent_mono.get(point, 0) >= PLOT_EVERY_US:
                self._keep(reading)

    def _heartbeat(self, image: ProcessImage, now: Now) -> None:
        due: list[str] = []
        for point in self._sent:
            if now.mono_us - self._sent_mono[point] < self._heartbeat_us or len(due) >= HEARTBEATS_PER_CYCLE:
                break
            due.append(point)
        for point in due:
            reading = image.fresh_reading(point)
            if reading is None:
                continue
            self._keep(reading)
            # A silent point has no fresher reading; its turn comes again after a whole interval.
            self._sent_mono[point] = now.mono_us


def _deadband(inventory: Inventory, name: str) -> float:
    """The deadband, which profiles state in the canonical unit; booleans and texts have none."""
    point = inventory.points[name]
    quantity = QUANTITIES[point.quantity]
    if quantity.boolean or quantity.text or not point.spec.deadband:
        return 0.0
    return point.spec.deadband
