"""MessageLink over core NATS (I/O): how services of the cloud speak with gateways.

    MQTT topic a/b/c  is NATS subject  a.b.c ; a gateway's QoS 1 publish arrives here once per connection.

Delivery is at most once while connected, which is all that the chain needs: a gateway repeats until the
ingest's BatchAck, a sender of commands until the CommandResult. Reconnects for ever; time-outs are real time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from community_os.broker_config import BrokerAccess
from device_model.errors import PeerSilent
from device_model.ports import Message

# Every lane of every gateway of every site.
ALL_UPLINKS = "tocsin/v1/+/+/+/+/+/up/+"
CONNECT_TIMEOUT_S = 2
RECONNECT_WAIT_S = 0.25
FLUSH_WITHIN_S = 5
# Two seconds of a district at 1,000 messages/s. Beyond it messages are dropped and counted: nobody acknowledged
# them, so gateways send them again.
QUEUE_MESSAGES = 2048
QUEUE_BYTES = 64 * 1024 * 1024

_log = structlog.get_logger("tocsin.nats")


def subject_filter(topic_filter: str) -> str:
    """The NATS form of an MQTT topic filter."""
    return topic_filter.replace("/", ".").replace("+", "*").replace("#", ">")


async def connect(access: BrokerAccess, name: str) -> Client:
    """A connection that comes back for ever; the first attempt, too, is repeated until the broker is there."""

    async def said(error: Exception) -> None:
        # Lost connections are said once by `lost`; what remains is slow consumers and refusals.
        if not isinstance(error, (ConnectionError, nats.errors.Error)) or isinstance(
            error, (nats.errors.SlowConsumerError, nats.errors.AuthorizationError)
        ):
            _log.warning("broker connection", name=name, reason=f"{type(error).__name__}: {error}")

    async def lost() -> None:
        if not client.is_closed and not client.is_draining:
            _log.warning("broker connection lost; trying again", name=name)

    async def back() -> None:
        _log.info("broker connection is back", name=name)

    client = Client()
    await client.connect(
        access.url, user=access.user, password=access.password, name=name,
        connect_timeout=CONNECT_TIMEOUT_S, reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type]  # annotated int, used as float
        max_reconnect_attempts=-1,
        ping_interval=10, max_outstanding_pings=2, error_cb=said, disconnected_cb=lost, reconnected_cb=back,
    )
    return client


class NatsLink:
    """Implements `device_model.ports.MessageLink`. Use `NatsLink.open`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._queue: asyncio.Queue[Message | None] = asyncio.Queue(QUEUE_MESSAGES)
        self._subscriptions: list[Subscription] = []
        self._closed = False

    @classmethod
    async def open(cls, access: BrokerAccess, subscriptions: Sequence[str] = (ALL_UPLINKS,),
                   name: str = "link") -> NatsLink:
        """Connect and subscribe (MQTT topic filters). Returns once connected, however long that takes."""
        link = cls(await connect(access, name))
        for topic_filter in subscriptions:
            link._subscriptions.append(await link._client.subscribe(
                subject_filter(topic_filter), cb=link._take,
                pending_msgs_limit=QUEUE_MESSAGES, pending_bytes_limit=QUEUE_BYTES,
            ))
        await link._client.flush(FLUSH_WITHIN_S)
        return link

    @property
    def connected(self) -> bool:
        """Whether the broker answers, as far as is known."""
        return bool(self._client.is_connected)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Returns once the broker has it. Raises PeerSilent when not connected or not flushed in time."""
        if not self._client.is_connected:
            raise PeerSilent("the broker is not connected")
        try:
            await self._client.publish(topic.replace("/", "."), payload)
            await self._client.flush(FLUSH_WITHIN_S)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise PeerSilent(f"the broker did not take a message: {error}") from error

    async def messages(self) -> AsyncIterator[Message]:
        """What arrives on the subscriptions, until `close`."""
        while not self._closed:
            message = await self._queue.get()
            if message is None:
                return
            yield message

    async def close(self) -> None:
        """Disconnect; idempotent."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            await self._client.close()
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def _take(self, message: Msg) -> None:
        # Waiting here lets the client's own bounded queue fill; its overflow is reported as a slow consumer.
        await self._queue.put(Message(topic=str(message.subject).replace(".", "/"), payload=bytes(message.data)))
