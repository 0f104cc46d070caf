"""What pages read, and what people may do from them: protocols that programs implement and pages only use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Protocol

import msgspec

from device_model.alarm import Hazard, Severity
from device_model.duty import DutyCheck
from device_model.handling import Handling
from device_model.impairment import Impairment
from device_model.numbers import NumbersReport
from device_model.reading import Quality, Reason
from device_model.site import Contact, Position, Tenancy, Text


class IncidentState(StrEnum):
    """Life of an incident; verification is a field beside it, not a stage."""

    NEW = "new"
    CONFIRMED = "confirmed"
    DISPATCHED = "dispatched"
    ON_SCENE = "on_scene"
    RESOLVED = "resolved"
    FALSE = "false"
    CLOSED = "closed"
    REOPENED = "reopened"


class Verification(StrEnum):
    """What says that it is real. Raises, never lowers or delays (law 1)."""

    NONE = "none"
    CALL_POINT = "call_point"
    SECOND_DETECTOR = "second_detector"
    FLOW_SWITCH = "flow_switch"
    CAMERA = "camera"
    PERSON = "person"


class IncidentAction(StrEnum):
    """What a person does to an incident."""

    ACKNOWLEDGE = "acknowledge"
    CONFIRM = "confirm"
    DISPATCH = "dispatch"
    ON_SCENE = "on_scene"
    RESOLVE = "resolve"
    FALSE_ALARM = "false_alarm"
    CLOSE = "close"
    REOPEN = "reopen"
    NOTE = "note"


class PlotPoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """One sample of a plot; value None draws a break, never a zero."""

    at_us: int
    value: float | None


class Plot(msgspec.Struct, frozen=True):
    """The readings of one point around the incident."""

    point: str
    name: Text
    quantity: str
    unit: str
    samples: tuple[PlotPoint, ...]


class AlarmView(msgspec.Struct, frozen=True, omit_defaults=True):
    """One alarm of an incident, as the board shows it. at_us: raised."""

    alarm: str
    rule: str
    title: Text
    device: str
    place: Text
    zone: str
    state: str
    severity: Severity
    hazard: Hazard
    at_us: int
    detail: str = ""
    latched: bool = False
    test: bool = False
    journaled: bool = True
    trustworthy: bool = True  # False: the point is bad or silent now; the alarm stays raised (law 3)
    subject: str = ""  # with `rule` the alarm's key
    shelf: str = ""  # "shelved", "suppressed", "out_of_service": nobody is called for it


class LiveValue(msgspec.Struct, frozen=True, omit_defaults=True):
    """The latest value of one point near an incident. value None: bad, or never heard (at_us 0); reason says why."""

    point: str
    device: str
    name: Text
    zone: str
    quantity: str
    unit: str
    value: bool | int | float | str | None = None
    at_us: int = 0
    quality: Quality = Quality.GOOD
    reason: Reason = Reason.NONE


class LogEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the incident's timeline. who "" is the system. `at_us` µs since 1970 UTC."""

    at_us: int
    what: str  # "raised", "acknowledged", "confirmed", …
    who: str = ""
    detail: str = ""


class IncidentView(msgspec.Struct, frozen=True, omit_defaults=True):
    """One incident, whole."""

    id: str
    tenancy: Tenancy
    site_name: Text
    state: IncidentState
    hazard: Hazard
    severity: Severity
    verification: Verification
    building: Text
    floor: Text
    zone: str
    zone_name: Text
    opened_us: int
    updated_us: int
    acknowledged_by: str = ""
    acknowledged_us: int = 0
    gateway_told_us: int = 0  # when the gateway confirmed that it knows of the acknowledgement
    in_dispatch_queue: bool = False
    drill: bool = False
    closed_us: int = 0
    cause: str = ""
    alarms: tuple[AlarmView, ...] = ()
    log: tuple[LogEntry, ...] = ()
    plots: tuple[Plot, ...] = ()
    contacts: tuple[Contact, ...] = ()
    address: Text = Text("", "")
    position: Position | None = None
    access_note: Text = Text("", "")
    audience: str = ""  # "permit:<id>": told to its watcher and the control room, not the brigade; "" as law 1 says
    handling: Handling | None = None
    live: tuple[LiveValue, ...] = ()  # of the floors concerned, and the fire water of the site


