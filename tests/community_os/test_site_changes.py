"""Site files that change while the cloud runs: taken at once where they fit, said and left alone where not."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from community_os import site_stamps
from community_os.role_worker import until_sites_fit
from community_os.settings import CloudSettings

EXAMPLE = Path(__file__).resolve().parents[2] / "demo" / "sites" / "lakeside.yaml"


async def rounds(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("claimed", [False, True])
async def test_a_change_is_taken_when_it_fits_and_said_when_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, claimed: bool
) -> None:
    monkeypatch.setattr(site_stamps, "LOOK_EVERY_S", 0.001)
    folder = tmp_path / "state" / "sites"
    folder.mkdir(parents=True)
    file = folder / "a.yaml" if claimed else tmp_path / "a.yaml"
    shutil.copy(EXAMPLE, file)
    settings = CloudSettings(state=str(tmp_path / "state"), sites=() if claimed else (str(file),))
    waiting = asyncio.create_task(until_sites_fit(settings))
    await rounds()
    assert not waiting.done(), "nothing changed"
    text = file.read_text(encoding="utf-8")
    with capture_logs() as logs:
        file.write_text("site: [", encoding="utf-8")
        while not logs:
            await rounds(1)
        await rounds()
    assert not waiting.done() and "a.yaml" in logs[0]["reason"] and len(logs) == 1, "said once"
    file.unlink()
    await rounds()
    assert not waiting.done() or claimed, "an operator's file that is gone for a moment changes nothing"
    file.write_text(text.replace("Lakeside Court", "Lakeside Yard"), encoding="utf-8")
    await asyncio.wait_for(waiting, 60)
