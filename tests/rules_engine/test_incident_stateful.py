"""Random lives of incidents against a slow, obvious model of what must always hold."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from device_model.alarm import AlarmState, Hazard
from device_model.clock import SECOND_US
from device_model.impairment import Impairment, ImpairmentKind
from device_model.read_models import IncidentAction, IncidentState
from rules_engine.incident_life import ENDED, TRANSITIONS, VERIFICATION_ORDER
from tests.rules_engine.incident_house import T0, book, step

ZONES = ("b1-0", "b1-1", "b2-0")
HAZARDS = (Hazard.FIRE, Hazard.CALL_POINT, Hazard.GAS_HIGH, Hazard.WATER)
NEXT = {AlarmState.CLEARED: (AlarmState.RAISED,), AlarmState.RAISED: (AlarmState.HELD,),
        AlarmState.HELD: (AlarmState.RAISED, AlarmState.CLEARED)}


class Lives(RuleBasedStateMachine):
    """The model: the state of every detector, the lacks, and per incident only what may never go backwards."""

    @initialize()
    def begin(self) -> None:
        self.book = book()
        self.now_s = 0
        self.alarms: dict[tuple[str, Hazard], tuple[AlarmState, int]] = {}
        self.raised_ids: set[str] = set()
        self.silent: set[str] = set()
        self.isolated: set[str] = set()
        self.verification: dict[str, int] = defaultdict(int)
        self.states: dict[str, IncidentState] = {}
        self.clicks = 0

    def sync(self, allowed: set[tuple[IncidentState, IncidentState]]) -> None:
        """Every state change must be one that this step may cause."""
        for incident in self.book._state.incidents.values():
            before = self.states.get(incident.id)
            if before is not None and before is not incident.state:
                assert (before, incident.state) in allowed, (before, incident.state)
            self.states[incident.id] = incident.state

    @rule(zone=st.sampled_from(ZONES), hazard=st.sampled_from(HAZARDS), which=st.integers(0, 1),
          passes=st.integers(1, 400), again=st.booleans())
    def detector(self, zone: str, hazard: Hazard, which: int, passes: int, again: bool) -> None:
        self.now_s += passes
        state, onset_s = self.alarms.get((zone, hazard), (AlarmState.CLEARED, 0))
        options = NEXT[state]
        following = options[which % len(options)]
        if state is AlarmState.CLEARED:
            onset_s = self.now_s
        one = step(zone, hazard, following, self.now_s, onset_s=onset_s)
        self.alarms[zone, hazard] = (following, onset_s)
        self.raised_ids.add(one.alarm)
        changes = self.book.apply(one, one.at_us)
        assert changes
        if again:
            assert self.book.apply(one, one.at_us) == ()
        reopened = {(s, IncidentState.REOPENED) for s in (*ENDED, IncidentState.RESOLVED)}
        self.sync(reopened)

    @rule(zone=st.sampled_from(ZONES), hazard=st.sampled_from(HAZARDS))
    def silence(self, zone: str, hazard: Hazard) -> None:
        one = step(zone, hazard)
        lack = Impairment(ImpairmentKind.SILENT, one.device, 1)
        ended = one.device in self.silent
        (self.silent.remove if ended else self.silent.add)(one.device)
        self.book.impairment(lack, ended=ended, at_us=self.now_us)
        self.sync(set())

    @rule(zone=st.sampled_from(ZONES), hazard=st.sampled_from(HAZARDS))
    def isolation(self, zone: str, hazard: Hazard) -> None:
        one = step(zone, hazard)
        ended = one.device in self.isolated
        (self.isolated.remove if ended else self.isolated.add)(one.device)
        isolation = Impairment(ImpairmentKind.ISOLATED, one.device, 1, who="Li", why="painting", expires_us=2**53)
        self.book.impairment(isolation, ended=ended, at_us=self.now_us)
        self.sync({(s, IncidentState.REOPENED) for s in ENDED} if ended else set())

    @rule(passes=st.integers(1, 400))
    def time(self, passes: int) -> None:
        self.now_s += passes
        self.book.tick(self.now_us)
        self.sync(set())

    @rule(which=st.integers(0, 20), action=st.sampled_from(IncidentAction), why=st.sampled_from(("", "seen")))
    @precondition(lambda self: bool(self.book._state.incidents))
    def person(self, which: int, action: IncidentAction, why: str) -> None:
        incidents = list(self.book._state.incidents.values())
        incident = incidents[which % len(incidents)]
        before = incident.state
        must_refuse = action in (IncidentAction.CLOSE, IncidentAction.FALSE_ALARM) and self.endangered(incident.id)
        self.clicks += 1
        result = self.book.act(incident.id, action, who="Li", why=why, request=f"c{self.clicks}", at_us=self.now_us)
        assert not (must_refuse and result.outcome.done), "law 3"
        self.sync({(s, t) for (s, a), t in TRANSITIONS.items() if s is before and a is action})
        assert self.book.act(incident.id, action, who="Li", why=why, request=f"c{self.clicks}",
                             at_us=self.now_us).outcome == result.outcome

    @rule()
    def restart(self) -> None:
        checkpoint = self.book.checkpoint()
        self.book = book()
        self.book.resume(checkpoint)
        assert self.book.checkpoint() == checkpoint

    @property
    def now_us(self) -> int:
        return T0 + self.now_s * SECOND_US

    def endangered(self, incident: str) -> bool:
        """By the model alone: some detector of it is in alarm or silent, and not isolated."""
        known = self.book.incident(incident)
        assert known is not None
        for entry in known.alarms.values():
            if entry.device in self.isolated:
                continue
            hazard = entry.hazard
            state, onset_s = self.alarms[entry.zone, hazard]
            current = entry.alarm == step(entry.zone, hazard, at_s=onset_s).alarm
            if entry.device in self.silent or (current and state is not AlarmState.CLEARED):
                return True
        return False

    @invariant()
    def every_alarm_that_was_raised_stands_in_an_incident(self) -> None:
        if not hasattr(self, "book"):
            return
        open_alarms = {entry.alarm for i in self.book.open_incidents() for entry in i.alarms.values()}
        for (zone, hazard), (state, onset_s) in self.alarms.items():
            one = step(zone, hazard, at_s=onset_s)
            if state is not AlarmState.CLEARED and one.device not in self.isolated:
                assert one.alarm in open_alarms, "a standing alarm is in no open incident"

    @invariant()
    def verification_never_falls_and_queued_means_before_dispatch(self) -> None:
        if not hasattr(self, "book"):
            return
        for incident in self.book._state.incidents.values():
            rank = VERIFICATION_ORDER.index(incident.verification)
            assert rank >= self.verification[incident.id]
            self.verification[incident.id] = rank
            view = self.book.view(incident.id)
            if view.in_dispatch_queue:
                assert view.state in (IncidentState.NEW, IncidentState.CONFIRMED, IncidentState.REOPENED)
            assert (view.closed_us > 0) is (view.state in ENDED)

    @invariant()
    def one_open_incident_per_zone_and_cause(self) -> None:
        if not hasattr(self, "book"):
            return
        seen = [(i.family, zone) for i in self.book.open_incidents() for zone in i.zones]
        # A reopened old incident may stand beside a newer one of its zone; the newer alone takes alarms.
        assert len(seen) <= len(set(seen)) + sum(
            IncidentState.REOPENED in (i.state,) or any(e.what == "reopened" for e in i.log)
            for i in self.book.open_incidents())


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
