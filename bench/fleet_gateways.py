"""A district in one process (I/O): simulated devices behind production gateways, enrolled at a real cloud.

    SimWorld (one a gateway) ═ DirectRadio, FieldLine, joined lines ═ GatewayRuntime ═ GmqttLink, TLS ═► nats-server

The gateways are the product's own: rules, image, journal lanes, end-to-end acknowledgement. Their field side needs no
socket and their journal is kept in memory, so that two hundred of them fit one core. Prints what it did on request.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog
import uvloop

from cloud_bridge.mqtt_link import GmqttLink, tls_context
from device_model.clock import SECOND_US
from device_model.inventory import Inventory
from device_model.library import read_inventory, shipped_profiles
from device_model.messages import GatewayAddress, Lane
from device_model.ports import Message
from device_model.system_clock import SystemClock
from edge_agent.runtime import GatewayRuntime
from firmware_sim.fleet import FLEETS, FleetPlan, fleet_scenario, part_of, scaled
from firmware_sim.scenario_lines import LineKind
from firmware_sim.sessions import line_sessions
from firmware_sim.world import STEP_S, SimWorld, Truth
from rules_engine.packs import rules_of_site
from rules_engine.rule import RuleSet
from trial.field_line import FieldLine
from trial.joined_line import joined_line
from trial.store_model import DiskModel, StoreModel

QUEUE_MAX = 1024  # messages that a gateway has not taken yet; more are counted as lost


class DirectRadio:
    """Messages of simulated detectors straight into the gateway's port; implements device_model.ports.MessageLink."""

    def __init__(self) -> None:
        self.connected = True
        self.lost = 0
        self._waiting: asyncio.Queue[Message] = asyncio.Queue(QUEUE_MAX)

    def deliver(self, topic: str, payload: bytes) -> None:
        """One message of a device."""
        try:
            self._waiting.put_nowait(Message(topic, payload))
        except asyncio.QueueFull:
            self.lost += 1

    async def publish(self, topic: str, payload: bytes) -> None:
        """Commands to devices: these detectors take none."""

    async def messages(self) -> AsyncIterator[Message]:
        """See the port."""
        while True:
            yield await self._waiting.get()

    async def close(self) -> None:
        """See the port."""


class DistrictGateway:
    """One gateway with its devices."""

    def __init__(self, number: int, plan: FleetPlan, inventory: Inventory, rules: RuleSet, port: int, keys: Path,
                 rate: float, seed: int, clock: SystemClock) -> None:
        self.alarms: dict[str, float] = {}
        self.messages = 0
        self.quiet = False  # nothing happens any more: what is on its way can be waited for
        self._clock = clock
        self._began_us = clock.now().mono_us
        scenario = fleet_scenario(plan, seed=seed * 1000 + number, rate=rate, days=0.05)
        self.world = SimWorld(scenario, shipped_profiles(), {})
        self.radio = DirectRadio()
        self.disk = DiskModel(random.Random(number), latency_s=0.002)  # noqa: S311  simulated latency
        site = inventory.site
        address = GatewayAddress(site.tenancy, site.gateway.id)
        tls = tls_context(str(keys / "ca.pem"), str(keys / "certificate.pem"), str(keys / "key.pem"))
        self.link = GmqttLink("127.0.0.1", port, address.client_id, (address.down("ack"), address.down("command")),
                              tls=tls)
        lines, listening = {}, {}
        of_site = {line.id: line for line in site.lines}
        for line in scenario.lines:
            if line.kind is LineKind.MODBUS_TCP:
                lines[line.id] = FieldLine(line, self.world, clock, self.at_s, _unheard)
            elif line.kind is LineKind.GBT26875:
                listening[line.id] = partial(
                    joined_line, of_site[line.id], inventory, clock,
                    sessions=line_sessions(line, scenario, self.world.devices), faults=self.world.faults[line.id],
                    at_s=self.at_s, note=_unheard)
        self.runtime = GatewayRuntime(
            inventory, rules, clock=clock, store=StoreModel(self.disk, clock), zone=ZoneInfo(site.time_zone),
            uplink_link=self.link, lines=lines, listening=listening,
            mqtt_lines={line.id: self.radio for line in scenario.lines if line.kind is LineKind.MQTT},
            jitter=random.Random(number + 1).random, version="bench")  # noqa: S311  spreads retries
        self.task: asyncio.Task[None] | None = None
        self._smoke = next((line.id for line in scenario.lines if line.kind is LineKind.MQTT), "")
        self._gateway = site.tenancy.site

    def at_s(self) -> float:
        """Seconds since it was made."""
        return (self._clock.now().mono_us - self._began_us) / SECOND_US

    async def run(self, first_s: float) -> None:
        """Gateway and devices, until cancelled."""
        await asyncio.sleep(first_s)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.runtime.run())
            group.create_task(self._devices())

    async def _devices(self) -> None:
        while True:
            await self._clock.sleep(STEP_S)
            at_s = self.at_s()
            for truth in self.world.advance(at_s) if not self.quiet else ():
                self._happened(truth)
            if not self._smoke:
                continue
            for _, message, _late in self.world.publishes(self._smoke, at_s, self._clock.now().wall_us):
                self.messages += 1
                self.radio.deliver(message.topic, message.payload)

    def _happened(self, truth: Truth) -> None:
        if truth.what != "stimulus" or truth.point != "smoke" or truth.value is not True:
            return
        if self.world.devices[truth.device].answers:  # a detector without power tells nobody
            self.alarms.setdefault(f"{self._gateway}/{truth.device}", truth.at_s)

    def waiting(self) -> int:
        """Alarm records that the cloud has not acknowledged end to end."""
        return len(self.disk.rows[Lane.ALARM])


