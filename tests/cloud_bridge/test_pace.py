"""The pace finds what a link carries, keeps an alarm's wait short, and does not mistake a long way for a slow one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_bridge.pace import FIRST_BYTES, LEAST_BYTES, SLOW_S, Pace
from device_model.messages import BATCH_BYTES_MAX


def after(pace: Pace, batches: int, bytes_per_s: float, round_trip_s: float) -> float:
    """Bulk over such a link; the longest time on the road of the last ten batches."""
    worst = 0.0
    for number in range(batches):
        if number % 10 == 0:
            pace.took(500, round_trip_s + 500 / bytes_per_s)  # a heartbeat
        size = pace.limit
        pace.took(size, round_trip_s + size / bytes_per_s)
        if number >= batches - 10:
            worst = max(worst, size / bytes_per_s)
    return worst


@pytest.mark.parametrize(("bytes_per_s", "round_trip_s"), [
    (128 * 1024, 0.05), (32 * 1024, 0.3), (16 * 1024, 0.05), (1024 * 1024, 0.6), (100 * 1024 * 1024, 0.001),
])
def test_an_alarm_waits_for_a_moment_only(bytes_per_s: float, round_trip_s: float) -> None:
    assert after(Pace(), 60, bytes_per_s, round_trip_s) <= 2 * SLOW_S


def test_a_fast_link_is_used_whole_and_a_long_way_is_not_a_slow_one() -> None:
    for round_trip_s in (0.001, 0.25):
        pace = Pace()
        after(pace, 30, 100e6, round_trip_s)
        assert pace.limit == BATCH_BYTES_MAX


def test_a_link_that_grows_slow_is_followed() -> None:
    pace = Pace()
    after(pace, 30, 100e6, 0.05)
    assert after(pace, 30, 64 * 1024, 0.05) <= 2 * SLOW_S


def test_a_new_link_begins_small() -> None:
    pace = Pace()
    after(pace, 30, 100e6, 0.01)
    pace.lost()
    assert pace.limit == FIRST_BYTES


@given(st.lists(st.tuples(st.integers(1, BATCH_BYTES_MAX), st.floats(0.0, 100.0))))
def test_whatever_happens_the_limit_stays_within_bounds(seen: list[tuple[int, float]]) -> None:
    pace = Pace()
    for size, seconds in seen:
        pace.took(size, seconds)
        assert LEAST_BYTES <= pace.limit <= BATCH_BYTES_MAX
