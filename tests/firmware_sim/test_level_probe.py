"""Simulated level probes: the makers' frames out, silence for what is not asked right, read by our driver."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_drivers.driver import DeviceRead, DriverEvent, LineDevice
from device_drivers.links import open_modbus_line
from device_drivers.poller import LinePoller
from device_model.library import shipped_profiles
from device_model.site import Device, Line, LineKind, Text
from device_model.system_clock import SystemClock
from firmware_sim.device import VirtualDevice
from firmware_sim.level_probe import LevelProbes
from firmware_sim.scenario_file import parse_scenario
from firmware_sim.scenario_lines import LINE_PROTOCOLS
from firmware_sim.serve import SimRuntime
from firmware_sim.world import SimWorld
from wire_codecs.lls import parse_reading, read_request

PROFILES = shipped_profiles()
PROFILE = PROFILES["aooog-ag-rs485"]


def bus(level_mm: float = 1234.5, temperature: float = -7.0) -> LevelProbes:
    probe = VirtualDevice("tank", PROFILE)
    probe.set("level", level_mm)
    probe.set("temperature", temperature)
    probe.advance(60.0)
    return LevelProbes("probes", {5: probe})


def asked(probes: LevelProbes, pieces: Sequence[bytes]) -> list[bytes]:
    return [answer for piece in pieces for answer in probes.take(piece, 0, 0)]


def test_a_question_gets_level_and_temperature() -> None:
    (answer,) = asked(bus(), [read_request(5)])
    said = parse_reading(answer)
    assert (said.address, said.level, said.temperature) == (5, 12345, -7)


@pytest.mark.parametrize("octets", [read_request(6), read_request(5)[:3] + b"\x00", b"", b"\x31\x05\x07\x00"])
def test_what_is_not_asked_right_gets_silence(octets: bytes) -> None:
    assert asked(bus(), [octets]) == []


@given(st.binary(max_size=40), st.integers(0, 40))
def test_noise_is_passed_over_and_never_ends_the_bus(noise: bytes, cut: int) -> None:
    probes = bus()
    asked(probes, [noise[:cut], noise[cut:]])
    # Noise may end in the beginning of a question; then the first question is its remainder, the second is heard.
    assert len(asked(probes, [read_request(5), read_request(5), read_request(5)])) >= 1


def test_every_shipped_profile_has_a_line_that_the_simulator_serves() -> None:
    served = set(LINE_PROTOCOLS.values())
    assert {profile.protocol for profile in PROFILES.values()} - {"gateway"} <= served


SCENARIO = """
scenario: probes
lines: [{id: bus, kind: lls_tcp}]
devices:
  - {id: tank, profile: aooog-ag-rs485, line: bus, unit: 5, start: {level: 1500, temperature: 21}}
"""


@pytest.mark.real
async def test_the_gateways_driver_reads_it_over_tcp() -> None:
    world = SimWorld(parse_scenario(SCENARIO, "probes.yaml", PROFILES), PROFILES, {})
    runtime = SimRuntime(world, SystemClock())
    serving = asyncio.create_task(runtime.run())
    seen: dict[str, object] = {}
    both = asyncio.Event()

    def heard(event: DriverEvent) -> None:
        if isinstance(event, DeviceRead):
            seen.update({reading.point: reading.value for reading in event.readings if reading.value is not None})
            if len(seen) >= 2:
                both.set()

    try:
        async with asyncio.timeout(60):
            await runtime.ready.wait()
            host, _, port = runtime.addresses["bus"].rpartition(":")
            line = Line("probes", LineKind.LLS_TCP, host=host, port=int(port))
            entry = LineDevice(Device("tank", PROFILE.id, "probes", "z", Text("", ""), unit=5), PROFILE)
            polling = asyncio.create_task(
                LinePoller(line, [entry], open_modbus_line(line), SystemClock(), heard).run())
            await both.wait()
            polling.cancel()
            with suppress(asyncio.CancelledError):
                await polling
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
    assert seen["tank.level"] == pytest.approx(1.5, abs=0.0002) and seen["tank.temperature"] == 21
