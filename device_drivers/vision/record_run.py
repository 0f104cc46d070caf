"""~ `tocsin vision record`: watches a site's cameras and keeps moments worth a label. A process of its own.

It opens the cameras a second time (give it their substreams) and judges what it sees; it raises nothing and tells the
broker nothing. Masks of the vision file are painted before anything is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from device_drivers.vision.label_book import LabelBook
from device_drivers.vision.process import VisionProcess, WatchedCamera
from device_drivers.vision.record_choice import Chooser, RecordRule
from device_drivers.vision.record_folder import Candidate, CandidateFolder
from device_drivers.vision.reports import CameraReport
from device_drivers.vision.run import detector_pool, read_plan
from device_drivers.vision.sources import now_us
from device_model.errors import LocalFault

_log = structlog.get_logger(__name__)


class RecordReport(msgspec.Struct, frozen=True):
    """What was kept: clips by reason; refused: for want of room; pruned: older ones that gave way."""

    kept: dict[str, int]
    refused: int
    pruned: int
    failed: int

    def text(self) -> str:
        """For people."""
        said = ", ".join(f"{count} {reason}" for reason, count in sorted(self.kept.items())) or "nothing"
        return f"kept: {said}; refused for want of room: {self.refused}; older ones gone: {self.pruned}"


class _Open(msgspec.Struct):
    reason: str
    pictures: list[NDArray[np.uint8]]
    times_us: list[int]
    scores: dict[str, float]


class CandidateRecorder:
    """Give it every report of the process; a clip is kept when its last picture is there. Threads may share it."""

    def __init__(self, folder: CandidateFolder, rule: RecordRule, model_sha256: str, book: LabelBook) -> None:
        self._folder, self._rule, self._model, self._book = folder, rule, model_sha256, book
        self._chooser: dict[str, Chooser] = {}
        self._open: dict[str, _Open] = {}
        self._lock = threading.Lock()
        self.kept: dict[str, int] = {}
        self.failed = 0

    def report(self, camera: WatchedCamera, report: CameraReport) -> None:
        """One judged frame."""
        picture = camera.last_picture
        if picture is None:
            return
        with self._lock:
            going = self._open.get(report.camera)
            if going is None:
                thresholds: dict[str, float] = {}
                for (_, name), limit in camera.thresholds().items():
                    thresholds[name] = min(limit, thresholds.get(name, 1.0))
                decided = any(s.decision.decided for s in report.scenes)
                chooser = self._chooser.setdefault(report.camera, Chooser(self._rule))
                reason = chooser.why(report.scores, thresholds, decided, report.taken_us)
                if not reason:
                    return
                going = self._open[report.camera] = _Open(reason, [], [], {})
            going.pictures.append(picture)
            going.times_us.append(report.taken_us)
            going.scores = {n: max(s, going.scores.get(n, 0.0)) for n, s in report.scores.items()}
            if len(going.pictures) >= self._rule.frames:
                self._finish(report.camera)

    def close(self) -> None:
        """Keep what is open as it is."""
        with self._lock:
            for camera in list(self._open):
                self._finish(camera)

    def _finish(self, camera: str) -> None:
        going = self._open.pop(camera)
        clip = Candidate(
            f"{camera}-{going.times_us[0] // 1000}",
            camera,
            going.reason,
            tuple(going.times_us),
            {n: round(s, 4) for n, s in going.scores.items()},
            self._model,
        )
        try:
            if self._folder.add(clip, going.pictures, self._book.labelled()):
                self.kept[going.reason] = self.kept.get(going.reason, 0) + 1
        except LocalFault as error:
            self.failed += 1
            _log.error("a candidate could not be kept", clip=clip.id, what=str(error), failed=self.failed)


def record(
    config: Path,
    folder: Path,
    *,
    for_s: float,
    quota_mib: float,
    rule: RecordRule,
    stop: threading.Event,
    progress: Callable[[str], None] = lambda _: None,
) -> RecordReport:
    """Run until `for_s` are over, every film has ended, or `stop` is set. Raises ConfigError, LocalFault."""
    plan = msgspec.structs.replace(read_plan(config), evidence=None)
    pool = detector_pool(plan, config.parent)
    kept_in = CandidateFolder(folder, int(quota_mib * 1024 * 1024))
    recorder = CandidateRecorder(kept_in, rule, pool.card.sha256, LabelBook(folder, now_us))
    process = VisionProcess(plan, pool, recorder.report)
    process.start()
    until_us = now_us() + int(for_s * 1e6) if for_s else None
    try:
        while not stop.wait(0.1) and not process.ended() and (until_us is None or now_us() < until_us):
            progress(f"{sum(recorder.kept.values())} clips kept")
    finally:
        process.stop()
        recorder.close()
    progress("")
    return RecordReport(recorder.kept, kept_in.refused, kept_in.pruned, recorder.failed)
