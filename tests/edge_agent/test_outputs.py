"""Outputs under the laws of safety: who may switch what, when, and what is said about it."""

from __future__ import annotations

import pytest

from device_model.alarm import AlarmState, Hazard
from device_model.errors import LawRefusal
from device_model.impairment import ImpairmentKind, ImpairmentRegister
from edge_agent.image import ProcessImage
from edge_agent.outputs import OutputBook, OutputMemory


def book_of(kit):
    inventory = kit.inventory()
    register = ImpairmentRegister()
    return OutputBook(inventory, register), register, ProcessImage(inventory, kit.at(0))


def states(book):
    return {name: book.state(name).on for name in book.names()}


def test_a_raised_fire_drives_sounder_and_trip_in_the_same_step(kit):
    book, _, _ = book_of(kit)
    step = book.transitions([kit.transition()], kit.at(0))
    assert [(d.output, d.point, d.value) for d in step.drives] == [("bell", "bell", True), ("cut", "cut", True)]
    assert [(r.output, r.on, r.proof) for r in step.records] == [
        ("bell", True, "unproved"), ("cut", True, "unproved")]


@pytest.mark.parametrize("flags", [{"test": True}, {"drill": True}, {"late": True}, {"hazard": Hazard.PROOF},
                                   {"state": AlarmState.PENDING}, {"hazard": Hazard.FAULT}])
def test_what_is_not_a_live_alarm_drives_nothing(kit, flags):
    book, _, _ = book_of(kit)
    assert book.transitions([kit.transition(**flags)], kit.at(0)).drives == ()


def test_an_output_acts_in_its_zones_only(kit):
    book, _, _ = book_of(kit)
    step = book.transitions([kit.transition(point="smoke-2.smoke", zone="hall")], kit.at(0))
    assert [d.output for d in step.drives] == ["bell"]


def test_a_valve_that_is_told_open_or_shut_is_tripped_by_writing_shut(kit):
    book, register, _ = book_of(kit)
    step = book.transitions([kit.transition(hazard=Hazard.GAS_HIGH, rule="gas")], kit.at(0))
    assert [(d.output, d.on, d.value) for d in step.drives] == [("gas", True, False)]
    # No independent input: nobody knows whether it acted, and that is an impairment.
    assert register.stands(ImpairmentKind.OUTPUT_UNPROVED, "gas")


def test_silence_holds_for_its_zone_and_a_new_zone_sounds_again(kit):
    book, _, _ = book_of(kit)
    book.transitions([kit.transition()], kit.at(0))
    assert [d.value for d in book.silence("bell", "Li Wei", kit.at(1)).drives] == [False]
    again = kit.transition(point="smoke-3.smoke")  # the same zone and hazard: stays silent
    assert book.transitions([again], kit.at(2)).drives == ()
    other = kit.transition(point="smoke-2.smoke", zone="hall")
    assert [(d.output, d.value) for d in book.transitions([other], kit.at(3)).drives] == [("bell", True)]


def test_another_hazard_in_a_silenced_zone_sounds_again(kit):
    book, _, _ = book_of(kit)
    book.transitions([kit.transition()], kit.at(0))
    book.silence("all", "Li Wei", kit.at(1))
    pressed = kit.transition(point="button-1.pressed", hazard=Hazard.CALL_POINT)
    assert [d.output for d in book.transitions([pressed], kit.at(2)).drives] == ["bell"]


def test_a_zone_whose_alarms_are_over_is_no_longer_silenced(kit):
    book, _, _ = book_of(kit)
    book.transitions([kit.transition()], kit.at(0))
    book.silence("bell", "Li Wei", kit.at(1))
    book.transitions([kit.transition(state=AlarmState.CLEARED)], kit.at(2))
    fresh = kit.transition(onset_us=kit.start_us + 60_000_000)
    assert [d.output for d in book.transitions([fresh], kit.at(60)).drives] == ["bell"]


