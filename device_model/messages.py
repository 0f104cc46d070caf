"""Versioned messages between gateway and community OS, the lanes they travel in, and the topics.

    tocsin/v1/{city}/{district}/{street}/{site}/{gateway}/up/{lane}      gateway → cloud
    tocsin/v1/{city}/{district}/{street}/{site}/{gateway}/down/{kind}    cloud → gateway: ack, command

Tenant and site stand at fixed tokens, so that a broker can route, map and permit by them. A gateway's
certificate subject is CN=city.district.street.site.gateway: the topic prefix with dots.

A stream is (gateway, epoch, lane). Sequence numbers run from 1 without holes within a stream. An epoch names
the life of a journal; records that the disk did not take travel under an epoch of their own that starts with
"m-" (memory), one per boot. The broker's PUBACK proves nothing: only a BatchAck from the ingest does.
"""

from __future__ import annotations

import itertools
import re
from enum import StrEnum
from typing import TypeVar

import msgspec

from device_model.alarm import AlarmTransition
from device_model.command import Command, CommandResult
from device_model.duty import DutyCheck
from device_model.impairment import ImpairmentChange
from device_model.numbers import NumbersReport
from device_model.packing import unpacked
from device_model.permit import Permit
from device_model.ranges import Range
from device_model.reading import Reading
from device_model.site import Tenancy

T = TypeVar("T")
WIRE_VERSION = 1
TOPIC_ROOT = "tocsin"
# One MQTT message; nats-server's default max_payload is 1 MiB, and a metered link should lose little at a cut.
BATCH_BYTES_MAX = 256 * 1024
BATCH_RECORDS_MAX = 500
TOKEN = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class Lane(StrEnum):
    """What travels together. Live goes before backlog, and the alarm lane before all others."""

    ALARM = "alarm"
    TELEMETRY = "telemetry"
    EVIDENCE = "evidence"


class ReadingsRecord(msgspec.Struct, frozen=True, tag="readings"):
    """Readings of one cycle that changed beyond their deadband, or whose heartbeat was due."""

    readings: tuple[Reading, ...]


class AlarmRecord(msgspec.Struct, frozen=True, tag="alarm"):
    """A step in the life of an alarm, with the readings that decided it."""

    transition: AlarmTransition
    readings: tuple[Reading, ...] = ()


class ImpairmentRecord(msgspec.Struct, frozen=True, tag="impairment"):
    """Something began or ceased not to protect."""

    change: ImpairmentChange


class CommandResultRecord(msgspec.Struct, frozen=True, tag="command_result"):
    """What became of a command."""

    result: CommandResult


class OutputRecord(msgspec.Struct, frozen=True, tag="output", omit_defaults=True):
    """An output was switched, proved, or found unproved."""

    output: str
    on: bool
    cause: str  # alarm id, command id or "restart"
    at_us: int
    proof: str = "unproved"  # unproved | proved | failed


class HeartbeatRecord(msgspec.Struct, frozen=True, tag="heartbeat", omit_defaults=True):
    """The gateway is alive. Not journaled: its absence is the news.

    last: lane → (epoch, last sequence number assigned), so that a lost tail is known as well as a hole.
    stands: "kind|subject" of every impairment and "fault|rule|subject" of every fault that stands at the gateway now,
    so that what a life said from memory and died with is not shown for ever; None: too many to say.
    wall_error_us: how far the gateway's wall clock may be wrong; -1 while it was never set (`Now.wall_error_us`).
    postponed: of the backlog, how many records wait because a metered link has spent its bytes of the day.
    numbers: which numbers of rules run; None: as said before, for it is said now and then only.
    """

    at_us: int
    last: dict[str, tuple[str, int]]
    devices_expected: int = 0
    devices_alive: int = 0
    journal_ok: bool = True
    backlog: int = 0
    wall_error_us: int = 0
    version: str = ""
    stands: tuple[str, ...] | None = None
    postponed: int = 0
    numbers: NumbersReport | None = None


class LossRecord(msgspec.Struct, frozen=True, tag="loss"):
    """The gateway declares records lost: never silently. Ranges are of the stream (epoch, lane)."""

    epoch: str
    lane: Lane
    ranges: tuple[Range, ...]
    reason: str
    at_us: int


