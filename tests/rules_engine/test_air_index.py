"""Air quality indices and sound levels by their standards, and as functions of the language."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules_engine import ConditionError, Vocabulary, check_condition, parse_condition
from rules_engine.air_index import TABLE_CN, TABLE_US, air_quality, index_cn, index_us
from rules_engine.condition_types import BOOL, type_of_quantity
from rules_engine.rule_tests import TestPoint
from rules_engine.sound import Leq
from tests.rules_engine.rule_house import House, now, rule, told


@pytest.mark.parametrize(("pollutant", "concentration", "edition", "index"), [
    ("pm25", 0, 2026, 0), ("pm25", 35, 2026, 50), ("pm25", 60, 2026, 100), ("pm25", 75, 2026, 114),
    ("pm25", 75, 2012, 100), ("pm25", 115, 2026, 150), ("pm25", 800, 2026, 500), ("pm10", 150, 2026, 112),
    ("pm10", 150, 2012, 100), ("no2_1h", 350, 2026, 115), ("so2_1h", 801, 2026, 200), ("so2_1h", 800, 2026, 200),
    ("o3_8h", 801, 2026, 300), ("co_1h", 10, 2026, 100), ("co_24h", 2.04, 2026, 50), ("pm25", 34.5, 2026, 49),
    ("pm25", 35.5, 2026, 52), ("pm25", -3, 2026, 0),
])
def test_the_chinese_index(pollutant: str, concentration: float, edition: int, index: float) -> None:
    assert index_cn(pollutant, concentration, edition=edition) == index


def test_one_hour_of_sulphur_dioxide_just_below_its_standard() -> None:
    assert index_cn("so2_1h", 475) < 100


@pytest.mark.parametrize(("pollutant", "concentration", "index"), [
    ("pm25", 9.0, 50), ("pm25", 9.09, 50), ("pm25", 9.1, 51), ("pm25", 35.4, 100), ("pm25", 35.49, 100),
    ("pm25", 55.4, 150), ("pm25", 125.4, 200), ("pm25", 225.4, 300), ("pm25", 325.4, 500), ("pm25", 900, 500),
    ("pm10", 54.9, 50), ("pm10", 155, 101), ("o3_8h", 0.070, 100), ("o3_8h", 0.0709, 100), ("o3_8h", 0.071, 101),
    ("co_8h", 9.4, 100), ("so2_1h", 75, 100), ("no2_1h", 101, 101),
])
def test_the_index_of_the_us_epa(pollutant: str, concentration: float, index: float) -> None:
    assert index_us(pollutant, concentration) == index


@settings(max_examples=200)
@given(st.sampled_from(sorted(TABLE_CN)), st.floats(0, 2000), st.floats(0, 2000))
def test_more_is_never_better(pollutant: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0 <= index_cn(pollutant, low) <= index_cn(pollutant, high) <= 500
    name = pollutant if pollutant in TABLE_US else "pm25"
    assert 0 <= index_us(name, low) <= index_us(name, high) <= 500


def test_the_worst_is_the_index_and_names_itself() -> None:
    assert air_quality({"pm25": 114, "pm10": 114, "o3_1h": 30}) == (114, ("pm25", "pm10"))
    assert air_quality({"pm25": 50, "pm10": 20}) == (50, ())


@pytest.mark.parametrize(("text", "quantity", "wrong"), [
    ('aqi_cn("pm25", value) > 200', "pm25", ""),
    ('aqi_us("o3_8h", mean(value, 8 h)) > 100', "o3", ""),
    ('aqi_cn("co_1h", value) > 100', "co_mass", ""), ('aqi_cn("co_1h", value) > 100', "co", ""),
    ('aqi_cn("pm1", value) > 200', "pm25", "no table 'pm1'"),
    ('aqi_cn("pm25", value) > 200', "temperature", "cannot be a number in °C"),
    ('aqi_cn("so2_1h", value) > 200', "pm25", "cannot be a number in µg/m³"),
])
def test_as_functions_of_the_language(text: str, quantity: str, wrong: str) -> None:
    def check():
        return check_condition(parse_condition(text), Vocabulary(type_of_quantity(quantity)), BOOL)

    if not wrong:
        assert check().type is BOOL
        return
    with pytest.raises(ConditionError) as error:
        check()
    assert wrong in error.value.what and error.value.remedy


def test_a_rule_on_an_index_says_the_index_in_its_words() -> None:
    house = House({"s.pm25": "pm25"}, rule('aqi_cn("pm25", value) > 200', bind="{quantities: [pm25]}"))
    assert house.say(0, s__pm25=100.0) == []
    assert house.say(60, s__pm25=190.0) == ["t.rule s.pm25 raised @60"]
    assert "AQI 240" in house.engine.open_alarms()[0].detail


def test_gases_in_ppm_are_brought_to_the_table_s_unit() -> None:
    # 200 µg/m3 of ozone are 0.1019 ppm at 25 °C: the index is 100.
    house = House({"s.o3": "o3"}, rule('aqi_cn("o3_1h", value) >= 100', bind="{quantities: [o3]}"))
    assert house.say(0, s__o3=0.1010) == []
    assert house.say(60, s__o3=0.1020) == ["t.rule s.o3 raised @60"]


def test_the_reference_point_of_the_site_is_the_one_so_tagged() -> None:
    points = {"fence.pm10": TestPoint(quantity="pm10"),
              "roof.pm10": TestPoint(quantity="pm10", tags=("reference",), zone="z2")}
    over = rule("value - reference.pm10 > 80 µg/m³", bind="{quantities: [pm10], without_tags: [reference]}")
    house = House(points, over)
    assert house.say(0, fence__pm10=150.0, roof__pm10=100.0) == []
    assert house.say(60, fence__pm10=190.0) == ["t.rule fence.pm10 raised @60"]
    house.restart()
    without = House({"fence.pm10": "pm10"}, over)
    assert without.say(0, fence__pm10=500.0) == [], "no reference: the rule is not bound"


def test_the_equivalent_level_is_that_of_the_mean_energy() -> None:
    level = Leq(600_000_000)
    level.push(0, 80.0)
    level.push(60_000_000, 0.0)
    assert level.read(600_000_000) == pytest.approx(70.0, abs=0.01)
    again = Leq(600_000_000)
    again.load(level.dump())
    assert again.read(600_000_000) == level.read(600_000_000)
    level.gap(600_000_000)
    assert level.read(1_100_000_000) is None, "less than half of the window is known"


def test_leq_is_of_sound_only() -> None:
    assert check_condition(parse_condition("leq(value, 20 min) > 55 dB(A)"),
                           Vocabulary(type_of_quantity("noise")), BOOL).type is BOOL
    with pytest.raises(ConditionError) as error:
        check_condition(parse_condition("leq(value, 1 min) > 5 °C"), Vocabulary(type_of_quantity("pressure")), BOOL)
    assert "sound levels" in error.value.what


def test_a_dose_grows_while_the_device_is_quiet() -> None:
    house = House({"d.co": TestPoint(quantity="co", stale_after_s=7200)},
                  rule("dose(value, 30 ppm, 50 ppm, 1.35) >= 80 min", bind="{quantities: [co]}"))
    assert house.say(0, d__co=100.0) == []  # it speaks only on change, and nothing changes
    house.restart()
    (step,) = told(house.engine.step((), now(3600)))
    assert step == "t.rule d.co raised @900", "14.7 min by EN 50291's dose, on the grid of a minute"
