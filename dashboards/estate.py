"""What the property manager's and the resident's pages read and do (values only): my sites, my building.

Every scope is a tenancy prefix; what lies outside it is not there. Times are µs since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from device_model.alarm import Hazard
from device_model.read_models import ActionOutcome
from device_model.site import Contact, Text

PHOTO_BYTES_MAX = 2 * 1024 * 1024


class Need(StrEnum):
    """What something needs of the property manager, the most urgent first."""

    ALARM = "alarm"
    SELF_CHECK = "self_check"
    TASK = "task"
    GATEWAY = "gateway"
    IMPAIRMENT = "impairment"
    FAULT = "fault"
    SILENT = "silent"
    BATTERY = "battery"
    TEST = "test"
    INSPECTION = "inspection"
    CERTIFICATE = "certificate"
    UNDELIVERED = "undelivered"


class NeedItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing. due_us: until when, 0 where no clock runs; incident: its page, "" for none; subject: device, point,
    gateway or channel; hazard: of an alarm; what: title of a task, or of the rule that found a fault; typed: `why`
    holds what somebody typed, or a name: shown as it is."""

    kind: Need
    path: str
    site_name: Text
    place: Text
    why: str
    since_us: int
    due_us: int = 0
    incident: str = ""
    subject: str = ""
    hazard: str = ""
    drill: bool = False
    what: Text | None = None
    typed: bool = False


class DeviceChoice(msgspec.Struct, frozen=True):
    """A device that can be taken into maintenance."""

    id: str
    place: Text
    kind: str


class ShiftView(msgspec.Struct, frozen=True, omit_defaults=True):
    """One shift of a rota. people: ids and names."""

    day: str
    name: str
    starts_us: int
    ends_us: int
    people: tuple[tuple[str, str], ...]
    standing_in: bool = False


class RotaView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rota as it stands now. on_duty: names; taken_over_by: who said so for this shift; overdue: nobody did;
    can_take_over, people: ids and names."""

    id: str
    title: Text
    shift: ShiftView
    on_duty: tuple[str, ...]
    coming: tuple[ShiftView, ...]
    people: tuple[tuple[str, str], ...]
    taken_over_by: str = ""
    overdue: bool = False


class MaintenanceView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A device that was asked to be taken out, and has not been answered for yet, or was refused."""

    device: str
    place: Text
    who: str
    why: str
    asked_us: int
    until_us: int
    ending: bool = False
    refused: str = ""


class EstateSite(msgspec.Struct, frozen=True, omit_defaults=True):
    """One site of mine. heard_us: its gateway last; alive, expected: devices; isolated: out of service now; waiting:
    asked of the gateway and not answered yet, or refused."""

    path: str
    name: Text
    address: Text
    heard_us: int
    silent: bool
    alive: int
    expected: int
    contacts: tuple[Contact, ...]
    devices: tuple[DeviceChoice, ...]
    rotas: tuple[RotaView, ...] = ()
    isolated: tuple[NeedItem, ...] = ()
    waiting: tuple[MaintenanceView, ...] = ()


class EstatePage(msgspec.Struct, frozen=True):
    """All of /my-sites. more: needs beyond the bound, counted; may_*: what this person may do."""

    at_us: int
    sites: tuple[EstateSite, ...]
    needs: tuple[NeedItem, ...]
    more: int = 0


class DayUse(msgspec.Struct, frozen=True):
    """What a meter grew by on one local day; None: nothing to tell it by. whole: the day before was counted, too."""

    day: str
    use: float | None
    whole: bool = True


class MeterUse(msgspec.Struct, frozen=True):
    """One meter's days, oldest first. quantity: energy or volume."""

    point: str
    place: Text
    quantity: str
    unit: str
    days: tuple[DayUse, ...]


class Delivery(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message about an incident. state: waiting, sent, failed, acknowledged (somebody has answered since)."""

    endpoint: str
    kind: str
    state: str
    at_us: int
    settled_us: int = 0
    attempts: int = 0
    reason: str = ""
    acknowledged_by: str = ""


class BuildingAlarm(msgspec.Struct, frozen=True, omit_defaults=True):
    """An alarm as neighbours may know it: the building and floor, never a dwelling or a name."""

    id: str
    hazard: Hazard
    building: Text
    floor: Text
    stage: str
    since_us: int
    verified: bool = False
    drill: bool = False


class PublicContact(msgspec.Struct, frozen=True):
    """Whom a resident may call: what they are, not who."""

    role: str
    phone: str


class BuildingPlace(msgspec.Struct, frozen=True):
    """A place that a report can be about: common ones by name, dwellings only as their floor."""

    zone: str
    building: Text
    floor: Text
    name: Text


class BuildingPage(msgspec.Struct, frozen=True):
    """All of /building for one site."""

    at_us: int
    path: str
    name: Text
    address: Text
    alarms: tuple[BuildingAlarm, ...]
    contacts: tuple[PublicContact, ...]
    places: tuple[BuildingPlace, ...]
    impaired: int = 0


class ReportOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a resident's report. token: with it a picture can be added; "" where it was not taken."""

    done: bool
    refusal: str = ""
    token: str = ""


class Estate(Protocol):
    """What a program brings."""

    async def page(self, scope: str) -> EstatePage:
        """All sites of a scope, and what needs somebody."""
        ...

    async def usage(self, path: str, days: int) -> tuple[MeterUse, ...]:
        """Daily use of a site's meters."""
        ...

    async def deliveries(self, incident: str, scope: str) -> tuple[Delivery, ...] | None:
        """Who was told of an incident; None where there is none in that scope."""
        ...

    async def swap(self, path: str, rota: str, day: str, shift: str, leaving: str, coming: str, *, who: str, why: str,
                   request: str) -> ActionOutcome:
        """Somebody else has a shift."""
        ...

    async def take_over(self, path: str, rota: str, person: str, note: str, *, who: str, request: str
                        ) -> ActionOutcome:
        """A shift's person says that they have taken over."""
        ...

    async def maintain(self, path: str, devices: Sequence[str], minutes: int, measure: str, *, who: str, why: str,
                       request: str) -> ActionOutcome:
        """Take devices out for a time, with a compensating measure (law 3); minutes 0: back in service."""
        ...

    async def building(self, path: str) -> BuildingPage | None:
        """What residents of a site may know."""
        ...

    async def sites(self, scope: str) -> tuple[tuple[str, Text], ...]:
        """Paths and names of the sites of a scope."""
        ...

    async def report(self, path: str, zone: str, hazard: Hazard, text: str, phone: str, *, who: str, request: str
                     ) -> ReportOutcome:
        """A resident tells of something."""
        ...

    async def add_photo(self, token: str, body: bytes, *, who: str) -> str:
        """A picture to a report that was just taken: "" or why not."""
        ...
