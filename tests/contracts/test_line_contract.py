"""One suite for every LineExchange: the model of the simulation, and pymodbus against a real loopback server."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Protocol

import pytest
import pytest_asyncio

from device_drivers.driver import LineUnreachable
from device_drivers.links import open_modbus_line
from device_drivers.reply_check import reply_fault
from device_model.errors import LocalFault, PeerGarbled, PeerRefused, PeerSilent
from device_model.library import shipped_profiles
from device_model.ports import LineExchange, LineRequest
from device_model.site import Line, LineKind
from device_model.system_clock import SystemClock
from firmware_sim.device import VirtualDevice
from firmware_sim.scenario_file import parse_scenario
from firmware_sim.serve import SimRuntime
from firmware_sim.world import SimWorld
from tests.simulation.models.line_model import FieldBus, LineFault

SCENARIO = """
scenario: contract
lines: [{id: bus, kind: modbus_tcp, port: 0}]
devices:
  - {id: duct, profile: calectro-ug3, line: bus, unit: 1}
  - {id: bell, profile: wb-msgr, line: bus, unit: 2}
"""
SMOKE = LineRequest(1, 2, 0, 4)
RELAY = LineRequest(2, 1, 0, 1)
TIMEOUT_S = 0.5


class Place(Protocol):
    """A line with two devices: a duct detector (unit 1) and a relay (unit 2)."""

    devices: dict[str, VirtualDevice]

    def line(self) -> LineExchange: ...
    async def go(self) -> None: ...


class ModelPlace:
    def __init__(self) -> None:
        profiles = shipped_profiles()
        self.devices = {name: VirtualDevice(name, profiles[profile])
                        for name, profile in (("duct", "calectro-ug3"), ("bell", "wb-msgr"))}
        self.bus = FieldBus(random.Random(1), SystemClock(), {1: self.devices["duct"], 2: self.devices["bell"]})

    def line(self) -> LineExchange:
        return self.bus.line()

    async def go(self) -> None:
        self.bus.up = False


class RealPlace:
    def __init__(self) -> None:
        profiles = shipped_profiles()
        self.world = SimWorld(parse_scenario(SCENARIO, "contract.yaml", profiles), profiles, {})
        self.devices = self.world.devices
        self.runtime = SimRuntime(self.world, SystemClock())
        self.task = asyncio.create_task(self.runtime.run())

    def line(self) -> LineExchange:
        host, port = self.runtime.addresses["bus"].split(":")
        return open_modbus_line(Line("bus", LineKind.MODBUS_TCP, host, int(port)))

    async def go(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, LocalFault):
            await self.task


@pytest_asyncio.fixture(params=["model", pytest.param("pymodbus", marks=pytest.mark.real)])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    if request.param == "model":
        yield ModelPlace()
        return
    real = RealPlace()
    await real.runtime.ready.wait()
    yield real
    await real.go()


@pytest_asyncio.fixture
async def line(place: Place) -> AsyncIterator[LineExchange]:
    opened = place.line()
    yield opened
    await opened.close()


async def test_a_read_brings_what_the_device_shows(place: Place, line: LineExchange) -> None:
    reply = await line.exchange(SMOKE, timeout_s=TIMEOUT_S)
    assert reply_fault(SMOKE, reply) == "" and reply.payload == b"\x01"
    place.devices["duct"].set("smoke", True)
    assert (await line.exchange(SMOKE, timeout_s=TIMEOUT_S)).payload == b"\x05"


async def test_a_write_is_echoed_and_taken(place: Place, line: LineExchange) -> None:
    write = LineRequest(2, 5, 0, 1, (1,))
    assert reply_fault(write, await line.exchange(write, timeout_s=TIMEOUT_S)) == ""
    assert (await line.exchange(RELAY, timeout_s=TIMEOUT_S)).payload == b"\x01"
    off = LineRequest(2, 5, 0, 1, (0,))
    await line.exchange(off, timeout_s=TIMEOUT_S)
    assert (await line.exchange(RELAY, timeout_s=TIMEOUT_S)).payload == b"\x00"


@pytest.mark.parametrize(("request_", "code"), [
    (LineRequest(1, 2, 4000, 1), 2),  # no such address
    (LineRequest(2, 6, 9, 1, (1,)), 2),  # nothing there that can be written
])
async def test_a_refusal_carries_its_code(line: LineExchange, request_: LineRequest, code: int) -> None:
    with pytest.raises(PeerRefused) as refusal:
        await line.exchange(request_, timeout_s=TIMEOUT_S)
    assert refusal.value.code == code


async def test_a_device_without_power_is_silent_and_the_line_goes_on(place: Place, line: LineExchange) -> None:
    place.devices["duct"].power(False)
    with pytest.raises(PeerSilent):
        await line.exchange(SMOKE, timeout_s=0.2)
    assert (await line.exchange(RELAY, timeout_s=TIMEOUT_S)).unit == 2


async def test_a_line_that_is_gone_is_said(place: Place, line: LineExchange) -> None:
    await line.exchange(RELAY, timeout_s=TIMEOUT_S)
    await place.go()
    with pytest.raises(PeerSilent):
        await line.exchange(RELAY, timeout_s=TIMEOUT_S)
    with pytest.raises(LineUnreachable):
        await line.exchange(RELAY, timeout_s=TIMEOUT_S)


async def test_close_may_be_repeated_and_drain_always_returns(line: LineExchange) -> None:
    await line.exchange(RELAY, timeout_s=TIMEOUT_S)
    await line.drain(0.0)
    await line.close()
    await line.close()


@pytest.mark.parametrize("fault", list(LineFault))
async def test_the_models_faults_are_those_of_the_world(fault: LineFault) -> None:
    """What the model does wrong, the driver's checks see: none of it looks like a good answer."""
    place = ModelPlace()
    place.bus.rates = {fault: 1.0}
    line = place.line()
    match fault:
        case LineFault.TIMEOUT:
            with pytest.raises(PeerSilent):
                await line.exchange(SMOKE, timeout_s=0.01)
        case LineFault.GARBLED:
            with pytest.raises(PeerGarbled):
                await line.exchange(SMOKE, timeout_s=TIMEOUT_S)
        case LineFault.EXCEPTION:
            with pytest.raises(PeerRefused):
                await line.exchange(SMOKE, timeout_s=TIMEOUT_S)
        case LineFault.DELAY:
            assert reply_fault(SMOKE, await line.exchange(SMOKE, timeout_s=TIMEOUT_S)) == ""
        case _:
            assert reply_fault(SMOKE, await line.exchange(SMOKE, timeout_s=TIMEOUT_S)) != ""
