"""AgentCheckpoint: what of the gateway's mind survives a restart, as bytes in the journal.

Written in the same transaction as the alarm records that it already knows of, so that after a kill the journal
and the mind agree: no alarm is raised twice, no timer starts again from zero.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import msgspec

from device_model.clock import SECOND_US, Now
from device_model.impairment import Impairment, ImpairmentKind
from device_model.ports import JournalState
from edge_agent.duty_book import OpenDuty
from edge_agent.health import HealthMemory
from edge_agent.orders import OrdersMemory
from edge_agent.outputs import OutputMemory

VERSION = 1
PACKED = b"zlib:"  # no msgpack map begins so
FORGOTTEN = ("what this gateway had in mind cannot be read: which alarms latched, which outputs tripped, what was "
             "isolated before its start is not known; walk the site and reset what needs it")
FORGOTTEN_SHOWN_US = 24 * 3600 * SECOND_US  # by then a person has been there, or it is told anew at the next start
BYTES_MAX = 64 * 1024 * 1024  # unpacked; 100,000 points need some 20 MiB


class AgentCheckpoint(msgspec.Struct, frozen=True):
    """Everything that must survive. `engine` is the rules engine's own, opaque here."""

    v: int
    wall_us: int
    mono_us: int
    boot: str
    engine: bytes
    outputs: dict[str, OutputMemory]
    health: HealthMemory
    orders: OrdersMemory
    impairments: tuple[Impairment, ...]
    proof_dates: tuple[str, ...]
    duties: tuple[OpenDuty, ...] = ()

    def away_us(self, now: Now) -> int | None:
        """How long the gateway was away; None where the clocks cannot tell."""
        if self.boot == now.boot and now.mono_us >= self.mono_us:
            return now.mono_us - self.mono_us
        if now.wall_error_us < 0 or now.wall_us < self.wall_us:
            return None
        return now.wall_us - self.wall_us


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AgentCheckpoint)


def encode_checkpoint(checkpoint: AgentCheckpoint) -> bytes:
    """As bytes, packed: a quarter of them, and each wears the card."""
    return PACKED + zlib.compress(_encoder.encode(checkpoint), 1)


def read_checkpoint(journal: JournalState | None, say: Callable[..., None]) -> AgentCheckpoint | None:
    """What the journal kept of the mind; None where there is nothing, or nothing readable, which is said."""
    kept = () if journal is None else (journal.checkpoint, journal.checkpoint_copy)
    problems = []
    for text in kept:
        if text is None:
            continue
        try:
            found = decode_checkpoint(text)
        except ValueError as error:
            problems.append(str(error))
            continue
        if problems:
            say("error", "checkpoint damaged, its copy is taken", detail=problems[0])
        return found
    if problems:
        # Better a gateway that starts from the devices' present state than none: alarms rise again.
        say("error", "checkpoint not readable, starting without it", detail="; ".join(dict.fromkeys(problems)))
    return None


def forgotten(journal: JournalState | None, gateway: str, now: Now) -> list[Impairment]:
    """The lack of a gateway whose memory is there and cannot be read, in no copy. Law 5 leaves resets to people on
    site; what is not known any more they must look at."""
    if journal is None or read_checkpoint(journal, lambda *_, **__: None) is not None:
        return []
    if journal.checkpoint is None and journal.checkpoint_copy is None:
        return []
    return [Impairment(ImpairmentKind.FAULT, gateway, now.wall_us, why=FORGOTTEN,
                       expires_us=now.wall_us + FORGOTTEN_SHOWN_US)]


def decode_checkpoint(text: bytes) -> AgentCheckpoint:
    """From bytes, packed or as earlier versions wrote them; ValueError (msgspec.DecodeError) where they are not a
    checkpoint of this version."""
    if text.startswith(PACKED):
        stream = zlib.decompressobj()
        try:
            text = stream.decompress(text[len(PACKED):], BYTES_MAX)
        except zlib.error as error:
            raise ValueError(f"checkpoint does not unpack: {error}") from error
        if not stream.eof:
            raise ValueError(f"checkpoint is cut off, or larger than {BYTES_MAX} bytes")
    checkpoint = _decoder.decode(text)
    if checkpoint.v != VERSION:
        raise ValueError(f"checkpoint of version {checkpoint.v}; this program reads version {VERSION}")
    return checkpoint
