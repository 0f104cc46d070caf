"""The board's service (I/O): reads the incident store, follows its changes, and carries clicks to the worker.

    worker ──commit──► change rows ──► follower ──encoded once──► one bounded queue per open page
       └──"tocsin-board" nudge (NATS) ───┘  (asks every second anyway)
    click ──ActEnvelope──► stream ──► worker ──► outcome row ──► answer to the page

A page that is too slow is told to take a new snapshot ("resync"), and nothing is held for it. When the store
cannot be read or a worker is not heard, heartbeats stop: pages then say that they are stale, which is true.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator

import msgspec
import structlog

from community_os.envelopes import (
    PARTITIONS,
    ActEnvelope,
    AnswerDutyEnvelope,
    DeedEnvelope,
    PermitEnvelope,
    PersonEnvelope,
    ShelfEnvelope,
    SilenceEnvelope,
    encode_envelope,
    subject_of,
)
from community_os.store import ChangeRow, IncidentStore, StoreCalls
from community_os.store_changes import row_id
from device_model.clock import SECOND_US, Clock
from device_model.errors import LocalFault, PeerError
from device_model.incident_deeds import Deed, StartDrill, TakeIn
from device_model.inspection import InspectionDeed
from device_model.permit import PermitStep
from device_model.ports import MessageLink, Stream
from device_model.read_models import ActionOutcome, BoardEvent, BoardSnapshot, IncidentAction, IncidentView
from device_model.site import Tenancy

NUDGE_TOPIC = "tocsin-board"
SIDE_LISTS = ("impairments", "gateways", "gaps", "proofs", "duties")
AT_ONCE = ("impairments", "duties")  # lists that do not wait for the next round
# All in real seconds; the constructor's `speed` turns them into the clock's.
POLL_S = 0.5
HEARTBEAT_S = 1.0
OUTCOME_WITHIN_S = 5.0
OUTCOME_POLL_S = 0.03
WORKER_SILENT_S = 5.0
# An event is 1–40 kB; a page that is 128 behind does better with a snapshot.
QUEUE_MAX = 128
# Snapshots that are kept while nothing changes, one a scope; a district has a few dozen scopes of readers.
SCOPES_KEPT = 64
# Of how many incidents the last sent card is known; beyond it cards are sent once more than needed.
CARDS_KEPT = 20_000
# How many changes are read in one go; a bigger backlog takes several rounds.
CHANGES_MAX = 500

_log = structlog.get_logger("tocsin.board")


class Nudge(msgspec.Struct, frozen=True):
    """A worker is alive, and may have committed something. last: its sequence."""

    partition: int
    last: int = 0


class _CardId(msgspec.Struct, frozen=True):
    """The only part of a card that is read here."""

    id: str


class _Page:
    """One open page: its scope and what waits for it."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.waiting: deque[BoardEvent] = deque()
        self.wake = asyncio.Event()
        self.over = False

    def offer(self, event: BoardEvent) -> None:
        if self.over:
            return
        if len(self.waiting) >= QUEUE_MAX:
            self.waiting.clear()
            self.over = True
            event = BoardEvent(event.revision, "resync", b"{}")
        self.waiting.append(event)
        self.wake.set()


