"""Intake (pure): a message from a gateway, checked before anything believes it; and what became of those refused.

    topic ─► address, lane      must agree with      payload ─► Batch (gateway, lane, epoch)

The broker lets a gateway publish under its own prefix only; the check here is the second lock, and the one that
also holds for a broker that somebody configured by hand.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, deque
from collections.abc import Sequence

import msgspec

from device_model.messages import Batch, GatewayAddress, Record, batch_payload, decode_batch, parse_topic
from device_model.ports import Message
from device_model.ranges import Range, RangeSet

EPOCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
# Enough to see what a broken gateway sends; the counters go on for ever.
DEAD_LETTERS_MAX = 100
DEAD_LETTER_BYTES = 200
# An acknowledgement repeats what is known beyond the batch, so that a lost one heals by the next.
ACK_RANGES_MAX = 64
_REASONS_MAX = 200  # texts hold what senders wrote, so the kinds counted apart are bounded


class Intake(msgspec.Struct, frozen=True):
    """A batch whose sender is known. size: bytes of its JSON, unpacked, for the bounds of what waits."""

    address: GatewayAddress
    batch: Batch
    size: int

    @property
    def path(self) -> str:
        """The site: what is kept in order, and in one ledger."""
        return self.address.tenancy.path


def read_message(message: Message) -> Intake:
    """The batch in a message; ValueError says why it is refused."""
    address, direction, name = parse_topic(message.topic)
    if direction != "up":
        raise ValueError("the message does not go up")
    payload = batch_payload(message.payload)
    batch = decode_batch(payload)
    if batch.gateway != address.gateway:
        raise ValueError(f"batch of {batch.gateway[:40]!r} under the topic of {address.gateway!r}")
    if batch.lane != name:
        raise ValueError(f"batch of lane {batch.lane} under the topic of {name[:40]!r}")
    if not EPOCH.fullmatch(batch.epoch):
        raise ValueError(f"epoch {batch.epoch[:80]!r} is not a name")
    if not batch.records:
        raise ValueError("the batch holds no records")
    return Intake(address, batch, len(payload))


def message_id(address: GatewayAddress, batch: Batch, fresh: Sequence[Record]) -> str:
    """Names the contents, so that trying again after an unknown outcome stores them once."""
    digest = hashlib.sha256()
    digest.update(f"{batch.epoch}|{batch.lane}|".encode())
    digest.update(msgspec.json.encode(fresh))
    return f"{address.common_name}:{batch.lane}:{fresh[0].sequence}-{fresh[-1].sequence}:{digest.hexdigest()[:32]}"


def acknowledged_ranges(batch: Batch, known: Sequence[Range]) -> tuple[Range, ...]:
    """What a BatchAck says: the ranges that hold the batch's records, and the newest known ones."""
    numbers = [record.sequence for record in batch.records if record.sequence]
    own = [r for r in known if numbers and r[0] <= numbers[-1] and numbers[0] <= r[1]]
    return tuple(RangeSet([*own[:ACK_RANGES_MAX], *known[-ACK_RANGES_MAX:]]))


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that was refused, as far as it is kept."""

    topic: str
    reason: str
    beginning: bytes
    at_us: int


class DeadLetters:
    """The last refused messages, and how many there were of each kind."""

    def __init__(self) -> None:
        self._letters: deque[DeadLetter] = deque(maxlen=DEAD_LETTERS_MAX)
        self.counts: Counter[str] = Counter()

    def add(self, message: Message, reason: str, now_us: int) -> int:
        """Keep it; returns how often this reason has come (a reader logs powers of two, not a flood)."""
        kind = reason[:80]
        if kind not in self.counts and len(self.counts) >= _REASONS_MAX:
            kind = "other"
        self.counts[kind] += 1
        self._letters.append(DeadLetter(
            message.topic[:DEAD_LETTER_BYTES], reason[:DEAD_LETTER_BYTES],
            message.payload[:DEAD_LETTER_BYTES], now_us,
        ))
        return self.counts[kind]

    @property
    def total(self) -> int:
        """How many were refused since the start."""
        return self.counts.total()

    def letters(self) -> tuple[DeadLetter, ...]:
        """The last ones, oldest first."""
        return tuple(self._letters)
