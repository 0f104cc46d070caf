"""MQTT client (I/O): the site's broker as `ports.MessageLink`, on gmqtt.

    supervisor: connect ─► subscribe ─► wait for the loss ─► back off ─► connect …   (a fresh client each time)
    on_message ─► bounded queue ─► messages()

gmqtt's own reconnecting is switched off: one place decides when to try again, and a new client carries no
half-state of the old one. MQTT 3.1.1 is spoken, because every site broker does (nats-server nothing else).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import gmqtt
import structlog
from gmqtt.storage import PersistentStorage

from device_model.errors import PeerSilent
from device_model.ports import Message
from device_model.site import Line

_log = structlog.get_logger(__name__)

# A burst of retained messages of a whole site after a reconnect fits; a consumer that is further behind is
# stuck, and then the newest values matter more than the oldest, so the oldest are dropped, counted and said.
QUEUE_MAX = 1000
CONNECT_TIMEOUT_S = 5.0
ACKNOWLEDGE_TIMEOUT_S = 5.0
KEEPALIVE_S = 20  # a broker that is gone without a word is noticed within twice this
_RETRY_FIRST_S = 0.25
_MQTT_3_1_1 = 4
_NEVER = -2  # gmqtt reads -1 as for ever, and 0 as once

# Each loss is said once, by us; gmqtt would print every attempt.
logging.getLogger("gmqtt").setLevel(logging.CRITICAL)


class _Acknowledgements(PersistentStorage):  # type: ignore[misc]  # gmqtt has no types
    """Where gmqtt keeps what is not acknowledged; tells us of each PUBACK."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[int, asyncio.Future[None]] = {}
        self.last_id = 0

    def push_message(self, mid: int, raw_package: bytes) -> None:
        super().push_message(mid, raw_package)
        self.last_id = mid
        self.waiting[mid] = asyncio.get_running_loop().create_future()

    def remove_message_by_mid(self, mid: int) -> None:
        super().remove_message_by_mid(mid)
        future = self.waiting.pop(mid, None)
        if future is not None and not future.done():
            future.set_result(None)


