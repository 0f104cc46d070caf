"""Stage (I/O: tasks): a scenario played in virtual time with the production gateway and the community OS.

    VirtualLoop ─ 0.25 s ─► SimWorld ═ FieldLine, RadioLine ═ GatewayRuntime ═ LinkModel ═ SiteCloud
                              │                                   │ journal                  │ board
                              └──────────────────► Witness ◄──────┴──────────────────────────┘
    people: deeds at their times, at the gateway or at the board
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from random import Random
from typing import Any

from device_drivers.driver import Driver, Emit, devices_on_line
from device_drivers.listeners import listens
from device_drivers.payload_map import PayloadMap
from device_model.clock import SECOND_US
from device_model.command import Command, CommandKind
from device_model.errors import PeerError
from device_model.messages import GatewayAddress, Lane, Record
from device_model.permit import GasSample, PermitAct, PermitLevel, PermitPlan, PermitStep
from device_model.ports import LineExchange, MessageLink
from edge_agent.events import Log
from edge_agent.runtime import GatewayRuntime
from firmware_sim.scenario import CutKind, Deed
from firmware_sim.scenario_lines import LineKind
from firmware_sim.sessions import line_sessions
from firmware_sim.world import STEP_S, SimWorld, Truth
from trial.field_line import FieldLine
from trial.joined_line import joined_line
from trial.link_model import BrokerModel
from trial.quiet_log import quiet_log
from trial.radio_line import RadioLine
from trial.setup import AT_GATEWAY, UPLINK, TrialSetup, duration_s
from trial.site_cloud import SiteCloud, ack_topics
from trial.store_model import DiskModel, StoreModel
from trial.virtual_time import VirtualClock, VirtualLoop, run_virtual
from trial.witness import Witness

PROGRESS_EVERY_S = 5.0
LAST_WORDS_S = 5.0  # what is on its way at the end may still arrive
_MISTAKES = frozenset({"step failed", "part failed, started again"})

Progress = Callable[[float, float], None]


class WatchedStore(StoreModel):
    """The journal's model; tells the witness what the gateway hands to it, in order."""

    witness: Witness

    async def commit(self, records: Sequence[tuple[Lane, Record]], checkpoint: bytes | None) -> None:
        """See the port."""
        for _, record in records:
            self.witness.record(record)
        await super().commit(records, checkpoint)


