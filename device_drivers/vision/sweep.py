"""~ A sweep: one fresh look through each of many cameras within a period, whatever some of them do.

```
 cameras, least recently seen first ──► workers (a session each, one key frame) ──► detector pool ──► results
                          └ hard deadline: who was not reached is told so, and is first the next time
```
A dead camera holds one worker for at most `timeout_s`; there are enough workers that one in ten may be dead. Results
and health go up; the snapshot stays here, the newest of each camera only (law of safety 9).
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from device_drivers.vision.camera_health import CameraState, HealthLimits
from device_drivers.vision.detector import DetectorPool
from device_drivers.vision.first_stage import FirstStage
from device_drivers.vision.frames import grey_of
from device_drivers.vision.model_card import CLASSES
from device_drivers.vision.sources import Source, open_source
from device_drivers.vision.sweep_result import Outcome, SweepReport, SweepResult, SweepTarget
from device_model.errors import ConfigError, LocalFault, PeerError, PeerGarbled

__all__ = ["WORKERS", "Outcome", "SweepReport", "SweepResult", "SweepTarget", "sweep"]
WORKERS = 48  # sessions at once: with 5 s of patience and one dead camera in ten, 24 cameras a second still pass


def sweep(
    targets: Sequence[SweepTarget],
    pool: DetectorPool,
    *,
    period_s: float,
    timeout_s: float = 5.0,
    workers: int = WORKERS,
    picture: Callable[[str, NDArray[np.uint8]], None] | None = None,
    on_result: Callable[[SweepResult], None] = lambda _: None,
) -> SweepReport:
    """Visit all targets. Ends at the latest `timeout_s` after the period. picture: is given each seen picture.

    Every target has exactly one result.
    """
    waiting: queue.SimpleQueue[SweepTarget] = queue.SimpleQueue()  # bounded by the list of targets
    for target in sorted(targets, key=lambda t: t.seen_us):
        waiting.put(target)
    began = time.monotonic()
    results: list[SweepResult] = []
    lock = threading.Lock()

    def work() -> None:
        while True:
            try:
                target = waiting.get_nowait()
            except queue.Empty:
                return
            left = began + period_s - time.monotonic()
            result = _look(target, pool, min(timeout_s, left), picture) if left > 0 else _not_reached(target)
            with lock:
                results.append(result)
            on_result(result)

    with ThreadPoolExecutor(max(1, min(workers, len(targets)))) as threads:
        for done in [threads.submit(work) for _ in range(min(workers, len(targets)))]:
            done.result()
    outcomes: dict[str, int] = {}
    for result in results:
        outcomes[result.outcome.value] = outcomes.get(result.outcome.value, 0) + 1
    return SweepReport(
        round(time.monotonic() - began, 3),
        len(results) - outcomes.get(Outcome.NOT_REACHED.value, 0),
        outcomes,
        tuple(results),
    )


def _not_reached(target: SweepTarget) -> SweepResult:
    return SweepResult(target.id, Outcome.NOT_REACHED, {}, (), CameraState.SILENT, 0.0, "the period was over")


def _look(
    target: SweepTarget,
    pool: DetectorPool,
    timeout_s: float,
    picture: Callable[[str, NDArray[np.uint8]], None] | None,
) -> SweepResult:
    began = time.monotonic()
    source: Source | None = None
    try:
        source = open_source(target.source, timeout_s=max(0.2, timeout_s), keys_only=True, quick=True)
        frame = next(source.frames(), None)
        if frame is None:
            raise PeerGarbled("no picture in it")
        image = Image.fromarray(frame.picture)
        with pool.lend() as detector:
            verdict = detector.see(image)
            alarms = verdict.alarms(detector.card.thresholds)
        if picture is not None:
            picture(target.id, frame.picture)
        return SweepResult(
            target.id,
            Outcome.SEEN,
            dict(zip(CLASSES, verdict.scores, strict=True)),
            alarms,
            _single_state(frame.picture),
            round(time.monotonic() - began, 3),
        )
    except (PeerError, LocalFault, ConfigError) as error:
        outcome = (
            Outcome.GARBLED
            if isinstance(error, PeerGarbled)
            else (Outcome.SILENT if isinstance(error, PeerError) else Outcome.REFUSED)
        )
        return SweepResult(
            target.id, outcome, {}, (), CameraState.SILENT, round(time.monotonic() - began, 3), str(error)
        )
    finally:
        if source is not None:
            source.close()


def _single_state(picture: NDArray[np.uint8]) -> CameraState:
    """What one picture can say of a camera's health."""
    look, limits = FirstStage().look(grey_of(picture)), HealthLimits()
    if look.mean < limits.dark_mean:
        return CameraState.DARK
    return CameraState.BLINDED if look.contrast < limits.blind_contrast else CameraState.WELL
