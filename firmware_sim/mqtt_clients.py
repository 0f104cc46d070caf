"""MQTT lines (I/O): paho-mqtt clients driven by our own loop, without a thread each: 15,000 in one process.

    MqttDevice ──Publish──► MqttClient (one session: its own will)          a detector with its own radio or SIM
    MqttDevice ──Publish──► hub client shared by `hub_devices` of them      Zigbee: the hub holds the session
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from device_model.clock import Clock
from firmware_sim.mqtt_device import MqttDevice, Publish
from firmware_sim.scenario_lines import SimLine, broker_address
from firmware_sim.world import SimWorld

# Messages that a client keeps while its broker is away; a detector has little memory.
MQTT_QUEUE_MAX = 50
KEEPALIVE_S = 60
RECONNECT_S = 3.0
# Clients whose keepalive is looked at in one turn, and connections being opened at a time: a fleet comes up smoothly.
MISC_SHARE = 60
CONNECTING_MAX = 32

_log = structlog.get_logger("sim.mqtt")


class MqttLine:
    """The MQTT devices of one line."""

    def __init__(
        self, line: SimLine, world: SimWorld, clock: Clock, at_s: Callable[[], float],
        heard: Callable[[str, Publish], None] | None = None,
    ) -> None:
        """heard: told each message that goes out, with its device."""
        self._heard = heard
        self._line, self._world, self._clock, self._at_s = line, world, clock, at_s
        self._clients: list[MqttClient] = []
        self._of: dict[str, MqttClient] = {}
        self._hubs: set[MqttClient] = set()
        self._was_on: dict[str, bool] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._misc_at = 0
        self.published = 0

    @property
    def connected(self) -> int:
        """Sessions that stand."""
        return sum(client.connected for client in self._clients)

    @property
    def sessions(self) -> int:
        """Sessions in all."""
        return len(self._clients)

    @property
    def lost(self) -> int:
        """Messages that found their device's store full while the broker was away."""
        return sum(client.lost for client in self._clients)

    async def start(self) -> str:
        """Begin to connect; a broker that is away is tried again and again."""
        host, port = broker_address(self._line.url) or ("127.0.0.1", 1883)
        gate = asyncio.Semaphore(CONNECTING_MAX)
        together: list[MqttDevice] = []
        for device_id, publisher in self._world.publishers[self._line.id].items():
            if self._line.hub_devices and publisher.behind_hub:
                together.append(publisher)
                continue
            self._add([publisher], f"sim-{device_id}", host, port, gate)
        for first in range(0, len(together), max(1, self._line.hub_devices)):
            members = together[first:first + self._line.hub_devices]
            self._hubs.add(self._add(members, f"sim-{self._line.id}-hub{first}", host, port, gate))
        return self._line.url

    def _add(self, members: list[MqttDevice], name: str, host: str, port: int, gate: asyncio.Semaphore) -> MqttClient:
        client = MqttClient(members, name, host, port, self._clock, gate)
        self._clients.append(client)
        for publisher in members:
            self._of[publisher.device.id] = client
            self._was_on[publisher.device.id] = True
        client.power(True)
        return client

    def turn(self, at_s: float) -> None:
        """Time passed: power, keepalives, messages."""
        devices = self._world.devices
        for device_id, client in self._of.items():
            on = devices[device_id].answers
            if on != self._was_on[device_id]:
                self._was_on[device_id] = on
                if client in self._hubs:
                    client.say_available(device_id, on)  # the hub speaks for its devices
                else:
                    client.power(on)
        for device_id, message, delay_s in self._world.publishes(self._line.id, at_s, self._clock.now().wall_us):
            self.published += 1
            if self._heard is not None:
                self._heard(device_id, message)
            if delay_s <= 0.0:
                self._of[device_id].publish(message)
            else:
                task = asyncio.get_running_loop().create_task(self._later(device_id, message, delay_s))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        share = len(self._clients) // MISC_SHARE + 1
        for client in self._clients[self._misc_at:self._misc_at + share]:
            client.look()
        self._misc_at = (self._misc_at + share) % max(1, len(self._clients))

    async def _later(self, device_id: str, message: Publish, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        self._of[device_id].publish(message)

    async def close(self) -> None:
        """Say goodbye and close all connections."""
        for task in tuple(self._tasks):
            task.cancel()
        for client in self._clients:
            client.close()
        await asyncio.sleep(0)


class MqttClient:
    """One session (paho-mqtt, driven by this loop's readers and writers)."""

    def __init__(
        self, members: list[MqttDevice], name: str, host: str, port: int, clock: Clock, gate: asyncio.Semaphore,
    ) -> None:
        self.connected = False
        self.lost = 0  # messages that found the device's small store full
        self._members = {publisher.device.id: publisher for publisher in members}
        self._host, self._port, self._clock, self._gate = host, port, clock, gate
        self._loop = asyncio.get_running_loop()
        self._on = False
        self._said_absent = False
        self._trying: asyncio.Task[None] | None = None
        self._fd = -1
        self._writing = False
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name)
        self._client.max_queued_messages_set(max(MQTT_QUEUE_MAX, 2 * len(members)))
        # QoS 1 messages under way; paho's 20 would hold back a hub whose broker is a moment late.
        self._client.max_inflight_messages_set(max(20, len(members)))
        self._client.on_connect = self._connected
        self._client.on_message = self._told
        self._client.on_socket_close = self._closed
        if len(members) == 1 and members[0].availability is not None:
            topic, _, offline = members[0].availability
            self._client.will_set(topic, offline, qos=1, retain=True)

    def power(self, on: bool) -> None:
        """Connect; or fall off the network without a farewell, so that the broker publishes the will."""
        if on == self._on:
            return
        self._on = on
        if on:
            self._again()
        else:
            self._fall()

    def _fall(self) -> None:
        if self._trying is not None:
            self._trying.cancel()
            self._trying = None
        sock = self._client.socket()
        if sock is not None:
            self._forget(sock.fileno())
            sock.close()

    def _again(self) -> None:
        if self._trying is None or self._trying.done():
            self._trying = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        while self._on:
            try:
                async with self._gate:
                    # A broker behind a dead route answers late: not in the loop.
                    await self._loop.run_in_executor(None, self._client.connect, self._host, self._port, KEEPALIVE_S)
            except OSError as error:
                if not self._said_absent:
                    _log.warning("no broker; trying on", host=self._host, port=self._port, why=type(error).__name__)
                self._said_absent = True
                await self._clock.sleep(RECONNECT_S)
                continue
            sock = self._client.socket()
            if sock is not None and self._on:
                self._fd = sock.fileno()
                self._loop.add_reader(self._fd, self._readable)
                self._flush()
            elif sock is not None:
                sock.close()
            return

    def _readable(self) -> None:
        self._client.loop_read()
        self._flush()

    def _flush(self) -> None:
        """Ask the loop for room to write where the socket took only a part."""
        wants = self._client.want_write() and self._fd >= 0
        if wants and not self._writing:
            self._loop.add_writer(self._fd, self._writable)
        elif self._writing and not wants and self._fd >= 0:
            self._loop.remove_writer(self._fd)
        self._writing = wants

    def _writable(self) -> None:
        self._client.loop_write()
        self._flush()

    def look(self) -> None:
        """Keepalive."""
        if self._fd >= 0:
            self._client.loop_misc()
            self._flush()

    def publish(self, message: Publish) -> None:
        """Send, or keep until the broker is back (a bounded number)."""
        if self._on:
            told = self._client.publish(message.topic, message.payload, qos=1, retain=message.retained)
            self.lost += told.rc == paho.MQTT_ERR_QUEUE_SIZE
            self._flush()

    def say_available(self, device_id: str, on: bool) -> None:
        """A hub tells whether one of its devices is there."""
        availability = self._members[device_id].availability
        if availability is not None and self.connected:
            topic, online, offline = availability
            self._client.publish(topic, online if on else offline, qos=1, retain=True)
            self._flush()

    def close(self) -> None:
        """Farewell: offline by our own word, then a clean disconnect."""
        self._on = False
        if self.connected:
            for device_id in self._members:
                self.say_available(device_id, False)
            self._client.disconnect()
        self._fall()

    def _forget(self, fd: int) -> None:
        self.connected = False
        if fd >= 0 and fd == self._fd:
            self._loop.remove_reader(fd)
            self._loop.remove_writer(fd)
            self._fd, self._writing = -1, False

    def _closed(self, _client: paho.Client, _userdata: object, _sock: object) -> None:
        """paho closes its socket: the peer left, or a keepalive was not answered."""
        self._forget(self._fd)
        if self._on:
            self._loop.call_soon(self._again)

    def _connected(
        self, client: paho.Client, _userdata: object, _flags: object, reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._said_absent = False
        if reason.is_failure:
            _log.warning("the broker refuses", devices=len(self._members), why=str(reason))
            return
        self.connected = True
        for publisher in self._members.values():
            if publisher.availability is not None:
                topic, online, _ = publisher.availability
                client.publish(topic, online, qos=1, retain=True)
            if publisher.commandable:
                client.subscribe(f"{publisher.base}/set", qos=1)

    def _told(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        for publisher in self._members.values():
            with contextlib.suppress(ValueError):  # a topic or payload that no device understands
                publisher.commanded(message.topic, bytes(message.payload))
