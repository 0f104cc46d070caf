"""Place book: what a brigade wants to know of a site before it is there. Values only; a file beside the site file.

    riverside.yaml          the site as its gateway runs it
    riverside.places.yaml ─► PlaceBook: plans of floors, where devices and zones are on them, the estate seen from
    plans/*.svg, *.png       above, ways in, hydrants with their live point, key-holders, response texts

Plans are in their own pixels from the upper left. The map is in metres east and north of its origin.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from device_model.alarm import Hazard
from device_model.site import Contact, Position, Tenancy, Text

Point2 = tuple[float, float]
Outline = tuple[Point2, ...]


class AreaKind(StrEnum):
    """What an area of the map is."""

    BUILDING = "building"
    LANE = "lane"  # where fire engines drive and stand
    GREEN = "green"
    WATER = "water"
    SQUARE = "square"
    OUTSIDE = "outside"  # streets and neighbours


class WaterKind(StrEnum):
    """Where fire water is taken."""

    OUTDOOR = "outdoor"
    INDOOR = "indoor"
    RISER = "riser"  # dry or wet riser inlet
    PUMP = "pump"
    TANK = "tank"
    OPEN_WATER = "open_water"


class FloorPlan(msgspec.Struct, frozen=True):
    """A drawing of one floor: an SVG or PNG file beside the places file, and its size in its own pixels."""

    id: str
    building: str
    floor: str
    file: str
    width: int
    height: int


class PlacedZone(msgspec.Struct, frozen=True):
    """A zone's outline on a plan."""

    zone: str
    plan: str
    outline: Outline


class PlacedDevice(msgspec.Struct, frozen=True):
    """Where a device is on a plan."""

    device: str
    plan: str
    x: float
    y: float


class MapArea(msgspec.Struct, frozen=True):
    """Something seen from above. building: the id of the site file, where it is one. label: where its name is
    written; None in its middle."""

    kind: AreaKind
    outline: Outline
    name: Text = Text("", "")
    building: str = ""
    label: Point2 | None = None


class EstateMap(msgspec.Struct, frozen=True):
    """The estate from above. origin: where (0, 0) is on the earth."""

    origin: Position
    areas: tuple[MapArea, ...]


class AccessPoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """A way in. at: metres east and north of the map's origin. width_m, height_m: what fits through, 0 not known."""

    id: str
    name: Text
    at: Point2
    note: Text = Text("", "")
    width_m: float = 0.0
    height_m: float = 0.0


class Hydrant(msgspec.Struct, frozen=True, omit_defaults=True):
    """Fire water. point: the live point that says whether there is any ("device.point"), low: below this in the
    point's own unit it is too little. plan, x, y: where it is inside a building."""

    id: str
    name: Text
    kind: WaterKind
    at: Point2
    point: str = ""
    low: float | None = None
    note: Text = Text("", "")
    plan: str = ""
    x: float = 0.0
    y: float = 0.0


class LocalResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is done here at a hazard, beside the response file's plan. hazards, zones, kinds: () for any."""

    title: Text
    steps: tuple[Text, ...]
    hazards: tuple[Hazard, ...] = ()
    zones: tuple[str, ...] = ()


class PlaceBook(msgspec.Struct, frozen=True):
    """A whole places file, checked. key_holders: beside the contacts of the site file; their notes say which keys."""

    site: str
    plans: tuple[FloorPlan, ...] = ()
    zones: tuple[PlacedZone, ...] = ()
    devices: tuple[PlacedDevice, ...] = ()
    map: EstateMap | None = None
    access: tuple[AccessPoint, ...] = ()
    hydrants: tuple[Hydrant, ...] = ()
    key_holders: tuple[Contact, ...] = ()
    response: tuple[LocalResponse, ...] = ()


class NamedDevice(msgspec.Struct, frozen=True):
    """A device as a page names it. kind: what it is, from its profile."""

    id: str
    zone: str
    place: Text
    kind: str


class NamedZone(msgspec.Struct, frozen=True):
    """A zone as a page names it."""

    id: str
    name: Text
    kind: str
    building: str
    building_name: Text
    floor: str
    floor_name: Text


class PlaceView(msgspec.Struct, frozen=True):
    """What pages read of a site's places. lacking: why there is no place book, "" where there is one.
    unanswered_limit_s: after so long without an answer a fire enters the dispatch queue (law 1)."""

    tenancy: Tenancy
    name: Text
    address: Text
    access_note: Text
    contacts: tuple[Contact, ...]
    zones: tuple[NamedZone, ...]
    devices: tuple[NamedDevice, ...]
    book: PlaceBook | None
    lacking: str = ""
    unanswered_limit_s: float = 120.0
