"""Ledger of one site (pure): which records of its gateways have arrived, are missing, or were declared lost.

    received ──┐
    declared ──┼──► 1 ▓▓▓▓▓▓▓▓░░▓▓▓▓▓▓▓▓▓▓▒▒▒▓▓▓▓░░ known end     ░ gap: open until delivered or declared
    heartbeat ─┘                                                    ▒ declared lost, with a reason

A stream is (gateway, epoch, lane) and its numbers run from 1 without holes, so that every missing number is a
finding: a hole between arrivals, and, because heartbeats tell the last number given out, a lost tail as well.
The ingest uses it to store each record once, the worker to show gaps: both apply the same batches and so hold
the same ledger. A checkpoint and the batches after it give the ledger back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

from device_model.messages import Batch, HeartbeatRecord, Lane, LossRecord, Record, is_memory_epoch
from device_model.ranges import Range, RangeSet

# Lives of journals per gateway: a new one comes with a new disk, a memory epoch with each boot whose disk fails.
STREAMS_MAX = 96
# A gateway sends in order per lane, live first and backlog after, so that a handful of ranges is normal. More
# than this is a fault of the gateway or an attack on memory; the lowest hole is then closed as lost.
RANGES_MAX = 256
# As the intake bounds the epoch of a batch; what a body names is bounded here, for it stands in the checkpoint.
EPOCH_MAX = 64
REASON_MAX = 200
SEQUENCE_MAX = 2**53 - 1  # what every reader of JSON keeps exactly


class GapState(StrEnum):
    """What became of missing records."""

    OPENED = "opened"
    DELIVERED = "delivered"
    LOST = "lost"  # declared by the gateway, or explained by its restart: `reason` says


class GapChange(msgspec.Struct, frozen=True):
    """A step in the life of missing records first..last of a stream. Times are the ledger's wall µs."""

    gateway: str
    epoch: str
    lane: Lane
    first: int
    last: int
    state: GapState
    at_us: int
    reason: str = ""


class Gap(msgspec.Struct, frozen=True, order=True):
    """Missing records, still unexplained. since_us: when the first of them was found missing."""

    gateway: str
    epoch: str
    lane: Lane
    first: int
    last: int
    since_us: int


class Loss(msgspec.Struct, frozen=True, order=True):
    """Records declared lost and never delivered since."""

    gateway: str
    epoch: str
    lane: Lane
    first: int
    last: int
    reason: str


class Applied(msgspec.Struct, frozen=True):
    """What a batch brought: records not seen before (heartbeats always), and what it did to gaps."""

    fresh: tuple[Record, ...]
    changes: tuple[GapChange, ...]


class _Line(msgspec.Struct):
    """One stream as a checkpoint keeps it."""

    gateway: str
    epoch: str
    lane: Lane
    received: list[Range]
    lost: list[tuple[int, int, str]]
    gaps: list[tuple[int, int, int]]  # first, last, since_us
    known_end: int
    boot: str
    heard_us: int


class _Stream:
    """One (gateway, epoch, lane)."""

    __slots__ = ("boot", "gaps", "heard_us", "known_end", "lost", "received")

    def __init__(self) -> None:
        self.received = RangeSet()
        self.lost: list[tuple[int, int, str]] = []
        self.gaps: list[tuple[int, int, int]] = []
        self.known_end = 0
        self.boot = ""
        self.heard_us = 0


_Key = tuple[str, str, Lane]
_decoder = msgspec.json.Decoder(list[_Line])


