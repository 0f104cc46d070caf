"""Scans and diagnosis of simulated devices on a real TCP port and a real pty; beside a running poller too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from device_drivers.commands import _diagnose, diagnosis_text
from device_drivers.discover import alone, scan_serial, scan_units
from device_drivers.driver import DeviceRead, DriverEvent, LineDevice
from device_drivers.links import open_modbus_line
from device_drivers.poller import LinePoller
from device_model.library import shipped_profiles
from device_model.site import Device, Line, LineKind, Text
from device_model.system_clock import SystemClock
from firmware_sim.commands import read_scenario
from firmware_sim.serve import SimRuntime

pytestmark = pytest.mark.real
PROFILES = {name: shipped_profiles()[name] for name in ("calectro-ug3", "wb-msw-v3", "sdm120", "xy-md04", "qdy30a")}
SCENARIO = """
scenario: scan
en: devices to find
zh: 待发现设备
lines:
  - {id: bus, kind: modbus_tcp, port: 0}
  - {id: rs485, kind: pty, path: PTY, baud: 38400}
devices:
  - {id: duct, profile: calectro-ug3, line: bus, unit: 3}
  - {id: climate, profile: wb-msw-v3, line: bus, unit: 7}
  - {id: meter, profile: sdm120, line: rs485, unit: 11}
"""


@asynccontextmanager
async def devices(folder: Path) -> AsyncIterator[tuple[Line, Line]]:
    """The simulated lines, as Lines to open."""
    file = folder / "scan.yaml"
    file.write_text(SCENARIO.replace("PTY", str(folder / "rs485")), encoding="utf-8")
    runtime = SimRuntime(read_scenario(file), SystemClock())
    task = asyncio.create_task(runtime.run())
    try:
        async with asyncio.timeout(60):
            await runtime.ready.wait()
        host, _, port = runtime.addresses["bus"].rpartition(":")
        yield (Line("bus", LineKind.MODBUS_TCP, host=host, port=int(port)),
               Line("rs485", LineKind.MODBUS_RTU, port_path=str(folder / "rs485"), baud=38400))
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_tcp_line_is_scanned(tmp_path: Path) -> None:
    async with devices(tmp_path) as (bus, _):
        exchange = open_modbus_line(bus)
        found = await scan_units(alone(exchange), range(1, 10), PROFILES, SystemClock(), timeout_s=0.5)
        await exchange.close()
    assert [(unit.unit, unit.matches[0].profile) for unit in found] == [(3, "calectro-ug3"), (7, "wb-msw-v3")]
    assert all(unit.identity.known for unit in found)


async def test_a_serial_line_is_scanned(tmp_path: Path) -> None:
    async with devices(tmp_path) as (_, rs485):
        found = await scan_serial(open_modbus_line, rs485, [10, 11], PROFILES, SystemClock(), timeout_s=0.2,
                                  speeds=(38400,), parities=("none",))
    assert [(line.baud, line.parity, [unit.unit for unit in line.units]) for line in found] == [(38400, "none", [11])]
    assert found[0].units[0].matches[0].profile == "sdm120"


async def test_a_scan_goes_behind_the_polls_of_a_running_line(tmp_path: Path) -> None:
    read = asyncio.Event()

    def heard(event: DriverEvent) -> None:
        if isinstance(event, DeviceRead):
            read.set()

    async with devices(tmp_path) as (bus, _):
        entry = LineDevice(Device("duct", "calectro-ug3", "bus", "z", Text("", ""), unit=3), PROFILES["calectro-ug3"])
        poller = LinePoller(bus, [entry], open_modbus_line(bus), SystemClock(), heard)
        polling = asyncio.create_task(poller.run())
        async with asyncio.timeout(60):
            await read.wait()

            async def ask(request, timeout_s):  # type: ignore[no-untyped-def]
                return await poller.ask(request, timeout_s=timeout_s)

            found = await scan_units(ask, [7], {"wb-msw-v3": PROFILES["wb-msw-v3"]}, SystemClock(), timeout_s=0.2)
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
    assert [unit.matches[0].profile for unit in found] == ["wb-msw-v3"]


async def test_one_device_is_diagnosed(tmp_path: Path) -> None:
    async with devices(tmp_path) as (bus, rs485):
        duct = LineDevice(Device("duct", "calectro-ug3", "bus", "z", Text("", ""), unit=3), PROFILES["calectro-ug3"])
        well = await _diagnose(duct, bus, 2)
        meter = LineDevice(Device("m", "sdm120", "rs485", "z", Text("", ""), unit=11), PROFILES["sdm120"])
        serial = await _diagnose(meter, rs485, 1)
        wrong = await _diagnose(LineDevice(Device("w", "sdm120", "bus", "z", Text("", ""), unit=7),
                                           PROFILES["sdm120"]), bus, 1)
    assert well.ok and well.figures.answered == well.figures.asked == 6 and "Calectro" in well.identity
    assert all(attempt.sent and attempt.received for attempt in well.attempts)
    assert {value.point for value in well.values} == {f"duct.{p.id}" for p in PROFILES["calectro-ug3"].points}
    assert serial.ok and serial.attempts[0].received.startswith("0b 04")
    assert not wrong.ok and "exception 2" in wrong.advice[0].en
    assert "advice: all requests answered" in diagnosis_text(well, "en")
    assert "建议：全部请求已应答" in diagnosis_text(well, "zh_CN")
