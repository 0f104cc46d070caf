"""Surroundings: the world of a scenario in motion, on a fixed grid. Values in, values out; no device is known here.

    commands ─► actuators ─► shares ─┐
    events, sliders ─► knobs ────────┼─► sources ─► rooms, pipes, tanks, rivers, circuits ─► doors ─► read(name)
    clock ─► at_s ───────────────────┘

Order of a step: actuators travel; sources give; pipes and tanks run (and flood rooms); rooms settle; doors pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from firmware_sim.actuator import Actuator
from firmware_sim.circuit import Circuit
from firmware_sim.door import Door
from firmware_sim.noise import Noise
from firmware_sim.pipe import Pipe
from firmware_sim.room import Outside, Room
from firmware_sim.room_view import RoomView
from firmware_sim.source import Place, Source
from firmware_sim.tank import River, Tank
from firmware_sim.world_names import KNOBS, READABLE, Knob, Noun, Readable, level_sum
from firmware_sim.world_plan import SourceKind, WorldPlan

Thing = Outside | Room | Door | Source | Tank | Pipe | River | Circuit | Actuator
_FLAMES = frozenset({SourceKind.FIRE, SourceKind.SMOULDER, SourceKind.BATTERY})
# Somebody awake in a room is seen moving about twice a minute, for 3 s each (assumed).
_MOVES_PER_S = 2.0 / 60.0
_MOVING_S = 3.0


class Happening(msgspec.Struct, frozen=True):
    """Something that turned in the world. what: "on", "open", "closed", "spill", "stage", "door"."""

    id: str
    what: str
    value: bool | float | str
    fire: str = ""


class Surroundings:
    """All of it. first: what the points that command actuators say at the beginning, by actuator id.

    Raises KeyError for a name that is not in the plan: world_checks.py speaks to people before that.
    """

    def __init__(self, plan: WorldPlan, seed: int = 0, first: Mapping[str, bool | None] | None = None) -> None:
        self.plan = plan
        self.outside = Outside(plan.outdoor)
        self.rooms = {room.id: Room(room, self.outside) for room in plan.rooms}
        self.tanks = {tank.id: Tank(tank) for tank in plan.tanks}
        self.pipes = {pipe.id: Pipe(pipe) for pipe in plan.pipes}
        self.rivers = {river.id: River(river) for river in plan.rivers}
        self.circuits = {circuit.id: Circuit(circuit) for circuit in plan.circuits}
        said = first or {}
        self.actuators = {item.id: Actuator(item, said.get(item.id)) for item in plan.actuators}
        self.doors = {door.id: Door(door, self.rooms[door.between[0]], self.rooms.get(door.between[1]))
                      for door in plan.doors}
        places: dict[str, Place] = {**self.rooms, **self.tanks, **self.pipes, **self.rivers, **self.circuits}
        self.sources = {item.id: Source(item, places[item.at], self.rooms.get(item.into)) for item in plan.sources}
        self._nouns: dict[str, tuple[Noun, Thing]] = {"outdoor": (Noun.OUTDOOR, self.outside)}
        for noun, things in ((Noun.ROOM, self.rooms), (Noun.DOOR, self.doors), (Noun.SOURCE, self.sources),
                             (Noun.TANK, self.tanks), (Noun.PIPE, self.pipes), (Noun.RIVER, self.rivers),
                             (Noun.CIRCUIT, self.circuits), (Noun.ACTUATOR, self.actuators)):
            for name, thing in things.items():
                self._nouns[name] = (noun, thing)
        self._in_room = {name: [source for source in self.sources.values() if source.place is room]
                         for name, room in self.rooms.items()}
        self._noise = {name: Noise(seed, "people", name) for name in self.rooms}
        self._moving_until: dict[str, float] = dict.fromkeys(self.rooms, -1.0)
        self._seen: dict[tuple[str, str], bool | float | str] = {}
        self._happened: list[Happening] = []  # a few a step, taken after each (take_happenings)
        self._set_shares()
        self._people(0.0, 0.0)
        self._look()
        self._happened.clear()

    # ---- time -----------------------------------------------------------------------------------------

    def step(self, at_s: float, step_s: float) -> None:
        """Let the step that ends at at_s pass."""
        for actuator in self.actuators.values():
            actuator.step(step_s)
        self._set_shares()
        for room in self.rooms.values():
            room.begin()
        for source in self.sources.values():
            source.step(at_s, step_s)
        self._people(at_s, step_s)
        for pipe in self.pipes.values():
            pipe.step(step_s)
        for source in self.sources.values():
            if source.into is not None and source.burning and isinstance(source.place, Pipe):
                source.into.water_l += source.place.lost_l_per_s * step_s
        for tank in self.tanks.values():
            spilled = tank.step(step_s)
            tank.demand_l_per_s = 0.0
            if spilled and tank.plan.spills_into:
                self.rooms[tank.plan.spills_into].water_l += spilled
        for river in self.rivers.values():
            river.step(step_s)
        for circuit in self.circuits.values():
            circuit.step(step_s)
        for room in self.rooms.values():
            room.step(step_s)
        for door in self.doors.values():
            door.step(step_s)
        self._look()

    def _share(self, actuator: str, without: float = 1.0) -> float:
        return self.actuators[actuator].position if actuator else without

    def _set_shares(self) -> None:
        for room in self.rooms.values():
            room.fan_share = self._share(room.plan.fan)
            room.climate_on = self._share(room.plan.climate_switch) > 0.5
        for tank in self.tanks.values():
            tank.valve_share = self._share(tank.plan.valve)
        for pipe in self.pipes.values():
            pipe.valve_share = self._share(pipe.plan.valve)
            pipe.pump_share = self._share(pipe.plan.pump, 0.0)
        for circuit in self.circuits.values():
            circuit.fed = self._share(circuit.plan.switch) > 0.5
        for source in self.sources.values():
            source.valve_share = self._share(source.plan.valve)

    def _people(self, at_s: float, step_s: float) -> None:
        for name, room in self.rooms.items():
            people, levels = room.base_people, [room.base_noise_db]
            flaming = False
            for source in self._in_room[name]:
                if not source.burning:
                    continue
                if source.plan.kind is SourceKind.PEOPLE:
                    people += source.amount
                elif source.plan.kind is SourceKind.NOISE:
                    levels.append(source.amount)
                elif source.plan.kind in _FLAMES:
                    flaming = True
            if people > room.people:
                room.entered += people - room.people
            else:
                room.left += room.people - people
            room.people = people
            room.flaming = flaming
            room.noise_db = level_sum(levels)
            if people >= 1.0 and room.motion > 0.0 and step_s > 0.0:
                chance = -math.expm1(-_MOVES_PER_S * people * room.motion * step_s)
                if self._noise[name].unit() < chance:
                    self._moving_until[name] = at_s + _MOVING_S
            room.moving = at_s < self._moving_until[name]

    # ---- what stands in it ----------------------------------------------------------------------------

    def noun(self, name: str) -> Noun:
        """What kind of thing an id is. Raises KeyError."""
        return self._nouns[name][0]

    def thing(self, name: str) -> Thing:
        """The thing of an id. Raises KeyError."""
        return self._nouns[name][1]

    def ids(self) -> list[str]:
        """All ids, `outdoor` first."""
        return list(self._nouns)

    def view(self, room: str, height_m: float | None = None, distance_m: float | None = None) -> RoomView:
        """A place in a room: breathing height in its middle unless said; the distance to what burns is a third of
        the room's width unless said. Raises KeyError."""
        it = self.rooms[room]
        height = min(it.height, 1.5) if height_m is None else height_m
        return RoomView(it, height, math.sqrt(it.plan.area_m2) / 3.0 if distance_m is None else distance_m)

    def read(self, name: str, height_m: float | None = None, distance_m: float | None = None) -> float:
        """`<id>.<quantity>` now, in the unit of world_names.READABLE. Raises KeyError."""
        thing_id, _, quantity = name.rpartition(".")
        noun, thing = self._nouns[thing_id]
        readable: Readable = READABLE[noun][quantity]
        if noun is Noun.ROOM:
            return float(readable.read(self.view(thing_id, height_m, distance_m)))
        return float(readable.read(thing))

    def readings(self) -> dict[str, float]:
        """Everything that can be read, by name: for pages, plots and verdicts."""
        return {f"{thing_id}.{quantity}": self.read(f"{thing_id}.{quantity}")
                for thing_id, (noun, _) in self._nouns.items() for quantity in READABLE[noun]}

    def knobs(self) -> dict[str, Knob]:
        """Everything that can be turned, by name."""
        return {f"{thing_id}.{key}": knob for thing_id, (noun, _) in self._nouns.items()
                for key, knob in KNOBS[noun].items()}

    def turn(self, name: str, value: float | bool) -> None:
        """Turn a knob; beyond its ends it stays at the end. Raises KeyError."""
        thing_id, _, key = name.rpartition(".")
        noun, thing = self._nouns[thing_id]
        knob = KNOBS[noun][key]
        knob.turn(thing, min(knob.high, max(knob.low, float(value))))

    def fires_near(self, room: str) -> str:
        """The fire id of a source that gives something in this room or in one that open doors lead to, or ""."""
        reached, waiting = {room}, [room]
        while waiting:
            here = waiting.pop(0)
            for source in self.sources.values():
                if source.burning and source.plan.fire and source.plan.at == here:
                    return source.plan.fire
            for door in self.doors.values():
                a, b = door.plan.between
                if door.open_share > 0.0 and here in (a, b):
                    beyond = b if here == a else a
                    if beyond in self.rooms and beyond not in reached:
                        reached.add(beyond)
                        waiting.append(beyond)
        return ""

    def take_happenings(self) -> list[Happening]:
        """What turned since the last call; the caller must call it after each step."""
        happened, self._happened = self._happened, []
        return happened

    def _look(self) -> None:
        for name, source in self.sources.items():
            self._tell(name, "on", source.burning, source.plan.fire)
            if source.pack is not None:
                self._tell(name, "stage", source.pack.stage.value, source.plan.fire)
        for name, door in self.doors.items():
            self._tell(name, "open", door.open_share > 0.0)
        for name, actuator in self.actuators.items():
            self._tell(name, "open", actuator.opened)
            self._tell(name, "closed", actuator.closed)
        for name, tank in self.tanks.items():
            self._tell(name, "spill", tank.spilling > 0.0)

    def _tell(self, name: str, what: str, value: bool | float | str, fire: str = "") -> None:
        if self._seen.get((name, what)) != value:
            self._seen[name, what] = value
            self._happened.append(Happening(name, what, value, fire))
