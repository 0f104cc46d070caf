"""BrokerModel and LinkModel: MQTT with a broker that can be away, cut, slow, lossy, doubling, and lying.

What it may do that a real one does: acknowledge and drop (Mosquitto and nats-server both do when a queue is
full), deliver twice, delay, deliver out of order between topics, forget what was under way at a cut. With a
clean session nothing is kept for a client that is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from random import Random

from device_model.clock import Clock
from device_model.errors import PeerSilent
from device_model.ports import Message

QUEUE_MAX = 4096
PUBACK_TIMEOUT_S = 10.0


class BrokerModel:
    """One broker. The rates are probabilities per message and may be changed at any time."""

    def __init__(self, random: Random, clock: Clock, *, latency_s: float = 0.005) -> None:
        self._random, self._clock = random, clock
        self.latency_s = latency_s
        self.up = True
        self.drop_rate = 0.0  # acknowledged, and gone
        self.duplicate_rate = 0.0
        self.reorder_rate = 0.0  # arrives up to a second late
        self.puback_lost_rate = 0.0
        self._links: list[LinkModel] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.dropped = 0
        self.queue_peak = 0  # most messages that ever waited in one client
        # For an observer: ("accepted", "", topic, payload) and ("arrived", client, topic, payload), in order.
        self.probe: Callable[[str, str, str, bytes], None] | None = None

    def link(self, client_id: str, subscriptions: Sequence[str] = (), *, clock: Clock | None = None) -> LinkModel:
        """A client; `clock`: that of its machine."""
        link = LinkModel(self, client_id, tuple(subscriptions), clock or self._clock)
        self._links.append(link)
        if not self.up:
            link.cut()  # it seeks from the start
        return link

    def stop(self) -> None:
        """The broker goes: all connections are lost."""
        self.up = False
        for link in self._links:
            link.cut()

    def start(self) -> None:
        """It is back; clients find it by themselves."""
        self.up = True

    def chance(self, rate: float) -> bool:
        """By the seed."""
        return rate > 0 and self._random.random() < rate

    def delay_s(self) -> float:
        """Of one way."""
        return self.latency_s * (0.5 + self._random.random())

    def reconnect_delay_s(self) -> float:
        """How long a client waits before it tries again."""
        return 0.25 + 0.5 * self._random.random()

    def route(self, topic: str, payload: bytes) -> None:
        """Accepted: on its way to all who subscribed and are connected."""
        if self.probe is not None:
            self.probe("accepted", "", topic, payload)
        if self.chance(self.drop_rate):
            self.dropped += 1
            return
        for link in list(self._links):
            if link.connected and any(matches(topic_filter, topic) for topic_filter in link.subscriptions):
                for _ in range(2 if self.chance(self.duplicate_rate) else 1):
                    late_s = self._random.random() if self.chance(self.reorder_rate) else 0.0
                    link.deliver(Message(topic, payload), late_s, self._tasks)

    def forget(self, link: LinkModel) -> None:
        """The client is closed."""
        if link in self._links:
            self._links.remove(link)


class LinkModel:
    """One client; implements device_model.ports.MessageLink."""

    def __init__(self, broker: BrokerModel, client_id: str, subscriptions: tuple[str, ...], clock: Clock) -> None:
        self.client_id = client_id
        self.subscriptions = subscriptions
        self._broker, self._clock = broker, clock
        self._queue: asyncio.Queue[Message | None] = asyncio.Queue()
        self._connected = broker.up
        self._connection = 0
        self._closed = False
        self._network = True
        self._last_arrival_s = 0.0
        self._reconnecting: asyncio.Task[None] | None = None
        self._in_flight: dict[int, tuple[str, bytes]] = {}
        self._published = 0

    @property
    def connected(self) -> bool:
        return self._connected and not self._closed

    def cut(self, *, network: bool = True) -> None:
        """The connection is lost. network=False: and cannot be made again until `mend()`."""
        self._connected, self._network = False, network
        self._connection += 1
        self._seek()

    def mend(self) -> None:
        """The network is there again."""
        self._network = True
        self._seek()

    def _seek(self) -> None:
        if not self._closed and (self._reconnecting is None or self._reconnecting.done()):
            self._reconnecting = asyncio.ensure_future(self._reconnect())

    def kill(self) -> None:
        """The process dies: what it had handed to its socket may still arrive, and nothing else ever does."""
        for topic, payload in self._in_flight.values():
            if self._broker.up and self.connected and self._broker.chance(0.5):
                self._broker.route(topic, payload)
        self._in_flight.clear()
        self._closed, self._connected = True, False
        self._connection += 1
        self._broker.forget(self)
        if self._reconnecting is not None:
            self._reconnecting.cancel()

    async def _reconnect(self) -> None:
        while not self._connected and not self._closed:
            await self._clock.sleep(self._broker.reconnect_delay_s())
            if self._broker.up and self._network and not self._closed:
                self._connected = True

    async def publish(self, topic: str, payload: bytes) -> None:
        if not self.connected:
            raise PeerSilent("no connection to the broker")
        connection = self._connection
        self._published += 1
        number = self._published
        self._in_flight[number] = (topic, payload)
        try:
            await self._clock.sleep(self._broker.delay_s())
        finally:
            self._in_flight.pop(number, None)
        if connection != self._connection or self._closed:
            raise PeerSilent("the connection was lost before the PUBACK")
        self._broker.route(topic, payload)
        if self._broker.chance(self._broker.puback_lost_rate):
            await self._clock.sleep(PUBACK_TIMEOUT_S)
            raise PeerSilent("no PUBACK in time")
        await self._clock.sleep(self._broker.delay_s())
        if connection != self._connection or self._closed:
            raise PeerSilent("the connection was lost before the PUBACK")

    def deliver(self, message: Message, late_s: float, tasks: set[asyncio.Task[None]]) -> None:
        """The broker sends it: it arrives if the connection lasts so long, in order unless `late_s`."""
        connection = self._connection
        # Monotonic arrival keeps the order of what is not late.
        now_s = self._clock.now().mono_us / 1e6
        arrival_s = now_s + self._broker.delay_s() + late_s
        if not late_s:
            arrival_s = max(arrival_s, self._last_arrival_s + 1e-6)
            self._last_arrival_s = arrival_s

        async def arrive() -> None:
            await self._clock.sleep(arrival_s - now_s)
            if connection == self._connection and not self._closed:
                if self._queue.qsize() >= QUEUE_MAX:
                    self.cut()
                else:
                    self._queue.put_nowait(message)
                    self._broker.queue_peak = max(self._broker.queue_peak, self._queue.qsize())
                    if self._broker.probe is not None:
                        self._broker.probe("arrived", self.client_id, message.topic, message.payload)

        task = asyncio.ensure_future(arrive())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def messages(self) -> AsyncIterator[Message]:
        while not self._closed:
            message = await self._queue.get()
            if message is None:
                return
            yield message

    async def close(self) -> None:
        if self._closed:
            return
        self._closed, self._connected = True, False
        self._broker.forget(self)
        self._queue.put_nowait(None)
        if self._reconnecting is not None:
            self._reconnecting.cancel()


def matches(topic_filter: str, topic: str) -> bool:
    """MQTT topic filters with + and #."""
    wanted, parts = topic_filter.split("/"), topic.split("/")
    for index, wish in enumerate(wanted):
        if wish == "#":
            return True
        if index >= len(parts) or wish not in ("+", parts[index]):
            return False
    return len(wanted) == len(parts)
