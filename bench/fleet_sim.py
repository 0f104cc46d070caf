"""The simulator's side of `tocsin bench fleet`, as a process of its own: prints its addresses, then counts (I/O)."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from device_model.library import shipped_profiles
from device_model.system_clock import SystemClock
from firmware_sim.mqtt_clients import MqttLine
from firmware_sim.scenario import Scenario, SimDevice
from firmware_sim.scenario_lines import LineKind, SimLine
from firmware_sim.serve import SimRuntime
from firmware_sim.world import SimWorld

MODBUS_PROFILE, MQTT_PROFILE = "sdm120", "zigbee2mqtt-smoke"


def fleet(modbus: int, mqtt: int, hub: int, broker: str) -> Scenario:
    """So many Modbus devices, a port each, and so many detectors on one broker."""
    lines = [SimLine(f"bus-{n}", LineKind.MODBUS_TCP) for n in range(modbus)]
    devices = [SimDevice(f"meter-{n}", MODBUS_PROFILE, f"bus-{n}") for n in range(modbus)]
    if mqtt:
        lines.append(SimLine("air", LineKind.MQTT, url=broker, hub_devices=hub))
        devices += [SimDevice(f"smoke-{n}", MQTT_PROFILE, "air") for n in range(mqtt)]
    return Scenario("fleet", tuple(lines), tuple(devices))


async def _run(options: argparse.Namespace) -> None:
    profiles = shipped_profiles()
    world = SimWorld(fleet(options.modbus, options.mqtt, options.hub, options.broker), profiles, {})
    runtime = SimRuntime(world, SystemClock())
    running = asyncio.create_task(runtime.run())
    await runtime.ready.wait()
    ports = [int(address.rpartition(":")[2]) for name, address in runtime.addresses.items() if name != "air"]
    print(json.dumps({"ports": ports}), flush=True)
    air = next((line for line in runtime.lines if isinstance(line, MqttLine)), None)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):  # each line asks for the counts
        counts = {"published": air.published, "connected": air.connected, "lost": air.lost} if air else {}
        print(json.dumps(counts), flush=True)
    running.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--modbus", type=int, default=0)
    parser.add_argument("--mqtt", type=int, default=0)
    parser.add_argument("--hub", type=int, default=0)
    parser.add_argument("--broker", default="mqtt://127.0.0.1:1883")
    asyncio.run(_run(parser.parse_args()))