class Ledger:
    """All streams of one site. Not thread-safe; every time is passed in."""

    def __init__(self) -> None:
        self._streams: dict[_Key, _Stream] = {}
        self._forgotten: list[GapChange] = []

    def fresh(self, batch: Batch) -> tuple[Record, ...]:
        """The records that the ledger does not hold yet, heartbeats always; nothing changes.

        Raises ValueError for a sequence number beyond what JSON readers keep exactly.
        """
        stream = self._streams.get((batch.gateway, batch.epoch, batch.lane))
        for record in batch.records:
            if not 0 <= record.sequence <= SEQUENCE_MAX:
                raise ValueError(f"sequence {record.sequence} is not within 0..{SEQUENCE_MAX}")
        if stream is None:
            return batch.records
        return tuple(record for record in batch.records if record.sequence not in stream.received)

    def apply(self, batch: Batch, now_us: int) -> Applied:
        """Enter a batch that is safely stored. now_us: the ledger's wall time, µs; names gaps' ages only.

        Raises ValueError as `fresh` does, before anything changes.
        """
        fresh = self.fresh(batch)
        changes: list[GapChange] = []
        key = (batch.gateway, batch.epoch, batch.lane)
        touched: dict[_Key, None] = {}
        for first, last in _ranges(record.sequence for record in fresh if record.sequence):
            stream = self._stream(key, now_us)
            stream.received.add(first, last)
            stream.known_end = max(stream.known_end, last)
            touched[key] = None
        for record in fresh:
            if record.sequence and key in self._streams:
                self._streams[key].boot = record.boot
            body = record.body
            if isinstance(body, LossRecord):
                touched.update(self._declare(batch.gateway, body, now_us))
            elif isinstance(body, HeartbeatRecord):
                touched.update(self._heartbeat(batch, body, record.boot, now_us, changes))
        for touched_key in touched:
            self._compare(touched_key, now_us, changes)
        changes.extend(self._forgotten)
        self._forgotten.clear()
        return Applied(fresh, tuple(changes))

    def known(self, gateway: str, epoch: str, lane: Lane) -> tuple[Range, ...]:
        """The numbers of a stream that are stored: what an acknowledgement may say."""
        stream = self._streams.get((gateway, epoch, lane))
        return tuple(stream.received) if stream else ()

    def gaps(self) -> tuple[Gap, ...]:
        """Everything missing and unexplained, ordered by stream and number."""
        return tuple(sorted(
            Gap(*key, first, last, since_us)
            for key, stream in self._streams.items() for first, last, since_us in stream.gaps
        ))

    def losses(self) -> tuple[Loss, ...]:
        """Everything declared lost and not delivered after all."""
        return tuple(sorted(
            Loss(*key, missing_first, missing_last, reason)
            for key, stream in self._streams.items() for first, last, reason in stream.lost
            for missing_first, missing_last in stream.received.missing(first, last)
        ))

    def checkpoint(self) -> bytes:
        """The whole ledger as JSON."""
        return msgspec.json.encode([
            _Line(*key, list(stream.received), stream.lost, stream.gaps, stream.known_end, stream.boot,
                  stream.heard_us)
            for key, stream in self._streams.items()
        ])

    @staticmethod
    def resume(checkpoint: bytes) -> Ledger:
        """The ledger of a checkpoint; ValueError (msgspec.DecodeError) where it does not fit."""
        ledger = Ledger()
        for line in _decoder.decode(checkpoint):
            stream = _Stream()
            stream.received = RangeSet(line.received)
            stream.lost, stream.gaps = line.lost, line.gaps
            stream.known_end, stream.boot, stream.heard_us = line.known_end, line.boot, line.heard_us
            ledger._streams[line.gateway, line.epoch, line.lane] = stream
        return ledger

    def _stream(self, key: _Key, now_us: int) -> _Stream:
        stream = self._streams.get(key)
        if stream is None:
            self._make_room(key[0], now_us)
            stream = self._streams[key] = _Stream()
        stream.heard_us = now_us
        return stream

    def _make_room(self, gateway: str, now_us: int) -> None:
        """Forget the stream heard least lately, of those without open gaps if there is one."""
        own = [key for key in self._streams if key[0] == gateway]
        if len(own) >= STREAMS_MAX:
            oldest = min(own, key=lambda key: (bool(self._streams[key].gaps), self._streams[key].heard_us, key))
            self._forgotten.extend(
                GapChange(*oldest, first, last, GapState.LOST, now_us, TOO_MANY_STREAMS)
                for first, last, _ in self._streams.pop(oldest).gaps
            )

    def _declare(self, gateway: str, loss: LossRecord, now_us: int) -> Iterator[tuple[_Key, None]]:
        key = (gateway, loss.epoch, loss.lane)
        for first, last in loss.ranges:
            if not 1 <= first <= last <= SEQUENCE_MAX or len(loss.epoch) > EPOCH_MAX:
                continue  # names no record; what is missing stays missing
            stream = self._stream(key, now_us)
            if len(stream.lost) >= RANGES_MAX:
                continue  # what is not taken down stays missing and visible: the safe side
            stream.lost.append((first, last, loss.reason[:REASON_MAX]))
            stream.known_end = max(stream.known_end, last)
            _merge_losses(stream.lost)
            yield key, None

    def _heartbeat(
        self, batch: Batch, heartbeat: HeartbeatRecord, boot: str, now_us: int, changes: list[GapChange],
    ) -> Iterator[tuple[_Key, None]]:
        for name, (epoch, last) in heartbeat.last.items():
            if name not in _LANES or not 1 <= last <= SEQUENCE_MAX or len(epoch) > EPOCH_MAX:
                continue
            key = (batch.gateway, epoch, Lane(name))
            stream = self._stream(key, now_us)
            stream.known_end = max(stream.known_end, last)
            stream.boot = stream.boot or boot
            yield key, None
        # Heartbeats are live: what an earlier life of the gateway held in memory only and did not deliver is
        # gone. That is an explanation, not a hope. A later life shows by its boot, or by its own memory epoch.
        life = batch.epoch if is_memory_epoch(batch.epoch) else ""
        for key, stream in self._streams.items():
            if key[0] != batch.gateway or not is_memory_epoch(key[1]) or not stream.gaps:
                continue
            if (boot and stream.boot not in ("", boot)) or (life and key[1] != life):
                stream.lost.extend((first, last, MEMORY_LOST) for first, last, _ in stream.gaps)
                _merge_losses(stream.lost)
                self._compare(key, now_us, changes)

    def _compare(self, key: _Key, now_us: int, changes: list[GapChange]) -> None:
        """Bring a stream's gaps up to date, and say what changed."""
        stream = self._streams.get(key)
        if stream is None:
            return  # forgotten for a newer one within this very batch
        self._bound_ranges(key, stream, now_us, changes)
        explained = stream.received.copy()
        for first, last, _ in stream.lost:
            explained.add(first, last)
        missing = explained.missing(1, stream.known_end)
        before = RangeSet((first, last) for first, last, _ in stream.gaps)
        ages = stream.gaps
        if missing == list(before):
            return
        now_missing = RangeSet(missing)
        for first, last in missing:
            for new_first, new_last in before.missing(first, last):
                changes.append(GapChange(*key, new_first, new_last, GapState.OPENED, now_us))
        for first, last, _ in ages:
            for gone_first, gone_last in now_missing.missing(first, last):
                changes.extend(_closed(key, stream, gone_first, gone_last, now_us))
        stream.gaps = [(first, last, _since(ages, first, last, now_us)) for first, last in missing]

    @staticmethod
    def _bound_ranges(key: _Key, stream: _Stream, now_us: int, changes: list[GapChange]) -> None:
        """Give up the lowest holes of a stream that has too many: said as lost, then counted as received."""
        while len(stream.received) > RANGES_MAX:
            (_, first_end), (second_start, _) = list(stream.received)[:2]
            hole = (first_end + 1, second_start - 1)
            declared = RangeSet((first, last) for first, last, _ in stream.lost)
            changes.extend(
                GapChange(*key, first, last, GapState.LOST, now_us, TOO_MANY_HOLES)
                for first, last in declared.missing(*hole)
            )
            stream.received.add(*hole)
            stream.gaps = [gap for gap in stream.gaps if not (hole[0] <= gap[0] and gap[1] <= hole[1])]


