"""GmqttLink against a broker of our own that withholds what a good one gives, and Mosquitto with mutual TLS."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
import struct
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloud_bridge import mqtt_link
from cloud_bridge.mqtt_link import GmqttLink, tls_context
from device_model.child_process import free_ports
from device_model.errors import LocalFault, PeerSilent

SOON_S = 60.0


class SlyBroker:
    """Speaks just enough MQTT 3.1.1, and obeys its flags."""

    def __init__(self) -> None:
        self.connack = True
        self.puback = True
        self.suback_code = 1
        self.published: list[bytes] = []
        self.pubacks_heard: list[int] = []
        self.connects: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def __aenter__(self) -> SlyBroker:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for writer in self.writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while True:
                kind = (await reader.readexactly(1))[0]
                size = shift = 0
                while True:
                    byte = (await reader.readexactly(1))[0]
                    size |= (byte & 127) << shift
                    shift += 7
                    if byte < 128:
                        break
                self._packet(kind, await reader.readexactly(size), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _packet(self, kind: int, body: bytes, writer: asyncio.StreamWriter) -> None:
        if kind >> 4 == 1:
            self.connects.append(body)
            if self.connack:
                writer.write(b"\x20\x02\x00\x00")
        elif kind >> 4 == 8:
            writer.write(b"\x90\x03" + body[:2] + bytes([self.suback_code]))
        elif kind >> 4 == 3:
            (length,) = struct.unpack("!H", body[:2])
            self.published.append(body[length + 4:])
            if self.puback:
                writer.write(b"\x40\x02" + body[length + 2: length + 4])
        elif kind >> 4 == 4:
            self.pubacks_heard.append(struct.unpack("!H", body)[0])

    def send(self, mid: int, payload: bytes) -> None:
        body = b"\x00\x01t" + struct.pack("!H", mid) + payload
        self.writers[-1].write(bytes([0x32, len(body)]) + body)


async def until(condition) -> None:
    async with asyncio.timeout(SOON_S):
        while not condition():
            await asyncio.sleep(0.005)


def link_to(broker: SlyBroker, **more: float) -> GmqttLink:
    link = GmqttLink("127.0.0.1", broker.port, "gw", ["t"], reconnect_max_s=0.2, **more)
    link.start()
    return link


async def test_publish_returns_after_the_puback_and_not_before() -> None:
    async with SlyBroker() as broker:
        broker.puback = False
        link = link_to(broker, puback_timeout_s=30)
        await until(lambda: link.connected)
        publishing = asyncio.ensure_future(link.publish("t", b"fire"))
        await until(lambda: broker.published == [b"fire"])
        await asyncio.sleep(0.1)
        assert not publishing.done(), "without PUBACK it does not return"
        broker.writers[-1].write(b"\x40\x02\x00\x02")  # 1 was the SUBSCRIBE
        await asyncio.wait_for(publishing, SOON_S)
        await link.close()


async def test_no_puback_in_time_is_peer_silent_and_ends_the_connection() -> None:
    async with SlyBroker() as broker:
        broker.puback = False
        link = link_to(broker, puback_timeout_s=0.2)
        await until(lambda: link.connected)
        with pytest.raises(PeerSilent, match="no PUBACK"):
            await link.publish("t", b"fire")
        broker.puback = True
        await until(lambda: link.connections == 2)
        await link.publish("t", b"again")
        assert broker.published == [b"fire", b"again"], "gmqtt replays nothing by itself"
        await link.close()


async def test_a_lost_connection_ends_what_waits() -> None:
    async with SlyBroker() as broker:
        broker.puback = False
        link = link_to(broker, puback_timeout_s=30)
        await until(lambda: link.connected)
        publishing = asyncio.ensure_future(link.publish("t", b"fire"))
        await until(lambda: bool(broker.published))
        broker.writers[-1].close()
        async with asyncio.timeout(SOON_S):
            with pytest.raises(PeerSilent, match="lost"):
                await publishing
        await link.close()


async def test_a_message_is_acknowledged_when_the_next_one_is_asked_for() -> None:
    async with SlyBroker() as broker:
        link = link_to(broker)
        await until(lambda: link.connected)
        messages = link.messages()
        broker.send(11, b"a")
        broker.send(12, b"b")
        assert (await anext(messages)).payload == b"a"
        await asyncio.sleep(0.05)
        assert broker.pubacks_heard == []
        assert (await anext(messages)).payload == b"b"
        await until(lambda: broker.pubacks_heard == [11])
        await link.close()


async def test_a_broker_that_accepts_and_says_nothing_is_given_up_and_tried_again() -> None:
    async with SlyBroker() as broker:
        broker.connack = False
        link = link_to(broker, connect_timeout_s=0.1)
        await until(lambda: len(broker.connects) >= 2)
        assert not link.connected
        broker.connack = True
        await until(lambda: link.connected)
        await link.close()


async def test_a_refused_subscription_is_no_connection() -> None:
    async with SlyBroker() as broker:
        broker.suback_code = 0x80
        link = link_to(broker)
        await until(lambda: len(broker.connects) >= 2)
        assert not link.connected and link.connections == 0
        await link.close()


async def test_it_speaks_3_1_1_with_a_clean_session() -> None:
    async with SlyBroker() as broker:
        link = link_to(broker)
        await until(lambda: link.connected)
        assert broker.connects[0][:8] == b"\x00\x04MQTT\x04\x02"
        await link.close()


async def test_the_receive_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_link, "QUEUE_MAX", 5)
    async with SlyBroker() as broker:
        link = link_to(broker)
        await until(lambda: link.connected)
        for mid in range(1, 10):
            broker.send(mid, b"x")
        await until(lambda: link.connections == 2)
        await link.close()


# -- mutual TLS ------------------------------------------------------------------------------------------------------


def make_certificate(folder: Path, name: str, issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer_name, issuer_key = issuer or (subject, key)
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer_name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(issuer_key, hashes.SHA256()))
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    (folder / f"{name}.key").chmod(0o644)
    return subject, key


@pytest.mark.real
async def test_mutual_tls_lets_in_who_has_a_certificate_of_our_ca(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    authority = make_certificate(tmp_path, "ca", None)
    make_certificate(tmp_path, "broker", authority)
    make_certificate(tmp_path, "gw", authority)
    make_certificate(tmp_path, "stranger", None)
    (port,) = free_ports(1)
    (tmp_path / "m.conf").write_text(
        f"user root\nlistener {port} 127.0.0.1\ncafile {tmp_path}/ca.crt\ncertfile {tmp_path}/broker.crt\n"
        f"keyfile {tmp_path}/broker.key\nrequire_certificate true\nallow_anonymous true\n")
    broker = await asyncio.create_subprocess_exec("/usr/sbin/mosquitto", "-c", str(tmp_path / "m.conf"))
    try:
        def tls(name: str) -> ssl.SSLContext:
            return tls_context(str(tmp_path / "ca.crt"), str(tmp_path / f"{name}.crt"), str(tmp_path / f"{name}.key"))
        good = GmqttLink("127.0.0.1", port, "good", ["t"], tls=tls("gw"), reconnect_max_s=0.2)
        bad = GmqttLink("127.0.0.1", port, "bad", tls=tls("stranger"), reconnect_max_s=0.2)
        good.start()
        bad.start()
        await until(lambda: good.connected)
        await good.publish("t", b"in")
        assert (await anext(good.messages())).payload == b"in"
        await asyncio.sleep(0.5)
        assert not bad.connected
        await asyncio.gather(good.close(), bad.close())
    finally:
        broker.kill()
        await broker.wait()


def test_missing_and_broken_key_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match=r"ca\.crt is missing"):
        tls_context(str(tmp_path / "ca.crt"), "x", "y")
    for name in ("ca.crt", "gw.crt", "gw.key"):
        (tmp_path / name).write_text("nonsense")
    with pytest.raises(LocalFault, match="does not load"):
        tls_context(*(str(tmp_path / name) for name in ("ca.crt", "gw.crt", "gw.key")))
