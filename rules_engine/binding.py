"""Rules × inventory = watches: which points a rule looks at, resolved once when an engine is made.

A rule bound per point makes one watch per point that matches; per device, zone or site one per subject. A subject
that lacks a point the condition names (`device.head_present`) is not watched by that rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from device_model.alarm import LIFE_SAFETY, AlarmKey, Hazard
from device_model.inventory import Inventory, Point
from device_model.profile import Certainty, DeviceClass
from device_model.site import Zone
from rules_engine.cell import Cell
from rules_engine.condition_compile import compile_condition
from rules_engine.condition_types import (
    About,
    AirIndex,
    Arithmetic,
    Both,
    Compare,
    Grade,
    Known,
    Lasting,
    Not,
    Over,
    PointRef,
    Several,
    Term,
)
from rules_engine.evaluate import House, Watch
from rules_engine.local_time import LocalTime
from rules_engine.permit_names import (
    PERMIT_DEFAULTS,
    PERMIT_QUANTITY,
    PLACE,
    permit_label,
    permit_point,
    place_point,
)
from rules_engine.rule import Bind, Per, Rule, RuleSet, Runs


class Bound:
    """What binding gives: all watches, all cells, and which watches look at which cell.

    on_change: cell index → watches to judge when quality or reason changed, or the value became known or unknown.
    on_value: those of them to judge when only the value changed; the others look at quality and reason alone.
    on_sample: cell index → watches to judge at every proof of freshness, because they look at the time between.
    refused: watches that were not armed because law refuses unchecked profiles for life safety.
    """

    def __init__(self) -> None:
        self.watches: list[Watch] = []
        self.refused: list[Watch] = []
        self.cells: dict[str, Cell] = {}
        self.on_change: dict[int, tuple[int, ...]] = {}
        self.on_value: dict[int, tuple[int, ...]] = {}
        self.on_sample: dict[int, tuple[int, ...]] = {}


def bind_rules(rules: RuleSet, inventory: Inventory, house: House, extra_silence_us: int) -> Bound:
    """Bind all rules that this end decides. extra_silence_us: how much later than its profile says a point is
    called silent here (the cloud hears thinned telemetry)."""
    bound = Bound()
    for index, point in enumerate(inventory.points.values()):
        limit = round(point.spec.stale_after_s * 1e6)
        bound.cells[point.name] = Cell(
            point.name, point.quantity, device=point.device.id, zone=point.zone, index=index,
            limit_us=limit + extra_silence_us if limit else 0, trembles=point.spec.natural_noise > 0)
    clock = LocalTime(inventory.site.time_zone)
    places = _Places(inventory)
    on_change: dict[int, list[int]] = {}
    on_value: dict[int, list[int]] = {}
    on_sample: dict[int, list[int]] = {}
    for rule in rules.deciding:
        if rule.runs is not Runs.BOTH and rule.runs.value != house.decides:
            continue
        sampled = _needs_samples(rule.condition) or (rule.clear is not None and _needs_samples(rule.clear))
        valued = sampled or _looks_at_values(rule.condition) or (
            rule.clear is not None and _looks_at_values(rule.clear))
        for subject in _subjects(rule, places):
            watch = _watch(rule, subject, places=places, bound=bound, house=house, clock=clock)
            if watch is None:
                continue
            for cell in watch.cells:
                on_change.setdefault(cell.index, []).append(watch.index)
                if valued:
                    on_value.setdefault(cell.index, []).append(watch.index)
                if sampled:
                    on_sample.setdefault(cell.index, []).append(watch.index)
    bound.on_change = {cell: tuple(watches) for cell, watches in on_change.items()}
    bound.on_value = {cell: tuple(watches) for cell, watches in on_value.items()}
    bound.on_sample = {cell: tuple(watches) for cell, watches in on_sample.items()}
    return bound


class _Places:
    """The inventory by quantity and its zones by id, so that binding stays linear in rules and points."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        self.zones: dict[str, Zone] = {zone.id: zone for zone in inventory.site.zones}
        self.by_quantity: dict[str, list[Point]] = {}
        self.by_tag: dict[str, list[Point]] = {}
        self.order: dict[str, int] = {}
        for index, point in enumerate(inventory.points.values()):
            self.by_quantity.setdefault(point.quantity, []).append(point)
            self.order[point.name] = index
            for tag in point.device.tags:
                self.by_tag.setdefault(tag, []).append(point)

    def candidates(self, bind: Bind) -> list[Point]:
        """Points of the rule's quantities, in site order; fewer where it names tags."""
        if bind.tags:
            fewest = min((self.by_tag.get(tag, []) for tag in bind.tags), key=len)
            return [point for point in fewest if point.quantity in bind.quantities]
        found = [point for quantity in bind.quantities for point in self.by_quantity.get(quantity, ())]
        return sorted(found, key=lambda one: self.order[one.name])


