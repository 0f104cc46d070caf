"""SimRuntime (I/O): puts a SimWorld onto real ports and writes down what really happened.

                 ┌─ TCP server per modbus_tcp line ─┐
    SimWorld ────┼─ pty per pty line, paced by baud ┼──► masters, brokers: the system under test
     (pure)      ├─ paho-mqtt client per MQTT device┤
                 └─ LinkProxy per proxied link ─────┘
        └──► truth file: one JSON line per true stimulus, fault and cut, with real and shown time
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from device_model.clock import SECOND_US, Clock
from device_model.errors import LocalFault
from device_model.system_clock import real_mono_us
from firmware_sim.faults import FaultKind
from firmware_sim.modbus_device import Framing, NotModbus, Request, RtuFrames, TcpFrames
from firmware_sim.mqtt_device import MqttDevice, Publish
from firmware_sim.pace import LinePace
from firmware_sim.proxy import LinkProxy
from firmware_sim.scenario_lines import LineKind, SimLine, broker_address
from firmware_sim.world import STEP_S, SimWorld, Truth

# A device server bears a handful of masters.
CONNECTIONS_MAX = 32
# Messages that a client keeps while its broker is away; a detector has little memory.
MQTT_QUEUE_MAX = 50
_READ_CHUNK = 4096
# A pty hands bytes over in jittering chunks, so a pause must be well beyond t3.5 to mean the end of a frame.
_PAUSE_MIN_US = 300_000

_log = structlog.get_logger("sim")


class SimRuntime:
    """Runs a scenario. `truth`: JSONL file to append to, or None. `on_truth`: called for every truth."""

    def __init__(
        self, world: SimWorld, clock: Clock, *, truth: Path | None = None,
        on_truth: Callable[[Truth], None] | None = None,
    ) -> None:
        self.world = world
        self.addresses: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self.fires: dict[str, float] = {}
        self.ready = asyncio.Event()
        self._clock = clock
        self._truth_path = truth
        self._on_truth = on_truth
        self._start_us = clock.now().mono_us
        self._lines: list[_TcpLine | _PtyLine | _MqttLine] = []
        self._proxies: dict[str, LinkProxy] = {}

    def at_s(self) -> float:
        """Shown seconds since the scenario began."""
        return (self._clock.now().mono_us - self._start_us) / SECOND_US

    async def run(self) -> None:
        """Open all ports, then run until cancelled. Raises LocalFault for a port that cannot be had."""
        try:
            for entry in self.world.scenario.proxies:
                self._proxies[entry.id] = proxy = LinkProxy(entry, self._clock)
                await proxy.start()
                self.addresses[entry.id] = f"{proxy.address[0]}:{proxy.address[1]}"
            for line in self.world.scenario.lines:
                opened = _LINE_KINDS[line.kind](line, self.world, self._clock, self.at_s)
                self._lines.append(opened)
                self.addresses[line.id] = await opened.start()
            # The scenario's time begins when its ports are open.
            self._start_us = self._clock.now().mono_us
            self._write([Truth("start", 0.0, self.world.scenario.scenario)])
            self.ready.set()
            await self._turn()
        finally:
            for opened in self._lines:
                await opened.close()
            for proxy in self._proxies.values():
                await proxy.close()

    async def _turn(self) -> None:
        while True:
            await self._clock.sleep(STEP_S)
            at_s = self.at_s()
            truths = self.world.advance(at_s)
            if truths:
                self._tell(truths)
            for proxy_id, proxy in self._proxies.items():
                proxy.bend(self.world.cut_of(proxy_id, at_s))
            for line in self._lines:
                line.turn(at_s)

    def _tell(self, truths: list[Truth]) -> None:
        for truth in truths:
            self.counts[truth.what] += 1
            if truth.fire and (truth.value is True or truth.kind == "over"):
                self.fires.setdefault(truth.fire, truth.at_s)
            if self._on_truth is not None:
                self._on_truth(truth)
            _log.info("happened", **msgspec.to_builtins(truth))
        self._write(truths)

    def _write(self, truths: list[Truth]) -> None:
        if self._truth_path is None:
            return
        stamp = {"real_us": real_mono_us(), "wall_us": self._clock.now().wall_us}
        text = "".join(msgspec.json.encode({**stamp, **msgspec.structs.asdict(truth)}).decode() + "\n"
                       for truth in truths)
        # A few short lines a minute: written at once so that a reader sees them and a kill loses none.
        with self._truth_path.open("a", encoding="utf-8") as file:
            file.write(text)


class _TcpLine:
    """One Modbus TCP port."""

    def __init__(self, line: SimLine, world: SimWorld, clock: Clock, at_s: Callable[[], float]) -> None:
        self._line, self._world, self._clock, self._at_s = line, world, clock, at_s
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._dead: set[asyncio.StreamWriter] = set()
        self._was_half_open = False
        self._turned_s = 0.0

    async def start(self) -> str:
        try:
            self._server = await asyncio.start_server(self._serve, self._line.host, self._line.port)
        except OSError as error:
            raise LocalFault(
                f"line {self._line.id}: cannot listen on {self._line.host}:{self._line.port} ({error.strerror}): "
                "another program has the port; end it, or write port: 0 for any free one") from error
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    def turn(self, at_s: float) -> None:
        half_open = self._world.faults[self._line.id].lasts(FaultKind.HALF_OPEN, at_s)
        if half_open and not self._was_half_open:
            self._dead |= self._open  # these stay dead even when the fault is over; a reconnect helps
        self._was_half_open = half_open
        babble = self._world.faults[self._line.id].babble(at_s, at_s - self._turned_s)
        self._turned_s = at_s
        for writer in self._open if babble else ():
            writer.write(babble)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= CONNECTIONS_MAX:
            writer.close()
            return
        self._open.add(writer)
        frames = TcpFrames()
        try:
            while octets := await reader.read(_READ_CHUNK):
                for request in frames.feed(octets):
                    if writer not in self._dead:
                        await self._answer(request, writer)
        except (OSError, NotModbus) as error:
            _log.info("connection ended", line=self._line.id, why=type(error).__name__)
        except asyncio.CancelledError:
            pass  # the end of the simulation; asyncio's stream server would print a traceback (see proxy.py)
        finally:
            self._open.discard(writer)
            self._dead.discard(writer)
            writer.close()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        sent_s = 0.0
        for out in self._world.exchange(self._line.id, request, Framing.TCP, self._at_s()):
            if out.delay_s > sent_s:
                await self._clock.sleep(out.delay_s - sent_s)
                sent_s = out.delay_s
            writer.write(out.octets)
        await writer.drain()


class _PtyLine:
    """One RTU line on a pseudo terminal."""

    def __init__(self, line: SimLine, world: SimWorld, clock: Clock, at_s: Callable[[], float]) -> None:
        self._line, self._world, self._clock, self._at_s = line, world, clock, at_s
        self._pace = LinePace(line.baud, line.bits_per_character, line.turnaround_s)
        self._frames = RtuFrames()
        self._master, self._slave = -1, -1
        self._heard_us = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._turned_s = 0.0

    async def start(self) -> str:
        self._open()
        asyncio.get_running_loop().add_reader(self._master, self._hear)
        return self._line.path

    def _open(self) -> None:
        path = Path(self._line.path)
        if path.is_symlink():
            path.unlink()
        elif path.exists():
            raise LocalFault(f"line {self._line.id}: {path} exists and is no link; choose another path")
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        try:
            path.symlink_to(os.ttyname(self._slave))
        except OSError as error:
            raise LocalFault(f"line {self._line.id}: cannot make {path} ({error.strerror})") from error

    def _hear(self) -> None:
        try:
            octets = os.read(self._master, _READ_CHUNK)
        except OSError:
            return
        now_us = self._clock.now().mono_us
        if now_us - self._heard_us > max(self._pace.t35_us, _PAUSE_MIN_US):
            self._frames.pause()
        self._heard_us = now_us
        self._pace.heard(len(octets), now_us)
        for request in self._frames.feed(octets):
            for out in self._world.exchange(self._line.id, request, Framing.RTU, self._at_s()):
                pieces = self._pace.reply(out.octets, now_us, round(out.delay_s * SECOND_US))
                task = asyncio.get_running_loop().create_task(self._say(pieces))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _say(self, pieces: list[tuple[int, bytes]]) -> None:
        for due_us, octets in pieces:
            wait_us = due_us - self._clock.now().mono_us
            if wait_us > 0:
                await self._clock.sleep(wait_us / SECOND_US)
            self._put(octets)

    def _put(self, octets: bytes) -> None:
        # A full pty means that nobody reads: a real line loses such bytes too.
        with contextlib.suppress(BlockingIOError):
            os.write(self._master, octets)

    def turn(self, at_s: float) -> None:
        babble = self._world.faults[self._line.id].babble(at_s, at_s - self._turned_s)
        self._turned_s = at_s
        if babble:
            self._put(babble)

    async def close(self) -> None:
        if self._master < 0:
            return
        asyncio.get_running_loop().remove_reader(self._master)
        for task in self._tasks:
            task.cancel()
        self._shut()

    def _shut(self) -> None:
        os.close(self._master)
        os.close(self._slave)
        Path(self._line.path).unlink(missing_ok=True)


class _MqttLine:
    """The MQTT devices of one line: each has a connection of its own, so that each has a will of its own."""

    def __init__(self, line: SimLine, world: SimWorld, clock: Clock, at_s: Callable[[], float]) -> None:
        self._line, self._world, self._clock, self._at_s = line, world, clock, at_s
        self._clients: dict[str, _MqttClient] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        host, port = broker_address(self._line.url) or ("127.0.0.1", 1883)
        for device_id, publisher in self._world.publishers[self._line.id].items():
            self._clients[device_id] = _MqttClient(publisher, host, port)
            self._clients[device_id].power(True)
        return self._line.url

    def turn(self, at_s: float) -> None:
        for device_id, client in self._clients.items():
            client.power(self._world.devices[device_id].answers)
        for device_id, message, delay_s in self._world.publishes(self._line.id, at_s, self._clock.now().wall_us):
            if delay_s <= 0.0:
                self._clients[device_id].publish(message)
            else:
                task = asyncio.get_running_loop().create_task(self._later(device_id, message, delay_s))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _later(self, device_id: str, message: Publish, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        self._clients[device_id].publish(message)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(asyncio.to_thread(client.close) for client in self._clients.values()))


class _MqttClient:
    """One device's connection (paho-mqtt with its own network thread)."""

    def __init__(self, publisher: MqttDevice, host: str, port: int) -> None:
        self._publisher, self._host, self._port = publisher, host, port
        self._loop = asyncio.get_running_loop()
        self._on = False
        self._falling: asyncio.Future[None] | None = None
        self._said_absent = False
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"sim-{publisher.device.id}")
        self._client.max_queued_messages_set(MQTT_QUEUE_MAX)
        self._client.reconnect_delay_set(1, 5)
        self._client.on_connect = self._connected
        self._client.on_connect_fail = self._absent
        self._client.on_message = self._told
        if publisher.availability is not None:
            topic, _, offline = publisher.availability
            self._client.will_set(topic, offline, qos=1, retain=True)

    def power(self, on: bool) -> None:
        """Connect; or fall off the network without a farewell, so that the broker publishes the will."""
        if on == self._on or (self._falling is not None and not self._falling.done()):
            return  # asked again at the next turn
        self._on = on
        if on:
            self._client.connect_async(self._host, self._port, keepalive=15)
            self._client.loop_start()
            return
        # Waiting for the network thread may take a second: not in the loop.
        self._falling = self._loop.run_in_executor(None, self._fall)

    def _fall(self) -> None:
        sock = self._client.socket()
        self._client.loop_stop()
        if sock is not None:
            sock.close()

    def publish(self, message: Publish) -> None:
        if self._on:
            self._client.publish(message.topic, message.payload, qos=1, retain=message.retained)

    def close(self) -> None:
        if self._publisher.availability is not None and self._client.is_connected():
            topic, _, offline = self._publisher.availability
            with contextlib.suppress(ValueError, RuntimeError):
                self._client.publish(topic, offline, qos=1, retain=True).wait_for_publish(1.0)
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(
        self, client: paho.Client, _userdata: object, _flags: object, reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._said_absent = False
        if reason.is_failure:
            _log.warning("the broker refuses", device=self._publisher.device.id, why=str(reason))
            return
        if self._publisher.availability is not None:
            topic, online, _ = self._publisher.availability
            client.publish(topic, online, qos=1, retain=True)
        client.subscribe(f"{self._publisher.base}/set", qos=1)

    def _absent(self, _client: paho.Client, _userdata: object) -> None:
        if not self._said_absent:
            _log.warning("no broker; trying on", host=self._host, port=self._port)
        self._said_absent = True

    def _told(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        # The network thread hands over to the loop: devices are touched by one thread only.
        with contextlib.suppress(RuntimeError):  # the loop is closing
            self._loop.call_soon_threadsafe(self._publisher.commanded, message.topic, bytes(message.payload))


_LINE_KINDS: dict[LineKind, type[_TcpLine] | type[_PtyLine] | type[_MqttLine]] = {
    LineKind.MODBUS_TCP: _TcpLine, LineKind.PTY: _PtyLine, LineKind.MQTT: _MqttLine,
}
