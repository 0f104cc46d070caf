"""What a tester does to a running world: every deed, every refusal, every kind of fault by hand."""

from __future__ import annotations

import pytest

from device_model.errors import ConfigError
from device_model.library import shipped_profiles
from firmware_sim.controls import SimControls
from firmware_sim.faults import Fault, FaultKind
from firmware_sim.modbus_device import Framing, Request
from firmware_sim.scenario import Event, Scenario, SimDevice
from firmware_sim.scenario_lines import LineKind, SimLine
from firmware_sim.world import SimWorld
from firmware_sim.world_names import KNOBS
from firmware_sim.world_plan import (
    ActuatorPlan,
    CircuitPlan,
    DoorPlan,
    PipePlan,
    RiverPlan,
    RoomPlan,
    SourceKind,
    SourcePlan,
    TankPlan,
    WorldPlan,
)

PROFILES = shipped_profiles()
WORLD = WorldPlan(
    rooms=(RoomPlan("kitchen", 10.0), RoomPlan("hall", 12.0)), doors=(DoorPlan("door", ("kitchen", "hall")),),
    sources=(SourcePlan("tap", SourceKind.WATER, "kitchen", start_s=1e9, l_per_s=0.1),),
    tanks=(TankPlan("roof", 6.0, 2.5, 1.0),), pipes=(PipePlan("main", 350.0),),
    rivers=(RiverPlan("canal", 5000.0, 2.0),),
    circuits=(CircuitPlan("socket"),), actuators=(ActuatorPlan("valve"),))


def controls(*events: Event) -> SimControls:
    return SimControls(SimWorld(Scenario(
        "house", (SimLine("bus", LineKind.MODBUS_TCP), SimLine("air", LineKind.MQTT)),
        (SimDevice("duct", "calectro-ug3", "bus", 1), SimDevice("hall", "zigbee2mqtt-smoke", "air", latching=False),
         SimDevice("meter", "sdm120", "bus", 2)), world=WORLD, events=events), PROFILES, {}), ("cam-1",))


def test_actions_begin_and_end_and_are_told_once() -> None:
    it = controls()
    assert it.device("hall").actions == {"alarm": False, "battery": False, "tamper": False}
    for action in ("alarm", "battery", "tamper"):
        it.act("hall", action, True)
        assert it.device("hall").actions[action] is True
    truths = it.world.advance(0.5)
    assert {(t.point, t.value) for t in truths} == {("smoke", True), ("battery", 9.0), ("tamper", True)}
    assert it.devices("alarm").total == 1
    for action in ("alarm", "battery", "tamper"):
        it.act("hall", action, False)
    assert set(it.device("hall").actions.values()) == {False} and it.devices().rows[1].state == "normal"


def test_a_head_that_is_taken_out_is_tamper_and_reset_ends_a_latch() -> None:
    it = controls()
    it.act("duct", "tamper", True)
    assert it.world.devices["duct"].shown["head"] is False
    it.act("duct", "alarm", True)
    it.press("duct", "reset")
    it.world.advance(0.5)
    assert it.device("duct").actions["alarm"] is False


def test_after_the_button_the_detector_reads_the_world_again() -> None:
    world = SimWorld(Scenario(
        "kitchen", (SimLine("bus", LineKind.MODBUS_TCP),),
        (SimDevice("duct", "calectro-ug3", "bus", 1, place="kitchen"),),
        world=WorldPlan(rooms=(RoomPlan("kitchen", 10.0),), sources=(
            SourcePlan("pan", SourceKind.FIRE, "kitchen", start_s=1e9, peak_kw=300.0),))), PROFILES, {})
    it = SimControls(world)
    it.act("duct", "alarm", True)
    it.act("duct", "alarm", False)
    it.press("duct", "reset")
    world.advance(5.0)
    assert world.devices["duct"].shown["smoke"] is False
    it.turn("pan.on", 1.0)
    world.advance(120.0)
    assert world.devices["duct"].shown["smoke"] is True


def test_a_person_takes_a_point_over_from_the_timeline() -> None:
    it = controls(Event(1.0, {"hall.smoke": True}))
    it.world.advance(2.0)
    it.set("hall.smoke", "off")
    it.world.advance(3.0)
    assert it.world.devices["hall"].shown["smoke"] is False


