"""Zones and masks drawn on a camera's picture, and what holds in each of them.

A zone is a polygon in shares of the picture (0 to 1), drawn on a snapshot, with thresholds of its own. A mask is a
polygon that is painted over before anything looks: a neighbour's window, a street. What lies in a mask is not judged,
not stored, not shown.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from device_drivers.vision.model_card import CLASSES
from device_drivers.vision.pooling import Spot
from device_drivers.vision.temporal import FLICKERING, STRICT, Decision, LightMemory, TemporalJudge, TemporalRule
from device_model.errors import ConfigError, Finding

Corner = tuple[float, float]
CORNERS_MAX = 64
HEADCOUNT, NO_ENTRY, FIRE_LANE = "headcount", "no_entry", "fire_lane"
SCENES = (HEADCOUNT, NO_ENTRY, FIRE_LANE)


class ZoneView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A zone in the picture. outline: corners; empty means the whole picture. thresholds: a class's probability,
    where it is not the shipped one. watch: the classes that count here (a kitchen's flame is its work). scenes: what
    else is asked, of headcount, no_entry, fire_lane; person_height: how tall a person stands in the zone, as a share
    of the picture's height."""

    id: str
    outline: tuple[Corner, ...] = ()
    thresholds: dict[str, float] = {}
    watch: tuple[str, ...] = CLASSES
    scenes: tuple[str, ...] = ()
    person_height: float = 0.15


def check_zone(zone: ZoneView, place: str) -> list[Finding]:
    """What is wrong with a drawn zone, for people."""
    findings = []
    if zone.outline and not 3 <= len(zone.outline) <= CORNERS_MAX:
        findings.append(Finding(place, 0, 0, f"zone {zone.id} has {len(zone.outline)} corners", "draw 3 to 64"))
    if any(not (0 <= x <= 1 and 0 <= y <= 1) for x, y in zone.outline):
        findings.append(Finding(place, 0, 0, f"zone {zone.id} leaves the picture", "corners are shares, 0 to 1"))
    unknown = (set(zone.thresholds) | set(zone.watch)) - set(CLASSES)
    if unknown:
        findings.append(
            Finding(
                place, 0, 0, f"zone {zone.id} names {', '.join(sorted(unknown))}", f"classes are {', '.join(CLASSES)}"
            )
        )
    if set(zone.scenes) - set(SCENES):
        findings.append(
            Finding(
                place, 0, 0, f"zone {zone.id} asks for {', '.join(sorted(set(zone.scenes) - set(SCENES)))}",
                f"scenes are {', '.join(SCENES)}",
            )
        )
    if not 0.01 <= zone.person_height <= 1:
        findings.append(
            Finding(place, 0, 0, f"zone {zone.id}: person_height {zone.person_height}", "a share, 0.01 to 1")
        )
    if any(not 0 < t < 1 for t in zone.thresholds.values()):
        findings.append(
            Finding(place, 0, 0, f"zone {zone.id}: a threshold is not between 0 and 1", "write 0.5 or so")
        )
    return findings


def inside(outline: tuple[Corner, ...], x: float, y: float) -> bool:
    """Whether a point lies in a polygon (even-odd rule). An empty outline holds everything."""
    if not outline:
        return True
    held = False
    for (x1, y1), (x2, y2) in zip(outline, (*outline[1:], outline[0]), strict=True):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            held = not held
    return held


def touches(outline: tuple[Corner, ...], spot: Spot) -> bool:
    """Whether a spot and an outline have any point in common, also where one lies wholly in the other."""
    if not outline or inside(outline, (spot.left + spot.right) / 2, (spot.top + spot.bottom) / 2):
        return True
    return any(_crosses(one, other, spot) for one, other in zip(outline, (*outline[1:], outline[0]), strict=True))


def _crosses(one: Corner, other: Corner, spot: Spot) -> bool:
    """Whether the line between two corners has any point in the spot (Liang and Barsky)."""
    enters, leaves = 0.0, 1.0
    for at, to, low, high in ((one[0], other[0], spot.left, spot.right), (one[1], other[1], spot.top, spot.bottom)):
        run = to - at
        if run == 0:
            if not low <= at <= high:
                return False
            continue
        first, last = sorted(((low - at) / run, (high - at) / run))
        enters, leaves = max(enters, first), min(leaves, last)
    return enters <= leaves


def paint_masks(picture: NDArray[np.uint8], masks: tuple[tuple[Corner, ...], ...]) -> NDArray[np.uint8]:
    """A copy with the masked polygons grey. picture: (height, width, 3)."""
    if not masks:
        return picture
    painted = picture.copy()
    height, width = picture.shape[:2]
    for outline in masks:
        painted[_filled(outline, height, width)] = 127
    return painted


def _filled(outline: tuple[Corner, ...], height: int, width: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[0:height, 0:width]
    px, py = (x + 0.5) / width, (y + 0.5) / height
    held = np.zeros((height, width), bool)
    for (x1, y1), (x2, y2) in zip(outline, (*outline[1:], outline[0]), strict=True):
        if y1 == y2:
            continue
        held ^= ((y1 > py) != (y2 > py)) & (px < (x2 - x1) * (py - y1) / (y2 - y1) + x1)
    return held


class SceneState(msgspec.Struct, frozen=True):
    """What holds in a zone of a camera."""

    zone: str
    name: str
    score: float
    decision: Decision


class CameraScenes:
    """All zones and classes of one camera over time. Raises ConfigError for zones that are drawn wrongly."""

    def __init__(
        self, camera: str, zones: tuple[ZoneView, ...], thresholds: dict[str, float], rule: TemporalRule
    ) -> None:
        findings = [finding for zone in zones for finding in check_zone(zone, camera)]
        if findings:
            raise ConfigError(findings)
        self.zones = zones or (ZoneView("whole"),)
        self._shipped = thresholds
        self._light = LightMemory()
        self._judges = {
            (zone.id, name): TemporalJudge(
                rule, self.threshold(zone, name), name in FLICKERING, name in STRICT, self._light
            )
            for zone in self.zones
            for name in zone.watch
        }

    def threshold(self, zone: ZoneView, name: str) -> float:
        """The zone's own, else the shipped one."""
        return zone.thresholds.get(name, self._shipped[name])

    def least(self, name: str) -> float:
        """The lowest threshold of a class in any zone: from there on it matters where in the picture it is. 1 where
        nobody watches for it."""
        return min((self.threshold(zone, name) for zone in self.zones if name in zone.watch), default=1.0)

    def frame(
        self,
        scores: dict[str, float],
        spots: dict[str, list[Spot]],
        light: float,
        now_us: int,
        *,
        elsewhere: bool = False,
    ) -> list[SceneState]:
        """One judged frame. scores: a class's probability over the whole frame and its crops; spots: where.

        A zone that is part of the picture takes the score of the strongest spot in it; without any spot it takes the
        frame's score only when it is the whole picture, so that a fire next door is next door's.
        """
        states = []
        self._light.add(light, now_us, elsewhere=elsewhere)
        for zone in self.zones:
            for name in zone.watch:
                score = scores[name]
                if zone.outline:
                    score = max(
                        (spot.score for spot in spots.get(name, ()) if touches(zone.outline, spot)), default=0.0
                    )
                decision = self._judges[zone.id, name].frame(score, light, now_us, elsewhere=elsewhere)
                states.append(SceneState(zone.id, name, round(score, 4), decision))
        return states
