"""A works with hot work and an estate, with their real workers, store and pages in one process, and a gateway that
judges permits (edge_agent's own desk): only broker and network are left out."""

from __future__ import annotations

import asyncio
import math
import tempfile
import threading
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import uvicorn

from community_os.board_service import BoardService
from community_os.envelopes import Envelope, UpEnvelope, decode_envelope
from community_os.environment_desk import EnvironmentDesk
from community_os.notice_desk import DutyFiles
from community_os.officer_service import OfficerService
from community_os.pack_desk import PackDesk
from community_os.report_service import ReportService
from community_os.site_setup import SiteSetup
from community_os.site_worker import SiteWorker
from community_os.store import IncidentStore, inline
from community_os.store_changes import SiteCommit
from dashboards.officer_parts import OfficerParts
from dashboards.people import SignIn
from dashboards.server import create_app
from device_model.alarm import AlarmKey, AlarmState, AlarmTransition, Hazard, Severity, alarm_id
from device_model.clock import SECOND_US, Now
from device_model.command import Command, CommandOutcome, CommandResult
from device_model.library import read_inventory
from device_model.messages import (
    AlarmRecord,
    Batch,
    Body,
    CommandResultRecord,
    HeartbeatRecord,
    Lane,
    ReadingsRecord,
    Record,
)
from device_model.numbers import NumbersReport, digest_of
from device_model.permit import GasSample, PermitAct, PermitLevel, PermitPlan, PermitPolicy, PermitStep
from device_model.reading import Reading
from device_model.series import Level, Rollup, Sample
from device_model.system_clock import SystemClock
from edge_agent.permit_desk import PermitDesk
from rules_engine import Engine
from rules_engine.packs import rules_of_site
from rules_engine.permit import PermitRefusal

ROOT = Path(__file__).parents[2]
WORKS_FILE = ROOT / "firmware_sim/scenarios/sites/works.yaml"
WORKS = "hangzhou/yuhang/cangqian/trial-works"
LAKESIDE = "hangzhou/yuhang/cangqian/lakeside"


class MadeSeries:
    """A day in which the workshop's gas rose to 28 %LEL for ten minutes, and cameras saw welding twice."""

    async def samples(self, path, points, from_us, to_us, limit=5000):
        middle, found = (from_us + to_us) // 2, []
        for back in range(-600, 600, 10):
            at_us = middle + back * 6 * SECOND_US
            gas = 28.0 if 0 <= back < 100 else 2.0
            for point, value, unit in (("gas.gas", gas, "%[LEL]"), ("camera-store.hot_work", gas / 40, "1")):
                if point in points:
                    found.append(Sample(path, "gw-1", "works", point, "", unit, at_us, value))
        return tuple(found)

    async def rollups(self, path, points, from_us, to_us, level=Level.HOUR):
        hours = range(from_us, to_us, 3600 * SECOND_US)
        return {point: tuple(
            Rollup(point, "temperature", "Cel", at_us, 60, 0, 20.0, 30.0, 24.0 + 6 * math.sin(number / 3.82), 24.0)
            for number, at_us in enumerate(hours) if number % 97 != 5) for point in points}


class StraightStream:
    """A stream whose only reader is the house itself."""

    def __init__(self, house: OfficerHouse) -> None:
        self._house, self._seen = house, dict[str, int]()

    async def publish(self, subject: str, payload: bytes, *, message_id: str) -> int:
        if message_id not in self._seen:
            self._seen[message_id] = self._house.take(decode_envelope(payload))
        return self._seen[message_id]


