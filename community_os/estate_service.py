"""EstateService (I/O): what the property manager's and the resident's pages read and do.

    incident store (incidents, lacks, inspections, notices) ─┐
    site's checkpoint in the stream (duty book, maintenance)─┼─► EstatePage, BuildingPage
    time series (counters of meters)                        ─┘
    clicks ─► BoardService.carry ─► stream ─► worker ─► outcome
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from zoneinfo import ZoneInfo

import msgspec

from community_os.board_service import BoardService
from community_os.brigade_service import BrigadeService
from community_os.daily_use import daily_use, local_day
from community_os.envelopes import DeedEnvelope, MaintainEnvelope, RotaEnvelope
from community_os.estate_needs import (
    NEEDS_MAX,
    for_neighbours,
    in_order,
    of_certificate,
    of_gateway,
    of_incidents,
    of_inspection,
    of_lack,
)
from community_os.maintenance_desk import MaintainAsked
from community_os.notice_store import NoticeStatus, NoticeStore
from community_os.store import IncidentStore, StoreCalls
from community_os.store_changes import row_id
from dashboards.estate import (
    BuildingPage,
    BuildingPlace,
    Delivery,
    DeviceChoice,
    EstatePage,
    EstateSite,
    MaintenanceView,
    MeterUse,
    Need,
    NeedItem,
    PublicContact,
    ReportOutcome,
    RotaView,
    ShiftView,
)
from device_model.alarm import Hazard
from device_model.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, Clock
from device_model.errors import PeerError
from device_model.handling import IntakeKind
from device_model.impairment import ImpairmentKind
from device_model.incident_deeds import ReportScene, TakeIn
from device_model.inspection import InspectionState, InspectionView
from device_model.inventory import Inventory
from device_model.ports import Stream
from device_model.read_models import ActionOutcome, BoardSnapshot
from device_model.series import Level, SeriesRead
from device_model.site import Text
from rules_engine.duty_rota import DutyBook, DutyPlan, Shift

COMING_DAYS = 7
# A person's reports: more than these are no reports. Persons kept in mind, the latest.
REPORTS_MAX, REPORTS_WITHIN_US = 5, 10 * MINUTE_US
PEOPLE_MAX = 10_000
TOKENS_MAX, TOKEN_HOLDS_US = 2_000, 15 * MINUTE_US
TEXT_MAX = 500
SAME_FOR_US = SECOND_US  # a page of a building is made anew so often
_FLOOR = "floor:"
_METERS = ("energy", "volume")
_COMMON = frozenset({"stairs", "staircase", "corridor", "garage", "lobby", "hall", "outside", "plant", "roof",
                     "charging", "lane", "lift"})
# Offices; a key-holder is a private person.
_CALLED = ("duty", "property", "monitoring_centre", "micro_station")


class _Kept(msgspec.Struct):
    """Of a site's checkpoint what the pages show."""

    duty: msgspec.Raw = msgspec.Raw(b"null")


class _State(msgspec.Struct):
    notices: _Kept = msgspec.field(default_factory=_Kept)
    maintenance: dict[str, MaintainAsked] = {}


class _Checkpoint(msgspec.Struct):
    state: _State


