"""What a site worker wants stored: values, handed to `store.py` in order, one SiteCommit per message or tick.

Ids are made from what the row is about, so that a replay writes the same rows again and never a second one.
"""

from __future__ import annotations

import hashlib

import msgspec

from device_model.impairment import ImpairmentKind
from device_model.inspection import InspectionView
from device_model.permit_views import PermitView
from device_model.place_now import PlaceNow
from device_model.read_models import (
    ActionOutcome,
    DutyView,
    GapView,
    GatewayView,
    ImpairmentView,
    IncidentView,
    ProofView,
)
from device_model.register_views import ShelfView, SilenceView


class IncidentRow(msgspec.Struct, frozen=True):
    """The incident as it is now."""

    view: IncidentView

    @property
    def id(self) -> str:
        """The incident's own id."""
        return self.view.id


class ImpairmentRow(msgspec.Struct, frozen=True):
    """A lack that stands (`view`) or has ended (None)."""

    path: str
    kind: ImpairmentKind
    subject: str
    view: ImpairmentView | None

    @property
    def id(self) -> str:
        """One row per lack of one subject."""
        return row_id(self.path, self.kind.value, self.subject)


class GatewayRow(msgspec.Struct, frozen=True):
    """What is known of a gateway now."""

    view: GatewayView

    @property
    def id(self) -> str:
        """One row per gateway."""
        return row_id(self.view.tenancy.path, self.view.gateway)


class GapRow(msgspec.Struct, frozen=True):
    """A gap that is open, or (closed_us set) how it ended."""

    view: GapView

    @property
    def id(self) -> str:
        """One row per gap: a part that is delivered makes a gap of its own."""
        v = self.view
        return row_id(v.tenancy.path, v.gateway, v.epoch, v.lane, str(v.first), str(v.last))


class GapGone(msgspec.Struct, frozen=True):
    """A gap that was split or has grown: other rows stand for it now."""

    view: GapView

    @property
    def id(self) -> str:
        """The id of the row that goes."""
        return GapRow(self.view).id


class ProofRow(msgspec.Struct, frozen=True):
    """The latest proof alarm of a gateway."""

    view: ProofView

    @property
    def id(self) -> str:
        """One row per proof; the board shows the latest of each gateway."""
        return row_id(self.view.tenancy.path, self.view.gateway, str(self.view.raised_us))


class DutyRow(msgspec.Struct, frozen=True):
    """A duty check as it is now. shown: whether the board lists it."""

    view: DutyView
    shown: bool = True

    @property
    def id(self) -> str:
        """One row per check."""
        return row_id(self.view.tenancy.path, self.view.check.id)


class AuditRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the append-only audit log: who did what to which incident. who "" is the system."""

    path: str
    at_us: int
    what: str
    who: str = ""
    incident: str = ""
    detail: str = ""

    @property
    def id(self) -> str:
        """The same deed has the same id, whenever it is replayed."""
        return row_id(self.path, self.incident, self.what, str(self.at_us), self.who, self.detail)


class OutcomeRow(msgspec.Struct, frozen=True):
    """What became of a person's click; the page waits for it."""

    path: str
    request: str
    incident: str
    outcome: ActionOutcome

    @property
    def id(self) -> str:
        """The page's id of the click."""
        return self.request


class InspectionRow(msgspec.Struct, frozen=True):
    """An inspection as it is now."""

    view: InspectionView

    @property
    def id(self) -> str:
        """One row an inspection."""
        return row_id(self.view.tenancy.path, "inspection", self.view.inspection.id)


class SilenceRow(msgspec.Struct, frozen=True):
    """A silence as it is now."""

    view: SilenceView

    @property
    def id(self) -> str:
        """One row a name: setting it again is a new silence."""
        return row_id(self.view.tenancy.path, "silence", self.view.name)


class ShelfRow(msgspec.Struct, frozen=True):
    """An alarm on the shelf. shown: whether it still is."""

    view: ShelfView
    shown: bool = True

    @property
    def id(self) -> str:
        """One row an alarm."""
        return row_id(self.view.tenancy.path, "shelf", self.view.alarm)


class PermitRow(msgspec.Struct, frozen=True):
    """A permit for hot work. shown: whether it is not over yet."""

    view: PermitView
    shown: bool = True

    @property
    def id(self) -> str:
        """One row a permit."""
        return row_id(self.view.tenancy.path, "permit", self.view.id)


class NowRow(msgspec.Struct, frozen=True):
    """What a site measures now."""

    view: PlaceNow

    @property
    def id(self) -> str:
        """One row a site."""
        return row_id(self.view.tenancy.path, "now")


class NoticeRow(msgspec.Struct, frozen=True):
    """Something to send to one endpoint. Stored once: a replay never takes back what became of it."""

    id: str
    path: str
    endpoint: str
    incident: str
    kind: str
    at_us: int
    urgent: bool
    body: bytes


StoreChange = (
    IncidentRow | ImpairmentRow | GatewayRow | GapRow | GapGone | ProofRow | DutyRow | AuditRow | OutcomeRow
    | NoticeRow | InspectionRow | SilenceRow | ShelfRow | PermitRow | NowRow
)


class SiteCommit(msgspec.Struct, frozen=True):
    """All changes of one message (or tick) of one site.

    sequence: the stream's number of that message; a store that has it already skips the commit. tick: made by
    the passing of time after that message, never skipped.
    """

    path: str
    sequence: int
    changes: tuple[StoreChange, ...]
    tick: bool = False


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that could not be applied, kept for people to look at."""

    sequence: int
    subject: str
    path: str
    at_us: int
    error: str
    payload: bytes


def row_id(*parts: str) -> str:
    """A deterministic id of 24 hex digits."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:24]
