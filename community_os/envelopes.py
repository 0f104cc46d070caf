"""What stands in the stream between ingest, worker and pages; and the subjects that carry it.

    site.{partition}.{city}.{district}.{street}.{site}.up      a deduplicated batch of a gateway
    site.{partition}.{city}.{district}.{street}.{site}.act     what a person did

Correlation never leaves a site, so the site is the partition key (DESIGN section 7).
"""

from __future__ import annotations

import zlib

import msgspec

from device_model.incident_deeds import Deed
from device_model.inspection import InspectionDeed
from device_model.messages import Batch
from device_model.permit import PermitStep
from device_model.read_models import IncidentAction
from device_model.site import Tenancy

STREAM = "TOCSIN"
PARTITIONS = 4


class UpEnvelope(msgspec.Struct, frozen=True, tag="up"):
    """A batch as the ingest stored it: only records that the ledger had not seen. arrived_us: ingest's wall time."""

    path: str
    arrived_us: int
    batch: Batch


class ActEnvelope(msgspec.Struct, frozen=True, tag="act", omit_defaults=True):
    """A person's action. request: the page's id of the click; applied once however often it is stored."""

    path: str
    incident: str
    action: IncidentAction
    who: str
    why: str
    request: str
    at_us: int


class AnswerDutyEnvelope(msgspec.Struct, frozen=True, tag="answer_duty"):
    """A signed-in person's answer to a duty check."""

    path: str
    check: str
    who: str
    request: str
    at_us: int


class DeedEnvelope(msgspec.Struct, frozen=True, tag="deed", omit_defaults=True):
    """What a person does with an incident beyond the steps of its life. incident: "" where the deed opens one."""

    path: str
    incident: str
    deed: Deed | InspectionDeed
    who: str
    why: str
    request: str
    at_us: int


class SilenceEnvelope(msgspec.Struct, frozen=True, tag="silence", omit_defaults=True):
    """A person wants to hear nothing of what matches until ends_us, or (matchers empty) ends the silence of that
    name early."""

    path: str
    name: str
    who: str
    why: str
    request: str
    at_us: int
    matchers: tuple[str, ...] = ()
    ends_us: int = 0


class ShelfEnvelope(msgspec.Struct, frozen=True, tag="shelf", omit_defaults=True):
    """A person puts an alarm ("rule|subject") on the shelf until a time, or (kind "") takes it off."""

    path: str
    alarm: str
    kind: str
    who: str
    why: str
    request: str
    at_us: int
    until_us: int = 0


class PermitEnvelope(msgspec.Struct, frozen=True, tag="permit", omit_defaults=True):
    """A person asks for an act on a permit for hot work; its gateway judges it."""

    path: str
    step: PermitStep
    who: str
    why: str
    request: str
    at_us: int


class MaintainEnvelope(msgspec.Struct, frozen=True, tag="maintain", omit_defaults=True):
    """A person takes devices out of service until a time, with a compensating measure (law 3), or (until_us 0) puts
    them back."""

    path: str
    devices: tuple[str, ...]
    who: str
    why: str
    request: str
    at_us: int
    until_us: int = 0
    measure: str = ""


class RotaEnvelope(msgspec.Struct, frozen=True, tag="rota", omit_defaults=True):
    """A person changes who is on duty: a swap (day, shift, leaving, coming), or (coming alone) somebody of the shift
    has taken over, with a note."""

    path: str
    rota: str
    coming: str
    who: str
    why: str
    request: str
    at_us: int
    day: str = ""
    shift: str = ""
    leaving: str = ""


class DeliveredEnvelope(msgspec.Struct, frozen=True, tag="delivered", omit_defaults=True):
    """What became of a notice: sent, or given up with a reason."""

    path: str
    incident: str
    notice: str
    endpoint: str
    at_us: int
    given_up: str = ""


class CentreAskedEnvelope(msgspec.Struct, frozen=True, tag="centre", omit_defaults=True):
    """What a monitoring centre wants: "duty" (a person answers within so many minutes), "clock", "initialise"."""

    path: str
    centre: str
    what: str
    name: str
    at_us: int
    minutes: int = 0
    detail: str = ""


PersonEnvelope = (
    ActEnvelope | AnswerDutyEnvelope | DeedEnvelope | SilenceEnvelope | ShelfEnvelope | PermitEnvelope
    | MaintainEnvelope | RotaEnvelope)
Envelope = UpEnvelope | PersonEnvelope | DeliveredEnvelope | CentreAskedEnvelope
_decoder: msgspec.json.Decoder[Envelope] = msgspec.json.Decoder(Envelope)


def encode_envelope(envelope: Envelope) -> bytes:
    """As JSON bytes."""
    return msgspec.json.encode(envelope)


def decode_envelope(payload: bytes) -> Envelope:
    """From JSON bytes; ValueError says where it does not fit."""
    return _decoder.decode(payload)


def partition_of(tenancy: Tenancy, partitions: int = PARTITIONS) -> int:
    """Which partition a site's messages go to; stable over restarts and machines."""
    return zlib.crc32(tenancy.path.encode()) % partitions


def subject_of(tenancy: Tenancy, kind: str, partitions: int = PARTITIONS) -> str:
    """The stream subject of a site; kind is "up" or "act"."""
    return f"site.{partition_of(tenancy, partitions)}.{tenancy.path.replace('/', '.')}.{kind}"
