"""Figures of sites, streets, districts out of what the store holds (pure): counts, league, risk, trends.

    inventories + snapshot + now rows + incidents of 30 days ──► PlaceFigures of each site ──► summed by prefix
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from zoneinfo import ZoneInfo

import msgspec

from community_os.risk import risk_of
from dashboards.officer import Day, EndedIncident, Lack, OpenIncident, OverdueCheck, PlaceFigures
from device_model.alarm import LIFE_SAFETY, Hazard
from device_model.clock import HOUR_US, SECOND_US
from device_model.inspection import InspectionState, InspectionView
from device_model.inventory import Inventory
from device_model.permit import PERMIT_ENDED
from device_model.permit_views import PermitView
from device_model.place_now import PlaceNow
from device_model.read_models import BoardSnapshot, GatewayView, ImpairmentView, IncidentState, IncidentView
from device_model.site import Text
from rules_engine.incident_life import ENDED

DAYS = 30
DAY_US = 24 * HOUR_US
INCIDENTS_LISTED, ENDED_LISTED = 100, 50
PROOF_WITHIN_US = 26 * HOUR_US  # once a day, and two hours for a slow night
VALUE_FRESH_US = 30 * 60 * SECOND_US  # an older head count or gas value is not "now"
SELF_CHECKS = frozenset({"self_check", "street", "department"})
GAS = frozenset({Hazard.GAS, Hazard.GAS_HIGH, Hazard.CO})
FIRE = frozenset({Hazard.FIRE, Hazard.CALL_POINT})


class IncidentFact(msgspec.Struct, frozen=True):
    """What statistics need of an incident."""

    path: str
    hazard: str
    state: str
    opened_us: int
    acknowledged_us: int
    ended_us: int
    drill: bool
    hot_work: bool = False
    id: str = ""
    title: Text = Text("", "")
    place: Text = Text("", "")


def fact_of(view: IncidentView) -> IncidentFact:
    """ended_us: when people were done with it: resolved, false or closed, whatever was first."""
    ends = [entry.at_us for entry in view.log if entry.what in ("resolved", "false_alarm", "false", "closed")]
    ended = min(ends, default=view.closed_us) if view.state in ENDED or view.state is IncidentState.RESOLVED else 0
    return IncidentFact(view.tenancy.path, view.hazard.value, view.state.value, view.opened_us, view.acknowledged_us,
                        ended, view.drill, view.hazard is Hazard.HOT_WORK, view.id, _title(view), _place(view))


class Gathered(msgspec.Struct, frozen=True):
    """Everything that figures are made of, already within the scope."""

    at_us: int
    sites: Mapping[str, Inventory]
    board: BoardSnapshot
    now: Sequence[PlaceNow]
    permits: Sequence[PermitView]
    inspections: Sequence[InspectionView]
    incidents: Sequence[IncidentFact]


def site_figures(g: Gathered) -> dict[str, PlaceFigures]:
    """Of each configured site, by path."""
    return {path: _site(path, inventory, g) for path, inventory in g.sites.items()}


def _site(path: str, inventory: Inventory, g: Gathered) -> PlaceFigures:
    site = inventory.site
    gateway = next((view for view in g.board.gateways if view.tenancy.path == path), None)
    mine = [view for view in g.board.incidents if view.tenancy.path == path and not view.drill]
    lacks = [view for view in g.board.impairments if view.tenancy.path == path]
    proven = any(view.tenancy.path == path and g.at_us - view.raised_us <= PROOF_WITHIN_US for view in g.board.proofs)
    checks = _overdue_of(path, site.name, mine, g.inspections, g.at_us)
    here = next((one for one in g.now if one.tenancy.path == path), None)
    people, over, gas, gas_at = _now(here, g.at_us)
    past = [one for one in g.incidents if one.path == path and not one.drill]
    silent = gateway is None or gateway.silent or gateway.heard_us == 0
    expected = len(inventory.devices)
    connected = 0 if silent or gateway is None else min(expected, gateway.devices_alive)
    figures = PlaceFigures(
        path, site.name, 1, int(silent), int(not proven), expected, connected, connected if proven else 0,
        len(mine), sum(view.hazard in LIFE_SAFETY for view in mine), len(lacks),
        sum(not lack.impairment.compensation for lack in lacks), len(checks),
        sum(1 for one in g.inspections
            if one.tenancy.path == path and one.inspection.state is InspectionState.GIVEN),
        sum(one.tenancy.path == path and one.permit.state not in PERMIT_ENDED for one in g.permits),
        people, over, gas, gas_at, len(past), sum(one.state == "false" for one in past), *_times(past),
        heard_us=_heard(gateway),
        latitude=site.position.latitude if site.position else None,
        longitude=site.position.longitude if site.position else None,
        datum=site.position.datum.value if site.position else "")
    breaches = sum(view.hazard is Hazard.HOT_WORK for view in mine)
    return msgspec.structs.replace(figures, risk=risk_of(figures, breaches))


def _heard(gateway: GatewayView | None) -> int:
    return gateway.heard_us if gateway is not None else 0


def _now(here: PlaceNow | None, at_us: int) -> tuple[int | None, int, float | None, int]:
    """(people, zones over their limit, worst %LEL, its time). Old values are not now."""
    if here is None:
        return None, 0, None, 0
    fresh = [value for value in here.values if value.value is not None and not isinstance(value.value, str)
             and at_us - value.at_us <= VALUE_FRESH_US]
    by_zone: dict[str, int] = {}
    for value in fresh:
        if value.quantity == "people":
            by_zone[value.zone] = max(by_zone.get(value.zone, 0), round(float(value.value or 0)))
    limits = {zone.id: zone.people_limit for zone in here.zones}
    over = sum(bool(limits.get(zone)) and count > limits[zone] for zone, count in by_zone.items())
    gas = max((value for value in fresh if value.quantity == "combustible_gas"),
              key=lambda value: float(value.value or 0), default=None)
    return (sum(by_zone.values()) if by_zone else None, over, float(gas.value or 0) if gas else None,
            gas.at_us if gas else 0)


def _times(past: Iterable[IncidentFact]) -> tuple[float | None, float | None]:
    """Median seconds to the acknowledgement and to the end of handling."""
    past = list(past)
    taken = [(one.acknowledged_us - one.opened_us) / SECOND_US for one in past if one.acknowledged_us]
    ended = [(one.ended_us - one.opened_us) / SECOND_US for one in past if one.ended_us]
    return (round(median(taken), 1) if taken else None), (round(median(ended), 1) if ended else None)


# --- sums ---------------------------------------------------------------------------------------------------------


def summed(path: str, name: Text, sites: Sequence[PlaceFigures], past: Sequence[IncidentFact]) -> PlaceFigures:
    """A street, district or city. risk: that of its worst site, for a sum would only count sites."""
    heads = [site.people for site in sites if site.people is not None]
    worst = max((site for site in sites if site.gas_worst is not None), key=lambda s: s.gas_worst or 0, default=None)
    counted = {field: sum(getattr(site, field) for site in sites) for field in (
        "sites", "silent", "unproven", "expected", "connected", "proven", "open", "life_safety", "impairments",
        "unwatched", "overdue_checks", "open_checks", "permits", "over", "incidents", "false_alarms")}
    mine = [one for one in past if not one.drill and any(one.path == site.path for site in sites)]
    acknowledged, handled = _times(mine)
    return PlaceFigures(
        path, name, **counted, people=sum(heads) if heads else None,
        gas_worst=worst.gas_worst if worst else None, gas_at_us=worst.gas_at_us if worst else 0,
        acknowledged_s=acknowledged, handled_s=handled, risk=max((site.risk for site in sites), default=0.0))


def within(path: str, scope: str) -> bool:
    """Whether a path lies within a prefix by whole labels."""
    return scope in ("", path) or path.startswith(f"{scope}/")


def parts_below(scope: str, sites: Mapping[str, PlaceFigures], past: Sequence[IncidentFact]) -> list[PlaceFigures]:
    """The next level below a scope; a site is its own part."""
    depth = len([part for part in scope.split("/") if part]) + 1
    groups: dict[str, list[PlaceFigures]] = {}
    for path, figures in sites.items():
        if within(path, scope):
            groups.setdefault("/".join(path.split("/")[:depth]), []).append(figures)
    return [group[0] if depth >= 4 else summed(path, Text(path.split("/")[-1], path.split("/")[-1]), group, past)
            for path, group in sorted(groups.items())]


def days_of(past: Sequence[IncidentFact], at_us: int, zone: ZoneInfo, days: int = DAYS) -> tuple[Day, ...]:
    """Incidents of each local day, oldest first; days without any are there, with zeros."""
    today = datetime.fromtimestamp(at_us / SECOND_US, UTC).astimezone(zone).date()
    rows = {today - timedelta(days=back): [0, 0, 0, 0] for back in range(days - 1, -1, -1)}
    for one in past:
        day = datetime.fromtimestamp(one.opened_us / SECOND_US, UTC).astimezone(zone).date()
        if one.drill or day not in rows:
            continue
        kind = 0 if Hazard(one.hazard) in FIRE else 1 if Hazard(one.hazard) in GAS else 2
        rows[day][kind] += 1
        rows[day][3] += one.state == "false"
    return tuple(Day(round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * SECOND_US, *counts)
                 for day, counts in rows.items())


def _title(view: IncidentView) -> Text:
    return view.alarms[0].title if view.alarms else Text(view.hazard.value, view.hazard.value)


def _place(view: IncidentView) -> Text:
    return Text(f"{view.site_name.en} {view.zone_name.en}", f"{view.site_name.zh} {view.zone_name.zh}")


def ended_incidents(g: Gathered) -> tuple[EndedIncident, ...]:
    """What league and trend were made of: the newest first, without drills."""
    mine = sorted((one for one in g.incidents if one.ended_us and not one.drill), key=lambda one: -one.ended_us)
    return tuple(EndedIncident(one.id, one.path, one.title, one.place, one.state, one.opened_us, one.acknowledged_us,
                               one.ended_us) for one in mine[:ENDED_LISTED])


def lacks_of(g: Gathered) -> tuple[Lack, ...]:
    """Everything that does not protect, without a measure first, the oldest first."""
    found = [_lack(view) for view in g.board.impairments]
    return tuple(sorted(found, key=lambda one: (bool(one.measure), one.since_us)))


def _lack(view: ImpairmentView) -> Lack:
    i, named = view.impairment, view.device_name
    what = named if named.en or named.zh else Text(i.subject, i.subject)
    return Lack(view.tenancy.path, view.site_name, i.kind.value, what, view.zone_name, i.since_us, i.who, i.why,
                i.compensation, i.expires_us)


def open_incidents(g: Gathered) -> tuple[OpenIncident, ...]:
    """Those that are not over, worst and oldest first."""
    views = sorted(g.board.incidents, key=lambda view: (view.drill, -view.severity.rank, view.opened_us))
    return tuple(OpenIncident(
        view.id, view.tenancy.path, _title(view), _place(view), view.severity.value, view.state.value,
        view.opened_us, view.drill) for view in views[:INCIDENTS_LISTED])


# --- what is overdue ------------------------------------------------------------------------------------------------


def overdue_checks(g: Gathered) -> list[OverdueCheck]:
    """Self-checks, tasks and inspections whose time is over, the oldest first."""
    found = [check for path, inventory in g.sites.items()
             for check in _overdue_of(path, inventory.site.name, g.board.incidents, g.inspections, g.at_us)]
    return sorted(found, key=lambda check: check.due_us)


def _overdue_of(
    path: str, name: Text, incidents: Iterable[IncidentView], inspections: Iterable[InspectionView], at_us: int
) -> list[OverdueCheck]:
    found = []
    for view in incidents:
        if view.tenancy.path != path or view.handling is None or view.drill:
            continue
        title = _title(view)
        if view.handling.stage.value in SELF_CHECKS and 0 < view.handling.deadline_us < at_us:
            found.append(OverdueCheck(path, view.site_name, title, "", view.handling.deadline_us, view.id))
        found += [OverdueCheck(path, view.site_name, task.title, task.person, task.due_us, view.id)
                  for task in view.handling.tasks if not task.done_us and 0 < task.due_us < at_us]
    found += [OverdueCheck(path, name, one.inspection.title, one.inspection.person, one.inspection.due_us)
              for one in inspections
              if one.tenancy.path == path and one.inspection.state is InspectionState.GIVEN
              and 0 < one.inspection.due_us < at_us]
    return found
