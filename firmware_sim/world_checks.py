"""The meaning of a world: every name must name something, every number must make sense, in the file's own lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec

from device_model.profile import DeviceProfile
from device_model.quantities import QUANTITIES
from device_model.yaml_source import Path
from firmware_sim.sense import Sense, linear_between, sensor_traits, wanted_senses
from firmware_sim.world_names import BY_QUANTITY, KNOBS, READABLE, Noun
from firmware_sim.world_plan import SourceKind, SourcePlan, WorldPlan

Say = Callable[[Path, str, str], None]
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
_LISTS: dict[str, Noun] = {
    "rooms": Noun.ROOM, "doors": Noun.DOOR, "sources": Noun.SOURCE, "tanks": Noun.TANK, "pipes": Noun.PIPE,
    "rivers": Noun.RIVER, "circuits": Noun.CIRCUIT, "actuators": Noun.ACTUATOR,
}
_EVERY = frozenset({"id", "kind", "at", "start_s", "for_s", "fire"})
_FLAME = frozenset({"growth", "peak_kw", "fuel", "fuel_mj", "base_m"})
# Which fields belong to which kind, and which of them must be there (at least one of each group).
FIELDS: dict[SourceKind, tuple[frozenset[str], tuple[frozenset[str], ...]]] = {
    SourceKind.FIRE: (_FLAME, (frozenset({"peak_kw"}),)),
    SourceKind.SMOULDER: (_FLAME | {"turns_to_flame_s"}, ()),
    SourceKind.COOKING: (frozenset({"kw", "g_per_min", "base_m"}), ()),
    SourceKind.STEAM: (frozenset({"g_per_s"}), (frozenset({"g_per_s"}),)),
    SourceKind.CO: (frozenset({"g_per_min"}), (frozenset({"g_per_min"}),)),
    SourceKind.GAS: (frozenset({"gas", "kg_per_s", "l_per_min", "valve"}), (frozenset({"kg_per_s", "l_per_min"}),)),
    SourceKind.BATTERY: (frozenset({"energy_wh", "heater_w", "base_m", "valve"}), (frozenset({"energy_wh"}),)),
    SourceKind.PEOPLE: (frozenset({"people"}), (frozenset({"people"}),)),
    SourceKind.DUST: (frozenset({"g_per_s"}), (frozenset({"g_per_s"}),)),
    SourceKind.NOISE: (frozenset({"noise_db"}), (frozenset({"noise_db"}),)),
    SourceKind.WATER: (frozenset({"l_per_s", "valve"}), (frozenset({"l_per_s"}),)),
    SourceKind.HEAT: (frozenset({"kw", "base_m"}), (frozenset({"kw"}),)),
    SourceKind.BURST: (frozenset({"l_per_s", "into"}), (frozenset({"l_per_s"}),)),
    SourceKind.DEMAND: (frozenset({"l_per_s"}), (frozenset({"l_per_s"}),)),
    SourceKind.POLLUTION: (frozenset({"g_per_s"}), (frozenset({"g_per_s"}),)),
    SourceKind.LOAD: (frozenset({"amps", "leakage_ma"}), (frozenset({"amps", "leakage_ma"}),)),
}
PLACES: dict[SourceKind, tuple[str, ...]] = {
    SourceKind.BURST: ("pipes",), SourceKind.DEMAND: ("pipes", "tanks"), SourceKind.POLLUTION: ("rivers",),
    SourceKind.LOAD: ("circuits",),
}
# Numbers that may be negative; everything else in a plan must be 0 or more.
_SIGNED = frozenset({"temperature"})
# Numbers that a division or a root needs.
_MORE_THAN_0 = frozenset({"area_m2", "height_m", "volume_m3", "flow_m3_per_s", "pressure_kpa", "capacity_l_per_s",
                          "voltage_v", "width_m"})


class WorldCheck:
    """Checks `world:` and says what is wrong; then answers what its names mean, for events and senses."""

    def __init__(self, plan: WorldPlan, say: Say) -> None:
        self._plan = plan
        self._say = say
        self.nouns: dict[str, Noun] = {"outdoor": Noun.OUTDOOR}
        for key, noun in _LISTS.items():
            for item in getattr(plan, key):
                self.nouns.setdefault(item.id, noun)

    def check(self, point_of: Callable[[str, Path], None]) -> None:
        """Say every mistake. point_of(name, path) checks that device.point is a point that commands."""
        seen = {"outdoor"}
        for key in _LISTS:
            for i, item in enumerate(getattr(self._plan, key)):
                at: Path = ("world", key, i)
                if not _ID.match(item.id):
                    self._say((*at, "id"), f"{item.id!r} is no id", "use a-z, 0-9, - and _")
                if item.id in seen:
                    self._say((*at, "id"), f"the id {item.id!r} stands twice in the world", "make it unique")
                seen.add(item.id)
                self._numbers(item, at)
                self._names(item, at)
        for i, source in enumerate(self._plan.sources):
            self._source(source, ("world", "sources", i))
        for i, door in enumerate(self._plan.doors):
            at = ("world", "doors", i, "between")
            rooms = self._ids("rooms")
            if len(door.between) != 2 or door.between[0] == door.between[1]:
                self._say(at, "a door stands between two rooms", "write between: [room, room] or [room, outdoor]")
            for j, name in enumerate(door.between):
                if name not in rooms and not (j == 1 and name == "outdoor"):
                    self._known(name, rooms, "room", at)
        for i, actuator in enumerate(self._plan.actuators):
            if actuator.point:
                point_of(actuator.point, ("world", "actuators", i, "point"))

    def _ids(self, *keys: str) -> set[str]:
        return {item.id for key in keys for item in getattr(self._plan, key)}

    def _known(self, name: str, known: Iterable[str], noun: str, path: Path) -> None:
        if name not in known:
            there = ", ".join(sorted(known)[:12]) or "none yet"
            self._say(path, f"no {noun} {name!r} in the world", f"{noun}s: {there}")

    def _numbers(self, item: msgspec.Struct, at: Path) -> None:
        for field in item.__struct_fields__:
            value = getattr(item, field)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if field in _MORE_THAN_0 and value <= 0:
                self._say((*at, field), f"{field} must be more than 0", "write a positive number")
            elif value < 0 and field not in _SIGNED:
                self._say((*at, field), f"{field} must not be negative", "write 0 or more")

    def _names(self, item: msgspec.Struct, at: Path) -> None:
        for field in ("fan", "valve", "pump", "climate_switch", "switch"):
            name = getattr(item, field, "")
            if name:
                self._known(name, self._ids("actuators"), "actuator", (*at, field))
        for field in ("spills_into", "into"):
            name = getattr(item, field, "")
            if name:
                self._known(name, self._ids("rooms"), "room", (*at, field))

    def _source(self, source: SourcePlan, at: Path) -> None:
        keys = PLACES.get(source.kind, ("rooms",))
        self._known(source.at, self._ids(*keys), " or ".join(key[:-1] for key in keys), (*at, "at"))
        may, must = FIELDS[source.kind]
        plain = {field.name: field.default for field in msgspec.structs.fields(SourcePlan)}
        for name, default in plain.items():
            if name not in may | _EVERY and getattr(source, name) != default:
                self._say((*at, name), f"{name} means nothing to a source of kind {source.kind}",
                          f"it takes: {', '.join(sorted(may))}")
        for group in must:
            if all(getattr(source, name) == plain[name] for name in group):
                self._say(at, f"the {source.kind} source {source.id} lacks {' or '.join(sorted(group))}",
                          f"add `{sorted(group)[0]}:`")
        if source.kind is SourceKind.SMOULDER and source.turns_to_flame_s > 0 and source.peak_kw <= 0:
            self._say(at, f"{source.id} turns to flames without a peak_kw", "add `peak_kw:`")

    # ---- names used elsewhere -------------------------------------------------------------------------

    def knob(self, name: str, value: object, path: Path) -> None:
        """An event turns this."""
        thing, _, key = name.rpartition(".")
        self._known(thing, self.nouns, "thing", path)
        noun = self.nouns.get(thing)
        if noun is None:
            return
        knob = KNOBS[noun].get(key)
        if knob is None:
            self._say(path, f"{key!r} of {thing} cannot be turned", f"turn one of: {', '.join(KNOBS[noun])}")
        elif not isinstance(value, bool | int | float) or not knob.low <= float(value) <= knob.high:
            self._say(path, f"{name} takes a number from {knob.low:g} to {knob.high:g}, not {value!r}",
                      "write such a number, or true or false")

    def senses(self, profile: DeviceProfile, place: str, senses: dict[str, Sense], at: Path) -> None:
        """What a device reads."""
        noun = self.nouns.get(place) if place else None
        if place:
            self._known(place, self.nouns, "place", (*at, "place"))
            if noun is None:
                return
        for point_id in senses:
            if profile.point(point_id) is None:
                self._say((*at, "senses", point_id), f"{profile.id} has no point {point_id!r}",
                          f"points: {', '.join(p.id for p in profile.points)}")
        wanted = list(wanted_senses(profile, place, noun, senses))
        if noun is not None and not wanted:
            self._say((*at, "place"), f"no point of {profile.id} reads anything of a {noun}",
                      f"it gives: {', '.join(sorted(BY_QUANTITY[noun]))}; or say `senses:`")
        for one in wanted:
            where: Path = (*at, "senses", one.point) if one.point in senses else (*at, "place")
            thing, _, quantity = one.name.rpartition(".")
            self._known(thing, self.nouns, "thing", where)
            of = self.nouns.get(thing)
            if of is None:
                continue
            readable = READABLE[of].get(quantity)
            point = profile.point(one.point)
            if readable is None or point is None:
                self._say(where, f"{thing} gives no {quantity!r}", f"a {of} gives: {', '.join(READABLE[of])}")
                continue
            if QUANTITIES[point.quantity].text:
                self._say(where, f"{one.point} is a text", "read a number or an alarm")
                continue
            traits = sensor_traits(point, readable.unit, one.sense)
            if linear_between(readable.unit, traits.unit) is None and one.sense.factor == 1.0:
                self._say(where, f"{one.name} is in {readable.unit}, {one.point} wants {traits.unit}",
                          "read a quantity of the same kind, or say by which `factor:` it is to be multiplied")
