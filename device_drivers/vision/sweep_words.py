"""What a sweep tells the site: each camera as a device, and the sweep itself as one. Pure.

    tocsin/sweep/<camera>   profile tocsin-sweep-camera: scores on the rules' scale, whether it sees
    tocsin/sweeps/all       profile tocsin-sweep: visited, dead, deadline kept

A single picture is never told as decided: below 0.6, whatever it shows, until a burst has watched the camera.
"""

from __future__ import annotations

import msgspec

from device_drivers.vision.camera_health import CameraState
from device_drivers.vision.model_card import CLASSES
from device_drivers.vision.reports import SEEN, UNWELL
from device_drivers.vision.sweep_result import LastSweep, Outcome, SweepResult


def swept_camera(result: SweepResult, thresholds: dict[str, float], decided: dict[str, float] | None) -> bytes:
    """One camera's message. decided: what a burst said, on the rules' scale; None: there was none."""
    sees = result.outcome is Outcome.SEEN and result.state is CameraState.WELL
    told: dict[str, float | bool | str] = {
        "picture": result.outcome is Outcome.SEEN, "state": result.state.value, "outcome": result.outcome.value,
        "blind": result.outcome is Outcome.SEEN and not sees}
    for name in CLASSES:
        if not sees:
            told[name] = UNWELL
        elif decided is not None:
            told[name] = decided.get(name, 0.0)
        else:
            told[name] = round(min(SEEN - 0.01, SEEN * result.scores.get(name, 0.0) / thresholds[name]), 3)
    return msgspec.json.encode(told)


def sweep_message(last: LastSweep) -> bytes:
    """The sweep as a device."""
    outcomes = last.report.outcomes
    return msgspec.json.encode({
        "cameras": last.cameras,
        "seen": outcomes.get(Outcome.SEEN.value, 0),
        "dead": sum(outcomes.get(o.value, 0) for o in (Outcome.SILENT, Outcome.GARBLED, Outcome.REFUSED)),
        "not_reached": outcomes.get(Outcome.NOT_REACHED.value, 0),
        "sweep_s": last.report.sweep_s,
        "late": not last.kept,
    })
