"""What the map of the district reads (values only): where the sites are, and what is drawn below them.

All places are (latitude, longitude) in degrees, in the one datum of the view: whoever makes it converts.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from device_model.site import Text

Place = tuple[float, float]
# More sites than a street office or brigade serves; what is beyond is counted, and found on the board.
SITES_MAX = 2000


class MapSite(msgspec.Struct, frozen=True, omit_defaults=True):
    """A site on the map. at: None where its file names no position. access: where engines drive in; origin: where
    (0, 0) of its estate's drawing is; zones: the building of each zone, so that the burning one can be lit."""

    path: str
    name: Text
    address: Text
    at: Place | None = None
    access: Place | None = None
    origin: Place | None = None
    zones: dict[str, str] = {}


class BaseFeature(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something of the base map: kind road, water, green, border, building or place; parts: its lines, or the rings
    of its areas (closed), or one point each."""

    kind: str
    shape: str  # "line", "area" or "point"
    parts: tuple[tuple[Place, ...], ...]
    name: Text = Text("", "")


class Tiles(msgspec.Struct, frozen=True):
    """Pictures of a server of maps. url with {z}, {x} and {y}; zoom_max: the nearest that it has."""

    url: str
    attribution: str
    zoom_max: int


class MapView(msgspec.Struct, frozen=True):
    """All of it. left_out: sites beyond SITES_MAX."""

    datum: str
    sites: tuple[MapSite, ...]
    left_out: int
    base: tuple[BaseFeature, ...]
    tiles: Tiles | None


class DistrictMap(Protocol):
    """What a program brings."""

    @property
    def tiles_from(self) -> str:
        """Scheme and host of the server of maps, which browsers must be allowed to ask; "" where there is none."""

    async def view(self, scope: str) -> MapView:
        """The map as far as a scope sees it."""
