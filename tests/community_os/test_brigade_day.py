"""Calls, ticked steps, units, reports, drills; live values of a floor; cards; silences and the shelf as rows."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from community_os.envelopes import DeedEnvelope, ShelfEnvelope, SilenceEnvelope, decode_envelope, encode_envelope
from community_os.live_values import DEVICES_SHOWN, POINTS_OF_DEVICE, LiveValues
from community_os.site_worker import SiteWorker
from community_os.store import IncidentStore
from community_os.store_changes import (
    IncidentRow,
    NoticeRow,
    OutcomeRow,
    ShelfRow,
    SilenceRow,
    SiteCommit,
)
from device_model.alarm import Hazard
from device_model.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from device_model.handling import CallOutcome, Handling, Stage, UnitMove
from device_model.incident_deeds import CallMade, CheckStep, Deed, FieldDeed, ReportScene, StartDrill, UnitSays
from device_model.messages import AlarmRecord, HeartbeatRecord, Lane, ReadingsRecord
from device_model.read_models import IncidentAction, IncidentState, IncidentView
from device_model.register_views import SilenceView
from device_model.site import Datum, Position
from rules_engine.incident_field import CALLS_MAX, field_deed, said_at
from tests.community_os.site_messages import PATH, act, only_incident, reading, rows, up, worker
from tests.community_os.test_notices import site as routed_site
from tests.rules_engine.incident_house import INVENTORY, T0, step

HERE = Position(30.287, 119.999, Datum.WGS_84)


def deed(one: SiteWorker, incident: str, what: Deed, number: int, at_s: float = 30):
    envelope = DeedEnvelope(PATH, incident, what, "Li", "", f"d{number}", T0 + round(at_s * SECOND_US))
    assert decode_envelope(encode_envelope(envelope)) == envelope
    effects = one.step(envelope)
    return effects, rows(effects, OutcomeRow)[0].outcome


def view(effects) -> IncidentView:
    return rows(effects, IncidentRow)[-1].view


def test_calls_steps_units_and_reports_stand_on_the_incident_and_answer_for_nobody() -> None:
    one = worker()
    fire = only_incident(one.step(up(AlarmRecord(step()))))
    deed(one, fire, CallMade("Chen Jing", "0101", CallOutcome.WILL_CALL_BACK, "on the way"), 1)
    deed(one, fire, CheckStep("Call the dwelling"), 2)
    deed(one, fire, UnitSays("Cangqian", UnitMove.COMING), 3)
    deed(one, fire, UnitSays("Cangqian", UnitMove.ARRIVED, T0 + 20 * SECOND_US, HERE), 4)
    effects, outcome = deed(one, fire, ReportScene("smoke from the window", "a" * 64, 0, HERE), 5)
    assert outcome.done
    shown = view(effects)
    handling = shown.handling
    assert handling.calls[0].outcome is CallOutcome.WILL_CALL_BACK and handling.checked[0].step == "Call the dwelling"
    assert [(unit.move, unit.at_us) for unit in handling.units] == [
        (UnitMove.COMING, T0 + 30 * SECOND_US), (UnitMove.ARRIVED, T0 + 20 * SECOND_US)]
    assert handling.reports[0].photo == "a" * 64 and handling.reports[0].position == HERE
    assert {"call", "step", "unit_coming", "unit_arrived", "scene_report"} <= {entry.what for entry in shown.log}
    # Nobody of the brigade has answered: the clock of law 1 runs on, and the queue is entered.
    assert shown.acknowledged_by == "" and shown.state is IncidentState.NEW
    late = one.tick(T0 + 300 * SECOND_US)
    assert view(late).in_dispatch_queue
    # Everything survives a restart.
    other = worker()
    other.resume(one.checkpoint())
    assert view(deed(other, fire, CheckStep("Call the dwelling", done=False), 6)[0]).handling.checked == ()


@pytest.mark.parametrize("bad", [
    CallMade(" ", "1", CallOutcome.ANSWERED), CheckStep(""), CheckStep("never ticked", done=False),
    UnitSays("", UnitMove.COMING), ReportScene(" "), ReportScene("x", "../etc/passwd"), ReportScene("x", "G" * 64),
])
def test_what_says_nothing_is_refused(bad: FieldDeed) -> None:
    with pytest.raises(ValueError, match=r"say|step|picture"):
        field_deed(Handling(Stage.ALL, T0), bad, "Li", T0)


def test_a_step_is_ticked_once_and_records_are_bounded() -> None:
    handling = field_deed(Handling(Stage.ALL, T0), CheckStep("x"), "Li", T0)[0]
    with pytest.raises(ValueError, match="already"):
        field_deed(handling, CheckStep("x"), "Wang", T0)
    for _ in range(CALLS_MAX):
        handling = field_deed(handling, CallMade("a", "", CallOutcome.NO_ANSWER), "Li", T0)[0]
    with pytest.raises(ValueError, match="already"):
        field_deed(handling, CallMade("a", "", CallOutcome.NO_ANSWER), "Li", T0)


@given(st.integers(-2**62, 2**62))
def test_a_phones_clock_is_believed_within_a_day(said_us: int) -> None:
    assert T0 - DAY_US <= said_at(said_us, T0) <= T0


@settings(max_examples=40)
@given(st.floats(), st.floats())
def test_a_position_that_is_none_is_left_out(latitude: float, longitude: float) -> None:
    where = Position(latitude, longitude, Datum.WGS_84)
    handling, _, _ = field_deed(Handling(Stage.ALL, T0), UnitSays("a", UnitMove.LEFT, 0, where), "Li", T0)
    found = handling.units[0].position
    assert found is None or (abs(found.latitude) <= 90 and abs(found.longitude) <= 180)


def test_a_drill_is_marked_told_to_nobody_never_queued_and_hides_no_real_fire() -> None:
    one = routed_site()
    effects, outcome = deed(one, "", StartDrill(Hazard.FIRE, "b1-0", "evacuation of stair 1"), 1, at_s=0)
    assert outcome.done
    drill = view(effects)
    assert drill.drill and drill.state is IncidentState.NEW and drill.handling.deadline_us == 0
    sent = one.step(act(drill.id, IncidentAction.DISPATCH, 10, request="a1"))
    waited = one.tick(T0 + 900 * SECOND_US)
    assert rows(effects, NoticeRow) + rows(sent, NoticeRow) + rows(waited, NoticeRow) == []
    assert not view(sent).in_dispatch_queue
    # A real fire in the same zone is an incident of its own, told to everybody.
    real = one.step(up(AlarmRecord(step(at_s=901)), at_s=901))
    fire = next(row.view for row in rows(real, IncidentRow) if not row.view.drill)
    assert fire.id != drill.id and rows(real, NoticeRow)
    refused = deed(one, "", StartDrill(Hazard.FIRE, "nowhere", "x"), 2)[1]
    assert not refused.done and "no zone" in refused.refusal
    closed = one.step(act(drill.id, IncidentAction.CLOSE, 1000, request="a2"))
    assert rows(closed, OutcomeRow)[0].outcome.done


def test_a_drill_ends_by_itself_and_what_somebody_ended_stays_so() -> None:
    one = routed_site()
    drill = view(deed(one, "", StartDrill(Hazard.FIRE, "b1-0", "evacuation", 600), 1, at_s=0)[0])
    assert drill.handling.ends_us == T0 + 600 * SECOND_US and one.due_us() <= T0 + 600 * SECOND_US
    assert all(row.view.state is IncidentState.NEW for row in rows(one.tick(T0 + 599 * SECOND_US), IncidentRow))
    kept, one = one.checkpoint(), routed_site()
    one.resume(kept)  # a new life of the worker knows it, too
    over = [row.view for row in rows(one.tick(T0 + 601 * SECOND_US), IncidentRow) if row.view.id == drill.id][-1]
    assert over.state is IncidentState.CLOSED and over.handling.ends_us == 0
    assert over.log[-1].what == "drill_over" and over.log[-1].at_us == T0 + 600 * SECOND_US
    later = [row.view for row in rows(one.tick(T0 + 700 * SECOND_US), IncidentRow) if row.view.id == drill.id]
    assert all([note.what for note in known.log].count("drill_over") == 1 for known in later)
    for for_s in (299, 8 * 3600 + 1, -1):
        refused = deed(one, "", StartDrill(Hazard.FIRE, "b1-0", "x", for_s), 100 + for_s)[1]
        assert not refused.done and "5 minutes to 8 hours" in refused.refusal


def test_neighbours_of_the_floor_are_shown_with_age_and_quality() -> None:
    one = worker()
    one.step(up(ReadingsRecord((reading("multi-b1-1.heat", 21.5, -20),)), lane=Lane.TELEMETRY))
    effects = one.step(up(AlarmRecord(step(), (reading("multi-b1-0.smoke", 1.4, 0),)), at_s=0.2))
    live = {value.point: value for value in view(effects).live}
    assert live["multi-b1-1.heat"].value == 21.5 and live["multi-b1-1.heat"].at_us == T0 - 20 * SECOND_US
    assert live["leak-b1-3.wet"].reason.value == "not_yet_read" and live["leak-b1-3.wet"].value is None
    assert not any(value.zone.startswith("b2") for value in live.values())
    bad = one.step(up(ReadingsRecord((reading("multi-b1-1.heat", None, 10),)), first=2, at_s=11,
                      lane=Lane.TELEMETRY))
    changed = {value.point: value for value in view(bad).live}["multi-b1-1.heat"]
    assert (changed.value, changed.quality.value, changed.reason.value) == (None, "bad", "silent")
    assert len(live) <= DEVICES_SHOWN * POINTS_OF_DEVICE


def test_backlog_never_replaces_a_newer_value() -> None:
    live = LiveValues(INVENTORY)
    assert live.add(reading("multi-b1-1.heat", 30.0, 0))
    assert not live.add(reading("multi-b1-1.heat", 20.0, -60))
    (value,) = [v for v in live.live(["b1-1"]) if v.point == "multi-b1-1.heat"]
    assert value.value == 30.0


def test_lists_get_cards_and_one_incident_is_whole() -> None:
    store = IncidentStore("sqlite://")
    store.open()
    effects = worker().step(up(AlarmRecord(step(), (reading("multi-b1-0.smoke", 1.4, 0),)), at_s=0.2))
    store.apply([SiteCommit(PATH, 1, tuple(effects.changes))])
    (card,) = store.snapshot("", T0, whole=False).incidents
    (whole,) = store.snapshot("", T0).incidents
    assert (card.log, card.plots, card.live, card.contacts) == ((), (), (), ()) and whole.log and whole.live
    assert card.alarms == whole.alarms and store.incident(card.id) == whole
    assert msgspec.json.decode(store.encoded_card(card.id), type=IncidentView) == card
    assert len(store.encoded_card(card.id)) < len(store.encoded_incident(card.id)) / 3


def test_silences_and_the_shelf_are_rows_until_they_end() -> None:
    store = IncidentStore("sqlite://")
    store.open()
    one = routed_site()
    alarm = step("b1-0", Hazard.WATER)
    name = f"{alarm.key.rule}|{alarm.key.subject}"
    one.step(up(AlarmRecord(alarm)))
    asked = SilenceEnvelope(PATH, "works", "Li", "roof works", "r1", T0, ('zone="b1-0"',), T0 + HOUR_US)
    effects = [one.step(asked), one.step(ShelfEnvelope(PATH, name, "shelved", "Li", "known leak", "r2", T0,
                                                       T0 + 10 * MINUTE_US))]
    assert rows(effects[0], SilenceRow)[0].view.matchers == ('zone="b1-0"',)
    assert rows(effects[1], ShelfRow)[0].view.alarm == name
    for number, step_ in enumerate(effects, start=1):
        store.apply([SiteCommit(PATH, number, tuple(step_.changes))])
    (silence,) = msgspec.json.decode(store.listed("silences", ""), type=tuple[SilenceView, ...])
    assert (silence.name, silence.who, silence.until_us) == ("works", "Li", T0 + HOUR_US)
    assert b"known leak" in store.listed("shelf", PATH) and store.listed("shelf", "shanghai") == b"[]"
    over = one.tick(T0 + 11 * MINUTE_US)
    ended = one.step(msgspec.structs.replace(asked, matchers=(), request="r3"))
    store.apply([SiteCommit(PATH, 3, (*over.changes, *ended.changes))])
    assert store.listed("shelf", "") == store.listed("silences", "") == b"[]"


def test_what_a_metered_link_postpones_is_on_the_board() -> None:
    store = IncidentStore("sqlite://")
    store.open()
    effects = worker().step(up(HeartbeatRecord(T0, {}, 4, 4, backlog=900, postponed=850)))
    store.apply([SiteCommit(PATH, 1, tuple(effects.changes))])
    (gateway,) = store.snapshot("", T0).gateways
    assert (gateway.backlog, gateway.postponed) == (900, 850)
