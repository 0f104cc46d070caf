"""GmqttLink (I/O): one MQTT 3.1.1 connection over mutual TLS; implements `device_model.ports.MessageLink`.

    publish ──PUBLISH QoS 1──► broker ──PUBACK──► publish returns      (end to end it proves nothing)
    broker ──PUBLISH──► queue (bounded) ──► messages() ──next one asked for──► PUBACK to the broker

Each connection is a new gmqtt client with a clean session: the end-to-end acknowledgement makes sessions in the
broker unnecessary, and a broker that forgets or replays them cannot hurt. We reconnect ourselves, because
gmqtt's own reconnecting has neither a time-out nor a growing, jittered delay.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import gmqtt
import structlog
from gmqtt.mqtt.constants import MQTTv311

from cloud_bridge.bound_client import BoundClient
from device_model.errors import LocalFault, PeerSilent
from device_model.ports import Message

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 10.0
PUBACK_TIMEOUT_S = 10.0
KEEPALIVE_S = 15
RECONNECT_FIRST_S = 0.5
# Messages received and not yet consumed. The broker stops sending at its own window (Mosquitto 20, nats-server
# 1024 unacknowledged), so that a full queue here means a broker that does not; then the connection is dropped.
QUEUE_MAX = 4096
# PUBLISHes without PUBACK: more would only sit in the socket's buffer.
IN_FLIGHT_MAX = 64


class _Inflight:
    """Takes the place of gmqtt's store of unacknowledged messages: that is where a PUBACK ends up.

    gmqtt calls `push_message` within publish() and `remove_message_by_mid` when the PUBACK arrives.
    """

    is_empty = True  # nothing is ever replayed by gmqtt: the outbox repeats what matters

    def __init__(self) -> None:
        self.waiting: dict[int, asyncio.Future[None]] = {}
        self.newest: asyncio.Future[None] | None = None

    def push_message(self, mid: int, raw_package: bytes) -> None:
        """A PUBLISH went out."""
        self.newest = self.waiting[mid] = asyncio.get_running_loop().create_future()

    def remove_message_by_mid(self, mid: int) -> None:
        """Its PUBACK came in."""
        future = self.waiting.pop(mid, None)
        if future is not None and not future.done():
            future.set_result(None)

    def clear(self) -> None:
        """gmqtt calls it for a new session, when nothing is out yet."""

    def get_all(self) -> list[tuple[int, bytes]]:
        """Nothing to replay."""
        return []

    async def wait_empty(self) -> None:
        """Nothing to wait for."""

    def fail(self) -> None:
        """The connection is gone: nobody will acknowledge."""
        for future in self.waiting.values():
            if not future.done():
                future.cancel()
        self.waiting.clear()


class GmqttLink:
    """One connection that mends itself. Start it with `start()` inside the event loop (idempotent)."""

    def __init__(
        self, host: str, port: int, client_id: str, subscriptions: Sequence[str] = (), *,
        tls: ssl.SSLContext | None = None, username: str = "", password: str = "",
        connect_timeout_s: float = CONNECT_TIMEOUT_S, puback_timeout_s: float = PUBACK_TIMEOUT_S,
        reconnect_max_s: float = 30.0, keepalive_s: int = KEEPALIVE_S, interface: str = "",
    ) -> None:
        """subscriptions: topic filters, QoS 1. interface: the network interface to go over, "" for whichever.
        Delays here are real time: they belong to the wire."""
        self._host, self._port, self._client_id = host, port, client_id
        self._subscriptions = tuple(subscriptions)
        self._interface = interface
        self._tls, self._username, self._password = tls, username, password
        self._connect_timeout_s, self._puback_timeout_s = connect_timeout_s, puback_timeout_s
        self._reconnect_max_s, self._keepalive_s = reconnect_max_s, keepalive_s
        self._queue: asyncio.Queue[tuple[Message, asyncio.Future[None]] | None] = asyncio.Queue(QUEUE_MAX + 1)
        self._room = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._client: Any = None
        self._inflight = _Inflight()
        self._lost = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self.connections = 0  # how often it connected, for health

    def start(self) -> None:
        """Begin to connect. Called by `messages()` and `publish()` too; needs a running loop."""
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"mqtt {self._client_id}")

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted this connection and it has not been lost since."""
        return self._client is not None and not self._lost.is_set()

    async def publish(self, topic: str, payload: bytes) -> None:
        """QoS 1; returns after PUBACK. Raises PeerSilent when not connected, lost meanwhile, or not in time."""
        self.start()
        async with self._room:
            if not self.connected:
                raise PeerSilent(f"no connection to the broker at {self._host}:{self._port}")
            inflight = self._inflight
            self._client.publish(topic, payload, qos=1)
            acknowledged = inflight.newest
            if acknowledged is None:
                raise PeerSilent("gmqtt did not send the message")
            done, _ = await asyncio.wait({acknowledged}, timeout=self._puback_timeout_s)
            if not done:
                # A broker that is connected but acknowledges nothing is as good as gone.
                self._lost.set()
                raise PeerSilent(f"no PUBACK from {self._host}:{self._port} in {self._puback_timeout_s:g} s")
            if acknowledged.cancelled():
                raise PeerSilent("the connection was lost before the PUBACK")

    async def messages(self) -> AsyncIterator[Message]:
        """What arrives; acknowledged when the next one is asked for. Ends when the link is closed."""
        self.start()
        while not self._closed:
            entry = await self._queue.get()
            if entry is None:
                return
            message, consumed = entry
            try:
                yield message
            finally:
                if not consumed.done():
                    consumed.set_result(None)

    async def close(self) -> None:
        """Disconnect; idempotent."""
        if self._closed:
            return
        self._closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        while not self._queue.empty():
            entry = self._queue.get_nowait()
            if entry is not None and not entry[1].done():
                entry[1].set_result(None)  # the connection is gone: nothing is acknowledged by it
        self._queue.put_nowait(None)

    # -- the connection ----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        delay_s = RECONNECT_FIRST_S
        while True:
            try:
                await self._connect()
                delay_s = RECONNECT_FIRST_S
                await self._lost.wait()
                log.warning("broker lost", host=self._host, port=self._port)
            except (OSError, TimeoutError, gmqtt.MQTTConnectError, ValueError) as error:
                log.warning("broker not reached", host=self._host, port=self._port, error=str(error) or repr(error))
            finally:
                await self._drop()
            # ±50 %: a thousand gateways shall not knock together when the cloud comes back.
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.5))  # noqa: S311 — spreading, not secrecy
            delay_s = min(delay_s * 2, self._reconnect_max_s)

    async def _connect(self) -> None:
        self._lost = lost = asyncio.Event()
        self._inflight = inflight = _Inflight()
        client = BoundClient(self._client_id, clean_session=True, optimistic_acknowledgement=False,
                              persistent_storage=inflight, logger=_quiet)
        client.interface = self._interface
        client.set_config({"reconnect_retries": 0, "reconnect_delay": 0})
        if self._username:
            client.set_auth_credentials(self._username, self._password)
        granted: asyncio.Future[Sequence[int]] = asyncio.get_running_loop().create_future()
        client.on_message = self._on_message
        client.on_disconnect = lambda *_: lost.set()
        client.on_subscribe = lambda _client, _mid, codes, _properties: _settle(granted, codes)
        connecting = asyncio.ensure_future(self._handshake(client, granted))
        losing = asyncio.ensure_future(lost.wait())
        try:
            done, _ = await asyncio.wait({connecting, losing}, timeout=self._connect_timeout_s,
                                         return_when=asyncio.FIRST_COMPLETED)
            if connecting not in done:
                raise TimeoutError("refused or lost during the handshake" if done else "no answer in time")
            connecting.result()
        except BaseException:
            await _disconnect(client)
            raise
        finally:
            for task in (connecting, losing):
                task.cancel()
        self._client = client
        self.connections += 1
        log.info("broker connected", host=self._host, port=self._port, client=self._client_id)

    async def _handshake(self, client: Any, granted: asyncio.Future[Sequence[int]]) -> None:
        await client.connect(self._host, self._port, ssl=self._tls or False, keepalive=self._keepalive_s,
                             version=MQTTv311)
        if self._subscriptions:
            client.subscribe([gmqtt.Subscription(topic, qos=1) for topic in self._subscriptions])
            # Connected means subscribed: what is published from here on arrives.
            if any(code >= 128 for code in await granted):
                raise ValueError(f"the broker refuses a subscription of {self._subscriptions}")

    async def _on_message(self, _client: Any, topic: str, payload: bytes, _qos: int, properties: Any) -> int:
        consumed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        message = Message(topic, bytes(payload), bool(properties.get("retain", 0)))
        if self._queue.qsize() >= QUEUE_MAX:
            log.error("broker sends faster than it is told to; connection dropped", host=self._host)
            self._lost.set()
            return 0
        self._queue.put_nowait((message, consumed))
        await consumed
        return 0

    async def _drop(self) -> None:
        client, self._client = self._client, None
        self._lost.set()
        self._inflight.fail()
        if client is not None:
            await _disconnect(client)


def _settle(future: asyncio.Future[Sequence[int]], codes: Sequence[int]) -> None:
    if not future.done():
        future.set_result(codes)


async def _disconnect(client: Any) -> None:
    """Say goodbye, for at most a second: a dead peer shall not hold us."""
    with contextlib.suppress(OSError, TimeoutError, AttributeError):
        async with asyncio.timeout(1.0):
            await client.disconnect()


class _QuietLogger:
    """gmqtt logs every packet and every retry through its logger; we say ourselves what matters."""

    def debug(self, *_: object, **__: object) -> None:
        """Nothing."""

    info = warning = error = critical = exception = debug


_quiet = _QuietLogger()


def tls_context(ca_file: str, certificate_file: str, key_file: str) -> ssl.SSLContext:
    """Mutual TLS with our own CA only; LocalFault names the file that does not load."""
    for name in (ca_file, certificate_file, key_file):
        if not Path(name).is_file():
            raise LocalFault(f"{name} is missing: enrol the gateway first")
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate_file, key_file)
    except ssl.SSLError as error:
        raise LocalFault(f"{ca_file}, {certificate_file} or {key_file} does not load: {error}") from error
    return context
