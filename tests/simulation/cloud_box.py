"""CloudBox: the cloud's machine: production Ingest and Worker on models of broker and stream; the real store.

    BrokerModel ─► Ingest ─► StreamModel ─► Worker ─► IncidentStore (SQLite in memory, inline)
       ▲  ack ◄─────┘                        │ commands
       └─────────────────────────────────────┘
A process that dies keeps its handles, which are dead: they never answer again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from random import Random
from typing import TypeVar

import msgspec

from community_os.envelopes import ActEnvelope, UpEnvelope, decode_envelope, encode_envelope, subject_of
from community_os.ingest import Ingest
from community_os.nats_link import ALL_UPLINKS
from community_os.site_setup import SiteSetup
from community_os.store import IncidentStore
from community_os.store_changes import IncidentRow, SiteCommit
from community_os.worker import Worker
from device_model.messages import decode_batch
from device_model.ports import StreamMessage
from device_model.read_models import GatewayView, IncidentAction
from device_model.site import Tenancy
from tests.simulation.estate import estate
from tests.simulation.gateway_box import WORLD_WALL_US
from tests.simulation.models.stream_model import GOOD, StreamFault, StreamModel
from tests.simulation.trace import Trace
from tests.simulation.witness import Witness
from trial.link_model import BrokerModel, LinkModel
from trial.virtual_time import VirtualClock, VirtualLoop

T = TypeVar("T")
PARTITIONS = 2


class ProcessHandle:
    """A process's stream client and database calls; once dead they never answer."""

    def __init__(self, stream: StreamModel, name: str, trace: Trace) -> None:
        self._stream, self._name, self._trace = stream, name, trace
        self.dead = False

    async def _alive(self) -> None:
        if self.dead:
            await asyncio.get_running_loop().create_future()

    async def publish(self, subject: str, payload: bytes, *, message_id: str) -> int:
        """See device_model.ports.Stream."""
        await self._alive()
        sequence = await self._stream.publish(subject, payload, message_id=message_id)
        await self._alive()
        return sequence

    async def read(self, after: int, subject_filter: str) -> AsyncIterator[StreamMessage]:
        """See the port."""
        async for message in self._stream.read(after, subject_filter):
            await self._alive()
            yield message

    async def last_sequence(self) -> int:
        """See the port."""
        await self._alive()
        return await self._stream.last_sequence()

    async def get(self, key: str) -> tuple[bytes, int] | None:
        """See the port."""
        await self._alive()
        return await self._stream.get(key)

    async def put(self, key: str, value: bytes, *, expected_revision: int) -> int:
        """See the port."""
        await self._alive()
        revision = await self._stream.put(key, value, expected_revision=expected_revision)
        self._trace.note(self._name, "put", f"{key} {revision}", value)
        return revision

    async def calls(self, call: Callable[[], T]) -> T:
        """Runs a blocking store call here and now."""
        await self._alive()
        result = call()
        await self._alive()
        return result


class WatchedStore(IncidentStore):
    """The production store; tells the world of each commit, and lets it kill the worker right behind one."""

    def __init__(self, box: CloudBox) -> None:
        super().__init__("sqlite://")
        self._box = box

    def apply(self, commits: Sequence[SiteCommit]) -> int:
        """See IncidentStore."""
        fresh = super().apply(commits)
        self._box.stored(commits)
        return fresh


