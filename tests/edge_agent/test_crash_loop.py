"""A crash loop slows down; a clean stop, a reboot and a long life do not."""

from __future__ import annotations

import pytest

from device_model.clock import MINUTE_US, SECOND_US, Now
from edge_agent import starts_file
from edge_agent.crash_loop import DELAY_MAX_S, Starts, delay_s, next_start


def at(us: int, boot: str = "b") -> Now:
    return Now(us, us, boot)


def test_it_slows_down_and_is_bounded():
    starts, now, waits = Starts(), 0, []
    for _ in range(12):
        starts, wait = next_start(starts, at(now))
        waits.append(wait)
        now += round(wait * SECOND_US) + 3 * SECOND_US
    assert waits == [0, 0, 0, 2, 4, 8, 16, 32, 60, 60, 60, 60] and DELAY_MAX_S == 60


@pytest.mark.parametrize(("later_us", "boot", "quick"), [
    (5 * SECOND_US, "b", 6), (2 * MINUTE_US, "b", 5), (20 * MINUTE_US, "b", 0), (5 * SECOND_US, "other", 0),
])
def test_what_counts(later_us, boot, quick):
    starts, wait = next_start(Starts("b", 100, 5), at(100 + later_us + round(delay_s(5) * SECOND_US), boot))
    assert starts.quick == quick and wait == delay_s(quick)


def test_the_file_is_in_the_runtime_folder_and_safe_to_lose(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    slept = []
    monkeypatch.setattr(starts_file.time, "sleep", slept.append)
    for _ in range(4):
        starts_file.wait_after_crashes("/nowhere/j.sqlite")
    assert slept == [2.0] and len(list(tmp_path.iterdir())) == 1
    next(tmp_path.iterdir()).write_bytes(b"{")
    assert starts_file.wait_after_crashes("/nowhere/j.sqlite") == 0
    starts_file.lived_well("/nowhere/j.sqlite")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "not there"))
    assert starts_file.wait_after_crashes("/nowhere/j.sqlite") == 0
