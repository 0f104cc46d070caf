"""People made unrecognisable in a picture that somebody looks at. Pure.

Every box that may be a person, from far below the score that counts one, becomes coarse cells. Without a person
detector the whole picture does: what cannot be found cannot be hidden singly (law of safety 9).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from device_drivers.vision.objects import PERSON, Box

MAYBE = 0.15  # a score of a person: missing one costs more here than hiding a pillar
CELLS_A_PERSON = 6  # across: too few for a face
CELLS_A_FRAME = 32
MARGIN = 0.15  # of the box, on each side: hair and hands


def blurred(picture: NDArray[np.uint8], boxes: list[Box] | None) -> NDArray[np.uint8]:
    """A copy. boxes: everything that was seen; None: nobody could look, so that the whole picture is made coarse."""
    out = picture.copy()
    height, width = picture.shape[:2]
    if boxes is None:
        return _coarse(out, max(4, width // CELLS_A_FRAME))
    for box in boxes:
        if box.label != PERSON or box.score < MAYBE:
            continue
        wide, high = box.right - box.left, box.bottom - box.top
        left, right = _share(box.left - MARGIN * wide, width), _share(box.right + MARGIN * wide, width)
        top, bottom = _share(box.top - MARGIN * high, height), _share(box.bottom + MARGIN * high, height)
        if right > left and bottom > top:
            cell = max(4, (right - left) // CELLS_A_PERSON)
            out[top:bottom, left:right] = _coarse(out[top:bottom, left:right], cell)
    return out


def _share(value: float, size: int) -> int:
    return round(min(1.0, max(0.0, value)) * size)


def _coarse(part: NDArray[np.uint8], cell: int) -> NDArray[np.uint8]:
    """Each square of `cell` pixels in its mean colour."""
    height, width = part.shape[:2]
    rows, columns = np.arange(0, height, cell), np.arange(0, width, cell)
    sums = np.add.reduceat(np.add.reduceat(part.astype(np.uint32), rows, 0), columns, 1)
    counts = np.diff([*rows, height])[:, None, None] * np.diff([*columns, width])[None, :, None]
    means = (sums / counts).astype(np.uint8)
    return np.asarray(means.repeat(cell, 0)[:height].repeat(cell, 1)[:, :width], np.uint8)
