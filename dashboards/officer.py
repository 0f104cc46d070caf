"""What the safety officer's live pages read: permits, hot work now, the district at a glance (values only).

Every scope is a tenancy prefix; what lies outside it is not there. Times are µs since 1970 UTC.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from device_model.permit import PermitStep
from device_model.permit_views import PermitView
from device_model.read_models import ActionOutcome, LiveValue
from device_model.site import Tenancy, Text


class ZoneChoice(msgspec.Struct, frozen=True):
    """A zone for which a permit may be asked."""

    id: str
    name: Text


class PermitSite(msgspec.Struct, frozen=True):
    """A site where permits may be asked for, and what its policy says. heard_us: when its gateway was heard last;
    silent: it is not heard, so that nothing new is confirmed."""

    path: str
    name: Text
    zones: tuple[ZoneChoice, ...]
    measures: tuple[str, ...]
    countersign: tuple[str, ...]
    validity_s: dict[str, float]
    sample_valid_s: float
    heard_us: int = 0
    silent: bool = True


class Gas(msgspec.Struct, frozen=True):
    """A gas and its lower explosive limit, % by volume, with the limit for hot work in both units."""

    id: str
    lel: float
    limit_vol: float
    limit_lel: float


class PermitsPage(msgspec.Struct, frozen=True):
    """All of /permits."""

    at_us: int
    permits: tuple[PermitView, ...]
    sites: tuple[PermitSite, ...]
    gases: tuple[Gas, ...]


class Seen(msgspec.Struct, frozen=True, omit_defaults=True):
    """A picture that was taken of it: where, when, with what hash."""

    incident: str
    snapshot: str = ""
    clip: str = ""
    at_us: int = 0
    sha256: str = ""


class HotWorkRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One place: what is allowed, what is seen, what is measured. outcomes: names of the hot work rules that stand;
    () none. score, gas, people: newest values, each with its own time. heard_us: of the site's gateway."""

    tenancy: Tenancy
    site_name: Text
    zone: str
    zone_name: Text
    permits: tuple[PermitView, ...] = ()
    scores: tuple[LiveValue, ...] = ()
    gas: tuple[LiveValue, ...] = ()
    people: tuple[LiveValue, ...] = ()
    outcomes: tuple[str, ...] = ()
    seen: tuple[Seen, ...] = ()
    heard_us: int = 0
    silent: bool = False


class HotWorkPage(msgspec.Struct, frozen=True):
    """All of /hot-work, worst first. seen_from: score from which the shipped rules call it hot work."""

    at_us: int
    rows: tuple[HotWorkRow, ...]
    working: int
    breaches: int
    seen_from: float = 0.6


class PlaceFigures(msgspec.Struct, frozen=True):
    """One part of the tenancy (a district, street or site) in figures.

    expected, connected, proven: devices that should be there, that answer, and that stand at sites whose daily
    proof alarm came within 26 h. people: sum of the newest head counts. over: zones over their limit.
    gas_worst: the highest %LEL of now. risk: see `community_os/risk.py`. handled_s: median time from alarm to the end
    of handling.
    """

    path: str
    name: Text
    sites: int = 0
    silent: int = 0
    unproven: int = 0
    expected: int = 0
    connected: int = 0
    proven: int = 0
    open: int = 0
    life_safety: int = 0
    impairments: int = 0
    unwatched: int = 0
    overdue_checks: int = 0
    open_checks: int = 0
    permits: int = 0
    people: int | None = None
    over: int = 0
    gas_worst: float | None = None
    gas_at_us: int = 0
    incidents: int = 0
    false_alarms: int = 0
    acknowledged_s: float | None = None
    handled_s: float | None = None
    risk: float = 0.0
    heard_us: int = 0
    latitude: float | None = None
    longitude: float | None = None
    datum: str = ""


class Day(msgspec.Struct, frozen=True):
    """One local day of incidents."""

    at_us: int
    fire: int
    gas: int
    other: int
    false_alarms: int


class OverdueCheck(msgspec.Struct, frozen=True, omit_defaults=True):
    """A self-check, inspection or rectification whose time is over. incident "" for an inspection."""

    path: str
    site_name: Text
    what: Text
    person: str
    due_us: int
    incident: str = ""


class OpenIncident(msgspec.Struct, frozen=True):
    """An incident that is not over."""

    id: str
    path: str
    title: Text
    place: Text
    severity: str
    state: str
    opened_us: int
    drill: bool


class EndedIncident(msgspec.Struct, frozen=True):
    """An incident of the last 30 days that people have done with, or that closed: what league and trend count."""

    id: str
    path: str
    title: Text
    place: Text
    state: str
    opened_us: int
    acknowledged_us: int
    ended_us: int


class Lack(msgspec.Struct, frozen=True):
    """Something that does not protect now. what: the device, line or gateway; measure: what is done meanwhile, ""
    nothing; until_us 0: nobody said until when."""

    path: str
    site_name: Text
    kind: str
    what: Text
    place: Text
    since_us: int
    who: str
    why: str
    measure: str
    until_us: int


class Overview(msgspec.Struct, frozen=True):
    """All of /overview for one scope. parts: the next level down (districts, streets, sites); sites: all sites, for
    map and league. crumbs: how one came here. days: the last 30. incidents: the open ones, worst first; ended: the
    newest of the days; lacks: without a measure first, the oldest first."""

    at_us: int
    scope: str
    crumbs: tuple[PlaceFigures, ...]
    whole: PlaceFigures
    parts: tuple[PlaceFigures, ...]
    sites: tuple[PlaceFigures, ...]
    days: tuple[Day, ...]
    overdue: tuple[OverdueCheck, ...]
    formula: Text
    more_overdue: int = 0
    incidents: tuple[OpenIncident, ...] = ()
    ended: tuple[EndedIncident, ...] = ()
    lacks: tuple[Lack, ...] = ()
    more_lacks: int = 0


class Officer(Protocol):
    """What a program brings."""

    async def permits(self, scope: str) -> PermitsPage:
        """Open and lately ended permits."""
        ...

    async def hot_work(self, scope: str) -> HotWorkPage:
        """Where hot work is allowed, seen or measured."""
        ...

    async def overview(self, scope: str) -> Overview:
        """The figures of a part of the tenancy."""
        ...

    async def permit(
        self, site: str, step: PermitStep, *, who: str, why: str, request: str, scope: str) -> ActionOutcome:
        """Ask for an act on a permit; done: it is on its way to the gateway."""
        ...

    @property
    def live(self) -> bool:
        """Whether what is shown is known to be current."""
        ...
