"""Sources that stall or are not there; evidence of people and vehicles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert", reason="the extra `vision` is not installed")

from device_drivers.vision import sources
from device_drivers.vision.camera_health import CameraState
from device_drivers.vision.detector import DetectorPool
from device_drivers.vision.evidence_store import EvidenceStore
from device_drivers.vision.evidence_verify import verify
from device_drivers.vision.object_detector import MODEL_SHA256
from device_drivers.vision.objects import Box
from device_drivers.vision.places import PlaceState
from device_drivers.vision.process import WatchedCamera
from device_drivers.vision.recorder import EvidenceRecorder
from device_drivers.vision.reports import CameraReport
from device_drivers.vision.scenes import ZoneView
from device_drivers.vision.vision_file import CameraPlan, EvidencePlan
from device_model.errors import LocalFault, PeerSilent

S = 1_000_000


@pytest.mark.real
@pytest.mark.parametrize(("child", "said"), [(["sleep", "30"], "no picture for"), (["true"], "child ended")])
def test_a_pipeline_that_stalls_is_a_silent_camera(
    monkeypatch: pytest.MonkeyPatch, child: list[str], said: str
) -> None:
    monkeypatch.setattr(sources, "gstreamer_command", lambda *_: child)
    monkeypatch.setattr(sources, "STALLED_S", 0.2)
    source = sources.open_source("test:ball#160x120@5")
    with pytest.raises(PeerSilent, match=said):
        next(source.frames())
    source.close()


def test_a_usb_camera_that_is_not_there_is_silent_and_asked_again() -> None:
    pytest.importorskip("av", reason="the extra `cameras` is not installed")
    with pytest.raises((PeerSilent, LocalFault)):
        sources.open_source("v4l2:/dev/video97", timeout_s=1)


def report(second: int, intrusion: float, obstruction: float) -> CameraReport:
    return CameraReport(
        "yard-1", second * S, second * S, CameraState.WELL, {"flame": 0.1}, (), {}, 1,
        (PlaceState("pit", 1, 0.6, intrusion), PlaceState("lane", 0, 0.5, None, obstruction)),
        (Box("person", 0.4, 0.2, 0.6, 0.9, 0.61),))


def test_somebody_in_a_forbidden_place_is_evidence_with_boxes_and_the_values_beside(tmp_path: Path) -> None:
    pool = DetectorPool(1)
    plan = EvidencePlan("e", before_s=1, after_s=2)
    store = EvidenceStore(tmp_path, 50_000_000, lambda: 9 * S)
    recorder = EvidenceRecorder(store, plan, pool.card)
    zones = (ZoneView("pit", scenes=("no_entry",)), ZoneView("lane", scenes=("fire_lane",)))
    shipped = dict(zip(pool.card.classes, pool.card.thresholds, strict=True))
    camera = WatchedCamera(CameraPlan("yard-1", "rtsp://h/1", zones=zones), shipped, 0.0, 0)
    camera.last_picture, camera.values = np.zeros((90, 160, 3), np.uint8), {"gas.lel": "3 %LEL"}
    recorder.report(camera, report(10, -1.0, 0.0))
    assert not list(tmp_path.glob("*.jpg")), "unknown is not seen"
    recorder.report(camera, report(11, 0.7, 0.0))
    recorder.report(camera, report(12, 0.7, 0.65))
    (record,) = recorder.tick(20 * S)
    assert (record.zone, record.name, record.thresholds) == ("pit", "no_entry", {"person": 0.4})
    assert record.sensors == {"gas.lel": "3 %LEL"} and record.boxes["person"][0].score == 0.61
    assert MODEL_SHA256 in record.note and "fire_lane in lane" in record.note
    assert verify(tmp_path).ok and json.loads((tmp_path / "chain.jsonl").read_bytes())["id"] == record.id


def test_a_scene_that_comes_and_goes_for_an_hour_is_many_clips_and_not_one(tmp_path: Path) -> None:
    pool = DetectorPool(1)
    recorder = EvidenceRecorder(
        EvidenceStore(tmp_path, 50_000_000, lambda: 9 * S), EvidencePlan("e", before_s=1, after_s=20), pool.card)
    shipped = dict(zip(pool.card.classes, pool.card.thresholds, strict=True))
    plan = CameraPlan("yard-1", "rtsp://h/1", zones=(ZoneView("pit", scenes=("no_entry",)),))
    camera = WatchedCamera(plan, shipped, 0.0, 0)
    stored = []
    for second in range(10, 3_610):
        recorder.report(camera, report(second, 0.7 if second % 2 else 0.1, 0.0))
        stored += recorder.tick(second * S)
    stored += recorder.tick(4_000 * S)
    assert 10 <= len(stored) <= 14 and [r.id for r in stored] == [r.id for r in recorder._store.records]
    assert max(len(r.note) for r in stored) < 10_000 and "more" in stored[0].note and verify(tmp_path).ok
