"""A Board held in memory, for tests of pages: real protocol, real events, no store behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec

from device_model.alarm import Hazard, Severity
from device_model.clock import Now
from device_model.duty import DutyCheck, DutyState
from device_model.impairment import Impairment, ImpairmentKind
from device_model.read_models import (
    ActionOutcome,
    AlarmView,
    BoardEvent,
    BoardSnapshot,
    DutyView,
    GatewayView,
    ImpairmentView,
    IncidentAction,
    IncidentState,
    IncidentView,
    LogEntry,
    Plot,
    PlotPoint,
    ProofView,
    Verification,
)
from device_model.site import Contact, Tenancy, Text

SITE = Tenancy("hangzhou", "yuhang", "cangqian", "riverside")
NAME = Text("Riverside Estate", "河滨花园")
T0 = 1_790_000_000_000_000


def fire(incident: str = "i-1", opened_us: int = T0 - 75_000_000) -> IncidentView:
    """A fire in flat 301, ten samples of smoke, nobody has acknowledged it."""
    samples = tuple(PlotPoint(opened_us + k * 4_000_000, None if k == 4 else 0.05 * k * k) for k in range(-3, 15))
    return IncidentView(
        id=incident, tenancy=SITE, site_name=NAME, state=IncidentState.NEW, hazard=Hazard.FIRE,
        severity=Severity.CRITICAL, verification=Verification.NONE, building=Text("Building 1", "1 号楼"),
        floor=Text("3rd floor", "3 层"), zone="b1-301", zone_name=Text("Flat 301", "301 室"), opened_us=opened_us,
        updated_us=opened_us, address=Text("88 Riverside Road", "河滨路 88 号"),
        access_note=Text("South gate, lane 2", "南门，2 号消防车道"),
        contacts=(Contact("Chen Jing", "key_holder", "+86 571 5550 0101"),),
        alarms=(AlarmView("a-1", "fire.smoke", Text("Smoke alarm", "感烟报警"), "smoke-301",
                          Text("living room", "客厅"), "b1-301", "raised", Severity.CRITICAL, Hazard.FIRE, opened_us,
                          detail="smoke_alarm true", latched=True),),
        log=(LogEntry(opened_us, "raised", "", "smoke-301.smoke"),),
        plots=(Plot("temp-301.temperature", Text("Temperature", "温度"), "temperature", "Cel", samples),),
    )


def duty(left_s: float = 540.0) -> DutyView:
    """A centre asks whether somebody is on duty; `left_s` of ten minutes are left."""
    due_us = T0 + round(left_s * 1e6)
    return DutyView(SITE, NAME, Text("Gate house", "门卫室"), Text("fire panel", "火灾报警主机"),
                    DutyCheck("d-1", "uitd", "gate", "889", due_us - 600_000_000, due_us),
                    (Contact("Chen Jing", "duty", "+86 571 5550 0101"),))


class MemoryBoard:
    """Implements read_models.Board."""

    def __init__(self, *incidents: IncidentView) -> None:
        self.incidents = {incident.id: incident for incident in incidents}
        self.revision = 1
        self.actions: list[tuple[str, IncidentAction, str, str, str]] = []
        self.refuse_close = True
        self.duties: list[DutyView] = []
        self.answers: list[tuple[str, str]] = []
        self.deeds: list[tuple[str, object, str]] = []
        self.cut = False
        self._changed = asyncio.Event()
        self._events: list[BoardEvent] = []

    async def snapshot(self, scope: str, *, whole: bool = False) -> BoardSnapshot:
        if self.cut:
            raise ConnectionError("the store is away")
        impairment = ImpairmentView(SITE, NAME, Text("Garage", "车库"), Text("leak sensor", "水浸探测器"),
                                    Impairment(ImpairmentKind.SILENT, "leak-b1", T0 - 600_000_000, "b1-garage"))
        return BoardSnapshot(
            self.revision, T0, tuple(self.incidents.values()), (impairment,),
            (GatewayView(SITE, "gw-1", NAME, T0 - 3_000_000, False, 8, 7),), (),
            (ProofView(SITE, "gw-1", T0 - 9_000_000_000, T0 - 8_999_600_000),),
            tuple(self.duties),
        )

    async def do(self, incident: str, deed: object, *, who: str, why: str, request: str, scope: str, site: str = ""
                 ) -> ActionOutcome:
        self.deeds.append((incident, deed, who))
        return ActionOutcome(True)

    async def silence(self, site: str, name: str, matchers: tuple[str, ...], for_us: int, *, who: str, why: str,
                      request: str, scope: str) -> ActionOutcome:
        return ActionOutcome(False, "not here")

    async def shelve(self, site: str, alarm: str, kind: str, for_us: int, *, who: str, why: str, request: str,
                     scope: str) -> ActionOutcome:
        return ActionOutcome(False, "not here")

    async def incident(self, incident: str, scope: str) -> IncidentView | None:
        return self.incidents.get(incident)

    def put(self, view: IncidentView) -> None:
        """Show a new state of an incident to all open pages."""
        self.incidents[view.id] = view
        self.revision += 1
        self._events.append(BoardEvent(self.revision, "incident", msgspec.json.encode(view)))
        self._changed.set()

    async def events(self, scope: str, after: int) -> AsyncIterator[BoardEvent]:
        seen = after
        while True:
            if self.cut:
                await asyncio.sleep(0.1)
                continue
            for event in [event for event in self._events if event.revision > seen]:
                seen = event.revision
                yield event
            yield BoardEvent(seen, "heartbeat", b"{}")
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), 0.5)
            except TimeoutError:
                continue

    def put_duties(self, *duties: DutyView) -> None:
        """Show these duty checks to all open pages."""
        self.duties = list(duties)
        self.revision += 1
        self._events.append(BoardEvent(self.revision, "duties", msgspec.json.encode(self.duties)))
        self._changed.set()

    async def answer_duty(self, check: str, *, who: str, request: str, scope: str) -> ActionOutcome:
        self.answers.append((check, who))
        self.put_duties(*(msgspec.structs.replace(view, check=msgspec.structs.replace(
            view.check, state=DutyState.DELIVERED, who=who)) for view in self.duties))
        return ActionOutcome(True)

    async def act(
        self, incident: str, action: IncidentAction, *, who: str, why: str, request: str, scope: str
    ) -> ActionOutcome:
        self.actions.append((incident, action, who, why, request))
        view = self.incidents.get(incident)
        if view is None:
            return ActionOutcome(False, "no such incident")
        if action is IncidentAction.CLOSE and self.refuse_close:
            return ActionOutcome(False, "smoke-301.smoke is still in alarm", 3)
        if action is IncidentAction.ACKNOWLEDGE:
            self.put(msgspec.structs.replace(view, acknowledged_by=who, acknowledged_us=T0))
        return ActionOutcome(True)


class FixedClock:
    """Always the same instant: ages on the page run from it."""

    def now(self) -> Now:
        return Now(T0, 0, "test")

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
