"""Limits of environmental standards and what exceeds them (pure). Numbers of certainty C are said to be so.

    environment_limits.yaml, own file ─► LimitTable ─┐
    hours of a point ─► means over the limit's stretch (1 h, 8 h, a day) ─► those beyond it, in its edition's time
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from dashboards.environment import Limit
from device_model.clock import HOUR_US, SECOND_US
from device_model.errors import ConfigError, Finding
from device_model.quantities import QUANTITIES
from device_model.site import Text
from device_model.yaml_source import Path, Source, convert, parse_yaml

# Quantity → group, in the order in which they are shown.
GROUPS: dict[str, str] = {
    "pm25": "air", "pm10": "air", "so2": "air", "no2": "air", "o3": "air", "co_mass": "air", "tsp": "dust",
    "noise": "noise", "ph": "water", "dissolved_oxygen": "water", "permanganate_index": "water", "cod": "water",
    "ammonia_nitrogen": "water", "total_phosphorus": "water", "total_nitrogen": "water", "turbidity": "water",
    "conductivity": "water", "temperature": "weather", "humidity": "weather", "wind_speed": "weather",
}
DAY_HOURS, EIGHT = 24, 8
DAY_NEEDS = 20  # a day's mean of fewer hours is none (GB 3095: 20 hourly values)
EIGHT_NEEDS = 6  # so many hours of eight (GB 3095)
DAY_OF_EIGHTS_NEEDS = 14  # so many 8 h means make the day's largest one, unless one is beyond the limit (HJ 663)
LIMITS_MAX = 200
# µg/m³ of 1 ppm at 25 °C and 1013.25 hPa, the reference state of GB 3095 for gases: molar mass / 24.45 · 1000.
_UG_PER_PPM = {"so2": 64.06 / 24.45e-3, "no2": 46.01 / 24.45e-3, "o3": 48.00 / 24.45e-3}


class _LimitText(msgspec.Struct, frozen=True):
    quantity: str
    hours: int
    unit: str
    source: Text
    certainty: Literal["A", "B", "C"]
    most: float | None = None
    least: float | None = None
    night_most: float | None = None
    since: str = ""
    until: str = ""


class _File(msgspec.Struct, frozen=True):
    limits: tuple[_LimitText, ...]


class LimitTable:
    """Limits by quantity."""

    def __init__(self, limits: Mapping[str, tuple[Limit, ...]]) -> None:
        self._limits = dict(limits)

    def with_own(self, own: LimitTable) -> LimitTable:
        """Those of `own` in the place of all ours of the same quantity."""
        return LimitTable({**self._limits, **own._limits})

    def of(self, quantity: str, from_day: date, to_day: date) -> tuple[Limit, ...]:
        """What counts on any of those days, the day's means first."""
        return tuple(one for one in self._limits.get(quantity, ())
                     if (not one.until or from_day < date.fromisoformat(one.until))
                     and (not one.since or to_day >= date.fromisoformat(one.since)))


def parse_limits(text: str, file: str) -> LimitTable:
    """A file of limits. Raises ConfigError with every finding."""
    source = parse_yaml(text, file)
    findings: list[Finding] = []
    whole = convert(source, (), _File, findings)
    limits: dict[str, list[Limit]] = {}
    for number, one in enumerate(whole.limits[:LIMITS_MAX] if whole is not None else ()):
        found = _limit(one, source, ("limits", number), findings)
        if found is not None:
            limits.setdefault(one.quantity, []).append(found)
    if findings:
        raise ConfigError(findings)
    return LimitTable({quantity: tuple(sorted(own, key=lambda one: (-one.over, one.since)))
                       for quantity, own in limits.items()})


