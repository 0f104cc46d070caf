"""Several ways to the cloud: choice by table and seed, the link in virtual time, and two real brokers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import subprocess
from random import Random

import pytest

from cloud_bridge.mqtt_link import GmqttLink
from cloud_bridge.ways import WayChoice
from cloud_bridge.ways_link import WaysLink
from device_model.child_process import free_ports
from device_model.errors import PeerSilent
from trial.link_model import BrokerModel
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual

S = 1_000_000


def choice() -> WayChoice:
    return WayChoice(["eth0", "wwan0"], fail_over_s=10, fail_back_s=120)


@pytest.mark.parametrize(("steps", "used"), [
    ([(0, (True, True))], 0), ([(0, (False, True)), (5, (False, True))], 0),
    ([(0, (False, True)), (10, (False, True))], 1), ([(0, (False, False)), (60, (False, False))], 0),
    ([(0, (True, True)), (5, (False, True)), (16, (False, True)), (17, (True, True)), (130, (True, True))], 1),
    ([(0, (True, True)), (5, (False, True)), (16, (False, True)), (17, (True, True)), (137, (True, True))], 0),
    ([(0, (False, True)), (10, (False, True)), (20, (True, False)), (25, (True, False)), (31, (True, False))], 0),
    ([(0, (True, True)), (9, (False, True)), (12, (True, True)), (30, (True, False))], 0),
])
def test_the_way_in_use(steps, used):
    one = choice()
    for at_s, up in steps:
        one.look(up, at_s * S)
    assert one.used == used
    assert [state.used for state in one.states()] == [index == used for index in range(2)]


@pytest.mark.parametrize("seed", range(100))
def test_it_never_flutters_and_never_rests_on_a_dead_way(seed):
    random, one, up, switched = Random(seed), choice(), [True, True], []
    down_s = 0
    for at_s in range(3600):
        for way in range(2):
            if random.random() < 0.01:
                up[way] = not up[way]
        before = one.used
        one.look(up, at_s * S)
        if one.used != before:
            switched.append(at_s)
            assert up[one.used]
        down_s = down_s + 1 if not up[one.used] and any(up) else 0
        assert down_s <= 11
    assert all(b - a >= 10 for a, b in itertools.pairwise(switched))


def test_over_and_back_in_virtual_time_with_nothing_lost_but_what_is_refused():
    loop = VirtualLoop()

    async def main():
        clock = VirtualClock(loop, "b", wall_us=0)
        broker = BrokerModel(Random(1), clock)
        far = broker.link("cloud", ("up/#",), clock=clock)
        eth, cell = (broker.link(name, ("down/#",), clock=clock) for name in ("eth", "cell"))
        told = []
        ways = WaysLink([("eth0", eth), ("wwan0", cell)], clock, told=lambda s: told.append((s.name, s.up)))
        came, sent, arrived = [], [], []

        async def listen():
            async for message in ways.messages():
                came.append(message.payload)

        async def hear():
            async for message in far.messages():
                arrived.append(message.payload)

        async def talk():
            for n in range(400):
                payload = str(n).encode()
                with contextlib.suppress(PeerSilent):
                    await ways.publish("up/x", payload)
                    sent.append(payload)
                await clock.sleep(1)

        tasks = [asyncio.ensure_future(part()) for part in (listen, hear, talk)]
        await clock.sleep(20)
        await far.publish("down/x", b"once")
        await clock.sleep(30)
        eth.cut(network=False)
        await clock.sleep(5)
        early = ways.choice.used, ways.connected
        await clock.sleep(15)
        over = ways.choice.used, ways.connected
        await far.publish("down/x", b"over the spare")
        eth.mend()
        await clock.sleep(60)
        holding = ways.choice.used
        await clock.sleep(100)
        back = ways.choice.used
        cell.cut(network=False)
        await clock.sleep(5)
        await clock.sleep(200)
        await ways.close()
        for task in tasks:
            task.cancel()
        return early, over, holding, back, told, came, sent, arrived

    early, over, holding, back, told, came, sent, arrived = run_virtual(main(), loop)
    assert early == (0, False) and over == (1, True) and holding == 1 and back == 0
    assert told[:2] == [("eth0", True), ("wwan0", True)] and ("eth0", False) in told and told[-1] == ("wwan0", False)
    assert came == [b"once", b"over the spare"], "both connections bring it, it is given on once"
    assert set(sent) <= set(arrived) and len(sent) >= 380


@contextlib.contextmanager
def mosquitto(folder, port):
    config = folder / f"m{port}.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen([shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(config)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@pytest.mark.real
async def test_two_real_brokers_one_dies_and_comes_back(tmp_path):
    """Each way ends at a Mosquitto of its own; one is bound to the loopback interface, as a modem would be."""
    ports, clock = free_ports(2), RealClock()
    with mosquitto(tmp_path, ports[0]) as first, mosquitto(tmp_path, ports[1]):
        links = [(f"w{n}", GmqttLink("127.0.0.1", port, f"gw{n}", ("down/#",), reconnect_max_s=0.2,
                                     interface="lo" if n else "")) for n, port in enumerate(ports)]
        ways = WaysLink(links, clock, fail_over_s=0.5, fail_back_s=1.0)
        listening = asyncio.ensure_future(drain(ways))
        await until(lambda: all(state.up for state in ways.states()))
        await ways.publish("up/x", b"1")
        first.terminate()
        first.wait()
        await until(lambda: ways.choice.used == 1 and ways.connected)
        await ways.publish("up/x", b"2")
        with mosquitto(tmp_path, ports[0]):
            await until(lambda: ways.choice.used == 0 and ways.connected)
            await ways.publish("up/x", b"3")
        listening.cancel()
        await ways.close()
    assert ways.choice.switches == 2


@pytest.mark.real
async def test_an_interface_that_is_not_there_is_a_way_that_is_down():
    link = GmqttLink("127.0.0.1", free_ports(1)[0], "gw", interface="nosuch0", reconnect_max_s=0.2)
    link.start()
    await asyncio.sleep(0.1)
    assert not link.connected
    await link.close()


class RealClock:
    """Ten times as fast, so that the test is short; the watch looks each tenth of a second."""

    def now(self):
        from device_model.clock import Now
        return Now(0, round(asyncio.get_running_loop().time() * 1e6), "real")

    async def sleep(self, delay_s):
        await asyncio.sleep(delay_s / 10)


async def drain(link):
    async for _ in link.messages():
        pass


async def until(holds):
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.02)