MEMORY_LOST = "held in memory only by a gateway that has started anew since"
TOO_MANY_HOLES = f"the gateway leaves more than {RANGES_MAX} holes: the lowest was given up"
TOO_MANY_STREAMS = f"the gateway has had more than {STREAMS_MAX} journals: the oldest was forgotten"
_LANES = frozenset(lane.value for lane in Lane)


def _ranges(numbers: Iterable[int]) -> Iterator[Range]:
    """Ascending numbers as closed ranges."""
    first = last = 0
    for number in numbers:
        if last and number == last + 1:
            last = number
            continue
        if last:
            yield first, last
        first = last = number
    if last:
        yield first, last


def _merge_losses(losses: list[tuple[int, int, str]]) -> None:
    """Ordered by number, neighbours of one reason joined; a number keeps the first reason given for it."""
    taken = RangeSet()
    kept: list[tuple[int, int, str]] = []
    for first, last, reason in losses:
        kept.extend((new_first, new_last, reason) for new_first, new_last in taken.missing(first, last))
        taken.add(first, last)
    losses.clear()
    for first, last, reason in sorted(kept):
        if losses and losses[-1][2] == reason and losses[-1][1] + 1 == first:
            losses[-1] = (losses[-1][0], last, reason)
        else:
            losses.append((first, last, reason))


def _closed(key: _Key, stream: _Stream, first: int, last: int, now_us: int) -> Iterator[GapChange]:
    """How each part of a gap that is no longer missing was closed."""
    for lost_first, lost_last in stream.received.missing(first, last):
        reason = next((why for low, high, why in stream.lost if low <= lost_first <= high), "")
        yield GapChange(*key, lost_first, lost_last, GapState.LOST, now_us, reason)
    not_delivered = RangeSet(stream.received.missing(first, last))
    for got_first, got_last in not_delivered.missing(first, last):
        yield GapChange(*key, got_first, got_last, GapState.DELIVERED, now_us)


def _since(ages: list[tuple[int, int, int]], first: int, last: int, now_us: int) -> int:
    """Since when some of first..last has been missing."""
    return min((since for low, high, since in ages if low <= last and first <= high), default=now_us)