class OfficerHouse:
    """Serve with `start`, feed with `read`, `alarm`, `on_site`; end with `stop`. cut: nothing reaches the gateway."""

    def __init__(self, sign_in: SignIn | None = None, **more: object) -> None:
        # A file: pages and tests use it from threads of their own, which one connection in memory cannot serve.
        self.folder = tempfile.TemporaryDirectory(prefix="tocsin-house-")
        self.store = IncidentStore(f"sqlite:///{self.folder.name}/incidents.sqlite")
        self.store.open()
        self.clock, self.lock, self.cut = SystemClock(), threading.RLock(), False
        self.workers: dict[str, SiteWorker] = {}
        self.inventories = {}
        self.sequence, self.numbers, self.acts = 0, dict[str, int](), 0
        for file in (WORKS_FILE, ROOT / "demo/sites/lakeside.yaml"):
            inventory = read_inventory(file)
            setup = SiteSetup(inventory, None, DutyFiles())
            self.inventories[setup.path] = inventory
            self.workers[setup.path] = setup.worker(self.now_us())
            self.commit(setup.path, self.workers[setup.path].first_rows().changes, 0)
        works = self.inventories[WORKS]
        engine = Engine(rules_of_site(works.site), works, decides="edge", lateness_us=10_000_000)
        self.desk = PermitDesk(works, engine, ZoneInfo("Asia/Shanghai"))
        self.applied: dict[str, CommandResult] = {}
        self.board = BoardService(self.store, inline, StraightStream(self), self.clock)
        self.officer = OfficerService(self.store, inline, self.board, self.clock, sites=self.inventories)
        self.app = create_app(self.board, clock=self.clock, sign_in=sign_in, work=self.board,
                              officer=self.parts(**more))

    def parts(self, **more: object) -> OfficerParts:
        self.reports = ReportService(self.store, inline, self.officer, self.clock, sites=self.inventories)
        folder = Path(self.folder.name)
        file = folder / "works.yaml"
        file.write_text(WORKS_FILE.read_text(encoding="utf-8"), encoding="utf-8")
        self.inventories[WORKS] = read_inventory(file)
        self.series = MadeSeries()
        self.packs = PackDesk(self.store, inline, self.clock, sites=self.inventories, series=self.series)
        self.environment = EnvironmentDesk(self.store, inline, self.clock, sites=self.inventories, series=self.series,
                                           reports=self.reports)
        return OfficerParts(self.officer, self.reports, self.packs, self.environment)

    # --- serving ------------------------------------------------------------------------------------------

    def start(self) -> OfficerHouse:
        self._server = uvicorn.Server(uvicorn.Config(
            self.app, host="127.0.0.1", port=0, log_level="error", timeout_graceful_shutdown=1, lifespan="off"))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        ready = threading.Event()
        while not self._server.started:
            ready.wait(0.02)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
        return self

    async def _serve(self) -> None:
        following = asyncio.create_task(self.board.run())
        await self._server.serve()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    def stop(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(5)

    # --- feeding ------------------------------------------------------------------------------------------

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def now(self) -> Now:
        return Now(self.now_us(), self.now_us(), "b")

    def commit(self, path: str, changes: list, sequence: int, *, tick: bool = False) -> None:
        self.store.apply([SiteCommit(path, sequence, tuple(changes), tick=tick)])

    def take(self, envelope: Envelope) -> int:
        with self.lock:
            self.sequence += 1
            number = self.sequence
            effects = self.workers[envelope.path].step(envelope)
            self.commit(envelope.path, effects.changes, number)
            for send in effects.commands:
                if not self.cut:
                    self.deliver(send.command)
            return number

    def deliver(self, command: Command) -> None:
        """What the gateway does with it."""
        if command.id not in self.applied:
            try:
                permit, _ = self.desk.apply(command, self.now())
                outcome, detail = CommandOutcome.APPLIED, f"{permit.id} {permit.state.value}"
            except PermitRefusal as refusal:
                outcome, detail = CommandOutcome.REFUSED, str(refusal)
            self.applied[command.id] = CommandResult(command.id, command.kind, command.target, outcome, self.now_us(),
                                                     command.who, detail)
        self.up(CommandResultRecord(self.applied[command.id]), *self.desk.news(self.now()))

    def on_site(self, permit: str, act: str, who: str, *, plan: PermitPlan | None = None,
                sample: GasSample | None = None) -> None:
        """Somebody at the gateway."""
        step = PermitStep(permit, PermitAct(act), plan, sample)
        self.desk.apply(Command("x", "permit", permit, who, "", 0, 0, permit=step), self.now())  # type: ignore[arg-type]
        self.up(*self.desk.news(self.now()))

    def plan(self, zone: str = "works", hours: float = 2.0, level: str = "one") -> PermitPlan:
        at_us = self.now_us()
        return PermitPlan(zone, PermitLevel(level), at_us - SECOND_US, at_us + round(hours * 3.6e9), ("王强",),
                          "赵敏", "更换阀门焊接", "焊接工位", ("methane",), measures=PermitPolicy().measures)

    def working(self, permit: str = "HW-20260303-01") -> None:
        """A permit under which somebody works, done at the gateway."""
        self.on_site(permit, "create", "陈静", plan=self.plan())
        self.on_site(permit, "approve", "李娜")
        self.on_site(permit, "countersign", "孙波")
        self.on_site(permit, "sample", "钱宇", sample=GasSample(self.now_us(), 0.05, "钱宇", "methane"))
        self.on_site(permit, "watcher_on", "赵敏")
        self.on_site(permit, "start", "王强")

    def up(self, *bodies: Body, path: str = WORKS, lane: Lane = Lane.ALARM) -> None:
        with self.lock:
            at_us, records = self.now_us(), []
            for body in bodies:
                number = 0
                if not isinstance(body, HeartbeatRecord):
                    number = self.numbers[path + lane] = self.numbers.get(path + lane, 0) + 1
                records.append(Record(number, at_us, at_us, "b", body))
            gateway = self.inventories[path].site.gateway.id
            self.take(UpEnvelope(path, at_us, Batch(1, gateway, "e1", lane, tuple(records))))

    def beat(self, path: str = WORKS, lost: int = 0) -> None:
        devices = len(self.inventories[path].devices)
        self.up(HeartbeatRecord(self.now_us(), {}, devices, devices - lost), path=path)

    def say_numbers(self, numbers: dict, path: str = WORKS, **report: object) -> None:
        """A heartbeat in which the gateway says which numbers of rules run."""
        devices = len(self.inventories[path].devices)
        said = NumbersReport(digest_of(numbers), **report)
        self.up(HeartbeatRecord(self.now_us(), {}, devices, devices, numbers=said), path=path)

    def read(self, point: str, value: float | bool, path: str = WORKS, ago_s: float = 0.0) -> None:
        unit, at_us = self.inventories[path].points[point].unit, self.now_us() - round(ago_s * SECOND_US)
        reading = Reading(point, value, unit, source_time_us=at_us, receive_time_us=at_us)
        self.up(ReadingsRecord((reading,)), path=path, lane=Lane.TELEMETRY)

    def tick(self, path: str = WORKS, ahead_s: float = 3.0) -> None:
        with self.lock:
            effects = self.workers[path].tick(self.now_us() + round(ahead_s * SECOND_US))
            self.commit(path, effects.changes, self.sequence, tick=True)

    def alarm(self, rule: str, point: str, hazard: Hazard, path: str = WORKS, *, ago_s: float = 0.0,
              severity: Severity = Severity.ALARM) -> str:
        """One alarm of one point; returns its incident."""
        known = self.inventories[path].points[point]
        at_us = self.now_us() - round(ago_s * SECOND_US)
        key = AlarmKey(rule, point)
        self.up(AlarmRecord(AlarmTransition(
            alarm_id(path, key, at_us), key, AlarmState.RAISED, AlarmState.INACTIVE, hazard, severity, at_us, at_us,
            known.zone, known.device.id, (point,), f"{known.spec.id} true", latched=hazard is Hazard.FIRE)),
            path=path)
        return self.workers[path].incident_of(f"{key.rule}|{key.subject}")
