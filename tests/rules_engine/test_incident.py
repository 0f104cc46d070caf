"""IncidentBook: grouping, verification, the dispatch queue, and what law 3 refuses."""

from __future__ import annotations

import msgspec
import pytest

from device_model.alarm import AlarmKey, AlarmState, AlarmTransition, Hazard, Severity
from device_model.clock import MINUTE_US, SECOND_US
from device_model.impairment import Impairment, ImpairmentKind
from device_model.read_models import IncidentAction, IncidentState, Verification
from rules_engine.incident import ENDED_MAX, ENTRIES_MAX, JOIN_WINDOW_US, IncidentBook
from rules_engine.incident_life import TRANSITIONS, next_incident_state
from rules_engine.incident_record import LOG_HEAD, LOG_TAIL, Place
from rules_engine.incident_view import ALARMS_SHOWN
from tests.rules_engine.incident_house import T0, act, book, feed, step

A, S, V = IncidentAction, IncidentState, Verification


@pytest.mark.parametrize(("second", "incidents"), [
    (step("b1-0", Hazard.CO, at_s=30), 1),
    (step("b1-0", Hazard.CALL_POINT, at_s=30), 1),
    (step("b1-0", Hazard.FIRE, at_s=30, device="multi2-b1-0"), 1),
    (step("b1-1", Hazard.FIRE, at_s=30), 1),  # a new zone of the building joins
    (step("b2-0", Hazard.FIRE, at_s=30), 2),  # another building does not
    (step("b1-0", Hazard.GAS_HIGH, at_s=30), 2),  # another cause does not
    (step("b1-0", Hazard.WATER, at_s=30), 2),
    (step("b1-1", Hazard.FIRE, at_s=30, drill=True), 2),  # a drill stands apart
    (step("b1-0", Hazard.FIRE, at_s=30, device="multi2-b1-0", test=True), 2),
    (step("b1-0", Hazard.CALL_POINT, at_s=30, test=True), 1),  # a call point is always real (law 6)
    (step("b1-0", Hazard.FAULT, at_s=30), 1),
    (step("b1-0", Hazard.PROOF, at_s=30), 1),
    (step("b1-0", Hazard.FIRE, AlarmState.PENDING, 30, device="multi2-b1-0"), 1),
])
def test_what_makes_one_incident(second: AlarmTransition, incidents: int) -> None:
    target = book()
    feed(target, step(), second)
    assert len(target.open_incidents()) == incidents


def test_water_does_not_spread_from_zone_to_zone() -> None:
    target = book()
    feed(target, step(hazard=Hazard.WATER), step("b1-1", Hazard.WATER, at_s=5))
    assert len(target.open_incidents()) == 2


def test_a_later_fire_in_another_zone_of_the_building_is_another_incident_once_the_first_is_over() -> None:
    target = book()
    feed(target, step(), step(state=AlarmState.HELD, at_s=20, onset_s=0), step(state=AlarmState.CLEARED, at_s=30,
                                                                             onset_s=0))
    feed(target, step("b1-1", at_s=JOIN_WINDOW_US / SECOND_US + 1))
    assert len(target.open_incidents()) == 2
    feed(target, step("b1-0", at_s=9000))  # the same zone of an open incident is always the same matter
    assert len(target.open_incidents()) == 2


def test_ids_and_checkpoints_are_the_same_for_the_same_history() -> None:
    def history() -> IncidentBook:
        target = book()
        feed(target, step(), step("b1-1", at_s=10), step("b2-0", Hazard.GAS_HIGH, at_s=12))
        act(target, A.ACKNOWLEDGE, request="one")
        return target

    one, other = history(), history()
    assert one.checkpoint() == other.checkpoint()
    resumed = book()
    resumed.resume(one.checkpoint())
    assert resumed.checkpoint() == one.checkpoint()
    more = step("b1-2", at_s=70)
    assert resumed.apply(more, more.at_us) == one.apply(more, more.at_us)
    assert resumed.checkpoint() == one.checkpoint()


