"""What a meter grew by each local day (pure), out of hourly sums of its counter.

    hours: last, last, … ─► the last known count of each day ─► differences

A counter that goes back was changed or reset: that day is not known, and is never a negative use. A day without any
count is not known either; the day after it then carries both, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from dashboards.estate import DayUse
from device_model.series import Rollup


def daily_use(hours: Sequence[Rollup], time_zone: str, last_day: date, days: int) -> tuple[DayUse, ...]:
    """The days up to and with last_day, oldest first. hours: of one counter, oldest first, from before the first
    day where possible."""
    zone = ZoneInfo(time_zone)
    counts: dict[date, float] = {}
    for hour in hours:
        if hour.last is not None:
            counts[local_day(hour.time_us, zone)] = hour.last
    found = []
    for back in range(days - 1, -1, -1):
        day = last_day - timedelta(days=back)
        before = max((known for known in counts if known < day), default=None)
        use = None
        if day in counts and before is not None and counts[day] >= counts[before]:
            use = round(counts[day] - counts[before], 6)
        found.append(DayUse(day.isoformat(), use, before == day - timedelta(days=1)))
    return tuple(found)


def local_day(at_us: int, zone: ZoneInfo) -> date:
    """The local date of a moment."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).astimezone(zone).date()
