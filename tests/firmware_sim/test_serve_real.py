"""The simulator on real ports, read by programs that share no code with it: mbpoll, pymodbus, Mosquitto."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from device_model.child_process import free_ports
from device_model.clock import TimeScale
from device_model.errors import LocalFault
from device_model.profile import READ_FUNCTION
from device_model.system_clock import SystemClock, new_time_scale
from firmware_sim.commands import read_recording
from firmware_sim.faults import Fault, FaultKind
from firmware_sim.modbus_device import Framing, frame
from firmware_sim.mqtt_clients import MqttLine
from firmware_sim.scenario import Scenario
from firmware_sim.scenario_file import parse_scenario
from firmware_sim.serve import SimRuntime
from firmware_sim.world import SimWorld
from tests.firmware_sim.sim_fixtures import PROFILES

pytestmark = pytest.mark.real
FAST = 20.0


def world_of(text: str) -> SimWorld:
    scenario: Scenario = parse_scenario(text, "test.yaml", PROFILES)
    recordings = {r.recording: read_recording(r.recording, Path()) for r in scenario.replays}
    return SimWorld(scenario, PROFILES, recordings)


@contextlib.asynccontextmanager
async def running(
    world: SimWorld, scale: TimeScale | None = None, truth: Path | None = None
) -> AsyncIterator[SimRuntime]:
    runtime = SimRuntime(world, SystemClock(scale), truth=truth)
    task = asyncio.create_task(runtime.run())
    ready = asyncio.create_task(runtime.ready.wait())
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if task.done():
            await task
        yield runtime
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, LocalFault):
            await task


async def output(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    return said.decode()


def mbpoll_values(text: str) -> list[str]:
    return [line.split("\t")[1].split(" ")[0].strip() for line in text.splitlines() if line.startswith("[")]


TCP = """
scenario: bench
lines: [{id: bus, kind: modbus_tcp, port: 0}]
devices:
  - {id: duct, profile: duct, line: bus, unit: 1}
  - {id: co, profile: gas, line: bus, unit: 2, start: {co: 12.5, temperature: 21.5}}
  - {id: room, profile: climate, line: bus, unit: 3, start: {temperature: -7.25, power: 1234567.8, voltage: 231.5}}
"""


async def test_mbpoll_reads_what_was_set() -> None:
    async with running(world_of(TCP)) as runtime:
        host, port = runtime.addresses["bus"].split(":")

        async def poll(unit: int, kind: str, address: int, count: int = 1, *more: str) -> list[str]:
            return mbpoll_values(await output(
                "mbpoll", "-1", "-0", "-q", "-p", port, *more, "-a", str(unit), "-t", kind, "-r", str(address),
                "-c", str(count), host))

        assert await poll(1, "1", 0, 4) == ["1", "0", "0", "0"]
        runtime.world.devices["duct"].set("smoke", True)
        assert await poll(1, "1", 2) == ["1"]
        # -7.25 °C in hundredths; mbpoll shows 16 bits unsigned and signed.
        assert await poll(3, "3", 4) == [str(65536 - 725)]
        assert await poll(3, "3:int", 10) == ["12345678"]
        assert await poll(3, "3:float", 20, 1, "-B") == ["231.5"]


async def test_pymodbus_reads_writes_and_is_refused() -> None:
    async with running(world_of(TCP)) as runtime:
        host, port = runtime.addresses["bus"].split(":")
        client = AsyncModbusTcpClient(host, port=int(port), timeout=30)
        assert await client.connect()
        head = (await client.read_holding_registers(0, count=2, device_id=2)).registers
        decimals = {0: 0, 4: 1, 8: 2, 12: 3}[head[0] >> 8 & 0xF]
        assert head[0] >> 12 == 0 and head[1] / 10**decimals == 12.5
        assert (await client.read_holding_registers(7, count=1, device_id=2)).registers == [715]
        assert (await client.write_coil(0, False, device_id=3)).isError() is False
        assert runtime.world.devices["room"].shown["valve"] is False
        refused = await client.read_input_registers(5, count=1, device_id=3)
        assert refused.isError() and refused.exception_code == 2
        assert (await client.read_input_registers(10, count=9, device_id=3)).exception_code == 3
        assert (await client.read_coils(0, count=1, device_id=99)).exception_code == 11
        client.close()


async def test_a_recorded_fire_reaches_the_wire_and_the_truth_file(tmp_path: Path) -> None:
    world = world_of(TCP + """
