"""Whether a camera still sees: frozen, blinded, moved, dark, or with a clock that is late.

A camera that no longer sees must not look like a camera that sees nothing (law of safety 7): while it is unwell its
scores are bad readings with that reason, never zeros. A state must last before it is said, and end before it is
unsaid.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from device_drivers.vision.first_stage import FirstLook

SECOND_US = 1_000_000


class CameraState(StrEnum):
    """The worst that holds. SILENT is said by the source: no picture came."""

    WELL = "well"
    SILENT = "silent"
    FROZEN = "frozen"
    BLINDED = "blinded"
    DARK = "dark"
    MOVED = "moved"
    LATE = "late"


class HealthLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From when on. dark_mean: grey 0 to 255; blind_contrast: spread of grey below which a lens is covered or
    dazzled; moved_match: correlation of edges with the learnt view below which the camera points elsewhere; lasts_s:
    how long before it is said; frozen_s: how long every pixel stays the same; late_s: the stream's clock against
    ours."""

    dark_mean: float = 22.0
    blind_contrast: float = 9.0
    moved_match: float = 0.35
    lasts_s: float = 5.0
    frozen_s: float = 10.0
    late_s: float = 5.0
    silent_s: float = 10.0


class CameraHealth:
    """One camera's memory of its view. Feed every judged frame; ask at any time."""

    def __init__(self, limits: HealthLimits) -> None:
        self.limits = limits
        self.state = CameraState.SILENT
        self._since: dict[CameraState, int] = {}
        self._changed_us: int | None = None
        self._seen_us: int | None = None
        self._edges: NDArray[np.float32] | None = None
        self._learnt = 0

    def frame(self, look: FirstLook, grey: NDArray[np.float32], now_us: int, late_s: float = 0.0) -> CameraState:
        """Judge a frame. late_s: how far the picture's own time lies behind its arrival."""
        first = self._seen_us is None
        self._seen_us = now_us
        if not look.same_as_before or first or self._changed_us is None:
            self._changed_us = now_us
        frozen = now_us - self._changed_us >= self.limits.frozen_s * SECOND_US
        dark = look.mean < self.limits.dark_mean
        blinded = not dark and look.contrast < self.limits.blind_contrast
        moved = not (dark or blinded or frozen) and self._elsewhere(grey)
        found = {
            CameraState.DARK: dark,
            CameraState.BLINDED: blinded,
            CameraState.MOVED: moved,
            CameraState.LATE: abs(late_s) > self.limits.late_s,
        }
        for state, holds in found.items():
            if holds:
                self._since.setdefault(state, now_us)
            else:
                self._since.pop(state, None)
        lasting = {s for s, since in self._since.items() if now_us - since >= self.limits.lasts_s * SECOND_US}
        if frozen:
            lasting.add(CameraState.FROZEN)
        # A black picture is dark before it is frozen: that is what a person can mend.
        order = (CameraState.DARK, CameraState.BLINDED, CameraState.FROZEN, CameraState.MOVED, CameraState.LATE)
        self.state = next((state for state in order if state in lasting), CameraState.WELL)
        return self.state

    def at(self, now_us: int) -> CameraState:
        """The state now: SILENT when no frame came for silent_s."""
        if self._seen_us is None or now_us - self._seen_us >= self.limits.silent_s * SECOND_US:
            self.state = CameraState.SILENT
        return self.state

    def accept_view(self) -> None:
        """A person says that the present view is the right one: it is learnt anew."""
        self._edges, self._learnt = None, 0
        self._since.pop(CameraState.MOVED, None)

    def _elsewhere(self, grey: NDArray[np.float32]) -> bool:
        """Edges stay where they are when light changes and people walk; they do not when the camera is turned."""
        edges = np.abs(np.diff(grey, axis=0))[:, :-1] + np.abs(np.diff(grey, axis=1))[:-1]
        edges = np.minimum(edges, 40.0).astype(np.float32)
        if self._edges is None:
            self._edges, self._learnt = edges, 1
            return False
        match = _correlation(self._edges, edges)
        if match < self.limits.moved_match and self._learnt >= 5:
            return True
        weight = 1 / min(
            200, self._learnt + 1
        )  # some minutes at a frame a second: the view follows seasons, not hands
        self._edges = self._edges + weight * (edges - self._edges)
        self._learnt += 1
        return False


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 1e-6 else 1.0