class GmqttClientLink:
    """One connection to the site's broker. Construct within a running loop."""

    def __init__(self, line: Line, subscriptions: Sequence[str]) -> None:
        self._line = line
        self._subscriptions = tuple(dict.fromkeys(subscriptions))
        self._queue: asyncio.Queue[Message | None] = asyncio.Queue()  # bounded by hand: see QUEUE_MAX
        self._client: Any = None
        self._store = _Acknowledgements()
        self._connected = asyncio.Event()
        self._lost = asyncio.Event()
        self._closed = False
        self.dropped = 0
        self._task = asyncio.get_running_loop().create_task(self._supervise(), name=f"mqtt {line.id}")

    @property
    def connected(self) -> bool:
        """Whether the broker accepted us and the connection stands, as far as is known."""
        return self._connected.is_set()

    async def publish(self, topic: str, payload: bytes) -> None:
        """QoS 1; returns after PUBACK. PeerSilent when not connected or not acknowledged in time."""
        if not self.connected:
            raise PeerSilent(f"{self._name()}: not connected")
        self._client.publish(topic, payload, qos=1)
        store = self._store
        mid = store.last_id
        future = store.waiting.get(mid)
        if future is None:
            return
        lost = asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait((future, lost), timeout=ACKNOWLEDGE_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
            store.waiting.pop(mid, None)
        if not future.done():
            raise PeerSilent(f"{self._name()}: no acknowledgement of {topic}")

    async def messages(self) -> AsyncIterator[Message]:
        """What arrives, oldest first; ends when the link is closed."""
        while True:
            message = await self._queue.get()
            if message is None:
                return
            yield message

    async def close(self) -> None:
        """Disconnect; idempotent."""
        if self._closed:
            return
        self._closed = True
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._let_go()
        self._queue.put_nowait(None)

    def _name(self) -> str:
        return f"{self._line.id} ({self._line.host}:{self._line.port})"

    async def _supervise(self) -> None:
        wait_s = _RETRY_FIRST_S
        while True:
            try:
                await self._connect()
                wait_s = _RETRY_FIRST_S
                await self._lost.wait()
                _log.warning("broker_lost", line=self._line.id)
            except asyncio.CancelledError:
                raise
            except Exception as problem:  # noqa: BLE001
                # Task boundary: gmqtt raises many kinds (OSError, its own, TimeoutError); each means "not now".
                _log.info("broker_unreachable", line=self._line.id, problem=repr(problem))
            await self._let_go()
            await asyncio.sleep(wait_s)
            wait_s = min(self._line.reconnect_max_s, wait_s * 2)

    async def _connect(self) -> None:
        self._lost = lost = asyncio.Event()
        self._store = _Acknowledgements()
        client = gmqtt.Client(
            f"tocsin-{self._line.id}-{uuid.uuid4().hex[:8]}", clean_session=True, optimistic_acknowledgement=False,
            persistent_storage=self._store,
        )
        self._client = client
        client.set_config({"reconnect_retries": _NEVER, "reconnect_delay": 0})
        client.on_message = self._take
        client.on_disconnect = _once_lost(lost)
        if self._line.username:
            client.set_auth_credentials(self._line.username, _password(self._line))
        secure = ssl.create_default_context(cafile=self._line.ca_file) if self._line.ca_file else False
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await client.connect(self._line.host, self._line.port or (8883 if secure else 1883), ssl=secure,
                                 keepalive=KEEPALIVE_S, version=_MQTT_3_1_1)
            await self._subscribe(client, lost)
        self._connected.set()

    async def _subscribe(self, client: Any, lost: asyncio.Event) -> None:
        """Ask for all topics and wait until the broker granted each; a refusal is an error, not silence."""
        if not self._subscriptions:
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        left = len(self._subscriptions)

        def on_subscribe(_client: Any, _mid: int, qos: Sequence[int], _properties: object) -> None:
            nonlocal left
            left -= len(qos)
            if granted.done():
                return
            if any(level >= 128 for level in qos):
                granted.set_exception(PermissionError("the broker refused a subscription; check its access list"))
            elif left <= 0:
                granted.set_result(None)

        client.on_subscribe = on_subscribe
        for topic in self._subscriptions:
            client.subscribe(gmqtt.Subscription(topic, qos=1))
        waiter = asyncio.ensure_future(lost.wait())
        try:
            await asyncio.wait((granted, waiter), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiter.cancel()
        if not granted.done():
            granted.cancel()
            raise ConnectionResetError("lost while subscribing")
        granted.result()

    async def _let_go(self) -> None:
        self._connected.clear()
        self._lost.set()
        client, self._client = self._client, None
        if client is None:
            return
        client.on_message = _ignore
        client.on_disconnect = _ignore
        # The far end is gone or going: whatever this says, the link is down.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(1.0):
                await client.disconnect()

    async def _take(self, _client: Any, topic: str, payload: bytes, _qos: int, properties: dict[str, Any]) -> int:
        if self._queue.qsize() >= QUEUE_MAX:
            self._queue.get_nowait()
            self.dropped += 1
            if self.dropped & (self.dropped - 1) == 0:  # 1, 2, 4, 8 …: said, without flooding the log
                _log.warning("mqtt_messages_dropped", line=self._line.id, dropped=self.dropped, queue_max=QUEUE_MAX)
        self._queue.put_nowait(Message(topic, bytes(payload), bool(properties.get("retain"))))
        return 0  # MQTT reason code: success


def _once_lost(lost: asyncio.Event) -> Callable[..., None]:
    def on_disconnect(*_: object) -> None:
        lost.set()

    return on_disconnect


def _ignore(*_: object) -> int:
    return 0


def _password(line: Line) -> str | None:
    return Path(line.password_file).read_text(encoding="utf-8").strip() if line.password_file else None
