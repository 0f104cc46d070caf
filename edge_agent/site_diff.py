"""Site diff (pure): what a new site file changes, and what of it may not be changed while the gateway runs.

    old Inventory ┐             ┌─ devices added, removed, changed; of these `anew`: elsewhere or others now
                  ├─► SiteChange┤  lines added, removed, changed; outputs added, changed, removed; rules
    new Inventory ┘             └─ or Findings: nothing of the new file is taken, the old one runs on

What is refused: another site, gateway or journal (another gateway, then: restart it); a device that goes while an
alarm of life safety stands on it, unless a named person isolated it (law 3); an output that goes while it is on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from device_model.alarm import LIFE_SAFETY, AlarmState, AlarmTransition
from device_model.errors import Finding
from device_model.inventory import Inventory
from device_model.site import CloudEnd, Device, Line, Output, RuleChoice, Site

_STANDING = (AlarmState.RAISED, AlarmState.HELD)


class SiteChange(msgspec.Struct, frozen=True):
    """What is different, by id. `anew`: devices that are added, or whose profile, line, unit, address or serial
    number changed: what was read of them before says nothing of what stands there now."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    anew: tuple[str, ...] = ()
    lines_added: tuple[str, ...] = ()
    lines_removed: tuple[str, ...] = ()
    lines_changed: tuple[str, ...] = ()
    outputs_added: tuple[str, ...] = ()
    outputs_removed: tuple[str, ...] = ()
    outputs_changed: tuple[str, ...] = ()
    rules: bool = False  # packs, files or parameters, zones, time zone: what rules bind to
    other: bool = False  # names, contacts, drawings: nothing that the gateway acts on

    @property
    def empty(self) -> bool:
        """Whether nothing changed."""
        return self == SiteChange()

    def words(self) -> str:
        """In words, for the log and the person who asked."""
        parts = [f"{what} {', '.join(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}"
                 for what, names in (
                     ("added", self.added), ("removed", self.removed), ("changed", self.changed),
                     ("lines added", self.lines_added), ("lines removed", self.lines_removed),
                     ("lines changed", self.lines_changed), ("outputs added", self.outputs_added),
                     ("outputs removed", self.outputs_removed), ("outputs changed", self.outputs_changed)) if names]
        parts += ["rules or zones changed"] if self.rules else []
        parts += ["descriptions changed"] if self.other else []
        return "; ".join(parts) or "nothing changed"


def site_change(old: Inventory, new: Inventory) -> SiteChange:
    """What is different."""
    before, after = old.site, new.site
    added, removed, differing = _by_id(before.devices, after.devices)
    moved = tuple(name for name in new.devices if name in old.devices and _elsewhere(name, old, new))
    changed = tuple(name for name in new.devices if name in differing or name in moved)
    lines = _by_id(before.lines, after.lines)
    outputs = _by_id(before.outputs, after.outputs)
    rules = (before.rules, before.zones, before.time_zone) != (after.rules, after.zones, after.time_zone)
    said = SiteChange(added, removed, changed, (*added, *moved), *lines, *outputs, rules)
    other = _described(before) != _described(after)
    return msgspec.structs.replace(said, other=other)


def refusals(
    old: Inventory, new: Inventory, change: SiteChange, *, open_alarms: Iterable[AlarmTransition],
    isolated: Collection[str], outputs_on: Collection[str],
) -> list[Finding]:
    """Why this change may not be made while the gateway runs; empty when it may."""
    file = new.site.file
    findings = [Finding(file, 0, 0, f"{what} differs from what runs", "set it back, or restart the gateway")
                for what in _fixed(old.site, new.site)]
    standing = [step for step in open_alarms if step.state in _STANDING and step.hazard in LIFE_SAFETY]
    for device in change.removed:
        prefix = f"{device}."
        alarms = [step.alarm for step in standing
                  if step.device == device or any(point.startswith(prefix) for point in step.points)]
        if alarms and device not in isolated:
            findings.append(Finding(
                file, 0, 0,
                f"device {device!r} is not in the file, but alarm {alarms[0]} stands on it (law of safety 3)",
                f"close the alarm, or isolate {device} with name, reason and compensating measure, then try again"))
    for output in (*change.outputs_removed, *change.outputs_changed):
        if output in outputs_on:
            findings.append(Finding(
                file, 0, 0, f"output {output!r} goes or changes while it is on (law of safety 5)",
                "reset it on site, then try again"))
    return findings


def names_subject(inventory: Inventory, subject: str) -> bool:
    """Whether the site file still names that device, point, output, line or gateway."""
    site = inventory.site
    cloud = site.gateway.cloud
    ends = (CloudEnd(cloud.host, cloud.port, cloud.interface), *cloud.spares) if cloud is not None else ()
    ways = [end.name for end in ends]
    others = {site.gateway.id, *ways, *(output.id for output in site.outputs), *(line.id for line in site.lines)}
    return subject in inventory.devices or subject in inventory.points or subject in others


def _fixed(old: Site, new: Site) -> list[str]:
    """What only a restart changes."""
    said = []
    if old.tenancy != new.tenancy:
        said.append("site path")
    for name in old.gateway.__struct_fields__:
        if name != "proof_hour" and getattr(old.gateway, name) != getattr(new.gateway, name):
            said.append(f"gateway.{name}")
    return said


def _by_id(
    old: Iterable[Device | Line | Output], new: Iterable[Device | Line | Output],
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Added, removed, changed."""
    before, after = {one.id: one for one in old}, {one.id: one for one in new}
    return (tuple(name for name in after if name not in before), tuple(name for name in before if name not in after),
            tuple(name for name in after if name in before and before[name] != after[name]))


def _elsewhere(name: str, old: Inventory, new: Inventory) -> bool:
    one, other = old.devices[name], new.devices[name]
    return (one.line, one.unit, one.address, one.serial) != (other.line, other.unit, other.address, other.serial) or (
        old.profiles[one.profile] != new.profiles[other.profile])


def _described(site: Site) -> Site:
    """The site without what is compared by itself."""
    return msgspec.structs.replace(site, devices=(), lines=(), outputs=(), zones=(), rules=RuleChoice(),
                                   time_zone="", file="")
