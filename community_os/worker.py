"""Worker (I/O): reads the stream by sequence, lets each site's SiteWorker decide, stores what they say.

    stream ──► group of what waits (≤ 200) ──► SiteWorker.step … ──► one transaction ──► nudge, commands
                                                                        │ then, at most once a second and site
                                                                        ▼
                                       checkpoint: KV key per site, written with the expected revision

A lease on a partition is only a wish; the revision decides. Whoever is refused one stops at once ("fenced"). What
a dead worker had stored but not checkpointed is replayed, and the store skips what it already has. One message that
cannot be applied is kept as a dead letter and its site goes on without it; others do not notice.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec
import structlog

from community_os.board_service import NUDGE_TOPIC, Nudge
from community_os.envelopes import PARTITIONS, Envelope, UpEnvelope, decode_envelope, partition_of
from community_os.site_effects import Effects, SendCommand
from community_os.site_setup import SiteSetup
from community_os.site_worker import SiteWorker
from community_os.store import IncidentStore, StoreCalls
from community_os.store_changes import DeadLetter, ImpairmentRow, SiteCommit
from device_model.clock import SECOND_US, Clock
from device_model.errors import LocalFault, PeerError, PeerRefused, RowRefused
from device_model.impairment import Impairment, ImpairmentChange, ImpairmentKind
from device_model.messages import WIRE_VERSION, Batch, Down, Lane, encode
from device_model.ports import MessageLink, StaleRevision, Stream, StreamMessage
from device_model.read_models import ImpairmentView
from device_model.site import Tenancy, Text

T = TypeVar("T")
TakeEvidence = Callable[[str, Batch], Awaitable[Batch]]
GROUP_MAX = 200  # messages of one transaction: about 50 ms of work
QUEUE_MAX = 2 * GROUP_MAX  # read ahead by one group; the stream holds the rest
CHECKPOINT_MESSAGES = 200  # a site is checkpointed after so many messages …
SINCE_MAX = 4000  # messages of one site since its last checkpoint, kept to rebuild it
CHECKPOINT_EVERY_S = 1.0  # … or so many (real) seconds, whatever comes first
POSITION_EVERY_S = 5.0
REFUSED_PAUSE_US = 60 * SECOND_US
PUTS_AT_ONCE = 32
OUTGOING_MAX = 1000  # commands are repeated and nudges are only hints: the oldest go first
TICK_S = 1.0  # shown time: timers of people and gateways live in it
RETRY_S = (0.1, 0.5, 2.0, 5.0)
CANCEL_AGAIN_S = 1.0

_log = structlog.get_logger("tocsin.worker")


class Fenced(Exception):
    """Another worker has written since: this one must stop."""


class _SiteCheckpoint(msgspec.Struct, frozen=True):
    """One KV value: up to which stream sequence, and the site's state."""

    sequence: int
    state: msgspec.Raw


class _Position(msgspec.Struct, frozen=True):
    """Up to which stream sequence all sites of a partition are checkpointed."""

    sequence: int


class _Site:
    """One site as its partition runs it."""

    def __init__(self, setup: SiteSetup, worker: SiteWorker) -> None:
        self.setup, self.worker = setup, worker
        self.sequence = 0
        self.saved_sequence = 0
        self.saved: bytes | None = None
        self.revision = 0
        self.saved_us = 0
        self.dirty = True
        self.isolated = ""
        # A write whose answer did not come is repeated as it was, so that its own success is recognised.
        self.in_flight: tuple[bytes, _SiteCheckpoint] | None = None
        self.since: deque[tuple[int, Envelope]] = deque()

    @property
    def key(self) -> str:
        return f"site.{self.setup.path.replace('/', '.')}"


class Worker:
    """All partitions that this process works on."""

    def __init__(
        self, stream: Stream, store: IncidentStore, *, calls: StoreCalls, link: MessageLink,
        sites: Mapping[str, SiteSetup], clock: Clock, partitions: int = PARTITIONS,
        mine: Iterable[int] | None = None, speed: float = 1.0, evidence: TakeEvidence | None = None,
    ) -> None:
        """evidence: takes the files out of batches. sites: by tenancy path. mine: which partitions; all by default.
        speed: shown seconds per real one."""
        self._parts = [
            PartitionWorker(stream, store, calls=calls, link=link, clock=clock, partition=number, speed=speed,
                            evidence=evidence, sites={
                path: setup for path, setup in sites.items() if partition_of(Tenancy.of(path), partitions) == number
            })
            for number in (range(partitions) if mine is None else mine)
        ]

    async def run(self) -> None:
        """Work until cancelled. A fenced partition stops by itself; LocalFault when all are fenced."""
        async with asyncio.TaskGroup() as group:
            for part in self._parts:
                group.create_task(self._run(part))
        raise LocalFault("another worker has taken over all partitions; stop one of the two")

    async def _run(self, part: PartitionWorker) -> None:
        try:
            await part.run()
        except Fenced as error:
            _log.error("fenced: another worker has taken over", partition=part.partition, key=str(error))


