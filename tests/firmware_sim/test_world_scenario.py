"""A scenario's world end to end: devices read it, outputs move it, mistakes are named with their line."""

from __future__ import annotations

import pytest

from device_model.errors import ConfigError
from device_model.library import shipped_profiles
from firmware_sim.modbus_device import Framing, Request
from firmware_sim.scenario_file import parse_scenario
from firmware_sim.surroundings import Surroundings
from firmware_sim.world import SimWorld, Truth
from firmware_sim.world_plan import ActuatorPlan, RoomPlan, SourceKind, SourcePlan, WorldPlan

PROFILES = shipped_profiles()
BASE = """scenario: w
lines: [{id: bus, kind: modbus_tcp}, {id: air, kind: mqtt}]
world:
  rooms:
    - {id: kitchen, area_m2: 10}
    - {id: hall, area_m2: 15}
  doors:
    - {id: door, between: [kitchen, hall]}
  sources:
    - {id: pan, kind: fire, at: kitchen, start_s: 20, peak_kw: 300, fuel: oil, fuel_mj: 60, fire: kitchen-fire}
    - {id: leak, kind: gas, at: hall, start_s: 1, l_per_min: 60, valve: gas-valve}
  tanks:
    - {id: roof, area_m2: 1, height_m: 2, level_m: 1.5, inflow_l_per_s: 2, valve: fill}
  actuators:
    - {id: gas-valve, point: io.output_1, opens_when: false, travel_s: 5}
    - {id: fill, travel_s: 2}
devices:
  - {id: smoke, profile: calectro-ug3, line: bus, unit: 1, place: kitchen}
  - {id: hall-smoke, profile: zigbee2mqtt-smoke, line: air, place: hall}
  - {id: room, profile: xy-md04, line: bus, unit: 2, place: kitchen, senses: {temperature: {threshold: 57}}}
  - {id: level, profile: qdy30a, line: bus, unit: 3, place: roof}
  - {id: io, profile: wb-mr3, line: bus, unit: 4, senses: {input_1: {reads: gas-valve.closed}}}
"""


def world(text: str) -> SimWorld:
    return SimWorld(parse_scenario(text, "w.yaml", PROFILES), PROFILES, {})


def write_coil(one: SimWorld, unit: int, address: int, on: bool, at_s: float) -> bytes:
    pdu = bytes((5,)) + address.to_bytes(2, "big") + (b"\xff\x00" if on else b"\x00\x00")
    return one.exchange("bus", Request(unit, pdu, 1), Framing.TCP, at_s)[0].octets


def test_a_fire_reaches_the_detectors_with_its_name_and_the_next_room_later() -> None:
    truths = world(BASE).advance(200.0)
    alarms = [(t.device, t.point, t.fire) for t in truths
              if t.what == "stimulus" and (t.value is True or t.kind == "over")]
    assert alarms[:2] == [("smoke", "smoke", "kitchen-fire"), ("hall-smoke", "smoke", "kitchen-fire")]
    assert ("room", "temperature", "kitchen-fire") in alarms
    assert Truth("world", 20.25, "pan", "on", True, kind="kitchen-fire") in truths


def test_an_output_closes_the_valve_and_the_limit_switch_proves_it() -> None:
    one = world(BASE)
    one.advance(100.0)
    before = one.surroundings.outside.taken[4]
    assert write_coil(one, 4, 0, True, 100.0)[7:8] == b"\x05"
    truths = one.advance(110.0)
    shut = next(t.at_s for t in truths if (t.device, t.point, t.value) == ("gas-valve", "closed", True))
    proof = next(t.at_s for t in truths if (t.device, t.point, t.value) == ("io", "input_1", True))
    assert 105.0 <= shut <= 105.5 and shut <= proof <= shut + 0.5
    assert one.surroundings.sources["leak"].valve_share == 0.0 and before >= 0.0


@pytest.mark.parametrize("extra", [
    "faults: [{kind: jammed, target: gas-valve}]", "devices-bug", "faults: [{kind: stuck, target: io.input_1}]",
])
def test_a_valve_that_does_not_obey_gives_no_proof(extra: str) -> None:
    deaf = BASE.replace("unit: 4, senses", "unit: 4, bugs: [deaf_write], senses")
    one = world(deaf if extra == "devices-bug" else BASE + extra)
    one.advance(50.0)
    write_coil(one, 4, 0, True, 50.0)
    one.advance(70.0)
    assert one.devices["io"].shown["output_1"] is True  # the echo says yes
    assert one.devices["io"].shown["input_1"] is False  # the proof says no


