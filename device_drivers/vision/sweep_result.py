"""What a sweep asks for and what it found: targets, results, the whole sweep, what is known of each camera. Pure."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from device_drivers.vision.camera_health import CameraState


class Outcome(StrEnum):
    """What became of a camera in a sweep."""

    SEEN = "seen"
    SILENT = "silent"
    GARBLED = "garbled"
    NOT_REACHED = "not_reached"  # the period was over before its turn
    REFUSED = "refused"  # its address or this machine is at fault


class SweepTarget(msgspec.Struct, frozen=True):
    """A camera of a sweep. seen_us: when it was last seen, 0 never; the least recent goes first."""

    id: str
    source: str
    seen_us: int = 0


class SweepResult(msgspec.Struct, frozen=True):
    """What one look said. state: WELL, DARK or BLINDED by a single picture; took_s: session and verdict."""

    camera: str
    outcome: Outcome
    scores: dict[str, float]
    alarms: tuple[str, ...]
    state: CameraState
    took_s: float
    what: str = ""


class SweepReport(msgspec.Struct, frozen=True):
    """The sweep as a whole; results by camera in the order of their ends."""

    sweep_s: float
    swept: int
    outcomes: dict[str, int]
    results: tuple[SweepResult, ...]

    def text(self) -> str:
        """For people."""
        lines = [
            f"{self.swept} cameras in {self.sweep_s:.1f} s: "
            + ", ".join(f"{name} {count}" for name, count in sorted(self.outcomes.items()))
        ]
        lines += [f"  {r.camera}: {', '.join(r.alarms)}" for r in self.results if r.alarms]
        lines += [f"  {r.camera}: {r.outcome.value} {r.what}" for r in self.results if r.outcome is not Outcome.SEEN]
        return "\n".join(lines)


class SweptCamera(msgspec.Struct, frozen=True):
    """One camera over sweeps. seen_us: last picture, 0 never; missed: sweeps in a row without one."""

    seen_us: int = 0
    missed: int = 0


class LastSweep(msgspec.Struct, frozen=True):
    """The last sweep as the page shows it. kept: whether it ended within its period; decided: camera to what a burst
    said of it, on the rules' scale."""

    began_us: int
    period_s: float
    cameras: int
    kept: bool
    report: SweepReport
    cameras_of: dict[str, SweptCamera]
    decided: dict[str, dict[str, float]] = {}
