"""The gateway's driver reads the simulated device, for every shipped Modbus profile: the two share no code but the
profile, so what one puts in and the other takes out must agree."""

from __future__ import annotations

import struct

import pytest

from device_drivers.driver import DeviceRead, LineDevice
from device_drivers.payload_map import PayloadMap
from device_drivers.register_plan import BIT_TABLES, plan_blocks
from device_drivers.register_values import DeviceValues
from device_model.clock import Now
from device_model.library import shipped_profiles
from device_model.quantities import QUANTITIES, to_canonical
from device_model.reading import Quality, Reading, Reason
from device_model.site import Device, Text
from firmware_sim.device import VirtualDevice
from firmware_sim.modbus_device import Framing, ModbusUnits, Request
from firmware_sim.mqtt_device import MqttDevice
from firmware_sim.noise import Noise
from tests.firmware_sim.test_shipped_profiles_real import chosen, may_set

PROFILES = {p.id: p for p in shipped_profiles().values() if p.protocol == "modbus"}
MESSAGING = {p.id: p for p in shipped_profiles().values() if p.mqtt is not None
             and p.mqtt.template in ("", "zigbee2mqtt")}  # the simulator speaks no other convention yet
NOW = Now(1_700_000_000_000_000, 1_000_000, "b")


def read_all(device: VirtualDevice) -> dict[str, Reading]:
    """Every block that the driver plans, asked of the device as bytes."""
    units, values = ModbusUnits({1: device}), DeviceValues(device.id, device.profile)
    seen: dict[str, Reading] = {}
    for block in plan_blocks(device.profile):
        reply = units.answer(Request(1, struct.pack(">BHH", block.function, block.address, block.count)), Framing.TCP)
        assert reply is not None and reply[0] == block.function and reply[1] == block.byte_count, block
        assert (block.table in BIT_TABLES) == (block.function in (1, 2))
        seen.update({reading.point: reading for reading in values.take(block, reply[2:], NOW)[0]})
    return seen


@pytest.mark.parametrize("name", sorted(PROFILES))
@pytest.mark.parametrize("seed", range(2))
def test_the_driver_finds_what_the_device_shows(name: str, seed: int) -> None:
    profile, noise = PROFILES[name], Noise(seed, name)
    device = VirtualDevice("d", profile)
    wanted = {point.id: chosen(point, noise) for point in profile.points if may_set(point, profile)}
    for point_id, value in wanted.items():
        device.set(point_id, value)
    seen = read_all(device)
    for point_id, value in wanted.items():
        point, reading = profile.point(point_id), seen[f"d.{point_id}"]
        assert point is not None and point.register is not None
        assert reading.quality is Quality.GOOD, (point_id, reading)
        if QUANTITIES[point.quantity].boolean:
            assert reading.value is value
        else:
            step = max(abs(point.register.scale), 1e-3) if not point.register.decimals_point else 0.1
            nothing = to_canonical(point.quantity, point.unit, 0.0)
            tolerance = abs(to_canonical(point.quantity, point.unit, step) - nothing)
            assert reading.value == pytest.approx(to_canonical(point.quantity, point.unit, value), abs=tolerance)


@pytest.mark.parametrize("name", sorted(n for n, p in PROFILES.items() if any(q.error_values for q in p.points)))
def test_an_error_value_is_never_a_number(name: str) -> None:
    for point in PROFILES[name].points:
        if point.error_values:
            device = VirtualDevice("d", PROFILES[name])
            device.set_bad(point.id)
            reading = read_all(device)[f"d.{point.id}"]
            assert (reading.value, reading.reason) == (None, Reason.ERROR_VALUE), point.id


def test_a_gas_module_says_of_itself_that_it_failed_or_is_full() -> None:
    for reason in (Reason.DEVICE_FAULT, Reason.OVER_RANGE, Reason.ERROR_VALUE):
        device = VirtualDevice("d", PROFILES["gas-module-co"])
        device.set_bad("gas", reason)
        assert read_all(device)["d.gas"].reason is reason


@pytest.mark.parametrize("name", sorted(MESSAGING))
@pytest.mark.parametrize("seed", range(3))
def test_the_driver_understands_the_messages(name: str, seed: int) -> None:
    profile, noise = MESSAGING[name], Noise(seed, name)
    device = VirtualDevice("d", profile)
    wanted = {p.id: noise.unit() < 0.5 if QUANTITIES[p.quantity].boolean else
              # within what the profile says that the device can tell; eighths are exact in JSON and in binary
              (p.minimum or 0.0) + noise.below(8) / 8 * (min(p.maximum or 100.0, 100.0) - (p.minimum or 0.0))
              for p in profile.points if p.quantity != "low_battery"}
    for point_id, value in wanted.items():
        device.set(point_id, value)
    entry = Device(id="d", profile=name, zone="z", line="l", place=Text(en="p", zh="p"), address="far-one")
    reader = PayloadMap((LineDevice(entry, profile),), NOW)
    seen = {reading.point: reading.value
            for message in MqttDevice(device, "far-one").due(0.0, NOW.wall_us)
            for event in reader.take(message.topic, message.payload, False, NOW) if isinstance(event, DeviceRead)
            for reading in event.readings}
    assert {point_id: seen[f"d.{point_id}"] for point_id in wanted} == wanted
