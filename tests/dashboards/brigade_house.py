"""The demo's two sites with their real workers, store, board and pages in one process: only the broker is left out.

    page ──HTTP──► create_app ──► BoardService ──► StraightStream ──► SiteWorker ──► store ──► BoardService ──SSE──►
"""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn

from community_os.board_service import BoardService
from community_os.brigade_service import BrigadeService
from community_os.envelopes import Envelope, UpEnvelope, decode_envelope
from community_os.notice_desk import DutyFiles
from community_os.place_shelf import PlaceShelf
from community_os.site_setup import SiteSetup
from community_os.site_worker import SiteWorker
from community_os.store import IncidentStore, inline
from community_os.store_changes import SiteCommit
from dashboards.people import SignIn
from dashboards.server import create_app
from device_model.alarm import AlarmKey, AlarmState, AlarmTransition, Hazard, Severity, alarm_id
from device_model.clock import SECOND_US
from device_model.library import read_inventory, read_text
from device_model.messages import AlarmRecord, Batch, Body, HeartbeatRecord, Lane, ReadingsRecord, Record
from device_model.reading import Reading
from device_model.system_clock import SystemClock
from rules_engine.duty_file import parse_duty
from rules_engine.response_file import parse_response
from rules_engine.routing_file import parse_routing

ROOT = Path(__file__).parents[2]
SITES = ROOT / "demo/sites"
EXAMPLES = ROOT / "examples/routing"
FILES = DutyFiles(
    parse_routing(read_text(EXAMPLES / "estate.yaml"), "estate.yaml"),
    parse_duty(read_text(EXAMPLES / "duty.yaml"), "duty.yaml"),
    parse_response(read_text(EXAMPLES / "response.yaml"), "response.yaml"))
RIVERSIDE = "hangzhou/yuhang/cangqian/riverside"
LAKESIDE = "hangzhou/yuhang/cangqian/lakeside"
VALUES = {"temperature": 24.5, "obscuration": 0.02, "co": 2.0, "level": 2.4, "humidity": 55.0, "voltage": 231.0,
          "power": 420.0, "current": 1.9, "energy": 1204.0, "illuminance": 180.0, "sound_level": 41.0}


class StraightStream:
    """A stream whose only reader is the house itself."""

    def __init__(self, house: BrigadeHouse) -> None:
        self._house, self._seen = house, dict[str, int]()

    async def publish(self, subject: str, payload: bytes, *, message_id: str) -> int:
        if message_id not in self._seen:
            self._seen[message_id] = self._house.take(decode_envelope(payload))
        return self._seen[message_id]


class CutBoard(BoardService):
    """A board whose heartbeats can be cut off."""

    cut = False

    @property
    def live(self) -> bool:
        return super().live and not self.cut