class DutyCheckRecord(msgspec.Struct, frozen=True, tag="duty_check"):
    """A duty check came, was answered by a person, reached its asker, or went unanswered."""

    check: DutyCheck


class PermitRecord(msgspec.Struct, frozen=True, tag="permit"):
    """A permit for hot work as it stands at the gateway that judges it: after each act, and when its time is over."""

    permit: Permit
    at_us: int


class EvidenceChunkRecord(msgspec.Struct, frozen=True, tag="evidence_chunk", omit_defaults=True):
    """Part of a file of evidence on its way up; each says of which, so that they may come twice and in any order.

    evidence: its id at the gateway. kind: "snapshot", "record" (the signed line of the chain) or "clip". size,
    sha256: of the whole file. lost: why the rest of the file will never come; then octets is empty.
    """

    evidence: str
    camera: str
    scene: str
    zone: str
    decided_us: int
    alarm: str
    kind: str
    name: str
    size: int
    sha256: str
    offset: int
    octets: bytes = b""
    lost: str = ""


class WalkRecord(msgspec.Struct, frozen=True, tag="walk", omit_defaults=True):
    """One ended test of the installer's day, or the acceptance of the work; travels in the evidence lane, behind
    every alarm. subject: device or output; of an acceptance the gateway. kind: walk, interlock, accepted. result:
    arrived, missed, proved, unproved, failed, accepted. role: of who tested (property, contractor). delivered: its
    alarm had left for the cloud when it was seen. confirmed: the output's device took the order. photos: SHA-256.
    note: of an acceptance with the hash of the report's facts in `value`."""

    subject: str
    kind: str
    who: str
    role: str
    begun_us: int
    result: str
    heard_us: int = 0
    took_ms: int = 0
    point: str = ""
    value: str = ""
    note: str = ""
    real: bool = False
    delivered: bool = False
    confirmed: bool = False
    photos: tuple[str, ...] = ()


Body = (
    ReadingsRecord | AlarmRecord | ImpairmentRecord | CommandResultRecord | OutputRecord | HeartbeatRecord
    | LossRecord | DutyCheckRecord | EvidenceChunkRecord | PermitRecord | WalkRecord
)


class Record(msgspec.Struct, frozen=True):
    """One journaled record: its place in its stream, and what it says.

    sequence: from 1 without holes within (gateway, epoch, lane); 0 for heartbeats, which are not in a stream.
    at_us: wall time of journaling, µs since 1970 UTC; mono_us, boot: the same instant, monotonic.
    """

    sequence: int
    at_us: int
    mono_us: int
    boot: str
    body: Body


