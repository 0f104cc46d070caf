"""People and vehicles: anchors and boxes, tiles, what a zone says over time, and that nothing seen proves nothing."""

from __future__ import annotations

import gzip
import io
import json
import math
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

pytest.importorskip("numpy")

from device_drivers.vision import object_detector
from device_drivers.vision.camera_health import CameraState, HealthLimits
from device_drivers.vision.frames import Frame
from device_drivers.vision.model_card import CLASSES
from device_drivers.vision.object_detector import ObjectDetector, fetch, model_path, unpacked
from device_drivers.vision.objects import Box, Tile, anchors, boxes_of, merged, tiles
from device_drivers.vision.place_watch import PlaceWatch
from device_drivers.vision.places import PlaceJudge, PlaceRule, PlaceState, ZoneSight
from device_drivers.vision.process import WatchedCamera, late_s
from device_drivers.vision.reports import FLAGS, payloads
from device_drivers.vision.scenes import ZoneView, check_zone
from device_drivers.vision.share import ShareCount
from device_drivers.vision.sources import camera_clock_us
from device_drivers.vision.vision_file import CameraPlan
from device_model.errors import ConfigError, LocalFault

S = 1_000_000
LIT = ZoneSight(120.0, 40.0, 0.2)
RULE = PlaceRule()
WHOLE = Tile(0, 0, 1, 1)


def person(x: float, y: float = 0.8, score: float = 0.6, label: str = "person", high: float = 0.2) -> Box:
    return Box(label, x - 0.03, y - high, x + 0.03, y, score)


def test_the_anchors_are_mediapipes() -> None:
    table = anchors()
    assert table.shape == (1917, 4)
    # First cell of the first layer: 19 cells, 0.1 square, then 0.2 at 2:1 and 1:2. Last: one cell, scale sqrt(0.95).
    assert table[0] == pytest.approx([0.5 / 19, 0.5 / 19, 0.1, 0.1])
    assert table[1] == pytest.approx([0.5 / 19, 0.5 / 19, 0.2 / math.sqrt(2), 0.2 * math.sqrt(2)])
    assert table[-1] == pytest.approx([0.5, 0.5, math.sqrt(0.95), math.sqrt(0.95)])
    assert table[-6] == pytest.approx([0.5, 0.5, 0.95, 0.95])


def raw(at: int, label: int, logit: float, move: tuple[float, float, float, float] = (0, 0, 0, 0)):
    boxes, scores = np.zeros((1917, 4), np.float32), np.full((1917, 24), -9, np.float32)
    boxes[at], scores[at, label] = move, logit
    return boxes, scores


def test_an_anchor_becomes_a_box_in_its_tile() -> None:
    (box,) = boxes_of(*raw(1911, 4, 0.0), Tile(0.5, 0.0, 1.0, 0.5))
    assert (box.label, box.score) == ("person", 0.5)
    assert (box.left, box.right, box.top, box.bottom) == pytest.approx((0.5125, 0.9875, 0.0125, 0.4875))
    assert boxes_of(*raw(1911, 5, 5.0), WHOLE) == []  # a chair is not asked for
    (car,) = boxes_of(*raw(0, 23, 2.0, (0, 0, 5, 5)), WHOLE)
    assert car.label == "vehicle" and car.right - car.left == pytest.approx(0.5 / 19 + 0.05 * math.e)


@given(
    npst.arrays(np.float32, (1917, 4), elements=st.floats(width=32), fill=st.just(0.0)),
    npst.arrays(np.float32, (1917, 24), elements=st.floats(width=32), fill=st.just(-9.0)),
)
def test_whatever_a_model_says_boxes_stay_in_the_frame(boxes: np.ndarray, scores: np.ndarray) -> None:
    for box in boxes_of(boxes, scores, Tile(0.2, 0.2, 0.8, 0.9)):
        assert 0.2 <= box.left < box.right <= 0.8 + 1e-9 and 0.2 <= box.top < box.bottom <= 0.9 + 1e-9
        assert 0 < box.score <= 1


def test_a_person_seen_by_two_tiles_is_one() -> None:
    a, b = person(0.5), person(0.505, score=0.5)
    part = Box("person", 0.48, 0.7, 0.52, 0.8, 0.45)  # the legs alone, in the lower tile
    assert merged([b, a, part]) == [a]
    assert len(merged([a, person(0.7), person(0.5, label="vehicle")])) == 3


@pytest.mark.parametrize(("high", "count"), [(0.3, 1), (0.12, 1), (0.07, 4), (0.03, 9)])
def test_small_people_are_looked_for_in_tiles(high: float, count: int) -> None:
    places, tall = tiles((), high)
    assert len(places) == count and tall >= high
    assert min(t.left for t in places) == 0 and max(t.right for t in places) == pytest.approx(1)
    assert min(t.top for t in places) == 0 and max(t.bottom for t in places) == pytest.approx(1)
    for x in (0.01, 0.33, 0.5, 0.66, 0.99):
        assert any(t.left <= x <= t.right for t in places)


