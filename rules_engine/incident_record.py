"""What the incident book remembers of one incident: values only, as they stand in the checkpoint.

An incident keeps one entry per alarm key (rule and subject). Keys are rules × subjects of one site, so a
chattering detector makes one entry with a count, never a thousand rows, and nothing is dropped.
"""

from __future__ import annotations

import msgspec

from device_model.alarm import LIFE_SAFETY, AlarmKey, AlarmState, AlarmTransition, Hazard, Severity
from device_model.read_models import IncidentState, LogEntry, Verification
from rules_engine.incident_life import UNANSWERED

# Onsets of one key that are told apart; older ones are counted in `repeats` only.
ONSETS_MAX = 16
# The timeline of one incident; the audit log keeps every entry, the timeline says how many it left out.
LOG_HEAD = 40
LOG_TAIL = 160
STANDING: frozenset[AlarmState] = frozenset({AlarmState.RAISED, AlarmState.HELD})


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a step stands in its gateway's own order, which no step of a wall clock changes.

    epoch, sequence: of its journal record; "" and 0 when it came from memory. boot, mono_us: when it happened.
    """

    epoch: str = ""
    sequence: int = 0
    boot: str = ""
    mono_us: int = 0


class AlarmEntry(msgspec.Struct):
    """One alarm key within an incident, at its latest known step.

    alarm: id of the latest onset; onsets: ids seen, newest last. at_us: event time of the latest step;
    raised_us: of the first raise. repeats: how often it was raised again. audience: see AlarmTransition.
    """

    key: AlarmKey
    alarm: str
    state: AlarmState
    hazard: Hazard
    severity: Severity
    at_us: int
    raised_us: int
    zone: str
    device: str
    points: tuple[str, ...]
    detail: str
    latched: bool
    test: bool
    journaled: bool
    decided: str
    onsets: list[str] = []
    repeats: int = 0
    place: Place | None = None
    audience: str = ""

    @property
    def standing(self) -> bool:
        """Raised, or held: over but not yet cleared or reset."""
        return self.state in STANDING

    @property
    def for_everybody(self) -> bool:
        """Neither a test nor told to the watcher of a permitted work alone."""
        return not self.test and not self.audience

    @property
    def detector(self) -> str:
        """What counts as one witness: the device, or the subject of a rule over several."""
        return self.device or self.key.subject


class Incident(msgspec.Struct):
    """One incident. Times are event times in µs since 1970 UTC; arrived_us is when the cloud first knew.

    raised_us: the latest raise; unanswered_us: since when nobody has answered (law 1 counts from here).
    zones: in order of arrival; the first names the place. told: alarm ids whose acknowledgement the gateway
    has confirmed, since the last acknowledgement; asked: those it was told of.
    """

    id: str
    family: str
    drill: bool
    state: IncidentState
    hazard: Hazard
    severity: Severity
    opened_us: int
    arrived_us: int
    updated_us: int
    raised_us: int
    unanswered_us: int
    zones: list[str] = []
    alarms: dict[str, AlarmEntry] = {}
    verification: Verification = Verification.NONE
    acknowledged_by: str = ""
    acknowledged_us: int = 0
    gateway_told_us: int = 0
    asked: list[str] = []
    told: list[str] = []
    queued: bool = False
    closed_us: int = 0
    cause: str = ""
    log: list[LogEntry] = []
    log_omitted: int = 0

    def write(self, at_us: int, what: str, who: str = "", detail: str = "") -> None:
        """One line into the timeline; beyond the bound the middle is left out and counted."""
        self.log.append(LogEntry(at_us, what, who, detail))
        if len(self.log) > LOG_HEAD + LOG_TAIL:
            del self.log[LOG_HEAD]
            self.log_omitted += 1

    @property
    def waits(self) -> bool:
        """Whether an answer is owed and the dispatch queue not yet entered."""
        return (self.state in UNANSWERED and not self.acknowledged_us and not self.queued
                and not self.drill and self.hazard in LIFE_SAFETY)

    def standing(self) -> list[AlarmEntry]:
        """Entries that are in alarm."""
        return [entry for entry in self.alarms.values() if entry.standing]

    def unanswer(self, at_us: int) -> None:
        """Nobody has answered what is there now."""
        self.acknowledged_by, self.acknowledged_us, self.gateway_told_us = "", 0, 0
        self.asked, self.told = [], []
        self.unanswered_us = max(self.unanswered_us, at_us)

    @property
    def audience(self) -> str:
        """Who is told instead of everybody ("permit:<id>": watcher and control room); "" as soon as one alarm in it
        is for everybody, or it stands in the dispatch queue because nobody answered."""
        told = {entry.audience for entry in self.alarms.values() if not entry.test}
        return told.pop() if len(told) == 1 and not self.queued else ""


def entry_name(key: AlarmKey) -> str:
    """A key as one text, for the checkpoint's mapping."""
    return f"{key.rule}|{key.subject}"