def _unheard(_where: str, _octets: bytes) -> None:
    """Nobody listens to the bytes of a fleet."""


class _Lag:
    """How late the loop is: what it was given less than it needs shows here first."""

    def __init__(self) -> None:
        self.most_s = 0.0

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            from_s = time.monotonic()
            await asyncio.sleep(0.5)
            self.most_s = max(self.most_s, time.monotonic() - from_s - 0.5)

    def take(self) -> float:
        """The most since the last call."""
        most_s, self.most_s = self.most_s, 0.0
        return round(most_s, 3)


async def _run(options: argparse.Namespace) -> None:
    clock, lag = SystemClock(), _Lag()
    watching = asyncio.create_task(lag.watch())
    plan = scaled(FLEETS[options.fleet], options.share)
    gateways = []
    rules: RuleSet | None = None
    for number, folder in enumerate(sorted(options.sites.glob("*.yaml"))):
        inventory = read_inventory(folder)
        rules = rules or rules_of_site(inventory.site)
        keys = options.keys / f"keys-{inventory.site.tenancy.site}"
        gateways.append(DistrictGateway(number, part_of(plan, number, options.gateways), inventory, rules,
                                        options.port, keys, options.rate, options.seed, clock))
    for number, gateway in enumerate(gateways):
        gateway.task = asyncio.create_task(gateway.run(number / len(gateways) * options.start_s))
    print(json.dumps({"gateways": len(gateways)}), flush=True)
    loop = asyncio.get_running_loop()
    while told := await loop.run_in_executor(None, sys.stdin.readline):
        for gateway in gateways if told.strip() == "quiet" else ():
            gateway.quiet = True
        dead = [gateway.task.exception() for gateway in gateways
                if gateway.task is not None and gateway.task.done()]
        print(json.dumps({
            "messages": sum(gateway.messages for gateway in gateways),
            "radio_lost": sum(gateway.radio.lost for gateway in gateways),
            "connected": sum(gateway.link.connected for gateway in gateways),
            "waiting": sum(gateway.waiting() for gateway in gateways),
            "records": sum(gateway.disk.last[lane] for gateway in gateways for lane in Lane),
            "alarms": {name: at_s for gateway in gateways for name, at_s in gateway.alarms.items()},
            "devices": sum(len(gateway.world.devices) for gateway in gateways),
            "dead": [repr(error) for error in dead],
            "lag_s": lag.take(),
            "connections": sum(gateway.link.connections for gateway in gateways),
        }), flush=True)
    watching.cancel()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40),
                        logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    logging.getLogger("gmqtt").setLevel(logging.CRITICAL)  # what it says of closed sockets, the link says itself
    parser = argparse.ArgumentParser()
    parser.add_argument("--fleet", default="yuhang")
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--sites", type=Path, required=True)
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--gateways", type=int, required=True)
    parser.add_argument("--rate", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start-s", type=float, default=20.0)
    uvloop.run(_run(parser.parse_args()))
