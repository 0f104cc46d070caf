"""Time intervals of routing: when a branch of the tree is muted, or is active only. As Alertmanager writes them.

    times: [{start_time: "22:00", end_time: "24:00"}]    the end is outside; 24:00 is the end of the day
    weekdays: ["monday:friday", sunday]   days_of_month: ["1:5", "-3:-1"]   months: ["january:march", "12"]
    years: ["2026:2028"]   location: Asia/Shanghai

A field that is not given holds always; all fields of one interval must hold, and one interval of a list suffices.
"""

from __future__ import annotations

import calendar
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
           "november", "december")
Range = tuple[int, int]


class ClockText(msgspec.Struct, frozen=True):
    """A part of a day, as written."""

    start_time: str
    end_time: str


class IntervalText(msgspec.Struct, frozen=True):
    """One interval, as written."""

    times: tuple[ClockText, ...] = ()
    weekdays: tuple[str, ...] = ()
    days_of_month: tuple[str, ...] = ()
    months: tuple[str, ...] = ()
    years: tuple[str, ...] = ()
    location: str = "UTC"


class Interval(msgspec.Struct, frozen=True):
    """One interval, read. times: minutes of the day, the end outside; the other ranges include both ends."""

    times: tuple[Range, ...]
    weekdays: tuple[Range, ...]
    days: tuple[Range, ...]
    months: tuple[Range, ...]
    years: tuple[Range, ...]
    location: str

    def holds(self, at_us: int) -> bool:
        """Whether that moment (µs since 1970 UTC) lies inside."""
        local = datetime.fromtimestamp(at_us // 1_000_000, UTC).astimezone(ZoneInfo(self.location))
        minute = local.hour * 60 + local.minute
        if self.times and not any(start <= minute < end for start, end in self.times):
            return False
        if self.days and not any(_day_in(local, start, end) for start, end in self.days):
            return False
        return (_within(self.months, local.month) and _within(self.weekdays, local.isoweekday() % 7)
                and _within(self.years, local.year))


def parse_interval(text: IntervalText) -> Interval:
    """Raises ValueError, which says what is wrong."""
    try:
        ZoneInfo(text.location)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {text.location!r}") from error
    return Interval(
        tuple(_clock(part) for part in text.times),
        tuple(_named(part, _WEEKDAYS, 0) for part in text.weekdays),
        tuple(_days(part) for part in text.days_of_month),
        tuple(_named(part, _MONTHS, 1) for part in text.months),
        tuple(_numbers(part, 1970, 9999) for part in text.years),
        text.location,
    )


def any_holds(intervals: tuple[Interval, ...], at_us: int) -> bool:
    """Whether one of them holds."""
    return any(interval.holds(at_us) for interval in intervals)


def _within(ranges: tuple[Range, ...], value: int) -> bool:
    return not ranges or any(first <= value <= last for first, last in ranges)


def _day_in(local: datetime, first: int, last: int) -> bool:
    """Days from the end count from -1; a range is cut to the month's length."""
    length = calendar.monthrange(local.year, local.month)[1]
    start = max(length + first + 1, 1) if first < 0 else first
    end = length + last + 1 if last < 0 else min(last, length)
    return start <= length and start <= local.day <= end


def _clock(text: ClockText) -> Range:
    start, end = _minute(text.start_time), _minute(text.end_time)
    if start >= end:
        raise ValueError(f"{text.start_time} is not before {text.end_time}; write a night as two parts, to 24:00 "
                         "and from 00:00")
    return start, end


def _minute(text: str) -> int:
    hour, colon, minute = text.partition(":")
    valid = colon and len(hour) == 2 and len(minute) == 2 and hour.isdecimal() and minute.isdecimal()
    if not valid or not (int(minute) < 60 and int(hour) * 60 + int(minute) <= 1440):
        raise ValueError(f"{text!r} is not a time of day from 00:00 to 24:00")
    return int(hour) * 60 + int(minute)


def _named(text: str, names: tuple[str, ...], base: int) -> Range:
    first, _, last = text.lower().partition(":")
    found = []
    for word in (first.strip(), last.strip() or first.strip()):
        if word in names:
            found.append(names.index(word) + base)
        elif base and word.isdecimal() and base <= int(word) < base + len(names):
            found.append(int(word))
        else:
            raise ValueError(f"{word!r} is none of {', '.join(names)}")
    if found[0] > found[1]:
        raise ValueError(f"{text!r} ends before it begins; write two parts")
    return found[0], found[1]


def _numbers(text: str, least: int, most: int) -> Range:
    first, _, last = text.partition(":")
    try:
        start, end = int(first), int(last or first)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a number or a range first:last") from error
    if not (least <= start <= end <= most):
        raise ValueError(f"{text!r} does not lie within {least}:{most}, first before last")
    return start, end


def _days(text: str) -> Range:
    first, _, last = text.partition(":")
    try:
        start, end = int(first), int(last or first)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a day or a range first:last") from error
    if not all(1 <= abs(day) <= 31 for day in (start, end)):
        raise ValueError(f"{text!r}: days are 1 to 31, or -1 (the last) to -31")
    if start < 0 < end:
        raise ValueError(f"{text!r}: a range that begins from the month's end must end so too")
    if (start < 0) == (end < 0) and start > end:
        raise ValueError(f"{text!r} ends before it begins")
    return start, end
