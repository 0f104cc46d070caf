"""One outage in virtual time: the production gateway, killed as planned, and a far end that keeps the ledger.

    World ─Feed─► GatewayRuntime ─► StoreModel on one DiskModel       kill: the disk keeps what was synced, of the
                        │ Uplink                                       commit under way all or nothing; the broker
                        ▼                                              what was handed to it, perhaps
                   BrokerModel (honest, or acknowledges and drops) ─► FarEnd: intake, Ledger, BatchAck
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta, timezone
from random import Random

import msgspec

from bench.outage_plan import ARMED_FOR_S, BUSY_EVERY_S, BUSY_S, FIRST_S, QUIET_EVERY_S, Kill, Plan, Stimulus
from bench.outage_site import LINE, METER, Feed, World, outage_site, subject_of
from community_os.intake import acknowledged_ranges, read_message
from community_os.ledger import Ledger
from device_drivers.driver import Emit
from device_model.alarm import AlarmState
from device_model.errors import PeerError
from device_model.messages import (
    WIRE_VERSION,
    AlarmRecord,
    BatchAck,
    GatewayAddress,
    Lane,
    LossRecord,
    ReadingsRecord,
    Record,
    encode,
    is_memory_epoch,
)
from device_model.packing import PACKINGS
from edge_agent.events import Log
from edge_agent.runtime import GatewayRuntime
from trial.link_model import BrokerModel, LinkModel
from trial.quiet_log import quiet_log
from trial.store_model import DiskModel, StoreModel
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual

WALL_US = 1_780_000_000_000_000
ZONE = timezone(timedelta(hours=8))
DRAIN_WITHIN_S = 3600.0
LYING = (0.3, 0.1, 0.2, 0.1)  # dropped after PUBACK, doubled, late, PUBACK lost


class Emitted(msgspec.Struct):
    """A value of the meter that a living gateway was told. life: which."""

    value: int
    at_us: int
    life: int


class Life(msgspec.Struct):
    """One life of the process, virtual µs; ended_us 0: it lives."""

    began_us: int
    ended_us: int = 0


class FarEnd:
    """Everything that arrived, once; acknowledges what it holds."""

    def __init__(self, broker: BrokerModel, clock: VirtualClock, address: GatewayAddress) -> None:
        self._link = broker.link("ingest", tuple(address.up(lane) for lane in Lane))
        self._clock, self._address = clock, address
        self.ledger = Ledger()
        self.values: Counter[int] = Counter()  # each life's own word for a value counts once
        self.raised: dict[str, dict[str, None]] = {}  # subject → alarm ids that rose
        self.doubled: list[str] = []
        self.losses: list[LossRecord] = []
        self.refused: list[str] = []
        self._contents: dict[tuple[str, Lane, int], int] = {}
        self._readings: set[tuple[str, str, int]] = set()
        self.batches = 0
        self.records = 0

    async def run(self) -> None:
        """Until cancelled."""
        async for message in self._link.messages():
            try:
                intake = read_message(message)
            except ValueError as error:
                self.refused.append(str(error))
                continue
            batch = intake.batch
            self.batches += 1
            for record in batch.records:
                self._same_content(batch.epoch, batch.lane, record)
            for record in self.ledger.apply(batch, self._clock.now().wall_us).fresh:
                self._take(record, memory=is_memory_epoch(batch.epoch))
            known = self.ledger.known(batch.gateway, batch.epoch, batch.lane)
            ranges = acknowledged_ranges(batch, known)
            if any(record.sequence for record in batch.records):
                try:
                    await self._link.publish(self._address.down("ack"), encode(
                        BatchAck(WIRE_VERSION, batch.epoch, batch.lane, ranges, PACKINGS)))
                except PeerError:
                    continue  # what is not acknowledged comes again

    def _same_content(self, epoch: str, lane: Lane, record: Record) -> None:
        """A number that anybody has seen never stands for other content."""
        if record.sequence:
            content = hash(encode(record))
            if self._contents.setdefault((epoch, lane, record.sequence), content) != content:
                self.doubled.append(f"{epoch} {lane} {record.sequence} stands for other content than before")

    def _take(self, record: Record, *, memory: bool) -> None:
        self.records += 1
        body = record.body
        if isinstance(body, ReadingsRecord):
            for reading in body.readings:
                key = (reading.point, reading.boot, reading.mono_us)
                if key in self._readings and not memory:
                    self.doubled.append(f"reading {key} came twice")
                self._readings.add(key)
                if reading.point == METER and isinstance(reading.value, int):
                    self.values[reading.value] += 1
        elif isinstance(body, AlarmRecord) and body.transition.state is AlarmState.RAISED:
            self.raised.setdefault(body.transition.key.subject, {})[body.transition.alarm] = None
        elif isinstance(body, LossRecord):
            self.losses.append(body)


class Outage:
    """One run."""

    def __init__(self, plan: Plan, seed: int, *, lying: bool = False) -> None:
        self.plan = plan
        self.loop = VirtualLoop()
        self._random = Random(seed)  # noqa: S311  simulated chance, not a secret
        self.inventory, self._rules = outage_site()
        site = self.inventory.site
        self.address = GatewayAddress(site.tenancy, site.gateway.id)
        self._truth = VirtualClock(self.loop, "world", wall_us=WALL_US)
        self._broker = BrokerModel(self._chance(), self._truth, latency_s=0.02)
        if lying:
            (self._broker.drop_rate, self._broker.duplicate_rate, self._broker.reorder_rate,
             self._broker.puback_lost_rate) = LYING
        self.far = FarEnd(self._broker, self._truth, self.address)
        self.disk = DiskModel(self._chance())
        self.world = World()
        self.lives: list[Life] = []
        self.emitted: list[Emitted] = []
        self.mistakes: list[str] = []
        self.kills = 0
        self.kill_points: Counter[str] = Counter()
        self.drained_s = 0.0
        self._value = 0
        self._boots = 0
        self._clock = self._boot()
        self._store: StoreModel | None = None
        self._uplink: LinkModel | None = None
        self._feed: Feed | None = None
        self._task: asyncio.Task[None] | None = None
        self._cloud_there = True
        self._kill_at: str | None = None

    def _chance(self) -> Random:
        return Random(self._random.getrandbits(64))  # noqa: S311  simulated chance, not a secret

    def _boot(self) -> VirtualClock:
        """A boot: the battery clock some seconds off, or in 1970."""
        self._boots += 1
        known = self._random.random() < 0.7
        wall_us = WALL_US + self.loop.now_us + self._random.randint(-3_000_000, 3_000_000) if known else 4_000_000
        clock = VirtualClock(self.loop, f"boot-{self._boots}", wall_us=wall_us,
                             drift_ppm=self._random.uniform(-100, 100))
        clock.wall_error_us = 3_000_000 if known else -1
        return clock

    def run(self) -> Outage:
        """Play it to its end."""
        with quiet_log(self.mistakes):
            run_virtual(self._main(), self.loop)
        return self

    async def _main(self) -> None:
        jobs = [asyncio.ensure_future(self.far.run())]
        self.start()
        steps: list[tuple[float, int, Callable[[], None]]] = []
        for stimulus in self.plan.stimuli:
            steps += self._stimulus(stimulus)
        for begin_s, end_s in ((-1.0, FIRST_S), *self.plan.returns, (self.plan.end_s, self.plan.end_s + 1e9)):
            steps.append((begin_s, 1, lambda: self._cloud(True)))
            steps.append((end_s, 0, lambda: self._cloud(False)))
        jobs.append(asyncio.ensure_future(self._at_their_times(sorted(steps, key=lambda step: step[:2]))))
        jobs.append(asyncio.ensure_future(self._meter()))
        for kill in self.plan.kills:
            await self._until(kill.at_s)
            await self._kill_as_planned(kill)
        await self._until(self.plan.end_s)
        await self._drained()
        for job in jobs:
            job.cancel()
            if job.done() and not job.cancelled() and job.exception() is not None:
                self.mistakes.append(f"a task of the bench failed: {job.exception()!r}")
        self._end()

    async def _until(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, at_s - self.loop.time()))

    def _stimulus(self, it: Stimulus) -> list[tuple[float, int, Callable[[], None]]]:
        subject = subject_of(it.detector)
        return [(it.at_s, 2, lambda: self.world.set(subject, True)),
                (it.at_s + it.for_s, 2, lambda: self.world.set(subject, False))]

    async def _at_their_times(self, steps: list[tuple[float, int, Callable[[], None]]]) -> None:
        for at_s, _, step in steps:
            if at_s > self.plan.end_s + DRAIN_WITHIN_S:
                return
            await self._until(at_s)
            step()

    async def _meter(self) -> None:
        """Each minute, and ten times a second before each kill."""
        kills = [kill.at_s for kill in self.plan.kills]
        place = 0
        while self.loop.time() < self.plan.end_s:
            self._value += 1
            if self._feed is not None:
                self.emitted.append(Emitted(self._value, self.loop.now_us, len(self.lives)))
            self.world.set(METER, self._value)
            now_s = self.loop.time()
            while place < len(kills) and kills[place] + ARMED_FOR_S < now_s:
                place += 1
            if place < len(kills) and now_s >= kills[place] - BUSY_S:
                await asyncio.sleep(BUSY_EVERY_S)
            else:
                soon_s = (kills[place] - BUSY_S if place < len(kills) else self.plan.end_s) - now_s
                await asyncio.sleep(min(QUIET_EVERY_S, max(BUSY_EVERY_S, soon_s)))

    # -- the process -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """A life begins."""
        self.lives.append(Life(self.loop.now_us))
        store = self._store = StoreModel(self.disk, self._clock)
        store.probe = self._on_journal
        self._uplink = self._broker.link("gateway", (self.address.down("ack"), self.address.down("command")),
                                         clock=self._clock)
        if not self._cloud_there:
            self._uplink.cut(network=False)

        def make(emit: Emit) -> Feed:
            self._feed = Feed(self.world, self.inventory, self._clock, emit)
            return self._feed

        runtime = GatewayRuntime(
            self.inventory, self._rules, clock=self._clock, store=store, zone=ZONE, uplink_link=self._uplink,
            listening={LINE: make}, jitter=self._chance().random, log=self._on_log, version="bench")
        self._task = asyncio.ensure_future(self._live(runtime, len(self.lives)))

    async def _live(self, runtime: GatewayRuntime, life: int) -> None:
        try:
            await runtime.run()
        except Exception as error:  # noqa: BLE001  a process that ends by itself is a finding, not the end of the bench
            self.mistakes.append(f"life {life} ended: {type(error).__name__}: {error}")

    def _on_log(self, line: Log) -> None:
        if line.level == "error" and line.what in ("step failed", "part failed, started again"):
            self.mistakes.append(f"{line.what} {dict(line.fields)}")

    def _on_journal(self, point: str, detail: bytes) -> None:
        if self._kill_at == point:
            self.kill(point)

    def kill(self, point: str = "") -> None:
        """kill -9: its handles are dead first, so that a dead process does nothing more."""
        self._kill_at = None
        if self._feed is None:
            return
        self.kills += 1
        self.kill_points[point or "any moment"] += 1
        self.lives[-1].ended_us = self.loop.now_us
        self._end()

    def _end(self) -> None:
        if self._feed is not None:
            self._feed.dead, self._feed = True, None
            self.world.listener = None
        if self._store is not None:
            self._store.crash()
        if self._uplink is not None:
            self._uplink.kill()
        if self._task is not None:
            self._task.cancel()

    async def _kill_as_planned(self, kill: Kill) -> None:
        if kill.point:
            self._kill_at = kill.point
            for _ in range(round(ARMED_FOR_S / 0.05)):
                if self._kill_at is None:
                    break
                await asyncio.sleep(0.05)
        if self._kill_at is not None or not kill.point:
            self.kill()
        await asyncio.sleep(kill.away_s)
        if kill.power:
            self._clock = self._boot()
        self.start()

    def _cloud(self, there: bool) -> None:
        self._cloud_there = there
        if self._uplink is not None:
            self._uplink.mend() if there else self._uplink.cut(network=False)

    async def _drained(self) -> None:
        """Until the far end has everything that the disk holds, or an hour is over."""
        began = self.loop.now_us
        while self.loop.now_us - began < DRAIN_WITHIN_S * 1e6:
            await asyncio.sleep(5.0)
            if not any(self.disk.rows.values()) and not self.far.ledger.gaps() and self.loop.now_us - began > 40e6:
                break
        self.drained_s = (self.loop.now_us - began) / 1e6