class BoardService:
    """Implements `device_model.read_models.Board`. `run()` must be running for events to flow."""

    def __init__(
        self, store: IncidentStore, calls: StoreCalls, stream: Stream, clock: Clock, *,
        nudges: MessageLink | None = None, partitions: int = PARTITIONS, speed: float = 1.0,
    ) -> None:
        """speed: shown seconds per real second of `clock`: pages and time-outs live in real time."""
        self._store, self._calls, self._stream, self._clock = store, calls, stream, clock
        self._nudges, self._partitions, self._speed = nudges, partitions, speed
        self._pages: set[_Page] = set()
        self._revision = 0
        self._wake = asyncio.Event()
        self._dirty: set[str] = set()
        self._heard: dict[int, int] = {}
        self._store_ok = False
        self._reading = asyncio.Lock()
        self._snapshots: dict[str, BoardSnapshot] = {}
        self._sent: dict[str, bytes] = {}

    # --- reading ------------------------------------------------------------------------------------------

    async def snapshot(self, scope: str, *, whole: bool = False) -> BoardSnapshot:
        """All that the board of that scope shows; whole: with timelines, plots and values of every incident."""
        at_us = self._clock.now().wall_us
        if whole:
            return await self._calls(lambda: self._store.snapshot(scope, at_us, whole=True))
        # When a server comes back a thousand pages ask at once: one reads, the others take what it read, as long as
        # nothing has changed since. Events after its revision follow to each.
        async with self._reading:
            known = self._snapshots.get(scope)
            if known is not None and self._store_ok and 0 < self._revision <= known.revision:
                return msgspec.structs.replace(known, at_us=at_us)
            view = await self._calls(lambda: self._store.snapshot(scope, at_us, whole=False))
            if len(self._snapshots) >= SCOPES_KEPT:
                self._snapshots.clear()
            self._snapshots[scope] = view
            return view

    async def incident(self, incident: str, scope: str) -> IncidentView | None:
        """One incident, also an ended one, or None."""
        return await self._calls(lambda: self._store.incident(incident, scope))

    async def events(self, scope: str, after: int) -> AsyncIterator[BoardEvent]:
        """Changes after that revision as they come, and a heartbeat every second while all is well."""
        page = _Page(scope)
        self._pages.add(page)
        try:
            reached = self._revision
            missed = await self._missed(after, reached)
            if missed is None:
                yield BoardEvent(reached, "resync", b"{}")
                return
            for event in missed:
                if _within(event[0], scope):
                    yield event[1]
            for kind in SIDE_LISTS:
                # A list may have changed just before the snapshot's revision and not been sent yet.
                yield BoardEvent(reached, kind, await self._listed(kind, scope))
            while True:
                while page.waiting:
                    event_ = page.waiting.popleft()
                    yield event_
                    if event_.kind == "resync":
                        return
                page.wake.clear()
                await page.wake.wait()
        finally:
            self._pages.discard(page)

    async def _missed(self, after: int, reached: int) -> list[tuple[str, BoardEvent]] | None:
        """(site path, event) of incident changes after..reached; None when a snapshot is the better answer."""
        if after == reached:
            return []
        changes = await self._calls(lambda: self._store.changes_after(after, CHANGES_MAX))
        if changes is None or len(changes) == CHANGES_MAX:
            return None
        return await self._incident_events([change for change in changes if change.revision <= reached])

    async def _incident_events(self, changes: list[ChangeRow]) -> list[tuple[str, BoardEvent]]:
        """Each changed incident once, at its latest change, encoded once for all pages."""
        latest = {change.id: change for change in changes if change.kind == "incident"}
        events = []
        for change in sorted(latest.values(), key=lambda c: c.revision):
            payload = await self._card(change.id)
            if payload is not None:
                events.append((change.tenancy.path, BoardEvent(change.revision, "incident", payload)))
        return events

    async def _card(self, incident: str) -> bytes | None:
        return await self._calls(lambda: self._store.encoded_card(incident))

    async def _listed(self, kind: str, scope: str) -> bytes:
        return await self._calls(lambda: self._store.listed(kind, scope))

    # --- following ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the store until cancelled."""
        started = self._clock.now().mono_us
        self._heard = dict.fromkeys(range(self._partitions), started)
        await self._begin()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._poll())
            group.create_task(self._beat())
            if self._nudges is not None:
                group.create_task(self._listen(self._nudges))

    async def _begin(self) -> None:
        """Start at the present revision; waits for the store where it does not answer yet."""
        while True:
            try:
                self._revision = await self._calls(self._store.revision)
            except LocalFault as error:
                _log.warning("store does not answer", reason=str(error))
                await self._clock.sleep(POLL_S * self._speed)
            else:
                self._store_ok = True
                return

    async def _poll(self) -> None:
        """Nudges may be lost; a second is the most that this costs. Side lists go out in this rhythm, too."""
        while True:
            await self._clock.sleep(POLL_S * self._speed)
            await self._flush_lists()
            self._wake.set()

    async def _listen(self, link: MessageLink) -> None:
        async for message in link.messages():
            try:
                nudge = msgspec.json.decode(message.payload, type=Nudge)
            except msgspec.DecodeError:
                continue  # counts as no sign of life
            self._heard[nudge.partition] = self._clock.now().mono_us
            self._wake.set()

    async def _follow(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while await self._take_changes():
                    pass
                self._store_ok = True
            except LocalFault as error:
                if self._store_ok:
                    _log.warning("store does not answer; boards will say that they are stale", reason=str(error))
                self._store_ok = False

    async def _take_changes(self) -> bool:
        """Send what changed; returns whether there may be more."""
        changes = await self._calls(lambda: self._store.changes_after(self._revision, CHANGES_MAX))
        if changes is None:
            self._revision = await self._calls(self._store.revision)
            self._send(BoardEvent(self._revision, "resync", b"{}"))
            return False
        if not changes:
            return False
        events = await self._incident_events(changes)
        self._revision = changes[-1].revision
        for path, event in events:
            self._send(self._fresh(event), path)
        kinds = {change.kind for change in changes}
        self._dirty |= kinds & set(SIDE_LISTS)
        for kind in AT_ONCE:
            if kind in kinds:
                await self._flush_lists(only=kind)
        return len(changes) == CHANGES_MAX

    def _fresh(self, event: BoardEvent) -> BoardEvent:
        """The event, or a short word where the card is as it was: only plots, values or the timeline changed, which
        whoever looks at that incident fetches."""
        card = msgspec.json.decode(event.payload, type=_CardId)
        digest = hashlib.blake2b(event.payload, digest_size=8).digest()
        if self._sent.get(card.id) == digest:
            return BoardEvent(event.revision, "fresh", msgspec.json.encode({"id": card.id}))
        if len(self._sent) >= CARDS_KEPT:
            self._sent.clear()
        self._sent[card.id] = digest
        return event

    async def _flush_lists(self, only: str = "") -> None:
        """Send changed side lists, once per scope that somebody looks at."""
        try:
            for kind in sorted(self._dirty & ({only} if only else set(SIDE_LISTS))):
                self._dirty.discard(kind)
                for scope in {page.scope for page in self._pages}:
                    event = BoardEvent(self._revision, kind, await self._listed(kind, scope))
                    for page in self._pages:
                        if page.scope == scope:
                            page.offer(event)
        except LocalFault as error:
            _log.warning("store does not answer", reason=str(error))

    def _send(self, event: BoardEvent, path: str = "") -> None:
        for page in self._pages:
            if not path or _within(path, page.scope):
                page.offer(event)

    async def _beat(self) -> None:
        while True:
            await self._clock.sleep(HEARTBEAT_S * self._speed)
            if self.live:
                self._send(BoardEvent(self._revision, "heartbeat", b"{}"))

    @property
    def live(self) -> bool:
        """Whether what pages show is known to be current: the store answers and every worker was heard."""
        if not self._store_ok:
            return False
        if self._nudges is None:
            return True
        limit_us = WORKER_SILENT_S * self._speed * SECOND_US
        now_us = self._clock.now().mono_us
        return all(now_us - heard <= limit_us for heard in self._heard.values())

    # --- acting -------------------------------------------------------------------------------------------

    async def act(
        self, incident: str, action: IncidentAction, *, who: str, why: str, request: str, scope: str
    ) -> ActionOutcome:
        """Carry the click to the worker and wait for what became of it. Repeating the same click is safe."""
        view = await self.incident(incident, scope)
        if view is None:
            return ActionOutcome(False, "there is no such incident")
        click = row_id(incident, action.value, who, request)
        known = await self._outcome(click)
        if known is not None:
            return known
        envelope = ActEnvelope(view.tenancy.path, incident, action, who, why, click, self._clock.now().wall_us)
        return await self._carry(view.tenancy, envelope, click)

    async def answer_duty(self, check: str, *, who: str, request: str, scope: str) -> ActionOutcome:
        """Carry a person's answer to the worker, as `act` does."""
        found = await self._calls(lambda: self._store.snapshot(scope, 0).duties)
        view = next((view for view in found if view.check.id == check), None)
        if view is None:
            return ActionOutcome(False, "there is no such duty check")
        click = row_id(check, "answer_duty", who, request)
        known = await self._outcome(click)
        if known is not None:
            return known
        envelope = AnswerDutyEnvelope(view.tenancy.path, check, who, click, self._clock.now().wall_us)
        return await self._carry(view.tenancy, envelope, click)

    async def do(
        self, incident: str, deed: Deed | InspectionDeed, *, who: str, why: str, request: str, scope: str,
        site: str = "",
    ) -> ActionOutcome:
        """Carry a deed to the worker, as `act` does. site: its path, where there is no incident (yet)."""
        path = site
        if incident:
            view = await self.incident(incident, scope)
            path = view.tenancy.path if view is not None else ""
        elif not isinstance(deed, TakeIn | StartDrill | InspectionDeed):
            return ActionOutcome(False, "there is no such incident")
        if not path or not _within(path, scope) or path.count("/") != 3:
            return ActionOutcome(False, "there is no such incident" if incident else "there is no such site")
        click = row_id(incident, path, type(deed).__name__, who, request)
        known = await self._outcome(click)
        if known is not None:
            return known
        envelope = DeedEnvelope(path, incident, deed, who, why, click, self._clock.now().wall_us)
        return await self._carry(Tenancy.of(path), envelope, click)

    async def silence(
        self, site: str, name: str, matchers: tuple[str, ...], for_us: int, *, who: str, why: str, request: str,
        scope: str,
    ) -> ActionOutcome:
        """Set a silence for so long, or end the one of that name (matchers empty)."""
        if not _within(site, scope) or site.count("/") != 3:
            return ActionOutcome(False, "there is no such site")
        click = row_id(site, "silence", name, who, request)
        known = await self._outcome(click)
        if known is not None:
            return known
        now_us = self._clock.now().wall_us
        envelope = SilenceEnvelope(site, name, who, why, click, now_us, matchers, now_us + for_us)
        return await self._carry(Tenancy.of(site), envelope, click)

    async def shelve(
        self, site: str, alarm: str, kind: str, for_us: int, *, who: str, why: str, request: str, scope: str
    ) -> ActionOutcome:
        """Put an alarm ("rule|subject") on the shelf for so long, or (kind "") take it off."""
        if not _within(site, scope) or site.count("/") != 3:
            return ActionOutcome(False, "there is no such site")
        click = row_id(site, "shelf", alarm, kind, who, request)
        known = await self._outcome(click)
        if known is not None:
            return known
        now_us = self._clock.now().wall_us
        envelope = ShelfEnvelope(site, alarm, kind, who, why, click, now_us, now_us + for_us)
        return await self._carry(Tenancy.of(site), envelope, click)

    async def permit(
        self, site: str, step: PermitStep, *, who: str, why: str, request: str, scope: str
    ) -> ActionOutcome:
        """Carry an act on a permit to the site's worker, which tells the gateway; done: it is on its way."""
        if not _within(site, scope) or site.count("/") != 3:
            return ActionOutcome(False, "there is no such site")
        click = row_id(site, "permit", step.permit, step.act.value, who, request)
        known = await self._outcome(click)
        if known is not None:
            return known
        envelope = PermitEnvelope(site, step, who, why, click, self._clock.now().wall_us)
        return await self._carry(Tenancy.of(site), envelope, click)

    async def carry(self, envelope: PersonEnvelope, click: str) -> ActionOutcome:
        """Any other click to the worker of its site, as `act` does; whoever calls has asked for the right."""
        known = await self._outcome(click)
        return known if known is not None else await self._carry(Tenancy.of(envelope.path), envelope, click)

    async def _carry(self, tenancy: Tenancy, envelope: PersonEnvelope, click: str) -> ActionOutcome:
        subject = subject_of(tenancy, "act", self._partitions)
        try:
            await self._stream.publish(subject, encode_envelope(envelope), message_id=f"act-{click}")
        except PeerError as error:
            _log.warning("a click could not be stored", click=click, reason=str(error))
            return ActionOutcome(False, "not known whether it was stored: try again")
        for _ in range(round(OUTCOME_WITHIN_S / OUTCOME_POLL_S)):
            await self._clock.sleep(OUTCOME_POLL_S * self._speed)
            known = await self._outcome(click)
            if known is not None:
                self._wake.set()
                return known
        return ActionOutcome(False, "stored, but not yet carried out: look again or repeat the click")

    async def _outcome(self, click: str) -> ActionOutcome | None:
        return await self._calls(lambda: self._store.outcome(click))


def _within(path: str, scope: str) -> bool:
    """Whether a site's path lies within a tenancy prefix."""
    return not scope or path == scope or path.startswith(f"{scope}/")