@pytest.mark.parametrize("state", [AlarmState.RAISED, AlarmState.HELD, AlarmState.CLEARED])
def test_the_same_step_again_changes_nothing(state: AlarmState) -> None:
    target = book()
    feed(target, step())
    again = step(state=state, at_s=0 if state is AlarmState.RAISED else 30, onset_s=0)
    feed(target, again)
    before = target.checkpoint()
    assert feed(target, again) == []
    assert target.checkpoint() == before


def test_an_alarm_that_was_raised_and_cleared_during_a_cut_is_an_incident_with_its_true_time() -> None:
    target = book()
    cleared = step(state=AlarmState.CLEARED, at_s=30, onset_s=0)
    target.apply(cleared, T0 + 9000 * SECOND_US)  # live goes before backlog: the end arrives first
    target.apply(step(), T0 + 9001 * SECOND_US)
    assert len(target.open_incidents()) == 1
    view = target.view(target.open_incidents()[0].id)
    assert (view.opened_us, view.alarms[0].state, view.in_dispatch_queue) == (T0 + 30 * SECOND_US, "cleared", True)


def test_a_raise_of_a_former_life_that_arrives_late_takes_nothing_down_that_burns_now() -> None:
    """A gateway told its present alarm from memory; the journal of the life before is delivered behind it."""
    target = book()
    target.apply(step(at_s=90), T0 + 91 * SECOND_US, Place("memory", 0, "boot-2", 5))
    for number, state in enumerate([AlarmState.RAISED, AlarmState.HELD, AlarmState.CLEARED]):
        target.apply(step(state=state, at_s=10 + number, onset_s=10), T0 + 95 * SECOND_US,
                     Place("journal", 7 + number, "boot-1", 50 + number))
        (entry,) = target.open_incidents()[0].alarms.values()
        assert (entry.state, entry.alarm) == (AlarmState.RAISED, step(at_s=90).alarm)
    assert entry.repeats == 1 and target.open_incidents()[0].opened_us == T0 + 10 * SECOND_US


def test_a_raise_of_a_former_life_is_shown_where_nothing_burns() -> None:
    target = book()
    over = step(state=AlarmState.HELD, at_s=92, onset_s=90)
    target.apply(step(at_s=90), T0 + 91 * SECOND_US, Place("memory", 0, "boot-2", 5))
    target.apply(over, T0 + 93 * SECOND_US, Place("memory", 0, "boot-2", 6))
    target.apply(step(at_s=10), T0 + 95 * SECOND_US, Place("journal", 7, "boot-1", 50))
    (entry,) = target.open_incidents()[0].alarms.values()
    assert entry.state is AlarmState.RAISED


def test_edge_facts_are_never_re_decided_by_the_cloud() -> None:
    target = book()
    feed(target, step())
    assert feed(target, step(state=AlarmState.CLEARED, at_s=50, onset_s=0, decided="cloud")) == []
    assert target.open_incidents()[0].standing()
    assert feed(target, step(at_s=20, decided="cloud")) == []  # another onset of a key that stands at the edge


def test_what_the_cloud_decided_first_becomes_one_alarm_with_the_edge() -> None:
    target = book()
    feed(target, step(decided="cloud"), step(at_s=2))
    incident = target.open_incidents()[0]
    assert len(incident.alarms) == 1
    assert next(iter(incident.alarms.values())).decided == "edge"


def test_late_findings_of_the_cloud_are_never_live_but_late_facts_of_the_edge_are() -> None:
    target = book()
    found = feed(target, step(late=True, decided="cloud"))
    assert [change.what for change in found] == ["late_finding"] and not target.open_incidents()
    feed(target, step(late=True))
    assert len(target.open_incidents()) == 1
    assert feed(target, step(late=True, decided="cloud")) == []


def of_zone(*points: str, at_s: float) -> AlarmTransition:
    """An alarm of a rule over a zone, which rests on those points."""
    return msgspec.structs.replace(step(at_s=at_s), key=AlarmKey("fire.zone", "zone:b1-0"), alarm=f"zone {at_s}",
                                   device="", points=points)


