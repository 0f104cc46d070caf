"""GatewayBox: one machine on a site, with its clock, disk, lines and radio, and the lives of the gateway on it.

    power ─► clock (own boot, offset, drift) ─► life: production GatewayRuntime on models of all five ports
    kill ──► handles are dead first, so that a dead process writes nothing; then its tasks are cancelled
"""

from __future__ import annotations

import asyncio
from datetime import timedelta, timezone
from random import Random

from device_drivers.driver import devices_on_line
from device_drivers.payload_map import PayloadMap
from device_model.command import Command, CommandKind
from device_model.messages import GatewayAddress
from device_model.ports import LineReply, LineRequest
from device_model.profile import Table
from edge_agent.events import Log
from edge_agent.runtime import GatewayRuntime
from firmware_sim.device import VirtualDevice
from firmware_sim.mqtt_device import MqttDevice
from tests.simulation.estate import FIELD, PLANT, RADIO, estate
from tests.simulation.models.line_model import FieldBus, LineModel
from tests.simulation.trace import Trace
from tests.simulation.witness import Life, Witness
from trial.link_model import BrokerModel, LinkModel
from trial.store_model import DiskMode, DiskModel, StoreModel
from trial.virtual_time import VirtualClock, VirtualLoop

WORLD_WALL_US = 1_780_000_000_000_000  # 2026-05-28 20:26:40 UTC at the start of every run
ZONE = timezone(timedelta(hours=8))
RADIO_TURN_S = 0.5


