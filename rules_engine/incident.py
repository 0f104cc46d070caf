"""Incidents of one site: alarms of one cause, place and time become one matter, and people act on it.

    AlarmTransition ──► apply ──┐                      ┌──► IncidentChange: what to store, audit and notify
    a person's click ─► act  ───┼──► Incident records ─┤
    time ─────────────► tick ───┘    (incident_life)   └──► view_of (incident_view.py) for the board

Pure and deterministic: the same calls in the same order give the same ids, changes and checkpoint, so that a
worker that dies and replays its stream arrives where it was.

What is never done: an alarm is never dropped because it is old, early, repeated or one too many; verification
never falls; a test never hides a real alarm; nobody ends an incident while a point is in alarm (law 3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from device_model.alarm import LIFE_SAFETY, NEVER_INCIDENT, AlarmState, AlarmTransition, Hazard
from device_model.clock import MINUTE_US, SECOND_US
from device_model.errors import LawRefusal
from device_model.impairment import Impairment, ImpairmentKind
from device_model.inventory import Inventory
from device_model.read_models import (
    ActionOutcome,
    IncidentAction,
    IncidentState,
    IncidentView,
    LogEntry,
    Plot,
    Verification,
)
from device_model.site import Text
from rules_engine.incident_life import (
    BEFORE_DISPATCH,
    ENDED,
    ENDING_ACTIONS,
    LOG_WORD,
    REASON_REQUIRED,
    SPREADING,
    family_of,
    graver_hazard,
    next_incident_state,
    stronger_verification,
)
from rules_engine.incident_record import (
    ONSETS_MAX,
    AlarmEntry,
    Incident,
    Place,
    entry_name,
    entry_of,
    same_place,
    says_again,
    supersedes,
    update_entry,
)
from rules_engine.incident_trust import PointTrust, TrustState
from rules_engine.incident_view import verification_by_alarms, view_of

# A further zone joins while something of the incident is in alarm, or this long after its latest raise.
JOIN_WINDOW_US = 15 * MINUTE_US
# Ended incidents that can still be reopened by hand here; older ones stay in the store, and a new alarm opens
# a new incident. Bounds the checkpoint (about 3 kB each).
ENDED_MAX = 30
# Alarm keys of one incident: more than any building's rules × subjects that alarm in one matter. Beyond it those
# that are over go; so that a gateway that invents subjects cannot grow the checkpoint without end.
ENTRIES_MAX = 500
# Clicks whose outcome is remembered; a page repeats a click for seconds, and the store remembers all.
REQUESTS_MAX = 500


class IncidentChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something happened to an incident ("" for a finding without one).

    what: the timeline's word. notify: people are to be told anew. audit: belongs in the audit log.
    """

    incident: str
    what: str
    at_us: int
    who: str = ""
    detail: str = ""
    notify: bool = False
    audit: bool = True


class ActResult(msgspec.Struct, frozen=True):
    """What became of an action, and what changed by it (nothing when the request was a repetition)."""

    outcome: ActionOutcome
    changes: tuple[IncidentChange, ...] = ()


class BookState(msgspec.Struct):
    """The checkpoint: all that must survive. `holder`: alarm key → incident, apart for drills ("!" before)."""

    incidents: dict[str, Incident]
    holder: dict[str, str]
    requests: dict[str, ActionOutcome]
    trust: TrustState


_decoder = msgspec.json.Decoder(BookState)


