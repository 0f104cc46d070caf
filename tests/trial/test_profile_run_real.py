"""An edited profile comes alive on a real port of every protocol, and the gateway's driver reads what it shows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from device_model.errors import ConfigError, LocalFault
from device_model.library import shipped_profiles
from device_model.system_clock import SystemClock
from trial.profile_desk import ProfileDesk
from trial.profile_run import ProfileRun, RunView, running
from trial.profile_shelf import ProfileShelf

pytestmark = pytest.mark.real
PROFILES = shipped_profiles()
WITHIN_S = 60.0


async def seen(run: ProfileRun | ProfileDesk, what: Callable[[RunView], bool]) -> RunView:
    """The view when that holds."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            view = run.view()
            if view is not None and what(view):
                return view
            await asyncio.sleep(0.05)


def settled(view: RunView) -> bool:
    return bool(view.points) and all(point.agreement == "agrees" for point in view.points)


@pytest.mark.parametrize(("name", "point", "value"), [
    ("gas-module-co", "gas", 120.0), ("zigbee2mqtt-smoke", "smoke", True), ("gbt26875-component", "fire", True),
    ("gbt26875-uitd", "battery_fault", True), ("hj212-dust", "pm25", 75.5), ("aooog-ag-rs485", "level", 400.0),
])
async def test_it_is_read_back_and_follows(name: str, point: str, value: object, tmp_path: Path) -> None:
    run = ProfileRun(PROFILES[name], SystemClock(), tmp_path)
    async with running(run):
        await seen(run, settled)
        run.set(point, value)
        view = await seen(run, lambda it: settled(it) and any(
            row.shown.id == point and row.read == pytest.approx(value) for row in it.points))
        assert view.state == "running" and view.trouble == "" and "127.0.0.1:" in view.address
        assert {row.quality for row in view.points} == {"good"} and all(row.age_s >= 0 for row in view.points)


async def test_what_cannot_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="homie"):
        ProfileRun(PROFILES["homie-climate"], SystemClock(), tmp_path)
    away = ProfileRun(PROFILES["zigbee2mqtt-smoke"], SystemClock(), tmp_path, "mqtt://127.0.0.1:9")
    async with running(away):
        assert "cannot be reached" in (await seen(away, lambda it: bool(it.trouble))).trouble


async def test_one_runs_at_a_time_and_is_polled_in_measure(tmp_path: Path) -> None:
    desk = ProfileDesk(SystemClock(), ProfileShelf(None), tmp_path)
    text = Path(PROFILES["xy-md04"].file).read_text(encoding="utf-8")
    try:
        with pytest.raises(LocalFault, match="no edited profile"):
            desk.set("temperature", 1.0)
        await desk.start(text.replace("poll_interval_s: 5", "poll_interval_s: 0.000001"))
        first = (await seen(desk, settled)).address
        assert desk._run is not None and {p.poll_interval_s for p in desk._run.profile.points} == {0.25}
        with pytest.raises(ConfigError):
            await desk.start("points: [")
        assert desk.view().address == first  # a text with mistakes leaves the one before at work
        await desk.start(text.replace("poll_interval_s: 5", "poll_interval_s: 25"))
        assert (await seen(desk, settled)).address != first
        assert {p.poll_interval_s for p in desk._run.profile.points} == {1.0}
        with pytest.raises(ConfigError):
            desk.set("nothing", 1.0)
        assert msgspec.json.encode(desk.view())
    finally:
        await desk.stop()
    assert desk.view() is None
