"""What routing knows of an alarm: its labels, made from the transition and the site. Pure.

    AlarmTransition ─► labels ─► Router.put          a step that changes labels ends the old set and begins the new

Labels: alarm (rule and subject), rule, hazard, severity, family, city, district, street, site, building, zone,
device, drill ("yes" or absent), audience ("permit:…" or absent).
"""

from __future__ import annotations

import msgspec

from device_model.alarm import NEVER_INCIDENT, AlarmState, AlarmTransition, Hazard
from device_model.site import Site
from rules_engine.incident_life import family_of
from rules_engine.incident_record import entry_name
from rules_engine.routing import Router
from rules_engine.routing_record import Notification

_STANDING = (AlarmState.RAISED, AlarmState.HELD)


def labels_of(step: AlarmTransition, site: Site) -> dict[str, str]:
    """The labels of an alarm; those without a value are left out."""
    zone = site.zone(step.zone)
    test = step.drill or (step.test and step.hazard is not Hazard.CALL_POINT)
    tenancy = site.tenancy
    labels = {
        "alarm": entry_name(step.key), "rule": step.key.rule, "hazard": step.hazard.value,
        "severity": step.severity.value, "family": family_of(step.hazard), "city": tenancy.city,
        "district": tenancy.district, "street": tenancy.street, "site": tenancy.site,
        "building": zone.building if zone else "", "zone": step.zone if zone else "", "device": step.device,
        "drill": "yes" if test else "", "audience": step.audience,
    }
    return {name: value for name, value in labels.items() if value}


class RoutedSite(msgspec.Struct):
    """Which labels each alarm of a site was last routed under: alarm → labels. Part of the checkpoint."""

    routed: dict[str, dict[str, str]] = {}

    def take(self, step: AlarmTransition, site: Site, router: Router, now_us: int) -> tuple[Notification, ...]:
        """Route one step of an alarm. Held is standing still: what has not cleared is not over."""
        if step.hazard in NEVER_INCIDENT or step.late or step.state in (AlarmState.INACTIVE, AlarmState.PENDING):
            return ()
        name, labels = entry_name(step.key), labels_of(step, site)
        if "drill" in labels:
            name = f"!{name}"
        former = self.routed.get(name)
        said: tuple[Notification, ...] = ()
        if former is not None and (former != labels or step.state not in _STANDING):
            said = router.put(former, started_us=step.onset_us, now_us=now_us, ended_us=now_us)
            del self.routed[name]
        if step.state in _STANDING:
            self.routed[name] = labels
            said += router.put(labels, started_us=min(step.at_us, now_us), now_us=now_us)
        return said