class IncidentBook:
    """All incidents of one site that are open or lately ended. Owned by one worker; not thread-safe."""

    def __init__(self, inventory: Inventory, titles: Mapping[str, Text]) -> None:
        """titles: rule id → title for people."""
        self._inventory = inventory
        self._site = inventory.site
        self._titles = titles
        self.trust = PointTrust(inventory)
        self._state = BookState({}, {}, {}, self.trust.state())

    # --- alarms -------------------------------------------------------------------------------------------

    def apply(self, step: AlarmTransition, now_us: int, place: Place | None = None) -> tuple[IncidentChange, ...]:
        """Take one step of an alarm. Applying it again changes nothing."""
        if step.hazard in NEVER_INCIDENT or step.state in (AlarmState.INACTIVE, AlarmState.PENDING):
            return ()
        if step.zone and self._site.zone(step.zone) is None:
            # A zone that the site file does not know (any more): the site as a whole is the place.
            step = msgspec.structs.replace(step, zone="")
        name = entry_name(step.key)
        if step.late and step.decided == "cloud":
            # Judged long after the fact from backlog: a finding for the record, never a live alarm.
            known = self._state.incidents.get(self._state.holder.get(name, ""))
            if known is not None and step.alarm in known.alarms[name].onsets:
                return ()  # the gateway found it itself, in time
            return (IncidentChange("", "late_finding", step.at_us, detail=f"{name} {step.detail}".strip()),)
        drill = self._is_drill(step, name)
        incident = self._holding(name, step, drill)
        changes: list[IncidentChange] = []
        if incident is None:
            incident = self._to_join(step, drill)
            if incident is None:
                incident = self._open(step, drill, now_us)
                changes.append(self._note(incident, "opened", step.at_us, notify=True))
            self._state.holder[_holder_key(name, drill)] = incident.id
        audience = incident.audience
        changes += self._take(incident, name, step, place, min(step.at_us, now_us))
        if audience and not incident.audience:  # the work ended, or what is no smoke joined: now it is everybody's
            incident.unanswer(min(step.at_us, now_us))
            changes.append(self._note(incident, "permit_over", step.at_us, detail=audience, notify=True))
        if not drill:
            self._end_rehearsal(name, step, changes)
        if changes:
            incident.updated_us = now_us
            self._judge(incident, now_us, changes)
        return tuple(changes)

    def _is_drill(self, step: AlarmTransition, name: str) -> bool:
        """Tests and drills stand apart, but a call point under test is real (law 6), and what was real once
        stays real."""
        if not (step.drill or (step.test and step.hazard is not Hazard.CALL_POINT)):
            return False
        real = self._state.incidents.get(self._state.holder.get(_holder_key(name, False), ""))
        return real is None or step.alarm not in real.alarms[name].onsets

    def _holding(self, name: str, step: AlarmTransition, drill: bool) -> Incident | None:
        """The incident that already holds this alarm: an open one by key, an ended one only by the same onset."""
        incident = self._state.incidents.get(self._state.holder.get(_holder_key(name, drill), ""))
        if incident is None or (incident.state in ENDED and step.alarm not in incident.alarms[name].onsets):
            return None
        return incident

    def _to_join(self, step: AlarmTransition, drill: bool) -> Incident | None:
        """The open incident of the same cause that this alarm belongs to, the latest first."""
        family, building = family_of(step.hazard), self._building(step.zone)
        fitting = []
        for incident in self._state.incidents.values():
            if incident.state in ENDED or incident.family != family or incident.drill != drill:
                continue
            near = step.zone in incident.zones
            if not near and family in SPREADING and self._building(incident.zones[0]) == building:
                recent = step.at_us - incident.raised_us <= JOIN_WINDOW_US
                near = recent or bool(incident.standing())
            if near:
                fitting.append(incident)
        return max(fitting, key=lambda i: (step.zone in i.zones, i.raised_us, i.id), default=None)

    def _open(self, step: AlarmTransition, drill: bool, now_us: int) -> Incident:
        """A new incident, with an id that any replay makes again."""
        text = f"{self._site.tenancy.path}|incident|{step.alarm}|{'drill' if drill else 'real'}"
        incident = Incident(
            id=hashlib.sha256(text.encode()).hexdigest()[:16], family=family_of(step.hazard), drill=drill,
            state=IncidentState.NEW, hazard=step.hazard, severity=step.severity, opened_us=step.at_us,
            arrived_us=now_us, updated_us=now_us, raised_us=step.at_us, unanswered_us=min(step.at_us, now_us),
        )
        self._state.incidents[incident.id] = incident
        return incident

    def _take(self, incident: Incident, name: str, step: AlarmTransition, place: Place | None, heard_us: int
              ) -> list[IncidentChange]:
        """Enter the step into the incident's entry of that key. heard_us: when it happened, but never in the future:
        a gateway's clock that runs ahead must not prolong the time to answer (law 1)."""
        entry, changes, quiet = incident.alarms.get(name), [], not incident.standing()
        new_onset = entry is None or step.alarm not in entry.onsets
        if entry is None:
            self._make_room(incident)
            entry = incident.alarms[name] = entry_of(step, place)
        elif not supersedes(step, entry, place):
            return self._take_older(incident, entry, step) if new_onset and step.decided != "cloud" else []
        elif not new_onset and says_again(step, entry):
            entry.place, entry.audience = same_place(entry.place, place), step.audience
            return []
        else:
            update_entry(entry, step, place, new_onset=new_onset)
        incident.opened_us = min(incident.opened_us, step.at_us)
        incident.hazard = graver_hazard(incident.hazard, step.hazard)
        incident.severity = max(incident.severity, step.severity, key=lambda severity: severity.rank)
        raised = step.state is AlarmState.RAISED
        if raised or new_onset:
            incident.raised_us = max(incident.raised_us, step.at_us)
            changes.append(self._note(incident, "raised", step.at_us, detail=self._where(step)))
        if not raised:
            changes.append(self._note(incident, step.state.value, step.at_us, detail=self._where(step)))
        if step.zone not in incident.zones:
            incident.zones.append(step.zone)
            if len(incident.zones) > 1:
                # Each new zone notifies again (law 2): the earlier acknowledgement did not know of it.
                incident.unanswer(heard_us)
                changes.append(self._note(incident, "new_zone", step.at_us, detail=step.zone, notify=True))
        elif new_onset and (entry.repeats or quiet) and step.hazard in LIFE_SAFETY and incident.acknowledged_us:
            # Raised anew after a reset on site, or when all was over: what was acknowledged was the former onset.
            incident.unanswer(heard_us)
            changes.append(self._note(incident, "raised_again", step.at_us, notify=True))
        again = raised and (incident.state in ENDED or incident.state is IncidentState.RESOLVED)
        if again and not self.trust.isolated(step.device):
            changes.append(self._reopen(incident, heard_us, "an alarm was raised"))
        return changes

    def _make_room(self, incident: Incident) -> None:
        """Let go of entries that are over, oldest first; one that stands is never let go."""
        over = [name for name, entry in incident.alarms.items() if not entry.standing]
        for name in over[:max(0, len(incident.alarms) - ENTRIES_MAX + 1)]:
            del incident.alarms[name]
            if self._state.holder.get(key := _holder_key(name, incident.drill)) == incident.id:
                del self._state.holder[key]
            incident.log_omitted += 1

    def _take_older(self, incident: Incident, entry: AlarmEntry, step: AlarmTransition) -> list[IncidentChange]:
        """An earlier onset that arrives after a later one (live goes before backlog): recorded, never lost."""
        entry.onsets.insert(0, step.alarm)
        del entry.onsets[:-ONSETS_MAX]
        entry.repeats += 1
        entry.raised_us = min(entry.raised_us, step.at_us)
        incident.opened_us = min(incident.opened_us, step.at_us)
        return [self._note(incident, "raised", step.at_us, detail=f"{self._where(step)} (arrived late)")]

    def _end_rehearsal(self, name: str, step: AlarmTransition, changes: list[IncidentChange]) -> None:
        """An alarm that began as a test and is real now leaves the test's incident."""
        drill = self._state.incidents.get(self._state.holder.get(_holder_key(name, True), ""))
        if drill is not None and step.alarm in drill.alarms[name].onsets and drill.alarms[name].standing:
            drill.alarms[name].state = AlarmState.CLEARED
            changes.append(self._note(drill, "became_real", step.at_us, detail=self._where(step)))

    # --- time ---------------------------------------------------------------------------------------------

    def tick(self, now_us: int) -> tuple[IncidentChange, ...]:
        """Let time pass: what nobody answered within the site's limit enters the dispatch queue (law 1)."""
        changes: list[IncidentChange] = []
        for incident in self._state.incidents.values():
            self._judge(incident, now_us, changes)
        return tuple(changes)

    def due_us(self) -> int | None:
        """When `tick` will next have something to do."""
        limit = self._limit_us()
        return min((i.unanswered_us + limit for i in self._state.incidents.values() if i.waits), default=None)

    def _judge(self, incident: Incident, now_us: int, changes: list[IncidentChange]) -> None:
        """Raise the verification as far as the alarms carry, and queue what law 1 queues."""
        if incident.drill or incident.state in ENDED:
            return
        verification = stronger_verification(
            incident.verification, verification_by_alarms(incident, self._inventory)
        )
        if verification is not incident.verification:
            incident.verification = verification
            changes.append(self._note(incident, "verified", now_us, detail=verification.value, notify=True))
        if incident.queued or incident.hazard not in LIFE_SAFETY or incident.state not in BEFORE_DISPATCH:
            return
        unanswered = incident.waits and now_us >= incident.unanswered_us + self._limit_us()
        if incident.verification is not Verification.NONE or unanswered:
            incident.queued = True
            at_us, why = now_us, incident.verification.value
            if unanswered:  # the time that a replay, whenever it ticks, finds again
                at_us, why = max(incident.unanswered_us + self._limit_us(), incident.arrived_us), "unanswered"
            changes.append(self._note(incident, "queued", at_us, detail=why, notify=True))

    # --- people -------------------------------------------------------------------------------------------

    def act(
        self, incident_id: str, action: IncidentAction, *, who: str, why: str, request: str, at_us: int
    ) -> ActResult:
        """Do what a person asks, once per request. Refusals are outcomes, and are audited like deeds."""
        if request in self._state.requests:
            return ActResult(self._state.requests[request])
        incident = self._state.incidents.get(incident_id)
        try:
            refusal, law = self._refusal(incident, action, who, why), 0
        except LawRefusal as error:
            refusal, law = str(error), error.law
        outcome = ActionOutcome(not refusal, refusal, law)
        changes: list[IncidentChange] = []
        if incident is not None:
            if refusal:
                changes.append(self._note(incident, "refused", at_us, who, f"{action.value}: {refusal}"))
            else:
                self._do(incident, action, who=who, why=why, at_us=at_us, changes=changes)
                self._judge(incident, at_us, changes)
            incident.updated_us = max(incident.updated_us, at_us)
        self._state.requests[request] = outcome
        while len(self._state.requests) > REQUESTS_MAX:
            del self._state.requests[next(iter(self._state.requests))]
        self._forget_ended()
        return ActResult(outcome, tuple(changes))

    def _refusal(self, incident: Incident | None, action: IncidentAction, who: str, why: str) -> str:
        """Why not, or "". Raises LawRefusal where law 3 forbids to end it."""
        if incident is None:
            return "there is no such incident that can still be changed"
        if not who.strip():
            return "say who you are"
        if action in REASON_REQUIRED and not why.strip():
            return "say why: a reason is required"
        if next_incident_state(incident.state, action) is None:
            return f"an incident that is {incident.state.value} cannot be {LOG_WORD[action]}"
        if action in ENDING_ACTIONS:
            self._refuse_end_in_alarm(incident)
        return ""

    def _refuse_end_in_alarm(self, incident: Incident) -> None:
        """Law 3: raises LawRefusal while a point is in alarm, bad or silent and nobody has isolated it."""
        for entry in incident.alarms.values():
            points = entry.points or tuple(p.name for p in self._inventory.of_device(entry.device))
            devices = [entry.device] if entry.device else sorted({p.partition(".")[0] for p in points})
            if devices and all(self.trust.isolated(device) for device in devices):
                continue
            if entry.standing:
                latch = ", latched: reset it on site first" if entry.latched else ""
                raise LawRefusal(3, f"{entry.detector} is in alarm ({entry.state.value}{latch})")
            for point in points:
                if reason := self.trust.reason_of(point):
                    raise LawRefusal(3, f"{point} cannot be believed ({reason}); isolate it with a reason first")

    def _do(
        self, incident: Incident, action: IncidentAction, *, who: str, why: str, at_us: int,
        changes: list[IncidentChange],
    ) -> None:
        """Carry out what was not refused."""
        state = next_incident_state(incident.state, action)
        if action is IncidentAction.REOPEN:
            changes.append(self._reopen(incident, at_us, why, who))
            return
        incident.state = state or incident.state
        changes.append(self._note(incident, LOG_WORD[action], at_us, who, why))
        if action is IncidentAction.NOTE:
            return
        if not incident.acknowledged_us and incident.state not in ENDED:
            # Whoever confirms or dispatches has answered as well.
            incident.acknowledged_by, incident.acknowledged_us = who, max(1, at_us)
            standing = [entry.alarm for entry in incident.standing()]
            incident.asked = standing or [entry.alarm for entry in incident.alarms.values()][-1:]
            incident.told, incident.gateway_told_us = [], 0
        if action is IncidentAction.CONFIRM:
            incident.verification = Verification.PERSON
        if incident.state in ENDED:
            incident.closed_us = max(1, at_us)
            incident.cause = why or incident.cause

    def gateway_told(self, alarm: str, at_us: int, *, refused: str = "") -> tuple[IncidentChange, ...]:
        """The gateway has answered that it knows of the acknowledgement of this alarm (or refused it)."""
        changes = []
        for incident in self._state.incidents.values():
            if alarm not in incident.asked or alarm in incident.told:
                continue
            incident.told.append(alarm)
            if refused:
                changes.append(self._note(incident, "gateway_refused", at_us, detail=refused))
            elif set(incident.told) >= set(incident.asked):
                incident.gateway_told_us = max(1, at_us)
                changes.append(self._note(incident, "gateway_told", at_us))
        return tuple(changes)

    def remark(self, alarm: str, what: str, at_us: int, detail: str) -> tuple[IncidentChange, ...]:
        """Something that happened because of this alarm: a line in the timeline of its incident.

        Said once: a gateway whose disk failed tells it from memory, and again from the journal.
        """
        return tuple(
            self._note(incident, what, at_us, detail=detail)
            for incident in self._state.incidents.values()
            if any(alarm in entry.onsets for entry in incident.alarms.values())
            and LogEntry(at_us, what, "", detail) not in incident.log
        )

    def to_tell(self) -> tuple[tuple[str, str, str], ...]:
        """(incident, alarm, who) of acknowledgements that the gateway has not answered yet."""
        return tuple(
            (incident.id, alarm, incident.acknowledged_by)
            for incident in self._state.incidents.values()
            for alarm in incident.asked
            if alarm not in incident.told
        )

    # --- trust --------------------------------------------------------------------------------------------

    def reading(self, point: str, reason: str, at_us: int) -> tuple[IncidentChange, ...]:
        """The last reading of a point is good (reason "") or not: shown on its alarms."""
        if not self.trust.reading(point, reason):
            return ()
        return self._trust_changes(at_us, point)

    def impairment(self, impairment: Impairment, *, ended: bool, at_us: int) -> tuple[IncidentChange, ...]:
        """A lack began or ended. When an isolation ends while its alarm stands, the incident comes back."""
        if not self.trust.impairment(impairment, ended=ended):
            return ()
        changes = []
        if ended and impairment.kind is ImpairmentKind.ISOLATED:
            for incident in self._state.incidents.values():
                if incident.state in ENDED and any(e.device == impairment.subject for e in incident.standing()):
                    changes.append(self._reopen(incident, at_us, f"{impairment.subject} is no longer isolated"))
        return (*changes, *self._trust_changes(at_us))

    def _trust_changes(self, at_us: int, point: str = "") -> tuple[IncidentChange, ...]:
        return tuple(
            IncidentChange(incident.id, "trust", at_us, audit=False)
            for incident in self._state.incidents.values()
            if incident.state not in ENDED
            and (not point or any(point in entry.points for entry in incident.alarms.values()))
        )

    # --- reading and keeping ------------------------------------------------------------------------------

    def incident(self, incident_id: str) -> Incident | None:
        """The record, or None."""
        return self._state.incidents.get(incident_id)

    def open_incidents(self) -> tuple[Incident, ...]:
        """All that are not ended, in order of arrival."""
        return tuple(i for i in self._state.incidents.values() if i.state not in ENDED)

    def view(self, incident_id: str, plots: tuple[Plot, ...] = ()) -> IncidentView:
        """As the board shows it. KeyError when there is none."""
        return view_of(self._state.incidents[incident_id], self._inventory, self._titles, self.trust, plots)

    def checkpoint(self) -> bytes:
        """Everything, as JSON; equal histories give equal bytes."""
        return msgspec.json.encode(self._state)

    def resume(self, checkpoint: bytes) -> None:
        """From a checkpoint; ValueError where it does not fit."""
        self._state = _decoder.decode(checkpoint)
        self.trust.resume(self._state.trust)

    # --- small steps --------------------------------------------------------------------------------------

    def _note(
        self, incident: Incident, what: str, at_us: int, who: str = "", detail: str = "", *, notify: bool = False
    ) -> IncidentChange:
        incident.write(at_us, what, who, detail)
        return IncidentChange(incident.id, what, at_us, who, detail, notify)

    def _reopen(self, incident: Incident, at_us: int, why: str, who: str = "") -> IncidentChange:
        incident.state, incident.closed_us, incident.cause, incident.queued = IncidentState.REOPENED, 0, "", False
        incident.unanswer(at_us)
        return self._note(incident, "reopened", at_us, who, why, notify=True)

    def _forget_ended(self) -> None:
        """Keep only the latest ended incidents; one with an (isolated) alarm standing is never forgotten."""
        ended = [i for i in self._state.incidents.values() if i.state in ENDED and not i.standing()]
        for incident in sorted(ended, key=lambda i: (i.closed_us, i.id))[:-ENDED_MAX]:
            del self._state.incidents[incident.id]
            for key in [k for k, holder in self._state.holder.items() if holder == incident.id]:
                del self._state.holder[key]

    def _building(self, zone_id: str) -> str:
        zone = self._site.zone(zone_id)
        return zone.building if zone else ""

    def _limit_us(self) -> int:
        return round(self._site.unanswered_limit_s * SECOND_US)

    def _where(self, step: AlarmTransition) -> str:
        return f"{step.device or step.key.subject} {step.detail}".strip()


def _holder_key(name: str, drill: bool) -> str:
    return f"!{name}" if drill else name