def test_a_sounder_stops_when_nothing_demands_it_a_trip_does_not(kit):
    book, _, _ = book_of(kit)
    book.transitions([kit.transition()], kit.at(0))
    step = book.transitions([kit.transition(state=AlarmState.CLEARED)], kit.at(5))
    assert [(d.output, d.on) for d in step.drives] == [("bell", False)]
    assert states(book)["cut"] is True


def test_a_held_alarm_keeps_the_sounder_on(kit):
    book, _, _ = book_of(kit)
    book.transitions([kit.transition()], kit.at(0))
    assert book.transitions([kit.transition(state=AlarmState.HELD)], kit.at(5)).drives == ()
    assert states(book)["bell"] is True


def test_a_trip_is_reset_only_when_no_alarm_demands_it(kit):
    book, _, _ = book_of(kit)
    book.transitions([kit.transition()], kit.at(0))
    with pytest.raises(LawRefusal) as refusal:
        book.reset("cut", "Li Wei", kit.at(1))
    assert refusal.value.law == 5
    book.transitions([kit.transition(state=AlarmState.CLEARED)], kit.at(2))
    assert [(d.output, d.on, d.cause) for d in book.reset("cut", "Li Wei", kit.at(3)).drives] == [
        ("cut", False, "reset by Li Wei")]


@pytest.mark.parametrize(("target", "error"), [("cut", LawRefusal), ("nothing", LookupError)])
def test_what_cannot_be_silenced_is_refused(kit, target, error):
    book, _, _ = book_of(kit)
    book.transitions([kit.transition()], kit.at(0))
    with pytest.raises(error):
        book.silence(target, "Li Wei", kit.at(1))
    assert states(book)["cut"] is True


def proof_input(kit, image, value, when):
    image.admit([kit.reading("io-1.limit", value, when)], ("io-1.limit",), when)


def test_an_independent_input_in_time_is_proof(kit):
    book, register, image = book_of(kit)
    book.transitions([kit.transition()], kit.at(0))
    proof_input(kit, image, True, kit.at(2))
    step = book.check(image, kit.at(2))
    assert [(r.output, r.proof) for r in step.records] == [("cut", "proved")]
    assert book.check(image, kit.at(30)).records == ()
    assert not register.present()


def test_an_old_agreement_is_no_proof(kit):
    book, _, image = book_of(kit)
    proof_input(kit, image, True, kit.at(-1))
    book.transitions([kit.transition()], kit.at(0))
    assert book.check(image, kit.at(1)).records == ()


def test_without_proof_in_time_it_failed_and_stands_as_impairment_until_proved(kit):
    book, register, image = book_of(kit)
    book.transitions([kit.transition()], kit.at(0))
    proof_input(kit, image, False, kit.at(1))
    assert book.check(image, kit.at(4.9)).records == ()
    step = book.check(image, kit.at(5))
    assert [(r.output, r.proof) for r in step.records] == [("cut", "failed")]
    assert register.stands(ImpairmentKind.OUTPUT_UNPROVED, "cut")
    assert book.due_us() is None
    proof_input(kit, image, True, kit.at(20))
    assert [r.proof for r in book.check(image, kit.at(20)).records] == ["proved"]
    assert not register.present()


def test_a_proved_output_that_no_longer_agrees_is_said(kit):
    book, register, image = book_of(kit)
    book.transitions([kit.transition()], kit.at(0))
    proof_input(kit, image, True, kit.at(1))
    book.check(image, kit.at(1))
    proof_input(kit, image, False, kit.at(9))
    assert [r.proof for r in book.check(image, kit.at(9)).records] == ["failed"]
    assert register.stands(ImpairmentKind.OUTPUT_UNPROVED, "cut")


