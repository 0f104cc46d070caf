"""Calendar of permits: nights, weekends, holidays, and when a crowded place is open. Pure; local time of the site."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from device_model.permit import PermitPolicy, read_hours
from device_model.site import Zone

_STEP = timedelta(minutes=15)
# A longer permit contains every hour of the day anyway.
_LOOK = timedelta(days=4)


class PermitHours:
    """The policy's calendar at one site."""

    def __init__(self, policy: PermitPolicy, zone: tzinfo) -> None:
        self._zone, self._policy = zone, policy
        self._night = read_hours(policy.night) if policy.night else None
        self._open = {name: read_hours(hours) for name, hours in policy.open_hours.items()}

    def off_hours(self, from_us: int, to_us: int) -> bool:
        """Whether any part of it is at night, on a weekend or on a holiday."""
        if not self._policy.off_hours_raise:
            return False
        return any(moment.isoweekday() >= 6 or moment.date().isoformat() in self._policy.holidays
                   or (self._night is not None and _inside(moment, self._night))
                   for moment in self._moments(from_us, to_us))

    def open_to_public(self, zone: Zone, from_us: int, to_us: int) -> bool:
        """Whether the zone is a crowded place that is open at any time of it."""
        hours = self._open.get(zone.id) or self._open.get(zone.kind)
        if hours is None:
            return zone.kind in self._policy.crowded_kinds
        return any(_inside(moment, hours) for moment in self._moments(from_us, to_us))

    def _moments(self, from_us: int, to_us: int) -> list[datetime]:
        """The beginning, the end, and every quarter of an hour between them: no shop opens for less."""
        start, end = self._local(from_us), self._local(max(from_us, to_us - 1))
        quarter = start.replace(minute=start.minute // 15 * 15, second=0, microsecond=0) + _STEP
        moments = [start, end]
        while quarter < end and quarter - start < _LOOK:
            moments.append(quarter)
            quarter += _STEP
        return moments

    def _local(self, at_us: int) -> datetime:
        return datetime.fromtimestamp(at_us // 1_000_000, UTC).astimezone(self._zone)


def _inside(moment: datetime, hours: tuple[int, int]) -> bool:
    start, end = hours
    minute = moment.hour * 60 + moment.minute
    return start <= minute < end if start <= end else minute >= start or minute < end