class CloudBox:
    """The cloud and everything in it."""

    def __init__(self, sites: Sequence[int], random: Random, loop: VirtualLoop, trace: Trace,
                 witness: Witness) -> None:
        self._random, self._loop, self._trace, self.witness = random, loop, trace, witness
        self.clock = VirtualClock(loop, "cloud", wall_us=WORLD_WALL_US)
        self.broker = BrokerModel(Random(random.getrandbits(64)), self.clock, latency_s=0.02)
        self.broker.probe = self._on_broker
        self.stream = StreamModel(self.clock)
        self.fault_rate = 0.0
        self._faults = Random(random.getrandbits(64))
        self.stream.server.decide = self._decide
        self.setups = {estate(n)[0].site.tenancy.path: SiteSetup(*estate(n)) for n in sites}
        self.site_of = {estate(n)[0].site.tenancy.path: n for n in sites}
        self.store = WatchedStore(self)
        self.store.open()
        self._client = self.stream.another()  # the pages'
        self.up: dict[str, bool] = {"ingest": False, "worker": False}
        self.since_us: dict[str, int] = {}
        self.worker_ready_us = 0  # when this life of the worker first stored something: it has taken over
        self.kill_worker_behind_commit = False
        self.errors: list[str] = []
        self.ingest: Ingest | None = None
        self.worker: Worker | None = None
        self._handles: dict[str, ProcessHandle] = {}
        self._links: dict[str, LinkModel] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._lives = 0
        self._contents: dict[tuple[str, str, str, int], bytes] = {}
        self._seen_stream = 0

    # -- processes ---------------------------------------------------------------------------------------------

    def start(self, role: str) -> None:
        """Start "ingest" or "worker"; no-op while it runs."""
        if self.up[role]:
            return
        self._lives += 1
        name = f"{role}-{self._lives}"
        self._trace.note(name, "start")
        handle = self._handles[role] = ProcessHandle(self.stream.another(), name, self._trace)
        link = self._links[role] = self.broker.link(name, (ALL_UPLINKS,) if role == "ingest" else ())
        run: Callable[[], Awaitable[None]]
        if role == "ingest":
            self.ingest = Ingest(link, handle, self.clock, writer=name, partitions=PARTITIONS)
            run = self.ingest.run
        else:
            self.worker = Worker(handle, self.store, calls=handle.calls, link=link, sites=self.setups,
                                 clock=self.clock, partitions=PARTITIONS)
            run = self.worker.run
        self.up[role], self.since_us[role] = True, self._loop.now_us
        if role == "worker":
            self.worker_ready_us = 0
        self._tasks[role] = asyncio.ensure_future(self._run(role, handle, run))

    async def _run(self, role: str, handle: ProcessHandle, run: Callable[[], Awaitable[None]]) -> None:
        detail = "it ended"
        try:
            await run()
        except Exception as error:  # the supervisor starts a role again whatever it died of; the checkers are told
            detail = f"{type(error).__name__}: {error}"
        if not handle.dead:
            self.errors.append(f"{role} ended by itself: {detail}")
            self.kill(role)
            await asyncio.sleep(1)
            self.start(role)

    def kill(self, role: str) -> None:
        """kill -9."""
        if not self.up[role]:
            return
        self._trace.note(role, "killed")
        self.up[role] = False
        self._handles[role].dead = True
        self._links[role].kill()
        self._tasks[role].cancel()

    def nats(self, *, up: bool) -> None:
        """The broker and the stream are one process."""
        self.broker.start() if up else self.broker.stop()
        self.stream.server.down = not up

    def _decide(self, _operation: str) -> StreamFault:
        if not self.fault_rate or self._faults.random() >= self.fault_rate:
            return GOOD
        draw = self._faults.random()
        if draw < 0.4:
            return StreamFault(delay_s=self._faults.random())
        return StreamFault(lost=True) if draw < 0.7 else StreamFault(answer_lost=True)

    # -- what is seen ------------------------------------------------------------------------------------------

    def _on_broker(self, what: str, client: str, topic: str, payload: bytes) -> None:
        self._trace.note(client or "broker", what, topic, payload)
        if what == "accepted" and "/up/" in topic:
            self._check_numbers(topic, payload)

    def _check_numbers(self, topic: str, payload: bytes) -> None:
        """A sequence number that anybody has seen never stands for other content."""
        batch = decode_batch(payload)
        site = topic.rsplit("/", 3)[0]
        for record in batch.records:
            if record.sequence:
                key = (site, batch.epoch, batch.lane.value, record.sequence)
                body = msgspec.json.encode(record)
                if self._contents.setdefault(key, body) != body:
                    self.witness.problem("numbers", f"{key} stands for other content than before")

    def stored(self, commits: Sequence[SiteCommit]) -> None:
        """The store took these."""
        self.worker_ready_us = self.worker_ready_us or self._loop.now_us
        for commit in commits:
            self._trace.note("store", "commit", f"{commit.path} {commit.sequence}",
                             msgspec.json.encode(commit.changes))
            for change in commit.changes:
                if isinstance(change, IncidentRow) and not change.view.drill:
                    self.witness.shown(self.site_of[commit.path], change.view)
        if self.kill_worker_behind_commit and any(commit.changes for commit in commits):
            self.kill_worker_behind_commit = False
            self.kill("worker")

    def look_at_stream(self) -> None:
        """Note when each site was last heard of in the stream."""
        messages = self.stream.server.messages
        for message in messages[self._seen_stream:]:
            if message.subject.endswith(".up"):
                path = "/".join(message.subject.split(".")[2:6])
                self.witness.last_up_us[path] = self._loop.now_us
                envelope = decode_envelope(message.payload)
                if isinstance(envelope, UpEnvelope):
                    self.witness.last_heard_us[path] = envelope.arrived_us - WORLD_WALL_US
        self._seen_stream = len(messages)

    # -- people ------------------------------------------------------------------------------------------------

    async def acknowledge(self, path: str) -> None:
        """The brigade acknowledges what is open and not acknowledged, as the board does it."""
        for view in self.store.snapshot(path, 0).incidents:
            if view.acknowledged_us:
                continue
            act = ActEnvelope(path, view.id, IncidentAction.ACKNOWLEDGE, "brigade", "", f"click-{view.id}",
                              self.clock.now().wall_us)
            try:
                await self._client.publish(subject_of(Tenancy.of(path), "act", PARTITIONS), encode_envelope(act),
                                           message_id=f"act-{act.request}")
            except Exception as error:  # the person sees that it failed and clicks again another day
                self._trace.note("brigade", "click lost", str(error))
            else:
                self.witness.acknowledged.append((self.site_of[path], view.id))

    def board(self) -> dict[str, GatewayView]:
        """What the board shows of gateways: path → view."""
        views = msgspec.json.decode(self.store.listed("gateways", ""), type=list[GatewayView])
        return {view.tenancy.path: view for view in views}
