"""~ Making people unknowable in pictures that leave the site: boxes of the person detector, where it is installed.

An empty detection is no proof that nobody is there, so that a picture in which it finds nobody is made coarse as a
whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from device_drivers.vision.label_commands import Blur, boxed
from device_drivers.vision.object_detector import ObjectDetector
from device_drivers.vision.objects import PERSON, Tile
from device_drivers.vision.pooling import Spot
from device_model.errors import LocalFault

SURE = 0.15  # far below what counts as a person elsewhere: a blurred bottle costs nothing, a known face does
HALVES = (0.0, 0.4)
TILES = (Tile(0.0, 0.0, 1.0, 1.0), *(Tile(x, y, x + 0.6, y + 0.6) for x in HALVES for y in HALVES))


def people_blur() -> Blur | None:
    """The blur of an export; None where the person detector is not installed: then whole pictures are made coarse."""
    try:
        detector = ObjectDetector()
    except LocalFault:
        return None

    def people(picture: NDArray[np.uint8]) -> list[Spot]:
        return [
            Spot(b.left, b.top, b.right, b.bottom, b.score)
            for b in detector.see(picture, TILES)
            if b.label == PERSON and b.score >= SURE
        ]

    return boxed(people)
