"""One camera's places: when to look for people and vehicles, where, and what each zone says then. Pure.

A look costs 22 ms a tile, so that it is made each `every_s` and not with every frame; zones that share tiles share
the look. Without a detector, or while the camera is blind, every zone says unknown.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from device_drivers.vision.camera_health import CameraState
from device_drivers.vision.objects import Box, Tile, merged, tiles
from device_drivers.vision.places import PlaceJudge, PlaceRule, PlaceState, ZoneSight
from device_drivers.vision.reports import BLIND_STATES
from device_drivers.vision.scenes import ZoneView

See = Callable[[NDArray[np.uint8], tuple[Tile, ...]], list[Box]]


class PlaceWatch:
    """All zones of a camera that ask for people or vehicles."""

    def __init__(self, zones: tuple[ZoneView, ...], rule: PlaceRule) -> None:
        self._zones = tuple(zone for zone in zones if zone.scenes)
        self._rule = rule
        self._judges = {zone.id: PlaceJudge(zone, rule) for zone in self._zones}
        self._tiles = {zone.id: tiles(zone.outline, zone.person_height) for zone in self._zones}
        self._next_us = 0
        self.boxes: tuple[Box, ...] = ()
        self.states: tuple[PlaceState, ...] = tuple(judge.state for judge in self._judges.values())

    @property
    def asked(self) -> bool:
        """Whether any zone asks."""
        return bool(self._zones)

    def due(self, now_us: int) -> bool:
        """Whether it is time for a look."""
        return self.asked and now_us >= self._next_us

    def look(
        self, picture: NDArray[np.uint8], see: See | None, state: CameraState, now_us: int
    ) -> tuple[PlaceState, ...]:
        """One look. see: None where there is no detector."""
        self._next_us = now_us + int(self._rule.every_s * 1e6)
        why = "no person detector" if see is None else (state.value if state in BLIND_STATES else "")
        if why or see is None:
            return self.blind(why)
        seen: dict[tuple[Tile, ...], list[Box]] = {}
        for places, _ in self._tiles.values():
            if places not in seen:
                seen[places] = see(picture, places)
        self.boxes = tuple(merged([box for boxes in seen.values() for box in boxes]))
        self.states = tuple(
            self._judges[zone.id].frame(seen[self._tiles[zone.id][0]], self._sight(picture, zone), now_us)
            for zone in self._zones
        )
        return self.states

    def blind(self, why: str) -> tuple[PlaceState, ...]:
        """Nothing can be said."""
        self.boxes = ()
        self.states = tuple(judge.blind(why) for judge in self._judges.values())
        return self.states

    def _sight(self, picture: NDArray[np.uint8], zone: ZoneView) -> ZoneSight:
        xs, ys = [x for x, _ in zone.outline] or [0.0, 1.0], [y for _, y in zone.outline] or [0.0, 1.0]
        height, width = picture.shape[:2]
        top, left = int(min(ys) * (height - 8)), int(min(xs) * (width - 8))
        part = picture[top : max(top + 8, int(max(ys) * height)) : 4, left : max(left + 8, int(max(xs) * width)) : 4]
        grey = part.mean(-1)
        return ZoneSight(float(grey.mean()), float(grey.std()), self._tiles[zone.id][1])
