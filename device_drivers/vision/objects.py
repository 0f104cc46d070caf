"""People and vehicles: what the object detector's raw numbers mean, and where it must look closer. Pure.

```
 frame ── tiles ──► 300 x 300 each ──► model ──► 1917 anchors ──► boxes ──► overlaps merged ──► Box(label, score)
```
The model is SSD-MobileNetV2 of MediaPipe Objectron (Open Images v4); its anchors are MediaPipe's own. It loses people
below a tenth of the frame's height, so that a zone says how tall a person stands in it and is cut into tiles.
"""

from __future__ import annotations

import math
from functools import cache

import msgspec
import numpy as np
from numpy.typing import NDArray

SIDE = 300  # pixels of the model's square
LABELS = {1: "bicycle", 4: "person", 18: "vehicle", 23: "vehicle"}  # of its 24 classes, those that a scene asks for
PERSON, VEHICLE = "person", "vehicle"
MERGE = 0.5  # boxes that share so much (intersection over union) are one
INSIDE = 0.7  # a box that lies in another of its kind so far is the same thing, seen by two tiles
TALL_ENOUGH = 0.11  # of a look's height: measured, 8 % still finds most and 6 % half
TILES_MAX = 3  # a side: nine looks of 22 ms
BOXES_MAX = 64
LOWEST = 0.1  # scores below are noise and never leave this file


class Box(msgspec.Struct, frozen=True):
    """Something seen. Sides as shares 0 to 1 of the frame; score: the model's own, 0 to 1."""

    label: str
    left: float
    top: float
    right: float
    bottom: float
    score: float

    @property
    def foot(self) -> tuple[float, float]:
        """Where it stands: the middle of its lower edge, a little above, for boxes that the frame cuts."""
        return (self.left + self.right) / 2, self.top + 0.95 * (self.bottom - self.top)


class Tile(msgspec.Struct, frozen=True, order=True):
    """Part of a frame, as shares 0 to 1 of its sides."""

    left: float
    top: float
    right: float
    bottom: float


@cache
def anchors() -> NDArray[np.float32]:
    """(1917, 4) centre y, centre x, height, width as shares, in the order of the model's outputs."""
    scales = [0.2 + 0.75 * i / 5 for i in range(6)] + [1.0]
    rows: list[tuple[float, float, float, float]] = []
    for layer, stride in enumerate((16, 32, 64, 128, 256, 512)):
        scale, following = scales[layer], scales[layer + 1]
        if layer == 0:
            shapes = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
        else:
            shapes = [(scale, ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 0.3333)]
            shapes.append((math.sqrt(scale * following), 1.0))
        cells = math.ceil(SIDE / stride)
        for y in range(cells):
            for x in range(cells):
                for size, ratio in shapes:
                    root = math.sqrt(ratio)
                    rows.append(((y + 0.5) / cells, (x + 0.5) / cells, size / root, size * root))
    return np.asarray(rows, np.float32)


def boxes_of(raw_boxes: NDArray[np.float32], raw_scores: NDArray[np.float32], tile: Tile) -> list[Box]:
    """Boxes of one look, placed in the frame, strongest first. raw_boxes: (1917, 4); raw_scores: (1917, 24)."""
    found: list[Box] = []
    centre = anchors()
    for index, label in LABELS.items():
        logits = raw_scores[:, index]
        chosen = np.nonzero(logits > math.log(LOWEST / (1 - LOWEST)))[0]
        for at in chosen[np.argsort(-logits[chosen])][:BOXES_MAX]:
            y, x, high, wide = (float(v) for v in raw_boxes[at])
            cy, cx, ah, aw = (float(v) for v in centre[at])
            cy, cx = cy + y / 10 * ah, cx + x / 10 * aw
            # exp of what a broken file might say is bounded: no box is larger than some frames.
            half_h, half_w = ah * math.exp(min(4.0, high / 5)) / 2, aw * math.exp(min(4.0, wide / 5)) / 2
            box = _placed(label, (cx - half_w, cy - half_h, cx + half_w, cy + half_h), float(logits[at]), tile)
            if box is not None:
                found.append(box)
    return merged(found)


def _placed(label: str, sides: tuple[float, float, float, float], logit: float, tile: Tile) -> Box | None:
    left, top, right, bottom = (min(1.0, max(0.0, v)) if math.isfinite(v) else 0.0 for v in sides)
    if right <= left or bottom <= top:
        return None
    wide, high = tile.right - tile.left, tile.bottom - tile.top
    score = 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))
    return Box(
        label,
        tile.left + left * wide,
        tile.top + top * high,
        tile.left + right * wide,
        tile.top + bottom * high,
        round(score, 4),
    )


def merged(boxes: list[Box]) -> list[Box]:
    """Each thing once: of boxes of one label that overlap, or lie in one another, the strongest."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda b: -b.score):
        if not any(other.label == box.label and _same(other, box) for other in kept):
            kept.append(box)
        if len(kept) >= BOXES_MAX:
            break
    return kept


def _same(a: Box, b: Box) -> bool:
    shared = max(0.0, min(a.right, b.right) - max(a.left, b.left)) * max(
        0.0, min(a.bottom, b.bottom) - max(a.top, b.top)
    )
    area_a, area_b = (a.right - a.left) * (a.bottom - a.top), (b.right - b.left) * (b.bottom - b.top)
    return shared > MERGE * (area_a + area_b - shared) or shared > INSIDE * min(area_a, area_b)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    shared = max(0.0, min(a.right, b.right) - max(a.left, b.left)) * max(
        0.0, min(a.bottom, b.bottom) - max(a.top, b.top)
    )
    whole = (a.right - a.left) * (a.bottom - a.top) + (b.right - b.left) * (b.bottom - b.top) - shared
    return shared / whole if whole > 0 else 0.0


def tiles(outline: tuple[tuple[float, float], ...], person_height: float) -> tuple[tuple[Tile, ...], float]:
    """Where to look for a zone, and how tall a person then stands in a look (share of the look's height).

    person_height: how tall a person stands in the zone, as a share of the frame's height. The zone's bounding box
    with a margin of one person, cut into 1, 2 x 2 or 3 x 3 overlapping tiles.
    """
    xs, ys = [x for x, _ in outline] or [0.0, 1.0], [y for _, y in outline] or [0.0, 1.0]
    margin = person_height
    left, right = max(0.0, min(xs) - margin / 2), min(1.0, max(xs) + margin / 2)
    top, bottom = max(0.0, min(ys) - margin), min(1.0, max(ys) + margin / 4)
    wide, high = right - left, bottom - top
    for count in range(1, TILES_MAX + 1):
        share = 1.0 if count == 1 else 1 / count + 0.1  # neighbours overlap, so that nobody is cut in two by both
        tall = person_height / (high * share) if high > 0 else 0.0
        if tall >= TALL_ENOUGH or count == TILES_MAX:
            break
    if count == 1:
        return (Tile(left, top, right, bottom),), tall
    step = (1 - share) / (count - 1)
    return (
        tuple(
            Tile(
                left + i * step * wide,
                top + j * step * high,
                left + (i * step + share) * wide,
                top + (j * step + share) * high,
            )
            for j in range(count)
            for i in range(count)
        ),
        tall,
    )
