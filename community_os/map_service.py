"""Where the configured sites are, for the map of the district (I/O: its base map is a file).

    site files (position, way in) ─┐
    place books (estate's origin) ─┼─► one datum ──► MapView of a scope
    map: of cloud.yaml ────────────┘
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog

from community_os.map_settings import BASE_BYTES_MAX, MapSettings, parse_base_map
from community_os.place_shelf import PlaceShelf
from dashboards.district_map import SITES_MAX, BaseFeature, MapSite, MapView, Place, Tiles
from dashboards.rights import covers
from device_model.datum import convert
from device_model.errors import ConfigError, Finding
from device_model.inventory import Inventory
from device_model.site import Position

_log = structlog.get_logger("tocsin.map")


class MapService:
    """Implements `dashboards.district_map.DistrictMap`."""

    def __init__(self, settings: MapSettings, sites: Mapping[str, Inventory], shelf: PlaceShelf) -> None:
        """sites: as they are at each look; gateways are claimed while the pages run."""
        self._settings, self._sites, self._shelf = settings, sites, shelf
        self._base: tuple[BaseFeature, ...] = ()
        try:
            self._base = read_base_map(settings)
        except ConfigError as error:
            # A drawing below the alarms is no reason to show none.
            _log.error("base map left out", reason=str(error))

    @property
    def tiles_from(self) -> str:
        """Scheme and host of the server of tiles."""
        return self._settings.tiles_from

    async def view(self, scope: str) -> MapView:
        """The map as far as a scope sees it."""
        own = self._settings
        seen = [path for path in sorted(self._sites) if covers(scope, path)]
        return MapView(
            own.datum.value, tuple(self._site(path, self._sites[path]) for path in seen[:SITES_MAX]),
            max(0, len(seen) - SITES_MAX), self._base,
            Tiles(own.tiles, own.attribution, own.zoom_max) if own.tiles else None)

    def _site(self, path: str, inventory: Inventory) -> MapSite:
        site, places = inventory.site, self._shelf.view(path)
        book = places.book if places is not None else None
        return MapSite(path, site.name, site.address, self._drawn(site.position), self._drawn(site.access_point),
                       self._drawn(book.map.origin if book is not None and book.map is not None else None),
                       {zone.id: zone.building for zone in places.zones} if places is not None else {})

    def _drawn(self, position: Position | None) -> Place | None:
        if position is None:
            return None
        latitude, longitude = convert(position.latitude, position.longitude, position.datum, self._settings.datum)
        return round(latitude, 7), round(longitude, 7)


def read_base_map(settings: MapSettings) -> tuple[BaseFeature, ...]:
    """The base map of the settings, () where they name none. Raises ConfigError."""
    if not settings.base:
        return ()
    try:
        with Path(settings.base).open("rb") as file:
            body = file.read(BASE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError([Finding(settings.base, 0, 0, f"cannot be read: {error.strerror or error}",
                                   "name a GeoJSON file at `map: {base: …}` of cloud.yaml")]) from error
    return parse_base_map(body, settings.base, settings.base_datum, settings.datum)