replays:
  - {recording: nist_sdc07, start_s: 5, fire: kitchen, feeds: [{column: SMB_1, point: duct.smoke}]}
""")
    truth = tmp_path / "truth.jsonl"
    async with running(world, new_time_scale(FAST), truth) as runtime:
        host, port = runtime.addresses["bus"].split(":")
        client = AsyncModbusTcpClient(host, port=int(port), timeout=30)
        assert await client.connect()
        bits = [False]
        while not bits[0]:
            bits = (await client.read_discrete_inputs(2, count=1, device_id=1)).bits
            await asyncio.sleep(0.01)
        onset = runtime.at_s()
        client.close()
    rows = [json.loads(line) for line in truth.read_text().splitlines()]
    assert rows[0]["what"] == "start"
    assert all({"real_us", "wall_us", "device", "point", "value", "fire"} <= row.keys() for row in rows)
    (smoke,) = [row for row in rows if row.get("point") == "smoke"]
    assert smoke["fire"] == "kitchen" and smoke["value"] is True
    assert smoke["real_us"] > 0 and smoke["wall_us"] > 0
    assert 48 <= smoke["at_s"] <= 90 and smoke["at_s"] <= onset


async def test_half_open_kills_the_connection_and_a_new_one_works() -> None:
    async with running(world_of(TCP), new_time_scale(FAST)) as runtime:
        host, port = runtime.addresses["bus"].split(":")
        old = AsyncModbusTcpClient(host, port=int(port), timeout=30, retries=0)
        assert await old.connect()
        assert (await old.read_discrete_inputs(0, count=1, device_id=1)).bits[0] is True
        runtime.world.strike(Fault(FaultKind.HALF_OPEN, "bus", runtime.at_s(), 1e6))
        old.ctx.comm_params.timeout_connect = 0.3
        with pytest.raises(ModbusIOException):
            while True:  # answered until the line's next look at its faults
                await asyncio.sleep(0.02)
                await old.read_discrete_inputs(0, count=1, device_id=1)
        old.close()
        new = AsyncModbusTcpClient(host, port=int(port), timeout=30)
        assert await new.connect()
        assert (await new.read_discrete_inputs(0, count=1, device_id=1)).bits[0] is True
        new.close()


async def test_pipelined_requests_are_answered_in_order_whatever_delays_one() -> None:
    world = world_of(TCP + "faults: [{kind: delay, target: duct, from_s: 0, delay_s: 2}]")
    async with running(world, new_time_scale(FAST)) as runtime:
        host, port = runtime.addresses["bus"].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for number, unit in enumerate((2, 1, 3, 1)):
            writer.write(frame(Framing.TCP, unit, bytes.fromhex("2B0E0100"), number))
        seen = []
        for _ in range(4):
            head = await asyncio.wait_for(reader.readexactly(7), 60)
            await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
            seen.append((int.from_bytes(head[:2], "big"), head[6]))
        assert seen == [(0, 2), (1, 1), (2, 3), (3, 1)]
        writer.close()


async def test_a_busy_port_is_said_clearly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalFault, match=f"line bus: cannot listen on 127.0.0.1:{port}.*another program"):
            async with running(world_of(TCP.replace("port: 0", f"port: {port}"))):
                pass


async def test_rtu_on_a_pty(tmp_path: Path) -> None:
    path = tmp_path / "rs485"
    world = world_of(TCP.replace("kind: modbus_tcp, port: 0", f"kind: pty, path: {path}, baud: 19200"))
    async with running(world) as runtime:
        said = await output("mbpoll", "-1", "-0", "-q", "-m", "rtu", "-b", "19200", "-P", "none", "-a", "2",
                            "-t", "4", "-r", "7", "-c", "1", str(path))
        assert mbpoll_values(said) == ["715"]
        client = AsyncModbusSerialClient(str(path), baudrate=19200, timeout=30, retries=0)
        assert await client.connect()
        runtime.world.devices["duct"].set("dirty", True)
        assert (await client.read_discrete_inputs(0, count=4, device_id=1)).bits[:4] == [True, True, False, False]
        assert (await client.write_register(0, 234, device_id=1)).isError() is False
        client.close()
    assert not path.exists()


@contextlib.asynccontextmanager
async def mosquitto(tmp_path: Path) -> AsyncIterator[int]:
    (port,) = free_ports(1)
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = await asyncio.create_subprocess_exec("mosquitto", "-c", str(config), stderr=asyncio.subprocess.DEVNULL)
    for _ in range(3000):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            break
        except OSError:
            await asyncio.sleep(0.02)
    try:
        yield port
    finally:
        process.terminate()
        await process.wait()


async def test_mosquitto_sub_sees_the_messages_and_the_will(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as port:
        world = world_of(f"""
