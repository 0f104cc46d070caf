"""World: sites, cloud and everything that goes wrong, in virtual time, from one seed.

    seed ─► Plan (schedule.py) ─► fires and faults ─► GatewayBox × n, CloudBox ─► Witness, Trace ─► checkers.py

The plan is made before the run, and each model has a Random of its own, so that the same seed gives the same bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import IO, Any

import msgspec

from device_model.read_models import IncidentView
from device_model.reading import Reason
from tests.simulation import checkers
from tests.simulation.cloud_box import CloudBox
from tests.simulation.estate import DETECTORS, FIELD, PLANT
from tests.simulation.gateway_box import GatewayBox
from tests.simulation.models.line_model import LineFault
from tests.simulation.schedule import CALM_S, DEEDS, JOURNAL_POINTS, STORM_S, Event, Fire, Plan, plan_of
from tests.simulation.trace import Trace
from tests.simulation.witness import Interval, Stimulus, Witness
from trial.quiet_log import quiet_log
from trial.store_model import DiskMode
from trial.virtual_time import VirtualLoop, run_virtual

ARMED_FOR_S = 20.0
LOOK_EVERY_S = 2.0
LINE_FAULTS = tuple(LineFault)
DISK_MODES = {"disk_full": DiskMode.FULL, "disk_read_only": DiskMode.READ_ONLY, "disk_hang": DiskMode.HANG}


class Verdict(msgspec.Struct, frozen=True):
    """How a run ended. problems: one line per broken promise. digest: sha256 of the whole trace."""

    seed: int
    digest: str
    problems: tuple[str, ...]
    virtual_s: float
    events: int
    stimuli: int
    incidents: int
    counts: dict[str, int]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all promises were kept."""
        return not self.problems