class GatewayView(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of one gateway: heard when, how many devices alive, gaps, backlog."""

    tenancy: Tenancy
    gateway: str
    site_name: Text
    heard_us: int
    silent: bool
    devices_expected: int = 0
    devices_alive: int = 0
    journal_ok: bool = True
    backlog: int = 0
    postponed: int = 0  # of the backlog: waits because a metered link has spent its bytes of the day
    numbers: NumbersReport | None = None  # of rules, as the gateway said last; None: it never did
    numbers_us: int = 0  # when


class GapView(msgspec.Struct, frozen=True, omit_defaults=True):
    """Records of a stream that are missing: open until delivered or declared lost with a reason."""

    tenancy: Tenancy
    gateway: str
    epoch: str
    lane: str
    first: int
    last: int
    since_us: int
    closed_us: int = 0
    outcome: str = ""  # "" open, "delivered", or the declared reason


class ProofView(msgspec.Struct, frozen=True, omit_defaults=True):
    """The daily proof alarm of one site: when raised at the gateway, when it reached the desk."""

    tenancy: Tenancy
    gateway: str
    raised_us: int
    arrived_us: int


class ImpairmentView(msgspec.Struct, frozen=True):
    """An impairment with its place."""

    tenancy: Tenancy
    site_name: Text
    zone_name: Text
    device_name: Text
    impairment: Impairment


class DutyView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A duty check with its place. must_answer: who of the site file; answering: whose click is on its way to the
    gateway; refused: why the gateway did not take the last one."""

    tenancy: Tenancy
    site_name: Text
    zone_name: Text
    device_name: Text
    check: DutyCheck
    must_answer: tuple[Contact, ...] = ()
    answering: str = ""
    refused: str = ""


class BoardSnapshot(msgspec.Struct, frozen=True):
    """Everything the board shows. `revision` grows with every change; events carry the next ones."""

    revision: int
    at_us: int
    incidents: tuple[IncidentView, ...]
    impairments: tuple[ImpairmentView, ...]
    gateways: tuple[GatewayView, ...]
    gaps: tuple[GapView, ...]
    proofs: tuple[ProofView, ...]
    duties: tuple[DutyView, ...] = ()


class BoardEvent(msgspec.Struct, frozen=True):
    """One change, already encoded once for all clients.

    kind: incident (its card), fresh (only its id: what is not on its card has changed), impairments, gateways, gaps,
    proofs, duties, heartbeat. payload: JSON bytes.
    """

    revision: int
    kind: str
    payload: bytes


class ActionOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a person's action. refusal "" means done; else the law or rule that refused it."""

    done: bool
    refusal: str = ""
    law: int = 0


class Board(Protocol):
    """What the brigade's page reads and does. `scope` is a tenancy path prefix ("" for all)."""

    async def snapshot(self, scope: str, *, whole: bool = False) -> BoardSnapshot:
        """All open incidents, impairments, gateways, open gaps and proofs within the scope. Incidents as cards:
        without timeline, plots, values and contacts, unless `whole`."""
        ...

    async def incident(self, incident: str, scope: str) -> IncidentView | None:
        """One incident, also a closed one, or None."""
        ...

    def events(self, scope: str, after: int) -> AsyncIterator[BoardEvent]:
        """Changes after that revision as they come; a heartbeat at least every 2 s of real time. When
        `after` is too old to resume from, the first event has kind "resync"."""
        ...

    async def act(
        self, incident: str, action: IncidentAction, *, who: str, why: str, request: str, scope: str
    ) -> ActionOutcome:
        """Do it, durably, before returning. `request` is the page's id of this click: repeating it is safe."""
        ...

    async def answer_duty(self, check: str, *, who: str, request: str, scope: str) -> ActionOutcome:
        """A signed-in person answers a duty check: stored before returning, then carried to the gateway."""
        ...
