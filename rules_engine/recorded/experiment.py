"""Experiment: one recorded run, from a cold state, with what really happened beside it.

    points   what stood where (quantity, unit, zone, device class)      rows     (time, values), in order of time
    events   onset and end of each thing that should be alarmed, labelled by whoever made the experiment
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from device_model.alarm import Hazard, Severity
from device_model.profile import DeviceClass

# 2026-01-05, a Monday, 00:00 UTC: the instant of t = 0 in records that know only seconds.
ZERO_US = 1_767_571_200_000_000


class RecordedPoint(msgspec.Struct, frozen=True):
    """One recorded channel as a point of a site.

    id: "<device>.<point>". unit: UCUM, one that the quantity may carry; values are in it. height_m above the floor,
    None where it is not known. least, most: what the sensor can show, in `unit`; beyond it a value is a broken wire.
    error_values: numbers that the source uses for "no value". stale_after_s: silence beyond it is a fault.
    natural_noise: what a healthy one trembles by, 0 not known.
    """

    id: str
    quantity: str
    unit: str
    zone: str
    device_class: DeviceClass = DeviceClass.IO_MODULE
    zone_kind: str = "room"
    floor: str = "f1"
    height_m: float | None = None
    tags: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    error_values: tuple[float, ...] = ()
    stale_after_s: float = 3600.0
    profile: str = ""
    natural_noise: float = 0.0

    @property
    def device(self) -> str:
        """The device that the point belongs to."""
        return self.id.partition(".")[0]


class LabelledEvent(msgspec.Struct, frozen=True):
    """Something that happened: seconds of the experiment's own time.

    end_s: when it was over; infinity where the record ends with it. zones: where an alarm must be to count, () for
    anywhere. kind: the label's own word, for tables.
    """

    id: str
    start_s: float
    end_s: float = float("inf")
    zones: tuple[str, ...] = ()
    kind: str = ""


class Experiment:
    """One run: points, rows by time, labelled events.

    Times before `learning_until_s` are for learning: an alarm then is a false one whatever the label says.
    """

    def __init__(self, name: str, points: Sequence[RecordedPoint],
                 rows: Sequence[tuple[float, Sequence[float | None]]], events: Sequence[LabelledEvent], *,
                 zero_us: int = ZERO_US, learning_until_s: float = float("-inf"), kind: str = "") -> None:
        """rows: (t_s, one value a point, None where nothing was recorded), by time. zero_us: when t_s is 0."""
        self.name, self.points, self.events, self.kind = name, tuple(points), tuple(events), kind
        self._rows = rows
        self.zero_us, self.learning_until_s = zero_us, learning_until_s

    def rows(self, from_s: float = float("-inf"), to_s: float = float("inf")
             ) -> Iterator[tuple[float, Sequence[float | None]]]:
        """The rows of a part of the record."""
        return ((t_s, values) for t_s, values in self._rows if from_s <= t_s <= to_s)

    def span_s(self, from_s: float = float("-inf"), to_s: float = float("inf")) -> float:
        """How long the part lasts, seconds."""
        times = [t_s for t_s, _ in self.rows(from_s, to_s)]
        return times[-1] - times[0] if times else 0.0


class Recording(msgspec.Struct, frozen=True):
    """A set of experiments and how it is to be judged.

    hazards, least_severity: which alarms answer its events. recovery_s: after an event, alarms still belong to it.
    """

    name: str
    experiments: Iterator[Experiment]
    hazards: frozenset[Hazard]
    least_severity: Severity = Severity.ALARM
    recovery_s: float = 600.0