def _limit(one: _LimitText, source: Source, at: Path, findings: list[Finding]) -> Limit | None:
    before, factor = len(findings), _factor(one.quantity, one.unit)
    if one.quantity not in GROUPS:
        findings.append(source.finding((*at, "quantity"), f"{one.quantity!r} is not shown",
                                       f"one of {', '.join(GROUPS)}"))
    elif factor is None:
        findings.append(source.finding((*at, "unit"), f"{one.quantity} is not measured in {one.unit!r}",
                                       "a unit of that quantity, or ug/m3 for SO2, NO2, O3"))
    if one.hours not in (1, EIGHT, DAY_HOURS):
        findings.append(source.finding((*at, "hours"), f"a mean over {one.hours} h is not made", "1, 8 or 24"))
    if one.most is None and one.least is None:
        findings.append(source.finding(at, "neither most nor least", "give one of them"))
    for name in ("since", "until"):
        try:
            date.fromisoformat(getattr(one, name) or "2026-03-01")
        except ValueError:
            findings.append(source.finding((*at, name), f"{getattr(one, name)!r} is no day", "write \"2026-03-01\""))
    if len(findings) > before or factor is None:
        return None
    return Limit(one.source, one.certainty, one.hours, one.most, one.least, one.night_most, one.unit, factor,
                 one.since, one.until)


def _factor(quantity: str, unit: str) -> float | None:
    """By what a value in the canonical unit is multiplied to be in that one; None: it cannot be."""
    known = QUANTITIES.get(quantity)
    if known is None:
        return None
    if unit == "ug/m3" and quantity in _UG_PER_PPM:
        return _UG_PER_PPM[quantity]
    found = known.unit(unit)
    return None if found is None or found.offset else 1.0 / found.factor


def exceedances(
    hours: Sequence[tuple[int, float]], limit: Limit, zone: ZoneInfo
) -> tuple[tuple[int, float], ...]:
    """(beginning µs, mean in the hours' own unit) of the stretches beyond the limit, oldest first."""
    in_time = [(at_us, mean) for at_us, mean in hours if _counts(limit, _local(at_us, zone).date())]
    if limit.over == DAY_HOURS:
        stretches = _days(in_time, zone)
    elif limit.over == EIGHT:
        stretches = _eights(in_time, limit, zone)
    else:
        stretches = in_time
    return tuple((at_us, mean) for at_us, mean in stretches if _beyond(mean, limit, at_us, zone))


def _counts(limit: Limit, day: date) -> bool:
    return (not limit.since or day.isoformat() >= limit.since) and (not limit.until or day.isoformat() < limit.until)


def _by_day(hours: Sequence[tuple[int, float]], zone: ZoneInfo) -> list[list[tuple[int, float]]]:
    days: dict[date, list[tuple[int, float]]] = {}
    for at_us, mean in hours:
        days.setdefault(_local(at_us, zone).date(), []).append((at_us, mean))
    return list(days.values())


def _days(hours: Sequence[tuple[int, float]], zone: ZoneInfo) -> list[tuple[int, float]]:
    return [(of_day[0][0], _mean(of_day)) for of_day in _by_day(hours, zone) if len(of_day) >= DAY_NEEDS]


def _eights(hours: Sequence[tuple[int, float]], limit: Limit, zone: ZoneInfo) -> list[tuple[int, float]]:
    """The largest 8 h mean of each local day, of those that lie within it: (its beginning, mean)."""
    found = []
    for of_day in _by_day(hours, zone):
        means = []
        for begin_us in range(of_day[0][0], of_day[-1][0] + HOUR_US, HOUR_US):
            stretch = [one for one in of_day if begin_us <= one[0] < begin_us + EIGHT * HOUR_US]
            whole = _local(begin_us + (EIGHT - 1) * HOUR_US, zone).date() == _local(begin_us, zone).date()
            if len(stretch) >= EIGHT_NEEDS and whole:
                means.append((begin_us, _mean(stretch)))
        largest = max(means, key=lambda one: one[1], default=None)
        if largest is None:
            continue
        if len(means) >= DAY_OF_EIGHTS_NEEDS or _beyond(largest[1], limit, largest[0], zone):
            found.append(largest)
    return found


def _mean(stretch: Sequence[tuple[int, float]]) -> float:
    return round(sum(mean for _, mean in stretch) / len(stretch), 6)


def _beyond(mean: float, limit: Limit, at_us: int, zone: ZoneInfo) -> bool:
    value, most = round(mean * limit.factor, 3), limit.most
    if limit.night_most is not None and (_local(at_us, zone).hour >= 22 or _local(at_us, zone).hour < 6):
        most = limit.night_most
    return (most is not None and value > most) or (limit.least is not None and value < limit.least)


def _local(at_us: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at_us / SECOND_US, UTC).astimezone(zone)
