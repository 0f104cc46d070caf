"""LocalView: what the local page on a gateway shows; made by the program that asks the gateway. Pure."""

from __future__ import annotations

from typing import Protocol

import msgspec

from dashboards.local_permit_view import LocalPermit, PermitAsk, SwitchAsk
from device_model.reading import Value
from device_model.site import Text


class LocalAlarm(msgspec.Struct, frozen=True):
    """One open alarm. hazard, severity: as `device_model.alarm`; state: raised, held, cleared."""

    id: str
    title: Text
    hazard: str
    severity: str
    state: str
    zone: Text
    subject: str
    since_us: int
    acknowledged_by: str


class LocalOutput(msgspec.Struct, frozen=True):
    """One output. audible: it can be silenced; others are trips, which are reset. confirmed: its device took the last
    order. by_hand: switched on by a person, until_us. may_hand: what a person may ask of it now: on, off, or ""."""

    id: str
    purpose: Text
    on: bool
    cause: str
    proof: str
    audible: bool
    confirmed: bool = False
    by_hand: bool = False
    until_us: int = 0
    inhibited: bool = False
    may_hand: str = ""


class LocalLack(msgspec.Struct, frozen=True):
    """One impairment."""

    kind: str
    subject: str
    zone: Text
    why: str
    who: str
    since_us: int
    expires_us: int


class LocalPoint(msgspec.Struct, frozen=True):
    """One live value. quality: good, uncertain, bad, never; at_us: 0 when it was never heard."""

    point: str
    device: str
    place: Text
    zone: Text
    name: Text
    unit: str
    value: Value | None
    quality: str
    at_us: int


class CamerasPlace(msgspec.Struct, frozen=True):
    """The cameras' page: another port of the same machine. secure: by TLS."""

    port: int
    secure: bool


class LocalView(msgspec.Struct, frozen=True):
    """Everything. answers False: the gateway did not answer now, and nothing else in here may be believed. clock_set:
    False while nobody has set its clock since it started: times on the page are wrong, durations are right."""

    answers: bool
    at_us: int = 0
    speed: float = 1.0
    site: Text = Text("", "")
    gateway: str = ""
    journal_ok: bool = True
    devices_expected: int = 0
    devices_alive: int = 0
    cloud: str = "none"  # none, up, down
    backlog: int = 0
    alarms: tuple[LocalAlarm, ...] = ()
    outputs: tuple[LocalOutput, ...] = ()
    lacks: tuple[LocalLack, ...] = ()
    points: tuple[LocalPoint, ...] = ()
    permits: tuple[LocalPermit, ...] = ()
    clock_set: bool = True


class PlotSample(msgspec.Struct, frozen=True):
    """value None: nothing was known then."""

    at_us: int
    value: float | None


class LocalGateway(Protocol):
    """What the page asks of its program."""

    async def view(self) -> LocalView:
        """The present; never raises."""
        ...

    async def plot(self, point: str) -> tuple[PlotSample, ...]:
        """The last 24 hours of a point, oldest first."""
        ...

    def matrix(self, language: str) -> str:
        """The cause and effect table as HTML without a frame, everything escaped."""
        ...

    async def act(self, action: str, target: str, who: str, why: str, request: str) -> tuple[bool, str]:
        """acknowledge, silence or reset as a named person; (done, what became of it)."""
        ...

    async def permit(self, asked: PermitAsk, who: str) -> tuple[bool, str]:
        """One act on a permit, on site, as a named person; (done, what became of it)."""
        ...

    async def switch(self, asked: SwitchAsk, who: str) -> tuple[bool, str]:
        """An output by hand, as a named person; (done, what became of it)."""
        ...

    def cameras(self, who: str) -> CamerasPlace | None:
        """Where the cameras' page of this gateway is; None where there is none, or this person may not see it."""
        ...