def supersedes(step: AlarmTransition, entry: AlarmEntry, place: Place | None = None) -> bool:
    """Whether a step is news for its entry. What the edge decided is a fact that the cloud never re-decides.

    The order is the gateway's own where it is known: by journal, else by the monotonic time of one boot. Wall time,
    which may have been set back meanwhile, decides last, and never against a raise that nothing else shows: what may
    burn is shown. A raise of a former life that arrives behind the raise of the present one shows nothing more, and
    what was said of it next would take down what burns now.
    """
    if entry.decided == "edge" and step.decided == "cloud":
        return not entry.standing and step.alarm not in entry.onsets and step.onset_us > entry.at_us
    if entry.decided == "cloud" and step.decided == "edge":
        return True
    known = entry.place
    if place is not None and known is not None:
        if place.sequence and known.sequence and place.epoch == known.epoch:
            return place.sequence >= known.sequence
        if place.boot and place.boot == known.boot:
            return place.mono_us >= known.mono_us
        if step.state is AlarmState.RAISED:
            shown = step.alarm != entry.alarm and entry.state is AlarmState.RAISED and entry.for_everybody
            return not shown or step.at_us >= entry.at_us
        if step.alarm != entry.alarm:
            return False  # what is said of another onset ends nothing
    return step.at_us >= entry.at_us


def says_again(step: AlarmTransition, entry: AlarmEntry) -> bool:
    """Whether it is the same step again, or stated anew by a gateway after its restart (`previous` is the state)."""
    return step.state is entry.state and (step.at_us == entry.at_us or step.previous is step.state)


def same_place(known: Place | None, place: Place | None) -> Place | None:
    """The place of a step that came twice: the journal's number is kept, whichever copy came first."""
    return known if place is None or (known is not None and known.sequence) else place


def entry_of(step: AlarmTransition, place: Place | None = None) -> AlarmEntry:
    """A first entry."""
    return AlarmEntry(
        key=step.key, alarm=step.alarm, state=step.state, hazard=step.hazard, severity=step.severity,
        at_us=step.at_us, raised_us=step.at_us, zone=step.zone, device=step.device, points=step.points,
        detail=step.detail, latched=step.latched, test=step.test, journaled=step.journaled,
        decided=step.decided, onsets=[step.alarm], place=place, audience=step.audience,
    )


def update_entry(
    entry: AlarmEntry, step: AlarmTransition, place: Place | None = None, *, new_onset: bool
) -> None:
    """Enter a step that supersedes what stands."""
    entry.place = place or entry.place
    if new_onset:
        entry.onsets.append(step.alarm)
        del entry.onsets[:-ONSETS_MAX]
        entry.repeats += 1
        entry.raised_us = step.at_us
    entry.alarm, entry.state, entry.at_us = step.alarm, step.state, step.at_us
    entry.severity, entry.hazard = step.severity, step.hazard
    entry.points, entry.detail = step.points or entry.points, step.detail or entry.detail
    entry.audience = step.audience
    entry.latched, entry.test, entry.journaled, entry.decided = (
        step.latched, step.test, step.journaled, step.decided
    )