def test_events_turn_the_world_and_set_takes_a_point_over() -> None:
    one = world(BASE + """events:
  - {at_s: 10, world: {fill.open: false, pan.on: false, outdoor.temperature: -10}}
  - {at_s: 20, set: {level.level: 0.5}}
""")
    truths = one.advance(60.0)
    assert [(t.point, t.value) for t in truths if t.device == "fill"] == [("open", False), ("closed", True)]
    assert one.surroundings.read("roof.level") == pytest.approx(1.522, abs=0.002)
    assert one.devices["level"].shown["level"] == pytest.approx(0.5)
    assert one.surroundings.read("pan.on") == 0.0


def test_same_seed_same_world_however_the_caller_steps() -> None:
    one, other = world(BASE), world(BASE)
    fine = [truth for n in range(1, 481) for truth in one.advance(n * 0.25)]
    assert fine == [truth for n in range(1, 41) for truth in other.advance(n * 3.0)]
    assert one.surroundings.readings() == other.surroundings.readings()


@pytest.mark.parametrize(("wrong", "right", "line", "what"), [
    ("at: kitchen", "at: kitchn", 10, "no room 'kitchn' in the world"),
    ("peak_kw: 300, ", "", 10, "lacks peak_kw"),
    ("peak_kw: 300", "peak_kw: 300, people: 3", 10, "people means nothing to a source of kind fire"),
    ("between: [kitchen, hall]", "between: [kitchen]", 8, "between two rooms"),
    ("valve: gas-valve", "valve: gas", 11, "no actuator 'gas' in the world"),
    ("area_m2: 10", "area_m2: 0", 5, "area_m2 must be more than 0"),
    ("inflow_l_per_s: 2", "inflow_l_per_s: -2", 13, "must not be negative"),
    ("point: io.output_1", "point: io.output_9", 15, "io has no point 'output_9'"),
    ("point: io.output_1", "point: room.temperature", 15, "is no switch"),
    ("{id: fill", "{id: roof", 16, "the id 'roof' stands twice in the world"),
    ("place: kitchen}", "place: attic}", 18, "no place 'attic' in the world"),
    ("unit: 3, place: roof", "unit: 3, place: hall", 21, "reads anything of a room"),
    ("reads: gas-valve.closed", "reads: gas-valve.shut", 22, "gives no 'shut'"),
    ("{temperature: {threshold", "{temperature: {reads: co, threshold", 20, "is in [ppm], temperature wants Cel"),
    ("kind: gas", "kind: gass", 11, "gass"),
])
def test_every_mistake_in_a_world_is_named_with_its_line(wrong: str, right: str, line: int, what: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_scenario(BASE.replace(wrong, right, 1), "w.yaml", PROFILES)
    found = [(finding.line, finding.what) for finding in error.value.findings if finding.remedy]
    assert any(at == line and what in said for at, said in found), found


@pytest.mark.parametrize(("extra", "what"), [
    ("events: [{at_s: 1, world: {door.shut: true}}]", "'shut' of door cannot be turned"),
    ("events: [{at_s: 1, world: {attic.people: 1}}]", "no thing 'attic'"),
    ("events: [{at_s: 1, world: {door.open: 7}}]", "takes a number from 0 to 1"),
    ("faults: [{kind: jammed, target: door}]", "no actuator 'door'"),
    ("faults: [{kind: brown_out, target: bus}]", "no device 'bus'"),
    ("faults: [{kind: broker_loss, target: smoke}]", "no line 'smoke'"),
])
def test_every_mistake_in_events_and_faults_is_named(extra: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        parse_scenario(BASE + extra, "w.yaml", PROFILES)


# ---- faults, bugs and age ------------------------------------------------------------------------------------


def reply(one: SimWorld, at_s: float, unit: int = 2) -> list[bytes]:
    one.advance(at_s)
    request = Request(unit, bytes.fromhex("0400010002"), 1)
    return [out.octets for out in one.exchange("bus", request, Framing.TCP, at_s)]


def test_a_short_a_brown_out_and_an_expired_certificate_silence() -> None:
    one = world(BASE + """faults:
  - {kind: line_short, target: bus, from_s: 10, for_s: 10}
  - {kind: broker_loss, target: air, from_s: 10, for_s: 10}
  - {kind: brown_out, target: room, from_s: 30, for_s: 60, delay_s: 6}
  - {kind: clock_wrong, target: hall-smoke, amount: 3600}
  - {kind: camera_blind, target: cam-1, from_s: 5, for_s: 5}
""")
    assert reply(one, 9.0) and not reply(one, 15.0) and reply(one, 21.0)
    answered = [bool(reply(one, at_s)) for at_s in (31.0, 33.0, 35.5, 36.5, 38.0, 41.5, 95.0)]
    assert answered == [False, False, True, False, False, True, True]
    assert one.wall_us("hall-smoke", 1.0, 0) == 3_600_000_000 and one.wall_us("room", 1.0, 7) == 7
    assert [one.camera_state("cam-1", at_s) for at_s in (4.0, 5.0, 10.0)] == ["normal", "blind", "normal"]


def test_no_message_leaves_while_the_broker_is_lost() -> None:
    one = world(BASE + "faults: [{kind: broker_loss, target: air, from_s: 10, for_s: 100}]")
    counts = []
    for at_s in range(0, 160, 5):
        one.advance(float(at_s))
        counts.append(len(list(one.publishes("air", float(at_s), at_s * 1_000_000))))
    assert sum(counts[:2]) > 0 and sum(counts[2:22]) == 0 and sum(counts[22:]) > 0


def test_bugs_do_what_their_names_say() -> None:
    def buggy(bug: str) -> SimWorld:
        return world(BASE.replace("unit: 2, place: kitchen", f"unit: 2, bugs: [{bug}], place: outdoor"))

    right = reply(buggy("year_2000"), 1.0)[0][9:]
    assert len(right) == 4
    assert reply(buggy("off_by_one_address"), 1.0)[0][7] in (0x04, 0x84)
    assert reply(buggy("off_by_one_address"), 1.0)[0][9:] != right
    assert reply(buggy("byte_swapped"), 1.0)[0][9:] == bytes((right[1], right[0], right[3], right[2]))
    assert reply(buggy("zero_after_boot"), 1.0)[0][9:] == bytes(4)
    late = buggy("late_reply")
    delays = []
    for _ in range(10):
        request = Request(2, bytes.fromhex("0400010002"), 1)
        delays += [out.delay_s for out in late.exchange("bus", request, Framing.TCP, 0)]
    assert [delay > 1.0 for delay in delays] == [False] * 4 + [True] + [False] * 4 + [True]
    cut = buggy("truncated_reply")
    assert [len(reply(cut, 0.0)[0]) for _ in range(7)] == [13] * 6 + [11]
    stuck = buggy("sticky_exception")
    assert reply(stuck, 0.0)[0][7] == 4
    stuck.exchange("bus", Request(2, bytes.fromhex("04ffff0001"), 1), Framing.TCP, 0.0)
    assert reply(stuck, 0.0)[0][7] == 0x84
    stuck.devices["room"].power(on=False)
    stuck.devices["room"].power(on=True)
    assert reply(stuck, 10.0)[0][7] == 4


def test_age_empties_the_battery_drifts_the_sensor_and_ends() -> None:
    one = world(BASE.replace("place: hall}", "place: hall, ageing: {battery_life_h: 100, hours_per_s: 1}}")
                .replace("place: roof}", "place: roof, ageing: {age_h: 8766, drift_per_year: {level: 0.1}}}"))
    shown = one.devices["hall-smoke"].shown
    seen = []
    for at_s in range(0, 120, 10):
        one.advance(float(at_s))
        seen.append((shown["battery"], one.devices["hall-smoke"].on))
    percents = [percent for percent, _ in seen]
    assert percents[0] == 100.0 and percents == sorted(percents, key=float, reverse=True) and percents[-1] == 0.0
    assert seen[0][1] is True and seen[-1][1] is False
    true_level = one.surroundings.read("roof.level")
    level = one.devices["level"].shown["level"]
    assert isinstance(level, float) and level == pytest.approx(100.0 * true_level + 0.1, abs=0.05)  # in cm


def test_a_charger_that_is_cut_off_stops_warming_the_battery() -> None:
    plan = WorldPlan(
        rooms=(RoomPlan("shed", 10.0),), actuators=(ActuatorPlan("contactor", open=True),),
        sources=(SourcePlan("bike", SourceKind.BATTERY, "shed", energy_wh=500.0, heater_w=10.0, valve="contactor"),))
    hot, cut = Surroundings(plan), Surroundings(plan)
    for at_s in range(1, 201):
        hot.step(float(at_s), 1.0)
        if at_s == 100:
            cut.turn("contactor.open", 0.0)
        cut.step(float(at_s), 1.0)
    assert hot.read("bike.temperature") > cut.read("bike.temperature") + 10.0