@pytest.mark.parametrize(("steps", "verification"), [
    ([step()], V.NONE),
    ([step(), step(at_s=5, at_point="flag")], V.NONE),  # two points of one criterion of one detector
    ([step(), step(at_s=5, at_point="heat")], V.SECOND_DETECTOR),  # smoke and heat of one detector
    ([step(), step(at_s=5, device="multi2-b1-0")], V.SECOND_DETECTOR),
    ([step(), step("b1-1", at_s=5)], V.SECOND_DETECTOR),
    # A rule over the zone that rests on the same detector is no second one; one that rests on another is.
    ([step(), of_zone("multi-b1-0.smoke", at_s=5)], V.NONE),
    ([step(), of_zone("multi2-b1-0.smoke", at_s=5)], V.SECOND_DETECTOR),
    ([of_zone("multi-b1-0.smoke", "multi2-b1-0.smoke", at_s=5)], V.NONE),
    ([step(), step(hazard=Hazard.CALL_POINT, at_s=5)], V.CALL_POINT),
    ([step(hazard=Hazard.CALL_POINT), step(at_s=5, device="multi2-b1-0")], V.CALL_POINT),
    ([step(hazard=Hazard.GAS), step(hazard=Hazard.GAS_HIGH, at_s=5)], V.NONE),  # two levels of one detector
    ([step(drill=True), step(at_s=5, device="multi2-b1-0", drill=True)], V.NONE),
])
def test_what_verifies(steps: list[AlarmTransition], verification: Verification) -> None:
    target = book()
    changes = feed(target, *steps)
    view = target.view(target.open_incidents()[0].id)
    assert view.verification is verification
    queued = verification is not V.NONE
    assert view.in_dispatch_queue is queued
    assert ("queued" in [c.what for c in changes]) is queued


def test_a_person_verifies_and_nothing_lowers_it() -> None:
    target = book()
    feed(target, step())
    assert act(target, A.CONFIRM).outcome.done
    feed(target, step(at_s=70, device="multi2-b1-0"), step(state=AlarmState.CLEARED, at_s=80, onset_s=0))
    assert target.open_incidents()[0].verification is V.PERSON


def test_unanswered_past_the_limit_enters_the_queue_once() -> None:
    target = book()
    feed(target, step())
    due = T0 + 120 * SECOND_US
    assert target.due_us() == due
    assert target.tick(due - 1) == ()
    (change,) = target.tick(due + 5)
    assert (change.what, change.at_us, change.notify) == ("queued", due, True)
    assert target.tick(due + 10) == () and target.due_us() is None


def test_an_answer_keeps_an_unverified_alarm_out_of_the_queue() -> None:
    target = book()
    feed(target, step())
    act(target, A.ACKNOWLEDGE)
    assert target.tick(T0 + 9999 * SECOND_US) == ()


@pytest.mark.parametrize("hazard", [Hazard.GAS, Hazard.WATER])
def test_lesser_hazards_never_queue_by_themselves(hazard: Hazard) -> None:
    target = book()
    feed(target, step(hazard=hazard), step(hazard=hazard, device="gas-b1-0", at_point="lel", at_s=3))
    assert target.tick(T0 + 9999 * SECOND_US) == ()


def test_each_new_zone_notifies_again_and_asks_for_a_new_answer() -> None:
    target = book()
    assert [c.what for c in feed(target, step()) if c.notify] == ["opened"]
    act(target, A.ACKNOWLEDGE)
    assert target.open_incidents()[0].acknowledged_by == "Li"
    changes = feed(target, step("b1-1", at_s=70))
    assert {c.what for c in changes if c.notify} == {"new_zone", "verified", "queued"}
    assert target.open_incidents()[0].acknowledged_by == ""


def test_a_test_that_becomes_real_is_a_real_incident() -> None:
    target = book()
    feed(target, step(test=True))
    assert target.open_incidents()[0].drill
    feed(target, step(at_s=1, onset_s=0))
    drill, real = target.open_incidents()
    assert not real.drill and real.standing() and not drill.standing()
    feed(target, step(at_s=2, onset_s=0, state=AlarmState.HELD, test=True))
    assert len(target.open_incidents()) == 2 and real.alarms["fire-smoke|multi-b1-0.smoke"].state is AlarmState.HELD


