"""Hot work now (pure): permits × cameras × gas × watcher × people, place by place, worst first.

    permits ─┐
    now rows ┼─► a row a zone where something is allowed, seen or measured ◄─ alarms of hot work rules that stand
    evidence ┘

The verdict is the gateway's: an outcome is a rule that stands raised (packs/hot_work.yaml), never made up here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from community_os.officer_figures import Gathered
from dashboards.officer import HotWorkPage, HotWorkRow, Seen
from device_model.permit import PERMIT_ENDED, PermitState
from device_model.permit_views import PermitView
from device_model.place_now import PlaceNow
from device_model.read_models import IncidentView, LiveValue
from device_model.site import Tenancy, Text

# From the worst: the order in which rows stand.
OUTCOMES = ("gas_high", "no_permit", "outside_place", "outside_time", "not_started", "over_time", "gas_not_seen",
            "no_watcher", "heat_after", "people_near", "wind", "no_fire_watch")
_GAS = frozenset({"combustible_gas", "gas_volume_fraction", "methane"})
STANDS = frozenset({"raised", "held"})
# A zone that only has a detector is no place of hot work; it is listed while somebody works at its site.
SEEN_FROM = 0.6
ROWS_MAX = 300


def hot_work_now(g: Gathered, seen: Mapping[str, tuple[Seen, ...]]) -> HotWorkPage:
    """seen: pictures by incident."""
    rows: dict[tuple[str, str], HotWorkRow] = {}
    for permit in g.permits:
        if permit.permit.state not in PERMIT_ENDED and not permit.refused:
            row = _row(rows, permit.tenancy, permit.site_name, permit.permit.plan.zone, permit.zone_name)
            rows[_key(row)] = msgspec.structs.replace(row, permits=(*row.permits, permit))
    for here in g.now:
        _measured(rows, here)
    for view in g.board.incidents:
        _judged(rows, view, seen.get(view.id, ()))
    gateways = {view.tenancy.path: view for view in g.board.gateways}
    told = [msgspec.structs.replace(
        row, outcomes=tuple(sorted(row.outcomes, key=_rank)),
        heard_us=gateways[path].heard_us if path in gateways else 0,
        silent=path not in gateways or gateways[path].silent) for (path, _), row in rows.items()]
    told.sort(key=lambda row: (min((_rank(name) for name in row.outcomes), default=99), -_score(row.scores),
                               not row.permits, row.tenancy, row.zone))
    return HotWorkPage(g.at_us, tuple(told[:ROWS_MAX]), sum(_working(row.permits) for row in told),
                       sum(bool(row.outcomes) for row in told), SEEN_FROM)


def _measured(rows: dict[tuple[str, str], HotWorkRow], here: PlaceNow) -> None:
    names = {zone.id: zone.name for zone in here.zones}
    values: dict[str, list[LiveValue]] = {}
    for value in here.values:
        values.setdefault(value.zone, []).append(value)
    for zone, of_zone in values.items():
        scores = tuple(value for value in of_zone if value.quantity == "hot_work_score")
        if not scores and (here.tenancy.path, zone) not in rows:
            continue
        row = _row(rows, here.tenancy, here.site_name, zone, names.get(zone, Text(zone, zone)))
        rows[_key(row)] = msgspec.structs.replace(
            row, scores=scores, gas=tuple(value for value in of_zone if value.quantity in _GAS),
            people=tuple(value for value in of_zone if value.quantity == "people"))


def _judged(rows: dict[tuple[str, str], HotWorkRow], view: IncidentView, seen: tuple[Seen, ...]) -> None:
    for alarm in view.alarms:
        pack, _, name = alarm.rule.partition(".")
        if pack != "hot_work" or alarm.state not in STANDS or view.drill:
            continue
        row = _row(rows, view.tenancy, view.site_name, alarm.zone or view.zone, view.zone_name)
        outcomes = row.outcomes if name in row.outcomes else (*row.outcomes, name)
        known = row.seen if any(one.incident == view.id for one in row.seen) else (
            *row.seen, *(seen or (Seen(view.id),)))
        rows[_key(row)] = msgspec.structs.replace(row, outcomes=outcomes, seen=known)


def _row(rows: dict[tuple[str, str], HotWorkRow], tenancy: Tenancy, site: Text, zone: str, name: Text) -> HotWorkRow:
    return rows.setdefault((tenancy.path, zone), HotWorkRow(tenancy, site, zone, name))


def _key(row: HotWorkRow) -> tuple[str, str]:
    return row.tenancy.path, row.zone


def _rank(name: str) -> int:
    return OUTCOMES.index(name) if name in OUTCOMES else len(OUTCOMES)


def _score(values: Sequence[LiveValue]) -> float:
    return max((float(value.value) for value in values if isinstance(value.value, int | float)), default=0.0)


def _working(permits: Sequence[PermitView]) -> int:
    return sum(one.permit.state is PermitState.WORKING for one in permits)