class _Subject:
    """What one watch is about."""

    def __init__(self, key: str, point: Point | None = None, device: str = "", zone: Zone | None = None) -> None:
        self.key, self.point, self.device, self.zone = key, point, device, zone


def _subjects(rule: Rule, places: _Places) -> Iterator[_Subject]:
    bind, inventory, site = rule.bind, places.inventory, places.inventory.site
    if bind.per is Per.SITE:
        yield _Subject("site")
    elif bind.per is Per.ZONE:
        for zone in site.zones:
            if not bind.zone_kinds or zone.kind in bind.zone_kinds:
                yield _Subject(f"zone:{zone.id}", zone=zone)
    elif bind.per is Per.DEVICE:
        for device in site.devices:
            points = inventory.of_device(device.id)
            zone_of = places.zones.get(device.zone)
            if points and _device_fits(rule, points[0], zone_of):
                yield _Subject(f"device:{device.id}", device=device.id, zone=zone_of)
    else:
        for point in places.candidates(bind):
            zone_of = places.zones.get(point.zone)
            if (not bind.points or point.spec.id in bind.points) and not point.spec.writable \
                    and _device_fits(rule, point, zone_of):
                yield _Subject(point.name, point=point, device=point.device.id, zone=zone_of)


def _device_fits(rule: Rule, point: Point, zone: Zone | None) -> bool:
    bind, tags = rule.bind, point.device.tags
    return (
        (not bind.device_classes or point.profile.device_class in bind.device_classes)
        and (not bind.zone_kinds or (zone is not None and zone.kind in bind.zone_kinds))
        and all(tag in tags for tag in bind.tags)
        and not any(tag in tags for tag in bind.without_tags)
    )


class _SubjectBinder:
    """Where a condition's names become cells, for one subject."""

    def __init__(self, subject: _Subject, places: _Places, cells: dict[str, Cell], clock: LocalTime,
                 watch: Watch) -> None:
        self._subject, self._places, self._cells = subject, places, cells
        self._inventory = places.inventory
        self.clock, self.wakes, self.lasting = clock, watch.wakes, watch.lasting
        self.used: dict[str, Cell] = {}

    def cell(self, ref: PointRef) -> Cell:
        if ref.scope == "value" and self._subject.point is not None:
            return self._use(self._subject.point)
        if ref.scope == "device" and self._subject.device:
            for point in self._inventory.of_device(self._subject.device):
                if point.quantity == ref.name:
                    return self._use(point)
        if ref.scope == "reference":
            for point in self._places.by_quantity.get(ref.name, ()):
                if "reference" in point.device.tags:
                    return self._use(point)
        if ref.scope == "name" and ref.name.startswith(PLACE):
            return self._place_cell(ref.name.removeprefix(PLACE))
        if ref.scope == "name":
            return self._permit_cell(ref.name.partition(".")[2])
        raise KeyError(ref.name)

    def _permit_cell(self, fact: str) -> Cell:
        """A fact of the permits of the subject's zone; without any permit it has a value too."""
        name = permit_point(self._subject.zone.id if self._subject.zone else "", fact)
        cell = self._cells.get(name)
        if cell is None:
            cell = self._cells[name] = Cell(
                name, PERMIT_QUANTITY[fact], device="", zone="", index=len(self._cells), limit_us=0)
            cell.label = permit_label(fact)
            cell.begin_with(PERMIT_DEFAULTS[fact])
        return self.used.setdefault(name, cell)

    def _place_cell(self, fact: str) -> Cell:
        """What the site file says of the zone; KeyError where it says nothing."""
        zone = self._subject.zone
        if zone is None or zone.people_limit is None:
            raise KeyError(fact)
        name = place_point(zone.id, fact)
        if name not in self._cells:
            cell = self._cells[name] = Cell(name, "people", device="", zone="", index=len(self._cells), limit_us=0)
            cell.label = "limit of the place"
            cell.begin_with(float(zone.people_limit))
        return self.used.setdefault(name, self._cells[name])

    def members(self, scope: str, quantity: str) -> Sequence[Cell]:
        # An output that is only written is never heard, so it does not stand among "all points".
        if scope == "site" and quantity:
            return [self._use(point) for point in self._places.by_quantity.get(quantity, ())]
        return [self._use(point) for point in self._in_scope(scope)
                if point.quantity == quantity or (not quantity and not point.spec.writable)]

    def _in_scope(self, scope: str) -> Sequence[Point]:
        site, zone = self._inventory.site, self._subject.zone
        if scope == "site":
            return list(self._inventory.points.values())
        if scope == "device":
            return self._inventory.of_device(self._subject.device)
        if zone is None:
            return []
        if scope == "zone":
            return self._inventory.in_zone(zone.id)
        zones = [other.id for other in site.zones if other.building == zone.building
                 and (scope == "building" or other.floor == zone.floor)]
        return [point for other in zones for point in self._inventory.in_zone(other)]

    def _use(self, point: Point) -> Cell:
        return self.used.setdefault(point.name, self._cells[point.name])


