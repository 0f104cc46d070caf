"""Reads a places file (pure): YAML held against the site that it belongs to; every error with line and remedy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import PurePosixPath

from device_model.errors import ConfigError, Finding
from device_model.inventory import Inventory
from device_model.place_book import (
    NamedDevice,
    NamedZone,
    Outline,
    PlaceBook,
    PlacedDevice,
    PlaceView,
    Point2,
)
from device_model.site import Site, Text
from device_model.yaml_source import Path, Source, convert, parse_yaml

# An estate of a hundred buildings has so much; more is a mistake. Pages draw all of it.
PLANS_MAX = 400
AREAS_MAX = 1000
OUTLINE_MAX = 200
HYDRANTS_MAX = 200
SIDE_MAX = 20_000  # pixels of a plan, metres of a map
PICTURES = (".svg", ".png")


def parse_places(text: str, file: str, inventory: Inventory) -> PlaceBook:
    """A places file of that site. Raises ConfigError with every finding."""
    source = parse_yaml(text, file)
    findings: list[Finding] = []
    book = convert(source, (), PlaceBook, findings)
    if book is None or findings:
        raise ConfigError(findings)
    findings = list(_Check(book, source, inventory).findings())
    if findings:
        raise ConfigError(findings)
    return book


def place_view(inventory: Inventory, book: PlaceBook | None, lacking: str = "") -> PlaceView:
    """What pages read: names from the site file beside the book; devices that the site file places on a plan of its
    own stand there, unless the book says otherwise."""
    site = inventory.site
    if book is not None:
        book = _with_site_positions(site, book)
    nowhere = Text("", "")
    zones = []
    for zone in site.zones:
        building = next((one for one in site.buildings if one.id == zone.building), None)
        floor = next((one for one in building.floors if one.id == zone.floor), None) if building else None
        zones.append(NamedZone(zone.id, zone.name, zone.kind, zone.building, building.name if building else nowhere,
                               zone.floor, floor.name if floor else nowhere))
    devices = tuple(
        NamedDevice(device.id, device.zone, device.place, inventory.profiles[device.profile].device_class.value)
        for device in site.devices)
    return PlaceView(site.tenancy, site.name, site.address, site.access_note, site.contacts, tuple(zones), devices,
                     book, lacking, site.unanswered_limit_s)


def _with_site_positions(site: Site, book: PlaceBook) -> PlaceBook:
    """An installer's drag on the plan stands in the site file; the book's own word goes before it."""
    placed = {one.device for one in book.devices}
    plan_of = {(plan.building, plan.floor): plan for plan in book.plans}
    more = []
    for device in site.devices:
        zone = site.zone(device.zone)
        plan = plan_of.get((zone.building, zone.floor)) if zone is not None else None
        if plan is None or device.id in placed or device.plan_x is None or device.plan_y is None:
            continue
        if 0 <= device.plan_x <= plan.width and 0 <= device.plan_y <= plan.height:
            more.append(PlacedDevice(device.id, plan.id, device.plan_x, device.plan_y))
    if not more:
        return book
    return PlaceBook(book.site, book.plans, book.zones, (*book.devices, *more), book.map, book.access, book.hydrants,
                     book.key_holders, book.response)


class _Check:
    """What a places file says, held against itself and the site."""

    def __init__(self, book: PlaceBook, source: Source, inventory: Inventory) -> None:
        self._book, self._source, self._inventory = book, source, inventory
        self._site = inventory.site
        self._plans = {plan.id: plan for plan in book.plans}

    def findings(self) -> Iterator[Finding]:
        """All of them, in the order of the file."""
        path = self._site.tenancy.path
        if self._book.site != path:
            yield self._at(("site",), f"{self._book.site!r} is not the site beside it", f"write {path}")
        yield from self._counts()
        yield from self._floor_plans()
        yield from self._placed()
        yield from self._seen_from_above()
        yield from self._water()
        yield from self._answers()

    def _at(self, path: Path, what: str, remedy: str) -> Finding:
        return self._source.finding(path, what, remedy)

    def _counts(self) -> Iterator[Finding]:
        book = self._book
        areas = book.map.areas if book.map else ()
        for key, entries, most in (("plans", book.plans, PLANS_MAX), ("map", areas, AREAS_MAX),
                                   ("hydrants", book.hydrants, HYDRANTS_MAX), ("access", book.access, HYDRANTS_MAX),
                                   ("key_holders", book.key_holders, HYDRANTS_MAX)):
            if len(entries) > most:
                yield self._at((key,), f"{len(entries)} entries", f"{most} at most")
        for key, names in (("plans", [p.id for p in book.plans]), ("hydrants", [h.id for h in book.hydrants]),
                           ("access", [a.id for a in book.access]), ("devices", [d.device for d in book.devices])):
            for i, name in enumerate(names):
                if name in names[:i]:
                    yield self._at((key, i), f"{name!r} stands twice", "keep one")

    def _floor_plans(self) -> Iterator[Finding]:
        floors = {(building.id, floor.id) for building in self._site.buildings for floor in building.floors}
        for i, plan in enumerate(self._book.plans):
            if (plan.building, plan.floor) not in floors:
                yield self._at(("plans", i), f"there is no floor {plan.floor!r} of building {plan.building!r}",
                               "name a floor of the site file")
            name = PurePosixPath(plan.file)
            if name.is_absolute() or ".." in name.parts or name.suffix.lower() not in PICTURES:
                yield self._at(("plans", i, "file"), f"{plan.file!r} is no picture beside this file",
                               "an .svg or .png in this folder or below it")
            if not (0 < plan.width <= SIDE_MAX and 0 < plan.height <= SIDE_MAX):
                yield self._at(("plans", i), f"{plan.width} × {plan.height} is no size", f"1 to {SIDE_MAX} pixels")

    def _placed(self) -> Iterator[Finding]:
        for i, zone in enumerate(self._book.zones):
            if self._site.zone(zone.zone) is None:
                yield self._at(("zones", i, "zone"), f"there is no zone {zone.zone!r}", "name one of the site file")
            yield from self._on_plan(("zones", i), zone.plan, zone.outline)
            yield from self._outline(("zones", i, "outline"), zone.outline)
        for i, device in enumerate(self._book.devices):
            if device.device not in self._inventory.devices:
                yield self._at(("devices", i, "device"), f"there is no device {device.device!r}",
                               "name one of the site file")
            yield from self._on_plan(("devices", i), device.plan, ((device.x, device.y),))

    def _on_plan(self, at: Path, plan: str, points: Outline) -> Iterator[Finding]:
        known = self._plans.get(plan)
        if known is None:
            yield self._at((*at, "plan"), f"there is no plan {plan!r}", "name one under `plans:`")
        elif not all(0 <= x <= known.width and 0 <= y <= known.height for x, y in points):
            yield self._at(at, f"lies outside the plan of {known.width} × {known.height}",
                           "pixels from the plan's upper left corner")

    def _outline(self, at: Path, outline: Outline) -> Iterator[Finding]:
        if not 3 <= len(outline) <= OUTLINE_MAX:
            yield self._at(at, f"an outline of {len(outline)} points", f"3 to {OUTLINE_MAX}")

    def _metres(self, at: Path, point: Point2) -> Iterator[Finding]:
        if not all(math.isfinite(value) and abs(value) <= SIDE_MAX for value in point):
            yield self._at(at, f"{list(point)} is no place of an estate", "metres east and north of the map's origin")

    def _seen_from_above(self) -> Iterator[Finding]:
        buildings = {building.id for building in self._site.buildings}
        for i, area in enumerate(self._book.map.areas if self._book.map else ()):
            at: Path = ("map", "areas", i)
            if area.building and area.building not in buildings:
                yield self._at((*at, "building"), f"there is no building {area.building!r}",
                               "name one of the site file")
            yield from self._outline((*at, "outline"), area.outline)
            for point in area.outline:
                yield from self._metres((*at, "outline"), point)
        for i, way in enumerate(self._book.access):
            yield from self._metres(("access", i, "at"), way.at)
            if way.width_m < 0 or way.height_m < 0:
                yield self._at(("access", i), "less than nothing fits through", "metres, or leave it out")

    def _water(self) -> Iterator[Finding]:
        for i, hydrant in enumerate(self._book.hydrants):
            yield from self._metres(("hydrants", i, "at"), hydrant.at)
            if hydrant.plan:
                yield from self._on_plan(("hydrants", i), hydrant.plan, ((hydrant.x, hydrant.y),))
            point = self._inventory.points.get(hydrant.point)
            if hydrant.point and point is None:
                yield self._at(("hydrants", i, "point"), f"there is no point {hydrant.point!r}",
                               "device and point of the site file, as tank.level")
            elif point is not None and point.quantity not in ("pressure", "level", "flow"):
                yield self._at(("hydrants", i, "point"), f"{hydrant.point} is {point.quantity}, not water",
                               "a point of pressure, level or flow")
            if hydrant.low is not None and point is None:
                yield self._at(("hydrants", i, "low"), "a limit without a point says nothing", "name its point, too")

    def _answers(self) -> Iterator[Finding]:
        for i, response in enumerate(self._book.response):
            for zone in response.zones:
                if self._site.zone(zone) is None:
                    yield self._at(("response", i, "zones"), f"there is no zone {zone!r}",
                                   "name one of the site file")
            if not response.steps:
                yield self._at(("response", i), "a response without steps", "write at least one step")
