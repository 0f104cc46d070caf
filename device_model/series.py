"""Samples of time series: what of a reading is kept for plots and questions, and what a question may ask for.

    Reading in a journaled record ─► Sample ─► series store on the gateway, InfluxDB, VictoriaMetrics
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from device_model.reading import Quality, Reason, Value

# What a store that knows only numbers keeps of a quality (docs/series.md).
QUALITY_CODE: dict[Quality, int] = {Quality.GOOD: 2, Quality.UNCERTAIN: 1, Quality.BAD: 0}
QUALITY_OF_CODE: dict[int, Quality] = {code: quality for quality, code in QUALITY_CODE.items()}


class Sample(msgspec.Struct, frozen=True, omit_defaults=True):
    """One reading at its source time. value None exactly when quality is bad.

    site: tenancy path; point: "<device>.<point id>"; unit: canonical UCUM code of the quantity, "1" for states and
    texts. time_us: source time; received_us: when the gateway had it, µs since 1970 UTC. lane, epoch, sequence: the
    journaled record that carries it.
    """

    site: str
    gateway: str
    zone: str
    point: str
    quantity: str
    unit: str
    time_us: int
    value: Value | None
    quality: Quality = Quality.GOOD
    reason: Reason = Reason.NONE
    received_us: int = 0
    lane: str = ""
    epoch: str = ""
    sequence: int = 0

    @property
    def device(self) -> str:
        """The device that the point belongs to."""
        return self.point.partition(".")[0]


class Level(StrEnum):
    """How fine: as received, or summed up over so long."""

    RAW = "raw"
    MINUTE = "1min"
    QUARTER = "15min"
    HOUR = "1h"


LEVEL_S: dict[Level, int] = {Level.MINUTE: 60, Level.QUARTER: 900, Level.HOUR: 3600}


class Rollup(msgspec.Struct, frozen=True):
    """What one point did in one stretch of time that begins at time_us. good: how many samples had a value; bad: how
    many had none. least, most, mean: of the numbers (a state counts 0 or 1); last: the latest one."""

    point: str
    quantity: str
    unit: str
    time_us: int
    good: int
    bad: int
    least: float | None
    most: float | None
    mean: float | None
    last: float | None

    @property
    def quality_share(self) -> float:
        """How many of its samples had a value, 0 to 1; 0 where none came."""
        return self.good / (self.good + self.bad) if self.good + self.bad else 0.0


class SeriesQuery(msgspec.Struct, frozen=True):
    """What to read: points whose name is or begins with one of `points` ("climate-3" stands for all of that device;
    none: all), in zones (none: all), from ≤ time < to, oldest first, at most `limit`. site: tenancy path of the only
    site that is asked for; "" for all that a store has."""

    from_us: int
    to_us: int
    points: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    limit: int = 1_000_000
    site: str = ""


class Place(msgspec.Struct, frozen=True):
    """How far a server has come. waiting: samples that it has not had; since_us: source time of the first of them, 0
    for none; lost: how many went by age or quota before it had them; refused: how many are kept with its reasons."""

    remote: str
    waiting: int
    since_us: int
    lost: int
    refused: int


class Refused(msgspec.Struct, frozen=True):
    """One sample that a store will never take, and why."""

    sample: Sample
    why: str


class SeriesRead(Protocol):
    """What pages ask of the community OS's series (community_os/series_read.py). Whoever calls has asked for the
    right to see that site before."""

    async def rollups(
        self, path: str, points: Sequence[str], from_us: int, to_us: int, level: Level = Level.HOUR,
    ) -> dict[str, tuple[Rollup, ...]]:
        """Sums of a site's points ("climate-3.temperature"; "climate-3" stands for all of the device) by point,
        oldest first: stretches that begin in from ≤ time < to. A stretch without samples is not there, never a zero.
        Empty where no series is kept. Raises LocalFault."""
        ...

    async def samples(
        self, path: str, points: Sequence[str], from_us: int, to_us: int, limit: int = 5000,
    ) -> tuple[Sample, ...]:
        """Single readings, oldest first, as long as they are kept (days). Raises LocalFault."""
        ...