# --- people -----------------------------------------------------------------------------------------------------


def test_the_table_is_the_life() -> None:
    for state in IncidentState:
        for action in IncidentAction:
            expected = TRANSITIONS.get((state, action))
            if action is A.NOTE:
                expected = state
            if action is A.ACKNOWLEDGE:
                expected = None if state in (S.FALSE, S.CLOSED) else state
            assert next_incident_state(state, action) is expected
    assert set(TRANSITIONS.values()) == set(IncidentState) - {S.NEW}


def test_the_whole_life() -> None:
    target = book()
    feed(target, step())
    incident = target.open_incidents()[0].id
    for action, state in ((A.ACKNOWLEDGE, S.NEW), (A.CONFIRM, S.CONFIRMED), (A.DISPATCH, S.DISPATCHED),
                          (A.ON_SCENE, S.ON_SCENE), (A.RESOLVE, S.RESOLVED)):
        assert act(target, action, incident).outcome.done
        assert target.view(incident).state is state
    assert not target.view(incident).in_dispatch_queue
    feed(target, step(state=AlarmState.HELD, at_s=99, onset_s=0), step(state=AlarmState.CLEARED, at_s=100, onset_s=0))
    assert act(target, A.CLOSE, incident, why="put out", at_s=101).outcome.done
    view = target.view(incident)
    assert (view.state, view.cause, view.closed_us) == (S.CLOSED, "put out", T0 + 101 * SECOND_US)
    assert act(target, A.REOPEN, incident, at_s=102).outcome.done
    assert target.view(incident).state is S.REOPENED and target.view(incident).closed_us == 0
    words = [entry.what for entry in target.view(incident).log]
    assert words == ["opened", "raised", "acknowledged", "confirmed", "queued", "dispatched", "on_scene", "resolved",
                     "held", "cleared", "closed", "reopened", "queued"]


@pytest.mark.parametrize("action", [A.CLOSE, A.FALSE_ALARM])
@pytest.mark.parametrize(("last", "lack", "refused"), [
    (AlarmState.RAISED, None, "is in alarm (raised"),
    (AlarmState.HELD, None, "reset it on site first"),
    (AlarmState.CLEARED, None, ""),
    (AlarmState.CLEARED, "bad", "cannot be believed (silent)"),
    (AlarmState.CLEARED, Impairment(ImpairmentKind.SILENT, "multi-b1-0", 1), "(silent)"),
    (AlarmState.CLEARED, Impairment(ImpairmentKind.SILENT, "multi-b1-0.smoke", 1), "(silent)"),
    (AlarmState.CLEARED, Impairment(ImpairmentKind.LINE_DOWN, "l1", 1), "(line_down)"),
    (AlarmState.CLEARED, Impairment(ImpairmentKind.GATEWAY_SILENT, "gw-1", 1), "(gateway_silent)"),
    (AlarmState.CLEARED, Impairment(ImpairmentKind.SILENT, "multi-b1-1", 1), ""),
    (AlarmState.CLEARED, Impairment(ImpairmentKind.FAULT, "multi-b1-0", 1), ""),
    (AlarmState.CLEARED, Impairment(ImpairmentKind.IN_TEST, "multi-b1-0", 1), ""),
])
def test_law_3_refuses_to_end_while_a_point_is_in_alarm_bad_or_silent(
    action: IncidentAction, last: AlarmState, lack: Impairment | str | None, refused: str
) -> None:
    target = book()
    feed(target, step())
    incident = target.open_incidents()[0].id
    if last is not AlarmState.RAISED:
        feed(target, step(state=last, at_s=20, onset_s=0))
    if lack == "bad":
        target.reading("multi-b1-0.smoke", "silent", T0)
        assert not target.view(incident).alarms[0].trustworthy
    elif isinstance(lack, Impairment):
        target.impairment(lack, ended=False, at_us=T0)
    outcome = act(target, action, incident).outcome
    assert outcome.done is (not refused) and refused in outcome.refusal
    assert outcome.law == (3 if refused else 0)
    if refused:
        isolation = Impairment(ImpairmentKind.ISOLATED, "multi-b1-0", 1, who="Li", why="steam", expires_us=T0 * 2)
        target.impairment(isolation, ended=False, at_us=T0)
        assert act(target, action, incident).outcome.done
        back = target.impairment(isolation, ended=True, at_us=T0 + 999 * SECOND_US)
        came_back = last is not AlarmState.CLEARED
        assert ("reopened" in [change.what for change in back]) is came_back  # nothing in alarm stays ended


