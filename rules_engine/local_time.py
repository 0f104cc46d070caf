"""Time of day and calendar at the site: each answer with the moment until which it holds, so that a rule is
looked at again exactly then. Pure: the time comes in, the zone comes from the site file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

Reader = Callable[[int], tuple[bool | float, int]]


class LocalTime:
    """The wall clock of one site. Raises zoneinfo.ZoneInfoNotFoundError for a zone that does not exist."""

    def __init__(self, zone: str) -> None:
        self._zone = ZoneInfo(zone)

    def local(self, at_us: int) -> datetime:
        """The local date and time of an event time, µs since 1970 UTC."""
        return datetime.fromtimestamp(at_us // 1_000_000, UTC).astimezone(self._zone)

    def reader(self, function: str, minutes: tuple[int, ...], dates: tuple[str, ...]) -> Reader:
        """The function of the language behind `local_hour`, `weekday`, `time_between`, `on_dates`."""
        if function == "local_hour":
            return self._hour
        if function == "weekday":
            return self._weekday
        if function == "time_between":
            return lambda at: self._between(at, minutes[0], minutes[1])
        return lambda at: (self.local(at).date().isoformat() in dates, self._midnight(at))

    def _hour(self, at: int) -> tuple[float, int]:
        local = self.local(at)
        return float(local.hour), self._moment(local.replace(minute=0, second=0) + timedelta(hours=1), at)

    def _weekday(self, at: int) -> tuple[float, int]:
        return float(self.local(at).isoweekday()), self._midnight(at)

    def _midnight(self, at: int) -> int:
        tomorrow = self.local(at).date() + timedelta(days=1)
        return self._moment(datetime.combine(tomorrow, time(), self._zone), at)

    def _between(self, at: int, start: int, end: int) -> tuple[bool, int]:
        local = self.local(at)
        minute = local.hour * 60 + local.minute
        inside = start <= minute < end if start <= end else minute >= start or minute < end
        days = (local.date(), local.date() + timedelta(days=1))
        borders = [self._moment(datetime.combine(day, time(m // 60, m % 60), self._zone), at)
                   for day in days for m in (start, end)]
        return inside, min(border for border in borders if border > at)

    @staticmethod
    def _moment(local: datetime, at: int) -> int:
        # A change to or from summer time may make the computed moment lie in the past; then look again in an hour.
        moment = int(local.timestamp()) * 1_000_000
        return moment if moment > at else at + 3_600_000_000
