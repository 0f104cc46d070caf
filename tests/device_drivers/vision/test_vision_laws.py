"""Nothing beside the model may take away what it saw: no disk, no unwell camera, no zone's edge, no other scene."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("ai_edge_litert", reason="the extra `vision` is not installed")

from device_drivers.vision import process as process_file
from device_drivers.vision.camera_health import CameraState
from device_drivers.vision.detector import DetectorPool
from device_drivers.vision.evidence_store import EvidenceStore
from device_drivers.vision.evidence_thread import WAITING_MAX, EvidenceThread
from device_drivers.vision.evidence_verify import verify
from device_drivers.vision.first_stage import FirstLook
from device_drivers.vision.frames import Frame
from device_drivers.vision.model_card import CLASSES, Verdict
from device_drivers.vision.places import PlaceState
from device_drivers.vision.pooling import Spot
from device_drivers.vision.process import Look, VisionProcess, WatchedCamera, judge
from device_drivers.vision.recorder import EvidenceRecorder
from device_drivers.vision.reports import SEEN, UNWELL, CameraReport, payloads
from device_drivers.vision.run import Teller
from device_drivers.vision.scenes import SceneState, ZoneView, touches
from device_drivers.vision.share import ShareCount
from device_drivers.vision.temporal import Decision
from device_drivers.vision.vision_file import CameraPlan, EvidencePlan, VisionPlan
from device_model.errors import LocalFault

S = 1_000_000
SHIPPED = dict.fromkeys(CLASSES, 0.8)
LOOK = FirstLook(100, 50, 0.0, 0.0, 0.0, False, ())


def until(done: Callable[[], bool]) -> bool:
    """Wait for it, a minute on a slow machine."""
    waiting = threading.Event()
    for _ in range(6_000):
        if done():
            return True
        waiting.wait(0.01)
    return False


@pytest.mark.parametrize(
    ("state", "seen"),
    [("blinded", True), ("dark", True), ("moved", True), ("well", True), ("silent", False), ("frozen", False)],
)
def test_a_fire_that_blinds_its_camera_is_told_all_the_same(state: str, seen: bool) -> None:
    scenes = (
        SceneState("whole", "flame", 0.95, Decision(True, 0.95, 0.5, False, 1)),
        SceneState("whole", "smoke", 0.1, Decision(False, 0.1, -1.0, False)),
    )
    limits = {("whole", name): 0.8 for name in CLASSES}
    said = json.loads(payloads("yard", CameraState(state), scenes, limits, ShareCount())["yard"])
    assert (said["flame"] >= SEEN) is seen
    if state != "well":
        assert said["smoke"] == UNWELL and said["hot_work"] == UNWELL


share = st.floats(0, 1, allow_nan=False)


@given(st.lists(st.tuples(share, share), min_size=3, max_size=6), st.tuples(share, share, share, share), share, share)
def test_a_spot_that_holds_a_point_of_the_zone_touches_it(
    outline: list[tuple[float, float]], box: tuple[float, float, float, float], along: float, corner: float
) -> None:
    left, right = sorted(box[:2])
    top, bottom = sorted(box[2:])
    index = int(corner * (len(outline) - 1))
    (x1, y1), (x2, y2) = outline[index], outline[(index + 1) % len(outline)]
    x, y = x1 + along * (x2 - x1), y1 + along * (y2 - y1)  # a point on the zone's edge
    if left + 1e-9 <= x <= right - 1e-9 and top + 1e-9 <= y <= bottom - 1e-9:
        assert touches(tuple(outline), Spot(left, top, right, bottom, 0.9))


def test_a_large_fire_is_in_a_small_zone_and_not_in_one_beside_it() -> None:
    small = ((0.3, 0.3), (0.34, 0.3), (0.34, 0.34), (0.3, 0.34))
    assert touches(small, Spot(0.0, 0.0, 0.9, 0.9, 0.9))
    assert touches(((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)), Spot(0.4, 0.4, 0.5, 0.5, 0.9))
    assert not touches(small, Spot(0.5, 0.3, 0.9, 0.34, 0.9))


class OneCell:
    """A detector that sees a weak flame in one cell and can be asked where."""

    def __init__(self) -> None:
        self.card = type("Card", (), {"threshold": lambda _, name: SHIPPED[name]})()

    def invoke(self, prepared: object) -> object:
        return prepared

    def judge(self, logits: object) -> Verdict:
        return Verdict((0.0, 0.5, 0.0))

    def locate(self, logits: object, name: str, threshold: float) -> list[Spot]:
        return [Spot(0.2, 0.2, 0.3, 0.3, 0.5)] if name == "flame" and threshold <= 0.5 else []


def test_a_zone_with_a_lower_threshold_hears_of_weaker_spots() -> None:
    zone = ZoneView("bench", ((0.1, 0.1), (0.4, 0.1), (0.4, 0.4), (0.1, 0.4)), thresholds={"flame": 0.4})
    camera = WatchedCamera(CameraPlan("c", "folder:x", zones=(zone,)), SHIPPED, 0.0, 0)
    picture = np.zeros((90, 160, 3), np.uint8)
    decided = False
    for second in range(8):
        look = Look(Frame(picture, second * S, second * S), picture, LOOK,
                    CameraState.WELL, ((None, picture),))
        report = judge(OneCell(), camera, look, lambda: 0)  # type: ignore[arg-type]  # what judge uses of one
        decided |= any(s.name == "flame" and s.decision.decided for s in report.scenes)
    assert decided


def begin_of(second: int) -> CameraReport:
    places = (PlaceState("pit", 1, 0.6, 0.7 if second % 2 else 0.1),)
    return CameraReport("yard", second * S, second * S, CameraState.WELL, {"flame": 0.1}, (), {}, 1, places)


def watched() -> WatchedCamera:
    zones = (ZoneView("pit", scenes=("no_entry",)),)
    camera = WatchedCamera(CameraPlan("yard", "rtsp://h/1", zones=zones), SHIPPED, 0.0, 0)
    camera.last_picture = np.zeros((90, 160, 3), np.uint8)
    return camera


def recorder_in(folder: Path) -> EvidenceRecorder:
    card = DetectorPool(1).card
    return EvidenceRecorder(EvidenceStore(folder, 50_000_000, lambda: 9 * S), EvidencePlan("e", 1, 1), card)


def test_a_disk_that_hangs_holds_up_nobody_and_what_it_costs_is_counted(tmp_path: Path) -> None:
    let_go, camera = threading.Event(), watched()

    def hangs() -> EvidenceRecorder:
        let_go.wait(120)
        return recorder_in(tmp_path)

    evidence = EvidenceThread(hangs, lambda: 10_000 * S)
    evidence.start()
    for second in range(2 * WAITING_MAX + 20):
        evidence.report(camera, begin_of(second))
    assert evidence.dropped == 10
    let_go.set()
    assert until(lambda: (tmp_path / "chain.jsonl").exists() and evidence._waiting.empty())
    evidence.close()
    assert verify(tmp_path).ok and verify(tmp_path).records > 0


def test_a_folder_that_refuses_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device_drivers.vision.evidence_thread.AGAIN_S", 0.01)
    tries, camera = [0], watched()

    def refuses_twice() -> EvidenceRecorder:
        tries[0] += 1
        if tries[0] < 3:
            raise LocalFault("read-only file system")
        return recorder_in(tmp_path)

    evidence = EvidenceThread(refuses_twice, lambda: 10_000 * S)
    evidence.report(camera, begin_of(11))
    evidence.start()
    assert until((tmp_path / "chain.jsonl").exists)
    evidence.close()
    assert tries == [3] and verify(tmp_path).records == 1


def test_one_broken_piece_of_evidence_does_not_end_the_next(tmp_path: Path) -> None:
    recorder, camera = recorder_in(tmp_path), watched()
    whole, calls = recorder.begin, [0]

    def breaks_once(*given: Any) -> None:
        calls[0] += 1
        if calls[0] == 1:
            raise RuntimeError("a fault of ours")
        whole(*given)

    recorder.begin = breaks_once  # type: ignore[method-assign]  # the fault that is tried
    evidence = EvidenceThread(lambda: recorder, lambda: 10_000 * S)
    for second in (10, 11, 12, 13):
        evidence.report(camera, begin_of(second))
    evidence.start()
    assert until((tmp_path / "chain.jsonl").exists)
    evidence.close()
    assert calls == [2] and verify(tmp_path).records == 1


def test_a_camera_that_failed_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_file, "AGAIN_S", 0.01)
    opened = []

    def fails(address: str, **_: object) -> None:
        opened.append(address)
        raise RuntimeError("a decoder's bug") if len(opened) % 2 else LocalFault("no such device")

    monkeypatch.setattr(process_file, "open_source", fails)
    watching = VisionProcess(VisionPlan((CameraPlan("c", "rtsp://h/1"),)), DetectorPool(1), lambda *_: None)
    watching.start()
    assert until(lambda: len(opened) > 3)
    watching.stop()


def test_people_that_cannot_be_counted_do_not_take_the_frame_away() -> None:
    class Breaks:
        def lend(self) -> None:
            raise RuntimeError("the person detector's fault")

    zones = (ZoneView("pit", scenes=("headcount",)),)
    plan = VisionPlan((CameraPlan("c", "folder:x", zones=zones),))
    watching = VisionProcess(plan, DetectorPool(1), lambda *_: None, objects=Breaks())  # type: ignore[arg-type]
    picture = np.zeros((90, 160, 3), np.uint8)
    look = Look(Frame(picture, S, S), picture, LOOK, CameraState.WELL, ())
    report = watching._people(watching.cameras["c"], look, begin_of(10))
    assert report.scores == {"flame": 0.1} and report.places[0].people == UNWELL


def test_what_the_broker_did_not_take_is_due_again_at_once() -> None:
    watching = VisionProcess(VisionPlan((CameraPlan("c", "rtsp://h/1"),)), DetectorPool(1), lambda *_: None)
    teller = Teller(watching, lambda: 5 * S)
    assert teller.due() and not teller.due()
    teller.forget()
    assert teller.due()
