"""~ A closer look: some seconds of one camera, judged as if it were watched all the time.

A sweep's single picture says nothing of flicker, and a neighbour's smoke alarm cannot wait for the next sweep. Both
ask for a burst: what it decides is decided over frames, with all that the watching process knows (temporal.py).
"""

from __future__ import annotations

import threading
import time

from device_drivers.vision.camera_health import CameraState
from device_drivers.vision.detector import DetectorPool
from device_drivers.vision.model_card import CLASSES
from device_drivers.vision.process import WatchedCamera, judge
from device_drivers.vision.reports import CameraReport, sent_score
from device_drivers.vision.sources import now_us, open_source
from device_drivers.vision.vision_file import CameraPlan
from device_model.errors import PeerError

EVERY_S = 0.2


def burst(plan: CameraPlan, pool: DetectorPool, for_s: float, *, timeout_s: float = 5.0) -> CameraReport | None:
    """Watch a camera for so long; its last verdict, None where it gave no picture. Ends at the latest `timeout_s`
    after for_s."""
    thresholds = dict(zip(CLASSES, pool.card.thresholds, strict=True))
    camera = WatchedCamera(plan, thresholds, 0.0, 0)
    last: CameraReport | None = None
    ends = threading.Event()
    until = time.monotonic() + for_s
    try:
        source = open_source(plan.source, timeout_s=timeout_s)
    except PeerError:
        return None
    try:
        for frame in source.frames():
            if camera.due(frame):
                look = camera.look(frame, pool.prepare)
                with pool.lend() as detector:
                    last = judge(detector, camera, look, now_us)
            if time.monotonic() >= until or ends.is_set():
                break
    except PeerError:
        pass  # what was seen until then counts
    finally:
        source.close()
    return last


def burst_scores(report: CameraReport, pool: DetectorPool) -> dict[str, float]:
    """The verdict of a burst on the rules' scale: 0.6 and more is decided over its frames."""
    thresholds = dict(zip(CLASSES, pool.card.thresholds, strict=True))
    scores: dict[str, float] = {}
    for scene in report.scenes:
        scores[scene.name] = max(scores.get(scene.name, 0.0), sent_score(scene, thresholds[scene.name]))
    return scores


def sees(report: CameraReport | None) -> bool:
    """Whether the camera of a burst saw at all."""
    return report is not None and report.state in (CameraState.WELL, CameraState.LATE)
