"""Environment of sites (I/O): hourly series of 30 days against the standards; publishing is a setting per site.

    series (hours) ─► lines by place ─► exceedances ─┬─► /environment   for who may, within the scope
    rectification notices ─► countdown ──────────────┴─► /public        published sites only, nobody's name
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from community_os.environment_limits import GROUPS, LimitTable, exceedances, parse_limits
from community_os.officer_figures import within
from community_os.officer_store import OfficerStore
from community_os.report_service import ReportService
from community_os.store import IncidentStore, StoreCalls
from dashboards.environment import Countdown, EnvironmentLine, EnvironmentPage, EnvironmentSite, LimitFound
from device_model.clock import HOUR_US, SECOND_US, Clock
from device_model.inventory import Inventory, Point
from device_model.library import read_text
from device_model.quantities import QUANTITIES
from device_model.series import Level, Rollup, SeriesRead
from device_model.site import Text

DAYS = 30
LINES_MAX = 24
SHOWN_MAX = 100
# The public page costs the store at most one look a minute and site, however many people look.
PUBLIC_FRESH_US = 60 * SECOND_US
_KIND = "publish"
SHIPPED = Path(__file__).with_name("environment_limits.yaml")


def read_limits(own: str) -> LimitTable:
    """The shipped limits, with those of an own file (cloud.yaml, `environment_limits:`) in their place. Raises
    ConfigError, LocalFault."""
    table = parse_limits(SHIPPED.read_text(encoding="utf-8"), SHIPPED.name)
    return table.with_own(parse_limits(read_text(Path(own)), own)) if own else table


class _Published(msgspec.Struct, frozen=True):
    on: bool


class EnvironmentDesk:
    """Implements `dashboards.environment.Environment`."""

    def __init__(
        self, store: IncidentStore, calls: StoreCalls, clock: Clock, *, sites: Mapping[str, Inventory],
        series: SeriesRead | None, reports: ReportService, limits: LimitTable | None = None,
    ) -> None:
        """series: None where none is kept: the page says so. limits: None for the shipped ones."""
        self._limits = limits or read_limits("")
        self._own, self._calls, self._clock = OfficerStore(store), calls, clock
        self._sites, self._series, self._reports = sites, series, reports
        self._kept: dict[str, tuple[int, EnvironmentPage]] = {}

    async def page(self, scope: str, path: str) -> EnvironmentPage:
        """One site of the scope, with all that it measures."""
        published = await self._published()
        mine = [EnvironmentSite(one, inventory.site.name, *published.get(one, (0, "")))
                for one, inventory in sorted(self._sites.items()) if within(one, scope) and _points(inventory)]
        return await self._page(mine, path)

    async def public(self, path: str) -> EnvironmentPage:
        """Published sites only."""
        at_us = self._clock.now().mono_us
        known = self._kept.get(path)
        if known is not None and at_us - known[0] < PUBLIC_FRESH_US:
            return known[1]
        published = await self._published()
        mine = [EnvironmentSite(one, self._sites[one].site.name, since, "") for one, (since, _) in
                sorted(published.items()) if since and one in self._sites]
        page = await self._page(mine, path)
        if page.path == path or not path:  # a made-up path is not kept: the table stays as small as the district
            self._kept[path] = (at_us, page)
        return page

    async def publish(self, path: str, *, on: bool, who: str, why: str) -> str:
        """A setting with who and why."""
        if path not in self._sites:
            return "there is no such site · 没有此单位"
        if not why.strip():
            return "say why · 须写明原因"
        now_us = self._clock.now().wall_us
        body = msgspec.json.encode(_Published(on))
        await self._calls(lambda: self._own.put(
            _KIND, path, "environment", body, who=who, why=why[:500], at_us=now_us))
        self._kept.clear()
        return ""

    async def _published(self) -> dict[str, tuple[int, str]]:
        """Site → (since, by whom), of those that are published now."""
        found: dict[str, tuple[int, str]] = {}
        for one in reversed(await self._calls(lambda: self._own.settings(_KIND, limit=10_000))):
            on = msgspec.json.decode(one.body, type=_Published).on
            found[one.path] = (one.at_us, one.who) if on else (0, "")
        return found

    async def _page(self, sites: list[EnvironmentSite], path: str) -> EnvironmentPage:
        now_us = self._clock.now().wall_us
        from_us = (now_us // HOUR_US - DAYS * 24) * HOUR_US
        chosen = path if any(one.path == path for one in sites) else sites[0].path if sites else ""
        if not chosen:
            return EnvironmentPage(now_us, (), "", (), (), from_us)
        inventory = self._sites[chosen]
        points = _points(inventory)[:LINES_MAX]
        hours: dict[str, tuple[Rollup, ...]] = {}
        if self._series is not None:
            hours = await self._series.rollups(chosen, [point.name for point in points], from_us, now_us, Level.HOUR)
        zone = ZoneInfo(inventory.site.time_zone)
        days = (_day(from_us, zone), _day(now_us, zone))
        notices = tuple(Countdown(one.number, one.due_us, one.done_us) for one in await self._reports.notices(chosen))
        return EnvironmentPage(now_us, tuple(sites), chosen, tuple(
            _line(point, inventory, hours.get(point.name, ()), zone, self._limits, days) for point in points),
            notices, from_us)


def _day(at_us: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(at_us / SECOND_US, UTC).astimezone(zone).date()


def _points(inventory: Inventory) -> list[Point]:
    """What says something of air, dust, noise or water, in this order."""
    order = list(GROUPS)
    found = [point for point in inventory.points.values() if point.quantity in GROUPS]
    return sorted(found, key=lambda point: order.index(point.quantity))


def _line(
    point: Point, inventory: Inventory, rollups: tuple[Rollup, ...], zone: ZoneInfo, table: LimitTable,
    days: tuple[date, date],
) -> EnvironmentLine:
    place = inventory.site.zone(point.zone)
    spec, device = point.spec, point.device.place
    quantity = QUANTITIES[point.quantity]
    hours = tuple((one.time_us, round(one.mean, 6)) for one in rollups if one.mean is not None)
    limits = [(limit, exceedances(hours, limit, zone)) for limit in table.of(point.quantity, *days)]
    return EnvironmentLine(
        Text(f"{device.en} {spec.en}".strip(), f"{device.zh} {spec.zh}".strip()),
        place.name if place else Text(point.zone, point.zone), point.quantity, Text(quantity.en, quantity.zh),
        point.unit, GROUPS[point.quantity], hours, hours[-1][1] if hours else None,
        hours[-1][0] + HOUR_US if hours else 0,
        tuple(LimitFound(limit, len(over), over[-SHOWN_MAX:]) for limit, over in limits))
