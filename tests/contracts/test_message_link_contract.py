"""One suite for every MessageLink: the model of the simulation, GmqttLink on Mosquitto, GmqttLink on nats-server."""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import pytest

from cloud_bridge.mqtt_link import GmqttLink
from device_model.child_process import free_ports
from device_model.errors import PeerSilent
from device_model.ports import Message, MessageLink
from device_model.system_clock import SystemClock
from trial.link_model import BrokerModel

SOON_S = 60.0


class Broker(Protocol):
    def link(self, name: str, *subscriptions: str) -> MessageLink: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class ModelBroker:
    def __init__(self) -> None:
        self.model = BrokerModel(random.Random(7), SystemClock(), latency_s=0.001)

    def link(self, name: str, *subscriptions: str) -> MessageLink:
        return self.model.link(name, subscriptions)

    async def start(self) -> None:
        self.model.start()

    async def stop(self) -> None:
        self.model.stop()


class RealBroker:
    """A child process on a free loopback port."""

    def __init__(self, folder: Path, kind: str) -> None:
        (self.port,) = free_ports(1)
        self.process: asyncio.subprocess.Process | None = None
        config = folder / "broker.conf"
        if kind == "mosquitto":
            program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")
            config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
            self.command = (program or "mosquitto", "-c", str(config))
        else:
            program = str(Path(sys.executable).with_name("nats-server"))
            config.write_text(
                f'server_name: t\nlisten: "127.0.0.1:-1"\njetstream {{ store_dir: "{folder}/js" }}\n'
                f'mqtt {{ host: "127.0.0.1", port: {self.port} }}\n')
            self.command = (program, "-c", str(config))

    def link(self, name: str, *subscriptions: str) -> GmqttLink:
        return GmqttLink("127.0.0.1", self.port, name, subscriptions, reconnect_max_s=0.5, puback_timeout_s=5.0)

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self.command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL)

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        await until(listens)

    async def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            await self.process.wait()
            self.process = None


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON_S):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture(params=["model", pytest.param("mosquitto", marks=pytest.mark.real),
                        pytest.param("nats-server", marks=pytest.mark.real)])
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    world: Broker = ModelBroker() if request.param == "model" else RealBroker(tmp_path, request.param)
    await world.start()
    yield world
    await world.stop()


class Listener:
    """Collects what a link receives."""

    def __init__(self, link: MessageLink) -> None:
        self.link = link
        self.heard: list[Message] = []
        self.task = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        async for message in self.link.messages():
            self.heard.append(message)


async def connected(*links: MessageLink) -> None:
    for link in links:
        if isinstance(link, GmqttLink):
            link.start()
        await until(lambda link=link: link.connected)


async def test_what_is_published_arrives_whole_and_in_order(broker: Broker) -> None:
    up, down = broker.link("up"), broker.link("down", "t/+/ack", "u/#")
    listener = Listener(down)
    await connected(up, down)
    for number in range(50):
        await up.publish("t/one/ack", bytes([number]) * 3)
    await up.publish("u/deep/er", b"\x00\xff" * 100_000)
    await up.publish("v/nobody", b"?")
    await until(lambda: len(listener.heard) >= 51)
    heard = [m.payload for m in listener.heard if m.topic == "t/one/ack"]
    assert heard == [bytes([number]) * 3 for number in range(50)]
    assert Message("u/deep/er", b"\x00\xff" * 100_000) in listener.heard
    assert all(m.topic != "v/nobody" for m in listener.heard)
    await asyncio.gather(up.close(), down.close())


async def test_many_at_once_are_all_acknowledged(broker: Broker) -> None:
    up, down = broker.link("up"), broker.link("down", "t")
    listener = Listener(down)
    await connected(up, down)
    await asyncio.gather(*(up.publish("t", str(number).encode()) for number in range(300)))
    await until(lambda: len(listener.heard) == 300)
    assert sorted(int(m.payload) for m in listener.heard) == list(range(300))
    await asyncio.gather(up.close(), down.close())


async def test_without_a_broker_publish_says_so_and_the_link_mends_itself(broker: Broker) -> None:
    up, down = broker.link("up"), broker.link("down", "t")
    listener = Listener(down)
    await connected(up, down)
    await broker.stop()
    await until(lambda: not up.connected and not down.connected)
    with pytest.raises(PeerSilent):
        await up.publish("t", b"lost")
    await broker.start()
    await connected(up, down)
    await up.publish("t", b"back")
    await until(lambda: bool(listener.heard))
    assert [m.payload for m in listener.heard] == [b"back"]
    await asyncio.gather(up.close(), down.close())


async def test_a_publish_under_way_when_the_broker_dies_ends(broker: Broker) -> None:
    up = broker.link("up")
    await connected(up)

    async def pour() -> None:
        for _ in itertools.count():
            await up.publish("t", b"x" * 1000)

    pouring = asyncio.ensure_future(pour())
    await asyncio.sleep(0.05)
    await broker.stop()
    async with asyncio.timeout(SOON_S):
        with pytest.raises(PeerSilent):
            await pouring
    await up.close()


async def test_closing_ends_the_messages_and_may_be_repeated(broker: Broker) -> None:
    link = broker.link("one", "t")
    listener = Listener(link)
    await connected(link)
    await link.close()
    await link.close()
    async with asyncio.timeout(SOON_S):
        await listener.task
    assert not link.connected
    with pytest.raises(PeerSilent):
        await link.publish("t", b"")