@pytest.mark.parametrize(("action", "who", "why", "refusal"), [
    (A.CLOSE, "Li", " ", "a reason is required"),
    (A.FALSE_ALARM, "Li", "", "a reason is required"),
    (A.NOTE, "Li", "", "a reason is required"),
    (A.CONFIRM, " ", "x", "say who you are"),
    (A.REOPEN, "Li", "x", "an incident that is new cannot be reopened"),
    (A.RESOLVE, "Li", "x", "cannot be resolved"),
])
def test_what_is_refused_and_audited(action: IncidentAction, who: str, why: str, refusal: str) -> None:
    target = book()
    feed(target, step())
    result = act(target, action, who=who, why=why)
    assert not result.outcome.done and refusal in result.outcome.refusal
    assert [c.what for c in result.changes] == ["refused"]
    assert target.open_incidents()[0].state is S.NEW
    unknown = target.act("nothing", A.ACKNOWLEDGE, who="Li", why="", request="q", at_us=T0)
    assert not unknown.outcome.done and unknown.changes == ()


def test_a_click_is_carried_out_once() -> None:
    target = book()
    feed(target, step())
    first = act(target, A.NOTE, why="look", request="same")
    again = act(target, A.NOTE, why="look", request="same", at_s=99)
    assert first.outcome == again.outcome and again.changes == ()
    assert [e.what for e in target.open_incidents()[0].log].count("note") == 1


def test_what_is_told_from_memory_and_again_from_the_journal_stands_once_in_the_timeline() -> None:
    incidents = book()
    (opened, *_) = feed(incidents, step())
    alarm = step().alarm
    assert len(incidents.remark(alarm, "output", T0 + 5, "sounder on")) == 1
    assert incidents.remark(alarm, "output", T0 + 5, "sounder on") == ()
    assert len(incidents.remark(alarm, "output", T0 + 9, "sounder on")) == 1
    assert opened.what == "opened"


def test_the_gateway_is_told_until_it_answers() -> None:
    target = book()
    feed(target, step(), step(at_s=1, device="multi2-b1-0"))
    incident = target.open_incidents()[0]
    assert target.to_tell() == ()
    act(target, A.ACKNOWLEDGE)
    alarms = [alarm for _, alarm, _ in target.to_tell()]
    assert len(alarms) == 2
    assert target.gateway_told(alarms[0], T0) == () and not incident.gateway_told_us
    assert [c.what for c in target.gateway_told(alarms[1], T0 + 7)] == ["gateway_told"]
    assert incident.gateway_told_us == T0 + 7 and target.to_tell() == ()
    assert target.gateway_told(alarms[1], T0 + 9) == ()


def test_an_alarm_raised_again_reopens_what_was_ended_or_resolved() -> None:
    target = book()
    feed(target, step(hazard=Hazard.WATER), step(hazard=Hazard.WATER, state=AlarmState.CLEARED, at_s=5, onset_s=0))
    incident = target.open_incidents()[0].id
    act(target, A.CLOSE, incident)
    feed(target, step(hazard=Hazard.WATER, at_s=90, onset_s=0))  # the same onset: the same incident
    assert target.view(incident).state is S.REOPENED
    feed(target, step(hazard=Hazard.WATER, state=AlarmState.CLEARED, at_s=95, onset_s=0))
    act(target, A.FALSE_ALARM, incident)
    feed(target, step(hazard=Hazard.WATER, at_s=200))  # a new onset: a new incident
    assert target.view(incident).state is S.FALSE and len(target.open_incidents()) == 1


# --- bounds -----------------------------------------------------------------------------------------------------


