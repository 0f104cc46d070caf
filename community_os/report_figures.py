"""Figures of a report (pure): a stated stretch of local time, the sites in it, and rows for PDF and CSV alike.

    now ──► period_of("week") ──► Gathered of that time ──► ReportFigures ──► report_pdf.py │ csv_of
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from community_os.officer_figures import Gathered, days_of, overdue_checks, site_figures, summed
from dashboards.officer import Day, OverdueCheck, PlaceFigures
from device_model.clock import SECOND_US
from device_model.site import Text

PERIODS = ("day", "week", "month")


class Period(msgspec.Struct, frozen=True):
    """A whole stretch of local time that is over. to_us is not in it."""

    name: str
    from_us: int
    to_us: int
    days: int


def period_of(name: str, now_us: int, zone: ZoneInfo) -> Period:
    """The last whole day, week (from Monday) or month. Raises ValueError."""
    if name not in PERIODS:
        raise ValueError(f"{name!r} is no period: one of {', '.join(PERIODS)}")
    today = datetime.fromtimestamp(now_us / SECOND_US, UTC).astimezone(zone).date()
    if name == "day":
        first, last = today - timedelta(days=1), today
    elif name == "week":
        last = today - timedelta(days=today.weekday())
        first = last - timedelta(days=7)
    else:
        last = today.replace(day=1)
        first = (last - timedelta(days=1)).replace(day=1)
    return Period(name, _midnight(first.year, first.month, first.day, zone),
                  _midnight(last.year, last.month, last.day, zone), (last - first).days)


def _midnight(year: int, month: int, day: int, zone: ZoneInfo) -> int:
    return round(datetime(year, month, day, tzinfo=zone).timestamp()) * SECOND_US


class ReportFigures(msgspec.Struct, frozen=True):
    """All that a report says. whole, sites: states (devices, silent, impairments, checks) are those of `at_us`;
    incidents and times are those of the period."""

    at_us: int
    period: Period
    scope: str
    name: Text
    whole: PlaceFigures
    sites: tuple[PlaceFigures, ...]
    by_hazard: tuple[tuple[str, int], ...]
    days: tuple[Day, ...]
    overdue: tuple[OverdueCheck, ...]
    hot_work: int
    time_zone: str


def report_figures(g: Gathered, period: Period, scope: str, name: Text, zone: ZoneInfo) -> ReportFigures:
    """g: gathered over the period."""
    sites = sorted(site_figures(g).values(), key=lambda site: (-site.risk, site.path))
    past = [one for one in g.incidents if not one.drill]
    return ReportFigures(
        g.at_us, period, scope, name, summed(scope, name, sites, past), tuple(sites),
        tuple(Counter(one.hazard for one in past).most_common()),
        days_of(past, period.to_us - SECOND_US, zone, period.days), tuple(overdue_checks(g)),
        sum(one.hot_work for one in past), str(zone))


COLUMNS = ("path", "name", "risk", "expected", "connected", "proven", "silent", "open", "life_safety", "impairments",
           "unwatched", "overdue_checks", "permits", "incidents", "false_alarms", "acknowledged_s", "handled_s")


def csv_of(figures: ReportFigures, language: str) -> bytes:
    """One row a site, UTF-8 with a mark so that spreadsheets read Chinese. No cell begins a formula."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\r\n")
    table.writerow((*COLUMNS, "from", "to"))
    span = (_iso(figures.period.from_us, figures.time_zone), _iso(figures.period.to_us, figures.time_zone))
    for site in (figures.whole, *figures.sites):
        cells = [_cell(getattr(site, column), language) for column in COLUMNS]
        table.writerow((*cells, *span))
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def _cell(value: object, language: str) -> str:
    text = value.in_language(language) if isinstance(value, Text) else "" if value is None else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _iso(at_us: int, zone: str) -> str:
    return datetime.fromtimestamp(at_us / SECOND_US, UTC).astimezone(ZoneInfo(zone)).isoformat(timespec="minutes")


def worst(sites: Sequence[PlaceFigures], most: int = 40) -> tuple[PlaceFigures, ...]:
    """Those that a printed table lists."""
    return tuple(sites[:most])
