"""The process image: the latest reading of every point, and when each was last proven fresh.

    DeviceRead ──admit──► measured ─┐
                                    ├─► latest ──► rules, outputs' proofs, local page
    health ─────impose──► imposed ──┘   (imposed: the gateway says that nothing is known)

The image changes only between the steps of the core, so that all rules of one cycle see one state. A point that
health has imposed "silent" on gets its measured value back when a driver proves it fresh again, even where the
driver sends only what changed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from device_model.clock import SECOND_US, Now
from device_model.inventory import Inventory
from device_model.reading import Quality, Reading, Reason

PAST_US = 60 * SECOND_US  # a reading that is older and that its driver does not call fresh says nothing of now


class ProcessImage:
    """Latest readings and freshness of one site's points. Not thread-safe; owned by one core."""

    def __init__(self, inventory: Inventory, started: Now) -> None:
        self._inventory = inventory
        self._started = started
        self._measured: dict[str, Reading] = {}
        self._imposed: dict[str, Reading] = {}
        self._fresh: dict[str, Now] = {}
        self._limit_us = {name: round(point.spec.stale_after_s * SECOND_US)
                          for name, point in inventory.points.items()}
        self._since: dict[str, Now] = {}  # points that joined later: their silence counts from then
        self.unknown_points = 0  # readings of points that the site file does not name: dropped, counted

    def start(self, now: Now) -> None:
        """From here on silence is counted: what is never heard is overdue after its limit."""
        self._started = now

    def rebind(self, inventory: Inventory, anew: Collection[str], now: Now) -> None:
        """The site file changed. Points that are new, or whose device stands elsewhere now (`anew`), were never
        heard; those that are gone are forgotten; all others stay as they are."""
        self._inventory = inventory
        before = self._limit_us
        self._limit_us = {name: round(point.spec.stale_after_s * SECOND_US)
                          for name, point in inventory.points.items()}
        for name, point in inventory.points.items():
            if name not in before or point.device.id in anew:
                self._forget(name)
                self._since[name] = now
        for name in before.keys() - self._limit_us.keys():
            self._forget(name)

    def _forget(self, point: str) -> None:
        for table in (self._measured, self._imposed):
            table.pop(point, None)
        self._fresh.pop(point, None)
        self._since.pop(point, None)

    def admit(self, readings: Sequence[Reading], fresh: Sequence[str], at: Now) -> tuple[Reading, ...]:
        """Take what a driver read. Returns the readings that rules and telemetry shall see.

        Only `fresh` proves that a point lives: what a broker remembers (retained) and what a driver calls bad do
        not. A number that is not finite is no number: it becomes bad (garbled). A point that is fresh, unchanged,
        and under an imposed silence is given back its measured value with the time of this read.
        """
        admitted: list[Reading] = []
        for reading in readings:
            if reading.point not in self._limit_us:
                self.unknown_points += 1
                continue
            sound = _sound(reading)
            if sound.receive_time_us - sound.source_time_us > PAST_US and sound.point not in fresh:
                admitted.append(sound)  # a record of the past (back-fill): kept and judged as such, not the present
                continue
            self._measured[sound.point] = sound
            self._imposed.pop(sound.point, None)
            admitted.append(sound)
        if fresh:
            self._fresh.update(dict.fromkeys(fresh, at))
            if self._imposed:
                admitted += self._restore(fresh, at)
        return tuple(admitted)

    def _restore(self, fresh: Iterable[str], at: Now) -> list[Reading]:
        restored = []
        for point in fresh:
            if point in self._imposed and point in self._measured:
                del self._imposed[point]
                restored.append(retimed(self._measured[point], at))
                self._measured[point] = restored[-1]
        return restored

    def impose(self, points: Iterable[str], reason: Reason, at: Now) -> tuple[Reading, ...]:
        """Say that nothing is known of these points. Returns the bad readings; points already imposed on with
        the same reason are left alone (lost once)."""
        imposed = []
        for point in points:
            known = self._imposed.get(point)
            if known is not None and known.reason is reason:
                continue
            reading = bad_reading(point, self._inventory.points[point].unit, reason, at)
            self._imposed[point] = reading
            imposed.append(reading)
        return tuple(imposed)

    def overdue(self, now: Now) -> tuple[str, ...]:
        """Points not proven fresh within their limit, of which something good is still shown (or nothing was ever
        heard). What is bad already claims nothing that could grow old."""
        start = self._started.mono_us
        fresh, since, mono = self._fresh, self._since, now.mono_us
        return tuple(
            point for point, limit in self._limit_us.items()
            if mono - (at.mono_us if (at := fresh.get(point) or since.get(point)) is not None else start) > limit
            and not self._is_bad(point)
        )

    def _is_bad(self, point: str) -> bool:
        reading = self.latest(point)
        return reading is not None and reading.quality is Quality.BAD

    def latest(self, point: str) -> Reading | None:
        """The latest reading; None when the point was never heard since the start."""
        return self._imposed.get(point) or self._measured.get(point)

    def is_silent(self, point: str) -> bool:
        """Whether nothing is known of the point because nothing is heard of it."""
        reading = self.latest(point)
        return point in self._imposed or (reading is not None and reading.reason is Reason.SILENT)

    def fresh_at(self, point: str) -> Now | None:
        """When the point was last proven fresh; None when never."""
        return self._fresh.get(point)

    def fresh_reading(self, point: str) -> Reading | None:
        """The latest reading, timed at its last proof of freshness: what a heartbeat of telemetry carries."""
        reading = self.latest(point)
        at = self._fresh.get(point)
        if reading is None or at is None or point in self._imposed or at.mono_us <= reading.mono_us:
            return reading
        return retimed(reading, at)

    def frozen(self) -> Mapping[str, Reading]:
        """All latest readings, as a value that no longer changes."""
        return MappingProxyType({**self._measured, **self._imposed})


def retimed(reading: Reading, at: Now) -> Reading:
    """The same value, known to hold at a later time."""
    return msgspec.structs.replace(
        reading, source_time_us=at.wall_us, receive_time_us=at.wall_us, mono_us=at.mono_us, boot=at.boot
    )


def bad_reading(point: str, unit: str, reason: Reason, at: Now) -> Reading:
    """No value, and why."""
    return Reading(point, None, unit, Quality.BAD, reason, at.wall_us, at.wall_us, at.mono_us, at.boot)


def _sound(reading: Reading) -> Reading:
    value = reading.value
    if isinstance(value, float) and not math.isfinite(value):
        return msgspec.structs.replace(reading, value=None, quality=Quality.BAD, reason=Reason.GARBLED)
    return reading
