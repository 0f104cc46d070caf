"""The whole cloud as real processes on a real nats-server: an alarm to the board, kills, a click, an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from community_os.broker import read_access
from community_os.nats_link import NatsLink
from device_model.alarm import AlarmKey, AlarmState, AlarmTransition, Hazard, Severity, alarm_id
from device_model.child_process import free_ports
from device_model.errors import LocalFault
from device_model.library import read_inventory
from device_model.messages import (
    AlarmRecord,
    Batch,
    GatewayAddress,
    HeartbeatRecord,
    Lane,
    Record,
    decode_ack,
    decode_down,
    encode,
)

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]
WITHIN_S = 120.0  # five processes come up on what is left of a loaded core


class Cloud:
    """`tocsin cloud run` with all roles, and how to speak with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        text = (ROOT / "demo" / "sites" / "riverside.yaml").read_text(encoding="utf-8")
        (folder / "site.yaml").write_text(text, encoding="utf-8")
        (self.port,) = free_ports(1)
        (folder / "cloud.yaml").write_text(
            f"state: state\nport: {self.port}\nsign_in: open_on_loopback\nsites: [site.yaml]\n"
            "broker: {mqtt_port: 0, services_port: 0}\n")
        self.log = folder / "log"
        self.site = read_inventory(folder / "site.yaml").site
        self.address = GatewayAddress(self.site.tenancy, self.site.gateway.id)
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tocsin", "cloud", "run", "--config", str(self.folder / "cloud.yaml"),
                stdout=log, stderr=log, cwd=ROOT)

    def pid(self, role: str) -> int:
        """The latest process of that role."""
        found = re.findall(rf"event=started role={role} pid=(\d+)", self.log.read_text())
        return int(found[-1])

    def kill(self, role: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid(role), signal.SIGKILL)

    def get(self, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode() if body else None,
            {"X-Tocsin": "board", "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return json.loads(error.read())

    async def until(self, what: Any) -> Any:
        """The first true answer of `what(board)`."""
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError):
                if found := what((await asyncio.to_thread(self.get, "/api/board?whole=1"))["board"]):
                    return found
            await asyncio.sleep(0.1)
        raise AssertionError(f"not within {WITHIN_S} s; the log ends:\n{self.log.read_text()[-3000:]}")

    async def link(self) -> NatsLink:
        """As the broker's own side of a gateway's connection."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            try:
                access = read_access(self.folder / "state" / "broker")
                break
            except LocalFault:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
        return await NatsLink.open(access, (self.address.down("+"),), "test-gateway")


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    made = Cloud(tmp_path)
    await made.start()
    yield made
    assert made.process is not None
    if made.process.returncode is None:
        made.process.terminate()
        await asyncio.wait_for(made.process.wait(), 60)


def alarm(cloud: Cloud, device: str, zone: str) -> AlarmTransition:
    now_us = time.time_ns() // 1000
    key = AlarmKey("fire-smoke", f"{device}.x")
    return AlarmTransition(alarm_id(cloud.site.tenancy.path, key, now_us), key, AlarmState.RAISED,
                           AlarmState.PENDING, Hazard.FIRE, Severity.CRITICAL, now_us, now_us, zone, device,
                           latched=True)


async def send(cloud: Cloud, link: NatsLink, sequence: int, transition: AlarmTransition) -> None:
    """As a gateway does: again and again until the ingest acknowledges."""
    at_us = transition.at_us
    record = Record(sequence, at_us, at_us, "b", AlarmRecord(transition))
    beat = Record(0, at_us, at_us, "b", HeartbeatRecord(at_us, {"alarm": ("e1", sequence)}, 3, 3))
    payload = encode(Batch(1, cloud.address.gateway, "e1", Lane.ALARM, (beat, record)))

    async def repeat() -> None:
        while True:
            with contextlib.suppress(Exception):
                await link.publish(cloud.address.up(Lane.ALARM), payload)
            await asyncio.sleep(0.5)

    sending = asyncio.create_task(repeat())
    try:
        async with asyncio.timeout(WITHIN_S):
            async for message in link.messages():
                if message.topic.endswith("/ack"):
                    ranges = decode_ack(message.payload).ranges
                    if any(first <= sequence <= last for first, last in ranges):
                        return
    finally:
        sending.cancel()


async def test_alarms_reach_the_board_over_kills_of_every_process(cloud: Cloud) -> None:
    zones = {zone.building: zone for zone in cloud.site.zones}
    places = [(next(d.id for d in cloud.site.devices if d.zone == zone.id), zone.id) for zone in zones.values()
              if any(d.zone == zone.id for d in cloud.site.devices)]
    await cloud.until(lambda board: board["gateways"])
    link = await cloud.link()
    try:
        first = alarm(cloud, *places[0])
        await send(cloud, link, 1, first)
        (incident,) = await cloud.until(lambda board: board["incidents"])
        assert incident["alarms"][0]["alarm"] == first.alarm and incident["site_name"] == {
            "en": cloud.site.name.en, "zh": cloud.site.name.zh}

        # A click, all the way: durable, told to the gateway, refused where law 3 refuses.
        click = {"action": "acknowledge", "request": "click-0001", "who": "Li"}
        answer = await asyncio.to_thread(cloud.get, f"/api/incidents/{incident['id']}/actions", click)
        assert answer["done"], answer
        async with asyncio.timeout(WITHIN_S):
            async for message in link.messages():
                if message.topic.endswith("/command"):
                    assert decode_down(message.payload).command.target == first.alarm
                    break
        close = {"action": "close", "request": "click-0002", "who": "Li", "why": "seen"}
        answer = await asyncio.to_thread(cloud.get, f"/api/incidents/{incident['id']}/actions", close)
        assert (answer["done"], answer["law"]) == (False, 3)

        for number, role in enumerate(("worker", "web", "ingest", "broker"), start=2):
            cloud.kill(role)
            await send(cloud, link, number, alarm(cloud, places[0][0], places[0][1]))
        shown = await cloud.until(lambda board: [
            i for i in board["incidents"] for a in i["log"] if a["what"] == "raised"
        ] if sum(a["what"] == "raised" for i in board["incidents"] for a in i["log"]) == 5 else None)
        assert {i["id"] for i in shown} == {incident["id"]}
        board = (await asyncio.to_thread(cloud.get, "/api/board?whole=1"))["board"]
        assert board["gaps"] == [] and len(board["incidents"]) == 1
    finally:
        await link.close()
    assert cloud.process is not None
    cloud.process.terminate()
    assert await asyncio.wait_for(cloud.process.wait(), 60) == 0
    text = cloud.log.read_text()
    assert "Traceback" not in text, text[text.index("Traceback"):][-1800:]


async def test_a_busy_port_is_a_clear_message(tmp_path: Path) -> None:
    made = Cloud(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", made.port))
        taken.listen()
        await made.start()
        try:
            deadline = time.monotonic() + WITHIN_S
            while "if the port is busy" not in made.log.read_text():
                assert time.monotonic() < deadline, made.log.read_text()[-3000:]
                await asyncio.sleep(0.2)
        finally:
            assert made.process is not None
            made.process.terminate()
            await asyncio.wait_for(made.process.wait(), 60)
    assert "Traceback" not in made.log.read_text()


async def test_a_wrong_site_file_is_said_at_once(tmp_path: Path) -> None:
    made = Cloud(tmp_path)
    (tmp_path / "site.yaml").write_text("site: {path: a/b/c/d}\n")
    await made.start()
    assert made.process is not None
    assert await asyncio.wait_for(made.process.wait(), 60) == 1
    text = made.log.read_text()
    assert "site.yaml:" in text and "Traceback" not in text
