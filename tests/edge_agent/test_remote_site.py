"""Signed site files from the cloud: what is refused, what is applied, and that a change never costs the cloud."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_bridge.mqtt_link import GmqttLink
from device_model.child_process import free_ports
from device_model.errors import LocalFault
from device_model.library import read_inventory
from device_model.messages import GatewayAddress
from device_model.ports import Message
from device_model.site import Tenancy
from device_model.system_clock import SystemClock
from edge_agent.probation import Probation, RemoteState, Verdict
from edge_agent.remote_site import RemoteSite
from edge_agent.site_tap import SiteTap
from provisioning.site_signing import SignedSite, make_site_key, open_signed, sign_site
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual

ADDRESS = GatewayAddress(Tenancy("a", "b", "c", "d"), "gw-1")
OTHER = GatewayAddress(Tenancy("a", "b", "c", "d"), "gw-2")
PRIVATE, PUBLIC = make_site_key()
SITE = """
site: {path: a/b/c/d, name: %s}
gateway: {id: gw-1}
lines: [ {id: self, kind: gateway} ]
buildings: [ {id: b1, name: B, floors: [ {id: f1, name: F, zones: [ {id: z1, name: Z} ]} ]} ]
devices: [ {id: gw, profile: tocsin-gateway, line: self, zone: z1} ]
"""


def signed(
    text: str = SITE % "New", version: int = 1, address: GatewayAddress = ADDRESS, key: bytes = PRIVATE,
) -> bytes:
    return sign_site(text, version, address, key)


def test_what_was_signed_comes_out():
    opened = open_signed(signed(), ADDRESS, PUBLIC)
    assert (opened.text, opened.version, opened.gateway) == (SITE % "New", 1, "a.b.c.d.gw-1")


@pytest.mark.parametrize(("payload", "why"), [
    (signed(key=make_site_key()[0]), "signature"), (signed(address=OTHER), "is for a.b.c.d.gw-2"),
    (signed()[:-40] + b'"}', "."), (b"{}", "."), (b"x" * 10**6, "exceeds"),
])
def test_what_is_refused(payload, why):
    with pytest.raises(ValueError, match=why):
        open_signed(payload, ADDRESS, PUBLIC)


@pytest.mark.parametrize("change", [{"version": 9}, {"gateway": "a.b.c.d.gw-2"}, {"v": 2}, {"signature": "AA=="}])
def test_every_part_is_under_the_signature(change):
    message = msgspec.json.decode(signed(), type=SignedSite)
    with pytest.raises(ValueError, match=r"."):
        open_signed(msgspec.json.encode(msgspec.structs.replace(message, **change)), ADDRESS, PUBLIC)


@given(st.binary(max_size=200) | st.builds(
    SignedSite, v=st.just(1), gateway=st.text(max_size=5), version=st.integers(0, 9), packed=st.text(max_size=20),
    signature=st.text(max_size=20)).map(msgspec.json.encode))
def test_garbled_messages_are_refused_and_nothing_else_happens(payload):
    with contextlib.suppress(ValueError, OverflowError):
        open_signed(payload, ADDRESS, PUBLIC)
        raise AssertionError("nobody signed that")


def test_versions():
    state = RemoteState().applied(3)
    assert "still on probation" in state.why_not(4) and "not newer" in state.why_not(3)
    kept = state.confirmed()
    assert kept.why_not(4) == "" and "not newer" in kept.why_not(2)
    back = state.rolled_back()
    assert back.version == 0 and "rolled back" in back.why_not(3) and back.why_not(4) == ""


@pytest.mark.parametrize(("looks", "verdict"), [
    ([(10, True), (59, True)], Verdict.WAIT), ([(10, True), (60, True)], Verdict.CONFIRM),
    ([(10, True), (20, False), (69, False)], Verdict.WAIT),
    ([(10, True), (20, False), (70, False)], Verdict.ROLL_BACK),
    ([(59, False), (60, False)], Verdict.ROLL_BACK), ([(59, False), (60, True)], Verdict.CONFIRM),
])
def test_probation(looks, verdict):
    probation = Probation(60, 0)
    assert [probation.look(cloud, at * 1_000_000) for at, cloud in looks][-1] is verdict


class Tap:
    """A link that is there or not, as the test says."""

    def __init__(self):
        self.connected, self.waiting, self.numbers = True, asyncio.Queue(), asyncio.Queue()


def play(tmp_path, script):
    config, key = tmp_path / "site.yaml", tmp_path / "key.pem"
    config.write_text(SITE % "Old", encoding="utf-8")
    key.write_bytes(PUBLIC)
    loop = VirtualLoop()

    async def main():
        clock, tap, applied = VirtualClock(loop, "b", wall_us=0), Tap(), []

        async def apply(file):
            inventory = read_inventory(file)
            if "refuse" in inventory.site.name.en:
                raise LocalFault("an alarm stands on it")
            applied.append(inventory.site.name.en)
            return "names"

        def start():
            remote = RemoteSite(tap, config, key, ADDRESS, clock, apply, roll_back_after_s=60)
            return remote, asyncio.ensure_future(remote.run())

        await script(clock, tap, applied, start, config)

    run_virtual(main(), loop)


def test_applied_and_confirmed(tmp_path):
    async def script(clock, tap, applied, start, config):
        remote, task = start()
        tap.waiting.put_nowait(signed())
        await clock.sleep(5)
        assert applied == ["New"] and config.read_text() == SITE % "New" and remote.state.on_probation
        tap.waiting.put_nowait(signed(SITE % "Newer", 2))
        await clock.sleep(5)
        assert "still on probation" in remote.last
        await clock.sleep(60)
        assert not remote.state.on_probation and remote.state.version == 1
        tap.waiting.put_nowait(signed())
        await clock.sleep(2)
        assert "not newer" in remote.last and applied == ["New"]
        task.cancel()

    play(tmp_path, script)


def test_rolled_back_when_the_cloud_is_gone_also_over_a_restart(tmp_path):
    async def script(clock, tap, applied, start, config):
        remote, task = start()
        tap.waiting.put_nowait(signed(version=7))
        await clock.sleep(5)
        tap.connected = False
        await clock.sleep(30)
        task.cancel()
        remote, task = start()
        await clock.sleep(45)
        assert applied == ["New"]
        await clock.sleep(20)
        assert applied == ["New", "Old"] and config.read_text() == SITE % "Old"
        assert "rolled back" in remote.last and remote.state.refused == 7
        tap.connected = True
        tap.waiting.put_nowait(signed(version=7))
        await clock.sleep(2)
        assert "sign a new one" in remote.last
        tap.waiting.put_nowait(signed(version=8))
        await clock.sleep(2)
        assert applied[-1] == "New"
        task.cancel()

    play(tmp_path, script)


@pytest.mark.parametrize(("payload", "why"), [
    (signed(key=make_site_key()[0]), "signature"), (signed(SITE % "refuse"), "an alarm stands"),
    (signed((SITE % "X").replace("id: f1", "id: F 1")), "F 1"), (signed("{"), "refused"),
])
def test_the_old_one_runs_on(tmp_path, payload, why):
    async def script(clock, tap, applied, start, config):
        remote, task = start()
        tap.waiting.put_nowait(payload)
        await clock.sleep(3)
        assert applied == [] and config.read_text() == SITE % "Old" and why in remote.last
        assert not remote.state.on_probation
        task.cancel()

    play(tmp_path, script)


def test_the_tap_takes_site_files_and_nothing_else():
    class Link:
        connected = True

        async def messages(self):
            for kind in ("site", "ack", "site"):
                yield Message(ADDRESS.down(kind), kind.encode())
            yield Message("strange", b"?")

    async def main():
        tap = SiteTap(Link())
        return [m.payload async for m in tap.messages()], tap.waiting.qsize()

    assert asyncio.run(main()) == ([b"ack", b"?"], 2)


@pytest.mark.real
async def test_through_a_real_broker_that_then_dies(tmp_path):
    (port,) = free_ports(1)
    conf = tmp_path / "m.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    broker = subprocess.Popen([shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(conf)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    config, key = tmp_path / "site.yaml", tmp_path / "key.pem"
    config.write_text(SITE % "Old", encoding="utf-8")
    key.write_bytes(PUBLIC)
    try:
        tap = SiteTap(GmqttLink("127.0.0.1", port, "gw", (ADDRESS.down("site"),), reconnect_max_s=0.2))
        cloud = GmqttLink("127.0.0.1", port, "cloud", reconnect_max_s=0.2)

        async def apply(file):
            return read_inventory(file).site.name.en

        remote = RemoteSite(tap, config, key, ADDRESS, SystemClock(), apply, roll_back_after_s=2)

        async def pump():
            async for _ in tap.messages():
                pass

        tasks = [asyncio.ensure_future(pump()), asyncio.ensure_future(remote.run())]
        cloud.start()
        await until(lambda: tap.connected and cloud.connected)
        await cloud.publish(ADDRESS.down("site"), signed(version=4))
        await until(lambda: config.read_text() == SITE % "New")
        broker.terminate()
        broker.wait()
        await until(lambda: config.read_text() == SITE % "Old")
        assert remote.state == RemoteState(0, 0, False, 4)
        for task in tasks:
            task.cancel()
        await tap.close()
        await cloud.close()
    finally:
        broker.kill()
        broker.wait()


async def until(holds):
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.05)
