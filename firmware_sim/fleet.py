"""Fleets: whole districts of devices as one scenario, with events at the rates of incident_rates.py. Pure.

    FleetPlan ─► fleet_scenario(plan, seed, rate, days) ─► Scenario: lines, devices, timeline of some days

    yuhang    14,669 smoke detectors behind 200 hubs (MQTT), 39 hydrants (GB/T 26875.3), 913 e-bike chargers on the
              gateways' Modbus TCP ports
    tongzhou  1,437 cameras (RTSP, served beside it), 1,100 dust and air stations (HJ 212)
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from device_model.errors import ConfigError, Finding
from firmware_sim.faults import Fault, FaultKind
from firmware_sim.incident_rates import CHARGER, HYDRANT, SMOKE_DETECTOR, STATION, Happening
from firmware_sim.noise import Noise
from firmware_sim.scenario import Event, Scenario, SimDevice
from firmware_sim.scenario_lines import LineKind, SimLine, broker_address

YEAR_S = 365.0 * 86_400.0
# A device file beyond this is a mistake in the rate, and each event is held in memory.
EVENTS_MAX = 200_000
DAYS = 7.0


class Troop(msgspec.Struct, frozen=True):
    """So many devices of one kind. ports: of Modbus TCP, over which they are spread as units. A panel's device stands
    behind a transmission device of its own, which is simulated too and counted with it."""

    name: str
    count: int
    profile: str
    kind: LineKind
    happenings: tuple[Happening, ...]
    ports: int = 0


class FleetPlan(msgspec.Struct, frozen=True):
    """A district. hubs: sessions that the MQTT devices share; cameras: served over RTSP beside the scenario."""

    name: str
    en: str
    zh: str
    troops: tuple[Troop, ...]
    hubs: int = 1
    cameras: int = 0

    @property
    def devices(self) -> int:
        """How many devices, cameras left out."""
        return sum(troop.count for troop in self.troops)


FLEETS = {
    plan.name: plan for plan in (
        FleetPlan("yuhang", "14,669 smoke detectors, 39 hydrants, 913 e-bike chargers behind 200 gateways",
                  "200 台网关下的 14669 个烟感、39 个消火栓、913 个电动车充电桩", (
                      Troop("smoke", 14_669, "zigbee2mqtt-smoke", LineKind.MQTT, SMOKE_DETECTOR),
                      Troop("hydrant", 39, "gbt26875-pressure", LineKind.GBT26875, HYDRANT),
                      Troop("charger", 913, "smartevse-2", LineKind.MODBUS_TCP, CHARGER, ports=200),
                  ), hubs=200),
        FleetPlan("tongzhou", "1,437 cameras, 1,100 dust and air stations",
                  "1437 路摄像机、1100 个扬尘与空气站", (
                      Troop("station", 1100, "hj212-dust", LineKind.HJ212, STATION),
                  ), cameras=1437),
    )
}


def scaled(plan: FleetPlan, share: float) -> FleetPlan:
    """The same district, smaller or larger."""
    def of(count: int) -> int:
        return max(1, round(count * share)) if count else 0

    troops = tuple(msgspec.structs.replace(troop, count=of(troop.count), ports=of(troop.ports))
                   for troop in plan.troops)
    return msgspec.structs.replace(plan, troops=troops, hubs=of(plan.hubs), cameras=of(plan.cameras))


def part_of(plan: FleetPlan, number: int, gateways: int) -> FleetPlan:
    """What stands behind one of so many gateways; the parts together are the district."""
    troops = tuple(
        msgspec.structs.replace(troop, count=count, ports=min(1, troop.ports)) for troop in plan.troops
        if (count := troop.count // gateways + (number < troop.count % gateways)))
    return msgspec.structs.replace(plan, troops=troops, hubs=1, cameras=0)


def fleet_scenario(
    plan: FleetPlan, *, seed: int = 1, broker: str = "", centre: str = "", rate: float = 1.0, days: float = DAYS,
    begins_h: float = 10.0,
) -> Scenario:
    """The district's devices, and what happens to them in so many days. broker: mqtt://host:port; centre: host:port
    of the monitoring centre or environment host; rate: how many times as much as in life. Raises ConfigError."""
    host, port = _address(centre)
    if broker and broker_address(broker) is None:
        raise _no(f"{broker!r} is no broker", "write mqtt://host:port")
    lines: list[SimLine] = []
    devices: list[SimDevice] = []
    for troop in plan.troops:
        own = list(_lines(troop, plan.hubs, broker or "mqtt://127.0.0.1:1883", host, port))
        lines += own
        devices += [_device(troop, number, own) for number in range(troop.count)]
        if troop.kind is LineKind.GBT26875:
            devices += [SimDevice(f"{troop.name}-{number + 1}-uitd", "gbt26875-uitd", troop.name,
                                  address=str(1001 + number)) for number in range(troop.count)]
    events: list[Event] = []
    faults: list[Fault] = []
    for troop in plan.troops:
        for happening in troop.happenings:
            _happen(troop, happening, Noise(seed, plan.name, f"{troop.name} {happening.name}"), rate,
                    days * 86_400.0, begins_h, events, faults)
    return Scenario(plan.name, tuple(lines), tuple(devices), en=plan.en, zh=plan.zh, seed=seed,
                    events=tuple(sorted(events, key=lambda event: event.at_s)), faults=tuple(faults))


def _lines(troop: Troop, hubs: int, broker: str, host: str, port: int) -> Iterator[SimLine]:
    if troop.kind is LineKind.MQTT:
        yield SimLine(troop.name, troop.kind, url=broker, hub_devices=-(-troop.count // max(1, hubs)))
    elif troop.kind is LineKind.MODBUS_TCP:
        for number in range(troop.ports):
            yield SimLine(f"{troop.name}-bus-{number + 1}", troop.kind)
    else:
        default = 5200 if troop.kind is LineKind.GBT26875 else 5201
        yield SimLine(troop.name, troop.kind, host=host, port=port or default)


def _device(troop: Troop, number: int, lines: list[SimLine]) -> SimDevice:
    name = f"{troop.name}-{number + 1}"
    line = lines[number % len(lines)]
    if troop.kind is LineKind.MODBUS_TCP:
        return SimDevice(name, troop.profile, line.id, unit=number // len(lines) + 1)
    if troop.kind is LineKind.GBT26875:
        return SimDevice(name, troop.profile, line.id, address=f"{1001 + number}/1.1/00000001",
                         start={"pressure": 350.0})
    if troop.kind is LineKind.HJ212:
        return SimDevice(name, troop.profile, line.id, address=f"88888880000{number + 1:05d}")
    return SimDevice(name, troop.profile, line.id, address=name)


def _happen(
    troop: Troop, it: Happening, noise: Noise, rate: float, length_s: float, begins_h: float, events: list[Event],
    faults: list[Fault],
) -> None:
    """A Poisson stream over all devices of the troop, thinned by the hour of the day."""
    mean = sum(it.by_hour) / 24.0
    peak = max(it.by_hour) / mean
    per_s = troop.count * it.per_year * rate / YEAR_S * peak
    if per_s * length_s > EVENTS_MAX:
        raise _no(f"some {per_s * length_s:,.0f} times {it.name!r}", "lower --rate, or --days")
    at_s = 0.0
    while per_s > 0.0:
        at_s += -math.log(1.0 - noise.unit()) / per_s
        if at_s >= length_s:
            return
        hour = int(begins_h + at_s / 3600.0) % 24
        if noise.unit() * peak >= it.by_hour[hour] / mean:
            continue
        number = noise.below(troop.count) + 1
        low, high = it.lasts_s
        lasts_s = low + (high - low) * noise.unit()
        name = f"{troop.name}-{number}"
        if not it.point:
            faults.append(Fault(FaultKind.OFF, name, at_s, lasts_s))
            continue
        events.append(Event(at_s, {f"{name}.{it.point}": it.value},
                            fire=f"{name}@{at_s:.0f}" if it.fire else ""))
        events.append(Event(at_s + lasts_s, {f"{name}.{it.point}": it.well}))


def causes(scenario: Scenario) -> dict[str, int]:
    """How many events of each kind the timeline holds: begun alarms, fires, silences."""
    begun = [event for event in scenario.events if True in event.set.values() or event.fire]
    return {"fires": sum(bool(event.fire) for event in begun), "alarms": len(begun),
            "silences": len(scenario.faults), "changes": len(scenario.events)}


def _address(centre: str) -> tuple[str, int]:
    if not centre:
        return "127.0.0.1", 0
    host, _, port = centre.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise _no(f"{centre!r} is no address", "write host:port")
    return host, int(port)


def _no(what: str, remedy: str) -> ConfigError:
    return ConfigError([Finding("fleet", 0, 0, what, remedy)])