class Stage:
    """One run. `witness` holds what was seen."""

    def __init__(self, setup: TrialSetup, loop: VirtualLoop, *, seed: int,
                 progress: Progress | None = None) -> None:
        self._setup, self._loop, self._progress = setup, loop, progress
        self._random = Random(seed)  # noqa: S311  simulated chance, not a secret
        scenario = setup.scenario
        self.world = SimWorld(scenario, setup.profiles, setup.recordings)
        self.witness = Witness(self._at_s)
        self.clock = VirtualClock(loop, "gateway", wall_us=setup.began_us)
        self._address = GatewayAddress(setup.site.tenancy, setup.site.gateway.id)
        self._broker = BrokerModel(self._chance(), self.clock, latency_s=0.02)
        self._uplink = self._broker.link("gateway", ack_topics(self._address))
        self._cloud_link = self._broker.link("cloud", tuple(self._address.up(lane) for lane in Lane))
        self._cloud = SiteCloud(setup.inventory, setup.rules, self.witness, setup.began_us)
        self._disk = DiskModel(self._chance(), latency_s=0.002)
        self._store = WatchedStore(self._disk, self.clock)
        self._store.witness = self.witness
        self._radios = {line.id: RadioLine(line.id, self.world, self.clock, self._chance(), self._at_s, self._note)
                        for line in scenario.lines if line.kind is LineKind.MQTT}
        self._runtime = self._gateway()
        self._people = sorted(scenario.people, key=lambda deed: deed.at_s)
        self._orders = 0
        self._quantities = sorted({wish.quantity for wish in scenario.expect.world})
        self._shown: dict[str, Any] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def _chance(self) -> Random:
        return Random(self._random.getrandbits(64))  # noqa: S311  simulated chance, not a secret

    def _at_s(self) -> float:
        return self._loop.now_us / SECOND_US

    def _note(self, where: str, octets: bytes) -> None:
        self.witness.note(where, octets)

    def _gateway(self) -> GatewayRuntime:
        inventory = self._setup.inventory
        lines: dict[str, LineExchange] = {}
        radios: dict[str, MessageLink] = {}
        listening: dict[str, Callable[[Emit], Driver]] = {}
        of_site = {line.id: line for line in inventory.site.lines}
        for line in self._setup.scenario.lines:
            if line.id not in of_site:
                continue
            if line.id in self._radios:
                topics = PayloadMap(devices_on_line(inventory, line.id), self.clock.now()).subscriptions()
                radios[line.id] = self._radios[line.id].gateway_link(topics)
            elif line.kind in (LineKind.MODBUS_TCP, LineKind.MODBUS_TLS, LineKind.PTY):
                lines[line.id] = FieldLine(line, self.world, self.clock, self._at_s, self._note)
            elif listens(of_site[line.id]):
                listening[line.id] = partial(
                    joined_line, of_site[line.id], inventory, self.clock,
                    sessions=line_sessions(line, self._setup.scenario, self.world.devices),
                    faults=self.world.faults[line.id], at_s=self._at_s, note=self._note)
        return GatewayRuntime(
            inventory, self._setup.rules, clock=self.clock, store=self._store, zone=self._setup.zone,
            uplink_link=self._uplink, lines=lines, mqtt_lines=radios, listening=listening,
            jitter=self._chance().random, log=self._on_log, version="trial")

    def _on_log(self, line: Log) -> None:
        if line.level == "error" and line.what in _MISTAKES:
            self.witness.mistakes.append(f"gateway: {line.what} {dict(line.fields)}")

    # -- play --------------------------------------------------------------------------------------------------

    async def play(self) -> Witness:
        """From the beginning to the end of the scenario."""
        end_s = duration_s(self._setup.scenario)
        self.witness.tell("world", "begins", self._setup.scenario.scenario)
        jobs: list[tuple[str, Coroutine[Any, Any, None]]] = [
            ("gateway", self._runtime.run()), ("cloud", self._cloud_listens()), ("cloud clock", self._cloud_ticks())]
        jobs += [(f"radio {name}", radio.listen()) for name, radio in self._radios.items()]
        self._tasks = [asyncio.ensure_future(self._watched(name, job)) for name, job in jobs]
        shown_s = 0.0
        self._look()
        while self._at_s() < end_s:
            await asyncio.sleep(STEP_S)
            at_s = self._at_s()
            for truth in self.world.advance(at_s):
                self._happened(truth)
            self._bend_uplink(at_s)
            for radio in self._radios.values():
                radio.turn()
            await self._deeds(at_s)
            self._look()
            if self._progress is not None and at_s - shown_s >= PROGRESS_EVERY_S:
                shown_s = at_s
                self._progress(at_s, end_s)
        if self._uplink.connected:
            await asyncio.sleep(LAST_WORDS_S)
            self.witness.waiting = len(self._disk.rows[Lane.ALARM])
        self.witness.tell("world", "ends", self._setup.scenario.scenario)
        if self._progress is not None:
            self._progress(end_s, end_s)
        return self.witness

    async def _watched(self, name: str, job: Coroutine[Any, Any, None]) -> None:
        try:
            await job
        except Exception as error:  # noqa: BLE001  a part that dies is a finding of the verdict, never its end
            self.witness.mistakes.append(f"{name} ended: {type(error).__name__}: {error}")

    def _happened(self, truth: Truth) -> None:
        subject = f"{truth.device}.{truth.point}".strip(".")
        self.witness.tell("world", truth.what, subject, f"{truth.value} {truth.kind} {truth.fire}".strip())
        if truth.what == "stimulus" and truth.fire:
            self.witness.fires.setdefault(truth.fire, truth.at_s)

    def _look(self) -> None:
        """Note what devices show and what the world is."""
        for name, device in self.world.devices.items():
            for point, value in device.shown.items():
                key = f"{name}.{point}"
                if self._shown.get(key, ...) != value:
                    self._shown[key] = value
                    self.witness.shows(key, value)
        for name in self._quantities:
            value = self._quantity(name)
            if value is not None:
                self.witness.quantity(name, value)

    def _quantity(self, name: str) -> float | None:
        if name in self._shown:
            value = self._shown[name]
            return float(value) if isinstance(value, bool | int | float) else None
        try:
            return self.world.surroundings.read(name)
        except KeyError:
            return None  # said in the verdict: no such quantity

    def _bend_uplink(self, at_s: float) -> None:
        cut = self.world.cut_of(UPLINK, at_s)
        bad = cut is not None and cut.kind in (CutKind.CUT, CutKind.HALF_OPEN)
        if bad and self._uplink.connected:
            self._uplink.cut(network=False)
        elif not bad and not self._uplink.connected:
            self._uplink.mend()

    # -- the cloud ---------------------------------------------------------------------------------------------

    async def _cloud_listens(self) -> None:
        async for message in self._cloud_link.messages():
            self._note("uplink", message.payload)
            await self._send_down(self._cloud.take(message, self.clock.now().wall_us))

    async def _cloud_ticks(self) -> None:
        while True:
            await self.clock.sleep(1.0)
            await self._send_down(self._cloud.tick(self.clock.now().wall_us))

    async def _send_down(self, messages: Sequence[tuple[str, bytes]]) -> None:
        for topic, payload in messages:
            try:
                await self._cloud_link.publish(topic, payload)
            except PeerError:
                continue  # what is not acknowledged is sent again by whoever waits for it

    # -- people ------------------------------------------------------------------------------------------------

    async def _deeds(self, at_s: float) -> None:
        while self._people and self._people[0].at_s <= at_s:
            deed = self._people.pop(0)
            self.witness.tell("person", deed.does, deed.target, f"{deed.who}: {deed.why}")
            kind = AT_GATEWAY.get(deed.does)
            if kind is None:
                await self._send_down(self._cloud.act(deed.does, deed.target, deed.who, deed.why,
                                                      self.clock.now().wall_us))
            else:
                self._order(deed, kind)

    def _order(self, deed: Deed, kind: CommandKind) -> None:
        targets = [deed.target]
        if kind is CommandKind.RESET_ALARM and deed.target not in self._runtime.core.outputs.names():
            targets = [alarm.alarm for alarm in self._runtime.core.open_alarms()
                       if not deed.target or alarm.rule == deed.target]
        now = self.clock.now()
        step = permit_step(deed, self._setup.began_us, now.wall_us)
        for target in targets:
            self._orders += 1
            self._runtime.act_on_site(Command(
                f"deed-{self._orders}", kind, target, deed.who, deed.why, now.wall_us, now.wall_us + 60 * SECOND_US,
                deed.minutes * 60.0, on_site=True, compensating_measure=deed.why, permit=step))


