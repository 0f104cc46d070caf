"""Every shipped Modbus profile as a device, read point by point by mbpoll and decoded by hand from the raw words.

The decoder below is written from the words of device_model/profile.py and shares nothing with the simulator or the
driver: what it finds must be what was set, to the resolution of the register.
"""

from __future__ import annotations

import asyncio
import struct

import pytest

from device_model.library import shipped_profiles
from device_model.profile import REGISTER_COUNT, DeviceProfile, ProfilePoint, RegisterSource, RegisterType, Table
from device_model.profile import WordOrder as Order
from device_model.quantities import QUANTITIES
from firmware_sim.noise import Noise
from firmware_sim.scenario import Scenario, SimDevice
from firmware_sim.scenario_lines import LineKind, SimLine
from firmware_sim.serve import SimRuntime
from firmware_sim.world import SimWorld
from tests.firmware_sim.test_serve_real import mbpoll_values, output, running

PROFILES = shipped_profiles()
MODBUS = sorted(p.id for p in PROFILES.values() if p.protocol == "modbus")
MBPOLL_TYPE = {Table.COIL: "0", Table.DISCRETE_INPUT: "1", Table.INPUT: "3", Table.HOLDING: "4"}


def raw_of(words: list[int], source: RegisterSource) -> float:
    if source.byte_swap:
        words = [(w & 255) << 8 | w >> 8 for w in words]
    if source.word_order is Order.LOW_FIRST:
        words = words[::-1]
    octets = b"".join(bytes([w >> 8, w & 255]) for w in words)
    if source.type in (RegisterType.F32, RegisterType.F64):
        return float(struct.unpack(">f" if source.type is RegisterType.F32 else ">d", octets)[0])
    if source.type is RegisterType.U8_HIGH:
        return octets[0]
    if source.type in (RegisterType.U8_LOW, RegisterType.S8_LOW):
        octets = octets[1:]
    number = int.from_bytes(octets, "big", signed=source.type.value.startswith("s"))
    if source.bit is not None:
        return number >> source.bit & 1
    return (number & source.mask if source.mask is not None else number) >> source.shift


def may_set(point: ProfilePoint, profile: DeviceProfile) -> bool:
    named = {name for p in profile.points if p.register
             for name in (p.register.unit_point, p.register.decimals_point)}
    return point.register is not None and point.id not in named and not point.state_codes \
        and point.quantity not in ("state_code", "uptime", "low_battery")  # the last follows the battery


def chosen(point: ProfilePoint, noise: Noise) -> bool | float:
    """A value that the register can hold, away from error marks and ends."""
    source = point.register
    assert source is not None
    if QUANTITIES[point.quantity].boolean:
        return noise.unit() < 0.5
    width = {RegisterType.U8_LOW: 7, RegisterType.U8_HIGH: 7, RegisterType.S8_LOW: 6}.get(source.type, 11)
    value = noise.below(1 << width) * source.scale + source.offset
    if source.decimals_point or source.type in (RegisterType.F32, RegisterType.F64):
        value = noise.below(20)
    low = point.minimum if point.minimum is not None else value
    high = point.maximum if point.maximum is not None else value
    if point.range_maximum is not None:
        high = min(high, point.range_maximum - source.scale)
    return min(high, max(low, value))


@pytest.mark.real
@pytest.mark.parametrize("name", MODBUS)
async def test_mbpoll_finds_what_was_set(name: str) -> None:
    profile = PROFILES[name]
    scenario = Scenario(name, (SimLine("bus", LineKind.MODBUS_TCP),), (SimDevice("d", name, "bus", 7),))
    world = SimWorld(scenario, PROFILES, {})
    noise = Noise(5, name)
    wanted = {point.id: chosen(point, noise) for point in profile.points if may_set(point, profile)}
    for point_id, value in wanted.items():
        world.devices["d"].set(point_id, value)
    async with running(world) as runtime:
        got = await asyncio.gather(*(read(runtime, profile, point_id) for point_id in wanted))
    for point_id, (value, step) in zip(wanted, got, strict=True):
        assert value == pytest.approx(wanted[point_id], abs=step * 0.51), point_id
    assert wanted


async def read(runtime: SimRuntime, profile: DeviceProfile, point_id: str) -> tuple[float, float]:
    """The value that a master finds, and the resolution of the register."""
    point = profile.point(point_id)
    assert point is not None and point.register is not None
    source = point.register
    raw = raw_of(await words(runtime, source), source)
    if QUANTITIES[point.quantity].boolean:
        return bool(raw) != source.invert, 0.0
    value, step = raw * source.scale + source.offset, abs(source.scale)
    if source.decimals_point:
        digits = profile.point(source.decimals_point)
        assert digits is not None and digits.register is not None
        code = int(raw_of(await words(runtime, digits.register), digits.register))
        shift = source.decimals_codes[code] if source.decimals_codes else code
        value, step = value / 10**shift, step / 10**shift
    if source.unit_point:
        selector = profile.point(source.unit_point)
        assert selector is not None and selector.register is not None
        code = int(raw_of(await words(runtime, selector.register), selector.register))
        assert source.unit_codes[code] == point.unit
    return value, step if source.type not in (RegisterType.F32, RegisterType.F64) else 1e-3


async def words(runtime: SimRuntime, source: RegisterSource) -> list[int]:
    host, port = runtime.addresses["bus"].split(":")
    said = await output("mbpoll", "-1", "-0", "-q", "-p", port, "-a", "7", "-t", MBPOLL_TYPE[source.table],
                        "-r", str(source.address), "-c", str(REGISTER_COUNT[source.type]), host)
    found = [int(word) for word in mbpoll_values(said)]
    assert len(found) == REGISTER_COUNT[source.type], said
    return found
