"""An alarm overtakes a backlog on a slow link: real journal, real broker. How fast is the bench's to say."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from bench.backlog import fill, measure


@pytest.mark.real
@pytest.mark.skipif(shutil.which("mosquitto") is None, reason="Debian's mosquitto is not installed")
def test_alarms_arrive_while_most_of_the_backlog_still_waits(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    fill(path, 8000)
    found = asyncio.run(measure(path, 3, 64 * 1024))
    assert len(found.taken_s) == 3
    assert found.left > 4000, "the backlog was drained before the alarms: nothing was overtaken"
