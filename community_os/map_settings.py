"""`map:` of cloud.yaml, and the base map that it names (pure): every error with its place and remedy.

    map:
      base: district.geojson       streets, water, green, borders of your own: works without any net (RFC 7946)
      base_datum: WGS-84
      tiles: https://maps.example.org/{z}/{x}/{y}.png      optional; browsers ask this server themselves
      tiles_datum: GCJ-02
      attribution: © …
      zoom_max: 18
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import msgspec

from dashboards.district_map import BaseFeature, Place
from device_model.datum import convert
from device_model.errors import ConfigError, Finding
from device_model.site import Datum, Text

# A district's main streets and waters; more belongs on a server of tiles. What a phone still draws at once.
BASE_BYTES_MAX = 4 * 2**20
FEATURES_MAX = 5000
POSITIONS_MAX = 100_000
KINDS = ("road", "water", "green", "border", "building", "place")
_TILES = re.compile(r"(https?)://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?(/[!-~]*)")
_LINE = {"LineString": 0, "MultiLineString": 1}
_AREA = {"Polygon": 1, "MultiPolygon": 2}
_POINT = {"Point": -1, "MultiPoint": 0}

Where = tuple[str | int, ...]


class MapSettings(msgspec.Struct, frozen=True):
    """The whole of it; every key may be left out: then the sites stand on plain ground."""

    base: str = ""
    base_datum: Datum = Datum.WGS_84
    tiles: str = ""
    tiles_datum: Datum = Datum.WGS_84
    attribution: str = ""
    zoom_max: int = 18

    @property
    def datum(self) -> Datum:
        """In which everything is drawn: pictures cannot be moved, all else can."""
        return self.tiles_datum if self.tiles else Datum.WGS_84

    @property
    def tiles_from(self) -> str:
        """Scheme and host of the server of tiles, "" for none."""
        written = _TILES.fullmatch(self.tiles)
        return f"{written[1]}://{written[2]}{written[3] or ''}" if written else ""


def map_faults(settings: MapSettings, loopback: Callable[[str], bool]) -> list[tuple[Where, str, str]]:
    """(where, what, remedy) of everything that does not fit. loopback: whether a host is this machine."""
    found: list[tuple[Where, str, str]] = []
    written = _TILES.fullmatch(settings.tiles)
    if settings.tiles and (written is None or not (written[1] == "https" or loopback(written[2].strip("[]")))):
        found.append((("tiles",), f"{settings.tiles!r} is no https address",
                      "write https://host/{z}/{x}/{y}.png; plain http is for 127.0.0.1 alone"))
    elif settings.tiles and not all(part in settings.tiles for part in ("{z}", "{x}", "{y}")):
        found.append((("tiles",), f"{settings.tiles!r} does not say where zoom, column and row go",
                      "write {z}, {x} and {y}"))
    if settings.tiles and not settings.attribution:
        found.append((("attribution",), "whose map it is stands nowhere", "name its source: the licence asks for it"))
    if not 1 <= settings.zoom_max <= 22:
        found.append((("zoom_max",), f"zoom_max {settings.zoom_max} is no zoom", "1 to 22"))
    return found


def parse_base_map(body: bytes, file: str, source: Datum, target: Datum) -> tuple[BaseFeature, ...]:
    """A GeoJSON FeatureCollection in the datum of the view. Raises ConfigError with all findings (the first 20)."""
    if len(body) > BASE_BYTES_MAX:
        raise ConfigError([Finding(file, 0, 0, f"larger than {BASE_BYTES_MAX // 2**20} MiB",
                                   "keep main streets and waters; for more name a server of `tiles:`")])
    try:
        whole: Any = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as error:
        raise ConfigError([Finding(file, 0, 0, f"not JSON: {error}", "write a GeoJSON FeatureCollection")]) from error
    features = whole.get("features") if isinstance(whole, dict) else None
    if not isinstance(features, list) or whole.get("type") != "FeatureCollection":
        raise ConfigError([Finding(file, 0, 0, "no FeatureCollection", "see examples/cloud/district.geojson")])
    if len(features) > FEATURES_MAX:
        raise ConfigError([Finding(file, 0, 0, f"{len(features)} features", f"at most {FEATURES_MAX}")])
    read = _Reader(source, target)
    findings, kept = list[Finding](), list[BaseFeature]()
    for number, feature in enumerate(features, 1):
        try:
            kept.append(read.feature(feature))
        except ValueError as error:
            what, _, remedy = str(error).partition("|")
            findings.append(Finding(file, 0, 0, f"feature {number}: {what}", remedy))
        if len(findings) == 20:
            break
    if findings:
        raise ConfigError(findings)
    return tuple(kept)


class _Reader:
    """Reads features, and counts their positions."""

    def __init__(self, source: Datum, target: Datum) -> None:
        self._source, self._target, self._left = source, target, POSITIONS_MAX

    def feature(self, feature: Any) -> BaseFeature:
        """One. Raises ValueError("what|remedy")."""
        geometry, said = _mapping(feature, "geometry"), _mapping(feature, "properties")
        kind, form = said.get("kind"), geometry.get("type")
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r} of its properties is not known|one of {', '.join(KINDS)}")
        for shape, forms in (("line", _LINE), ("area", _AREA), ("point", _POINT)):
            if form in forms:
                parts = tuple(self._parts(geometry.get("coordinates"), forms[form]))
                if any(len(part) < {"line": 2, "area": 4, "point": 1}[shape] for part in parts):
                    raise ValueError("too few positions|a line has two or more, a ring four or more")
                return BaseFeature(kind, shape, parts, Text(_word(said, "name_en"), _word(said, "name_zh")))
        raise ValueError(f"geometry {form!r} is not drawn|one of {', '.join((*_LINE, *_AREA, *_POINT))}")

    def _parts(self, coordinates: Any, depth: int) -> list[tuple[Place, ...]]:
        """Lists of positions, however deep they lie. depth -1: a bare position."""
        if depth == -1:
            return [(self._place(coordinates),)]
        if not isinstance(coordinates, list):
            raise ValueError("coordinates are no list|see RFC 7946, 3.1")
        if depth == 0:
            return [tuple(self._place(one) for one in coordinates)]
        return [part for one in coordinates for part in self._parts(one, depth - 1)]

    def _place(self, position: Any) -> Place:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"more than {POSITIONS_MAX} positions in all|draw it coarser")
        numbers = position[:2] if isinstance(position, list) and len(position) in (2, 3) else ()
        if len(numbers) != 2 or any(isinstance(one, bool) or not isinstance(one, int | float) for one in numbers):
            raise ValueError(f"{str(position)[:40]} is no position|[longitude, latitude], in degrees")
        longitude, latitude = float(numbers[0]), float(numbers[1])
        if not (math.isfinite(latitude) and abs(latitude) <= 85 and abs(longitude) <= 180):
            raise ValueError(f"[{longitude}, {latitude}] is not on the map|[longitude, latitude], in this order")
        latitude, longitude = convert(latitude, longitude, self._source, self._target)
        return round(latitude, 7), round(longitude, 7)


def _mapping(feature: Any, key: str) -> dict[str, Any]:
    value = feature.get(key) if isinstance(feature, dict) else None
    if not isinstance(value, dict):
        raise ValueError(f"has no {key}|see RFC 7946, 3.2")
    return value


def _word(said: dict[str, Any], key: str) -> str:
    """A name, as far as it is one; pages write it as text."""
    value = said.get(key) or said.get("name") or ""
    return value[:80] if isinstance(value, str) else ""