def test_a_chattering_detector_makes_one_row_with_a_count() -> None:
    target = book()
    for n in range(300):
        feed(target, step(hazard=Hazard.WATER, at_s=n * 10), step(hazard=Hazard.WATER, state=AlarmState.CLEARED,
                                                                  at_s=n * 10 + 5, onset_s=n * 10))
    incident = target.open_incidents()[0]
    assert len(target.open_incidents()) == 1 and len(incident.alarms) == 1
    assert next(iter(incident.alarms.values())).repeats == 299
    assert len(incident.log) == LOG_HEAD + LOG_TAIL and incident.log_omitted == 601 - LOG_HEAD - LOG_TAIL
    assert "omitted" in [entry.what for entry in target.view(incident.id).log]
    assert len(target.checkpoint()) < 40_000


def test_more_alarms_than_a_screen_holds_are_counted_and_still_guard_the_end() -> None:
    target = book()
    for n in range(ALARMS_SHOWN + 5):
        key = AlarmKey(f"rule-{n}", "multi-b1-0.smoke")
        feed(target, step(at_s=n, key=key, alarm=f"a{n}", severity=Severity.NOTICE))
        if n < ALARMS_SHOWN:
            feed(target, step(at_s=n, key=key, alarm=f"a{n}", state=AlarmState.CLEARED))
    view = target.view(target.open_incidents()[0].id)
    assert len(view.alarms) == ALARMS_SHOWN and view.alarms[0].state == "raised"
    assert view.log[-1].detail == "5 further alarms are not shown"
    assert act(target, A.CLOSE).outcome.law == 3


def test_ended_incidents_are_forgotten_but_never_one_that_stands() -> None:
    target = book()
    isolation = Impairment(ImpairmentKind.ISOLATED, "leak-b2-0", 1, who="Li", why="painting", expires_us=T0 * 2)
    feed(target, step("b2-0", Hazard.WATER))
    target.impairment(isolation, ended=False, at_us=T0)
    act(target, A.CLOSE, target.open_incidents()[0].id)
    for n in range(ENDED_MAX + 10):
        feed(target, step(hazard=Hazard.WATER, at_s=n * 10),
             step(hazard=Hazard.WATER, state=AlarmState.CLEARED, at_s=n * 10 + 5, onset_s=n * 10))
        act(target, A.CLOSE, target.open_incidents()[0].id, at_s=n * 10 + 6)
    back = target.impairment(isolation, ended=True, at_us=T0 + 10 * MINUTE_US)
    assert [c.what for c in back if c.audit] == ["reopened"]
    assert len(msgspec.json.decode(target.checkpoint())["incidents"]) == ENDED_MAX + 1


def test_a_gateway_that_invents_subjects_cannot_grow_the_book_but_standing_alarms_stay() -> None:
    target = book()
    feed(target, step())
    for n in range(ENTRIES_MAX + 50):
        for state in (AlarmState.RAISED, AlarmState.CLEARED):
            feed(target, step(at_s=n, onset_s=n, state=state, key=AlarmKey("r", f"invented-{n}"), alarm=f"i{n}"))
    incident = target.open_incidents()[0]
    assert len(incident.alarms) == ENTRIES_MAX and len(incident.standing()) == 1
    again = step(at_s=5000, key=AlarmKey("r", "invented-0"), alarm="again")
    assert "raised" in [change.what for change in feed(target, again)]
    assert len(incident.alarms) == ENTRIES_MAX and len(incident.standing()) == 2


def test_zones_that_the_site_file_does_not_know_are_the_site() -> None:
    target = book()
    for n in range(30):
        feed(target, step(f"gone-{n}", Hazard.WATER, at_s=n))
    assert len(target.open_incidents()) == 1 and target.open_incidents()[0].zones == [""]


def test_an_alarm_of_a_zone_stands_at_the_zone_by_its_name() -> None:
    target = book()
    feed(target, of_zone("multi-b1-0.smoke", at_s=0))
    shown = target.view(target.open_incidents()[0].id).alarms[0]
    assert (shown.place.en, shown.subject, shown.device) == ("b1 0", "zone:b1-0", "")
