"""The whole pipeline on films with flicker, on folders and a GStreamer child; config; what is sent to the broker."""

from __future__ import annotations

import json
import sys
import threading
import time
import types
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("ai_edge_litert", reason="the extra `vision` is not installed")

from device_drivers.vision.camera_health import CameraState
from device_drivers.vision.detector import DetectorPool
from device_drivers.vision.frames import Frame
from device_drivers.vision.process import VisionProcess, WatchedCamera, judge
from device_drivers.vision.reports import SEEN, UNWELL, CameraReport, payloads, sent_score
from device_drivers.vision.scenes import SceneState
from device_drivers.vision.share import ShareCount
from device_drivers.vision.sources import following, open_source
from device_drivers.vision.temporal import Decision
from device_drivers.vision.vision_file import CameraPlan, VisionPlan, parse_vision
from device_model.errors import ConfigError, LocalFault, PeerSilent
from tools.vision_train.films import film

PICTURES = Path(__file__).parent / "pictures"
S = 1_000_000
SHIPPED = {"hot_work": 0.5, "flame": 0.5, "smoke": 0.5}


@pytest.fixture(scope="module")
def pool() -> DetectorPool:
    return DetectorPool(1)


def watch(pool: DetectorPool, name: str, seed: int, frames: int = 40, every: int = 2) -> list[CameraReport]:
    """A film of 10 frames a second through the pipeline, without threads and without waiting."""
    thresholds = dict(zip(pool.card.classes, pool.card.thresholds, strict=True))
    camera = WatchedCamera(CameraPlan("cam", "file:x"), thresholds, 0.0, 0)
    reports = []
    with Image.open(PICTURES / "s2_neg_workshop_cc0_0000.jpg") as background, pool.lend() as detector:
        for number, image in enumerate(film(name, background, seed, frames, (480, 270))):
            if number % every:
                continue
            at = number * S // 10
            look = camera.look(Frame(np.asarray(image), at, at), pool.prepare)
            reports.append(judge(detector, camera, look, lambda at=at: at + 20_000))  # type: ignore[misc]
    return reports


def decided_at(reports: list[CameraReport], name: str) -> float | None:
    return next((r.taken_us / S for r in reports for s in r.scenes if s.name == name and s.decision.decided), None)


@pytest.mark.parametrize("name", ["welding", "grinding"])
@pytest.mark.parametrize("seed", [1])
def test_films_of_hot_work_are_decided_within_ten_seconds(pool: DetectorPool, name: str, seed: int) -> None:
    when = decided_at(watch(pool, name, seed), "hot_work")
    assert when is not None and when <= 10


@pytest.mark.parametrize("name", ["lamp", "walker", "empty"])
def test_films_of_nothing_are_not_decided(pool: DetectorPool, name: str) -> None:
    reports = watch(pool, name, 3, frames=30)
    assert decided_at(reports, "hot_work") is None and decided_at(reports, "flame") is None


def test_scores_go_out_on_the_rules_scale() -> None:
    def scene(decided: bool, confidence: float) -> SceneState:
        return SceneState("whole", "flame", confidence, Decision(decided, confidence, -1.0, False))

    assert sent_score(scene(True, 0.3), 0.3) == SEEN and sent_score(scene(True, 1.0), 0.3) == 1.0
    assert sent_score(scene(False, 0.9), 0.3) < SEEN and sent_score(scene(False, 0.0), 0.3) == 0.0
    said = payloads("cam", CameraState.WELL, (scene(True, 0.9),), {("whole", "flame"): 0.3}, ShareCount(4, 3, 1))
    assert json.loads(said["cam"])["flame"] > SEEN and json.loads(said["cam"])["picture"] is True
    blind = json.loads(
        payloads("cam", CameraState.FROZEN, (scene(True, 0.9),), {("whole", "flame"): 0.3}, ShareCount())["cam"]
    )
    assert blind["flame"] == blind["hot_work"] == UNWELL and blind["frozen"] is True and blind["state"] == "frozen"


def test_a_folder_runs_through_the_threads_and_no_picture_is_dropped(pool: DetectorPool) -> None:
    plan = VisionPlan(
        (
            CameraPlan("a", f"folder:{PICTURES}", every_s=0.02),
            CameraPlan("b", f"folder:{PICTURES}#640x360@50", every_s=0.02),
        ),
        detectors=1,
    )
    got: list[CameraReport] = []
    process = VisionProcess(plan, pool, lambda _, report: got.append(report))
    process.start()
    until = time.monotonic() + 60
    while not process.ended() and time.monotonic() < until:
        time.sleep(0.02)
    process.stop()
    assert sorted(r.camera for r in got) == ["a"] * 6 + ["b"] * 6
    assert all(count.dropped == 0 and count.judged == 6 for count in process.counts().values())


