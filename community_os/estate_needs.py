"""What needs the property manager (pure): out of incidents, lacks, inspections, certificates and messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dashboards.estate import BuildingAlarm, Need, NeedItem
from device_model.alarm import LIFE_SAFETY
from device_model.clock import DAY_US
from device_model.handling import Stage
from device_model.impairment import ImpairmentKind
from device_model.inspection import InspectionView
from device_model.inventory import Inventory
from device_model.read_models import GatewayView, ImpairmentView, IncidentState, IncidentView, Verification
from device_model.site import Text

NEEDS_MAX = 300
CERTIFICATE_SOON_US = 10 * DAY_US  # gateways renew by themselves; later than this nobody has
_OVER = frozenset({IncidentState.CLOSED, IncidentState.FALSE, IncidentState.RESOLVED})
_KIND = {
    ImpairmentKind.SILENT: Need.SILENT, ImpairmentKind.LINE_DOWN: Need.SILENT, ImpairmentKind.UNPOWERED: Need.SILENT,
    ImpairmentKind.GATEWAY_SILENT: Need.GATEWAY, ImpairmentKind.NOT_JOURNALED: Need.GATEWAY,
    ImpairmentKind.PROOF_MISSING: Need.GATEWAY, ImpairmentKind.ISOLATED: Need.IMPAIRMENT,
    ImpairmentKind.IN_TEST: Need.IMPAIRMENT,
}
_BATTERY = frozenset({"low_battery", "battery", "charge", "on_battery"})
_TEST = frozenset({"test", "head_present"})
_ORDER = {need: number for number, need in enumerate(Need)}


def place_of(view: IncidentView) -> Text:
    """Building, floor and zone as one line."""
    parts = [part for part in (view.building, view.floor, view.zone_name) if part.en or part.zh]
    return Text(" · ".join(part.en for part in parts), " · ".join(part.zh for part in parts))


def of_incidents(incidents: Iterable[IncidentView]) -> list[NeedItem]:
    """Alarms that nobody answered, self-checks, tasks."""
    found = []
    for view in incidents:
        if view.state in _OVER:
            continue
        path, place = view.tenancy.path, place_of(view)
        known = {"path": path, "site_name": view.site_name, "place": place, "incident": view.id,
                 "hazard": view.hazard.value, "drill": view.drill}
        handling = view.handling
        if handling is not None and handling.stage is Stage.SELF_CHECK:
            found.append(NeedItem(Need.SELF_CHECK, why="", since_us=handling.since_us, due_us=handling.deadline_us,
                                  **known))  # type: ignore[arg-type]  # as the struct names them
        elif not view.acknowledged_by or view.hazard in LIFE_SAFETY:
            found.append(NeedItem(Need.ALARM, why=view.state.value, since_us=view.opened_us,
                                  **known))  # type: ignore[arg-type]  # as the struct names them
        for task in handling.tasks if handling is not None else ():
            if not task.done_us:
                found.append(NeedItem(Need.TASK, why=task.person, what=task.title,
                                      since_us=task.given_us, due_us=task.due_us, typed=True,
                                      **known))  # type: ignore[arg-type]  # as the struct names them
        if handling is not None and handling.undelivered:
            found.append(NeedItem(Need.UNDELIVERED, why=str(handling.undelivered), since_us=view.updated_us,
                                  **known))  # type: ignore[arg-type]  # as the struct names them
    return found


def of_lack(view: ImpairmentView, inventory: Inventory | None, titles: Mapping[str, str]) -> NeedItem:
    """One impairment. titles: of rules, English → Chinese, for a fault names its rule in English."""
    lack = view.impairment
    kind = _KIND.get(lack.kind, Need.FAULT)
    if kind is Need.FAULT and inventory is not None:
        points = [point for name, point in inventory.points.items() if name == lack.subject]
        why = lack.why.lower()  # the rule's title in English, where no point tells more
        if (points and points[0].quantity in _BATTERY) or "batter" in why:
            kind = Need.BATTERY
        elif (points and points[0].quantity in _TEST) or "test" in why:
            kind = Need.TEST
    parts = [part for part in (view.zone_name, view.device_name) if part.en or part.zh]
    place = Text(" · ".join(part.en for part in parts), " · ".join(part.zh for part in parts))
    title, _, detail = lack.why.partition(": ")
    what = Text(title, titles[title]) if title in titles else None
    said = detail if what is not None else lack.why
    why = " — ".join(part for part in (said, lack.who, lack.compensation) if part)
    return NeedItem(kind, view.tenancy.path, view.site_name, place, why or ("" if what else lack.kind.value),
                    lack.since_us, lack.expires_us, subject=lack.subject, what=what,
                    typed=bool(lack.who or lack.compensation))


def of_gateway(view: GatewayView) -> NeedItem | None:
    """A gateway whose disk or devices lack something that no impairment says."""
    if view.journal_ok and view.devices_alive >= view.devices_expected:
        return None
    why = f"{view.devices_alive}/{view.devices_expected}" if view.journal_ok else "journal"
    return NeedItem(Need.GATEWAY, view.tenancy.path, view.site_name, Text(view.gateway, view.gateway), why,
                    view.heard_us, subject=view.gateway)


def of_inspection(view: InspectionView, site_name: Text) -> NeedItem:
    """A check-list that waits to be walked."""
    one = view.inspection
    return NeedItem(Need.INSPECTION, view.tenancy.path, site_name, one.title, one.person, one.given_us, one.due_us,
                    subject=one.id, typed=True)


def of_certificate(path: str, site_name: Text, gateway: str, not_after_us: int, now_us: int) -> NeedItem | None:
    """A certificate that should have been renewed by now."""
    if not not_after_us or not_after_us - now_us > CERTIFICATE_SOON_US:
        return None
    return NeedItem(Need.CERTIFICATE, path, site_name, Text(gateway, gateway), "", now_us, not_after_us,
                    subject=gateway)


def in_order(items: Iterable[NeedItem]) -> list[NeedItem]:
    """Alarms first, then by kind, what is due next first; drills after what is real."""
    return sorted(items, key=lambda one: (one.drill, _ORDER[one.kind], one.due_us or 2**62, one.since_us))


def for_neighbours(view: IncidentView) -> BuildingAlarm | None:
    """What residents may know of an incident: None for what concerns nobody else (a fault, a single dwelling's
    water), and no dwelling's name ever."""
    if view.state in _OVER or (view.hazard not in LIFE_SAFETY and view.hazard.value not in ("gas", "water")):
        return None
    stage = "on_scene" if view.state is IncidentState.ON_SCENE else (
        "dispatched" if view.state is IncidentState.DISPATCHED else (
            "seen" if view.acknowledged_by else "new"))
    return BuildingAlarm(view.id, view.hazard, view.building, view.floor, stage, view.opened_us,
                         view.verification is not Verification.NONE, view.drill)
