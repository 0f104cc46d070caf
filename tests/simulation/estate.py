"""Estate: the small sites that the simulation guards, made from shipped profiles and packs.

    site n:  building b1: flats z1, z2   building b2: flat z3   plant room
             field line (Modbus TCP): smoke-1 (z1), smoke-2 (z2), gas-1 (z3), temp-1 (z1)
             plant line (Modbus TCP): relay (drives the sounder)
             radio line (MQTT):       radio-1 (z3), a wireless smoke alarm
"""

from __future__ import annotations

import functools

import msgspec

from device_model.alarm import Hazard
from device_model.inventory import Inventory
from device_model.library import shipped_profiles
from device_model.site import (
    Building,
    Device,
    Floor,
    GatewaySettings,
    Line,
    LineKind,
    Output,
    OutputPurpose,
    OutputState,
    Site,
    Tenancy,
    Text,
    Zone,
)
from rules_engine import RuleSet
from rules_engine.packs import rules_of_site

HEARTBEAT_S = 10.0
FIELD, PLANT, RADIO = "field", "plant", "radio"
SOUNDER = "bell"


class Detector(msgspec.Struct, frozen=True):
    """A device that can be given a life-safety stimulus, and what must come of it.

    hold_s: how long it must be seen in alarm before the rule may raise (its `for`), with room for a poll.
    """

    device: str
    point: str
    rule: str
    zone: str
    building: str
    family: str
    hold_s: float


DETECTORS = (
    Detector("smoke-1", "smoke", "fire.smoke", "z1", "b1", "fire", 0.0),
    Detector("smoke-2", "smoke", "fire.smoke", "z2", "b1", "fire", 0.0),
    Detector("radio-1", "smoke", "fire.smoke", "z3", "b2", "fire", 0.0),
    Detector("gas-1", "gas", "gas.home", "z3", "b2", "gas", 4.0),
)


def _text(text: str) -> Text:
    return Text(text, text)


def _device(name: str, profile: str, line: str, zone: str, unit: int = 0, address: str = "") -> Device:
    return Device(name, profile, line, zone, _text(name), unit, address)


@functools.cache
def estate(number: int) -> tuple[Inventory, RuleSet]:
    """The inventory and rules of site `number`."""
    site = Site(
        Tenancy("hangzhou", "yuhang", "cangqian", f"estate-{number}"), _text(f"Estate {number}"),
        GatewaySettings(f"gw-{number}", heartbeat_s=HEARTBEAT_S, telemetry_heartbeat_s=60.0),
        tuple(Building(name, _text(name), (Floor("f1", _text("f1")),)) for name in ("b1", "b2")),
        tuple(Zone(name, _text(name), building, "f1")
              for name, building in (("z1", "b1"), ("z2", "b1"), ("z3", "b2"), ("plant", "b1"))),
        (Line(FIELD, LineKind.MODBUS_TCP, "field", 502), Line(PLANT, LineKind.MODBUS_TCP, "plant", 502),
         Line(RADIO, LineKind.MQTT, "radio", 1883)),
        (_device("smoke-1", "calectro-ug3", FIELD, "z1", 1), _device("smoke-2", "calectro-ug3", FIELD, "z2", 2),
         _device("gas-1", "gas-module-ch4", FIELD, "z3", 3), _device("temp-1", "xy-md04", FIELD, "z1", 4),
         _device("relay-1", "wb-msgr", PLANT, "plant", 1),
         _device("radio-1", "zigbee2mqtt-smoke", RADIO, "z3", 0, "radio-1")),
        (Output(SOUNDER, "relay-1", "relay", OutputPurpose.SOUNDER, (Hazard.FIRE, Hazard.GAS_HIGH),
                OutputState.OFF, OutputState.HOLD, OutputState.HOLD),),
    )
    return Inventory(site, shipped_profiles()), rules_of_site(site)