scenario: radio
lines: [{{id: air, kind: mqtt, url: "mqtt://127.0.0.1:{port}"}}]
devices:
  - {{id: hall, profile: radio, line: air, start: {{temperature: 20.5}}}}
events:
  - {{at_s: 20, set: {{hall.smoke: true}}, fire: f1}}
faults:
  - {{kind: "off", target: hall, from_s: 60, for_s: 20}}
""")
        watch = await asyncio.create_subprocess_exec(
            "mosquitto_sub", "-p", str(port), "-t", "zigbee2mqtt/#", "-v", stdout=asyncio.subprocess.PIPE)
        assert watch.stdout is not None
        await output("mosquitto_pub", "-p", str(port), "-t", "zigbee2mqtt/ready", "-m", "-", "-r")
        assert await asyncio.wait_for(watch.stdout.readline(), 60) == b"zigbee2mqtt/ready -\n"  # it hears
        async with running(world, new_time_scale(FAST)):
            seen: list[tuple[str, str]] = []
            life: list[str] = []
            while life[:4] != ["online", "offline", "online"]:
                line = (await asyncio.wait_for(watch.stdout.readline(), 60)).decode()
                topic, _, payload = line.strip().partition(" ")
                seen.append((topic, payload))
                life = [said for name, said in seen if name.endswith("availability")]
        watch.terminate()
        await watch.wait()
    bodies = [json.loads(payload) for topic, payload in seen if topic == "zigbee2mqtt/hall"]
    assert {topic for topic, _ in seen} == {"zigbee2mqtt/hall/availability", "zigbee2mqtt/hall"}
    calm = {"smoke": False, "battery": 100, "battery_low": False, "env": {"temperature": 20.5}}
    assert bodies[0] == calm and {**calm, "smoke": True} in bodies


async def test_detectors_behind_a_hub_share_its_session(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as port:
        text = f"""
scenario: hub
lines: [{{id: air, kind: mqtt, url: "mqtt://127.0.0.1:{port}", hub_devices: 3}}]
devices: [{", ".join(f"{{id: d{n}, profile: radio, line: air}}" for n in range(5))}]
"""
        async with running(world_of(text), new_time_scale(FAST)) as runtime:
            watch = await asyncio.create_subprocess_exec(
                "mosquitto_sub", "-p", str(port), "-t", "zigbee2mqtt/+/availability", "-v", "-C", "6",
                stdout=asyncio.subprocess.PIPE)
            assert watch.stdout is not None
            seen = {(await asyncio.wait_for(watch.stdout.readline(), 60)).decode().split()[0] for _ in range(5)}
            assert seen == {f"zigbee2mqtt/d{n}/availability" for n in range(5)}
            air = runtime.lines[0]
            assert isinstance(air, MqttLine) and air.connected == 2 and air.lost == 0
            runtime.world.devices["d4"].power(on=False)
            said = (await asyncio.wait_for(watch.stdout.readline(), 60)).decode().split()
            assert said == ["zigbee2mqtt/d4/availability", "offline"]
            await watch.wait()


def test_the_fixture_covers_all_four_tables() -> None:
    tables = {point.register.table for p in PROFILES.values() for point in p.points if point.register}
    assert {READ_FUNCTION[t] for t in tables} == {1, 2, 3, 4}
