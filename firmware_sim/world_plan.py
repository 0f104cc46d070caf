"""WorldPlan: the surroundings of the devices as a scenario states them: rooms, doors, sources, water, wires, valves.

    rooms ─ doors ─ rooms          air, heat, smoke, gas, people            room.py, door.py
      ▲ sources                    fire, leak, steam, battery, people …     source.py, fire_growth.py, battery_cell.py
    tanks, pipes, rivers           water                                    tank.py, pipe.py
    circuits                       electricity                              circuit.py
    actuators ◄── device.point     valves, fans, pumps, switches            actuator.py

Units stand last in every name. What each number means physically is said where it is used (the files on the right).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class RoomPlan(msgspec.Struct, frozen=True):
    """A room, a floor, a garage, or a piece of open air (give it many air changes).

    air_changes_per_h: natural exchange with outdoors. fan: actuator whose fan draws fan_m3_per_h from the ceiling.
    temperature, humidity: at the beginning; climate_kw: heating or cooling power that holds this temperature;
    climate_switch: actuator that gives it power, "" for always on. drain_l_per_s: what the floor drain takes.
    noise_db: background. light_lx: by day or lamp.
    """

    id: str
    area_m2: float
    height_m: float = 2.5
    temperature: float | None = None
    humidity: float = 45.0
    air_changes_per_h: float = 0.5
    fan: str = ""
    fan_m3_per_h: float = 0.0
    climate_kw: float = 2.0
    climate_switch: str = ""
    drain_l_per_s: float = 0.0
    people: int = 0
    noise_db: float = 35.0
    light_lx: float = 200.0


class DoorPlan(msgspec.Struct, frozen=True):
    """A door, window or other opening between two rooms; the second may be `outdoor`."""

    id: str
    between: tuple[str, ...]
    width_m: float = 0.9
    height_m: float = 2.0
    open: bool = True


class SourceKind(StrEnum):
    """What begins in the world."""

    FIRE = "fire"  # flames that grow with t²
    SMOULDER = "smoulder"  # a smouldering bed or sofa (and flames after turns_to_flame_s)
    COOKING = "cooking"  # frying: warm, a little smoke
    STEAM = "steam"  # a shower, a kettle
    CO = "co"  # a bad flue
    GAS = "gas"  # a leak of fuel gas
    BATTERY = "battery"  # thermal runaway of a battery
    PEOPLE = "people"
    DUST = "dust"
    NOISE = "noise"
    WATER = "water"  # water that runs into a room
    BURST = "burst"  # a hole in a pipe
    DEMAND = "demand"  # a tap or hydrant on a pipe, an outlet of a tank
    POLLUTION = "pollution"  # something poured into a river
    LOAD = "load"  # current in a circuit
    HEAT = "heat"  # a heater, a motor: heat without smoke


class Growth(StrEnum):
    """The t² classes of NFPA 72 and ISO 13387."""

    SLOW = "slow"
    MEDIUM = "medium"
    FAST = "fast"
    ULTRAFAST = "ultrafast"


class Gas(StrEnum):
    """Fuel gases that leak."""

    METHANE = "methane"
    PROPANE = "propane"
    LPG = "lpg"
    HYDROGEN = "hydrogen"


class Fuel(StrEnum):
    """What burns."""

    WOOD = "wood"
    PAPER = "paper"
    POLYURETHANE = "polyurethane"
    POLYSTYRENE = "polystyrene"
    OIL = "oil"  # cooking oil, heptane
    CLEAN = "clean"  # a gas burner


class SourcePlan(msgspec.Struct, frozen=True):
    """Something that begins at start_s and lasts for_s (0: to the end, or until it has burnt out).

    at: room, pipe, tank, river or circuit, by kind. fire: the id that truth lines carry. The other fields belong to
    one kind each; source.py says what each does, and a field of another kind is an error.
    valve: actuator upstream: closed, nothing comes. base_m: height of what burns over the floor.
    """

    id: str
    kind: SourceKind
    at: str
    start_s: float = 0.0
    for_s: float = 0.0
    fire: str = ""
    valve: str = ""
    base_m: float = 0.3
    growth: Growth = Growth.MEDIUM
    peak_kw: float = 0.0
    fuel: Fuel = Fuel.WOOD
    fuel_mj: float = 0.0
    turns_to_flame_s: float = 0.0
    g_per_min: float = 0.0
    g_per_s: float = 0.0
    kg_per_s: float = 0.0
    l_per_min: float = 0.0
    l_per_s: float = 0.0
    gas: Gas = Gas.METHANE
    energy_wh: float = 0.0
    heater_w: float = 0.0
    people: int = 0
    noise_db: float = 0.0
    amps: float = 0.0
    leakage_ma: float = 0.0
    kw: float = 0.0
    into: str = ""


class TankPlan(msgspec.Struct, frozen=True):
    """An open tank. valve: actuator in its fill line. float_m: where its own float closes the fill, 0 for none.
    overflow_m: level of the overflow edge (0: height_m). spills_into: room that the overflow floods."""

    id: str
    area_m2: float
    height_m: float
    level_m: float
    inflow_l_per_s: float = 0.0
    outflow_l_per_s: float = 0.0
    overflow_m: float = 0.0
    float_m: float = 0.0
    valve: str = ""
    spills_into: str = ""


class PipePlan(msgspec.Struct, frozen=True):
    """A water pipe. pressure_kpa: at rest. capacity_l_per_s: flow at which its feed has lost all pressure.
    demand_l_per_s: ordinary draw at rest pressure. valve: actuator at its beginning. pump: actuator of a pump that
    adds pump_kpa."""

    id: str
    pressure_kpa: float
    capacity_l_per_s: float = 20.0
    demand_l_per_s: float = 0.0
    valve: str = ""
    pump: str = ""
    pump_kpa: float = 0.0


class RiverPlan(msgspec.Struct, frozen=True):
    """A reach of a river, well mixed. background_mg_per_l: what it carries of the pollutant anyway."""

    id: str
    volume_m3: float
    flow_m3_per_s: float
    background_mg_per_l: float = 0.0
    level_m: float = 1.0


class CircuitPlan(msgspec.Struct, frozen=True):
    """A circuit of the mains. switch: actuator that feeds it, "" for always fed."""

    id: str
    voltage_v: float = 230.0
    amps: float = 0.0
    leakage_ma: float = 0.0
    switch: str = ""


class PowerLoss(StrEnum):
    """What an actuator does when the device that commands it has no power."""

    STAYS = "stays"
    OPENS = "opens"
    CLOSES = "closes"


class ActuatorPlan(msgspec.Struct, frozen=True):
    """A valve, fan, pump or switch. `open` is "open" of a valve, "on" of all else.

    point: device.point that commands it (a relay, a valve's own switch); "" for one that only people move.
    opens_when: the value of that point which opens it. open: at the beginning; None: as the point says (open without
    a point). Where it is stated, the point's first value moves nothing; its first change does.
    travel_s: from one end to the other.
    """

    id: str
    point: str = ""
    opens_when: bool = True
    open: bool | None = None
    travel_s: float = 0.0
    on_power_loss: PowerLoss = PowerLoss.STAYS


class OutdoorPlan(msgspec.Struct, frozen=True):
    """The weather. Dust in ug/m3."""

    temperature: float = 15.0
    humidity: float = 60.0
    dust_ug_m3: float = 30.0
    noise_db: float = 45.0
    wind_m_per_s: float = 2.0
    rain_mm: float = 0.0
    light_lx: float = 5000.0


class WorldPlan(msgspec.Struct, frozen=True):
    """All that surrounds the devices."""

    outdoor: OutdoorPlan = OutdoorPlan()
    rooms: tuple[RoomPlan, ...] = ()
    doors: tuple[DoorPlan, ...] = ()
    sources: tuple[SourcePlan, ...] = ()
    tanks: tuple[TankPlan, ...] = ()
    pipes: tuple[PipePlan, ...] = ()
    rivers: tuple[RiverPlan, ...] = ()
    circuits: tuple[CircuitPlan, ...] = ()
    actuators: tuple[ActuatorPlan, ...] = ()