def test_a_write_that_fails_is_tried_each_second_and_said_once(kit):
    book, register, image = book_of(kit)
    book.transitions([kit.transition(hazard=Hazard.WATER, rule="leak")], kit.at(0))
    assert [r.proof for r in book.write_failed("bell", True, "no answer", kit.at(0.5)).records] == ["failed"]
    assert [d.output for d in book.check(image, kit.at(1.5)).drives] == ["bell"]
    assert book.write_failed("bell", True, "no answer", kit.at(1.6)).records == ()
    assert [d.output for d in book.check(image, kit.at(2.6)).drives] == ["bell"]
    assert [r.proof for r in book.written("bell", True, kit.at(2.7)).records] == ["unproved"]
    assert not register.present() and book.due_us() is None


def test_a_device_that_comes_back_is_told_again(kit):
    book, _, _ = book_of(kit)
    book.transitions([kit.transition()], kit.at(0))
    assert [d.output for d in book.device_back("io-1", kit.at(60)).drives] == ["bell", "cut"]
    assert book.device_back("smoke-1", kit.at(60)).drives == ()


def test_by_hand_on_is_allowed_off_only_what_hands_switched_on(kit):
    book, _, image = book_of(kit)
    assert [d.on for d in book.manual("bell", True, "Li Wei", 0, kit.at(0)).drives] == [True]
    with pytest.raises(LawRefusal):
        book.manual("bell", False, "Li Wei", 0, kit.at(1))  # rate limit
    assert [d.on for d in book.manual("bell", False, "Li Wei", 0, kit.at(10)).drives] == [False]
    book.transitions([kit.transition()], kit.at(20))
    with pytest.raises(LawRefusal) as refusal:
        book.manual("bell", False, "Li Wei", 0, kit.at(30))
    assert refusal.value.law == 3
    assert states(book)["bell"] is True
    assert image.latest("io-1.bell") is None


def test_manual_switching_of_a_sounder_ends_by_itself(kit):
    book, _, image = book_of(kit)
    book.manual("bell", True, "Li Wei", kit.at(60).wall_us, kit.at(0))
    assert book.check(image, kit.at(59)).drives == ()
    assert [(d.output, d.on) for d in book.check(image, kit.at(60)).drives] == [("bell", False)]
    assert book.due_us() is None


def after_restart(kit, memory, away_us, seconds=0.0):
    book, register, image = book_of(kit)
    return book, book.resume(memory, away_us, kit.at(seconds)), image, register


@pytest.mark.parametrize(("away_s", "drives"), [(5, []), (59, []), (61, ["bell", "cut"]), (None, ["bell", "cut"])])
def test_a_restart_within_the_hold_off_changes_nothing(kit, away_s, drives):
    old, _, _ = book_of(kit)
    old.transitions([kit.transition()], kit.at(0))
    old.written("bell", True, kit.at(0))
    old.written("cut", True, kit.at(0))
    away_us = None if away_s is None else away_s * 1_000_000
    book, step, _, _ = after_restart(kit, old.memory(), away_us)
    assert [d.output for d in step.drives] == drives and all(d.on for d in step.drives)
    assert states(book) == {"bell": True, "cut": True, "gas": False}


def test_a_write_that_nobody_confirmed_before_the_kill_is_repeated(kit):
    old, _, _ = book_of(kit)
    old.transitions([kit.transition()], kit.at(0))
    old.written("bell", True, kit.at(0))
    _, step, _, _ = after_restart(kit, old.memory(), 1_000_000)
    assert [(d.output, d.on) for d in step.drives] == [("cut", True)]


def test_no_restart_releases_a_trip_even_when_the_memory_is_lost(kit):
    book, step, image, _ = after_restart(kit, {}, None)
    assert step.drives == ()
    assert book.check(image, kit.at(61)).drives == ()  # `gas` says on_restart off: a trip stays as it is
    assert book.due_us() is None


def test_a_tripped_output_is_tripped_after_any_restart(kit):
    memory = {"cut": OutputMemory(on=True, tripped=True, cause="x", proof="proved")}
    book, _, image, _ = after_restart(kit, memory, 3_600_000_000)
    book.check(image, kit.at(1000))
    assert states(book)["cut"] is True
