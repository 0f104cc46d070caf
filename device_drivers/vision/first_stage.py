"""The cheap first look at every frame: what moved, what is bright, what flickers. It picks crops for the detector.

```
 frame ── 96 x 54 grey + brightest ──► running background ──► moved cells ┐
                                   └─► saturated cells ──► flicker ───────┴─► at most two crops, largest first
```
A crop is cut from the full frame, so that an arc of ten pixels at the far end of a yard fills the detector's square.
The whole frame is judged as well: the first stage only adds looks, it never takes one away (law of safety 7).
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]
COLUMNS, ROWS = 96, 54
CROPS_MAX = 2  # with the whole frame three looks a frame: what two cores carry for sixteen cameras
CROP_SHARE = 0.4  # of the frame's sides: an object of 2 % of the frame becomes 5 % of the square
MOVED = 18.0  # grey levels above the running background
BRIGHT = 235.0
# Motion of which no window holds a third is rain, snow or a shaken camera, and no thing to look at: its window would
# wander from frame to frame, and so many different looks in a row find something in the end.
SCATTERED = 0.35
_LEARN = 0.05  # the background follows within some twenty frames


class Crop(msgspec.Struct, frozen=True):
    """Part of a frame, as shares 0 to 1 of its sides. why: "motion" or "light"."""

    left: float
    top: float
    right: float
    bottom: float
    why: str


class FirstLook(msgspec.Struct, frozen=True):
    """What the first stage says of a frame. mean: grey 0 to 255; moved, bright: shares of the frame; flicker: mean
    change of the bright cells from frame to frame, grey levels; contrast: spread of grey; crops: where to look."""

    mean: float
    contrast: float
    moved: float
    bright: float
    flicker: float
    same_as_before: bool
    crops: tuple[Crop, ...]


class FirstStage:
    """One camera's memory. A scene that changes as a whole (lamp on, camera turned) is learnt anew, not called
    motion."""

    def __init__(self) -> None:
        self._background: Grey | None = None
        self._last: Grey | None = None

    def look(self, grey: Grey) -> FirstLook:
        """grey: ROWS x COLUMNS of the brightest channel, 0 to 255."""
        if self._background is None or self._last is None:
            self._background, self._last = grey.copy(), grey.copy()
        change = np.abs(grey - self._last)
        away = np.abs(grey - self._background)
        moved, bright = away > MOVED, grey >= BRIGHT
        if float(moved.mean()) > 0.7:
            self._background = grey.copy()
        else:
            self._background += _LEARN * (grey - self._background)
        same = not bool(change.any())
        flicker = (
            float(change[bright | (self._last >= BRIGHT)].mean())
            if bool((bright | (self._last >= BRIGHT)).any())
            else 0.0
        )
        self._last = grey.copy()
        crops: list[Crop] = []
        # Light that changes comes first: an arc moves nothing, and a walking person moves much.
        for weight, why, least in (
            (np.where(bright, 1.0 + change, 0.0), "light", 0.0),
            (np.where(moved, away, 0.0), "motion", SCATTERED),
        ):
            crop = _around(weight, why, least)
            if crop is not None and not any(_overlap(crop, other) > 0.6 for other in crops):
                crops.append(crop)
        return FirstLook(
            float(grey.mean()),
            float(grey.std()),
            float(moved.mean()),
            float(bright.mean()),
            flicker,
            same,
            tuple(crops[:CROPS_MAX]),
        )


def _around(weight: Grey, why: str, least: float) -> Crop | None:
    """The window of CROP_SHARE that holds the most weight, found on sums over the grid. None where it holds less than
    `least` of it all."""
    if float(weight.max()) <= 0:
        return None
    high, wide = int(ROWS * CROP_SHARE), int(COLUMNS * CROP_SHARE)
    sums = np.pad(weight, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    windows = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    best = float(windows.max())
    if best < least * float(weight.sum()):
        return None
    rows, columns = np.nonzero(windows >= best - 1e-6)
    # Of the windows that hold it all, the middle one: the object then lies in the middle of the crop.
    top, left = int(np.median(rows)), int(np.median(columns))
    return Crop(left / COLUMNS, top / ROWS, (left + wide) / COLUMNS, (top + high) / ROWS, why)


def _overlap(a: Crop, b: Crop) -> float:
    wide = min(a.right, b.right) - max(a.left, b.left)
    high = min(a.bottom, b.bottom) - max(a.top, b.top)
    return max(0.0, wide) * max(0.0, high) / ((a.right - a.left) * (a.bottom - a.top))