def permit_step(deed: Deed, began_us: int, now_us: int) -> PermitStep | None:
    """The act on a permit that a deed means, with its times on the wall; None for any other deed."""
    wish = deed.permit
    if wish is None:
        return None
    act = PermitAct(wish.act)
    plan = sample = None
    if act is PermitAct.CREATE:
        plan = PermitPlan(
            wish.zone, PermitLevel(wish.level), began_us + round(wish.starts_s * SECOND_US),
            began_us + round(wish.ends_s * SECOND_US), wish.workers, wish.watcher, gases=wish.gases,
            outdoors=wish.outdoors, measures=wish.measures)
    elif act is PermitAct.SAMPLE:
        sample = GasSample(now_us - round(wish.age_s * SECOND_US), wish.percent_vol, deed.who, wish.gas)
    return PermitStep(deed.target, act, plan, sample)


def play(setup: TrialSetup, *, seed: int, progress: Progress | None = None) -> Witness:
    """Run a trial in virtual time and tell what was seen."""
    mistakes: list[str] = []
    loop = VirtualLoop()
    with quiet_log(mistakes):
        witness = run_virtual(_played(setup, loop, seed, progress), loop)
    witness.mistakes += mistakes
    return witness


async def _played(setup: TrialSetup, loop: VirtualLoop, seed: int, progress: Progress | None) -> Witness:
    return await Stage(setup, loop, seed=seed, progress=progress).play()
