"""The real nats-server: who may come in and say what, what a revocation does, what survives kill -9."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import stat
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import gmqtt
import pytest
import pytest_asyncio
from gmqtt.mqtt.constants import MQTTv311

from community_os.audit_book import AuditBook
from community_os.broker import Broker, BrokerSettings, read_access
from community_os.broker_config import BrokerAccess
from community_os.broker_refusals import RefusalTail
from community_os.nats_link import NatsLink
from community_os.nats_stream import JetStreamStream
from device_model.errors import LocalFault, PeerSilent
from device_model.messages import GatewayAddress
from provisioning.authority import Authority
from provisioning.commands import GatewayKeys, enrol_into

pytestmark = pytest.mark.real
A = GatewayAddress.of_common_name("hz.yh.cq.riverside.gw-1")
B = GatewayAddress.of_common_name("hz.yh.cq.hillside.gw-1")


class Cloud:
    """A broker with its authority, and a keeper that runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.open(folder / "ca")
        self.broker = Broker(folder / "broker", self.authority, BrokerSettings(
            mqtt_port=0, services_port=0, sync_always=False))
        self.keeper: asyncio.Task[None] | None = None
        self.book = AuditBook(folder / "audit")
        self.tail = RefusalTail(self.broker.log_file, self.book)
        self.subjects: set[str] = set()

    def enrol(self, address: GatewayAddress, **more: float) -> GatewayKeys:
        return enrol_into(self.authority, address, self.folder / address.common_name, **more)


@pytest_asyncio.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    cloud = Cloud(tmp_path)
    cloud.enrol(A)
    cloud.enrol(B)
    await cloud.broker.start()
    cloud.keeper = asyncio.create_task(cloud.broker.run())
    yield cloud
    cloud.keeper.cancel()
    await cloud.broker.stop()


class Peer:
    """An MQTT client of a gateway."""

    def __init__(self) -> None:
        self.client = gmqtt.Client(f"test-{os.urandom(4).hex()}")
        self.heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self.gone = asyncio.Event()
        self.granted: asyncio.Queue[list[int]] = asyncio.Queue()
        self.client.set_config({"reconnect_retries": 0})
        self.client.on_message = self._message
        self.client.on_disconnect = lambda *_: self.gone.set()
        self.client.on_subscribe = lambda _client, _mid, codes, _props: self.granted.put_nowait(list(codes))

    async def _message(self, _client: object, topic: str, payload: bytes, _qos: int, _props: object) -> int:
        self.heard.put_nowait((topic, payload))
        return 0

    async def connect(self, port: int, keys: GatewayKeys, ca_file: Path | None = None) -> Peer:
        context = ssl.create_default_context(cafile=str(ca_file or keys.ca_file))
        context.load_cert_chain(str(keys.certificate_file), str(keys.key_file))
        async with asyncio.timeout(60):
            await self.client.connect("127.0.0.1", port, ssl=context, version=MQTTv311, raise_exc=True)
        return self

    async def subscribe(self, topic: str, qos: int = 1) -> list[int]:
        self.client.subscribe(topic, qos=qos)
        async with asyncio.timeout(60):
            return await self.granted.get()

    async def next(self) -> tuple[str, bytes]:
        async with asyncio.timeout(60):
            return await self.heard.get()


