"""Merge and split by hand, and incidents that people told of: an IncidentBook that can regroup. Pure.

Nothing is lost by it: an alarm is always held by exactly one incident, verification never falls, and what nobody has
answered stays unanswered in the one that takes it (laws 1 and 3).
"""

from __future__ import annotations

import hashlib

from device_model.alarm import LIFE_SAFETY, Severity
from device_model.incident_deeds import DRILL_LEAST_S, DRILL_MOST_S, StartDrill, TakeIn
from device_model.read_models import IncidentState, Verification
from rules_engine.incident import IncidentBook, IncidentChange, _holder_key
from rules_engine.incident_life import ENDED, SPREADING, family_of, graver_hazard, stronger_verification
from rules_engine.incident_record import AlarmEntry, Incident


class RegroupingBook(IncidentBook):
    """Adds what only people do."""

    def merge(self, source: Incident, target: Incident, who: str, why: str, at_us: int) -> list[IncidentChange]:
        """The source's alarms go over into the target, and the source is closed. Raises ValueError."""
        if source is target:
            raise ValueError("an incident cannot be merged into itself")
        if source.state in ENDED or target.state in ENDED:
            raise ValueError("one of the two has ended; reopen it first")
        if source.drill != target.drill:
            raise ValueError("a drill and a real incident are never one")
        unanswered = source.hazard in LIFE_SAFETY and not source.acknowledged_us
        for name, entry in list(source.alarms.items()):
            self._move(name, entry, source, target)
        target.zones += [zone for zone in source.zones if zone not in target.zones]
        target.hazard = graver_hazard(target.hazard, source.hazard)
        target.severity = max(target.severity, source.severity, key=lambda severity: severity.rank)
        target.verification = stronger_verification(target.verification, source.verification)
        target.opened_us = min(target.opened_us, source.opened_us)
        target.raised_us = max(target.raised_us, source.raised_us)
        target.queued = target.queued or source.queued
        changes = [self._note(target, "merged", at_us, who, f"{source.id} {why}".strip(), notify=True)]
        if unanswered and target.acknowledged_us:
            target.unanswer(at_us)
        elif unanswered:
            target.unanswered_us = min(target.unanswered_us, source.unanswered_us)
        source.state, source.closed_us, source.cause = IncidentState.CLOSED, max(1, at_us), f"merged into {target.id}"
        changes.append(self._note(source, "merged_into", at_us, who, f"{target.id} {why}".strip()))
        for incident in (source, target):
            incident.updated_us = max(incident.updated_us, at_us)
        self._judge(target, at_us, changes)
        return changes

    def split(self, source: Incident, names: tuple[str, ...], who: str, why: str, request: str, at_us: int
              ) -> tuple[Incident, list[IncidentChange]]:
        """Those alarms become an incident of their own. Raises ValueError."""
        if source.state in ENDED:
            raise ValueError("it has ended; reopen it first")
        unknown = [name for name in names if name not in source.alarms]
        if unknown or not names:
            raise ValueError(f"it does not hold {', '.join(unknown)}" if unknown else "name the alarms that go")
        if len(set(names)) >= len(source.alarms):
            raise ValueError("at least one alarm must stay")
        entries = [source.alarms[name] for name in dict.fromkeys(names)]
        first = min(entries, key=lambda entry: (entry.raised_us, entry.alarm))
        split = self._new(f"split|{source.id}|{request}", first, source.drill, at_us)
        for entry in entries:
            self._move(f"{entry.key.rule}|{entry.key.subject}", entry, source, split)
            split.hazard = graver_hazard(split.hazard, entry.hazard)
            split.severity = max(split.severity, entry.severity, key=lambda severity: severity.rank)
            if entry.zone not in split.zones:
                split.zones.append(entry.zone)
        changes = [self._note(split, "opened", at_us, who, f"split from {source.id} {why}".strip(), notify=True),
                   self._note(source, "split", at_us, who, f"{split.id} {why}".strip())]
        source.updated_us = max(source.updated_us, at_us)
        self._judge(split, at_us, changes)
        return split, changes

    def take_in(self, intake: TakeIn, who: str, request: str, at_us: int) -> tuple[Incident, list[IncidentChange]]:
        """What people told joins the open incident of its cause and place, or opens one."""
        zone = intake.zone if self._site.zone(intake.zone) is not None else ""
        incident = self._told_of(family_of(intake.hazard), zone)
        changes: list[IncidentChange] = []
        if incident is None:
            incident = self._opened(f"intake|{request}", intake, zone, at_us)
            changes.append(self._note(incident, "opened", at_us, who, intake.kind.value, notify=True))
        elif zone not in incident.zones:
            incident.zones.append(zone)
            incident.unanswer(at_us)
            changes.append(self._note(incident, "new_zone", at_us, who, zone, notify=True))
        incident.hazard = graver_hazard(incident.hazard, intake.hazard)
        text = f"{intake.kind.value}: {intake.text}"[:500]
        changes.append(self._note(incident, "told", at_us, who, text))
        if intake.seen or intake.kind.value == "record_119":
            changes += self.verify(incident, Verification.PERSON, at_us, who, intake.kind.value)
        incident.updated_us = max(incident.updated_us, at_us)
        self._judge(incident, at_us, changes)
        return incident, changes

    def begin_drill(self, drill: StartDrill, who: str, request: str, at_us: int
                    ) -> tuple[Incident, list[IncidentChange]]:
        """An exercise in a zone of the site. Nothing real joins it, nor it anything real. ValueError."""
        if self._site.zone(drill.zone) is None:
            raise ValueError(f"there is no zone {drill.zone!r} here")
        if not drill.text.strip():
            raise ValueError("say what is exercised")
        if not DRILL_LEAST_S <= drill.for_s <= DRILL_MOST_S:
            raise ValueError(f"a drill lasts {DRILL_LEAST_S // 60} minutes to {DRILL_MOST_S // 3600} hours")
        incident = self._opened(f"drill|{request}", drill, drill.zone, at_us, drill=True)
        return incident, [self._note(incident, "drill", at_us, who, drill.text[:500])]

    def end_drill(self, incident: Incident, at_us: int) -> list[IncidentChange]:
        """Its time is over; one that somebody has ended already stays as it is."""
        if incident.state in ENDED:
            return []
        incident.state, incident.closed_us, incident.updated_us = IncidentState.CLOSED, max(1, at_us), at_us
        return [self._note(incident, "drill_over", at_us)]

    def verify(self, incident: Incident, by: Verification, at_us: int, who: str, detail: str) -> list[IncidentChange]:
        """Raise the verification; what is weaker than what is known changes nothing."""
        stronger = stronger_verification(incident.verification, by)
        if stronger is incident.verification:
            return []
        incident.verification = stronger
        changes = [self._note(incident, "verified", at_us, who, f"{by.value} {detail}".strip(), notify=True)]
        incident.updated_us = max(incident.updated_us, at_us)
        self._judge(incident, at_us, changes)
        return changes

    def _told_of(self, family: str, zone: str) -> Incident | None:
        building = self._building(zone)
        fitting = [i for i in self.open_incidents() if i.family == family and not i.drill and (
            zone in i.zones or (zone and family in SPREADING and i.zones and self._building(i.zones[0]) == building))]
        return max(fitting, key=lambda i: (zone in i.zones, i.raised_us, i.id), default=None)

    def _opened(self, what: str, intake: TakeIn | StartDrill, zone: str, at_us: int, *, drill: bool = False
                ) -> Incident:
        severity = Severity.CRITICAL if intake.hazard in LIFE_SAFETY else Severity.ALARM
        incident = Incident(
            id=self._id(what), family=family_of(intake.hazard), drill=drill, state=IncidentState.NEW,
            hazard=intake.hazard, severity=severity, opened_us=at_us, arrived_us=at_us, updated_us=at_us,
            raised_us=at_us, unanswered_us=at_us, zones=[zone], alarms={}, asked=[], told=[], log=[])
        self._state.incidents[incident.id] = incident
        return incident

    def _new(self, what: str, first: AlarmEntry, drill: bool, at_us: int) -> Incident:
        incident = Incident(
            id=self._id(what), family=family_of(first.hazard), drill=drill, state=IncidentState.NEW,
            hazard=first.hazard, severity=first.severity, opened_us=first.raised_us, arrived_us=at_us,
            updated_us=at_us, raised_us=first.raised_us, unanswered_us=at_us, zones=[], alarms={}, asked=[], told=[],
            log=[])
        self._state.incidents[incident.id] = incident
        return incident

    def _id(self, what: str) -> str:
        return hashlib.sha256(f"{self._site.tenancy.path}|{what}".encode()).hexdigest()[:16]

    def _move(self, name: str, entry: AlarmEntry, source: Incident, target: Incident) -> None:
        del source.alarms[name]
        other = target.alarms.get(name)
        if other is not None:
            kept, left = (entry, other) if (entry.standing, entry.at_us) >= (other.standing, other.at_us) else (
                other, entry)
            kept.onsets = list(dict.fromkeys([*left.onsets, *kept.onsets]))[-16:]
            kept.repeats += left.repeats + 1
            kept.raised_us = min(kept.raised_us, left.raised_us)
            entry = kept
        target.alarms[name] = entry
        key = _holder_key(name, source.drill)
        if self._state.holder.get(key, source.id) == source.id:
            self._state.holder[key] = target.id
