"""LocalView: what the local page on a gateway shows; made by the program that asks the gateway. Pure."""

from __future__ import annotations

from typing import Protocol

import msgspec

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
    """One output. audible: it can be silenced; others are trips, which are reset."""

    id: str
    purpose: Text
    on: bool
    cause: str
    proof: str
    audible: bool


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


class LocalView(msgspec.Struct, frozen=True):
    """Everything. answers False: the gateway did not answer now, and nothing else in here may be believed."""

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
