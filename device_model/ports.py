"""The five ports: everything that the product does to the outside world in a way that can go wrong.

Production runs on pymodbus, gmqtt, nats-server, SQLite and the machine's clock; the simulation runs the same
programs on models of these, in virtual time, from one seed. One contract suite (tests/contracts) is passed by
both, so that the models are not kinder than the world.

    LineExchange   one request on a field line, one reply or a PeerError
    MessageLink    an MQTT connection
    Stream         the ordered, fenced store between ingest and worker (JetStream + KV)
    Store          the gateway's journal
    Clock          clock.py

SeriesStore stands beside them: no alarm depends on it, and real servers answer for it in its tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec

from device_model.clock import Clock
from device_model.messages import Lane, Record
from device_model.ranges import Range
from device_model.series import Refused, Sample, SeriesQuery

__all__ = [
    "Clock", "JournalState", "LaneState", "LineExchange", "LineReply", "LineRequest", "Message", "MessageLink",
    "SeriesStore", "StaleRevision", "Store", "Stream", "StreamMessage",
]


class LineRequest(msgspec.Struct, frozen=True):
    """One Modbus transaction: read `count` from `address` by `function`, or write `values` there."""

    unit: int
    function: int
    address: int
    count: int
    values: tuple[int, ...] = ()


class LineReply(msgspec.Struct, frozen=True):
    """What came back, as it came: unit, function and payload bytes (after the byte count, for reads).

    The caller checks that it fits the request: unit, function and exact byte count (line_schedule.py).
    """

    unit: int
    function: int
    payload: bytes


class LineExchange(Protocol):
    """One field line with one master."""

    async def exchange(self, request: LineRequest, *, timeout_s: float) -> LineReply:
        """Send and wait. Raises PeerSilent, PeerRefused (with the exception code), PeerGarbled."""
        ...

    async def drain(self, hold_s: float) -> None:
        """After a time-out on a serial line: read and discard for `hold_s` seconds. No-op on TCP."""
        ...

    async def close(self) -> None:
        """Let the line go; idempotent."""
        ...


class Message(msgspec.Struct, frozen=True):
    """One MQTT message received."""

    topic: str
    payload: bytes
    retained: bool = False


class MessageLink(Protocol):
    """One MQTT connection that reconnects by itself. Delivery is at least once, and only while connected."""

    @property
    def connected(self) -> bool:
        """Whether the broker answers right now, as far as is known."""
        ...

    async def publish(self, topic: str, payload: bytes) -> None:
        """QoS 1: returns after PUBACK, which proves nothing end to end. Raises PeerSilent when not connected
        or not acknowledged in time."""
        ...

    def messages(self) -> AsyncIterator[Message]:
        """What arrives on the subscriptions given at construction; acknowledged to the broker when the
        consumer asks for the next one. Ends when the link is closed."""
        ...

    async def close(self) -> None:
        """Disconnect; idempotent."""
        ...


class StreamMessage(msgspec.Struct, frozen=True):
    """One stored message. sequence: the stream's own, from 1, with no meaning to gateways."""

    sequence: int
    subject: str
    payload: bytes


class StaleRevision(Exception):
    """Somebody else wrote the key since: this writer must stop (a pin is only a lease)."""


class Stream(Protocol):
    """An ordered, durable store of messages, and keys with compare-and-set."""

    async def publish(self, subject: str, payload: bytes, *, message_id: str) -> int:
        """Store; returns the sequence once durable. The same message_id within the window is stored once
        and returns the first one's sequence. Raises PeerSilent when it is not known to be stored."""
        ...

    def read(self, after: int, subject_filter: str) -> AsyncIterator[StreamMessage]:
        """Messages after that sequence in order, then those that come; NATS wildcards in the filter."""
        ...

    async def last_sequence(self) -> int:
        """The sequence of the newest message; 0 when empty."""
        ...

    async def get(self, key: str) -> tuple[bytes, int] | None:
        """A key's value and revision, or None."""
        ...

    async def put(self, key: str, value: bytes, *, expected_revision: int) -> int:
        """Write if the key still has that revision (0: does not exist); returns the new revision.
        Raises StaleRevision otherwise."""
        ...


class LaneState(msgspec.Struct, frozen=True):
    """What the journal knows of one lane at start: last stored sequence, acknowledged ranges."""

    lane: Lane
    last_sequence: int
    acknowledged: tuple[Range, ...]


class JournalState(msgspec.Struct, frozen=True):
    """What the journal knows at start. `damage` lists what could not be read, for a LossRecord.

    checkpoint_copy: the same once more, where the store keeps two; one flipped bit must not cost latches and trips.
    replaced: the file was damaged as a whole and a new epoch began: (old epoch, lane, numbers not delivered
    under it, reason); what could be saved stands in the new epoch already.
    """

    epoch: str
    lanes: tuple[LaneState, ...]
    checkpoint: bytes | None
    damage: tuple[tuple[Lane, Range, str], ...] = ()
    replaced: tuple[tuple[str, Lane, Range, str], ...] = ()
    checkpoint_copy: bytes | None = None


class Store(Protocol):
    """The gateway's journal: append-only records by lane, acknowledged ranges, one checkpoint."""

    async def open(self) -> JournalState:
        """Open or create; isolates damage instead of failing. Raises LocalFault when the disk takes nothing."""
        ...

    async def commit(self, records: Sequence[tuple[Lane, Record]], checkpoint: bytes | None) -> None:
        """One durable group commit: on return all of it survives a power cut, on error none is promised.
        Raises LocalFault (disk full, read-only, I/O error). May hang as long as the disk does."""
        ...

    async def read(self, lane: Lane, first: int, last: int, limit: int) -> list[Record]:
        """Stored records of a lane within first..last, ascending, at most `limit`."""
        ...

    async def acknowledge(self, lane: Lane, ranges: Sequence[Range]) -> None:
        """Remember that the far end has these; may forget the records themselves."""
        ...

    async def close(self) -> None:
        """Close; idempotent."""
        ...


class SeriesStore(Protocol):
    """Samples of time series: SQLite on the gateway (edge_agent/series.py), InfluxDB 1.x, 2, 3 and VictoriaMetrics
    (cloud_bridge/influx.py). Writing the same sample twice is writing it once."""

    async def write(self, samples: Sequence[Sample]) -> tuple[Refused, ...]:
        """Store all; give those that this store will never take. Raises PeerError or LocalFault when it takes none
        now: the same may be written again."""
        ...

    async def read(self, query: SeriesQuery) -> tuple[Sample, ...]:
        """Samples of a question, oldest first. Raises PeerError or LocalFault."""
        ...

    async def close(self) -> None:
        """Let go of files and connections; idempotent."""
        ...
