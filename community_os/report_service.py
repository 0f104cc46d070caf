"""Reports, rectification notices and dossiers (I/O): figures out of the incident store, as documents."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import sqlalchemy as sa

from community_os import schema
from community_os.officer_service import EvidenceOf, OfficerService
from community_os.officer_setting import Setting
from community_os.officer_store import OfficerStore
from community_os.report_figures import csv_of, period_of, report_figures
from community_os.report_pdf import dossier_pdf, notice_pdf, report_pdf
from community_os.store import IncidentStore, StoreCalls
from dashboards.report import Document, NoticeDraft, Rectification, RectificationSite, ReportsPage
from dashboards.rights import covers
from device_model.clock import HOUR_US, SECOND_US, Clock
from device_model.inventory import Inventory
from device_model.site import Text

TIME_ZONE = "Asia/Shanghai"
NOTICES_LISTED = 300
AUDIT_LINES_MAX = 300
DEADLINE_DAYS_MAX = 366.0
TEXT_MAX = 2000
_NOTICE, _DONE = "notice", "notice_done"


class _Issued(msgspec.Struct, frozen=True):
    number: str
    due_us: int
    draft: NoticeDraft


class ReportService:
    """Implements `dashboards.report.Reports`."""

    def __init__(
        self, store: IncidentStore, calls: StoreCalls, officer: OfficerService, clock: Clock, *,
        sites: Mapping[str, Inventory], evidence: EvidenceOf | None = None,
    ) -> None:
        """evidence: None where none is kept here."""
        self._store, self._calls, self._officer, self._clock = store, calls, officer, clock
        self._sites, self._evidence = sites, evidence
        self._own = OfficerStore(store)

    # --- reports ------------------------------------------------------------------------------------------

    async def report(self, scope: str, period: str, kind: str, language: str) -> Document:
        """Of the last whole day, week or month. Raises ValueError."""
        now_us = self._clock.now().wall_us
        zone = ZoneInfo(self._zone_of(scope))
        span = period_of(period, now_us, zone)
        gathered = await self._officer.gathered(scope, span.from_us, span.to_us)
        figures = report_figures(gathered, span, scope, self._name(scope), zone)
        day = datetime.fromtimestamp(span.from_us / SECOND_US, UTC).astimezone(zone).date().isoformat()
        name = f"tocsin-{period}-{day}-{(scope or 'all').replace('/', '-')}.{kind}"
        if kind == "csv":
            return Document(csv_of(figures, language), name, "text/csv; charset=utf-8")
        if kind != "pdf":
            raise ValueError(f"{kind!r} is no kind of report: pdf or csv")
        # Layout takes a second for hundreds of sites: not in the event loop.
        return Document(await asyncio.to_thread(report_pdf, figures, language), name, "application/pdf")

    # --- rectification notices ------------------------------------------------------------------------------

    async def page(self, scope: str) -> ReportsPage:
        """Notices, the open ones first, the next deadline first."""
        notices = await self.notices(scope)
        sites = tuple(RectificationSite(path, inventory.site.name) for path, inventory in sorted(self._sites.items())
                      if covers(scope, path))
        return ReportsPage(self._clock.now().wall_us, notices, sites)

    async def notices(self, scope: str) -> tuple[Rectification, ...]:
        """Of a scope, the open ones first."""
        def read() -> tuple[tuple[Setting, ...], tuple[Setting, ...]]:
            return (self._own.settings(_NOTICE, scope, limit=NOTICES_LISTED),
                    self._own.settings(_DONE, scope, limit=NOTICES_LISTED))

        issued, done = await self._calls(read)
        ended = {one.name: one for one in reversed(done)}
        found = [self._notice(one, ended.get(one.name)) for one in issued]
        return tuple(sorted(found, key=lambda one: (bool(one.done_us), one.due_us)))

    async def issue(self, path: str, draft: NoticeDraft, who: str) -> Rectification:
        """Give it a number and keep it. Raises ValueError with the reason."""
        if path not in self._sites:
            raise ValueError("there is no such site · 没有此单位")
        texts = (draft.facts, draft.clause, draft.demand)
        if not all(text.strip() for text in texts) or max(map(len, (*texts, draft.to))) > TEXT_MAX:
            raise ValueError("facts, clause and what is to be done are needed, each at most 2,000 characters · "
                             "须写明问题、依据和整改要求")
        if not 0 < draft.days <= DEADLINE_DAYS_MAX:
            raise ValueError("the deadline is 1 to 366 days away · 期限须为 1 至 366 天")
        if draft.incident and await self._calls(lambda: self._store.incident(draft.incident, path)) is None:
            raise ValueError("there is no such incident at this site · 该单位没有此警情")
        now_us = self._clock.now().wall_us
        city = path.split("/", 1)[0]
        year = datetime.fromtimestamp(now_us / SECOND_US, UTC).astimezone(ZoneInfo(self._zone_of(path))).year

        due_us = now_us + round(draft.days * 24 * HOUR_US)

        def put() -> Setting:
            return self._own.put_numbered(
                _NOTICE, path, f"R{year}-{city}",
                lambda number: msgspec.json.encode(_Issued(f"整改〔{year}〕第{number:04d}号", due_us, draft)),
                within=city, who=who, why=draft.facts[:200], at_us=now_us)

        return self._notice(await self._calls(put), None)

    async def done(self, notice: str, scope: str, who: str, why: str) -> str:
        """Somebody has seen that it is put right: "" or why not."""
        found = next((one for one in await self.notices(scope) if one.id == notice), None)
        if found is None:
            return "there is no such notice · 没有此通知书"
        if found.done_us:
            return f"{found.done_by} has confirmed it already · 已确认整改"
        if not why.strip():
            return "say what was seen · 须写明复查情况"
        now_us = self._clock.now().wall_us
        await self._calls(lambda: self._own.put(
            _DONE, found.path, notice, b"{}", who=who, why=why[:500], at_us=now_us))
        return ""

    async def notice(self, notice: str, scope: str, language: str = "zh") -> Document | None:
        """As PDF, its words in both languages where the reader's is not Chinese."""
        found = next((one for one in await self.notices(scope) if one.id == notice), None)
        if found is None:
            return None
        body = await asyncio.to_thread(notice_pdf, found, language, self._zone_of(found.path))
        return Document(body, f"{found.id}.pdf", "application/pdf")

    def _notice(self, one: Setting, done: Setting | None) -> Rectification:
        issued = msgspec.json.decode(one.body, type=_Issued)
        return Rectification(
            one.name, issued.number, one.path, self._name(one.path), one.at_us, issued.due_us, one.who, issued.draft,
            done.at_us if done else 0, done.who if done else "", done.why if done else "")

    # --- dossier --------------------------------------------------------------------------------------------

    async def dossier(self, incident: str, scope: str, who: str, language: str = "zh") -> Document | None:
        """Everything about one incident; None where there is none in that scope."""
        view = await self._calls(lambda: self._store.incident(incident, scope))
        if view is None:
            return None
        evidence = await self._evidence(view) if self._evidence is not None else ()
        zones = {alarm.zone for alarm in view.alarms} | {view.zone}
        permits = [one for one in await self._calls(lambda: self._own.permits(view.tenancy.path))
                   if one.permit.plan.zone in zones and one.permit.plan.starts_us <= (view.closed_us or 2**62)
                   and one.permit.plan.ends_us >= view.opened_us]
        audit = await self._calls(lambda: self._audit(view.tenancy.path, incident))
        zone, now_us = self._zone_of(view.tenancy.path), self._clock.now().wall_us
        body = await asyncio.to_thread(dossier_pdf, view, evidence, permits, audit, language, zone, now_us, who)
        return Document(body, f"dossier-{incident}.pdf", "application/pdf")

    def _audit(self, path: str, incident: str) -> list[tuple[int, str, str, str, str]]:
        table = schema.audit
        query = (sa.select(table.c.at_us, table.c.who, table.c.what, table.c.detail, table.c.hash)
                 .where(table.c.path == path, table.c.incident == incident).order_by(table.c.number))
        with self._store.transaction(writes=False) as connection:
            return [(row.at_us, row.who, row.what, row.detail, row.hash)
                    for row in connection.execute(query.limit(AUDIT_LINES_MAX))]

    # --- shared ---------------------------------------------------------------------------------------------

    def _zone_of(self, scope: str) -> str:
        return next((inventory.site.time_zone for path, inventory in sorted(self._sites.items())
                     if covers(scope, path)), TIME_ZONE)

    def _name(self, path: str) -> Text:
        if path in self._sites:
            return self._sites[path].site.name
        label = path.rpartition("/")[2]
        return Text(label, label) if path else Text("All sites", "全部单位")