async def refused(cloud: Cloud, keys: GatewayKeys, ca_file: Path | None = None) -> bool:
    """Whether that certificate does not come in. TLS 1.3 says so only after the handshake looks done: then the
    connection ends before the broker took it."""
    peer = Peer()
    coming = asyncio.ensure_future(peer.connect(cloud.broker.mqtt_port, keys, ca_file))
    ended = asyncio.ensure_future(peer.gone.wait())
    try:
        await asyncio.wait({coming, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not coming.done():
            return True
        await coming
    except (OSError, ssl.SSLError, gmqtt.mqtt.handler.MQTTConnectError, ConnectionError) as fault:
        assert not isinstance(fault, TimeoutError), "neither let in nor refused"
        return True
    finally:
        for task in (coming, ended):
            task.cancel()
        await asyncio.gather(coming, ended, return_exceptions=True)
        with contextlib.suppress(OSError, ssl.SSLError):
            await peer.client.disconnect()
    return False


def noted(cloud: Cloud) -> dict[str, int]:
    """What the audit has of the broker's refusals: why, and how often."""
    cloud.tail.look()
    records = cloud.book.newest(lambda record: record.what == "broker refused", 200)
    cloud.subjects = {record.subject for record in records}
    assert all(record.where == "127.0.0.1" for record in records)
    return dict(Counter(record.why for record in records))


async def eventually(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_gateway_speaks_under_its_own_prefix_and_hears_its_own(cloud: Cloud) -> None:
    link = await NatsLink.open(cloud.broker.access)
    incoming = link.messages()
    a = await Peer().connect(cloud.broker.mqtt_port, _keys(cloud, A))
    assert await a.subscribe(f"{A.prefix}/down/#") == [1]
    a.client.publish(A.up("alarm"), b"fire", qos=1)
    async with asyncio.timeout(60):
        message = await anext(incoming)
    assert (message.topic, message.payload) == (A.up("alarm"), b"fire")
    await link.publish(A.down("ack"), b"heard")
    assert await a.next() == (A.down("ack"), b"heard")
    await a.client.disconnect()
    await link.close()


async def test_a_gateway_cannot_speak_or_hear_for_another(cloud: Cloud) -> None:
    link = await NatsLink.open(cloud.broker.access)
    incoming = link.messages()
    a = await Peer().connect(cloud.broker.mqtt_port, _keys(cloud, A))
    for topic in (B.up("alarm"), "tocsin/v1/x/y/z/w/g/up/alarm", f"{A.prefix}/down/command",
                  "site/0/a/b/c/d/up", "$KV/TOCSIN_state/ingest/mark", "$JS/API/STREAM/PURGE/TOCSIN"):
        a.client.publish(topic, b"forged", qos=1)
    a.client.publish(A.up("alarm"), b"own", qos=1)
    async with asyncio.timeout(60):
        message = await anext(incoming)
    assert (message.topic, message.payload) == (A.up("alarm"), b"own")
    await eventually(lambda: noted(cloud).get("spoke under a foreign topic", 0) >= 1)
    assert f"tocsin.v1.{B.common_name}.up.alarm" in cloud.subjects
    for topic in (f"{B.prefix}/down/#", "#", "tocsin/#", f"{B.prefix}/up/#", "$MQTT/sub/#", "$JS/#", "+/+/+"):
        assert (await a.subscribe(topic))[0] >= 128, topic
    await link.publish(B.down("command"), b"for B only")
    await link.publish(A.down("command"), b"for A")
    await link.close()
    assert a.heard.empty()
    await eventually(lambda: noted(cloud).get("listened to a foreign topic", 0) >= 1)
    await a.client.disconnect()


async def test_foreign_expired_and_absent_certificates_do_not_come_in(cloud: Cloud, tmp_path: Path) -> None:
    assert not await refused(cloud, _keys(cloud, A))
    foreign = enrol_into(Authority.open(tmp_path / "other-ca"), A, tmp_path / "foreign")
    assert await refused(cloud, foreign, ca_file=cloud.authority.ca_file)
    stranger = GatewayAddress.of_common_name("hz.yh.cq.hillside.gw-9")
    expired = cloud.enrol(stranger, days=-1)
    assert cloud.broker.reload_if_changed()
    await asyncio.sleep(0.3)
    assert await refused(cloud, expired)
    await eventually(lambda: {"a foreign certificate", "an expired certificate"} <= set(noted(cloud)))
    assert stranger.common_name in cloud.subjects
    context = ssl.create_default_context(cafile=str(cloud.authority.ca_file))
    reader, writer = await asyncio.open_connection("127.0.0.1", cloud.broker.mqtt_port, ssl=context)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        writer.write(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x05\x00\x00")
        async with asyncio.timeout(60):
            if not await reader.read(10):
                raise ConnectionError
    writer.close()
    await eventually(lambda: "no certificate" in noted(cloud))


async def test_a_revoked_gateways_live_session_ends_and_a_replacement_comes_in(cloud: Cloud) -> None:
    old = _keys(cloud, A)
    a = await Peer().connect(cloud.broker.mqtt_port, old)
    b = await Peer().connect(cloud.broker.mqtt_port, _keys(cloud, B))
    cloud.authority.revoke(A, "stolen")
    async with asyncio.timeout(60):
        await a.gone.wait()
    assert not b.gone.is_set()
    assert await refused(cloud, old)
    await eventually(lambda: "no such gateway or service" in noted(cloud))
    # The box is replaced, its site kept: the new one comes in, the stolen one's certificate still does not.
    new = enrol_into(cloud.authority, A, cloud.folder / "replacement")
    async with asyncio.timeout(60):  # until the broker has read the register again
        while await refused(cloud, new):
            await asyncio.sleep(0.1)
    assert await refused(cloud, old)
    assert not b.gone.is_set()
    await b.client.disconnect()


async def test_gateways_cannot_use_the_services_door_nor_services_a_wrong_password(cloud: Cloud) -> None:
    access = cloud.broker.access
    for user, password in (("services", "wrong"), (f"CN={A.common_name},OU=enrolment-1", ""), ("", "")):
        reader, writer = await asyncio.open_connection("127.0.0.1", cloud.broker.services_port)
        await reader.readline()
        writer.write(b'CONNECT {"verbose":false,"user":"%b","pass":"%b"}\r\nPING\r\n'
                     % (user.encode(), password.encode()))
        async with asyncio.timeout(60):
            assert b"Authorization Violation" in await reader.readline()
        writer.close()
    await eventually(lambda: "wrong password of a service" in noted(cloud))
    assert access.password not in repr(access)
    for name in ("services.json", "broker.conf"):
        assert stat.S_IMODE((cloud.folder / "broker" / name).stat().st_mode) == 0o600
    assert read_access(cloud.folder / "broker") == access


async def test_what_is_stored_survives_kill_9_and_readers_go_on_in_order(cloud: Cloud) -> None:
    stream = await JetStreamStream.open(cloud.broker.access)
    link = await NatsLink.open(cloud.broker.access)
    seen: list[tuple[int, bytes]] = []

    async def read() -> None:
        async for message in stream.read(0, "site.>"):
            seen.append((message.sequence, message.payload))

    reading = asyncio.create_task(read())
    mark = await stream.put("mark", b"1", expected_revision=0)
    sent = 0
    for life in range(3):
        for _ in range(50):
            while True:
                try:
                    await stream.publish("site.0.a.b.c.d.up", b"%d" % sent, message_id=f"m{sent}")
                    break
                except PeerSilent:
                    await asyncio.sleep(0.05)
            sent += 1
            if sent == 50 * life + 25 and life < 2:
                assert cloud.broker.pid
                os.kill(cloud.broker.pid, signal.SIGKILL)
    await eventually(lambda: len(seen) >= sent)
    assert seen == [(n + 1, b"%d" % n) for n in range(150)]
    assert cloud.broker.restarts == 2 and await stream.get("mark") == (b"1", mark)
    await eventually(lambda: link.connected)
    reading.cancel()
    await stream.close()
    await link.close()
    with pytest.raises(PeerSilent):
        await link.publish("a/b", b"")


@pytest.mark.parametrize("which", ["mqtt_port", "services_port"])
async def test_a_busy_port_is_a_clear_fault(tmp_path: Path, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("community_os.broker.PORT_FREE_WITHIN_S", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = BrokerSettings(**({"mqtt_port": 0, "services_port": 0} | {which: port}))
        broker = Broker(tmp_path / "broker", Authority.open(tmp_path / "ca"), settings)
        with pytest.raises(LocalFault, match=f"{port}.*{which}"):
            await broker.start()
        assert broker.pid is None


async def test_ports_are_kept_and_a_second_start_finds_its_streams(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path / "ca")
    places = []
    for life in range(2):
        broker = Broker(tmp_path / "broker", authority, BrokerSettings(mqtt_port=0, services_port=0))
        await broker.start()
        places.append((broker.mqtt_port, broker.services_port, broker.access.password))
        stream = await JetStreamStream.open(broker.access)
        assert await stream.publish("site.0.a.b.c.d.up", b"x", message_id=f"life{life}") == life + 1
        await stream.close()
        await broker.stop()
        assert broker.pid is None
    assert places[0] == places[1]


async def test_a_folder_that_takes_nothing_is_a_clear_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    broker = Broker(tmp_path / "file", Authority.open(tmp_path / "ca"), BrokerSettings(mqtt_port=0, services_port=0))
    with pytest.raises(LocalFault, match="folder"):
        await broker.start()
    with pytest.raises(LocalFault, match="start the broker first"):
        read_access(tmp_path)


async def test_services_wait_for_a_broker_that_is_not_there_yet(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker", Authority.open(tmp_path / "ca"), BrokerSettings(
        mqtt_port=0, services_port=0))
    await broker.start()
    access: BrokerAccess = broker.access
    await broker.stop()
    opening = asyncio.create_task(JetStreamStream.open(access))
    await asyncio.sleep(0.5)
    assert not opening.done()
    await broker.start()
    stream = await opening
    assert await stream.last_sequence() == 0
    await stream.close()
    await broker.stop()


def _keys(cloud: Cloud, address: GatewayAddress) -> GatewayKeys:
    folder = cloud.folder / address.common_name
    return GatewayKeys(folder / "ca.pem", folder / "certificate.pem", folder / "key.pem")