class GatewayBox:
    """One site's machine. All randomness from the `random` given."""

    def __init__(self, number: int, random: Random, loop: VirtualLoop, cloud: BrokerModel, trace: Trace,
                 witness: Witness) -> None:
        self.number, self.name = number, f"gw-{number}"
        self._random, self._loop, self._cloud, self._trace, self.witness = random, loop, cloud, trace, witness
        self.inventory, self._rules = estate(number)
        self.address = GatewayAddress(self.inventory.site.tenancy, self.inventory.site.gateway.id)
        self.world_clock = VirtualClock(loop, "world", wall_us=WORLD_WALL_US)
        self.devices = {device.id: VirtualDevice(device.id, self.inventory.profiles[device.profile], seed=number)
                        for device in self.inventory.site.devices}
        self.buses = {line: self._bus(line) for line in (FIELD, PLANT)}
        self.radio = BrokerModel(Random(random.getrandbits(64)), self.world_clock)
        self.radio.probe = self._on_radio
        self._hub = self.radio.link("hub")
        self._radio_device = MqttDevice(self.devices["radio-1"], "radio-1")
        self.disk = DiskModel(Random(random.getrandbits(64)))
        self.network_up = True
        self.radio_up = True
        self.clock = self._new_clock("boot-0")
        self._boots = self._lives = 0
        self.life: Life | None = None
        self.runtime: GatewayRuntime | None = None
        self.store: StoreModel | None = None
        self.uplink: LinkModel | None = None
        self._lines: list[LineModel] = []
        self._radio_link: LinkModel | None = None
        self._task: asyncio.Task[None] | None = None
        self.kill_at: str | None = None  # a journal point at which the process is to die
        self.errors: list[str] = []

    # -- the site ----------------------------------------------------------------------------------------------

    def _bus(self, line: str) -> FieldBus:
        units = {device.unit: self.devices[device.id] for device in self.inventory.site.devices
                 if device.line == line}
        bus = FieldBus(Random(self._random.getrandbits(64)), self.world_clock, units)
        bus.seen = self._on_reply
        bus.written = self._on_written
        return bus

    def _on_reply(self, device: VirtualDevice, request: LineRequest, reply: LineReply) -> None:
        self._trace.note(self.name, "reply", f"{device.id} {request.function} {request.address}", reply.payload)
        if self.life is None:
            return
        first, end = request.address, request.address + request.count
        if device.id.startswith("smoke") and request.function == 2 and first <= 2 < end:
            self.witness.told(self.number, self.life.number, device.id, alarm=device.shown["smoke"] is True)
        elif device.id == "gas-1" and request.function == 3 and first <= 5 < end:
            self.witness.told(self.number, self.life.number, device.id, alarm=device.shown["gas"] is None)

    def _on_radio(self, what: str, client: str, topic: str, payload: bytes) -> None:
        if what == "arrived" and self.life is not None:
            self._trace.note(self.name, "radio", topic, payload)
            if topic.endswith("/radio-1"):
                self.witness.told(self.number, self.life.number, "radio-1", alarm=b'"smoke":true' in payload)

    def _on_written(self, device: VirtualDevice, request: LineRequest) -> None:
        self._trace.note(self.name, "written", f"{device.id} {request.function} {request.address} {request.values}")
        if device.id == "relay-1":
            now, on = self._loop.now_us, bool(device.image.read(Table.COIL, 0, 1)[0])
            self.witness.relay_on[self.number] = on
            for stimulus in self.witness.stimuli:
                if on and stimulus.site == self.number and not stimulus.sounded_us:
                    stimulus.sounded_us = now

    async def radio_loop(self) -> None:
        """The wireless detector speaks when something changed, and each minute."""
        started_us = self._loop.now_us
        while True:
            for message in self._radio_device.due((self._loop.now_us - started_us) / 1e6, 0):
                if self._hub.connected:
                    await self._hub.publish(message.topic, message.payload)
            await asyncio.sleep(RADIO_TURN_S)

    # -- power and processes -----------------------------------------------------------------------------------

    def _new_clock(self, boot: str) -> VirtualClock:
        """A boot: with a battery clock some seconds off, or in 1970 until somebody tells the time."""
        true_us = WORLD_WALL_US + self._loop.now_us
        known = self._random.random() < 0.7
        wall_us = true_us + self._random.randint(-3_000_000, 3_000_000) if known else 4_000_000
        clock = VirtualClock(self._loop, f"{self.name}-{boot}", wall_us=wall_us,
                             drift_ppm=self._random.uniform(-100, 100))
        clock.wall_error_us = 3_000_000 if known else -1
        return clock

    def correct_clock(self) -> None:
        """Time from the network: within 20 ms of the truth."""
        true_us = WORLD_WALL_US + self._loop.now_us
        self.clock.step(true_us - self.clock.now().wall_us + self._random.randint(-20_000, 20_000))
        self.clock.wall_error_us = 50_000

    @property
    def running(self) -> bool:
        """Whether the gateway's process lives."""
        return self.life is not None

    def start(self) -> None:
        """Start the process; no-op while it runs."""
        if self.life is not None:
            return
        self._lives += 1
        self.life = Life(self.number, self._lives, self._loop.now_us)
        self.life.disk_was_bad = self.disk.mode is not DiskMode.OK
        self.witness.lives.append(self.life)
        self._trace.note(self.name, "start", f"life {self._lives} {self.clock.boot}")
        self.store = StoreModel(self.disk, self.clock)
        self.store.probe = self._on_journal
        self.uplink = self._cloud.link(self.name, (self.address.down("ack"), self.address.down("command")),
                                       clock=self.clock)
        if not self.network_up:
            self.uplink.cut(network=False)
        topics = PayloadMap(devices_on_line(self.inventory, RADIO), self.clock.now()).subscriptions()
        self._radio_link = self.radio.link(self.name, topics, clock=self.clock)
        if not self.radio_up:
            self._radio_link.cut(network=False)
        self._lines = [self.buses[line].line(self.clock) for line in (FIELD, PLANT)]
        self.runtime = GatewayRuntime(
            self.inventory, self._rules, clock=self.clock, store=self.store, zone=ZONE, uplink_link=self.uplink,
            lines=dict(zip((FIELD, PLANT), self._lines, strict=True)), mqtt_lines={RADIO: self._radio_link},
            jitter=Random(self._random.getrandbits(64)).random, log=self._on_log, version="sim")
        self._task = asyncio.ensure_future(self._run(self.runtime, self.life))

    async def _run(self, runtime: GatewayRuntime, life: Life) -> None:
        try:
            await runtime.run()
        except Exception as error:  # the process would have ended: systemd starts it again, and it is a finding
            self.errors.append(f"{self.name} life {life.number} ended: {type(error).__name__}: {error}")
        if life is self.life:
            self.errors.append(f"{self.name} life {life.number} ended by itself")
            self.kill(power=False)
            await asyncio.sleep(2)
            self.start()

    def kill(self, *, power: bool) -> None:
        """kill -9, or the power goes: then the next start is a new boot."""
        if self.life is None:
            return
        self._trace.note(self.name, "killed", "power" if power else "process")
        self.life.ended_us = self._loop.now_us
        self.life, self.kill_at = None, None
        if self.store is not None:
            self.store.crash()
        for link in (self.uplink, self._radio_link):
            if link is not None:
                link.kill()
        for line in self._lines:
            line.dead = True
        if self._task is not None:
            self._task.cancel()
        self.runtime = None
        if power:
            self.boot()

    def boot(self) -> None:
        """A new boot of the machine."""
        self._boots += 1
        self.clock = self._new_clock(f"boot-{self._boots}")

    def _on_journal(self, point: str, detail: bytes) -> None:
        self._trace.note(self.name, f"journal-{point}", "", detail)
        if self.kill_at == point:
            self.kill(power=self._random.random() < 0.5)

    def _on_log(self, line: Log) -> None:
        if line.level == "error" and line.what in ("step failed", "part failed, started again"):
            self.errors.append(f"{self.name}: {line.what} {dict(line.fields)}")

    # -- network -----------------------------------------------------------------------------------------------

    def cut(self, *, up: bool) -> None:
        """The uplink's network goes or comes."""
        self.network_up = up
        if self.uplink is not None and self.life is not None:
            self.uplink.mend() if up else self.uplink.cut(network=False)

    def cut_radio(self, *, up: bool) -> None:
        """The way to the site's broker goes or comes."""
        self.radio_up = up
        if self._radio_link is not None and self.life is not None:
            self._radio_link.mend() if up else self._radio_link.cut(network=False)

    # -- people on site ----------------------------------------------------------------------------------------

    def reset_alarms(self) -> None:
        """A named person resets whatever may be reset."""
        if self.runtime is None or not self.runtime.started.is_set():
            return
        now = self.clock.now()
        for number, alarm in enumerate(self.runtime.core.open_alarms()):
            self.runtime.act_on_site(Command(
                f"{self.name}-{self._loop.now_us}-{number}", CommandKind.RESET_ALARM, alarm.alarm, "Li Na",
                "walked round", now.wall_us, now.wall_us + 60_000_000, on_site=True))
