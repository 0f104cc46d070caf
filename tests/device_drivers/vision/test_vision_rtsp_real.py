"""From a real RTSP server to a signed clip, and a sweep over living and dead cameras."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image

pytest.importorskip("ai_edge_litert", reason="the extra `vision` is not installed")
pytest.importorskip("av", reason="the extra `cameras` is not installed")

from device_drivers.vision.clips import readable_span
from device_drivers.vision.detector import DetectorPool
from device_drivers.vision.evidence_store import EvidenceStore
from device_drivers.vision.evidence_verify import verify
from device_drivers.vision.process import VisionProcess
from device_drivers.vision.recorder import EvidenceRecorder
from device_drivers.vision.sources import now_us
from device_drivers.vision.sweep import Outcome, SweepTarget, sweep
from device_drivers.vision.vision_file import CameraPlan, EvidencePlan, VisionPlan
from firmware_sim.camera import many_cameras
from firmware_sim.camera_server import CameraServer
from tools.vision_train.films import film

pytestmark = pytest.mark.real
PICTURES = Path(__file__).parent / "pictures"


def welding_film(path: Path) -> Path:
    """Three seconds of an arc as an encoded film."""
    with Image.open(PICTURES / "s2_neg_workshop_cc0_0000.jpg") as background:
        raw = b"".join(np.asarray(image).tobytes() for image in film("welding", background, 5, 30, (320, 180)))
    subprocess.run(
        [
            "ffmpeg",
            "-loglevel",
            "error",
            "-y",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-s",
            "320x180",
            "-r",
            "10",
            "-i",
            "-",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-crf",
            "18",
            str(path),
        ],
        input=raw,
        check=True,
    )
    return path


@pytest_asyncio.fixture
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CameraServer]:
    base = tmp_path_factory.getbasetemp()
    path = base / "welding.mp4"
    if not path.exists():
        welding_film(path)
    it = CameraServer(many_cameras(6), base / "clips", scenes={"welding": path})
    await it.start()
    yield it
    await it.close()


async def test_an_arc_on_rtsp_is_decided_and_kept_as_evidence(server: CameraServer, tmp_path: Path) -> None:
    evidence = EvidencePlan("evidence", before_s=2.0, after_s=2.0)
    plan = VisionPlan(
        (CameraPlan("yard", server.url("cam-1"), every_s=0.1), CameraPlan("calm", server.url("cam-2"))),
        evidence=evidence,
    )
    pool = DetectorPool(2)
    store = EvidenceStore(tmp_path / "evidence", 50_000_000, now_us)
    recorder = EvidenceRecorder(store, evidence, pool.card, lambda: {"gas-1.lel": "3 %[LEL]"})
    process = VisionProcess(plan, pool, recorder.report)
    process.start()
    try:
        until = time.monotonic() + 60
        while process.cameras["yard"].last is None and time.monotonic() < until:
            await asyncio.sleep(0.1)
        await server.show("cam-1", "welding")
        records = []
        while not records and time.monotonic() < until:
            await asyncio.sleep(0.2)
            records = recorder.tick(now_us())
    finally:
        process.stop()
        recorder.close()
    assert records, process.cameras["yard"].last
    (record,) = records
    # Fumes may be decided a moment before the arc: the clip then names both.
    assert (record.camera, record.model_sha256) == ("yard", pool.card.sha256) and "hot_work in whole" in record.note
    assert record.sensors == {"gas-1.lel": "3 %[LEL]"} and record.thresholds["hot_work"] > 0
    clip = tmp_path / "evidence" / f"{record.id}.mp4"
    count, seconds = readable_span(clip)
    assert count >= 20 and seconds >= 2.0
    found = verify(tmp_path / "evidence")
    assert found.ok and found.files == 2, found.problems
    with Image.open(clip.with_suffix(".jpg")) as snapshot:
        assert snapshot.size == (640, 360)
    assert process.cameras["calm"].last is not None and not any(
        s.decision.decided for s in process.cameras["calm"].last.scenes
    )


async def test_a_sweep_sees_the_living_and_is_not_held_up_by_the_dead(server: CameraServer) -> None:
    await server.show("cam-3", "dark")
    with socket.socket() as black_hole:
        black_hole.bind(("127.0.0.1", 0))
        black_hole.listen(8)
        targets = [SweepTarget(f"cam-{n}", server.url(f"cam-{n}")) for n in range(1, 7)]
        targets += [
            SweepTarget("hole", f"rtsp://127.0.0.1:{black_hole.getsockname()[1]}/x"),
            SweepTarget("shut", "rtsp://127.0.0.1:9/x"),
            SweepTarget("odd", "gopher:x"),
        ]
        pictures: dict[str, tuple[int, ...]] = {}
        pool = DetectorPool(1)
        done = await asyncio.to_thread(
            lambda: sweep(
                targets,
                pool,
                period_s=120,
                timeout_s=8,
                workers=9,
                picture=lambda name, p: pictures.update({name: p.shape}),
            )
        )
    by_name = {result.camera: result for result in done.results}
    assert len(done.results) == 9 and done.outcomes == {"seen": 6, "silent": 2, "refused": 1}
    assert set(pictures) == {f"cam-{n}" for n in range(1, 7)}
    assert by_name["cam-3"].state == "dark" and by_name["cam-1"].state == "well"
    assert by_name["hole"].took_s < 60, "its time-out, not the period"


def test_a_sweep_ends_with_its_period_and_says_who_was_not_reached(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    targets = [SweepTarget(f"late-{n}", f"folder:{tmp_path}", seen_us=n) for n in range(5)]
    done = sweep(targets, DetectorPool(1), period_s=0.0, workers=2)
    assert done.swept == 0 and done.outcomes == {Outcome.NOT_REACHED.value: 5}
    # The least recently seen goes first.
    order = sweep(list(reversed(targets)), DetectorPool(1), period_s=30, workers=1)
    assert [r.camera for r in order.results] == [f"late-{n}" for n in range(5)]


def test_a_killed_process_leaves_a_readable_clip_or_a_declared_gap(tmp_path: Path) -> None:
    """The whole command, killed with SIGKILL while it records."""
    path = welding_film(tmp_path / "w.mp4")
    long = tmp_path / "long.mp4"
    subprocess.run(
        ["ffmpeg", "-loglevel", "error", "-y", "-stream_loop", "400", "-i", str(path), "-c", "copy", str(long)],
        check=True,
    )
    config = tmp_path / "vision.yaml"
    config.write_text(
        json.dumps(
            {
                "cameras": [{"id": "yard", "source": f"file:{long}", "every_s": 0.1}],
                "detectors": 1,
                "evidence": {"folder": "evidence", "before_s": 1, "after_s": 3000},
            }
        )
    )
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen(
        [sys.executable, "-m", "tocsin", "vision", "run", "--config", str(config)],
        cwd=root,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as child:
        parts: list[Path] = []
        until = time.monotonic() + 60
        while time.monotonic() < until and not (parts and parts[0].stat().st_size > 20_000):
            time.sleep(0.1)
            parts = list((tmp_path / "evidence").glob("*.part")) if (tmp_path / "evidence").exists() else []
        child.kill()
    assert parts, "nothing was decided"
    EvidenceStore(tmp_path / "evidence", 10_000_000, now_us)
    found = verify(tmp_path / "evidence")
    assert found.ok and found.gaps, found
    assert readable_span(parts[0].with_suffix(".mp4"))[0] > 0
