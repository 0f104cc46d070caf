"""Each way in which a camera stops seeing, from the simulator's RTSP server to the reading that is sent."""

from __future__ import annotations

import asyncio
import json
import time

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="the extra `vision` is not installed")
pytest.importorskip("av", reason="the extra `cameras` is not installed")

from device_drivers.vision.camera_health import CameraState, HealthLimits
from device_drivers.vision.detector import DetectorPool
from device_drivers.vision.frames import Frame
from device_drivers.vision.process import VisionProcess
from device_drivers.vision.run import Teller
from device_drivers.vision.sources import now_us, open_source
from device_drivers.vision.vision_file import CameraPlan, VisionPlan
from firmware_sim.camera import many_cameras
from firmware_sim.camera_server import CameraServer

pytestmark = pytest.mark.real
QUICK = HealthLimits(lasts_s=1.0, frozen_s=2.0, silent_s=3.0)
FAULTS = {"frozen": CameraState.FROZEN, "blind": CameraState.BLINDED, "dark": CameraState.DARK,
          "moved": CameraState.MOVED}


async def test_every_fault_of_a_camera_becomes_its_own_reading(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = CameraServer(many_cameras(len(FAULTS) + 1), tmp_path_factory.getbasetemp() / "clips")
    await server.start()
    names = dict(zip(FAULTS, range(1, len(FAULTS) + 1), strict=True))
    plan = VisionPlan(tuple(
        CameraPlan(name, server.url(f"cam-{number}"), every_s=0.2, health=QUICK)
        for name, number in {**names, "well": len(FAULTS) + 1}.items()), say_every_s=0.1)
    process = VisionProcess(plan, DetectorPool(2), lambda *_: None)
    teller = Teller(process, now_us)
    process.start()
    try:
        until = time.monotonic() + 60
        cameras = process.cameras.values()
        cameras = process.cameras.values()
        while time.monotonic() < until and any(
                c.health.at(now_us()) is not CameraState.WELL or c.health._learnt < 8 for c in cameras):
            await asyncio.sleep(0.1)
        assert {n: c.health.at(now_us()).value for n, c in process.cameras.items()} == dict.fromkeys(
            process.cameras, "well")
        for state, number in names.items():
            await server.show(f"cam-{number}", state)
        said: dict[str, dict] = {}
        until = time.monotonic() + 60
        while time.monotonic() < until and {n: said.get(n, {}).get("state") for n in FAULTS} != {
                n: s.value for n, s in FAULTS.items()}:
            await asyncio.sleep(0.2)
            said |= {topic: json.loads(payload) for topic, payload in teller.due().items()}
        for name, state in FAULTS.items():
            assert said[name]["state"] == state.value and said[name][state.value] is True, said[name]
            assert said[name]["flame"] == -1 and sum(said[name][f] is True for f in (
                "frozen", "blinded", "dark", "moved", "late")) == 1
        assert said["well"]["state"] == "well" and said["well"]["late"] is False and said["well"]["flame"] >= 0
        await server.close()
        until = time.monotonic() + 60
        while time.monotonic() < until and said["well"]["state"] != "silent":
            await asyncio.sleep(0.2)
            said |= {topic: json.loads(payload) for topic, payload in teller.due().items()}
        assert said["well"]["picture"] is False and said["well"]["frozen"] == -1
    finally:
        process.stop()
        await server.close()


async def test_the_cameras_own_clock_is_read_from_the_stream(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = CameraServer(many_cameras(1), tmp_path_factory.getbasetemp() / "clips")
    await server.start()

    def first_with_a_clock() -> Frame | None:
        source = open_source(server.url("cam-1"), timeout_s=60)
        try:
            for number, frame in enumerate(source.frames()):
                if frame.clock_us or number > 60:
                    return frame
        finally:
            source.close()
        return None

    try:
        frame = await asyncio.to_thread(first_with_a_clock)
    finally:
        await server.close()
    # The simulator's camera has the machine's own clock: what the sender reports say fits to a few seconds.
    assert frame is not None and abs(frame.arrived_us - frame.clock_us) < 5_000_000, frame


def test_a_camera_that_comes_and_goes_is_opened_again_with_growing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from device_drivers.vision import sources
    from device_model.errors import PeerSilent

    pauses: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0)
            return super().wait(0)

    class Comes:
        def __init__(self, frames: int) -> None:
            self.left = frames

        def frames(self):
            for _ in range(self.left):
                yield Frame(np.zeros((2, 2, 3), np.uint8), 0, 0)
            raise PeerSilent("gone")

        def close(self) -> None:
            pass

    lives = iter([0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0])
    said: list[str] = []
    stop = Stop()

    def opening():
        try:
            return Comes(next(lives))
        except StopIteration:
            stop.set()
            raise PeerSilent("over") from None

    assert len(list(sources.following(opening, stop, said.append))) == 1
    assert pauses[:8] == [1, 2, 4, 8, 16, 32, 60, 60] and pauses[8:10] == [1, 2], "a picture begins it anew"
    assert said[:2] == ["gone", "gone"] and len(said) <= 3, "each streak is said once"
