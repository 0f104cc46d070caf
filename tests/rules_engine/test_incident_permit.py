"""Smoke under a permit in the incident: who is told, when it becomes everybody's, and that law 1 still holds."""

from __future__ import annotations

import msgspec

from device_model.alarm import AlarmKey, AlarmState, AlarmTransition, Hazard, Severity, alarm_id
from device_model.read_models import IncidentAction, IncidentView, Verification
from device_model.site import Text
from rules_engine.incident import IncidentBook, IncidentChange
from rules_engine.rule_tests import TestPoint, synthetic_inventory

T0 = 1_772_499_600_000_000
INVENTORY = synthetic_inventory({
    "s1.smoke": TestPoint(quantity="smoke_alarm"), "s2.smoke": TestPoint(quantity="smoke_alarm"),
    "h.heat": TestPoint(quantity="heat_alarm")})


def step(point: str, rule: str, at_s: float, audience: str, *, again: bool = False) -> AlarmTransition:
    key = AlarmKey(rule, point)
    onset = T0 + 1_000_000
    raised = AlarmState.RAISED
    return AlarmTransition(
        alarm_id("city/district/street/site", key, onset), key, raised, raised if again else AlarmState.PENDING,
        Hazard.FIRE, Severity.CRITICAL, T0 + round(at_s * 1e6), onset, "z1", point.partition(".")[0], (point,),
        latched=True, audience=audience)


class Desk:
    def __init__(self) -> None:
        self.book = IncidentBook(INVENTORY, {"fire.smoke": Text("Smoke", "烟")})

    def take(self, one: AlarmTransition) -> tuple[IncidentChange, ...]:
        return self.book.apply(one, one.at_us)

    @property
    def view(self) -> IncidentView:
        (incident,) = self.book.open_incidents()
        return self.book.view(incident.id)


def test_smoke_of_two_detectors_is_the_watchers_and_proves_nothing() -> None:
    desk = Desk()
    desk.take(step("s1.smoke", "fire.smoke", 1, "permit:P1"))
    desk.take(step("s2.smoke", "fire.smoke", 2, "permit:P1"))
    assert desk.view.audience == "permit:P1"
    assert desk.view.verification is Verification.NONE and not desk.view.in_dispatch_queue


def test_heat_beside_it_makes_it_everybodys() -> None:
    desk = Desk()
    desk.take(step("s1.smoke", "fire.smoke", 1, "permit:P1"))
    changes = desk.take(step("h.heat", "fire.heat_alarm", 5, ""))
    assert [change.notify for change in changes if change.what == "permit_over"] == [True]
    assert desk.view.audience == ""


def test_the_end_of_the_work_tells_all_and_asks_for_a_new_answer() -> None:
    desk = Desk()
    desk.take(step("s1.smoke", "fire.smoke", 1, "permit:P1"))
    desk.book.act(desk.view.id, IncidentAction.ACKNOWLEDGE, who="Zhao", why="", request="r1", at_us=T0 + 3_000_000)
    assert desk.view.acknowledged_by == "Zhao"
    changes = desk.take(step("s1.smoke", "fire.smoke", 60, "", again=True))
    assert [(change.what, change.notify) for change in changes] == [("permit_over", True)]
    assert desk.view.audience == "" and desk.view.acknowledged_by == ""
    assert desk.take(step("s1.smoke", "fire.smoke", 60, "", again=True)) == ()


def test_unanswered_it_enters_the_dispatch_queue_as_ever() -> None:
    desk = Desk()
    desk.take(step("s1.smoke", "fire.smoke", 1, "permit:P1"))
    desk.book.tick(T0 + 119_000_000)
    assert not desk.view.in_dispatch_queue
    changes = desk.book.tick(T0 + 122_000_000)
    assert [change.what for change in changes] == ["queued"]
    assert desk.view.in_dispatch_queue and desk.view.audience == ""


def test_it_survives_a_checkpoint() -> None:
    desk = Desk()
    desk.take(step("s1.smoke", "fire.smoke", 1, "permit:P1"))
    again = Desk()
    again.book.resume(desk.book.checkpoint())
    assert again.view == desk.view
    assert msgspec.json.decode(msgspec.json.encode(again.view), type=IncidentView).audience == "permit:P1"
