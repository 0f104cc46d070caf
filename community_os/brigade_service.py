"""What the brigade's pages read beyond the board, from the incident store and the place books (I/O)."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

import msgspec

from community_os.brigade_store import BrigadeStore
from community_os.notice_store import NoticeStore
from community_os.photo_strip import strip_photo
from community_os.place_shelf import PlaceShelf
from community_os.store import IncidentStore, StoreCalls
from community_os.store_changes import row_id
from dashboards.brigade import (
    PHOTO_BYTES_MAX,
    Drawing,
    EvidenceFacts,
    Handover,
    HandoverLine,
    IncidentSide,
    NoticeFacts,
    PermitFacts,
    PhotoFacts,
    RegisterView,
)
from device_model.clock import Clock
from device_model.inspection import InspectionView
from device_model.permit import PERMIT_ENDED, PermitState
from device_model.permit_views import PermitView
from device_model.place_book import PlaceView
from device_model.read_models import ImpairmentView, IncidentView
from device_model.register_views import ShelfView, SilenceView
from device_model.site import Text

# A hand-over that lists more than this is read by nobody; the rest is counted.
OPEN_LISTED = 300
NOTE_MAX = 4000

EvidenceOf = Callable[[IncidentView], Awaitable[tuple[EvidenceFacts, ...]]]


class BrigadeService:
    """Implements `dashboards.brigade.Brigade`."""

    def __init__(
        self, store: IncidentStore, calls: StoreCalls, shelf: PlaceShelf, clock: Clock, *,
        evidence: EvidenceOf | None = None,
    ) -> None:
        """evidence: None where this cloud is not told of it."""
        self._store, self._calls, self._shelf, self._clock = store, calls, shelf, clock
        self._own, self._notices = BrigadeStore(store), NoticeStore(store)
        self._evidence = evidence

    async def places(self, path: str) -> PlaceView | None:
        """What is known of a site's places, as its file is now."""
        await self._calls(lambda: self._shelf.refresh(path))
        return self._shelf.view(path)

    async def drawing(self, path: str, plan: str) -> Drawing | None:
        """A plan's picture."""
        return await self._calls(lambda: self._shelf.drawing(path, plan))

    async def side(self, incident: str, scope: str) -> IncidentSide | None:
        """What stands beside an incident."""
        view = await self._calls(lambda: self._store.incident(incident, scope))
        if view is None:
            return None
        impairments = msgspec.json.decode(
            await self._calls(lambda: self._store.listed("impairments", view.tenancy.path)),
            type=tuple[ImpairmentView, ...])
        return IncidentSide(
            await self._calls(lambda: self._permits(view.tenancy.path)),
            await self._evidence(view) if self._evidence is not None else None, impairments,
            await self._calls(lambda: self._own.photos(incident)),
            await self._calls(lambda: self._own.notices(incident)))

    def _permits(self, path: str) -> tuple[PermitFacts, ...]:
        """Those of the site that are not over, the working ones first."""
        views = msgspec.json.decode(self._store.listed("permits", path), type=tuple[PermitView, ...])
        standing = [view for view in views if view.permit.state not in PERMIT_ENDED and not view.refused]
        standing.sort(key=lambda view: (view.permit.state is not PermitState.WORKING, view.permit.plan.ends_us))
        return tuple(PermitFacts(
            view.permit.id, view.permit.plan.zone, view.zone_name, view.permit.state.value,
            view.permit.plan.level.value, view.permit.plan.ends_us, view.permit.plan.watcher, view.permit.watched,
            view.heard_us) for view in standing)

    async def register(self, scope: str) -> RegisterView:
        """Silences and shelf that still hold, and inspections that wait for somebody."""
        now_us = self._clock.now().wall_us

        def read() -> RegisterView:
            silences = msgspec.json.decode(self._store.listed("silences", scope), type=tuple[SilenceView, ...])
            shelf = msgspec.json.decode(self._store.listed("shelf", scope), type=tuple[ShelfView, ...])
            inspections = msgspec.json.decode(self._store.listed("inspections", scope),
                                              type=tuple[InspectionView, ...])
            return RegisterView(tuple(one for one in silences if one.until_us > now_us),
                                tuple(one for one in shelf if one.until_us > now_us), inspections)

        return await self._calls(read)

    async def failed_notices(self, scope: str) -> tuple[NoticeFacts, ...]:
        """Those that were given up."""
        return await self._calls(lambda: self._own.failed(scope))

    async def try_again(self, notice: str, scope: str) -> bool:
        """A person wants it tried again."""
        now_us = self._clock.now().wall_us

        def again() -> bool:
            known = any(one.id == notice for one in self._own.failed(scope))
            return known and self._notices.again(notice, now_us)

        return await self._calls(again)

    async def put_photo(self, incident: str, scope: str, body: bytes, who: str) -> PhotoFacts:
        """Keep a JPEG, stripped. The hash is of what is kept. Raises ValueError."""
        if len(body) > PHOTO_BYTES_MAX:
            raise ValueError(f"a picture is at most {PHOTO_BYTES_MAX} bytes")
        view = await self._calls(lambda: self._store.incident(incident, scope))
        if view is None:
            raise ValueError("there is no such incident")
        photo = strip_photo(body)
        facts = PhotoFacts(hashlib.sha256(photo.body).hexdigest(), incident, who, self._clock.now().wall_us,
                           len(photo.body), photo.taken_us, photo.latitude, photo.longitude)
        await self._calls(lambda: self._own.put_photo(facts, photo.body, view.tenancy))
        return facts

    async def photo(self, sha256: str, scope: str) -> bytes | None:
        """A kept picture."""
        return await self._calls(lambda: self._own.photo(sha256, scope))

    async def handovers(self, scope: str) -> tuple[Handover, ...]:
        """The latest, newest first."""
        return await self._calls(lambda: self._own.handovers(scope))

    async def hand_over(self, scope: str, who: str, note: str, request: str) -> Handover:
        """What stands open now, with a note."""
        at_us = self._clock.now().wall_us
        board = await self._calls(lambda: self._store.snapshot(scope, at_us, whole=False))
        lines = tuple(_line(view) for view in sorted(
            board.incidents, key=lambda view: (view.drill, -view.severity.rank, view.opened_us)))
        handover = Handover(row_id("handover", scope, who, request), scope, at_us, who, note[:NOTE_MAX],
                            lines[:OPEN_LISTED], len(board.impairments), max(0, len(lines) - OPEN_LISTED))
        return await self._calls(lambda: self._own.put_handover(handover))

    async def take_over(self, handover: str, scope: str, who: str, remark: str) -> str:
        """Somebody takes it: "" or why not."""
        at_us = self._clock.now().wall_us
        return await self._calls(lambda: self._own.take_handover(handover, scope, who, remark[:NOTE_MAX], at_us))


def _line(view: IncidentView) -> HandoverLine:
    parts = [part for part in (view.site_name, view.building, view.floor, view.zone_name) if part.en or part.zh]
    place = Text(" · ".join(part.en for part in parts), " · ".join(part.zh for part in parts))
    return HandoverLine(view.id, view.hazard.value, view.severity.value, view.state.value, place, view.opened_us,
                        view.acknowledged_by, view.drill)


