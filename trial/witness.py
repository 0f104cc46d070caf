"""Witness: everything that a verdict may ask about, as it was seen in one run. Times are scenario seconds.

    journal of the gateway ─► alarms, outputs, readings      board of the community OS ─► incidents, lacks
    simulated devices      ─► what they show                 world                     ─► quantities
    every byte on a line, every record ─► digest: the same seed gives the same
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec

from device_model.alarm import AlarmState, AlarmTransition, Hazard, Severity
from device_model.messages import AlarmRecord, CommandResultRecord, OutputRecord, ReadingsRecord, Record
from device_model.read_models import IncidentView
from device_model.reading import Quality, Reading, Value

# A day at one entry a second; a run that says more is told in its digest only.
TIMELINE_MAX = 20_000
# Samples kept of one point or quantity, for judging and plots; beyond it every second one is let go.
SAMPLES_MAX = 50_000


class Entry(msgspec.Struct, frozen=True):
    """One line of the story. who: world, gateway, cloud, person, device."""

    at_s: float
    who: str
    what: str
    subject: str = ""
    detail: str = ""


class SeenAlarm(msgspec.Struct):
    """One alarm from raised to cleared; cleared_s None while it stands."""

    alarm: str
    rule: str
    hazard: Hazard
    severity: Severity
    zone: str
    device: str
    subject: str
    raised_s: float
    detail: str = ""
    cleared_s: float | None = None
    test: bool = False
    late: bool = False
    decided: str = "edge"
    expected: bool = False


class SeenIncident(msgspec.Struct):
    """One incident: when the board first showed it, and how it stands."""

    id: str
    hazard: Hazard
    zone: str
    opened_s: float
    zones: list[str] = []
    rules: dict[str, float] = {}  # rule → when the board showed it in the incident
    verified: dict[str, float] = {}  # verification → when
    audiences: dict[str, list[float]] = {}  # "permit", "all" → when it became so
    state: str = ""
    drill: bool = False
    audience: str = ""


class SeenOutput(msgspec.Struct, frozen=True):
    """What the gateway said of one of its outputs."""

    at_s: float
    output: str
    on: bool
    proof: str


class SeenReading(msgspec.Struct, frozen=True):
    """One journaled reading."""

    at_s: float
    value: Value | None
    quality: Quality
    reason: str
    unit: str


class Witness:
    """Collects. `at_s` gives scenario seconds."""

    def __init__(self, at_s: Callable[[], float]) -> None:
        self._at_s = at_s
        self._hash = hashlib.sha256()
        self.alarms: dict[str, SeenAlarm] = {}
        self.incidents: dict[str, SeenIncident] = {}
        self.outputs: list[SeenOutput] = []
        self.readings: dict[str, list[SeenReading]] = {}
        self.shown: dict[str, list[tuple[float, Value | None]]] = {}
        self.quantities: dict[str, list[tuple[float, float]]] = {}
        self.lacks: dict[tuple[str, str], list[list[float | None]]] = {}
        self.timeline: list[Entry] = []
        self.mistakes: list[str] = []
        self.fires: dict[str, float] = {}
        self.waiting: int = 0  # alarm records that the cloud has not acknowledged at the end
        self.counts: dict[str, int] = {}

    # -- the digest --------------------------------------------------------------------------------------------

    def note(self, where: str, octets: bytes) -> None:
        """Bytes that crossed a line or link."""
        self.counts[where] = self.counts.get(where, 0) + 1
        self._hash.update(b"%d %s %s\n" % (round(self._at_s() * 1e6), where.encode(), octets))

    def digest(self) -> str:
        """sha256 of all that was noted, in hex."""
        return self._hash.hexdigest()

    def tell(self, who: str, what: str, subject: str = "", detail: str = "") -> None:
        """A line of the story."""
        at_s = round(self._at_s(), 3)
        self._hash.update(f"{at_s} {who} {what} {subject} {detail}\n".encode())
        if len(self.timeline) < TIMELINE_MAX:
            self.timeline.append(Entry(at_s, who, what, subject, detail))

    # -- the gateway -------------------------------------------------------------------------------------------

    def record(self, record: Record) -> None:
        """A record that the gateway hands to its journal."""
        body = record.body
        if isinstance(body, AlarmRecord):
            self._readings(body.readings)
            self.alarm(body.transition)
        elif isinstance(body, ReadingsRecord):
            self._readings(body.readings)
        elif isinstance(body, OutputRecord):
            self.outputs.append(SeenOutput(round(self._at_s(), 3), body.output, body.on, body.proof))
            self.tell("gateway", "output", body.output, f"{'on' if body.on else 'off'}, {body.proof}")
        elif isinstance(body, CommandResultRecord):
            result = body.result
            self.tell("gateway", result.kind.value, result.target, f"{result.outcome.value} {result.detail}".strip())

    def alarm(self, step: AlarmTransition) -> None:
        """A step in the life of an alarm, decided at the edge or in the cloud."""
        if step.hazard is Hazard.PROOF:
            return
        at_s = round(self._at_s(), 3)
        seen = self.alarms.get(step.alarm)
        if step.state is AlarmState.RAISED and seen is None:
            self.alarms[step.alarm] = SeenAlarm(
                step.alarm, step.key.rule, step.hazard, step.severity, step.zone, step.device, step.key.subject,
                at_s, step.detail, test=step.test or step.drill, late=step.late, decided=step.decided)
        elif seen is not None:
            seen.cleared_s = at_s if step.state is AlarmState.CLEARED else None
        if step.state in (AlarmState.RAISED, AlarmState.HELD, AlarmState.CLEARED):
            self.tell("gateway" if step.decided == "edge" else "cloud", step.state.value,
                      f"{step.key.rule} {step.key.subject}", step.detail)

    def _readings(self, readings: tuple[Reading, ...]) -> None:
        at_s = round(self._at_s(), 3)
        for reading in readings:
            _keep(self.readings.setdefault(reading.point, []),
                  SeenReading(at_s, reading.value, reading.quality, reading.reason.value, reading.unit))

    # -- the board ---------------------------------------------------------------------------------------------

    def incident(self, view: IncidentView) -> None:
        """The community OS stored an incident's row."""
        at_s = round(self._at_s(), 3)
        seen = self.incidents.get(view.id)
        if seen is None:
            seen = self.incidents[view.id] = SeenIncident(view.id, view.hazard, view.zone, at_s, drill=view.drill)
            self.tell("cloud", "incident", view.zone, f"{view.hazard.value}, {view.severity.value}")
        seen.hazard = view.hazard
        for alarm in view.alarms:
            seen.rules.setdefault(alarm.rule, at_s)
            if alarm.zone not in seen.zones:
                seen.zones.append(alarm.zone)
        if view.verification.value not in seen.verified:
            seen.verified[view.verification.value] = at_s
            if view.verification.value != "none":
                self.tell("cloud", "verified", view.zone, view.verification.value)
        audience = "permit" if view.audience else "all"
        if audience != seen.audience:
            seen.audience = audience
            seen.audiences.setdefault(audience, []).append(at_s)
            if view.audience or len(seen.audiences) > 1:
                self.tell("cloud", "audience", view.zone, view.audience or "all")
        if view.state.value != seen.state:
            seen.state = view.state.value
            self.tell("cloud", "incident state", view.zone, seen.state)

    def lack(self, kind: str, subject: str, *, stands: bool) -> None:
        """The board's impairment list changed."""
        at_s = round(self._at_s(), 3)
        rows = self.lacks.setdefault((kind, subject), [])
        open_row = rows[-1] if rows and rows[-1][1] is None else None
        if stands and open_row is None:
            rows.append([at_s, None])
            self.tell("cloud", "impairment", subject, kind)
        elif not stands and open_row is not None:
            open_row[1] = at_s
            self.tell("cloud", "impairment over", subject, kind)

    # -- the world ---------------------------------------------------------------------------------------------

    def shows(self, point: str, value: Value | None) -> None:
        """A device shows another value."""
        _keep(self.shown.setdefault(point, []), (round(self._at_s(), 3), value))

    def quantity(self, name: str, value: float) -> None:
        """A sample of the world."""
        _keep(self.quantities.setdefault(name, []), (round(self._at_s(), 3), value))


def _keep(samples: list[object] | list[SeenReading] | list[tuple[float, Value | None]] | list[tuple[float, float]],
          sample: object) -> None:
    samples.append(sample)  # type: ignore[arg-type]  # each list holds its own kind
    if len(samples) > SAMPLES_MAX:
        del samples[1:-1:2]
