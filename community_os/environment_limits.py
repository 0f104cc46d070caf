"""Limits of environmental standards and what exceeds them (pure). Numbers of certainty C are said to be so.

    hours of a point ─► means over the limit's stretch (1 h or a local day) ─► those beyond it
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from dashboards.environment import Limit
from device_model.clock import SECOND_US
from device_model.site import Text

# Quantity → group, in the order in which they are shown.
GROUPS: dict[str, str] = {
    "pm25": "air", "pm10": "air", "so2": "air", "no2": "air", "o3": "air", "co_mass": "air", "tsp": "dust",
    "noise": "noise", "ph": "water", "dissolved_oxygen": "water", "permanganate_index": "water", "cod": "water",
    "ammonia_nitrogen": "water", "total_phosphorus": "water", "total_nitrogen": "water", "turbidity": "water",
    "conductivity": "water", "temperature": "weather", "humidity": "weather", "wind_speed": "weather",
}
DAY_HOURS = 24
DAY_NEEDS = 20  # a day's mean of fewer hours is none (GB 3095: 20 hourly values)
_AIR = Text("GB 3095-2026 class 2, 24 h", "GB 3095-2026 二级，24 小时均值")
_RIVER = Text("GB 3838-2002 class III", "GB 3838-2002 Ⅲ类")
_LIMITS: dict[str, Limit] = {
    "pm25": Limit(_AIR, "B", DAY_HOURS, 60.0), "pm10": Limit(_AIR, "B", DAY_HOURS, 120.0),
    "noise": Limit(Text("GB 12523 construction boundary, 70 dB(A) day, 55 night",
                        "GB 12523 建筑施工场界，昼间 70、夜间 55 dB(A)"), "B", 1, 70.0, None, 55.0),
    "tsp": Limit(Text("GB 3095-2012 class 2, 24 h (site dust tables are local)",
                      "GB 3095-2012 二级，24 小时均值（工地扬尘限值依地方标准）"), "C", DAY_HOURS, 300.0),
    "ph": Limit(_RIVER, "B", 1, 9.0, 6.0), "dissolved_oxygen": Limit(_RIVER, "B", 1, None, 5.0),
    "permanganate_index": Limit(_RIVER, "B", 1, 6.0), "cod": Limit(_RIVER, "B", 1, 20.0),
    "ammonia_nitrogen": Limit(_RIVER, "B", 1, 1.0), "total_phosphorus": Limit(_RIVER, "B", 1, 0.2),
}


def limit_of(quantity: str) -> Limit | None:
    """What it is held against, or None."""
    return _LIMITS.get(quantity)


def exceedances(
    hours: Sequence[tuple[int, float]], limit: Limit, zone: ZoneInfo
) -> tuple[tuple[int, float], ...]:
    """(beginning µs, mean) of the stretches beyond the limit, oldest first."""
    stretches = hours if limit.over == 1 else _days(hours, zone)
    return tuple((at_us, mean) for at_us, mean in stretches if _beyond(mean, limit, at_us, zone))


def _days(hours: Sequence[tuple[int, float]], zone: ZoneInfo) -> list[tuple[int, float]]:
    by_day: dict[object, list[tuple[int, float]]] = {}
    for at_us, mean in hours:
        by_day.setdefault(_local(at_us, zone).date(), []).append((at_us, mean))
    return [(of_day[0][0], round(sum(mean for _, mean in of_day) / len(of_day), 3))
            for of_day in by_day.values() if len(of_day) >= DAY_NEEDS]


def _beyond(mean: float, limit: Limit, at_us: int, zone: ZoneInfo) -> bool:
    most = limit.most
    if limit.night_most is not None and (_local(at_us, zone).hour >= 22 or _local(at_us, zone).hour < 6):
        most = limit.night_most
    return (most is not None and mean > most) or (limit.least is not None and mean < limit.least)


def _local(at_us: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at_us / SECOND_US, UTC).astimezone(zone)
