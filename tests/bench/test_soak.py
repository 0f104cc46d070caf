"""Some hours of the soak: nothing leaks, nothing fails, alarms arrive, and the card is written within its budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.soak import SD_BUDGET_BYTES, Soaked, soak


def test_a_few_hours(tmp_path: Path) -> None:
    days = 0.25
    found = soak(tmp_path, days, 1)
    assert found.mistakes == [] and found.alarms > 0
    # The reader's connection is opened when the backlog of the night is read: two or three files, once.
    assert found.descriptors[-1] - found.descriptors[0] <= 3 and len(found.samples) == 6
    assert 0 < found.written < SD_BUDGET_BYTES * days
    assert found.commits == 0 or found.journal_bytes < 2**20, "what was delivered is forgotten"


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_month(tmp_path: Path) -> None:
    found = soak(tmp_path, 30.0, 1)
    assert found.mistakes == [] and found.leaked() == 0 and found.growth_per_day() <= 1.0
    assert found.written / 30 < SD_BUDGET_BYTES


def test_growth_and_leaks_are_seen() -> None:
    growing, steady = Soaked(), Soaked()
    for hour in range(48):
        growing.samples.append((hour / 24, 60 + hour / 8))
        steady.samples.append((hour / 24, 60 + min(hour, 8) + hour % 2))
        growing.descriptors.append(10 + hour)
        steady.descriptors.append(10 + hour % 3)
    assert growing.growth_per_day() == pytest.approx(3.0) and growing.leaked() == 57 - 21
    assert steady.growth_per_day() < 0.2 and steady.leaked() == 0
