"""What the officer's pages read (I/O): the incident store, summed up; clicks on permits go to the worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec

from community_os.board_service import BoardService
from community_os.hot_work_now import hot_work_now
from community_os.officer_figures import (
    DAY_US,
    DAYS,
    Gathered,
    days_of,
    ended_incidents,
    lacks_of,
    open_incidents,
    overdue_checks,
    parts_below,
    site_figures,
    summed,
    within,
)
from community_os.officer_store import OfficerStore
from community_os.risk import FORMULA
from community_os.store import IncidentStore, StoreCalls
from dashboards.brigade import EvidenceFacts
from dashboards.officer import Gas, HotWorkPage, Overview, PermitSite, PermitsPage, PlaceFigures, Seen, ZoneChoice
from device_model.alarm import Hazard
from device_model.clock import Clock
from device_model.inspection import InspectionView
from device_model.inventory import Inventory
from device_model.permit import GAS_LEL, PermitPolicy, PermitStep
from device_model.permit_views import PermitView
from device_model.place_now import PlaceNow
from device_model.read_models import ActionOutcome, BoardSnapshot, IncidentView
from device_model.site import Text

T = TypeVar("T")
OVERDUE_LISTED, LACKS_LISTED = 100, 100
# Pictures are looked up for so many incidents of hot work at most; more would be a flood, and the list says the rest.
PICTURES_OF = 40
EvidenceOf = Callable[[IncidentView], Awaitable[tuple[EvidenceFacts, ...]]]


class OfficerService:
    """Implements `dashboards.officer.Officer`."""

    def __init__(
        self, store: IncidentStore, calls: StoreCalls, board: BoardService | None, clock: Clock, *,
        sites: Mapping[str, Inventory], evidence: EvidenceOf | None = None,
    ) -> None:
        """board: None for a program without pages. sites: the configured ones by path. evidence: None where none
        is kept here."""
        self._store, self._calls, self._board, self._clock = store, calls, board, clock
        self._sites, self._evidence = sites, evidence
        self._own = OfficerStore(store)

    @property
    def live(self) -> bool:
        """As the board's."""
        return self._board is not None and self._board.live

    # --- permits ------------------------------------------------------------------------------------------

    async def permits(self, scope: str) -> PermitsPage:
        """Open and lately ended permits, and where one may be asked for."""
        at_us = self._clock.now().wall_us
        views = await self._calls(lambda: self._own.permits(scope))
        board = await self._calls(lambda: self._store.snapshot(scope, at_us, whole=False))
        gateways = {view.tenancy.path: view for view in board.gateways}
        sites = []
        for path, inventory in sorted(self._within(scope).items()):
            policy, gateway = inventory.site.permits, gateways.get(path)
            sites.append(PermitSite(
                path, inventory.site.name, tuple(ZoneChoice(zone.id, zone.name) for zone in inventory.site.zones),
                policy.measures, tuple(level.value for level in policy.countersign), policy.validity_s,
                policy.sample_valid_s, gateway.heard_us if gateway else 0, gateway.silent if gateway else True))
        policy = PermitPolicy()
        gases = tuple(Gas(name, lel, policy.limit_vol(name) or 0.0, policy.limit_lel(name))
                      for name, lel in sorted(GAS_LEL.items()))
        return PermitsPage(at_us, views, tuple(sites), gases)

    async def permit(
        self, site: str, step: PermitStep, *, who: str, why: str, request: str, scope: str
    ) -> ActionOutcome:
        """Ask for an act; done: stored and on its way to the gateway."""
        if self._board is None:
            return ActionOutcome(False, "no way down from here")
        return await self._board.permit(site, step, who=who, why=why, request=request, scope=scope)

    # --- hot work -----------------------------------------------------------------------------------------

    async def hot_work(self, scope: str) -> HotWorkPage:
        """Where hot work is allowed, seen or measured."""
        gathered = await self._gathered(scope, history=False)
        seen: dict[str, tuple[Seen, ...]] = {}
        if self._evidence is not None:
            judged = [view for view in gathered.board.incidents if view.hazard is Hazard.HOT_WORK][:PICTURES_OF]
            for view in judged:
                seen[view.id] = tuple(Seen(view.id, one.snapshot, one.clip, one.at_us, one.sha256)
                                      for one in await self._evidence(view))
        return hot_work_now(gathered, seen)

    # --- overview -----------------------------------------------------------------------------------------

    async def overview(self, scope: str) -> Overview:
        """The figures of a part of the tenancy."""
        g = await self._gathered(scope, history=True)
        sites = site_figures(g)
        zone = ZoneInfo(next(iter(g.sites.values())).site.time_zone if g.sites else "Asia/Shanghai")
        checks, lacks = overdue_checks(g), lacks_of(g)
        whole = sites[scope] if scope in sites else summed(
            scope, self._name(scope), list(sites.values()), g.incidents)
        labels = [part for part in scope.split("/") if part]
        crumbs = tuple(PlaceFigures(path, self._name(path)) for path in (
            "/".join(labels[:depth]) for depth in range(len(labels) + 1)))
        ranked = sorted(sites.values(), key=lambda site: (-site.risk, site.path))
        return Overview(
            g.at_us, scope, crumbs, whole, tuple(parts_below(scope, sites, g.incidents)), tuple(ranked),
            days_of(g.incidents, g.at_us, zone), tuple(checks[:OVERDUE_LISTED]), FORMULA,
            max(0, len(checks) - OVERDUE_LISTED), open_incidents(g), ended_incidents(g), lacks[:LACKS_LISTED],
            max(0, len(lacks) - LACKS_LISTED))

    async def gathered(self, scope: str, from_us: int, to_us: int) -> Gathered:
        """The same facts over a stated time, for reports."""
        return await self._gathered(scope, history=True, from_us=from_us, to_us=to_us)

    # --- shared -------------------------------------------------------------------------------------------

    def _within(self, scope: str) -> dict[str, Inventory]:
        return {path: inventory for path, inventory in self._sites.items() if within(path, scope)}

    def _name(self, path: str) -> Text:
        if path in self._sites:
            return self._sites[path].site.name
        label = path.rpartition("/")[2]
        return Text(label, label) if path else Text("All", "全部")

    async def _gathered(self, scope: str, *, history: bool, from_us: int = 0, to_us: int = 0) -> Gathered:
        at_us = self._clock.now().wall_us
        from_us, to_us = from_us or at_us - DAYS * DAY_US, to_us or at_us

        def read() -> Gathered:
            board: BoardSnapshot = self._store.snapshot(scope, at_us, whole=False)
            now = _listed(self._store.listed("now", scope), PlaceNow)
            inspections = _listed(self._store.listed("inspections", scope), InspectionView)
            facts = self._own.incident_facts(scope, from_us, to_us) if history else ()
            return Gathered(at_us, self._within(scope), board, now,
                            _listed(self._store.listed("permits", scope), PermitView), inspections, facts)

        return await self._calls(read)


def _listed(encoded: bytes, kind: type[T]) -> list[T]:
    return [msgspec.convert(one, kind) for one in msgspec.json.decode(encoded)]
