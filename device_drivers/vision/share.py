"""Whose frame is judged next: every camera in turn, and drops that fall on all alike and are said.

```
 camera 1 ── newest frame only ──┐
 camera 2 ── newest frame only ──┼─ round robin ──► detector pool
 camera n ── newest frame only ──┘        └── a frame that was overtaken: counted for its camera
```
Each camera has one place. A newer frame takes the place of one that still waits: the oldest news is the least worth,
and a camera with many frames cannot crowd out one with few.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

Frame = TypeVar("Frame")


class ShareCount(msgspec.Struct, frozen=True):
    """One camera's frames since the last asking: offered, judged, dropped."""

    offered: int = 0
    judged: int = 0
    dropped: int = 0


class FairShare(Generic[Frame]):
    """One place a camera, taken in turn. Not for several threads at once: its caller holds the lock."""

    def __init__(self) -> None:
        self._waiting: dict[str, Frame] = {}  # in the order of arrival; at most one a camera
        self._turn: dict[str, int] = {}
        self._turns = 0
        self._counts: dict[str, list[int]] = {}

    def offer(self, camera: str, frame: Frame) -> bool:
        """Put a frame in its camera's place. False where it pushed out one that waited (counted as dropped)."""
        counts = self._counts.setdefault(camera, [0, 0, 0])
        counts[0] += 1
        pushed = camera in self._waiting
        if pushed:
            counts[2] += 1
        self._waiting[camera] = frame
        return not pushed

    def take(self) -> tuple[str, Frame] | None:
        """The waiting frame whose camera was served longest ago; None when none waits."""
        if not self._waiting:
            return None
        camera = min(self._waiting, key=lambda name: self._turn.get(name, 0))
        self._turns += 1
        self._turn[camera] = self._turns
        self._counts[camera][1] += 1
        return camera, self._waiting.pop(camera)

    @property
    def waiting(self) -> frozenset[str]:
        """Cameras whose frame waits."""
        return frozenset(self._waiting)

    def forget(self, camera: str) -> None:
        """A camera was taken out."""
        self._waiting.pop(camera, None)
        self._turn.pop(camera, None)
        self._counts.pop(camera, None)

    def counts(self) -> dict[str, ShareCount]:
        """Since the last asking; then they start anew. Waiting frames count as offered only."""
        told = {camera: ShareCount(*counts) for camera, counts in self._counts.items()}
        self._counts = {camera: [0, 0, 0] for camera in self._counts}
        return told
