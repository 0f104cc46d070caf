"""A simulated Modbus/TCP Security line: the gateway's own links read it while its certificate is good, say why not
when it has ended, and read on when there is a new one. OpenSSL (Python's ssl) is the witness."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from device_drivers.driver import LineUnreachable
from device_drivers.links import open_modbus_line
from device_model.errors import ConfigError, PeerSilent
from device_model.library import shipped_profiles
from device_model.ports import LineExchange, LineRequest
from device_model.site import Line
from device_model.site import LineKind as SiteLineKind
from device_model.system_clock import SystemClock
from firmware_sim.scenario_file import parse_scenario
from firmware_sim.serve import SimRuntime
from firmware_sim.world import SimWorld

pytestmark = pytest.mark.real
PROFILES = shipped_profiles()
SCENARIO = """
scenario: certificate
lines: [{{id: bus, kind: modbus_tls, port: 0, ca_file: {ca}}}]
devices: [{{id: probe, profile: wb-msw-v3, line: bus, unit: 7}}]
faults: [{{target: bus, kind: certificate_expired, from_s: 1, for_s: 2}}]
"""
ANY_REGISTER = LineRequest(7, 4, 4, 1)


async def shown(port: int, ca_file: Path) -> str:
    """"good", or what OpenSSL has against the certificate."""
    try:
        trust = ssl.create_default_context(cafile=str(ca_file))
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
    except ssl.SSLCertVerificationError as refused:
        return refused.verify_message
    writer.close()
    return "good"


async def read(link: LineExchange) -> str:
    try:
        reply = await link.exchange(ANY_REGISTER, timeout_s=30.0)
    except (LineUnreachable, PeerSilent) as problem:
        return str(problem)
    return "read" if reply.unit == 7 and len(reply.payload) == 2 else "?"


async def until(wanted: str, link: LineExchange) -> str:
    said = ""
    async with asyncio.timeout(60):
        while wanted not in (said := await read(link)):
            await asyncio.sleep(0.1)
    return said


async def test_a_certificate_ends_and_is_renewed(tmp_path: Path) -> None:
    ca_file = tmp_path / "sim-ca.pem"
    world = SimWorld(parse_scenario(SCENARIO.format(ca=ca_file), "t.yaml", PROFILES), PROFILES, {})
    runtime = SimRuntime(world, SystemClock())
    running = asyncio.create_task(runtime.run())
    await runtime.ready.wait()
    port = int(runtime.addresses["bus"].rpartition(":")[2])
    line = Line("bus", SiteLineKind.MODBUS_TLS, host="127.0.0.1", port=port, ca_file=str(ca_file))
    link = open_modbus_line(line)
    try:
        assert await shown(port, ca_file) == "good"
        assert await read(link) == "read"
        said = await until("certificate has expired", link)
        assert "bus (127.0.0.1" in said and "renew it at the device" in said
        assert await shown(port, ca_file) == "certificate has expired"
        await until("read", link)
        assert await shown(port, ca_file) == "good"
        keys = list(tmp_path.glob("*.private.pem"))
        assert len(keys) == 2 and all(key.stat().st_mode & 0o077 == 0 for key in keys)
    finally:
        await link.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [path.name for path in tmp_path.iterdir()] == ["sim-ca.pem"]


async def test_who_trusts_somebody_else_is_told_so(tmp_path: Path) -> None:
    ca_file = tmp_path / "sim-ca.pem"
    text = SCENARIO.format(ca=ca_file).replace("from_s: 1", "from_s: 1000")
    runtime = SimRuntime(SimWorld(parse_scenario(text, "t.yaml", PROFILES), PROFILES, {}), SystemClock())
    running = asyncio.create_task(runtime.run())
    await runtime.ready.wait()
    port = int(runtime.addresses["bus"].rpartition(":")[2])
    link = open_modbus_line(Line("bus", SiteLineKind.MODBUS_TLS, host="127.0.0.1", port=port))
    try:
        assert "certificate that is refused" in await read(link)
    finally:
        await link.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_a_tls_line_names_its_ca_file() -> None:
    with pytest.raises(ConfigError, match="names no ca_file"):
        parse_scenario(SCENARIO.replace(", ca_file: {ca}", "").format(), "t.yaml", PROFILES)