class Batch(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one MQTT message carries up: consecutive records of one stream, ascending sequence.

    backlog: sent after the fact, to be ordered by sequence and never raised as live when too old.
    """

    v: int
    gateway: str
    epoch: str
    lane: Lane
    records: tuple[Record, ...]
    backlog: bool = False


class BatchAck(msgspec.Struct, frozen=True):
    """The ingest has stored these ranges of (epoch, lane): the gateway may forget them.

    reads: how batches may be packed for this ingest (packing.py); one that is older than that says nothing.
    """

    v: int
    epoch: str
    lane: Lane
    ranges: tuple[Range, ...]
    reads: tuple[str, ...] = ()


class Down(msgspec.Struct, frozen=True):
    """A command on its way down (retained by nobody; the sender repeats until a CommandResult comes)."""

    v: int
    command: Command


class GatewayAddress(msgspec.Struct, frozen=True, order=True):
    """Which gateway of which site: makes and reads topics and certificate names."""

    tenancy: Tenancy
    gateway: str

    @property
    def common_name(self) -> str:
        """The CN of its certificate."""
        t = self.tenancy
        return f"{t.city}.{t.district}.{t.street}.{t.site}.{self.gateway}"

    @property
    def client_id(self) -> str:
        """Its MQTT client id: nats-server refuses dots there, and no token holds an underscore."""
        return self.common_name.replace(".", "_")

    @property
    def prefix(self) -> str:
        """The topic prefix that it alone may publish under, without a trailing slash."""
        return f"{TOPIC_ROOT}/v{WIRE_VERSION}/{self.common_name.replace('.', '/')}"

    def up(self, lane: Lane) -> str:
        """Topic of one lane."""
        return f"{self.prefix}/up/{lane}"

    def down(self, kind: str) -> str:
        """Topic towards the gateway; kind is "ack" or "command"."""
        return f"{self.prefix}/down/{kind}"

    @staticmethod
    def of_common_name(name: str) -> GatewayAddress:
        """From a certificate's CN; ValueError if it is not five tokens."""
        parts = name.split(".")
        if len(parts) != 5 or not all(TOKEN.fullmatch(part) for part in parts):
            raise ValueError(f"{name!r} is not city.district.street.site.gateway")
        return GatewayAddress(Tenancy(*parts[:4]), parts[4])


def parse_topic(topic: str) -> tuple[GatewayAddress, str, str]:
    """(address, "up" or "down", lane or kind) of a topic; ValueError says what is wrong with it."""
    parts = topic.split("/")
    if len(parts) != 9 or parts[0] != TOPIC_ROOT:
        raise ValueError(f"topic {topic!r} is not {TOPIC_ROOT}/v1/city/district/street/site/gateway/up|down/kind")
    if parts[1] != f"v{WIRE_VERSION}":
        raise ValueError(f"topic {topic!r} speaks version {parts[1]}; this program speaks v{WIRE_VERSION}")
    if parts[7] not in ("up", "down"):
        raise ValueError(f"topic {topic!r} goes neither up nor down")
    return GatewayAddress.of_common_name(".".join(parts[2:7])), parts[7], parts[8]


def is_memory_epoch(epoch: str) -> bool:
    """Whether records of this epoch were sent from memory, not from the journal (law 4)."""
    return epoch.startswith("m-")


_encoder = msgspec.json.Encoder()
_batch_decoder = msgspec.json.Decoder(Batch)
_ack_decoder = msgspec.json.Decoder(BatchAck)
_down_decoder = msgspec.json.Decoder(Down)
_record_decoder = msgspec.json.Decoder(Record)


def encode(message: Batch | BatchAck | Down | Record) -> bytes:
    """Any message as JSON bytes."""
    return _encoder.encode(message)


def decode_batch(payload: bytes) -> Batch:
    """A Batch, packed or not; ValueError (msgspec.DecodeError) says where it does not fit, or what rule it breaks."""
    batch = _decoded(_batch_decoder, batch_payload(payload))
    _check_version("batch", batch.v)
    numbers = [record.sequence for record in batch.records if record.sequence]
    if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
        raise ValueError("batch is not in ascending sequence")
    return batch


def batch_payload(payload: bytes) -> bytes:
    """The JSON of a Batch, unpacked; ValueError where it is, or would be, too large."""
    if len(payload) > BATCH_BYTES_MAX:
        raise ValueError(f"batch of {len(payload)} bytes exceeds {BATCH_BYTES_MAX}")
    return unpacked(payload, BATCH_BYTES_MAX)


def decode_ack(payload: bytes) -> BatchAck:
    """A BatchAck; ValueError says where it does not fit."""
    ack = _decoded(_ack_decoder, payload)
    _check_version("acknowledgement", ack.v)
    return ack


def decode_down(payload: bytes) -> Down:
    """A Down message; ValueError says where it does not fit."""
    down = _decoded(_down_decoder, payload)
    _check_version("command", down.v)
    return down


def decode_record(payload: bytes) -> Record:
    """A Record, as the journal stores it; ValueError says where it does not fit."""
    return _decoded(_record_decoder, payload)


def _decoded(decoder: msgspec.json.Decoder[T], payload: bytes) -> T:
    try:
        return decoder.decode(payload)
    except RecursionError as error:  # nested deeper than any message of ours: an attack, not a fault of this program
        raise ValueError("message is nested too deep") from error


def _check_version(what: str, version: int) -> None:
    if version != WIRE_VERSION:
        raise ValueError(f"{what} speaks version {version}; this program speaks {WIRE_VERSION}")