def judge(*scenes: str, outline: tuple[tuple[float, float], ...] = ()) -> PlaceJudge:
    return PlaceJudge(ZoneView("z", outline, scenes=scenes), RULE)


def run(it: PlaceJudge, looks: list[list[Box]], sight: ZoneSight = LIT, from_s: float = 0) -> PlaceState:
    for number, boxes in enumerate(looks):
        it.frame(boxes, sight, int((from_s + number) * S))
    return it.state


def test_people_are_counted_by_two_looks_of_three() -> None:
    it = judge("headcount", outline=((0, 0.5), (0.5, 0.5), (0.5, 1), (0, 1)))
    two = [person(0.1), person(0.3), person(0.9), person(0.2, label="vehicle")]
    assert run(it, [two]).people == -1 and it.state.why == "too few looks"
    assert run(it, [two]).people == 2
    assert run(it, [[person(0.1)]]).people == 2  # one look lost somebody
    assert run(it, [[person(0.1)]]).people == 1
    assert 0.4 < it.state.confidence <= 0.6


@pytest.mark.parametrize(
    ("looks", "sight", "people", "why"),
    [
        ([[]] * 3, LIT, 0.0, "proves nothing"),
        ([[]] * 2, LIT, -1.0, "too few looks"),
        ([[]] * 3, ZoneSight(20, 40, 0.2), -1.0, "too dark"),
        ([[]] * 3, ZoneSight(120, 3, 0.2), -1.0, "no contrast"),
        ([[]] * 3, ZoneSight(120, 40, 0.05), -1.0, "too small"),
        ([[], [person(0.5, score=0.25)], []], LIT, -1.0, "may be a person"),
        ([[person(0.5)]] * 3, ZoneSight(20, 40, 0.2), 1.0, ""),  # seen is seen, however dark
    ],
)
def test_nobody_seen_is_said_only_where_people_would_be_seen(
    looks: list[list[Box]], sight: ZoneSight, people: float, why: str
) -> None:
    state = run(judge("headcount"), looks, sight)
    assert state.people == people and why in state.why


def test_a_forbidden_place() -> None:
    it = judge("no_entry", outline=((0.4, 0.4), (0.6, 0.4), (0.6, 1), (0.4, 1)))
    assert run(it, [[person(0.1)]] * 3).intrusion == 0
    assert run(it, [[person(0.5)]]).intrusion == 0.3
    assert run(it, [[person(0.5)]]).intrusion >= 0.6
    assert it.blind("blinded").intrusion == -1 and it.state.people == -1
    assert run(judge("no_entry"), [[]] * 3, ZoneSight(10, 2, 0.2)).intrusion == -1


def test_a_car_that_passes_and_one_that_stays() -> None:
    it = judge("fire_lane")
    cars = [[person(0.1 + 0.1 * i, label="vehicle")] for i in range(8)]
    assert run(it, cars).obstruction == 0.3
    stays = [[person(0.5, label="vehicle", score=0.7)]] * 11
    assert run(it, stays[:10], from_s=20).obstruction == 0.3
    assert run(it, [[], *stays[:1]], from_s=30).obstruction >= 0.6  # one look lost it: it still stands
    assert run(it, [[]] * 5, from_s=32).obstruction == 0.0
    assert run(judge("fire_lane"), [[]], ZoneSight(10, 2, 0.2)).obstruction == -1


def test_a_watch_looks_when_due_and_is_unknown_without_detector_or_sight() -> None:
    zones = (ZoneView("a", scenes=("headcount",)), ZoneView("b", ((0, 0), (1, 0), (1, 1)), scenes=("no_entry",)))
    watch = PlaceWatch((*zones, ZoneView("c")), RULE)
    picture = (np.indices((90, 160)).sum(0)[..., None] % 200 + np.zeros(3)).astype(np.uint8)
    seen: list[tuple[Tile, ...]] = []

    def see(_: np.ndarray, where: tuple[Tile, ...]) -> list[Box]:
        seen.append(where)
        return [person(0.7, 0.6)]

    for second in range(3):
        assert watch.due(second * S)
        states = watch.look(picture, see, CameraState.WELL, second * S)
        assert not watch.due(second * S + 900_000)
    assert [s.people for s in states] == [1, 1] and states[1].intrusion is not None and states[1].intrusion >= 0.6
    assert len(seen) == 3  # the zones share their tiles, so they share the look
    assert [s.people for s in watch.look(picture, None, CameraState.WELL, 9 * S)] == [-1, -1]
    assert watch.states[0].why == "no person detector"
    assert watch.look(picture, see, CameraState.FROZEN, 10 * S)[1].intrusion == -1
    assert not PlaceWatch((ZoneView("c"),), RULE).asked


