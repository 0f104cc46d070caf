"""Exceedances: hours and local days, day and night, too much and too little."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from community_os.environment_desk import read_limits
from community_os.environment_limits import GROUPS, exceedances, parse_limits
from device_model.clock import HOUR_US, SECOND_US
from device_model.errors import ConfigError
from device_model.quantities import QUANTITIES

SHANGHAI = ZoneInfo("Asia/Shanghai")
MIDNIGHT = round(datetime(2026, 3, 3, tzinfo=SHANGHAI).timestamp()) * SECOND_US


def hours(*values: float, first: int = 0) -> list[tuple[int, float]]:
    return [(MIDNIGHT + (first + number) * HOUR_US, value) for number, value in enumerate(values)]


def limits_of(quantity: str, day: str = "2026-03-03"):
    return read_limits("").of(quantity, date.fromisoformat(day), date.fromisoformat(day))


def test_noise_has_a_night_limit() -> None:
    (limit,) = limits_of("noise")
    over = exceedances(hours(*[60.0] * 24), limit, SHANGHAI)
    assert [round((at - MIDNIGHT) / HOUR_US) for at, _ in over] == [0, 1, 2, 3, 4, 5, 22, 23]
    assert len(exceedances(hours(*[71.0] * 24), limit, SHANGHAI)) == 24


def test_dust_is_judged_by_the_local_day_of_at_least_twenty_hours() -> None:
    (limit,) = limits_of("pm25")
    assert exceedances(hours(*[61.0] * 24), limit, SHANGHAI) == ((MIDNIGHT, 61.0),)
    assert exceedances(hours(*[60.0] * 24), limit, SHANGHAI) == ()
    assert exceedances(hours(*[300.0] * 19), limit, SHANGHAI) == ()
    assert len(exceedances(hours(*[100.0] * 48), limit, SHANGHAI)) == 2


@pytest.mark.parametrize(("value", "count"), [(4.9, 1), (5.0, 0), (9.0, 0)])
def test_oxygen_may_be_too_low(value: float, count: int) -> None:
    assert len(exceedances(hours(value), limits_of("dissolved_oxygen")[0], SHANGHAI)) == count


def test_every_quantity_of_the_page_exists() -> None:
    assert set(GROUPS) <= set(QUANTITIES)
    assert limits_of("humidity") == ()


# SO2, NO2, O3 are measured in ppm and limited in µg/m³ at 25 °C; CO in mg/m³ both.
@pytest.mark.parametrize(("quantity", "over", "most", "per_unit"), [
    ("so2", 24, 150, 2620.0), ("so2", 1, 500, 2620.0), ("no2", 24, 80, 1881.8), ("no2", 1, 200, 1881.8),
    ("o3", 8, 160, 1963.2), ("o3", 1, 200, 1963.2), ("co_mass", 24, 4, 1.0), ("co_mass", 1, 10, 1.0)])
def test_gases_have_their_limits_in_the_units_of_the_standard(quantity, over, most, per_unit) -> None:
    limit = next(one for one in limits_of(quantity) if one.over == over)
    assert (limit.most, limit.certainty) == (most, "B") and "GB 3095-2026" in limit.source.en
    assert limit.factor == pytest.approx(per_unit, rel=1e-3)
    count = {1: 24, 8: 1, 24: 1}[over]
    below, above = (hours(*[most * share / limit.factor] * 24) for share in (0.999, 1.01))
    assert exceedances(below, limit, SHANGHAI) == () and len(exceedances(above, limit, SHANGHAI)) == count


def test_an_edition_counts_in_its_time_only() -> None:
    old, new = read_limits("").of("pm25", date(2026, 2, 10), date(2026, 3, 10))
    assert (old.most, new.most) == (75, 60)
    day_before = [(at - 24 * 3 * HOUR_US, value) for at, value in hours(*[70.0] * 24)]
    assert exceedances(day_before, new, SHANGHAI) == exceedances(day_before, old, SHANGHAI) == ()
    assert exceedances(hours(*[70.0] * 24), old, SHANGHAI) == () and exceedances(hours(*[70.0] * 24), new, SHANGHAI)


@pytest.mark.parametrize(("values", "found"), [
    ([0.05] * 24, 0), ([0.05] * 10 + [0.2] * 8 + [0.05] * 6, 1), ([0.2] * 5, 0), ([0.2] * 8, 1),
    ([0.05] * 10 + [0.11] * 3 + [0.05] * 11, 0)])
def test_ozone_is_judged_by_the_largest_eight_hours_of_a_day(values: list[float], found: int) -> None:
    limit = next(one for one in limits_of("o3") if one.over == 8)
    assert len(exceedances(hours(*values), limit, SHANGHAI)) == found


def test_an_own_file_replaces_the_limits_of_what_it_names(tmp_path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text("limits:\n  - {quantity: o3, hours: 1, most: 180, unit: ug/m3, source: {en: D, zh: D},"
                    " certainty: A}\n")
    table = read_limits(str(file))
    day = date(2026, 11, 1)
    assert [one.most for one in table.of("o3", day, day)] == [180] and len(table.of("so2", day, day)) == 2


@pytest.mark.parametrize(("line", "what"), [
    ("{quantity: radon, hours: 1, most: 1, unit: Bq/m3, source: {en: x, zh: x}, certainty: A}", "is not shown"),
    ("{quantity: pm25, hours: 1, most: 1, unit: bar, source: {en: x, zh: x}, certainty: A}", "is not measured in"),
    ("{quantity: pm25, hours: 3, most: 1, unit: ug/m3, source: {en: x, zh: x}, certainty: A}", "over 3 h"),
    ("{quantity: pm25, hours: 1, unit: ug/m3, source: {en: x, zh: x}, certainty: A}", "neither most nor least"),
    ("{quantity: pm25, hours: 1, most: 1, unit: ug/m3, source: {en: x, zh: x}, certainty: A, since: spring}",
     "is no day"),
    ("{quantity: pm25, hours: 1, most: 1, unit: ug/m3, source: {en: x, zh: x}, certainty: D}", "certainty")])
def test_a_wrong_file_is_refused_with_its_line(line: str, what: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_limits(f"limits:\n  - {line}\n", "limits.yaml")
    assert any(what in str(one) and one.line == 2 for one in refused.value.findings)