class BrigadeHouse:
    """Serve with `start`, feed with `fire`, `read`; end with `stop`."""

    def __init__(self, sign_in: SignIn | None = None, *, store: IncidentStore | None = None) -> None:
        # A file: pages and tests use it from threads of their own, which one connection in memory cannot serve.
        self.folder = TemporaryDirectory(prefix="tocsin-house-")
        self.store = store or IncidentStore(f"sqlite:///{self.folder.name}/incidents.sqlite")
        self.store.open()
        self.clock = SystemClock()
        self.workers: dict[str, SiteWorker] = {}
        self.inventories = {}
        self.sequence = 0
        self.numbers: dict[tuple[str, Lane], int] = {}
        self.lock = threading.RLock()
        shelf = PlaceShelf()
        for name in ("riverside", "lakeside"):
            inventory = read_inventory(SITES / f"{name}.yaml")
            setup = SiteSetup(inventory, None, FILES)
            shelf.take(setup, str(SITES / f"{name}.yaml"))
            self.inventories[setup.path] = inventory
            self.workers[setup.path] = setup.worker(self.now_us())
            self.commit(setup.path, self.workers[setup.path].first_rows().changes, 0)
        self.board = CutBoard(self.store, inline, StraightStream(self), self.clock)
        self.brigade = BrigadeService(self.store, inline, shelf, self.clock)
        self.app = create_app(self.board, clock=self.clock, sign_in=sign_in, work=self.board, brigade=self.brigade)

    # --- serving ------------------------------------------------------------------------------------------

    def start(self) -> BrigadeHouse:
        self._server = uvicorn.Server(uvicorn.Config(
            self.app, host="127.0.0.1", port=0, log_level="error", timeout_graceful_shutdown=1, lifespan="off"))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        ready = threading.Event()
        while not self._server.started:
            ready.wait(0.02)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
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

    def commit(self, path: str, changes: list, sequence: int, *, tick: bool = False) -> None:
        self.store.apply([SiteCommit(path, sequence, tuple(changes), tick=tick)])

    def take(self, envelope: Envelope) -> int:
        with self.lock:
            self.sequence += 1
            effects = self.workers[envelope.path].step(envelope)
            self.commit(envelope.path, effects.changes, self.sequence)
            return self.sequence

    def tick(self, path: str = RIVERSIDE, ahead_s: float = 0.0) -> None:
        with self.lock:
            effects = self.workers[path].tick(self.now_us() + round(ahead_s * SECOND_US))
            self.commit(path, effects.changes, self.sequence, tick=True)

    def up(self, *bodies: Body, path: str = RIVERSIDE, lane: Lane = Lane.ALARM) -> None:
        with self.lock:
            at_us, records = self.now_us(), []
            for body in bodies:
                number = 0
                if not isinstance(body, HeartbeatRecord):
                    number = self.numbers[path, lane] = self.numbers.get((path, lane), 0) + 1
                records.append(Record(number, at_us, at_us, "b", body))
            gateway = self.inventories[path].site.gateway.id
            self.take(UpEnvelope(path, at_us, Batch(1, gateway, "e1", lane, tuple(records))))

    def quiet(self, path: str = RIVERSIDE, *, but: tuple[str, ...] = (), postponed: int = 0) -> None:
        """Ordinary values of all devices but some, a minute of them, and a heartbeat."""
        at_us, readings = self.now_us(), []
        for back_s in (60, 45, 30, 15, 2):
            for point in self.inventories[path].points.values():
                if point.device.id in but or point.quantity in ("state_code", "count", "battery"):
                    continue
                value = VALUES.get(point.quantity, False if point.unit == "1" else 1.0)
                at = at_us - back_s * SECOND_US
                readings.append(Reading(point.name, value, point.unit, source_time_us=at, receive_time_us=at))
        devices = len(self.inventories[path].devices)
        self.up(ReadingsRecord(tuple(readings)), path=path, lane=Lane.TELEMETRY)
        self.up(HeartbeatRecord(at_us, {}, devices, devices - len(but), backlog=postponed, postponed=postponed),
                path=path)

    def read(self, point: str, value: float | bool, path: str = RIVERSIDE) -> None:
        unit, at_us = self.inventories[path].points[point].unit, self.now_us()
        reading = Reading(point, value, unit, source_time_us=at_us, receive_time_us=at_us)
        self.up(ReadingsRecord((reading,)), path=path, lane=Lane.TELEMETRY)

    def alarm(self, point: str, hazard: Hazard = Hazard.FIRE, path: str = RIVERSIDE, *, ago_s: float = 0.0,
              state: AlarmState = AlarmState.RAISED, test: bool = False) -> str:
        """One alarm of one point; returns its incident."""
        known = self.inventories[path].points[point]
        at_us = self.now_us() - round(ago_s * SECOND_US)
        key = AlarmKey(f"{hazard.value}.{known.spec.id}", point)
        severity = Severity.CRITICAL if hazard is Hazard.FIRE else Severity.ALARM
        self.up(AlarmRecord(AlarmTransition(
            alarm_id(path, key, at_us), key, state, AlarmState.INACTIVE, hazard, severity, at_us, at_us, known.zone,
            known.device.id, (point,), f"{known.spec.id} true", latched=True, test=test)), path=path)
        return self.workers[path].incident_of(f"{key.rule}|{key.subject}")