class PartitionWorker:
    """One partition: its sites, its place in the stream."""

    def __init__(
        self, stream: Stream, store: IncidentStore, *, calls: StoreCalls, link: MessageLink,
        sites: Mapping[str, SiteSetup], clock: Clock, partition: int, speed: float = 1.0,
        evidence: TakeEvidence | None = None,
    ) -> None:
        self.partition, self._evidence = partition, evidence
        self._stream, self._store, self._calls, self._link = stream, store, calls, link
        self._setups, self._clock, self._speed = sites, clock, speed
        self._sites: dict[str, _Site] = {}
        self._queue: asyncio.Queue[StreamMessage | None] = asyncio.Queue(QUEUE_MAX)
        self._outgoing: deque[SendCommand | Nudge] = deque(maxlen=OUTGOING_MAX)
        self._outgoing_wake = asyncio.Event()
        self._read = 0
        self._position, self._position_revision, self._position_us = -1, 0, 0
        self._position_flight: int | None = None
        self._tick_due = False
        self._target, self._caught_up, self._quiet, self._shown = 0, False, False, False
        self.buried = 0

    async def run(self) -> None:
        """Take over the partition and work until cancelled. Raises Fenced."""
        self._target = await self._insist(self._stream.last_sequence)
        start = await self._take_over()
        tasks = [asyncio.ensure_future(job) for job in (
            self._reader(start), self._ticker(), self._sender(), self._work())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            # Again and again: asyncio.wait_for of Python 3.11, which the NATS client uses, may swallow one.
            while pending := [task for task in tasks if not task.done()]:
                for task in pending:
                    task.cancel()
                await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
            await asyncio.gather(*tasks, return_exceptions=True)

    # --- taking over --------------------------------------------------------------------------------------

    async def _take_over(self) -> int:
        """Resume every site from its checkpoint; returns the sequence to read after."""
        now_us = self._clock.now().wall_us
        kept = await self._insist(lambda: self._stream.get(self._position_key))
        position = msgspec.json.decode(kept[0], type=_Position).sequence if kept else 0
        self._position_revision = kept[1] if kept else 0
        starts = [position]
        for path, setup in self._setups.items():
            site = self._sites[path] = _Site(setup, setup.worker(now_us))
            value = await self._insist(functools.partial(self._stream.get, site.key))
            if value is None or not self._resume(site, value[0]):
                # A site that is new here may have messages from before it was configured.
                starts.append(0)
            site.revision = value[1] if value else 0
            site.worker.listen_from(now_us)
        self._read = min(starts)
        self._position = -1  # written at once: whoever worked here before is fenced by it
        await self._save_position(self._read)
        _log.info("partition taken", partition=self.partition, sites=len(self._sites), after=self._read)
        return self._read

    def _resume(self, site: _Site, value: bytes) -> bool:
        try:
            kept = msgspec.json.decode(value, type=_SiteCheckpoint)
            site.worker.resume(bytes(kept.state))
        except (ValueError, KeyError) as error:
            _log.error("a checkpoint cannot be read; the site is rebuilt from the stream", site=site.setup.path,
                       reason=str(error))
            site.worker = site.setup.worker(self._clock.now().wall_us)
            return False
        site.sequence = site.saved_sequence = kept.sequence
        site.saved = bytes(kept.state)
        site.dirty = False
        return True

    # --- the loop -----------------------------------------------------------------------------------------

    async def _reader(self, after: int) -> None:
        async for message in self._stream.read(after, f"site.{self.partition}.>"):
            await self._queue.put(message)

    async def _ticker(self) -> None:
        while True:
            await self._clock.sleep(TICK_S)
            self._tick_due = True  # not only in the queue: a full one must not stop time
            if self._queue.empty():
                self._queue.put_nowait(None)

    async def _work(self) -> None:
        while True:
            group = [await self._queue.get()]
            while len(group) < GROUP_MAX and not self._queue.empty():
                group.append(self._queue.get_nowait())
            commits: list[SiteCommit] = []
            for message in group:
                if message is not None:
                    self._quiet = False
                    await self._apply(message, commits)
            ticked, self._tick_due = self._tick_due, False
            if ticked:
                self._tick(commits)
            await self._store_commits(commits)
            if commits or ticked:
                self._send(Nudge(self.partition, self._read))
            await self._checkpoint()

    async def _apply(self, message: StreamMessage, commits: list[SiteCommit]) -> None:
        self._read = max(self._read, message.sequence)
        try:
            envelope = decode_envelope(message.payload)
        except ValueError as error:
            await self._bury(message, "", f"not an envelope: {error}")
            return
        site = self._sites.get(envelope.path)
        if site is None:
            await self._bury(message, envelope.path, "this site is not configured")
            return
        if message.sequence <= site.sequence or site.isolated:
            return
        if self._evidence is not None and isinstance(envelope, UpEnvelope) and envelope.batch.lane is Lane.EVIDENCE:
            envelope = msgspec.structs.replace(
                envelope, batch=await self._evidence(envelope.path, envelope.batch))
        try:
            effects = site.worker.step(envelope)
        except Exception as error:  # noqa: BLE001  # one message must never stop a partition: it is buried and said
            _log.exception("a message could not be applied", site=envelope.path, sequence=message.sequence)
            await self._bury(message, envelope.path, f"{type(error).__name__}: {error}")
            effects = self._rebuild(site, error)
        else:
            site.since.append((message.sequence, envelope))
        if not site.isolated:
            site.sequence = message.sequence
        site.dirty = True
        commits.append(self._commit(site, effects, tick=bool(site.isolated)))

    def _rebuild(self, site: _Site, error: Exception) -> Effects:
        """The site as it was before the message that spoilt it, and the impairment that says so."""
        now_us = self._clock.now().wall_us
        found = Impairment(ImpairmentKind.FAULT, "cloud-worker", now_us,
                           why=f"a message could not be applied: {type(error).__name__}: {error}"[:300])
        try:
            worker = site.setup.worker(now_us)
            if site.saved is not None:
                worker.resume(site.saved)
            for _, envelope in site.since:
                worker.step(envelope)
            site.worker = worker
            return worker.lack(ImpairmentChange(found))
        except Exception as second:  # noqa: BLE001  # the site stands still, its messages stay in the stream; others go on
            _log.exception("a site is isolated", site=site.setup.path)
            site.isolated = f"{type(second).__name__}: {second}"
            site.dirty = False
            where = site.setup.inventory.site
            view = ImpairmentView(where.tenancy, where.name, Text("", ""), Text("cloud", "云端"), found)
            return Effects([ImpairmentRow(site.setup.path, found.kind, found.subject, view)], [], [])

    def _tick(self, commits: list[SiteCommit]) -> None:
        # Old messages come before new time: until what was stored before the start is read (or nothing of it is
        # for this partition, so that a whole tick passes without a message) time stands still.
        self._caught_up = self._caught_up or self._quiet or self._read >= self._target
        self._quiet = True
        if not self._caught_up:
            return
        if not self._shown:
            # Not before: a checkpoint may be older than the rows, and the store skips what it has of a replay.
            self._shown = True
            commits += [self._commit(site, site.worker.first_rows(), tick=True)
                        for site in self._sites.values() if not site.isolated]
        now_us = self._clock.now().wall_us
        for site in self._sites.values():
            if site.isolated or site.worker.due_us() > now_us:
                continue
            try:
                effects = site.worker.tick(now_us)
            except Exception as error:  # noqa: BLE001  # as in _apply: one site's fault is its own
                _log.exception("time could not pass for a site", site=site.setup.path)
                effects = self._rebuild(site, error)
            site.dirty = True
            commits.append(self._commit(site, effects, tick=True))

    def _commit(self, site: _Site, effects: Effects, *, tick: bool = False) -> SiteCommit:
        for command in effects.commands:
            self._send(command)
        for notice in effects.notices:
            _log.info("notice", site=notice.path, incident=notice.incident, what=notice.what)
        return SiteCommit(site.setup.path, site.sequence, tuple(effects.changes), tick)

    # --- storing ------------------------------------------------------------------------------------------

    async def _store_commits(self, commits: Sequence[SiteCommit]) -> None:
        """One transaction; repeated until it succeeds, while the stream holds what comes."""
        wanted = [commit for commit in commits if commit.changes or not commit.tick]
        if not wanted:
            return
        try:
            await self._insist_store(lambda: self._store.apply(wanted))
        except RowRefused:
            for commit in wanted:
                await self._store_alone(commit)

    async def _store_alone(self, commit: SiteCommit) -> None:
        """One commit by itself: what the store will never take is buried, so that the other sites' rows go on."""
        try:
            await self._insist_store(functools.partial(self._store.apply, [commit]))
        except RowRefused as error:
            self.buried += 1
            _log.error("rows that the store refuses", site=commit.path, sequence=commit.sequence, reason=str(error))
            letter = DeadLetter(commit.sequence, "rows", commit.path, self._clock.now().wall_us, str(error),
                                msgspec.json.encode([msgspec.to_builtins(change) for change in commit.changes]))
            await self._insist_store(lambda: self._store.bury(letter))
            await self._insist_store(lambda: self._store.apply([SiteCommit(commit.path, commit.sequence, ())]))

    async def _bury(self, message: StreamMessage, path: str, error: str) -> None:
        self.buried += 1
        letter = DeadLetter(message.sequence, message.subject, path, self._clock.now().wall_us, error,
                            message.payload)
        _log.error("dead letter", sequence=message.sequence, subject=message.subject, reason=error)
        await self._insist_store(lambda: self._store.bury(letter))

    async def _insist_store(self, call: Callable[[], object]) -> None:
        attempt = 0
        while True:
            try:
                await self._calls(call)
            except RowRefused:
                raise
            except LocalFault as error:
                _log.error("the store does not take it; trying again", reason=str(error), attempt=attempt)
                await self._clock.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)] * self._speed)
                attempt += 1
            else:
                return

    async def _checkpoint(self) -> None:
        now_us = self._clock.now().mono_us
        every_us = CHECKPOINT_EVERY_S * self._speed * SECOND_US
        while any(len(site.since) >= SINCE_MAX and not site.isolated for site in self._sites.values()):
            # Without checkpoints the past cannot be let go: what comes waits in the stream.
            for site in [site for site in self._sites.values() if len(site.since) >= SINCE_MAX]:
                await self._save(site, now_us)
            await self._clock.sleep(RETRY_S[0] * self._speed)
        due = [
            site for site in self._sites.values() if not site.isolated
            and (site.in_flight is not None or (site.dirty and (
                len(site.since) >= CHECKPOINT_MESSAGES or now_us - site.saved_us >= every_us)))
        ]
        for start in range(0, len(due), PUTS_AT_ONCE):
            await asyncio.gather(*(self._save(site, now_us) for site in due[start:start + PUTS_AT_ONCE]))
        if now_us - self._position_us >= POSITION_EVERY_S * self._speed * SECOND_US:
            behind = [site.saved_sequence for site in self._sites.values()
                      if site.isolated or site.sequence > site.saved_sequence]
            await self._save_position(min([self._read, *behind]))

    async def _save(self, site: _Site, now_us: int) -> None:
        if site.in_flight is None:
            kept = _SiteCheckpoint(site.sequence, msgspec.Raw(site.worker.checkpoint()))
            site.in_flight = (msgspec.json.encode(kept), kept)
            site.dirty = False
        value, kept = site.in_flight
        try:
            site.revision = await self._stream.put(site.key, value, expected_revision=site.revision)
        except StaleRevision as error:
            raise Fenced(site.key) from error
        except PeerRefused as error:
            # Too large, say. The site goes on; a restart would replay its messages from the last one written.
            _log.error("a checkpoint was refused", site=site.setup.path, bytes=len(value), reason=str(error))
            site.in_flight, site.saved, site.saved_us = None, bytes(kept.state), now_us + REFUSED_PAUSE_US
            site.since.clear()
            return
        except PeerError as error:
            _log.warning("a checkpoint was not written; trying again", site=site.setup.path, reason=str(error))
            return
        site.in_flight = None
        site.saved, site.saved_sequence, site.saved_us = bytes(kept.state), kept.sequence, now_us
        while site.since and site.since[0][0] <= kept.sequence:
            site.since.popleft()

    @property
    def _position_key(self) -> str:
        return f"position.{self.partition}"

    async def _save_position(self, sequence: int) -> None:
        self._position_us = self._clock.now().mono_us
        if self._position_flight is None:
            if sequence == self._position:
                return
            self._position_flight = sequence
        value = msgspec.json.encode(_Position(self._position_flight))
        try:
            self._position_revision = await self._stream.put(
                self._position_key, value, expected_revision=self._position_revision)
        except StaleRevision as error:
            raise Fenced(self._position_key) from error
        except PeerError as error:
            _log.warning("the position was not written; trying again", reason=str(error))
            return
        self._position, self._position_flight = self._position_flight, None

    # --- outward ------------------------------------------------------------------------------------------

    def _send(self, what: SendCommand | Nudge) -> None:
        self._outgoing.append(what)
        self._outgoing_wake.set()

    async def _sender(self) -> None:
        while True:
            await self._outgoing_wake.wait()
            self._outgoing_wake.clear()
            while self._outgoing:
                what = self._outgoing.popleft()
                try:
                    if isinstance(what, Nudge):
                        await self._link.publish(NUDGE_TOPIC, msgspec.json.encode(what))
                    else:
                        down = encode(Down(WIRE_VERSION, what.command))
                        await self._link.publish(what.address.down("command"), down)
                except PeerError:
                    # Commands come again every 5 s until answered, nudges with the next commit or tick.
                    _log.debug("not sent", what=type(what).__name__)

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        attempt = 0
        while True:
            try:
                return await call()
            except PeerError as error:
                _log.warning("the stream does not answer; trying again", reason=str(error))
                await self._clock.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)] * self._speed)
                attempt += 1
