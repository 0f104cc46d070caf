"""An incident record as people see it, and what its alarms say about whether it is real. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from device_model.alarm import Hazard
from device_model.inventory import Inventory
from device_model.read_models import AlarmView, IncidentView, LogEntry, Plot, Verification
from device_model.site import Text
from rules_engine.incident_life import BEFORE_DISPATCH, CRITERION
from rules_engine.incident_record import LOG_HEAD, AlarmEntry, Incident
from rules_engine.incident_trust import PointTrust

# What one screen can show; the rest is counted in the timeline, and none is forgotten in the book.
ALARMS_SHOWN = 60


def verification_by_alarms(incident: Incident, inventory: Inventory) -> Verification:
    """What the alarms alone prove: a call point, or two witnesses (two detectors, or smoke and heat of one)."""
    # Two detectors smell the same welding: smoke under a permit is no witness while the work goes on.
    real = [entry for entry in incident.alarms.values()
            if (not entry.test or entry.hazard is Hazard.CALL_POINT) and not entry.audience]
    if any(entry.hazard is Hazard.CALL_POINT for entry in real):
        return Verification.CALL_POINT
    detectors = _witnesses(real, inventory)
    criteria = {criterion for entry in real for criterion in _criteria(entry, inventory)}
    if len(detectors) > 1 or len(criteria) > 1:
        return Verification.SECOND_DETECTOR
    return Verification.NONE


def _witnesses(real: list[AlarmEntry], inventory: Inventory) -> set[str]:
    """Who saw it: each device with an alarm of its own; and an alarm of a zone as one more, unless all of its points
    are of devices that are counted already."""
    seen = {entry.device for entry in real if entry.device}
    for entry in real:
        if not entry.device:
            owners = {point.device.id for name in entry.points if (point := inventory.points.get(name)) is not None}
            if not owners or owners - seen:
                seen.add(entry.detector)
    return seen


def _criteria(entry: AlarmEntry, inventory: Inventory) -> set[str]:
    """What kinds of evidence one alarm rests on. An alarm that needs several at once is one witness: its
    points count as one kind."""
    found = {
        CRITERION[point.quantity]
        for name in entry.points
        if (point := inventory.points.get(name)) is not None and point.quantity in CRITERION
    }
    return {min(found)} if found else set()


def view_of(
    incident: Incident, inventory: Inventory, titles: Mapping[str, Text], trust: PointTrust,
    plots: tuple[Plot, ...],
) -> IncidentView:
    """The whole incident for the board."""
    site = inventory.site
    zone = site.zone(incident.zones[0]) if incident.zones else None
    building = next((b for b in site.buildings if zone and b.id == zone.building), None)
    floor = next((f for f in building.floors if zone and f.id == zone.floor), None) if building else None
    nowhere = Text("", "")
    return IncidentView(
        id=incident.id, tenancy=site.tenancy, site_name=site.name, state=incident.state, hazard=incident.hazard,
        severity=incident.severity, verification=incident.verification,
        building=building.name if building else nowhere, floor=floor.name if floor else nowhere,
        zone=zone.id if zone else "", zone_name=zone.name if zone else nowhere,
        opened_us=incident.opened_us, updated_us=incident.updated_us,
        acknowledged_by=incident.acknowledged_by, acknowledged_us=incident.acknowledged_us,
        gateway_told_us=incident.gateway_told_us,
        in_dispatch_queue=incident.queued and incident.state in BEFORE_DISPATCH,
        drill=incident.drill, closed_us=incident.closed_us, cause=incident.cause,
        alarms=_alarms(incident, inventory, titles, trust), log=_log(incident), plots=plots,
        contacts=site.contacts, audience=incident.audience, address=site.address,
        position=site.access_point or (building.position if building else None) or site.position,
        access_note=site.access_note,
    )


def _alarms(
    incident: Incident, inventory: Inventory, titles: Mapping[str, Text], trust: PointTrust
) -> tuple[AlarmView, ...]:
    """Standing ones first, then the gravest, then the oldest."""
    ordered = sorted(
        incident.alarms.values(), key=lambda e: (not e.standing, -e.severity.rank, e.raised_us, e.alarm)
    )
    views = []
    for entry in ordered[:ALARMS_SHOWN]:
        device = inventory.devices.get(entry.device)
        views.append(AlarmView(
            alarm=entry.alarm, rule=entry.key.rule, subject=entry.key.subject,
            title=titles.get(entry.key.rule, Text(entry.key.rule, entry.key.rule)), device=entry.device,
            place=device.place if device else _place(entry.key.subject, inventory), zone=entry.zone,
            state=entry.state.value, severity=entry.severity, hazard=entry.hazard, at_us=entry.raised_us,
            detail=entry.detail, latched=entry.latched, test=entry.test or incident.drill,
            journaled=entry.journaled, trustworthy=not any(trust.reason_of(point) for point in entry.points),
        ))
    return tuple(views)


def _place(subject: str, inventory: Inventory) -> Text:
    """Where an alarm that is no single device's stands: its zone by name, or the site."""
    zone = inventory.site.zone(subject.removeprefix("zone:"))
    if zone is not None:
        return zone.name
    return inventory.site.name if subject == "site" else Text(subject, subject)


def _log(incident: Incident) -> tuple[LogEntry, ...]:
    """The timeline in order of entry, saying how much it leaves out."""
    log = list(incident.log)
    if incident.log_omitted:
        log.insert(LOG_HEAD, LogEntry(log[LOG_HEAD].at_us, "omitted", "", f"{incident.log_omitted} entries"))
    if len(incident.alarms) > ALARMS_SHOWN:
        hidden = len(incident.alarms) - ALARMS_SHOWN
        log.append(LogEntry(incident.updated_us, "more_alarms", "", f"{hidden} further alarms are not shown"))
    return tuple(log)