@pytest.mark.real
def test_a_gstreamer_child_gives_pictures_and_is_ended() -> None:
    source = open_source("test:ball#160x120@10", timeout_s=5)
    frames = source.frames()
    first, second = next(frames), next(frames)
    assert first.picture.shape == (120, 160, 3) and (first.picture != second.picture).any()
    source.close()


class Mjpeg(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        pictures = []
        for shade in (10, 200):
            buffer = BytesIO()
            Image.new("RGB", (64, 48), (shade,) * 3).save(buffer, "JPEG")
            pictures.append(buffer.getvalue())
        self.send_response(200)
        if self.path == "/snap":
            self.send_header("Content-Type", "image/jpeg")
            self.end_headers()
            self.wfile.write(pictures[1])
            return
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=cut")
        self.end_headers()
        for picture in pictures:
            self.wfile.write(b"--cut\r\nContent-Type: image/jpeg\r\n\r\n" + picture + b"\r\n")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def http_camera() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mjpeg)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.real
def test_mjpeg_and_snapshots(http_camera: str) -> None:
    got = []
    stream = open_source(f"{http_camera}/live").frames()
    with pytest.raises(PeerSilent, match="ended"):
        got.extend(int(frame.picture.mean()) for frame in stream)
    assert got == [10, 200]
    snapshots = open_source(f"{http_camera}/snap#640x360@50")
    frames = snapshots.frames()
    assert [int(next(frames).picture.mean()) for _ in range(2)] == [200, 200]
    snapshots.close()


def test_a_pi_camera_through_a_fake_module(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fake:
        def __init__(self, number: int) -> None:
            self.number, self.running = number, False

        def create_video_configuration(self, **wanted: object) -> object:
            return wanted

        def configure(self, wanted: dict[str, dict[str, object]]) -> None:
            self.size = wanted["main"]["size"]

        def start(self) -> None:
            self.running = True

        def capture_array(self, _: str) -> np.ndarray:
            return np.full((self.size[1], self.size[0], 4), 7, np.uint8)  # type: ignore[index]

        def stop(self) -> None:
            self.running = False

        def close(self) -> None:
            self.running = False

    module = types.ModuleType("picamera2")
    module.Picamera2 = Fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    source = open_source("picamera2:0#320x240@5")
    assert next(source.frames()).picture.shape == (240, 320, 3)
    source.close()
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(LocalFault, match="apt install python3-picamera2"):
        open_source("picamera2:0")


def test_a_source_that_fails_is_tried_again_and_told_once() -> None:
    tries, said, stop = [], [], threading.Event()

    class Once:
        def frames(self) -> Iterator[Frame]:
            yield Frame(np.zeros((2, 2, 3), np.uint8), 0, 0)
            stop.set()
            yield Frame(np.zeros((2, 2, 3), np.uint8), 0, 0)

        def close(self) -> None:
            """Nothing is held."""

    class Quick(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            return self.is_set()

    stop = Quick()

    def opening() -> Once:
        tries.append(1)
        if len(tries) < 4:
            raise PeerSilent("nobody there")
        return Once()

    assert len(list(following(opening, stop, said.append))) == 1
    assert len(tries) == 4 and said == ["nobody there"]


GOOD = """
cameras:
  - id: yard-1
    source: "rtsp://viewer:word@10.0.0.21/stream2"
    zones: [{id: bay, outline: [[0.1, 0.3], [0.6, 0.3], [0.6, 1]], thresholds: {flame: 0.4}}]
    masks: [[[0.8, 0], [1, 0], [1, 0.4]]]
broker: {host: 127.0.0.1, port: 1883}
evidence: {folder: evidence, quota_mib: 10}
"""


def test_a_vision_file() -> None:
    plan = parse_vision(GOOD, "v.yaml")
    assert plan.cameras[0].zones[0].thresholds == {"flame": 0.4} and plan.evidence is not None
    assert msgspec.json.encode(plan)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("yard-1", "yard 1", "camera id"),
        ("rtsp://viewer:word@10.0.0.21", "gopher://x", "no source"),
        ("flame: 0.4", "flame: 4", "between 0 and 1"),
        ("[0.6, 1]]", "[6, 1]]", "leaves the picture"),
        ("quota_mib", "quota", "unknown field"),
        ("cameras:", "cameras: [", "no YAML"),
        ("[[[0.8, 0], [1, 0], [1, 0.4]]]", "[[[0.8, 0], [1, 0]]]", "fewer than 3"),
        ("broker:", "detectors: 0\nbroker:", "0 detectors"),
        ("    zones", "    every_s: 0\n    zones", "every_s"),
    ],
)
def test_mistakes_are_found_with_a_remedy_and_no_password_is_printed(old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_vision(GOOD.replace(old, new), "v.yaml")
    assert any(said in f.what and f.remedy for f in refused.value.findings), refused.value
    assert "word" not in str(refused.value)
