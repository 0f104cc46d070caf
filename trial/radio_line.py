"""RadioLine (I/O: tasks): the MQTT devices of one line on a broker of their own, as the gateway's port sees it.

    SimWorld.publishes ─► hub ═ BrokerModel ═ LinkModel ─► MqttSensors
                           ▲ commands to devices ◄──────────────┘
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from device_model.clock import Clock
from firmware_sim.faults import FaultKind
from firmware_sim.world import SimWorld
from trial.link_model import BrokerModel, LinkModel


class RadioLine:
    """One broker and the devices that publish to it."""

    def __init__(
        self, line: str, world: SimWorld, clock: Clock, random: Random, at_s: Callable[[], float],
        note: Callable[[str, bytes], None],
    ) -> None:
        """note: told of all bytes that reach the gateway."""
        self._line, self._world, self._clock, self._at_s = line, world, clock, at_s
        self.broker = BrokerModel(random, clock)
        self.broker.probe = lambda what, client, topic, payload: (
            note(line, topic.encode() + b" " + payload) if what == "arrived" and client == "gateway" else None)
        self._devices = world.publishers[line]
        self._hub = self.broker.link("devices", tuple(f"{device.base}/set" for device in self._devices.values()))
        self._late: set[asyncio.Task[None]] = set()
        self._alive: dict[str, bool] = {}

    def gateway_link(self, topics: Sequence[str]) -> LinkModel:
        """The gateway's connection."""
        return self.broker.link("gateway", topics)

    async def listen(self) -> None:
        """Commands to devices, until cancelled."""
        async for message in self._hub.messages():
            for device in self._devices.values():
                device.commanded(message.topic, message.payload)

    def turn(self) -> None:
        """Publish what is due now."""
        at_s = self._at_s()
        if self._world.faults[self._line].lasts(FaultKind.HALF_OPEN, at_s):
            return
        for device, publisher in self._devices.items():
            alive = self._world.devices[device].answers
            if publisher.availability is not None and self._alive.get(device) != alive:
                topic, online, offline = publisher.availability
                self._later(topic, online if alive else offline, 0.0)
            self._alive[device] = alive
        for _, message, delay_s in self._world.publishes(self._line, at_s, self._clock.now().wall_us):
            self._later(message.topic, message.payload, delay_s)

    def _later(self, topic: str, payload: bytes, delay_s: float) -> None:
        async def send() -> None:
            await self._clock.sleep(delay_s)
            if self._hub.connected:
                await self._hub.publish(topic, payload)

        task = asyncio.ensure_future(send())
        self._late.add(task)
        task.add_done_callback(self._late.discard)
