"""From the net's grid of logits to one score a class and to spots in the picture.

The net judges every cell of a grid, and the picture as a whole. A class's logit is the log-mean-exp of its eight
strongest cells plus the whole picture's: a distant arc that fills one cell counts, and a mean over all would lose it.
tools/vision_train/backbone.py trains with the same formula.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
STRONGEST = 8


class Spot(msgspec.Struct, frozen=True):
    """Where a class was seen: left, top, right, bottom as shares of the picture, 0 to 1, and how surely, 0 to 1."""

    left: float
    top: float
    right: float
    bottom: float
    score: float


def pooled_logits(logits: Floats) -> Floats:
    """(…, classes, cells + 1) to (…, classes): the last column is the whole picture's own logit."""
    cells = np.sort(logits[..., :-1], axis=-1)[..., -STRONGEST:]
    top = cells.max(-1)
    return np.asarray(top + np.log(np.exp(cells - top[..., None]).mean(-1)) + logits[..., -1], np.float32)


def calibrated(logit: Floats, slope: Floats, offset: Floats) -> Floats:
    """Probability by Platt's line, one slope and offset a class."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logit * slope + offset, -40, 40))), np.float32)


def spots(logits: Floats, side: int, slope: float, offset: float, threshold: float) -> list[Spot]:
    """Boxes around neighbouring cells of one class whose own score passes. logits: (cells + 1,)."""
    grid = (logits[:-1] + logits[-1]).reshape(side, side)
    score = 1.0 / (1.0 + np.exp(-np.clip(grid * slope + offset, -40, 40)))
    open_cells = {(int(y), int(x)) for y, x in np.argwhere(score >= threshold)}
    found: list[Spot] = []
    while open_cells:
        patch, edge = set(), [open_cells.pop()]
        while edge:
            y, x = edge.pop()
            patch.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & open_cells
            open_cells -= near
            edge.extend(near)
        ys, xs = [y for y, _ in patch], [x for _, x in patch]
        found.append(
            Spot(
                min(xs) / side,
                min(ys) / side,
                (max(xs) + 1) / side,
                (max(ys) + 1) / side,
                round(float(max(score[cell] for cell in patch)), 4),
            )
        )
    return sorted(found, key=lambda spot: -spot.score)
