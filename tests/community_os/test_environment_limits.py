"""Exceedances: hours and local days, day and night, too much and too little."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from community_os.environment_limits import GROUPS, exceedances, limit_of
from device_model.clock import HOUR_US, SECOND_US
from device_model.quantities import QUANTITIES

SHANGHAI = ZoneInfo("Asia/Shanghai")
MIDNIGHT = round(datetime(2026, 3, 3, tzinfo=SHANGHAI).timestamp()) * SECOND_US


def hours(*values: float, first: int = 0) -> list[tuple[int, float]]:
    return [(MIDNIGHT + (first + number) * HOUR_US, value) for number, value in enumerate(values)]


def test_noise_has_a_night_limit() -> None:
    limit = limit_of("noise")
    over = exceedances(hours(*[60.0] * 24), limit, SHANGHAI)
    assert [round((at - MIDNIGHT) / HOUR_US) for at, _ in over] == [0, 1, 2, 3, 4, 5, 22, 23]
    assert len(exceedances(hours(*[71.0] * 24), limit, SHANGHAI)) == 24


def test_dust_is_judged_by_the_local_day_of_at_least_twenty_hours() -> None:
    limit = limit_of("pm25")
    assert exceedances(hours(*[61.0] * 24), limit, SHANGHAI) == ((MIDNIGHT, 61.0),)
    assert exceedances(hours(*[60.0] * 24), limit, SHANGHAI) == ()
    assert exceedances(hours(*[300.0] * 19), limit, SHANGHAI) == ()
    assert len(exceedances(hours(*[100.0] * 48), limit, SHANGHAI)) == 2


@pytest.mark.parametrize(("value", "count"), [(4.9, 1), (5.0, 0), (9.0, 0)])
def test_oxygen_may_be_too_low(value: float, count: int) -> None:
    assert len(exceedances(hours(value), limit_of("dissolved_oxygen"), SHANGHAI)) == count


def test_every_quantity_of_the_page_exists() -> None:
    assert set(GROUPS) <= set(QUANTITIES)
    assert limit_of("humidity") is None
