"""Fleets: their size, their rates against the table, their parts, and the same seed the same day."""

from __future__ import annotations

from collections import Counter
from math import sqrt

import pytest

from device_model.errors import ConfigError
from device_model.library import shipped_profiles
from firmware_sim.fleet import FLEETS, Troop, fleet_scenario, part_of, scaled
from firmware_sim.incident_rates import FALSE_ALARMS_BY_HOUR, FIRES_BY_HOUR, SMOKE_DETECTOR
from firmware_sim.scenario_lines import LineKind
from firmware_sim.world import SimWorld

PROFILES = shipped_profiles()


def test_the_districts_are_as_large_as_they_say() -> None:
    yuhang, tongzhou = FLEETS["yuhang"], FLEETS["tongzhou"]
    assert {troop.name: troop.count for troop in yuhang.troops} == {"smoke": 14_669, "hydrant": 39, "charger": 913}
    assert yuhang.hubs == 200 and tongzhou.cameras == 1437 and tongzhou.devices == 1100
    scenario = fleet_scenario(yuhang)
    assert len(scenario.devices) == yuhang.devices + 39  # a transmission device a hydrant
    ports = Counter(device.line for device in scenario.devices if device.profile == "smartevse-2")
    assert len(ports) == 200 and set(ports.values()) == {4, 5}
    smoke = next(line for line in scenario.lines if line.kind is LineKind.MQTT)
    assert -(-14_669 // smoke.hub_devices) in range(195, 201)


def test_the_parts_behind_gateways_are_the_district() -> None:
    parts = [part_of(FLEETS["yuhang"], number, 200) for number in range(200)]
    counts: Counter[str] = Counter()
    for part in parts:
        for troop in part.troops:
            counts[troop.name] += troop.count
    assert counts == {"smoke": 14_669, "hydrant": 39, "charger": 913}


def test_every_happening_moves_a_point_that_its_profile_has() -> None:
    troops: list[Troop] = [troop for plan in FLEETS.values() for troop in plan.troops]
    for troop in troops:
        for happening in troop.happenings:
            assert not happening.point or PROFILES[troop.profile].point(happening.point) is not None, happening.name


def test_rates_and_hours_are_those_of_the_table() -> None:
    scenario = fleet_scenario(FLEETS["yuhang"], seed=3, rate=20.0, days=30.0, begins_h=0.0)
    begun = [event.at_s for event in scenario.events if any(name.endswith(".smoke") and value is True
                                                           for name, value in event.set.items())]
    wanted = 14_669 * sum(h.per_year for h in SMOKE_DETECTOR if h.point == "smoke") * 20.0 * 30 / 365
    assert abs(len(begun) - wanted) < 4 * sqrt(wanted)
    evening = sum(18 <= at_s / 3600 % 24 < 23 for at_s in begun) / len(begun)
    assert evening == pytest.approx(sum(FALSE_ALARMS_BY_HOUR[18:23]) / sum(FALSE_ALARMS_BY_HOUR), abs=0.03)


def test_the_hours_are_the_counted_ones(shared_sensors) -> None:
    text = (shared_sensors / "fire_incident_rates" / "avon_uk_2014_07_by_hour.csv").read_text(encoding="utf-8")
    rows = [line.split(",") for line in text.splitlines()[1:]]
    for category, ours in (("False Alarm", FALSE_ALARMS_BY_HOUR), ("Fire", FIRES_BY_HOUR)):
        assert tuple(int(n) for name, _, n in sorted(rows, key=lambda row: row[1]) if name == category) == ours


def test_same_seed_same_day_and_it_comes_alive() -> None:
    plan = scaled(FLEETS["yuhang"], 0.01)
    first, again = (fleet_scenario(plan, seed=7, rate=5000.0, days=0.02) for _ in range(2))
    assert first == again != fleet_scenario(plan, seed=8, rate=5000.0, days=0.02)
    world = SimWorld(first, PROFILES, {})
    truths = world.advance(1700.0)
    assert any(truth.point == "smoke" and truth.value is True for truth in truths)
    assert any(truth.kind == "off" for truth in truths)
    for name in FLEETS:
        assert SimWorld(fleet_scenario(scaled(FLEETS[name], 0.005)), PROFILES, {}).devices


@pytest.mark.parametrize(("options", "words"), [
    ({"broker": "http://x"}, "no broker"), ({"centre": "nowhere"}, "no address"),
    ({"rate": 1e6, "days": 365.0}, "lower --rate"),
])
def test_what_cannot_be_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        fleet_scenario(FLEETS["yuhang"], **options)
    assert words in str(refusal.value)