@pytest.mark.parametrize(("deed", "words"), [
    (lambda it: it.set("nobody.smoke", True), "no device 'nobody'"),
    (lambda it: it.set("hall.height", 1), "no point 'height'"),
    (lambda it: it.set("hall.smoke", "perhaps"), "on or off"),
    (lambda it: it.set("meter.voltage", "much"), "a number in V"),
    (lambda it: it.press("hall", "lick"), "no button 'lick'"),
    (lambda it: it.act("meter", "alarm", True), "has no alarm"),
    (lambda it: it.act("meter", "dance", True), "no action 'dance'"),
    (lambda it: it.turn("moon.phase", 1.0), "no knob 'moon.phase'"),
    (lambda it: it.strike(Fault(FaultKind.DROP, "nowhere")), "'nowhere' is none"),
    (lambda it: it.strike(Fault(FaultKind.STUCK, "meter.nothing")), "no point 'nothing'"),
    (lambda it: it.strike(Fault(FaultKind.HALF_OPEN, "meter")), "strikes a line"),
    (lambda it: it.strike(Fault(FaultKind.DROP, "bus", chance=2.0)), "chance 2"),
    (lambda it: it.end(7, 0.0), "no fault 7"),
    (lambda it: it.device("nobody"), "no device"),
])
def test_what_cannot_be_is_refused_with_a_remedy(deed, words: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        deed(controls())
    assert words in str(refusal.value) and refusal.value.findings[0].remedy


TARGETS = {"point": "meter.voltage", "camera": "cam-1", "actuator": "valve", "device": "meter", "line": "bus",
           "line device": "meter"}


@pytest.mark.parametrize("kind", list(FaultKind))
def test_every_fault_is_struck_by_hand_lasts_and_is_ended(kind: FaultKind) -> None:
    it = controls()
    it.world.advance(5.0)
    number = it.strike(Fault(kind, TARGETS[it.targets()[kind]], 5.0, 0.0, amount=3.0))
    begun = it.world.advance(6.0)
    assert [(t.kind, t.value) for t in begun if t.what == "fault"] == [(kind.value, True)]
    assert [(f.kind, f.active) for f in it.faults(6.0)] == [(kind.value, True)]
    it.end(number, 6.0)
    ended = it.world.advance(20.0)
    assert [(t.kind, t.value) for t in ended if t.what == "fault"] == [(kind.value, False)]
    assert it.faults(20.0) == ()
    # All is as before: the meter answers and shows what is true.
    reply = it.world.exchange("bus", Request(2, bytes.fromhex("0400000002")), Framing.TCP, 20.0)
    assert len(reply) == 1 and reply[0].octets.endswith(bytes.fromhex("43660000")) and reply[0].delay_s == 0.0
    assert it.world.camera_state("cam-1", 20.0) == "normal"


def test_a_fault_of_a_length_ends_by_itself_and_the_seed_decides_its_chances() -> None:
    def replies(seed: int) -> list[bool]:
        it = controls()
        it.world.faults["bus"]._noise = type(it.world.faults["bus"]._noise)(seed, "line", "bus")
        it.strike(Fault(FaultKind.DROP, "bus", 0.0, 10.0, chance=0.5))
        request = Request(2, bytes.fromhex("0400000002"))
        return [bool(it.world.exchange("bus", request, Framing.TCP, at / 4)) for at in range(60)]

    first = replies(1)
    assert first == replies(1) != replies(2)
    assert not all(first[:40]) and all(first[40:])


def test_every_knob_says_where_it_stands_and_turns() -> None:
    it = controls()
    assert {knob.noun for knob in it.knobs()} == set(KNOBS)
    for knob in it.knobs():
        wanted = min(knob.high, max(knob.low, 1.0))
        it.turn(knob.name, wanted)
        now = next(after for after in it.knobs() if after.name == knob.name)
        if knob.name not in ("valve.open", "tap.on"):  # travels; burns only in its time
            assert now.value == pytest.approx(wanted), knob.name
    assert all(unit for _, unit in it.readings().values())


def test_the_list_is_paged_and_searched() -> None:
    many = SimControls(SimWorld(Scenario(
        "many", (SimLine("air", LineKind.MQTT),),
        tuple(SimDevice(f"smoke-{n}", "zigbee2mqtt-smoke", "air") for n in range(300))), PROFILES, {}))
    assert (many.devices().total, len(many.devices(count=1000).rows)) == (300, 100)
    assert [row.id for row in many.devices(first=290, count=50).rows] == [f"smoke-{n}" for n in range(290, 300)]
    assert many.devices("smoke-29").total == 11 and many.devices("zigbee2mqtt nothing").total == 0
    assert many.devices("nothing", first=500).rows == ()