def test_what_is_sent_of_places() -> None:
    places = (PlaceState("hall", 3, 0.5, None, 0.7), PlaceState("whole", 0, 0.5, 0.2, None))
    told = {k: json.loads(v) for k, v in payloads("cam", CameraState.WELL, (), {}, ShareCount(), places).items()}
    assert told["cam/hall/people"]["people"] == 3 and told["cam/hall/lane"]["obstruction"] == 0.7
    assert "cam/hall/guard" not in told and told["cam/guard"]["intrusion"] == 0.2
    blind = {k: json.loads(v) for k, v in payloads("cam", CameraState.DARK, (), {}, ShareCount(), places).items()}
    assert blind["cam/hall/people"] == {"people": -1, "confidence": -1, "why": ""}
    assert blind["cam"]["dark"] is True and blind["cam"]["frozen"] is False


@pytest.mark.parametrize("state", list(FLAGS))
def test_each_fault_of_a_camera_is_a_reading(state: CameraState) -> None:
    told = json.loads(payloads("cam", state, (), {}, ShareCount())["cam"])
    assert {flag.value for flag in FLAGS if told[flag.value] is True} == {state.value}
    silent = json.loads(payloads("cam", CameraState.SILENT, (), {}, ShareCount())["cam"])
    assert all(silent[flag.value] == -1 for flag in FLAGS)


@pytest.mark.parametrize(
    ("side", "clock"),
    [(None, 0), (b"\0" * 4, 0), (b"\0" * 8, 1), ((17 * S).to_bytes(8, "little") + b"!", 17 * S)],
)
def test_the_cameras_own_clock(side: bytes | None, clock: int) -> None:
    assert camera_clock_us(side) == clock


def test_a_camera_with_a_wrong_clock_is_late() -> None:
    plan = CameraPlan("c", "rtsp://h/1", health=HealthLimits(lasts_s=1))
    camera = WatchedCamera(plan, dict.fromkeys(CLASSES, 0.5), 0.0, 0)
    picture = np.random.default_rng(1).integers(0, 255, (54, 96, 3)).astype(np.uint8)
    begin = 1_700_000_000 * S
    states = []
    for second in range(4):
        at = begin + second * S
        picture = picture ^ 1
        frame = Frame(picture, at, at, at - 3600 * S)
        assert late_s(frame) == 3600
        states.append(camera.look(frame, np.asarray).state)
    assert states[0] is CameraState.WELL and states[-1] is CameraState.LATE
    assert late_s(Frame(picture, begin, begin + S)) == 1.0


def test_a_zone_with_an_unknown_scene_is_refused() -> None:
    found = check_zone(ZoneView("z", scenes=("faces",), person_height=0), "v.yaml")
    assert any("faces" in f.what for f in found) and any("person_height" in f.what for f in found)


def package(path: Path, octets: bytes) -> Path:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(object_detector.MEMBER)
        entry.size = len(octets)
        archive.addfile(entry, io.BytesIO(octets))
    path.write_bytes(gzip.compress(buffer.getvalue()))
    return path


def test_only_the_tested_bytes_are_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    model = b"m" * object_detector.SIZE
    good = package(tmp_path / "p.tgz", b"l" * 184 + model)
    with pytest.raises(ConfigError, match="SHA-256"):
        unpacked(good)
    monkeypatch.setattr(object_detector, "PACKAGE_SHA256", hashlib.sha256(good.read_bytes()).hexdigest())
    with pytest.raises(ConfigError, match="model's SHA-256"):
        fetch(good, tmp_path)
    assert not model_path(tmp_path).exists()
    monkeypatch.setattr(object_detector, "MODEL_SHA256", hashlib.sha256(model).hexdigest())
    assert fetch(good, tmp_path).read_bytes() == model
    with pytest.raises(ConfigError, match="cannot be read"):
        unpacked(tmp_path / "none.tgz")


def test_without_weights_there_is_no_detector(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="fetch-detector"):
        ObjectDetector(tmp_path / "objects.tflite")
    (tmp_path / "objects.tflite").write_bytes(b"x")
    with pytest.raises(LocalFault, match="tested"):
        ObjectDetector(tmp_path / "objects.tflite")


@pytest.mark.skipif(not model_path().exists(), reason="not installed: tocsin vision fetch-detector")
def test_the_real_detector_sees_people_and_no_one_in_an_empty_workshop() -> None:
    from PIL import Image

    seer = ObjectDetector()
    with Image.open(Path(__file__).parent / "pictures" / "s2_neg_workshop_cc0_0000.jpg") as image:
        empty = seer.see(np.asarray(image.convert("RGB")), (WHOLE,))
    assert not [box for box in empty if box.label == "person" and box.score >= RULE.score]
