"""World names: what can be read of the world and what can be turned in it, as `<id>.<quantity>`.

    kitchen.smoke   roof-tank.level   main.pressure   gas-valve.closed      read by senses, events, verdicts, pages
    kitchen-door.open   leak.amount   tap.on   main.hydrant                 turned by events, sliders

One table per kind of thing; the checker of scenarios, the sensors and the tester's page all use these tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import msgspec


class Noun(StrEnum):
    """The kinds of things in a world."""

    OUTDOOR = "outdoor"
    ROOM = "room"
    DOOR = "door"
    SOURCE = "source"
    TANK = "tank"
    PIPE = "pipe"
    RIVER = "river"
    CIRCUIT = "circuit"
    ACTUATOR = "actuator"


class Readable(msgspec.Struct, frozen=True):
    """What can be read: UCUM unit, and how. The function takes the thing (a RoomView for rooms)."""

    unit: str
    read: Callable[[Any], float]


class Knob(msgspec.Struct, frozen=True):
    """What can be turned: between low and high."""

    unit: str
    low: float
    high: float
    turn: Callable[[Any, float], None]


def level_sum(levels: list[float]) -> float:
    """Sound levels together, dB."""
    return 10.0 * math.log10(sum(10.0 ** (level / 10.0) for level in levels)) if levels else 0.0


def _attribute(name: str) -> Callable[[Any, float], None]:
    def turn(thing: Any, value: float) -> None:
        setattr(thing, name, value)

    return turn


def _weather(name: str) -> Callable[[Any, float], None]:
    def turn(thing: Any, value: float) -> None:
        thing.knobs[name] = value
        thing.renew()

    return turn


def _known(name: str) -> Callable[[Any], float]:
    def read(thing: Any) -> float:
        return float(thing.knobs[name])

    return read


def _switch(thing: Any, value: float) -> None:
    thing.on = value >= 0.5


def _set_jam(thing: Any, value: float) -> None:
    thing.jammed = value >= 0.5


def _by_hand(thing: Any, value: float) -> None:
    thing.by_hand(value)


READABLE: Mapping[Noun, Mapping[str, Readable]] = {
    Noun.OUTDOOR: {
        "temperature": Readable("Cel", _known("temperature")), "humidity": Readable("%", _known("humidity")),
        "dust": Readable("ug/m3", _known("dust")), "noise": Readable("dB[A]", _known("noise")),
        "wind": Readable("m/s", _known("wind")), "rain": Readable("mm", _known("rain")),
        "light": Readable("lx", _known("light")),
    },
    Noun.ROOM: {
        "temperature": Readable("Cel", lambda v: v.celsius()), "humidity": Readable("%", lambda v: v.humidity()),
        "smoke": Readable("dB/m", lambda v: v.smoke_db_m()), "co": Readable("[ppm]", lambda v: v.co_ppm()),
        "gas": Readable("%[LEL]", lambda v: v.gas_lel()), "gas_fraction": Readable("%", lambda v: v.gas_percent()),
        "oxygen": Readable("%", lambda v: v.oxygen_percent()), "co2": Readable("[ppm]", lambda v: v.co2_ppm()),
        "dust": Readable("ug/m3", lambda v: v.dust_ug_m3()), "kw": Readable("kW", lambda v: v.room.kw),
        "interface": Readable("m", lambda v: v.room.interface_m),
        "water": Readable("mm", lambda v: v.room.water_l / v.room.plan.area_m2),
        "wet": Readable("1", lambda v: float(v.room.water_l / v.room.plan.area_m2 >= 1.0)),
        "flame": Readable("1", lambda v: float(v.room.kw >= 5.0 and v.room.flaming)),
        "people": Readable("1", lambda v: v.room.people), "entered": Readable("1", lambda v: v.room.entered),
        "left": Readable("1", lambda v: v.room.left), "motion": Readable("1", lambda v: float(v.room.moving)),
        "noise": Readable("dB[A]", lambda v: v.room.noise_db), "light": Readable("lx", lambda v: v.room.light_lx),
    },
    Noun.DOOR: {"open": Readable("1", lambda d: d.open_share)},
    Noun.SOURCE: {
        "on": Readable("1", lambda s: float(s.burning)), "amount": Readable("1", lambda s: s.amount),
        "kw": Readable("kW", lambda s: s.kw),
        "temperature": Readable("Cel", lambda s: s.pack.kelvin - 273.15 if s.pack is not None else 20.0),
    },
    Noun.TANK: {
        "level": Readable("m", lambda t: t.level_m), "volume": Readable("m3", lambda t: t.litres / 1000.0),
        "inflow": Readable("L/s", lambda t: t.filling), "outflow": Readable("L/s", lambda t: t.leaving),
        "spill": Readable("L/s", lambda t: t.spilling), "spilled": Readable("L", lambda t: t.spilled_l),
    },
    Noun.PIPE: {
        "pressure": Readable("kPa", lambda p: p.kpa), "flow": Readable("L/s", lambda p: p.flow_l_per_s),
        "lost": Readable("L/s", lambda p: p.lost_l_per_s),
    },
    Noun.RIVER: {
        "pollutant": Readable("mg/L", lambda r: r.mg_per_l), "level": Readable("m", lambda r: r.level_m),
        "flow": Readable("m3/s", lambda r: r.flow_m3_per_s),
    },
    Noun.CIRCUIT: {
        "voltage": Readable("V", lambda c: c.voltage_v), "current": Readable("A", lambda c: c.current_a),
        "power": Readable("W", lambda c: c.power_w), "energy": Readable("kW.h", lambda c: c.energy_kwh),
        "residual_current": Readable("mA", lambda c: c.residual_ma),
        "fed": Readable("1", lambda c: float(c.voltage_v > 0.0)),
    },
    Noun.ACTUATOR: {
        "position": Readable("1", lambda a: a.position), "open": Readable("1", lambda a: float(a.opened)),
        "closed": Readable("1", lambda a: float(a.closed)),
    },
}

KNOBS: Mapping[Noun, Mapping[str, Knob]] = {
    Noun.OUTDOOR: {
        "temperature": Knob("Cel", -50.0, 60.0, _weather("temperature")),
        "humidity": Knob("%", 0.0, 100.0, _weather("humidity")), "dust": Knob("ug/m3", 0.0, 1e5, _weather("dust")),
        "noise": Knob("dB[A]", 0.0, 140.0, _weather("noise")), "wind": Knob("m/s", 0.0, 60.0, _weather("wind")),
        "rain": Knob("mm", 0.0, 500.0, _weather("rain")), "light": Knob("lx", 0.0, 150_000.0, _weather("light")),
    },
    Noun.ROOM: {
        "people": Knob("1", 0.0, 10_000.0, _attribute("base_people")),
        "motion": Knob("1", 0.0, 1.0, _attribute("motion")),
        "light": Knob("lx", 0.0, 150_000.0, _attribute("light_lx")),
        "noise": Knob("dB[A]", 0.0, 140.0, _attribute("base_noise_db")),
        "water": Knob("L", 0.0, 1e6, _attribute("water_l")),
        "setpoint": Knob("Cel", -40.0, 60.0, lambda room, value: setattr(room, "setpoint", value + 273.15)),
    },
    Noun.DOOR: {"open": Knob("1", 0.0, 1.0, _attribute("open_share"))},
    Noun.SOURCE: {"on": Knob("1", 0.0, 1.0, _switch), "amount": Knob("1", 0.0, 1e6, _attribute("amount"))},
    Noun.TANK: {
        "inflow": Knob("L/s", 0.0, 1e4, _attribute("inflow_l_per_s")),
        "outflow": Knob("L/s", 0.0, 1e4, _attribute("outflow_l_per_s")),
    },
    Noun.PIPE: {
        "feed": Knob("kPa", 0.0, 10_000.0, _attribute("feed_kpa")),
        "demand": Knob("L/s", 0.0, 1e4, _attribute("demand_l_per_s")),
        "hydrant": Knob("L/s", 0.0, 1e4, _attribute("hydrant_l_per_s")),
    },
    Noun.RIVER: {
        "flow": Knob("m3/s", 0.0, 1e5, _attribute("flow_m3_per_s")),
        "level": Knob("m", 0.0, 100.0, _attribute("level_m")),
    },
    Noun.CIRCUIT: {
        "mains": Knob("V", 0.0, 1000.0, _attribute("mains_v")),
        "amps": Knob("A", 0.0, 10_000.0, _attribute("base_a")),
        "leakage": Knob("mA", 0.0, 1e5, _attribute("base_leak_ma")),
    },
    Noun.ACTUATOR: {"open": Knob("1", 0.0, 1.0, _by_hand), "jammed": Knob("1", 0.0, 1.0, _set_jam)},
}

# What a device at a place reads without being told: by noun of the place and quantity of the point.
BY_QUANTITY: Mapping[Noun, Mapping[str, str]] = {
    Noun.OUTDOOR: {
        "temperature": "temperature", "humidity": "humidity", "pm25": "dust", "pm10": "dust", "tsp": "dust",
        "noise": "noise", "wind_speed": "wind", "rain": "rain", "illuminance": "light",
    },
    Noun.ROOM: {
        "smoke_alarm": "smoke", "fire_alarm": "smoke", "obscuration": "smoke", "heat_alarm": "temperature",
        "temperature": "temperature", "humidity": "humidity", "co": "co", "co_alarm": "co", "combustible_gas": "gas",
        "gas_alarm": "gas", "gas_volume_fraction": "gas_fraction", "oxygen": "oxygen", "co2": "co2", "pm25": "dust",
        "pm10": "dust", "tsp": "dust", "noise": "noise", "leak": "wet", "flood": "wet", "people": "people",
        "motion": "motion", "illuminance": "light",
    },
    Noun.DOOR: {"door_open": "open", "contact": "open"},
    Noun.SOURCE: {"temperature": "temperature"},
    Noun.TANK: {"level": "level", "flow": "inflow", "volume": "volume"},
    Noun.PIPE: {"pressure": "pressure", "flow": "flow"},
    Noun.RIVER: {"level": "level", "flow": "flow"},
    Noun.CIRCUIT: {
        "voltage": "voltage", "current": "current", "power": "power", "residual_current": "residual_current",
        "energy": "energy", "mains_ok": "fed",
    },
    Noun.ACTUATOR: {"valve_open": "open", "valve_closed": "closed", "contact": "closed"},
}
