"""Graded handling, tasks, intake, merge and split, causes: what is done until an incident is closed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_model.alarm import AlarmState, Hazard
from device_model.clock import MINUTE_US, SECOND_US
from device_model.errors import ConfigError
from device_model.handling import Cause, IntakeKind, ProofKind, Stage, TaskProof
from device_model.incident_deeds import (
    Deed,
    DoTask,
    GiveFeedback,
    GiveTask,
    Merge,
    ReadTask,
    SelfCheck,
    Split,
    StateCause,
    TakeIn,
    VerifyBy,
)
from device_model.read_models import IncidentAction, IncidentState, Plot, PlotPoint, Verification
from device_model.site import Datum, Position, Text
from rules_engine.incident import ActResult, IncidentChange
from rules_engine.incident_desk import IncidentDesk
from rules_engine.incident_tasks import REMINDERS_MAX, due_again, reminded, task_of
from rules_engine.response_file import parse_response
from tests.rules_engine.incident_house import INVENTORY, T0, step

FILE = Path(__file__).parents[2] / "examples/routing/response.yaml"
RESPONSE = parse_response(FILE.read_text(encoding="utf-8"), "response.yaml")
M = MINUTE_US
PHOTO = "0" * 64


def desk() -> IncidentDesk:
    return IncidentDesk(INVENTORY, {}, RESPONSE)


class Clicks:
    """Numbers the clicks of a test."""

    def __init__(self, one: IncidentDesk) -> None:
        self.one, self.number = one, 0

    def do(self, incident: str, deed: Deed, at_us: int = T0 + M, who: str = "Li") -> ActResult:
        self.number += 1
        return self.one.do(incident, deed, who=who, why="because", request=f"r{self.number}", at_us=at_us)

    def act(
        self, incident: str, action: IncidentAction, at_us: int = T0 + M, cause: Cause = Cause.UNSTATED
    ) -> ActResult:
        self.number += 1
        return self.one.act(incident, action, who="Li", why="because", request=f"a{self.number}", at_us=at_us,
                            cause=cause)


def raised(one: IncidentDesk, zone: str = "b1-0", hazard: Hazard = Hazard.WATER) -> str:
    alarm = step(zone, hazard)
    return next(change.incident for change in one.apply(alarm, alarm.at_us) if change.incident)


def stages(changes: tuple[IncidentChange, ...]) -> list[str]:
    return [change.detail.partition(":")[0] for change in changes if change.what == "stage"]


# --- grades -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hazard", [Hazard.FIRE, Hazard.CALL_POINT, Hazard.GAS_HIGH, Hazard.CO])
def test_what_law_1_names_goes_to_all_at_once_and_no_clock_runs(hazard: Hazard) -> None:
    one = desk()
    handling = one.handling(raised(one, hazard=hazard))
    assert handling is not None and (handling.stage, handling.deadline_us) == (Stage.ALL, 0)


def test_a_hazard_goes_from_self_check_to_street_to_department() -> None:
    one = desk()
    name = raised(one)
    handling = one.handling(name)
    assert handling is not None and handling.stage is Stage.SELF_CHECK and handling.plan == Text(
        "Water where none should be", "漏水")
    start = handling.since_us
    assert stages(one.tick(start + 15 * M - 1)) == []
    assert stages(one.tick(start + 15 * M)) == ["street"]
    assert stages(one.tick(start + 75 * M)) == ["department"]
    assert stages(one.tick(start + 900 * M)) == []


def test_a_machine_that_slept_finds_the_same_grades_at_the_same_times() -> None:
    one = desk()
    name = raised(one)
    changes = one.tick(T0 + 1_000 * M)
    handling = one.handling(name)
    assert stages(changes) == ["street", "department"] and handling is not None
    assert handling.since_us - next(c.at_us for c in changes if c.what == "stage") == 60 * M


def test_confirmed_by_the_self_check_the_street_is_told_and_work_stops_the_clock() -> None:
    one = desk()
    name = raised(one)
    clicks = Clicks(one)
    result = clicks.do(name, SelfCheck(Cause.REAL, "pipe burst"))
    assert result.outcome.done and stages(result.changes) == ["street"]
    assert one.incident(name).state is IncidentState.CONFIRMED  # type: ignore[union-attr]  # it was just made
    clicks.act(name, IncidentAction.DISPATCH)
    handling = one.handling(name)
    assert handling is not None and handling.deadline_us == 0 and handling.cause is Cause.REAL


def test_a_self_check_that_finds_nothing_is_a_false_alarm_only_when_law_3_allows() -> None:
    one = desk()
    name = raised(one)
    clicks = Clicks(one)
    refused = clicks.do(name, SelfCheck(Cause.STEAM))
    assert (refused.outcome.done, refused.outcome.law) == (False, 3)
    over = step("b1-0", Hazard.WATER, AlarmState.CLEARED, 60)
    one.apply(over, over.at_us)
    assert clicks.do(name, SelfCheck(Cause.STEAM)).outcome.done
    assert one.incident(name).state is IncidentState.FALSE  # type: ignore[union-attr]  # as above


def test_gas_that_becomes_high_goes_to_all() -> None:
    one = desk()
    name = raised(one, hazard=Hazard.GAS)
    high = step("b1-0", Hazard.GAS_HIGH, at_s=30)
    changes = one.apply(high, high.at_us)
    assert stages(changes) == ["all"] and {change.incident for change in changes} == {name}
    handling = one.handling(name)
    assert handling is not None and (handling.stage, handling.deadline_us) == (Stage.ALL, 0)


def test_reopened_begins_again_with_the_self_check() -> None:
    one = desk()
    name = raised(one)
    clicks = Clicks(one)
    over = step("b1-0", Hazard.WATER, AlarmState.CLEARED, 60)
    one.apply(over, over.at_us)
    clicks.act(name, IncidentAction.CLOSE, cause=Cause.OTHER)
    assert one.handling(name).deadline_us == 0  # type: ignore[union-attr]  # as above
    result = clicks.act(name, IncidentAction.REOPEN, T0 + 100 * M)
    assert stages(result.changes) == ["self_check"]
    assert one.handling(name).deadline_us == T0 + 115 * M  # type: ignore[union-attr]  # as above


# --- tasks ------------------------------------------------------------------------------------------------------


def test_the_plan_gives_tasks_and_they_want_their_proof() -> None:
    one = desk()
    name = raised(one, hazard=Hazard.FIRE)
    (task,) = one.handling(name).tasks  # type: ignore[union-attr]  # as above
    assert (task.person, task.proof_wanted, task.due_us - task.given_us) == ("property-duty", ProofKind.BOTH, 3 * M)
    clicks = Clicks(one)
    assert clicks.do(name, ReadTask(task.id)).outcome.done
    assert "a photo and a position" in clicks.do(name, DoTask(task.id, "smoke")).outcome.refusal
    place = Position(30.1, 120.1, Datum.WGS_84)
    assert "a photo" in clicks.do(name, DoTask(task.id, "smoke", TaskProof("x", place))).outcome.refusal
    assert clicks.do(name, DoTask(task.id, "smoke", TaskProof(PHOTO, place)), T0 + 2 * M).outcome.done
    assert "has done it already" in clicks.do(name, DoTask(task.id, "smoke", TaskProof(PHOTO, place))).outcome.refusal
    done = one.handling(name).tasks[0]  # type: ignore[union-attr]  # as above
    assert (done.done_by, done.done_us, done.proof) == ("Li", T0 + 2 * M, TaskProof(PHOTO, place))


def test_unread_tasks_are_reminded_halfway_at_the_deadline_and_after() -> None:
    task = task_of("x", Text("a", "b"), "li", T0, 10 * M, ProofKind.NONE)
    times = []
    while (due := due_again(task)) is not None:
        times.append((due - T0) // M)
        task = reminded(task, due)
    assert times == [5, 10, 20, 30, 40, 50, 60, 70] and len(times) == REMINDERS_MAX
    one = desk()
    raised(one, hazard=Hazard.FIRE)
    words = [change.what for change in one.tick(T0 + 200 * M) if change.what.startswith("task")]
    assert words == ["task", "task_overdue"], "queued meanwhile; reminders that were missed together are one"


def test_a_task_by_hand_and_its_bounds() -> None:
    one = desk()
    name = raised(one)
    clicks = Clicks(one)
    result = clicks.do(name, GiveTask(Text("Dry", "抽水"), "wang", 5 * M))
    assert result.outcome.done and any(change.what == "task" and change.notify for change in result.changes)
    assert not clicks.do(name, GiveTask(Text("Dry", "抽水"), " ", 5 * M)).outcome.done
    for _ in range(60):
        last = clicks.do(name, GiveTask(Text("Dry", "抽水"), "wang", 5 * M))
    assert "at most" in last.outcome.refusal


# --- intake -------------------------------------------------------------------------------------------------------


def call(hazard: Hazard = Hazard.FIRE, zone: str = "b1-0", *, seen: bool = False,
         kind: IntakeKind = IntakeKind.CALL) -> TakeIn:
    return TakeIn(kind, hazard, zone, "smoke from the window", "neighbour", "110", seen)


def test_a_call_opens_an_incident_that_later_alarms_join() -> None:
    one = desk()
    result = Clicks(one).do("", call())
    (name,) = {change.incident for change in result.changes}
    incident = one.incident(name)
    assert incident is not None and incident.state is IncidentState.NEW and not incident.queued
    assert incident.verification is Verification.NONE, "heard is not seen"
    assert raised(one, hazard=Hazard.FIRE) == name
    assert any(change.what == "queued" for change in one.tick(T0 + 10 * M)), "unanswered past the limit"
    handling = one.view(name).handling
    assert handling is not None and handling.intakes[0].caller == "neighbour" and handling.stage is Stage.ALL
    assert Clicks(one).one.act(name, IncidentAction.ACKNOWLEDGE, who="Li", why="", request="x", at_us=T0 + M
                               ).outcome.done


@pytest.mark.parametrize(("deed", "verified"), [
    (call(seen=True), True), (call(kind=IntakeKind.RECORD_119), True), (call(kind=IntakeKind.CITIZEN), False),
])
def test_what_somebody_saw_is_verified_and_queued_at_once(deed: TakeIn, verified: bool) -> None:
    one = desk()
    name = raised(one, hazard=Hazard.FIRE)
    result = Clicks(one).do("", deed)
    assert {change.incident for change in result.changes} == {name}
    assert any(change.what == "queued" for change in result.changes) is verified


def test_a_report_of_an_unknown_place_is_taken_in_as_well() -> None:
    one = desk()
    clicks = Clicks(one)
    result = clicks.do("", call(zone="nowhere"))
    assert result.outcome.done and one.view(result.changes[0].incident).zone == ""
    assert not clicks.do("", TakeIn(IntakeKind.CALL, Hazard.FIRE, "b1-0", " ")).outcome.done


def test_camera_and_flow_switch_verify_and_never_lower() -> None:
    one = desk()
    name = raised(one, hazard=Hazard.FIRE)
    clicks = Clicks(one)
    assert [c.what for c in clicks.do(name, VerifyBy(Verification.CAMERA)).changes][:2] == ["verified", "queued"]
    assert clicks.do(name, VerifyBy(Verification.FLOW_SWITCH)).changes == ()
    assert one.incident(name).verification is Verification.CAMERA  # type: ignore[union-attr]  # as above


# --- merge and split ------------------------------------------------------------------------------------------------


def test_merged_incidents_are_one_and_later_steps_find_it() -> None:
    one = desk()
    first, second = raised(one, "b1-0", Hazard.FIRE), raised(one, "b2-0", Hazard.FIRE)
    assert first != second
    clicks = Clicks(one)
    clicks.act(first, IncidentAction.ACKNOWLEDGE)
    assert clicks.do(second, Merge(first)).outcome.done
    merged, gone = one.incident(first), one.incident(second)
    assert merged is not None and gone is not None
    assert gone.state is IncidentState.CLOSED and not gone.alarms and one.handling(second).merged_into == first  # type: ignore[union-attr]  # it has one
    assert merged.zones == ["b1-0", "b2-0"] and not merged.acknowledged_us, "what nobody answered stays unanswered"
    over = step("b2-0", Hazard.FIRE, AlarmState.HELD, 90)
    assert {change.incident for change in one.apply(over, over.at_us)} == {first}
    assert not clicks.do(first, Merge(first)).outcome.done
    assert not clicks.do(first, Merge(second)).outcome.done


def test_split_alarms_are_a_matter_of_their_own() -> None:
    one = desk()
    name = raised(one, "b1-0", Hazard.FIRE)
    other = step("b1-1", Hazard.FIRE, at_s=30)
    one.apply(other, other.at_us)
    clicks = Clicks(one)
    key = f"{other.key.rule}|{other.key.subject}"
    result = clicks.do(name, Split((key,)), T0 + 2 * M)
    (split,) = {change.incident for change in result.changes} - {name}
    assert one.handling(split).split_from == name  # type: ignore[union-attr]  # it has one
    over = step("b1-1", Hazard.FIRE, AlarmState.HELD, 90)
    assert {change.incident for change in one.apply(over, over.at_us)} == {split}
    assert "at least one alarm must stay" in clicks.do(split, Split((key,))).outcome.refusal
    assert "does not hold" in clicks.do(split, Split(("x|y",))).outcome.refusal
    assert any(change.what == "queued" for change in one.tick(T0 + 10 * M) if change.incident == split)


# --- cause, feedback, keeping ----------------------------------------------------------------------------------


def test_cause_and_feedback_also_after_the_end() -> None:
    one = desk()
    name = raised(one)
    over = step("b1-0", Hazard.WATER, AlarmState.CLEARED, 60)
    one.apply(over, over.at_us)
    clicks = Clicks(one)
    clicks.act(name, IncidentAction.FALSE_ALARM, cause=Cause.DUST)
    assert clicks.do(name, StateCause(Cause.COOKING, "a pan")).outcome.done
    assert clicks.do(name, GiveFeedback("the guard was quick")).outcome.done
    handling = one.view(name).handling
    assert handling is not None and (handling.cause, handling.feedback[0].who) == (Cause.COOKING, "Li")


def test_a_deed_counts_once_and_refusals_are_written_down() -> None:
    one = desk()
    name = raised(one)
    first = one.do(name, GiveFeedback("good"), who="Li", why="", request="same", at_us=T0)
    again = one.do(name, GiveFeedback("good"), who="Li", why="", request="same", at_us=T0)
    assert first.changes and again.changes == () and again.outcome == first.outcome
    refused = one.do(name, ReadTask("x"), who="Li", why="", request="other", at_us=T0)
    assert [change.what for change in refused.changes] == ["refused"]
    assert not one.do(name, ReadTask("x"), who=" ", why="", request="third", at_us=T0).outcome.done
    assert not one.do("nothing", ReadTask("x"), who="Li", why="", request="fourth", at_us=T0).outcome.done


DEEDS = st.sampled_from([
    call(), call(Hazard.WATER, "b1-1"), SelfCheck(Cause.REAL), SelfCheck(Cause.STEAM), GiveFeedback("x"),
    GiveTask(Text("a", "b"), "li", M), VerifyBy(Verification.CAMERA), StateCause(Cause.DUST), Merge("0"), Merge("1"),
    Split(("fire|x",)),
])
STEPS = st.lists(st.tuples(st.integers(0, 2_000), st.one_of(
    DEEDS, st.sampled_from([(z, h, s) for z in ("b1-0", "b1-1", "b2-0") for h in (Hazard.FIRE, Hazard.WATER)
                            for s in (AlarmState.RAISED, AlarmState.HELD, AlarmState.CLEARED)]))), max_size=25)


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_random_lives_keep_the_laws_and_survive_restarts(steps: list[tuple[int, object]]) -> None:
    live(steps)


@pytest.mark.soak
@given(STEPS)
@settings(max_examples=20_000, deadline=None)
def test_very_many_random_lives(steps: list[tuple[int, object]]) -> None:
    live(steps)


def live(steps: list[tuple[int, object]]) -> None:
    """One life in two desks, of which one is restarted after each step."""
    one, again = desk(), desk()
    now_s, verified, names = 0, {}, []
    for number, (passes, what) in enumerate(steps):
        now_s += passes
        now_us = T0 + now_s * SECOND_US
        for each in (one, again):
            each.tick(now_us)
            if isinstance(what, tuple):
                alarm = step(what[0], what[1], what[2], now_s, onset_s=now_s)
                each.apply(alarm, now_us)
            else:
                deed = Merge(names[int(what.into) % len(names)]) if isinstance(what, Merge) and names else what
                target = names[number % len(names)] if names else ""
                each.do(target, deed, who="Li", why="w", request=f"r{number}", at_us=now_us)  # type: ignore[arg-type]  # one of DEEDS
        kept, kept_desk = again.checkpoint(), again.desk_checkpoint()
        again = desk()
        again.resume(kept)
        again.resume_desk(kept_desk, now_us)
        names = [incident.id for incident in one.open_incidents()]
        held: dict[str, str] = {}
        for incident in one._state.incidents.values():
            known = one.handling(incident.id)
            if known is None:
                continue
            if incident.hazard in (Hazard.FIRE,) and incident.state is IncidentState.NEW:
                assert known.stage is Stage.ALL and known.deadline_us == 0, "law 1: nothing waits for a grade"
            rank = verified.get(incident.id, Verification.NONE)
            assert incident.verification is not Verification.NONE or rank is Verification.NONE
            verified[incident.id] = incident.verification
            for name, entry in incident.alarms.items():
                if entry.standing and not incident.drill and incident.state is not IncidentState.CLOSED:
                    assert name not in held, "an alarm is held by one incident"
                    held[name] = incident.id
        assert one.checkpoint() == again.checkpoint() and one.desk_checkpoint() == again.desk_checkpoint()


def test_a_checkpoint_from_before_there_was_handling_is_read() -> None:
    old = desk()
    name = raised(old)
    new = desk()
    new.resume(old.checkpoint())
    new.resume_desk(b"", T0 + 5 * M)
    handling = new.handling(name)
    assert handling is not None and handling.deadline_us == T0 + 20 * M


def test_mistakes_of_a_response_file_are_found() -> None:
    text = FILE.read_text(encoding="utf-8").replace("id: gas", "id: water").replace("within: 3m", "within: soon")
    with pytest.raises(ConfigError) as caught:
        parse_response(text.replace("self_check: 15m", "self_check: 0s"), "r.yaml")
    assert len(caught.value.findings) == 3 and all(f.line and f.remedy for f in caught.value.findings)


def around(point: str, quantity: str, unit: str, *values: float | None) -> Plot:
    first = T0 - 12 * M
    samples = tuple(PlotPoint(first + i * 2 * M, value) for i, value in enumerate(values))
    return Plot(point, Text("", ""), quantity, unit, samples)


@pytest.mark.parametrize(("plot", "verified"), [
    (around("multi2-b1-0.heat", "temperature", "Cel", 20, 20, 21, 20, 22, 24, 27), True),
    (around("multi2-b1-0.heat", "temperature", "Cel", 20, 20, 21, 20, 21, 22, 22), False),
    (around("multi2-b1-0.heat", "temperature", "Cel", None, 20, 20, 20, None, 40, None), True),
    (around("multi2-b1-0.heat", "temperature", "Cel", None, None, None, None, 20, 40, 60), False),  # no baseline
    (around("multi-b1-0.heat", "temperature", "Cel", 20, 20, 20, 20, 30, 40, 50), False),  # the same device
    (around("multi2-b1-0.heat", "temperature", "K", 20, 20, 20, 20, 30, 40, 50), False),
    (around("leak-b1-0.wet", "leak", "1", 0, 0, 0, 0, 1, 1, 1), False),
])
def test_a_neighbour_that_rises_verifies_a_fire(plot: Plot, verified: bool) -> None:
    one = desk()
    name = raised(one, hazard=Hazard.FIRE)
    changes = one.look_around(name, (plot,), T0 + M)
    assert bool(changes) is verified
    if verified:
        assert [change.what for change in changes][:2] == ["verified", "queued"]
        assert one.look_around(name, (plot,), T0 + 2 * M) == (), "once"


def test_neighbours_say_nothing_of_lesser_matters() -> None:
    one = desk()
    plot = around("multi2-b1-0.heat", "temperature", "Cel", 20, 20, 20, 20, 30, 40, 50)
    assert one.look_around(raised(one), (plot,), T0 + M) == () == one.look_around("none", (plot,), T0)
