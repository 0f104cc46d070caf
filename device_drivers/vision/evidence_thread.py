"""~ Evidence in a thread of its own: a disk that hangs, is full or read-only never holds up what the cameras see.

```
 judging threads ── onset ──► queue (64) ──► this thread ──► recorder ──► folder
                                  └ full: dropped, counted, said      └ refused: tried again, the cameras watch on
```
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from device_drivers.vision.process import WatchedCamera
from device_drivers.vision.recorder import EvidenceRecorder, Onsets
from device_drivers.vision.reports import CameraReport
from device_model.errors import LocalFault

_log = structlog.get_logger(__name__)
TICK_S = 0.5
AGAIN_S = 10.0  # until a folder that refused is tried again
WAITING_MAX = 64  # onsets with their pictures: a minute of a busy site, some ten MiB
CLOSE_S = 10.0  # a disk that hangs longer does not hold up the end


class _Onset(msgspec.Struct):
    camera: WatchedCamera
    report: CameraReport
    zone: str
    name: str
    picture: NDArray[np.uint8] | None


class EvidenceThread:
    """`start`, give it every report, `close`. make: opens the folder; raises LocalFault where it cannot."""

    def __init__(self, make: Callable[[], EvidenceRecorder], now_us: Callable[[], int]) -> None:
        self._make, self._now_us = make, now_us
        self._onsets = Onsets()
        self._waiting: queue.Queue[_Onset] = queue.Queue(WAITING_MAX)
        self._closing = threading.Event()
        # A daemon: a thread that the disk holds must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="evidence", daemon=True)
        self.dropped = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def report(self, camera: WatchedCamera, report: CameraReport) -> None:
        """Never waits."""
        for zone, name in self._onsets.of(report):
            try:
                self._waiting.put_nowait(_Onset(camera, report, zone, name, camera.last_picture))
            except queue.Full:
                self.dropped += 1
                _log.error("the disk does not keep up: no evidence of this", camera=report.camera, zone=zone,
                           scene=name, dropped=self.dropped)

    def close(self) -> None:
        """Finish what is open, as far as the disk lets us."""
        self._closing.set()
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            _log.error("the disk hangs: evidence that was being written is finished at the next start")

    def _run(self) -> None:
        recorder = self._opened()
        while recorder is not None:
            try:
                self._turn(recorder)
                if self._closing.is_set() and self._waiting.empty():
                    recorder.close()
                    return
            except Exception:  # noqa: BLE001  # a fault with one piece of evidence must not end all further ones
                _log.exception("evidence was lost by a fault of ours")

    def _turn(self, recorder: EvidenceRecorder) -> None:
        try:
            onset = self._waiting.get(timeout=TICK_S)
        except queue.Empty:
            pass
        else:
            recorder.begin(onset.camera, onset.report, onset.zone, onset.name, onset.picture)
        recorder.tick(self._now_us())

    def _opened(self) -> EvidenceRecorder | None:
        """As soon as the folder can be used; None where the process ends before."""
        told = ""
        while True:
            try:
                return self._make()
            except (LocalFault, OSError) as error:
                if str(error) != told:
                    told = str(error)
                    _log.error("no evidence is kept, the cameras watch on", what=told)
            if self._closing.wait(AGAIN_S):
                return None