def _watch(
    rule: Rule, subject: _Subject, *, places: _Places, bound: Bound, house: House, clock: LocalTime
) -> Watch | None:
    """An armed watch, or None where the subject lacks what the condition names or law refuses it."""
    inventory = places.inventory
    profile = inventory.profiles[inventory.devices[subject.device].profile] if subject.device else None
    is_call_point = profile is not None and profile.device_class is DeviceClass.CALL_POINT
    watch = Watch(rule, AlarmKey(rule.id, subject.key), index=len(bound.watches), house=house,
                  zone=subject.zone.id if subject.zone else "", device=subject.device,
                  testable=rule.hazard is not Hazard.CALL_POINT and not is_call_point)
    if subject.point is not None and rule.hazard in LIFE_SAFETY and subject.point.spec.certainty is Certainty.C:
        watch.index = len(bound.refused)
        watch.cells = (bound.cells[subject.point.name],)
        bound.refused.append(watch)
        return None
    binder = _SubjectBinder(subject, places, bound.cells, clock, watch)
    try:
        when, say = compile_condition(rule.condition, binder)
        clear = compile_condition(rule.clear, binder)[0] if rule.clear is not None else None
    except KeyError:
        return None
    if not binder.used and subject.point is None and _reads_points(rule.condition):
        return None  # a zone without any such point
    if _asks_stuck(rule.condition) and not any(cell.trembles for cell in binder.used.values()):
        return None  # nothing of it trembles: it could never be said to be stuck
    watch.arm(when, say, clear, list(binder.used.values()))
    bound.watches.append(watch)
    return watch


def _parts(term: Term) -> Iterator[Term]:
    yield term
    if isinstance(term, Both | Compare | Arithmetic):
        yield from _parts(term.left)
        yield from _parts(term.right)
    elif isinstance(term, Not | Known | Lasting | AirIndex | Grade):
        yield from _parts(term.operand)
    elif isinstance(term, Several):
        yield from _parts(term.body)


def _asks_stuck(term: Term) -> bool:
    return any(isinstance(part, About) and part.function == "stuck" for part in _parts(term))


def _needs_samples(term: Term) -> bool:
    """Whether proof of freshness alone can change its answer."""
    return any(isinstance(part, Over) or (isinstance(part, About) and (
        part.function == "age" or (part.function == "silent" and part.limit_s > 0)))
               for part in _parts(term))


def _looks_at_values(term: Term) -> bool:
    """Whether a value that changes, of a point that stays as good or bad as it was, can change its answer."""
    return any(isinstance(part, PointRef | Over) for part in _parts(term))


def _reads_points(term: Term) -> bool:
    return any(isinstance(part, Several | PointRef | Over | About) for part in _parts(term))
