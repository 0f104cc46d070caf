"""The air of the simulated world: what goes in stays or leaves, nothing is NaN, coarse steps agree with fine ones."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.room import AIR, CO, DUST, FUEL, SMOKE, SPECIES, VAPOUR, volume_of
from firmware_sim.surroundings import Surroundings
from firmware_sim.world_plan import (
    ActuatorPlan,
    DoorPlan,
    Fuel,
    Gas,
    Growth,
    RoomPlan,
    SourceKind,
    SourcePlan,
    WorldPlan,
)

ROOMS = (RoomPlan("kitchen", 12.0), RoomPlan("hall", 20.0))
DOOR = (DoorPlan("door", ("kitchen", "hall")),)


def run(world: Surroundings, seconds: float, step_s: float = 0.25, begin_s: float = 0.0) -> Surroundings:
    for number in range(1, round(seconds / step_s) + 1):
        world.step(begin_s + number * step_s, step_s)
    return world


def total(world: Surroundings, species: int) -> float:
    """What is in the rooms and what has left them."""
    inside = sum(layer[species] for room in world.rooms.values() for layer in (room.upper, room.lower))
    return inside + world.outside.taken[species]


sources = st.builds(
    SourcePlan, id=st.just("s"), at=st.sampled_from(["kitchen", "hall"]), start_s=st.floats(0, 30),
    kind=st.sampled_from([SourceKind.FIRE, SourceKind.SMOULDER, SourceKind.GAS, SourceKind.CO, SourceKind.STEAM,
                          SourceKind.BATTERY, SourceKind.DUST, SourceKind.HEAT, SourceKind.PEOPLE]),
    growth=st.sampled_from(Growth), peak_kw=st.floats(1, 20_000), fuel=st.sampled_from(Fuel),
    fuel_mj=st.floats(0, 500),
    g_per_min=st.floats(0, 100), g_per_s=st.floats(0, 50), gas=st.sampled_from(Gas), l_per_min=st.floats(0, 2000),
    energy_wh=st.floats(1, 5000), heater_w=st.floats(0, 2000), kw=st.floats(0, 50), people=st.integers(0, 500),
)


@given(source=sources, open_door=st.booleans(), outdoor=st.booleans(), area=st.floats(2, 2000),
       height=st.floats(2, 12))
@settings(max_examples=40, deadline=None)
def test_nothing_appears_nothing_vanishes_nothing_is_nan(
    source: SourcePlan, open_door: bool, outdoor: bool, area: float, height: float
) -> None:
    doors = (DoorPlan("door", ("kitchen", "outdoor" if outdoor else "hall"), open=open_door),)
    rooms = (RoomPlan("kitchen", area, height, fan="", air_changes_per_h=3.0), RoomPlan("hall", 20.0))
    world = Surroundings(WorldPlan(rooms=rooms, doors=doors, sources=(source,)))
    before = [total(world, species) for species in range(SPECIES)]
    run(world, 120.0)
    after = [total(world, species) for species in range(SPECIES)]
    assert after[AIR] == pytest.approx(before[AIR], rel=1e-9)
    given_off = {SourceKind.CO: CO, SourceKind.DUST: DUST, SourceKind.STEAM: VAPOUR}.get(source.kind)
    if given_off is not None:
        rate = source.g_per_min / 60_000 if given_off == CO else source.g_per_s / 1000
        steps = sum(1 for n in range(1, 481) if n * 0.25 > source.start_s)
        assert after[given_off] - before[given_off] == pytest.approx(rate * steps * 0.25, rel=1e-6, abs=1e-9)
    for room in world.rooms.values():
        assert all(amount >= -1e-9 for layer in (room.upper, room.lower)
                   for index, amount in enumerate(layer) if index != 1)
        # Constant pressure: both layers fill the room. What a step gives stands for one step at most.
        assert volume_of(room.upper) + volume_of(room.lower) == pytest.approx(room.volume, rel=0.05)
        assert 0.0 <= room.interface_m <= room.height
    readings = world.readings()
    assert all(math.isfinite(value) for value in readings.values())
    for name, value in readings.items():
        if name.rpartition(".")[2] in ("smoke", "co", "gas", "oxygen", "dust", "water", "co2"):
            assert value >= -1e-9, name
    assert -80.0 < readings["kitchen.temperature"] < 3000.0


def flaming(step_s: float) -> Surroundings:
    world = Surroundings(WorldPlan(rooms=ROOMS, doors=DOOR, sources=(
        SourcePlan("bin", SourceKind.FIRE, "kitchen", peak_kw=150.0, fuel=Fuel.WOOD, fuel_mj=20.0),
        SourcePlan("leak", SourceKind.GAS, "hall", l_per_min=20.0),
        SourcePlan("people", SourceKind.PEOPLE, "hall", people=5))))
    return run(world, 150.0, step_s)


def test_coarse_steps_agree_with_fine_ones() -> None:
    coarse, fine = flaming(0.25).readings(), flaming(0.025).readings()
    for name in ("kitchen.temperature", "hall.temperature", "kitchen.smoke", "hall.smoke", "kitchen.co", "hall.gas",
                 "kitchen.interface", "hall.co2", "kitchen.oxygen", "hall.humidity"):
        assert coarse[name] == pytest.approx(fine[name], rel=0.03, abs=0.01), name


def test_a_fire_is_seen_first_where_it_burns_and_first_under_the_ceiling() -> None:
    world = Surroundings(WorldPlan(rooms=ROOMS, doors=DOOR, sources=(
        SourcePlan("bin", SourceKind.FIRE, "kitchen", peak_kw=300.0, fuel=Fuel.POLYURETHANE),)))
    onset: dict[str, float] = {}
    hottest = 0.0
    for number in range(1, 481):
        world.step(number * 0.25, 0.25)
        for place, height in (("kitchen", 2.45), ("kitchen", 1.0), ("hall", 2.45)):
            if world.read(f"{place}.smoke", height) > 0.22:
                onset.setdefault(f"{place}@{height}", number * 0.25)
        ceiling, head = world.read("kitchen.temperature", 2.45), world.read("kitchen.temperature", 1.0)
        assert ceiling >= head - 0.5
        assert ceiling >= hottest - 0.5  # while the fire grows the ceiling never cools
        hottest = max(hottest, ceiling)
    assert list(onset) == ["kitchen@2.45", "hall@2.45", "kitchen@1.0"]
    assert onset["kitchen@2.45"] < 40.0


def test_a_door_that_is_shut_keeps_smoke_and_gas() -> None:
    shut = (DoorPlan("door", ("kitchen", "hall"), open=False),)
    world = run(Surroundings(WorldPlan(rooms=ROOMS, doors=shut, sources=(
        SourcePlan("bin", SourceKind.FIRE, "kitchen", peak_kw=100.0),))), 120)
    assert world.read("hall.smoke") == 0.0 and world.read("kitchen.smoke", 2.45) > 1.0


def test_a_starved_fire_goes_out_and_oxygen_stays_above_nothing() -> None:
    closed = (RoomPlan("vault", 6.0, air_changes_per_h=0.0),)
    world = run(Surroundings(WorldPlan(rooms=closed, sources=(
        SourcePlan("bin", SourceKind.FIRE, "vault", growth=Growth.FAST, peak_kw=2000.0),))), 900)
    assert world.read("bin.kw") < 100.0 and 5.0 < world.read("vault.oxygen") < 16.0


def test_gas_follows_the_textbook_curve_and_stays_up_or_down() -> None:
    """Well mixed, c = q / Q (1 - exp(-n t)): the mean of both layers must follow it."""
    for gas, above in ((Gas.METHANE, True), (Gas.PROPANE, False)):
        cellar = RoomPlan("cellar", 20.0, air_changes_per_h=2.0, temperature=15.0)
        world = run(Surroundings(WorldPlan(rooms=(cellar,), sources=(
            SourcePlan("leak", SourceKind.GAS, "cellar", gas=gas, l_per_min=50.0),))), 1800)
        room = world.rooms["cellar"]
        mean = (room.upper[FUEL] + room.lower[FUEL]) / sum(
            layer[AIR] + layer[FUEL] for layer in (room.upper, room.lower))
        textbook = 3.0 / 100.0 * (1.0 - math.exp(-2.0 * 0.5))
        assert mean == pytest.approx(textbook, rel=0.15)
        high, low = world.read("cellar.gas", 2.45), world.read("cellar.gas", 0.2)
        assert (high > low) is above


def test_a_closed_valve_ends_the_leak_and_a_fan_clears_it() -> None:
    world = Surroundings(WorldPlan(
        rooms=(RoomPlan("kitchen", 12.0, fan="fan", fan_m3_per_h=300.0),),
        sources=(SourcePlan("leak", SourceKind.GAS, "kitchen", l_per_min=60.0, valve="valve"),),
        actuators=(ActuatorPlan("valve", travel_s=5.0), ActuatorPlan("fan", open=False))))
    run(world, 600)
    high = world.read("kitchen.gas", 2.3)
    assert high > 10.0
    world.turn("valve.open", False)
    run(world, 6, begin_s=600)
    assert world.read("valve.closed") == 1.0
    shut = total(world, FUEL)
    run(world, 60, begin_s=606)
    assert total(world, FUEL) == pytest.approx(shut)
    world.turn("fan.open", True)
    run(world, 1200, begin_s=666)
    assert world.read("kitchen.gas", 2.3) < 0.2 * high


def test_steam_is_fog_to_a_smoke_detector_and_smoke_is_not_made_of_water() -> None:
    world = run(Surroundings(WorldPlan(rooms=(RoomPlan("bath", 6.0),), sources=(
        SourcePlan("shower", SourceKind.STEAM, "bath", g_per_s=0.7),))), 300)
    assert world.read("bath.smoke", 2.45) > 0.22 and world.read("bath.humidity", 2.45) == 100.0
    assert total(world, SMOKE) == 0.0


def test_the_quintiere_bed_poisons_before_it_flames() -> None:
    """After an hour of smouldering in a closed bedroom CO is beyond 1,000 ppm (Quintiere and others 1982)."""
    world = run(Surroundings(WorldPlan(rooms=(RoomPlan("bedroom", 12.0),), sources=(
        SourcePlan("bed", SourceKind.SMOULDER, "bedroom"),))), 3600, 1.0)
    assert 800 < world.read("bedroom.co", 1.5) < 8000 and world.read("bedroom.temperature", 1.5) < 45.0


def test_a_battery_vents_before_it_runs_away_and_flames_after_it() -> None:
    world = Surroundings(WorldPlan(rooms=ROOMS, sources=(
        SourcePlan("bike", SourceKind.BATTERY, "kitchen", energy_wh=500.0, heater_w=20.0),)))
    stages, co_at, kw_at = [], 0.0, 0.0
    for number in range(1, 4801):
        world.step(number * 0.25, 0.25)
        stages += [it.value for it in world.take_happenings() if it.what == "stage"]
        co_at = co_at or (number * 0.25 if world.read("kitchen.co", 2.4) > 5.0 else 0.0)
        kw_at = kw_at or (number * 0.25 if world.read("bike.kw") > 5.0 else 0.0)
    assert stages[:4] == ["heating", "venting", "runaway", "flaming"]
    assert 0.0 < co_at < kw_at


def test_people_breathe_and_a_cold_room_warms_through_its_door() -> None:
    world = run(Surroundings(WorldPlan(rooms=(
        RoomPlan("class", 50.0, people=30, air_changes_per_h=1.0),
        RoomPlan("cold", 10.0, temperature=-18.0, air_changes_per_h=0.1), RoomPlan("store", 30.0)),
        doors=(DoorPlan("cold-door", ("cold", "store"), open=False),))), 1800)
    # 30 people, 18 L/h each, 125 m³ at one change an hour for half an hour: 420 + 4320 (1 - e^-0.5) ppm
    assert world.read("class.co2") == pytest.approx(420 + 4320 * (1 - math.exp(-0.5)), rel=0.15)
    assert world.read("cold.temperature") < -14.0
    world.turn("cold-door.open", True)
    run(world, 600, begin_s=1800)
    assert world.read("cold.temperature") > -14.0


def test_same_seed_same_world_and_people_move_by_seed() -> None:
    def story(seed: int) -> list[float]:
        world = Surroundings(WorldPlan(rooms=(RoomPlan("flat", 20.0, people=1),)), seed)
        out = []
        for number in range(1, 801):
            world.step(number * 0.25, 0.25)
            out.append(world.read("flat.motion"))
        return out

    assert story(1) == story(1) != story(2)
    assert 0.02 < sum(story(1)) / 800 < 0.4