class World:
    """One run. `sabotage` may change what it likes before anything starts: that is how checkers are proved."""

    def __init__(self, seed: int, *, plan: Plan | None = None, trace_file: IO[bytes] | None = None,
                 sabotage: Callable[[World], None] | None = None) -> None:
        self.seed = seed
        self.loop = VirtualLoop()
        self.random = Random(seed)
        self.plan = plan or plan_of(Random(self.random.getrandbits(64)))
        self.trace = Trace(lambda: self.loop.now_us, trace_file)
        self.witness = Witness(lambda: self.loop.now_us)
        self._sabotage = sabotage
        self.boxes: dict[int, GatewayBox] = {}
        self.cloud: CloudBox
        self.at_end: tuple[IncidentView, ...] = ()  # what the board shows when all is over
        self._background: list[asyncio.Task[None]] = []

    def run(self) -> Verdict:
        """The whole run, and what the checkers say of it."""
        with quiet_log(self.witness.internal_errors):
            return run_virtual(self._main(), self.loop)

    async def _main(self) -> Verdict:
        self._build()
        if self._sabotage is not None:
            self._sabotage(self)
        self.cloud.start("ingest")
        self.cloud.start("worker")
        for box in self.boxes.values():
            box.start()
            self._spawn(box.radio_loop())
        for event in self.plan.events:
            self._spawn(self._do(event))
        for fire in self.plan.fires:
            self._spawn(self._burn(fire))
        self._spawn(self._look())
        self._spawn(self._calm_down())
        await asyncio.sleep(self.plan.end_s)
        problems = checkers.judge(self)
        self.at_end = self.cloud.store.snapshot("", 0).incidents
        verdict = Verdict(self.seed, self.trace.digest(), tuple(problems), self.loop.now_us / 1e6,
                          sum(self.trace.counts.values()), len(self.witness.stimuli), len(self.at_end),
                          dict(sorted(self.trace.counts.items())),
                          tuple(self.cloud.errors + [e for box in self.boxes.values() for e in box.errors]))
        self.cloud.store.close()
        return verdict

    def _build(self) -> None:
        self.cloud = CloudBox(self.plan.sites, Random(self.random.getrandbits(64)), self.loop, self.trace,
                              self.witness)
        for number in self.plan.sites:
            self.boxes[number] = GatewayBox(number, Random(self.random.getrandbits(64)), self.loop, self.cloud.broker,
                                            self.trace, self.witness)

    def _spawn(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(job)
        self._background.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.witness.problem("simulation", f"a task of the simulation itself failed: {task.exception()!r}")

    # -- stimuli -----------------------------------------------------------------------------------------------

    async def _burn(self, fire: Fire) -> None:
        await asyncio.sleep(fire.at_s)
        detector, box = DETECTORS[fire.detector], self.boxes[fire.site]
        if self.witness.active(fire.site, detector.device) is not None:
            return
        device = box.devices[detector.device]
        stimulus = Stimulus(fire.site, detector, self.loop.now_us)
        stimulus.sounder_due = checkers.sounder_due(self, stimulus)
        self.witness.stimuli.append(stimulus)
        self.trace.note(box.name, "fire", detector.device)
        if detector.family == "gas":
            device.set_bad("gas", Reason.OVER_RANGE)
        else:
            device.set(detector.point, True)
        if fire.at_s + fire.for_s >= self.plan.end_s:
            return
        await asyncio.sleep(fire.for_s)
        stimulus.ended_us = self.loop.now_us
        self.trace.note(box.name, "recovered", detector.device)
        if detector.family == "gas":
            device.clear_bad("gas")
        else:
            device.set(detector.point, False)

    # -- faults and deeds --------------------------------------------------------------------------------------

    async def _do(self, event: Event) -> None:
        await asyncio.sleep(event.at_s)
        self.trace.note("world" if event.site < 0 else f"gw-{event.site}", event.kind, f"{event.for_s} {event.pick}")
        if event.kind in DEEDS:
            await self._deed(event)
            return
        fault = Interval(event.kind, event.site, self.loop.now_us)
        self.witness.faults.append(fault)
        if event.site < 0:
            await self._fault_of_cloud(event)
        else:
            await self._fault_of_site(event, self.boxes[event.site])
        fault.ended_us = self.loop.now_us

    async def _deed(self, event: Event) -> None:
        if event.kind == "reset":
            self.witness.resets[event.site] = self.witness.resets.get(event.site, 0) + 1
            self.boxes[event.site].reset_alarms()
        else:
            await self.cloud.acknowledge(self.boxes[event.site].inventory.site.tenancy.path)

    def _still(self, kind: str, site: int) -> bool:
        """Whether another fault of this kind (a prefix) is still active there."""
        return sum(f.kind.startswith(kind) and f.site == site and not f.ended_us for f in self.witness.faults) > 1

    async def _fault_of_cloud(self, event: Event) -> None:
        cloud, broker = self.cloud, self.cloud.broker
        match event.kind:
            case "messages_bad":
                broker.drop_rate, broker.duplicate_rate = 0.3 * event.pick, 0.3 * (1 - event.pick)
                broker.reorder_rate, broker.puback_lost_rate = 0.2, 0.1
                await asyncio.sleep(event.for_s)
                if not self._still(event.kind, -1):
                    broker.drop_rate = broker.duplicate_rate = broker.reorder_rate = broker.puback_lost_rate = 0.0
            case "nats_down":
                cloud.nats(up=False)
                await asyncio.sleep(event.for_s)
                if not self._still(event.kind, -1):
                    cloud.nats(up=True)
            case "stream_bad":
                cloud.fault_rate = 0.05 + 0.3 * event.pick
                await asyncio.sleep(event.for_s)
                if not self._still(event.kind, -1):
                    cloud.fault_rate = 0.0
            case "kill_ingest" | "kill_worker":
                role = event.kind.removeprefix("kill_")
                cloud.kill(role)
                await asyncio.sleep(event.for_s)
                cloud.start(role)
            case "kill_worker_behind_commit":
                cloud.kill_worker_behind_commit = True
                await self._until(lambda: not cloud.up["worker"])
                cloud.kill_worker_behind_commit = False
                await asyncio.sleep(event.for_s)
                cloud.start("worker")

    async def _fault_of_site(self, event: Event, box: GatewayBox) -> None:
        match event.kind:
            case "uplink_cut":
                box.cut(up=False)
                await asyncio.sleep(event.for_s)
                if not self._still(event.kind, event.site):
                    box.cut(up=True)
            case "radio_cut":
                box.cut_radio(up=False)
                await asyncio.sleep(event.for_s)
                if not self._still(event.kind, event.site):
                    box.cut_radio(up=True)
            case "line_bad" | "line_down" | "mute":
                await self._fault_of_line(event, box)
            case "disk_full" | "disk_read_only" | "disk_hang":
                box.disk.mode = DISK_MODES[event.kind]
                await asyncio.sleep(event.for_s)
                if not self._still("disk_", event.site):
                    box.disk.mode = DiskMode.OK
            case "kill_gateway" | "power_cut":
                box.kill(power=event.kind == "power_cut")
                await asyncio.sleep(event.for_s)
                box.start()
                self._spawn(self._tell_time(box, event))
            case "kill_at_journal":
                box.kill_at = JOURNAL_POINTS[int(event.pick * len(JOURNAL_POINTS))]
                await self._until(lambda: not box.running)
                box.kill_at = None
                await asyncio.sleep(event.for_s)
                box.start()
                self._spawn(self._tell_time(box, event))
            case "clock_step":
                box.clock.step(round((event.pick - 0.5) * 2 * 3_600_000_000))
                await self._tell_time(box, event)

    async def _tell_time(self, box: GatewayBox, event: Event) -> None:
        """Some seconds later the time server is heard."""
        wrong = Interval("clock_wrong", event.site, self.loop.now_us)
        self.witness.faults.append(wrong)
        await asyncio.sleep(1 + 20 * event.pick)
        box.correct_clock()
        wrong.ended_us = self.loop.now_us

    async def _fault_of_line(self, event: Event, box: GatewayBox) -> None:
        bus = box.buses[FIELD if event.pick < 0.75 else PLANT]
        if event.kind == "line_down":
            bus.up = False
            await asyncio.sleep(event.for_s)
            bus.up = True
        elif event.kind == "mute":
            device = list(bus.devices.values())[int(event.pick * 97) % len(bus.devices)].id
            bus.mute.add(device)
            await asyncio.sleep(event.for_s)
            bus.mute.discard(device)
        else:
            bus.rates = {fault: 0.3 * ((event.pick * (7 + 4 * place)) % 1) for place, fault in enumerate(LINE_FAULTS)}
            await asyncio.sleep(event.for_s)
            bus.rates = {}

    async def _until(self, reached: Callable[[], bool]) -> None:
        for _ in range(round(ARMED_FOR_S / 0.05)):
            if reached():
                return
            await asyncio.sleep(0.05)

    async def _calm_down(self) -> None:
        """After the storm all is well again: whoever is down is started."""
        await asyncio.sleep(CALM_S + STORM_S + ARMED_FOR_S)
        for role in ("ingest", "worker"):
            self.cloud.start(role)
        for box in self.boxes.values():
            box.start()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.cloud.look_at_stream()
            checkers.look(self)


def run_seed(seed: int, *, plan: Plan | None = None, trace_file: IO[bytes] | None = None,
             sabotage: Callable[[World], None] | None = None) -> Verdict:
    """One whole run."""
    return World(seed, plan=plan, trace_file=trace_file, sabotage=sabotage).run()
