"""What the brigade's pages read and do beyond the board: places, evidence, photos, hand-overs (values only)."""

from __future__ import annotations

from typing import Protocol

import msgspec

from device_model.inspection import InspectionView
from device_model.place_book import PlaceView
from device_model.read_models import ImpairmentView
from device_model.register_views import ShelfView, SilenceView
from device_model.site import Tenancy, Text

# A phone's picture after the page has made it smaller is 200–400 kB.
PHOTO_BYTES_MAX = 2 * 1024 * 1024


class Drawing(msgspec.Struct, frozen=True):
    """A plan's file."""

    body: bytes
    media_type: str


class PermitFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """A permit for hot work at the incident's site. state: as the permit book names it. heard_us: when its gateway
    told it last, 0 where it has never confirmed it."""

    id: str
    zone: str
    zone_name: Text
    state: str
    level: str
    ends_us: int
    watcher: str = ""
    watched: bool = False
    heard_us: int = 0


class EvidenceFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """A piece of evidence from a camera. snapshot, clip: where the page gets them, "" where they stay on site."""

    id: str
    camera: str
    zone: str
    at_us: int
    name: str = ""
    snapshot: str = ""
    clip: str = ""
    sha256: str = ""


class PhotoFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """A picture from the scene. taken_us, latitude, longitude: what the camera said (WGS-84), 0 or None not known."""

    sha256: str
    incident: str
    who: str
    stored_us: int
    size: int
    taken_us: int = 0
    latitude: float | None = None
    longitude: float | None = None


class NoticeFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody who was to be told of an incident, and how that ended: waiting, sent, dead."""

    id: str
    endpoint: str
    kind: str
    at_us: int
    status: str
    attempts: int
    reason: str = ""
    incident: str = ""
    tenancy: Tenancy | None = None


class IncidentSide(msgspec.Struct, frozen=True):
    """What stands beside an incident. permits, evidence None: this cloud is not told of them."""

    permits: tuple[PermitFacts, ...] | None
    evidence: tuple[EvidenceFacts, ...] | None
    impairments: tuple[ImpairmentView, ...]
    photos: tuple[PhotoFacts, ...]
    notices: tuple[NoticeFacts, ...]


class RegisterView(msgspec.Struct, frozen=True):
    """What people have put aside, and what they were asked to look at."""

    silences: tuple[SilenceView, ...]
    shelf: tuple[ShelfView, ...]
    inspections: tuple[InspectionView, ...]


class HandoverLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One open incident as it stood at the hand-over."""

    incident: str
    hazard: str
    severity: str
    state: str
    place: Text
    opened_us: int
    acknowledged_by: str = ""
    drill: bool = False


class Handover(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one shift leaves to the next. scope: the tenancy prefix it is about. taken_by "": nobody yet."""

    id: str
    scope: str
    at_us: int
    by: str
    note: str
    open: tuple[HandoverLine, ...]
    impaired: int
    more_open: int = 0
    taken_by: str = ""
    taken_us: int = 0
    remark: str = ""


class Brigade(Protocol):
    """What a program brings. Every scope is a tenancy prefix; what lies outside it is not there."""

    async def places(self, path: str) -> PlaceView | None:
        """What is known of a site's places; None for a site that is not known."""
        ...

    async def drawing(self, path: str, plan: str) -> Drawing | None:
        """A plan's picture."""
        ...

    async def side(self, incident: str, scope: str) -> IncidentSide | None:
        """What stands beside an incident; None where there is none in that scope."""
        ...

    async def register(self, scope: str) -> RegisterView:
        """Silences, the shelf, inspections."""
        ...

    async def failed_notices(self, scope: str) -> tuple[NoticeFacts, ...]:
        """Those that were given up."""
        ...

    async def try_again(self, notice: str, scope: str) -> bool:
        """A person wants it tried again; False where there is none that was given up."""
        ...

    async def put_photo(self, incident: str, scope: str, body: bytes, who: str) -> PhotoFacts:
        """Keep a JPEG, stripped. Raises ValueError with the reason."""
        ...

    async def photo(self, sha256: str, scope: str) -> bytes | None:
        """A kept picture."""
        ...

    async def handovers(self, scope: str) -> tuple[Handover, ...]:
        """The latest, newest first."""
        ...

    async def hand_over(self, scope: str, who: str, note: str, request: str) -> Handover:
        """Write down what stands open now; the same request makes the same one."""
        ...

    async def take_over(self, handover: str, scope: str, who: str, remark: str) -> str:
        """Somebody takes it: "" or why not."""
        ...
