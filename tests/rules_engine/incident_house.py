"""A small estate for tests of incidents: two buildings of four zones, one of each detector in every zone."""

from __future__ import annotations

import itertools

import msgspec

from device_model.alarm import AlarmKey, AlarmState, AlarmTransition, Hazard, Severity, alarm_id
from device_model.clock import SECOND_US
from device_model.inventory import Inventory
from device_model.profile import Certainty, DeviceClass, DeviceProfile, MqttTraits, ProfilePoint
from device_model.read_models import IncidentAction
from device_model.site import Building, Contact, Device, Floor, GatewaySettings, Site, Tenancy, Text, Zone
from rules_engine.incident import ActResult, IncidentBook, IncidentChange

T0 = 1_700_000_000 * SECOND_US
T = Tenancy("hangzhou", "yuhang", "cangqian", "riverside")


_clicks = itertools.count()


def text(words: str) -> Text:
    return Text(words, words)


def point(name: str, quantity: str, unit: str) -> ProfilePoint:
    return ProfilePoint(name, quantity, unit, name, name)


def profile(name: str, kind: DeviceClass, *points: ProfilePoint) -> DeviceProfile:
    return DeviceProfile(name, 1, "m", "m", name, name, kind, Certainty.A, "s", points, mqtt=MqttTraits("t"))


PROFILES = {p.id: p for p in (
    profile("multi", DeviceClass.SMOKE, point("smoke", "obscuration", "dB/m"), point("flag", "smoke_alarm", "1"),
            point("heat", "temperature", "Cel")),
    profile("button", DeviceClass.CALL_POINT, point("pressed", "call_point", "1")),
    profile("gas", DeviceClass.GAS, point("lel", "combustible_gas", "%[LEL]")),
    profile("leak", DeviceClass.LEAK, point("wet", "leak", "1")),
)}


def inventory() -> Inventory:
    zones = tuple(Zone(f"{b}-{n}", text(f"{b} {n}"), b, "f1") for b in ("b1", "b2") for n in range(4))
    devices = []
    for zone in zones:
        devices += [Device(f"{kind}-{zone.id}", kind, "l1", zone.id, text(kind)) for kind in PROFILES]
        devices.append(Device(f"multi2-{zone.id}", "multi", "l1", zone.id, text("second")))
    site = Site(T, text("Riverside"), GatewaySettings("gw-1"),
                tuple(Building(b, text(b), (Floor("f1", text("1")),)) for b in ("b1", "b2")), zones, (),
                tuple(devices), contacts=(Contact("Li", "duty", "1"),), unanswered_limit_s=120.0)
    return Inventory(site, PROFILES)


INVENTORY = inventory()
KINDS: dict[Hazard, tuple[str, str]] = {
    Hazard.FIRE: ("multi", "smoke"), Hazard.CALL_POINT: ("button", "pressed"), Hazard.GAS_HIGH: ("gas", "lel"),
    Hazard.GAS: ("gas", "lel"), Hazard.WATER: ("leak", "wet"), Hazard.CO: ("multi", "heat"),
}


def step(zone: str = "b1-0", hazard: Hazard = Hazard.FIRE, state: AlarmState = AlarmState.RAISED, at_s: float = 0,
         *, onset_s: float | None = None, device: str = "", at_point: str = "", **fields: object) -> AlarmTransition:
    """One step of the alarm that this zone's device of that hazard would give."""
    kind, name = KINDS.get(hazard, ("multi", "smoke"))
    device, name = device or f"{kind}-{zone}", at_point or name
    onset_us = T0 + round((at_s if onset_s is None else onset_s) * SECOND_US)
    key = AlarmKey(f"{hazard}-{name}", f"{device}.{name}")
    previous = AlarmState.HELD if state is AlarmState.CLEARED else AlarmState.PENDING
    known = AlarmTransition(
        alarm_id(T.path, key, onset_us), key, state, previous, hazard, Severity.ALARM,
        T0 + round(at_s * SECOND_US), onset_us, zone, device, (f"{device}.{name}",), "x > y",
        latched=hazard in (Hazard.FIRE, Hazard.CALL_POINT, Hazard.GAS_HIGH, Hazard.CO))
    return msgspec.structs.replace(known, **fields)


def book() -> IncidentBook:
    return IncidentBook(INVENTORY, {"fire-smoke": Text("Smoke", "烟雾")})


def feed(target: IncidentBook, *steps: AlarmTransition) -> list[IncidentChange]:
    return [change for one in steps for change in target.apply(one, one.at_us)]


def act(target: IncidentBook, action: IncidentAction, incident: str = "", *, why: str = "because", at_s: float = 60,
        who: str = "Li", request: str = "") -> ActResult:
    incident = incident or target.open_incidents()[0].id
    return target.act(incident, action, who=who, why=why, request=request or f"r{next(_clicks)}",
                      at_us=T0 + round(at_s * SECOND_US))