class EstateService:
    """Implements `dashboards.estate.Estate`. One a web process."""

    def __init__(
        self, store: IncidentStore, calls: StoreCalls, stream: Stream, clock: Clock, *, board: BoardService,
        brigade: BrigadeService, series: SeriesRead, inventories: Callable[[], Mapping[str, Inventory]],
        duty: DutyPlan | None, certificates: Callable[[], Mapping[tuple[str, str], int]],
        titles: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """inventories: of the configured sites by path, as they are now. certificates: (path, gateway) → end of the
        newest, µs. titles: of the sites' rules, English → Chinese."""
        self._store, self._calls, self._stream, self._clock = store, calls, stream, clock
        self._board, self._brigade, self._series = board, brigade, series
        self._inventories, self._plan, self._certificates = inventories, duty, certificates
        self._titles = titles
        self._buildings: dict[str, BuildingPage] = {}  # one a configured site
        self._notices = NoticeStore(store)
        self._reported: OrderedDict[str, list[int]] = OrderedDict()
        self._tokens: OrderedDict[str, tuple[str, str, str, int]] = OrderedDict()  # → incident, path, who, when

    # --- my sites -----------------------------------------------------------------------------------------

    async def sites(self, scope: str) -> tuple[tuple[str, Text], ...]:
        """Paths and names."""
        return tuple((path, one.site.name) for path, one in sorted(self._inventories().items())
                     if not scope or path == scope or path.startswith(scope + "/"))

    async def page(self, scope: str) -> EstatePage:
        """All of /my-sites."""
        now_us = self._clock.now().wall_us
        inventories = dict(self._inventories())
        paths = [path for path, _ in await self.sites(scope)]
        board = await self._calls(lambda: self._store.snapshot(scope, now_us))
        listed = await self._calls(lambda: self._store.listed("inspections", scope))
        inspections = msgspec.json.decode(listed, type=tuple[InspectionView, ...])
        ends = await asyncio.to_thread(self._certificates)
        needs = of_incidents(board.incidents)
        titles = self._titles()
        needs += [of_lack(view, inventories.get(view.tenancy.path), titles) for view in board.impairments]
        needs += [found for view in board.gateways if (found := of_gateway(view)) is not None]
        needs += [of_inspection(view, inventories[view.tenancy.path].site.name) for view in inspections
                  if view.tenancy.path in inventories and view.inspection.state is not InspectionState.ACCEPTED]
        needs += [found for (path, gateway), end_us in ends.items() if path in paths and (
            found := of_certificate(path, inventories[path].site.name, gateway, end_us, now_us)) is not None]
        ordered = in_order(needs)
        sites = [await self._site(inventories[path], board, ordered, now_us) for path in paths]
        return EstatePage(now_us, tuple(sites), tuple(ordered[:NEEDS_MAX]), max(0, len(ordered) - NEEDS_MAX))

    async def _site(
        self, inventory: Inventory, board: BoardSnapshot, needs: Sequence[NeedItem], now_us: int,
    ) -> EstateSite:
        site, path = inventory.site, inventory.site.tenancy.path
        kept = await self._state(path)
        gateway = next((view for view in board.gateways if view.tenancy.path == path), None)
        devices = tuple(DeviceChoice(device.id, self._place(inventory, device.id),
                                     inventory.profiles[device.profile].device_class.value)
                        for device in inventory.devices.values())
        out = {view.impairment.subject for view in board.impairments
               if view.tenancy.path == path and view.impairment.kind is ImpairmentKind.ISOLATED}
        waiting = tuple(
            MaintenanceView(device, self._place(inventory, device), asked.command.who, asked.command.why,
                            asked.command.issued_us, asked.until_us, asked.until_us == 0, asked.refused)
            for device, asked in kept.maintenance.items())
        return EstateSite(
            path, site.name, site.address, gateway.heard_us if gateway else 0, gateway.silent if gateway else True,
            gateway.devices_alive if gateway else 0, gateway.devices_expected if gateway else len(devices),
            site.contacts, devices, self._rotas(kept, now_us),
            tuple(one for one in needs if one.path == path and one.kind is Need.IMPAIRMENT and one.subject in out),
            waiting)

    @staticmethod
    def _place(inventory: Inventory, device: str) -> Text:
        known = inventory.devices.get(device)
        if known is None:
            return Text(device, device)
        zone = inventory.site.zone(known.zone)
        names = [text for text in (zone.name if zone else None, known.place) if text is not None]
        return Text(" · ".join(text.en for text in names), " · ".join(text.zh for text in names))

    async def _state(self, path: str) -> _State:
        """The latest checkpoint of the site's worker; at most a second or so old."""
        try:
            kept = await self._stream.get(f"site.{path.replace('/', '.')}")
            return msgspec.json.decode(kept[0], type=_Checkpoint).state if kept else _State()
        except (PeerError, msgspec.DecodeError):
            return _State()  # who is on duty is then the plan's answer, without what people changed

    def _rotas(self, kept: _State, now_us: int) -> tuple[RotaView, ...]:
        if self._plan is None:
            return ()
        book = DutyBook(self._plan)
        if bytes(kept.notices.duty) not in (b"null", b""):
            book.resume(bytes(kept.notices.duty))
        names = tuple((person.id, person.name) for person in self._plan.people.values())
        found = []
        for rota in self._plan.rotas.values():
            duty = book.on_duty(rota.id, now_us)
            coming = tuple(self._shift(shift) for shift in book.calendar(rota.id, now_us, COMING_DAYS)
                           if shift.ends_us > now_us)
            found.append(RotaView(
                rota.id, rota.title, self._shift(duty.shift), tuple(self._name(person) for person in duty.people),
                coming, names, self._name(duty.taken_over_by), duty.overdue))
        return tuple(found)

    def _shift(self, shift: Shift) -> ShiftView:
        return ShiftView(shift.day, shift.name, shift.starts_us, shift.ends_us,
                         tuple((person, self._name(person)) for person in shift.people), shift.standing_in)

    def _name(self, person: str) -> str:
        known = self._plan.people.get(person) if self._plan is not None else None
        return known.name if known is not None else person

    # --- meters and messages ------------------------------------------------------------------------------

    async def usage(self, path: str, days: int) -> tuple[MeterUse, ...]:
        """Daily use of each counter of energy and water."""
        inventory = self._inventories().get(path)
        if inventory is None:
            return ()
        meters = [(name, point) for name, point in inventory.points.items() if point.quantity in _METERS]
        now_us = self._clock.now().wall_us
        zone = ZoneInfo(inventory.site.time_zone)
        today = local_day(now_us, zone)
        rows = await self._series.rollups(path, [name for name, _ in meters], now_us - (days + 3) * DAY_US,
                                          now_us + HOUR_US, Level.HOUR)
        return tuple(
            MeterUse(name, self._place(inventory, point.device.id), point.quantity, point.unit,
                     daily_use(rows.get(name, ()), inventory.site.time_zone, today, days))
            for name, point in meters)

    async def deliveries(self, incident: str, scope: str) -> tuple[Delivery, ...] | None:
        """Who was told of an incident, and whether somebody has answered since."""
        view = await self._calls(lambda: self._store.incident(incident, scope))
        if view is None:
            return None
        notices = await self._calls(lambda: self._notices.of_incident(incident))
        found = []
        for notice, settled_us in notices:
            state, by = {NoticeStatus.SENT: "sent", NoticeStatus.DEAD: "failed"}.get(notice.status, "waiting"), ""
            if state == "sent" and view.acknowledged_by and view.acknowledged_us >= notice.at_us:
                state, by = "acknowledged", view.acknowledged_by
            found.append(Delivery(notice.endpoint, notice.kind, state, notice.at_us, settled_us, notice.attempts,
                                  notice.reason, by))
        return tuple(found)

    # --- clicks -------------------------------------------------------------------------------------------

    async def swap(self, path: str, rota: str, day: str, shift: str, leaving: str, coming: str, *, who: str, why: str,
                   request: str) -> ActionOutcome:
        """Somebody else has a shift."""
        click = row_id(path, "swap", rota, day, shift, leaving, coming, who, request)
        return await self._board.carry(RotaEnvelope(
            path, rota, coming, who, why, click, self._clock.now().wall_us, day, shift, leaving), click)

    async def take_over(self, path: str, rota: str, person: str, note: str, *, who: str, request: str
                        ) -> ActionOutcome:
        """Somebody of the shift has taken over."""
        click = row_id(path, "take_over", rota, person, who, request)
        return await self._board.carry(RotaEnvelope(
            path, rota, person, who, note, click, self._clock.now().wall_us), click)

    async def maintain(self, path: str, devices: Sequence[str], minutes: int, measure: str, *, who: str, why: str,
                       request: str) -> ActionOutcome:
        """Out of service for a time, or (minutes 0) back."""
        now_us = self._clock.now().wall_us
        click = row_id(path, "maintain", *sorted(devices), str(minutes), who, request)
        until_us = now_us + minutes * MINUTE_US if minutes else 0
        return await self._board.carry(MaintainEnvelope(
            path, tuple(devices), who, why, click, now_us, until_us, measure), click)

    # --- my building --------------------------------------------------------------------------------------

    async def building(self, path: str) -> BuildingPage | None:
        """What residents of a site may know: no dwelling, no device, no name."""
        inventory = self._inventories().get(path)
        if inventory is None:
            return None
        now_us = self._clock.now().wall_us
        kept = self._buildings.get(path)
        if kept is not None and 0 <= now_us - kept.at_us < SAME_FOR_US:
            return kept  # many neighbours look at once when something happens
        board = await self._calls(lambda: self._store.snapshot(path, now_us, whole=False))
        site = inventory.site
        alarms = [alarm for view in board.incidents if view.tenancy.path == path
                  and (alarm := for_neighbours(view)) is not None]
        contacts = [PublicContact(one.role, one.phone) for one in site.contacts if one.role in _CALLED and one.phone]
        buildings = {building.id: building for building in site.buildings}
        places: dict[tuple[str, str, str], BuildingPlace] = {}
        for zone in site.zones:
            building = buildings.get(zone.building)
            floor = next((one for one in building.floors if one.id == zone.floor), None) if building else None
            common = zone.kind in _COMMON
            key = (zone.building, zone.floor, zone.id if common else "")
            places.setdefault(key, BuildingPlace(
                zone.id if common else f"{_FLOOR}{zone.building}:{zone.floor}",
                building.name if building else Text("", ""), floor.name if floor else Text("", ""),
                zone.name if common else Text("", "")))
        impaired = sum(view.tenancy.path == path for view in board.impairments)
        page = self._buildings[path] = BuildingPage(
            now_us, path, site.name, site.address, tuple(alarms), tuple(dict.fromkeys(contacts)),
            tuple(places.values()), impaired)
        return page

    async def report(self, path: str, zone: str, hazard: Hazard, text: str, phone: str, *, who: str, request: str
                     ) -> ReportOutcome:
        """A citizen's report, into the incidents of that place."""
        inventory = self._inventories().get(path)
        known = self._zone(inventory, zone) if inventory is not None else ""
        if not known:
            return ReportOutcome(False, "there is no such place")
        now_us = self._clock.now().wall_us
        click = row_id("", path, "TakeIn", who, request)
        if not self._may_report(who, now_us):
            minutes = REPORTS_WITHIN_US // MINUTE_US
            return ReportOutcome(False, f"more than {REPORTS_MAX} reports in {minutes} min; in an emergency call 119")
        # A floor has dwellings only: the report stands at one of them, and says that it is of the floor.
        said = text if known == zone else f"[{zone.removeprefix(_FLOOR)}] {text}"
        deed = TakeIn(IntakeKind.CITIZEN, hazard, known, said[:TEXT_MAX], who, phone[:40], True)
        outcome = await self._board.carry(DeedEnvelope(path, "", deed, who, "", click, now_us), click)
        if not outcome.done:
            return ReportOutcome(False, outcome.refusal)
        incident = await self._reported_in(path, who, known, now_us)
        token = hashlib.sha256(f"{click}|{who}".encode()).hexdigest()[:32]
        self._tokens[token] = (incident, path, who, now_us)
        while len(self._tokens) > TOKENS_MAX:
            self._tokens.popitem(last=False)
        return ReportOutcome(True, "", token)

    @staticmethod
    def _zone(inventory: Inventory, place: str) -> str:
        """The zone of a place of the page; "" where there is none."""
        if not place.startswith(_FLOOR):
            zone = inventory.site.zone(place)
            return zone.id if zone is not None and zone.kind in _COMMON else ""
        building, _, floor = place.removeprefix(_FLOOR).partition(":")
        of_floor = [zone for zone in inventory.site.zones if (zone.building, zone.floor) == (building, floor)]
        return of_floor[0].id if of_floor else ""

    async def _reported_in(self, path: str, who: str, zone: str, now_us: int) -> str:
        """The incident that took a report in; "" where it is not stored yet."""
        board = await self._calls(lambda: self._store.snapshot(path, now_us))
        for view in board.incidents:
            intakes = view.handling.intakes if view.handling is not None else ()
            if any(one.caller == who and one.zone == zone and one.at_us >= now_us for one in intakes):
                return view.id
        return ""

    def _may_report(self, who: str, now_us: int) -> bool:
        times = [at_us for at_us in self._reported.pop(who, []) if now_us - at_us < REPORTS_WITHIN_US]
        allowed = len(times) < REPORTS_MAX
        self._reported[who] = [*times, now_us] if allowed else times
        while len(self._reported) > PEOPLE_MAX:
            self._reported.popitem(last=False)
        return allowed

    async def add_photo(self, token: str, body: bytes, *, who: str) -> str:
        """A picture to what the same person has just reported."""
        incident, path, by, at_us = self._tokens.get(token, ("", "", "", 0))
        if not incident or by != who or self._clock.now().wall_us - at_us > TOKEN_HOLDS_US:
            return "there is no such report"
        try:
            photo = await self._brigade.put_photo(incident, path, body, who)
        except ValueError as error:
            return str(error)
        deed = ReportScene("📷", photo.sha256)
        await self._board.do(incident, deed, who=who, why="", request=f"photo-{token[:24]}", scope=path)
        return ""
